"""lm-eval's way: the answer goes through filters, then must be the target, as its `exact_match` compares them."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weighbridge.errors import BadTask
from weighbridge.evals.score import Answer, Score
from weighbridge.evals.scorers._needs import targets
from weighbridge.evals.scorers.regex import compiled
from weighbridge.evals.task import Sample

Filter = Callable[[str], str]
_NOT_FOUND = "[invalid]"


@dataclass(frozen=True, slots=True)
class Filtered:
    """Case, punctuation, numbers and patterns are taken out of both texts where the task says so."""

    filters: tuple[Filter, ...]
    ignore_case: bool
    ignore_punctuation: bool
    ignore_numbers: bool
    ignored: tuple[re.Pattern[str], ...]

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0."""
        said = answer.text
        for each in self.filters:
            said = each(said)
        right = self._plain(said) in {self._plain(target) for target in targets(sample)}
        return Score(float(right), said)

    def _plain(self, text: str) -> str:
        for pattern in self.ignored:
            text = pattern.sub("", text)
        text = text.lower() if self.ignore_case else text
        taken = (string.punctuation if self.ignore_punctuation else "") + (string.digits if self.ignore_numbers else "")
        return text.translate(str.maketrans("", "", taken))


def _regex(settings: Mapping[str, Any]) -> Filter:
    pattern = compiled(str(settings.get("regex_pattern", r"#### (\-?[0-9\.\,]+)")))
    group, fallback = int(settings.get("group_select", 0)), str(settings.get("fallback", _NOT_FOUND))

    def find(text: str) -> str:
        found = pattern.findall(text)
        if not found or not -len(found) <= group < len(found):
            return fallback
        chosen = found[group]
        if isinstance(chosen, tuple):
            chosen = next((part for part in chosen if part), fallback)
        return str(chosen).strip()

    return find


def _map(settings: Mapping[str, Any]) -> Filter:
    table, default = dict(settings.get("mapping_dict", {})), settings.get("default_value")
    return lambda text: str(table.get(text, text if default is None else default))


_FILTERS: Mapping[str, Callable[[Mapping[str, Any]], Filter]] = {
    "regex": _regex,
    "map": _map,
    "take_first": lambda _: lambda text: text,
    "remove_whitespace": lambda _: lambda text: text.lstrip(),
    "lowercase": lambda _: lambda text: text.lower(),
    "uppercase": lambda _: lambda text: text.upper(),
}


def make(
    filters: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    filter: str = "",  # noqa: A002  (lm-eval's word)
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    ignore_numbers: bool = False,
    regexes_to_ignore: Sequence[str] = (),
) -> Filtered:
    """By the options of a task: `filters` are pipelines by name, of which `filter` is taken, or the first."""
    pipelines = dict(filters or {})
    if filter and filter not in pipelines:
        raise BadTask(f"the task has no filter {filter!r}", hint=f"it has: {', '.join(pipelines) or 'none'}")
    chosen = pipelines.get(filter) or next(iter(pipelines.values()), [])
    steps = []
    for settings in chosen:
        name = str(settings.get("function"))
        if name not in _FILTERS:
            raise BadTask(f"the filter {name!r} is not known", hint=f"there are: {', '.join(_FILTERS)}")
        steps.append(_FILTERS[name](settings))
    patterns = tuple(compiled(pattern) for pattern in regexes_to_ignore)
    return Filtered(tuple(steps), ignore_case, ignore_punctuation, ignore_numbers, patterns)
