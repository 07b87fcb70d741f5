"""Figures that say how they were come by: `Figure` is one number, `Range` is a low and a high one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Basis(StrEnum):
    """How a number was come by, from the surest to the least sure."""

    READ = "read"
    """The system, the driver or the file itself says so."""
    MEASURED = "measured"
    """Observed here, by running what it is about."""
    COMPUTED = "computed"
    """Derived from numbers that were read or measured, by a formula whose source is named."""
    STATED = "stated"
    """A data sheet or a publication says so."""
    ASSUMED = "assumed"
    """A rule of thumb, where nothing better is known."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number; its unit is told by the field that holds it."""

    value: float
    basis: Basis
    source: str | None = None
    """Where it comes from: a driver's function, a data sheet, a measurement and its day."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number that lies between `low` and `high`."""

    low: float
    high: float
    basis: Basis
    source: str | None = None
