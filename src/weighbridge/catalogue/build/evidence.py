"""Measured quality that the reference data states: answers of models, published one by one, and counted here."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

from weighbridge.figures import Basis

from ..variant import Evidence
from .lists import COLLECTED

# Columns of TIGER-Lab's published MMLU-Pro outputs, and the repositories whose models gave them.
_MMLU_PRO = {
    "DeepSeek-Coder-V2": "deepseek-ai/DeepSeek-Coder-V2-Instruct", "Llama-2-13b-hf": "meta-llama/Llama-2-13b-hf",
    "Llama-2-7b-hf": "meta-llama/Llama-2-7b-hf", "Meta-Llama-3-70B": "meta-llama/Meta-Llama-3-70B",
    "Meta-Llama-3-8B": "meta-llama/Meta-Llama-3-8B", "Meta-Llama-3_1-70B": "meta-llama/Llama-3.1-70B",
    "Meta-Llama-3_1-70B-Instruct": "meta-llama/Llama-3.1-70B-Instruct",
    "Meta-Llama-3_1-8B": "meta-llama/Llama-3.1-8B",
    "Meta-Llama-3_1-8B-Instruct": "meta-llama/Llama-3.1-8B-Instruct",
    "Mistral-7B-Instruct-v0.1": "mistralai/Mistral-7B-Instruct-v0.1",
    "Mistral-7B-Instruct-v0.2": "mistralai/Mistral-7B-Instruct-v0.2", "Mistral-7B-v0.1": "mistralai/Mistral-7B-v0.1",
    "Mixtral-8x7B-Instruct-v0.1": "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "Phi-3-mini-4k-instruct": "microsoft/Phi-3-mini-4k-instruct",
    "c4ai-command-r-v01": "CohereLabs/c4ai-command-r-v01", "jamba-1.5-large": "ai21labs/AI21-Jamba-Large-1.5",
}  # fmt: skip


def read_evidence(data: Path) -> dict[str, tuple[Evidence, ...]]:
    """By repository in small letters: the share of right answers among the prompts that the data holds."""
    path = data / "routing" / "mmlupro" / "scores.csv.gz"
    if not path.exists():
        return {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        right = dict.fromkeys(_MMLU_PRO, 0.0)
        asked = dict.fromkeys(_MMLU_PRO, 0)
        for row in rows:
            for column in _MMLU_PRO:
                if row[column]:
                    right[column] += float(row[column])
                    asked[column] += 1
    source = "outputs that TIGER-Lab published, a part of all prompts, counted here"
    return {
        name.lower(): (
            Evidence(
                "MMLU-Pro", round(right[column] / asked[column], 4), "share of right answers", asked[column],
                "TIGER-Lab", Basis.COMPUTED, source, COLLECTED,
            ),
        )
        for column, name in _MMLU_PRO.items()
        if asked[column]
    }  # fmt: skip
