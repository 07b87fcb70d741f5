"""How claims and facts are put in words: one way for every output, so that a figure reads the same everywhere."""

from __future__ import annotations

from weighbridge.sizes import show_bytes, show_count

from .claim import Claim
from .verdict import Ruling

FIELD_WORDS = {
    "parameters_total": "parameters", "parameters_active": "active parameters", "experts": "experts",
    "context_length": "context", "licence": "licence", "release_date": "released", "status": "status",
    "exists": "exists", "downloads": "downloads", "likes": "likes", "stars": "stars", "price_input": "input price",
    "price_output": "output price", "memory_needed": "memory needed", "speed": "speed", "architecture": "architecture",
    "openness": "openness", "base_model": "base model", "modality": "modality", "training_cost": "training cost",
    "training_tokens": "training tokens", "compression": "compression", "file_formats": "file formats",
}  # fmt: skip
RULING_WORDS = {
    Ruling.SUPPORTED: "holds", Ruling.REFUTED: "refuted", Ruling.EXPIRED: "expired", Ruling.PREDICTION: "forecast",
    Ruling.UNVERIFIABLE: "cannot be checked",
}  # fmt: skip
_KINDS = {"moe": "MoE", "ssm": "state-space"}
# What limits a value stands before it.
_BEFORE = frozenset({"about", "at least", "at most", "up to", "over", "under", "late", "early", "mid"})
COUNTED_WORDS = RULING_WORDS | {Ruling.SUPPORTED: "hold", Ruling.PREDICTION: "forecasts"}
"""The same after a count."""
_COUNTED = frozenset({"parameters", "downloads", "likes", "stars"})


def field_words(field: str) -> str:
    """`benchmark:MMLU-Pro` as `MMLU-Pro`, `rank:Arena` as `rank on Arena`, others by the table."""
    kind, _, name = field.partition(":")
    if kind == "benchmark" and name:
        return name
    if kind == "rank" and name:
        return f"rank on {name}"
    if kind == "rule" and name:
        return name.replace("_", " ").replace("-", " ")
    return FIELD_WORDS.get(field, field.replace("_", " "))


def show_value(value: object, unit: str, field: str = "") -> str:
    """A claim's value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if unit in _COUNTED or field in _COUNTED or (unit == "tokens" and field == "training_tokens"):
        return show_count(value)
    if unit == "tokens":
        return f"{value:,.0f} tokens"
    if unit == "bytes":
        return f"{value / 1e9:g} GB" if value >= 1e8 else show_bytes(value)
    if unit.startswith("USD"):
        return f"${value:,.10g}{unit.removeprefix('USD')}"
    short = {"percent": "%", "x": "x", "rank": "", "count": "", "experts": ""}.get(unit, f" {unit}" if unit else "")
    return f"{'#' if unit == 'rank' else ''}{value:,.10g}{short}"


def statement(claim: Claim) -> str:
    """What a claim says, in a few words without its subject: `400B active parameters, at 4-bit`."""
    limits = [each for each in claim.qualifier.split(", ") if each]
    words, value = field_words(claim.field), show_value(claim.value, claim.unit, claim.field)
    value = " ".join([*(each for each in limits if each in _BEFORE), value])
    limits = [each for each in limits if each not in _BEFORE]
    if claim.field in ("status", "openness"):
        said = value
    elif claim.field == "exists":
        said = "exists" if claim.value is True or str(claim.value).lower() in ("true", "yes") else f"exists: {value}"
    elif claim.field.startswith("rule:"):
        said = f"{words}: {value}"
    elif claim.field == "architecture":
        said = f"{_KINDS.get(value, value)} architecture"
    elif claim.unit == "parameters" or claim.field in ("experts", "downloads", "likes", "stars"):
        said = f"{value} {words}"
    else:
        said = f"{words} {value}"
    # What the words say already, and a `from` of which nothing is told, limits nothing.
    limits = [each for each in limits if each not in ("from", str(claim.value))]
    return ", ".join(dict.fromkeys((said, *limits)))


def cut(text: str, most: int) -> str:
    """At most so many letters of a text, cut between words: half a number would be another one."""
    if len(text) <= most:
        return text
    return text[:most].rpartition(" ")[0].rstrip() + " …"
