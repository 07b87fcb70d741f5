"""`Model`: something to be served: a name, the engine that runs it, and what that engine must know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weighbridge.errors import BadSetting
from weighbridge.facts import Card
from weighbridge.sizes import parse_bytes

if TYPE_CHECKING:
    # A model elsewhere has no plan: what makes one is not loaded for it.
    from weighbridge.facts import ModelFacts
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

    @property
    def need(self) -> Mapping[str, int]:
        """Bytes that it takes of each place while it is loaded: `memory`, `gpu0`, `gpu1`, ... in the machine's order.

        By its plan, or by the option `memory_bytes`; nothing of what is not known, or lies elsewhere. BadSetting if the
        option is no size.
        """
        if self.plan is None:
            told = self.options.get("memory_bytes", "0")
            try:
                size = parse_bytes(told)
            except ValueError as error:
                raise BadSetting(f"{self.name}: memory_bytes: {error}", hint="e.g. memory_bytes=64MiB") from error
            return {"memory": size} if size else {}
        needs: dict[str, int] = {}
        for device in self.plan.devices:
            on_host = device.index is None or device.index in self.plan.unified
            place = "memory" if on_host else f"gpu{device.index}"
            needs[place] = needs.get(place, 0) + device.memory.total
        return needs
