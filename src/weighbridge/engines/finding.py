"""`Found`: whether an engine is here, in which version, and why not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """An engine by its module's name: `version` where it can be started here, else `reason` and `hint`."""

    name: str
    version: str | None = None
    reason: str | None = None
    hint: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it can be started here."""
        return self.reason is None
