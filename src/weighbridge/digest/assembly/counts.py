"""Counts of an edition: over the record as a whole, and of the models whose likes and downloads moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from weighbridge.figures import Basis
from weighbridge.sizes import show_count

from ..edition import Line, Move
from ..found import Listing
from ..kept import Fact, KeptClaim, KeptPage
from ..movers import Mover, movers
from ..wording import COUNTED_WORDS
from .claims import ORDER
from .making import Making

_MOST_MOVES = 12


def tiles_of(
    making: Making, pages: Sequence[KeptPage], claims: Sequence[KeptClaim], listings: Sequence[Listing], key: str
) -> tuple[tuple[str, str, str, str], ...]:
    """Figure, what of, record, kind: what was read and how it stands."""
    rulings = Counter(kept.verdict.ruling for kept in claims if kept.verdict)
    counts = [("pages read", len(pages), "pages"), ("claims checked", sum(rulings.values()), "claims")]
    counts += [(COUNTED_WORDS[ruling], rulings[ruling], str(ruling)) for ruling in ORDER]
    counts += [("releases", len(listings), "releases")] if listings else []
    found = []
    for name, count, kind in counts:
        fact = making.counted(name, count, key)
        found.append((f"{count:,}", name, fact.id, kind))
    return tuple(found)


def moves_of(making: Making) -> tuple[tuple[Move, ...], Line]:
    """What gained most likes in these days, and of how many there are counts."""
    found = movers(making.record.series(until=making.until), making.since, making.until)
    moving = [mover for mover in found if mover.likes_gain is not None or mover.downloads_gain is not None]
    if not moving:
        return (), ()
    days = sorted({point.date for mover in found for point in mover.points})
    source = "; ".join(sorted({point.source for mover in moving for point in (mover.first, mover.last)}))
    text = f"{len(moving)} models were counted on more than one day from {days[0]} to {days[-1]}"
    [head] = making.keep(
        [Fact("this digest", "count:movers", len(moving), text, Basis.COMPUTED, source, f"{text}", making.until)]
    )
    return tuple(_move(making, mover) for mover in moving[:_MOST_MOVES]), making.told(head)


def _move(making: Making, mover: Mover) -> Move:
    first, last = mover.first, mover.last
    likes = _change(first.likes, last.likes)
    ratio = f" (x{mover.downloads_ratio:.2f})" if mover.downloads_ratio is not None else ""
    downloads = _change(first.downloads, last.downloads, brief=True) + ratio
    text = f"likes {likes}; downloads a month {downloads}; {first.date} to {last.date}"
    value = {
        "likes": [first.likes, last.likes], "downloads": [first.downloads, last.downloads],
        "days": [first.date, last.date],
    }  # fmt: skip
    sources = "; ".join(sorted({first.source, last.source}))
    [fact] = making.keep(
        [Fact(mover.model, "mover", value, text, Basis.COMPUTED, f"counts shown by {sources}", text, last.date)]
    )
    points = tuple((point.date, point.likes) for point in mover.points if point.likes is not None)
    return Move(mover.model, fact.id, likes, downloads, points, mover.is_new)


def _change(first: int | None, last: int | None, *, brief: bool = False) -> str:
    if first is None or last is None:
        return "not known"
    show = show_count if brief else "{:,}".format
    return f"{show(first)} to {show(last)}" + ("" if brief else f" ({last - first:+,})")
