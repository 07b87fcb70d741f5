"""How fast, and how much faster; how much smaller."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..quantities import Quantity, Unit
from ..scene import Found, Scene

NEEDS_NUMBER = True
STEMS = ""
_FASTER = re.compile(
    r"[\s-]*(?:(?:more|higher|the|its|decode|decoding|inference|prefill|generation|token|serving|training"
    r"|output|greater|a|wall-clock|end-to-end) )*"
    r"(?:faster|(?:\w+ ){0,2}acceleration|speed-?ups?|speeds?|throughput|quicker|acceleration|schneller|lower "
    r"latency|tokens per second)\b"
)
_FASTER_BEFORE = re.compile(
    r"\b(?:speed-?ups?|faster|throughput|speeds?(?: up)?|accelerat\w+|latency|quicker)(?: \w+){0,5}?(?: by| of"
    r"| to| roughly| about| up to| is| a factor of|:)*\s*$"
)
_SMALLER = re.compile(
    r"[\s-]*(?:\w+ ){0,3}(?:compression|smaller|compress\w*|less memory|reduction in (?:\w+ ){0,3}(?:size"
    r"|memory|cache)|memory (?:reduction|savings?)|"
    r"(?:cache|memory|size) (?:reduction|savings?|compression)|kleiner)\b"
)
_SMALLER_BEFORE = re.compile(
    r"\b(?:compress(?:es|ed|ion|ing)?(?: ratio)?|shrinks?|shrunk|shrinking|reduc(?:es|ed|ing) (?:\w+ "
    r"){0,4}(?:memory|size|cache|footprint)|smaller)"
    r"(?: \w+){0,6}?(?: by| of| to| roughly| about|:)*\s*$"
)
_IN_TRAINING = re.compile(r"\b(?:training run|training throughput|trained (?:at|with) )")
_BEFORE = re.compile(r"\b(?:up|down) from [^.;]{0,24}$")
_FACTOR = re.compile(r"\b(?:a|by) factor of (?:about |roughly |up to )?$")
_RATIO = re.compile(r"(?<![\w.:])(\d{1,3}(?:\.\d{1,2})?):1(?![\d:])")

_RATE = re.compile(r"\b(?:tok(?:en)?s?\s?/\s?s|t/s\b|tps\b|tok(?:en)?s per second)")


def find(scene: Scene) -> Iterator[Found]:
    """`speed` (tokens/s, or x), `compression` (x)."""
    for each in scene.quantities:
        if each.unit is Unit.SPEED and not _is_other(scene, each):
            yield Found("speed", each.value, each.start, each.end, "tokens/s", (each.bound,) if each.bound else ())
        elif _is_ratio(scene, each) and 1 < each.value < 10_000 and not scene.is_negated(each.start):
            field = _field(scene, each.start, each.end)
            if field is not None:
                qualifiers = [each.bound] if each.bound else []
                if each.low is not None:
                    qualifiers.append(f"from {each.low:g}")
                yield Found(field, each.value, each.start, each.end, "x", tuple(qualifiers))
        elif each.unit is Unit.NONE and _RATE.search(scene.label):
            yield Found("speed", each.value, each.start, each.end, "tokens/s")
    if ":1" in scene.words and "compress" in scene.words:
        for match in _RATIO.finditer(scene.words):
            start, end = scene.start + match.start(), scene.start + match.end()
            yield Found("compression", float(match[1]), start, end, "x")


def _is_other(scene: Scene, each: Quantity) -> bool:
    """Whether it is a training run's, or what the speed was before."""
    return bool(_IN_TRAINING.search(scene.words) or _BEFORE.search(scene.before(each.start, 40)))


def _is_ratio(scene: Scene, each: Quantity) -> bool:
    """`2.5x`, or `by a factor of 2.5`."""
    if each.unit is Unit.TIMES:
        return True
    return each.unit is Unit.NONE and not each.magnitude and _FACTOR.search(scene.before(each.start, 24)) is not None


def _field(scene: Scene, start: int, end: int) -> str | None:
    after, before = scene.after(end, 60), scene.before(start, 70)
    if _FASTER.match(after):
        return "speed"
    if _SMALLER.match(after):
        is_relative = " smaller" in after[:24] and not re.search(r"compress|quanti[sz]|memory|cache|bit\b", scene.words)
        return None if is_relative else "compression"
    if _FASTER_BEFORE.search(before):
        return "speed"
    if _SMALLER_BEFORE.search(before):
        return "compression"
    return None
