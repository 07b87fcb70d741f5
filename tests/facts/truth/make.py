"""Writes the truth that the counts are held against: each model built by transformers, without its weights.

    python make.py CONFIG.json ...

needs `torch` and `transformers` (made with 5.23), which the tests do not: what they need is the JSON written beside
this file, one a config, named like it. Each holds the config and every parameter as [name, shape, copies], numbers in
names as `*`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

# Model types that the library knows under another's name.
_SAME_AS = {"kimi_k2": "deepseek_v3", "mimo": "qwen2"}


def build(config: dict[str, Any]) -> Any:
    """The model on the meta device: shapes, no storage."""
    rest = {key: value for key, value in config.items() if key not in ("quantization_config", "auto_map", "model_type")}
    kind = config["model_type"]
    settings = transformers.AutoConfig.for_model(_SAME_AS.get(kind, kind), **rest)
    classes = [found for name in config.get("architectures") or () if (found := getattr(transformers, name, None))]
    with torch.device("meta"):
        if classes:
            return classes[0](settings)
        for auto in (transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText):
            try:
                return auto.from_config(settings)
            except ValueError:
                continue
        return transformers.AutoModel.from_config(settings)


def groups(model: Any) -> list[tuple[str, list[int], int]]:
    """Every parameter, equal ones of one name counted together; a tied matrix is there once."""
    found: dict[tuple[str, tuple[int, ...]], int] = {}
    for name, parameter in model.named_parameters():
        key = (re.sub(r"\.\d+(?=\.|$)", ".*", name), tuple(parameter.shape))
        found[key] = found.get(key, 0) + 1
    return [(name, list(shape), copies) for (name, shape), copies in found.items()]


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    for path in map(Path, sys.argv[1:]):
        config = json.loads(path.read_text())
        model = build(config)
        total = sum(parameter.numel() for parameter in model.parameters())
        truth = {"total": total, "class": type(model).__name__, "config": config, "parameters": groups(model)}
        text = json.dumps(truth).replace('], ["', '],\n["')
        (Path(__file__).parent / path.name).write_text(text + "\n")
        print(f"{path.name}: {total:,}")
