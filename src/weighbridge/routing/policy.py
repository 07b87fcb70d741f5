"""`Policy`: what a request is worth: how quality is weighed against cost, time and energy, by which rules, where."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from weighbridge.errors import BadSetting
from weighbridge.openai_api import Request

from .needs import Needs

_CODE = re.compile(
    r"```|\bdef \w+\(|#include\b|</\w+>|\bclass \w+[:({]|\bfunction\b|;\s*\n|\b(?:python|javascript|typescript|rust|sql"
    r"|regex|bug|compile[rs]?|refactor|unit tests?|stack trace|pull request)\b",
    re.IGNORECASE,
)
_MATHS = re.compile(
    r"\$[^$\n]+\$|\\(?:frac|sum|int|sqrt)|\d\s*[-+*/^=×÷]\s*\d|\b(?:equation|integral|derivative|theorem|prove|solve|"
    r"calculate|how (?:many|much))\b",
    re.IGNORECASE,
)
_LOOKED_AT_LETTERS = 4000
CATEGORIES = ("code", "maths", "images", "tools", "schema", "long", "foreign", "any")
"""What a rule may speak of; `long` is over 8,000 tokens, `foreign` mostly letters beyond ASCII."""
_LONG_TOKENS = 8000
_FOREIGN_SHARE = 0.3


def categories(prompt: str, needs: Needs) -> frozenset[str]:
    """What a request is, by its form."""
    cut = prompt[:_LOOKED_AT_LETTERS]
    found = {"any"}
    found |= {"code"} if _CODE.search(cut) else set()
    found |= {"maths"} if _MATHS.search(cut) else set()
    found |= {"images"} if needs.vision else set()
    found |= {"tools"} if needs.tools else set()
    found |= {"schema"} if needs.json_schema else set()
    found |= {"long"} if needs.context_tokens > _LONG_TOKENS else set()
    if cut and sum(letter > "\x7f" for letter in cut) > _FOREIGN_SHARE * len(cut):
        found.add("foreign")
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests of a category, or of a recognised task, go to the first of these models that can serve them."""

    category: str
    """One of `CATEGORIES`, or `task:` and the name of a task in the evidence."""
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """How to choose. A worth is in points of quality (0 to 1) that one gives up for halving the other thing."""

    name: str = "auto"
    cost_worth: float = 0.01
    seconds_worth: float = 0.01
    energy_worth: float = 0.005
    rules: tuple[Rule, ...] = ()
    """Asked in this order, before any evidence."""
    licences: frozenset[str] | None = None
    """SPDX identifiers that may answer, in lower case; None: all."""
    places: frozenset[str] | None = None
    """Where data may go (`here`, a country, a host), in lower case; None: anywhere."""
    cascade: bool = False
    """Ask the cheapest that may do first, and escalate when it is unsure."""
    cascade_models: tuple[str, ...] = ()
    """Whom a cascade asks, in this order; of none the cheapest and the best are taken."""
    stickiness: float = 0.02
    """Points of quality that a conversation's warm cache is worth."""
    queue_worth: float = 0.02
    """Points of quality given up to find one waiting request fewer for each that a model answers at once."""

    @property
    def needs_task(self) -> bool:
        """Whether a rule asks for the task that a prompt is recognised as."""
        return any(rule.category.startswith("task:") for rule in self.rules)


POLICIES: Mapping[str, Policy] = {
    "auto": Policy(),
    "auto:fast": Policy("auto:fast", cost_worth=0.0, seconds_worth=0.1, energy_worth=0.0, queue_worth=0.1),
    "auto:best": Policy("auto:best", cost_worth=0.0, seconds_worth=0.0, energy_worth=0.0, stickiness=0.0,
                        queue_worth=0.0),
    "auto:cheap": Policy("auto:cheap", cost_worth=0.1, seconds_worth=0.0, energy_worth=0.05),
    "auto:cascade": Policy("auto:cascade", cascade=True),
}  # fmt: skip
"""What is always there."""


@dataclass(frozen=True, slots=True)
class Policies:
    """Named policies beside those that are always there."""

    named: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, request: Request) -> Policy | None:
        """The policy that a request's model names, None where it names none."""
        asked = request.model
        return self.named.get(asked) or self.named.get(asked.removeprefix("auto:")) or POLICIES.get(asked)

    @property
    def models(self) -> Mapping[str, frozenset[str]]:
        """The models that each named policy's rules speak of."""
        return {
            name: frozenset(model for rule in policy.rules for model in rule.models) | {*policy.cascade_models}
            for name, policy in self.named.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which a request may ask for one."""
        own = (f"auto:{name}" for name in self.named if name != "auto")
        return tuple(dict.fromkeys((*POLICIES, *own)))


def read_policies(table: Mapping[str, Mapping[str, object]]) -> Policies:
    """From a table as settings hold it: name -> fields of `Policy`; `rules` maps a category to a model or several.

    BadSetting names a key, category or value that cannot be.
    """
    return Policies({name: _policy(name, fields) for name, fields in table.items()})


def _policy(name: str, fields: Mapping[str, object]) -> Policy:
    known: dict[str, object] = {"name": name}
    numbers = {"cost_worth", "seconds_worth", "energy_worth", "stickiness", "queue_worth"}
    for key, value in fields.items():
        where = f"policy {name}: {key}"
        if key in numbers:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise BadSetting(f"{where} is {value!r}", hint="expected points of quality, 0 to 1")
            known[key] = float(value)
        elif key == "cascade":
            if isinstance(value, bool):
                known[key] = value
                continue
            models = _texts(value, where)
            if len(models) != 2:
                raise BadSetting(
                    f"{where} is {value!r}", hint="expected true, false, or two models: the small one first"
                )
            known |= {"cascade": True, "cascade_models": models}
        elif key in ("licences", "places"):
            known[key] = frozenset(text.casefold() for text in _texts(value, where))
        elif key == "rules":
            known[key] = _rules(value, where)
        else:
            parts = sorted({*numbers, "cascade", "licences", "places", "rules"})
            near = difflib.get_close_matches(key, parts, n=1, cutoff=0.5)
            raise BadSetting(
                f"{where} is no part of a policy",
                hint=f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(parts)}",
            )
    return Policy(**known)  # type: ignore[arg-type]


def _texts(value: object, where: str) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not listed or not all(isinstance(each, str) for each in listed):
        raise BadSetting(f"{where} is {value!r}", hint="expected a text or a list of texts")
    return tuple(listed)


def _rules(value: object, where: str) -> tuple[Rule, ...]:
    if not isinstance(value, Mapping):
        raise BadSetting(f"{where} is {value!r}", hint='expected a table, like: code = "qwen-coder"')
    for category in value:
        if category not in CATEGORIES and not str(category).startswith("task:"):
            raise BadSetting(
                f"{where}: {category!r} is no category", hint=f"there are: {', '.join(CATEGORIES)}, and task:NAME"
            )
    return tuple(Rule(str(category), _texts(models, f"{where}.{category}")) for category, models in value.items())
