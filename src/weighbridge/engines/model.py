"""`Model`: something to be served: a name, the engine that runs it, and what that engine must know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from weighbridge.facts import Card, ModelFacts
from weighbridge.fit import Plan


@dataclass(frozen=True, slots=True)
class Model:
    """A model by the name it is served under. `engine` names a module of this folder."""

    name: str
    engine: str
    card: Card = field(default_factory=Card)
    plan: Plan | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """What else the engine must know, e.g. `url` for `remote`, `tokens_per_second` for `fake`."""

    @property
    def facts(self) -> ModelFacts | None:
        """What the model is, where its files are at hand."""
        return self.plan.facts if self.plan else None
