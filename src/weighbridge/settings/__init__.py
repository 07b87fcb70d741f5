"""`Settings`, read once: defaults, then a TOML file, then the environment, then flags; a typo stops the program.

The file holds a row a setting, and a table for each model that is served:

    memory_budget_bytes = "12GiB"

    [models.coder]
    source = "qwen3-coder-q4_k_m.gguf"
    context_tokens = 32768
    pinned = true

and one for each policy of routing, by which a request for the model auto:NAME is routed:

    [policies.office]
    places = ["here"]
    rules = { code = "coder" }

and what the digest follows:

    [digest]
    sources = ["hf:trending", "github:ggml-org/llama.cpp"]
"""

from .reading import CONFIG_VARIABLE, PLACE, TAKEN_NAMES, load, load_place
from .rows import PREFIX, UNIX, DigestSettings, ModelSettings, Settings

__all__ = [
    "CONFIG_VARIABLE",
    "PLACE",
    "PREFIX",
    "TAKEN_NAMES",
    "UNIX",
    "DigestSettings",
    "ModelSettings",
    "Settings",
    "load",
    "load_place",
]
