"""Repositories of the hub as a list of them tells: weights, context, licence tag, day, downloads."""

from __future__ import annotations

import gzip
import json
from pathlib import Path


def read_hub(data: Path) -> list[list[str]]:
    """A row a repository, sorted by name. A context is told only where the list read a config; its active parameters
    are left out, because they are often wrong."""
    [path] = (data / "lists").glob("llmfit-*-hf_models.slim.json.gz")
    with gzip.open(path) as file:
        listed = json.load(file)
    rows = {}
    for row in listed:
        was_read = isinstance(row.get("num_hidden_layers"), int)
        licence = row.get("license") or ""
        rows[row["name"].lower()] = [
            row["name"], _number(row.get("parameters_raw")), _number(row.get("context_length")) if was_read else "",
            "" if licence in ("other", "unknown") else licence, (row.get("release_date") or "")[:10],
            _number(row.get("hf_downloads")), _number(row.get("hf_likes")), row.get("pipeline_tag") or "",
        ]  # fmt: skip
    return [rows[key] for key in sorted(rows)]


def _number(value: object) -> str:
    return str(value) if isinstance(value, int) and value > 0 else ""
