"""`hf:trending`, `hf:recent`, `hf:org/NAME`: models as the Hugging Face hub lists them, with the cards of new ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from weighbridge.digest.cleaning import clean_line
from weighbridge.digest.dates import day_of
from weighbridge.digest.found import Listing, Sighting, Step
from weighbridge.digest.page import Page
from weighbridge.digest.reading import page_of
from weighbridge.errors import BadPage, BadSetting, SourceUnreachable

from .reader import Reader

HINT = "hf:trending, hf:recent, hf:org/NAME"
_SORTS = {"trending": "trendingScore", "recent": "lastModified"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_FIELDS = (
    "createdAt", "lastModified", "likes", "downloads", "tags", "pipeline_tag", "gated", "baseModels", "library_name",
)  # fmt: skip
_MOST_PAGES = 4
_MOST_CARDS = 15
_MOST_CARD_BYTES = 1 << 20


def check(what: str) -> None:
    """One of the three forms."""
    kind, _, name = what.partition("/")
    if what not in _SORTS and not (kind == "org" and _NAME.fullmatch(name)):
        raise BadSetting(f"hf:{what[:100]} is no listing of the hub", hint=HINT)


def read(what: str, reader: Reader, cursor: str | None) -> Iterator[Step]:
    """A step a page of the listing, then one for each card of what is new in it."""
    new: list[str] = []
    if cursor and cursor.startswith("cards "):
        new = cursor.split()[1:]
    else:
        for listed, more in _listings(what, reader, cursor):
            items = [item for entry in listed for item in _items(entry, reader)]
            new += [
                item.name
                for item in items
                if isinstance(item, Listing) and item.released and item.released >= (reader.since or reader.day)
            ]
            new = new[:_MOST_CARDS]
            yield Step(tuple(items), more or (" ".join(["cards", *new]) if new else None))
    for at, name in enumerate(new):
        yield _card(name, reader, " ".join(["cards", *new[at + 1 :]]) if new[at + 1 :] else None)


def _listings(what: str, reader: Reader, cursor: str | None) -> Iterator[tuple[list[dict[str, Any]], str | None]]:
    """The hub's entries, a page at a time, with the address of the next page."""
    endpoint = reader.endpoints.hub.rstrip("/")
    query: list[tuple[str, object]] = [("limit", min(reader.most, 100)), *(("expand[]", name) for name in _FIELDS)]
    sort = _SORTS.get(what, "createdAt")
    query += [("sort", sort), ("direction", -1)] + ([] if what in _SORTS else [("author", what.partition("/")[2])])
    address: str | None = cursor or f"{endpoint}/api/models?{urlencode(query)}"
    taken = 0
    for _ in range(_MOST_PAGES):
        # A cursor is the hub's own word: it leads nowhere else.
        if address is None or not address.startswith(f"{endpoint}/api/models?"):
            return
        headers = {"Authorization": f"Bearer {reader.endpoints.hub_token}"} if reader.endpoints.hub_token else {}
        # Counts are wanted of each day, also where nothing else changed.
        answer = reader.fetcher.get(address, accept="application/json", headers=headers, conditional=False)
        if answer is None:
            return
        try:
            entries = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise SourceUnreachable(f"hf:{what}: the hub's answer is no JSON", hint="try later") from error
        listed = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        listed = listed[: reader.most - taken]
        taken += len(listed)
        address = answer.links.get("next") if taken < reader.most and listed else None
        yield listed, address


def _items(entry: Mapping[str, Any], reader: Reader) -> list[Listing | Sighting]:
    name = entry.get("id") or entry.get("modelId")
    if not isinstance(name, str) or not _REPOSITORY.fullmatch(name):
        return []
    endpoint = reader.endpoints.hub.rstrip("/")
    tags = [clean_line(tag, 200) for tag in entry.get("tags") or () if isinstance(tag, str)][:200]
    told = {
        "licence": _tagged(tags, "license:"),
        "base_model": _base(entry, tags),
        "modality": clean_line(entry.get("pipeline_tag"), 60),
        "file_formats": " ".join(tag for tag in ("safetensors", "gguf", "mlx", "onnx") if tag in tags),
        "gated": clean_line(entry["gated"], 20) if isinstance(entry.get("gated"), str) else "",
    }
    listing = Listing(
        name,
        "model",
        f"{endpoint}/{name}",
        day_of(entry.get("createdAt")),
        f"{endpoint}/api/models",
        {field: value for field, value in told.items() if value},
        reader.day,
    )
    counts = _count(entry.get("likes")), _count(entry.get("downloads"))
    return [listing, Sighting(name, reader.day, *counts, f"{endpoint}/api/models")]


def _tagged(tags: list[str], prefix: str) -> str:
    return next((tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)), "")


def _base(entry: Mapping[str, Any], tags: list[str]) -> str:
    """What it was made from, with how (`quantized`, `finetune`) where the hub tells."""
    found = entry.get("baseModels")
    if isinstance(found, dict) and isinstance(found.get("models"), list) and found["models"]:
        first = found["models"][0]
        name = clean_line(first.get("id"), 200) if isinstance(first, dict) else ""
        relation = clean_line(found.get("relation"), 30)
        return f"{name} ({relation})" if name and relation else name
    return next(
        (tag.removeprefix("base_model:") for tag in tags if tag.startswith("base_model:") and tag.count(":") == 1), ""
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else None


def _card(name: str, reader: Reader, cursor: str | None) -> Step:
    """What the maker says of it."""
    endpoint = reader.endpoints.hub.rstrip("/")
    headers = {"Authorization": f"Bearer {reader.endpoints.hub_token}"} if reader.endpoints.hub_token else {}
    try:
        answer = reader.fetcher.get(
            f"{endpoint}/{name}/raw/main/README.md", accept="text/plain", headers=headers, most_bytes=_MOST_CARD_BYTES
        )
        if answer is None:
            return Step((), cursor)
        found = page_of(answer.body, f"{endpoint}/{name}", "markdown", fetched=reader.day)
    except (SourceUnreachable, BadPage) as error:
        return Step((), cursor, (str(error),))
    return Step((Page(found.address, found.text, found.title or name, None, reader.day, found.links),), cursor)
