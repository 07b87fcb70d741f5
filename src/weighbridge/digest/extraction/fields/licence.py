"""Under which licence a model is given out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from ..licences import identifier, licences
from ..scene import Found, Scene

NEEDS_NUMBER = False
STEMS = (
    "agpl apache bespoke bigcode bigscience bsd cc community creativeml custom deepseek falcon gemma gpl lgpl "
    "llama mistral mit mnpl modified mozilla mpl mrl nicht non nvidia open-rail openmdw openrail proprietary "
    "qwen research tii tongyi unlicense wtfpl"
)
_GENERAL = re.compile(
    r"\b(?:licen[cs]es? (?:like|such as)|both|models (?:under|released under|with)|as opposed to|all have "
    r"different|each have)\b"
)
_LABEL = re.compile(r"\b(?:licen[cs]e|lizenz|terms)\b")
# The licence that a model had before.
_LEFT = re.compile(
    r"\b(?:drop(?:s|ped|ping)?|replac(?:es|ed|ing)|abandon\w*|mov(?:es|ed|ing) (?:away )?from|switch(?:es|ed"
    r"|ing) from|chang(?:es|ed|ing) from|away from|from|"
    r"unlike|instead of|rather than|contrasts? (?:with|to)|compared (?:to|with)|opposed to)\s"
    r"(?:(?!under )[\w'’-]+ ){0,3}$"
)
# In a column of licences a house stands for its own.
_HOUSES = re.compile(
    r"(?:meta |meta's )?(llama)(?: ?\d(?:\.\d)?)?|(?:google |google's )?(gemma)|(deepseek)|tongyi (qian)wen"
)
_CODE = re.compile(r"\b(?:code|codebase|repository|scripts|inference code|source code)\b[^.,;]{0,30}$")
_WEIGHTS = re.compile(r"\b(?:weights|model|checkpoints?)\b[^.,;]{0,40}$")


def find(scene: Scene) -> Iterator[Found]:
    """`licence`."""
    labelled = bool(_LABEL.search(scene.label))
    seen = set()
    named = list(licences(scene.low, scene.start, scene.end))
    if len({name for _, _, name, _ in named}) > 2 or _is_listing(scene, named):
        # A list of licences speaks of licences.
        return
    for start, end, name, kind in named:
        if name in seen or scene.is_negated(start) or _LEFT.search(scene.before(start, 60)):
            continue
        before = scene.before(start, 60)
        if scene.low[start:end].startswith("mrl") and not (labelled or "licen" in scene.words):
            # Matryoshka representations, not Mistral's licence.
            continue
        if kind == "mit" and not (labelled or _is_mit(scene, start, end, before)):
            continue
        if scene.words[start - scene.start : end - scene.start] == "research use" and not re.search(
            r"\b(?:limited|restricted|confined|only)(?: to| for)? $", before
        ):
            continue
        if kind in ("custom", "research", "noncommercial") and _is_general(scene, start, before):
            continue
        seen.add(name)
        qualifiers = ("code",) if _CODE.search(before) and not _WEIGHTS.search(before) else ()
        yield Found("licence", name, start, end, qualifiers=qualifiers)
    if not seen:
        yield from _of_label(scene, labelled=labelled)


def _of_label(scene: Scene, *, labelled: bool) -> Iterator[Found]:
    """What a cell or a label's value says that names no licence itself."""
    if scene.words.strip(" *_`.") in ("yes", "✓", "✅", "✔", "true"):
        # A column headed `Apache 2.0`.
        for _, _, name, _ in licences(scene.label, 0, len(scene.label)):
            yield Found("licence", name, scene.start, scene.end)
            return
    if labelled and "open weights" in scene.words:
        # No licence's name: it tells that the weights lie open.
        yield Found("openness", "open-weights", scene.start, scene.end)
        return
    if labelled and scene.end - scene.start < 70:
        house = _HOUSES.fullmatch(scene.words.strip("*_` []"))
        if house is not None:
            name = {"qian": "qwen"}.get(house[house.lastindex or 1], house[house.lastindex or 1])
            yield Found("licence", name, scene.start, scene.end)
            return
        plain = identifier(scene.text[scene.start : scene.end].strip("*_` []"))
        plain = "research-only" if plain == "research" else plain
        if plain is not None and plain not in ("yes", "no", "open", "custom-license", "n/a", "-"):
            yield Found("licence", plain, scene.start, scene.end)


def _is_listing(scene: Scene, named: list[tuple[int, int, str, str]]) -> bool:
    """`Apache-2.0, MIT, Llama-3, Custom`: a model's name in a list of licences stands for its licence."""
    if len(named) < 2:
        return False
    gaps = [scene.low[one[1] : other[0]] for one, other in itertools.pairwise(named)]
    behind = next((mention for mention in scene.mentions if mention.start >= named[-1][1]), None)
    return behind is not None and all(
        gap.strip("` \"'") in (",", "/", "|") for gap in (*gaps, scene.low[named[-1][1] : behind.start])
    )


def _is_general(scene: Scene, start: int, before: str) -> bool:
    """Whether it is said of licences in general: `deploying a research-only model`."""
    return bool(_GENERAL.search(scene.words)) or bool(re.search(r"\b\w+ing (?:an?|any) $", before))


def _is_mit(scene: Scene, start: int, end: int, before: str) -> bool:
    after = scene.after(end, 14)
    if re.match(r"['’]?s?[\s-]*(?:licen[cs]|terms|lizenz)", after):
        return True
    if scene.text[start:end] != "MIT":
        return False
    if any(scene.low[end : mention.start] == " for " for mention in scene.mentions if mention.start > end):
        # `MIT for Phi-4`, at the beginning of a clause.
        return not before.strip(" ;.") or before.rstrip()[-1] in ";.,"
    return bool(
        re.search(r"(?:\bunder(?: the| an| a)?|\(|[/|,:–—]|licen[cs]ed|licen[cs]e is|unter(?: der)?)\s*$", before)
    ) and not re.match(r"\s(?:and|team|lab|media)", after)
