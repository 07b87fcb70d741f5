"""`read_files()`: what new models really are, by the headers of their own files; the record learns it once."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable

from weighbridge import facts
from weighbridge.errors import WeighbridgeError
from weighbridge.facts import HubAccess, ModelFacts

from .knowledge.own import facts_of_file, of_repository
from .record import Record


def read_files(
    record: Record,
    since: str,
    until: str,
    access: HubAccess,
    most: int,
    tell: Callable[[str], None] = lambda _: None,
    read: Callable[[str], ModelFacts] | None = None,
) -> int:
    """Read the headers of at most `most` models that the hub listed as new in these days, those that are liked most
    first, and record what they say; how many were read. What cannot be read is told, and left for the next time."""
    read = read or functools.partial(facts.read, access=access)
    likes = {point.model: point.likes or 0 for point in record.series(until=until)}
    listed = [each for each in record.listings(since, until) if each.kind == "model"]
    listed.sort(key=lambda each: (-likes.get(each.name, 0), each.name))
    count = 0
    for listing in listed[:most]:
        if of_repository(record, listing.name):
            continue
        try:
            found = read(listing.name)
        except WeighbridgeError as error:
            tell(f"{listing.name}: its files were not read: {error}")
            continue
        record.keep_facts(facts_of_file(found, listing.name, datetime.date.fromisoformat(until)))
        count += 1
    return count
