"""Networks for tests: GGUF tensors of the real configs that facts are held against, and a short way to write types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from weighbridge.catalogue.gguf_tensors import tensors_of
from weighbridge.catalogue.quantizations import GGUFTensor, Network
from weighbridge.catalogue.shaping import facts_of_config, parts_of_config

TRUTH = Path(__file__).parents[1] / "facts" / "truth"

# One of each kind that the rules tell apart: tied and not, groups of heads, eight experts and many, latents, states,
# rows that are no whole number of blocks, Falcon, and more than one length of layers.
NETWORKS = (
    "llama", "llama_tied", "qwen2", "qwen2_moe", "mixtral", "gemma2", "gemma3n", "gemma4", "phi3", "gpt_oss",
    "deepseek_v2_lite", "deepseek_v3", "glm4_moe", "granitemoehybrid", "lfm2", "falcon", "falcon_h1", "nemotron_h",
    "qwen3_next", "qwen3_5_moe", "llama4", "olmo2", "starcoder2", "apertus", "jamba", "smollm3",
)  # fmt: skip


def config_of_truth(name: str) -> dict[str, Any]:
    """A real config, by the name of its file."""
    config: dict[str, Any] = json.loads((TRUTH / f"{name}.json").read_text())["config"]
    return config


def tensors_of_truth(name: str) -> tuple[tuple[GGUFTensor, ...], Network]:
    """The tensors of its GGUF file, and what the rules ask."""
    config = config_of_truth(name)
    facts = facts_of_config(config, name)
    found = tensors_of(
        facts.architecture, parts_of_config(config, name), facts.head_count or 0, len(facts.layers), facts.experts
    )
    assert found is not None
    return found


def by_kind(types: Mapping[str, str]) -> dict[str, str]:
    """Types by kind of tensor, in the order of layers, equal neighbours counted: `Q6_K*4 Q4_K*2`."""
    kinds: dict[str, list[tuple[int, str]]] = {}
    for name, kind in types.items():
        parts = name.split(".", 2)
        number, rest = (int(parts[1]), parts[2]) if parts[0] == "blk" else (-1, name)
        kinds.setdefault(rest, []).append((number, kind))
    return {
        rest: " ".join(f"{kind}*{len(list(same))}" for kind, same in groupby(kind for _, kind in sorted(listed)))
        for rest, listed in sorted(kinds.items())
    }
