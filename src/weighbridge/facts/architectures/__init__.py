"""Where metadata is silent: one file a family, found by its name (`model_type` in a config, `-` written as `_`).

A file may define

- `parts(config)`: the tensors that a config implies, named as the published checkpoints name them; without it a
  config alone tells no parameter counts,
- `complete(config)`: the config with what the reference implementation assumes where keys are missing, so that layers
  can be read by the keys alone,
- `complete_header(keys)`: the same for a GGUF header: the missing keys with their values.

A family that is another one under a new name is a file that imports from it.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from types import ModuleType


def find(name: str | None) -> ModuleType | None:
    """The file that speaks for this family, or None."""
    module = re.sub(r"[-.]", "_", name or "").lower()
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", module):
        return None
    place = f"{__name__}.{module}"
    return importlib.import_module(place) if importlib.util.find_spec(place) else None
