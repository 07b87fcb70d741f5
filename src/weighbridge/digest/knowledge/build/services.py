"""What services and lists of prices say of models, open and closed: days, contexts, prices, open weights or not."""

from __future__ import annotations

import datetime
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before the name proper: a region, a cloud, a maker.
_BEFORE = re.compile(
    r"^(?:(?:us|eu|apac|jp|global|au)\.)?(?:anthropic|openai|meta|mistral|qwen|deepseek|google|azure|databricks|amazon"
    r"|cohere|ai21|moonshot(?:ai)?|zai|zai-org|minimax|xai|nvidia|writer|bedrock)[.-](?=[a-z])"
)
_AFTER = re.compile(r"(?::free|:nitro|:thinking|:beta|-free|@default|-v\d+:\d+|:\d+)$")
_LEAST, _MOST = 512, 20_000_000


@dataclass(slots=True)
class _Said:
    """What all of them say of one name."""

    names: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    contexts: Counter[int] = field(default_factory=Counter)
    prices: Counter[tuple[float, float]] = field(default_factory=Counter)
    is_open: Counter[bool] = field(default_factory=Counter)
    inputs: Counter[str] = field(default_factory=Counter)
    sources: set[str] = field(default_factory=set)


def read_services(data: Path) -> list[list[str]]:
    """A row a name, sorted. Names that one service alone tells without a day or a price are left out."""
    folder = data / "lists"
    said: dict[str, _Said] = {}
    for source, name, entry in (*_models_dev(folder), *_openrouter(folder), *_litellm(folder)):
        key = short_name(name)
        if not key:
            continue
        of = said.setdefault(key, _Said())
        of.sources.add(source)
        of.names[name.rpartition("/")[2]] += 1
        if day := entry.get("day"):
            of.days[day] += 1
        context = entry.get("context")
        if isinstance(context, int) and _LEAST <= context <= _MOST:
            of.contexts[context] += 1
        if entry.get("price"):
            of.prices[entry["price"]] += 1
        if entry.get("open") is not None:
            of.is_open[entry["open"]] += 1
        for kind in entry.get("inputs") or ():
            of.inputs[kind] += 1
    return [_row(key, said[key]) for key in sorted(said) if said[key].days or said[key].prices]


def short_name(name: str) -> str:
    """A service's name without who serves it and how."""
    short = name.rpartition("/")[2].lower().strip()
    return _AFTER.sub("", _BEFORE.sub("", short))


def _row(key: str, of: _Said) -> list[str]:
    contexts = sorted(of.contexts)
    return [
        key, " ".join(f"{day}*{times}" for day, times in sorted(of.days.items())), " ".join(map(str, contexts)),
        " ".join(f"{given:g}:{taken:g}*{times}" for (given, taken), times in sorted(of.prices.items())),
        f"{of.is_open[True]}:{of.is_open[False]}", " ".join(sorted(of.inputs)), ", ".join(sorted(of.sources)),
    ]  # fmt: skip


def _gzipped(path: Path) -> Any:
    with gzip.open(path) as file:
        return json.load(file)


def _models_dev(folder: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    [path] = folder.glob("models_dev-*-data.json.gz")
    source = f"models.dev {path.name.split('-')[1]}"
    for provider in _gzipped(path).values():
        for name, model in provider["models"].items():
            cost = model.get("cost") or {}
            price = _price(cost.get("input"), cost.get("output"), 1.0)
            yield source, name, {
                "day": _day(model.get("release_date")), "context": (model.get("limit") or {}).get("context"),
                "price": price, "open": bool(model.get("open_weights")),
                "inputs": (model.get("modalities") or {}).get("input"),
            }  # fmt: skip


def _openrouter(folder: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in sorted(folder.glob("openrouter-models-*.json")):
        listed = json.loads(path.read_text(encoding="utf-8"))
        for model in listed["data"] if isinstance(listed, dict) else listed:
            made = model.get("created")
            day = datetime.datetime.fromtimestamp(made, datetime.UTC).date().isoformat() if made else None
            cost = model.get("pricing") or {}
            yield f"OpenRouter {path.stem[-7:]}", model["id"], {
                "day": day, "context": model.get("context_length"),
                "price": _price(cost.get("prompt"), cost.get("completion"), 1e6),
                "open": True if model.get("hugging_face_id") else None,
                "inputs": (model.get("architecture") or {}).get("input_modalities"),
            }  # fmt: skip


def _litellm(folder: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    [path] = folder.glob("litellm-*-model_prices.json.gz")
    source = f"LiteLLM {path.name.split('-')[1]}"
    for name, model in _gzipped(path).items():
        if model.get("mode") not in ("chat", "completion", "responses"):
            continue
        yield (
            source,
            name,
            {
                "context": model.get("max_input_tokens"),
                "price": _price(model.get("input_cost_per_token"), model.get("output_cost_per_token"), 1e6),
            },
        )


def _price(given: Any, taken: Any, scale: float) -> tuple[float, float] | None:
    """Dollars a million tokens, in and out; None where it is free or not told."""
    try:
        low, high = round(float(given) * scale, 6), round(float(taken) * scale, 6)
    except (TypeError, ValueError):
        return None
    return (low, high) if 0 < low < 10_000 and 0 < high < 10_000 else None


def _day(text: object) -> str | None:
    return text if isinstance(text, str) and re.fullmatch(r"20\d\d-\d\d-\d\d", text) else None
