"""`movers(series)`: what gained and lost likes and downloads between two days, from the counts as they were shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from .found import Sighting


@dataclass(frozen=True, slots=True)
class Mover:
    """A model's counts on the first and the last day of a window on which both are known.

    A hub's downloads are of the last thirty days, so their difference is a change of pace, not a count of fetches.
    """

    model: str
    points: tuple[Sighting, ...]
    """All of the window, by day."""
    is_new: bool
    """Whether no count of it is known from before the window, though counts of others are."""

    @property
    def first(self) -> Sighting:
        """The first count of the window."""
        return self.points[0]

    @property
    def last(self) -> Sighting:
        """The last count of the window."""
        return self.points[-1]

    @property
    def days(self) -> int:
        """From the first count to the last."""
        return (date.fromisoformat(self.last.date) - date.fromisoformat(self.first.date)).days

    @property
    def likes_gain(self) -> int | None:
        """Likes on the last day less those on the first; None where one is not known, or there is one day only."""
        return _gain(self.first.likes, self.last.likes) if self.days else None

    @property
    def downloads_gain(self) -> int | None:
        """The same of downloads."""
        return _gain(self.first.downloads, self.last.downloads) if self.days else None

    @property
    def downloads_ratio(self) -> float | None:
        """Downloads on the last day over those on the first; None where these are not known, or none."""
        if not self.days or not self.first.downloads or self.last.downloads is None:
            return None
        return self.last.downloads / self.first.downloads


def _gain(first: int | None, last: int | None) -> int | None:
    return None if first is None or last is None else last - first


def movers(series: Iterable[Sighting], since: str, until: str) -> list[Mover]:
    """Every model that was counted between two days (both included), the most gain in likes first, then downloads, then
    by name; those without a gain last. `series` may hold older counts: they tell who is new."""
    found = []
    points = sorted(series, key=lambda point: (point.model, point.date))
    oldest = min((point.date for point in points), default=until)
    for model, group in groupby(points, key=lambda point: point.model):
        known = list(group)
        inside = tuple(point for point in known if since <= point.date <= until)
        if inside:
            found.append(Mover(model, inside, is_new=known[0].date >= since and oldest < since))
    return sorted(
        found,
        key=lambda mover: (
            mover.likes_gain is None,
            -(mover.likes_gain or 0),
            -(mover.downloads_gain or 0),
            mover.model,
        ),
    )
