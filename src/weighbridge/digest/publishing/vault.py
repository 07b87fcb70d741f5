"""An edition as a vault of linked notes in the style of Obsidian: a map of content, a note a family, a note a day, and
the digest itself. What a note holds outside the marked region is its reader's, and stays.

    %% weighbridge:begin %%
    what the next digest writes anew
    %% weighbridge:end %%
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from weighbridge.digest.edition import Edition, Line
from weighbridge.digest.found import OWN
from weighbridge.digest.tracing import figures
from weighbridge.digest.verdict import Ruling
from weighbridge.errors import BadPage
from weighbridge.whole_files import write_whole

from .markdown import Writing, brief, bullets, cards, checked, escape, findings, markdown

BEGIN, END = "%% weighbridge:begin %%", "%% weighbridge:end %%"
_PART = re.compile(r"^%% weighbridge:(\S+) %%$", re.MULTILINE)
_MOST_BYTES = 16 << 20
# Letters that a file system, or Obsidian in links, does not take.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\\/:*?\"<>|#^\[\]%]+")
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a vault's notes."""

    made: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    left: tuple[str, ...]
    """Notes of these names that are not ours, or whose marks were taken away: nothing in them was touched."""


def write_vault(edition: Edition, folder: Path) -> Written:
    """Write the notes, each whole or not at all. Raises Untraceable, before anything is written; BadPage for a folder
    that cannot be written."""
    notes = _notes(edition)
    for body in notes.values():
        checked(body.text, edition)
    outcome: dict[str, list[str]] = {"made": [], "changed": [], "unchanged": [], "left": []}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        root = folder.resolve()
        for name, note in notes.items():
            outcome[_write(root, root / f"{name}.md", note)].append(name)
    except OSError as error:
        raise BadPage(
            f"{error.filename or folder}: {error.strerror or error}", hint="choose a folder of your own"
        ) from error
    return Written(**{kind: tuple(names) for kind, names in outcome.items()})


@dataclass(frozen=True, slots=True)
class _Note:
    front: Mapping[str, object]
    heading: str
    text: str
    part: str = ""
    """A family's and a day's notes hold a part for each edition: this is its name."""


def file_name(name: str) -> str:
    """A name as a file's, that links can name: no signs that file systems or links take otherwise, and not hidden."""
    plain = " ".join(_NOT_IN_NAMES.sub(" ", unicodedata.normalize("NFC", name)).split()).strip(". ")[:100]
    return f"{plain or 'unnamed'} note" if not plain or _RESERVED.match(plain) else plain


def _notes(edition: Edition) -> dict[str, _Note]:
    """All notes by their path without `.md`."""
    span = f"{edition.since} to {edition.until}"
    digest = f"Digests/{span}"
    notes = {digest: _digest_note(edition)}
    for family in edition.families():
        notes[f"Families/{file_name(family)}"] = _family_note(edition, family, digest)
    for day, lines in edition.days.items():
        notes[f"Days/{day}"] = _day_note(edition, day, lines, digest)
    notes[file_name(edition.title)] = _map_note(edition, digest)
    return notes


def _front(kind: str, **more: object) -> dict[str, object]:
    return {OWN: kind, "tags": ["open-weight-models", kind], **more}


def _digest_note(edition: Edition) -> _Note:
    text = markdown(edition)
    heading, _, body = text.partition("\n")
    links = " · ".join(f"[[{file_name(family)}]]" for family in edition.families())
    map_link = _traced(f"[[{file_name(edition.title)}]]", (), edition)
    return _Note(
        _front(
            "digest",
            since=datetime.date.fromisoformat(edition.since),
            until=datetime.date.fromisoformat(edition.until),
            title=f"{edition.title}: {edition.since} to {edition.until}",
        ),
        heading,
        f"{map_link}\n\n{_named(links, edition)}\n{body.strip()}",
    )


def _named(links: str, edition: Edition) -> str:
    """Links to families, whose names may hold digits."""
    records = [*(card.head[0].record for card in edition.cards if card.head), *(entry.id for entry in edition.entries)]
    return _traced(links, records, edition)


def _traced(text: str, records: Iterable[str], edition: Edition) -> str:
    """A heading or a line of links with a comment that names what holds its figures: as few of the records as do."""
    missing, named = set(figures(text)), []
    for record in dict.fromkeys((edition.head[0].record, *records)):
        held = missing & set(figures(edition.traces[record].words)) if record in edition.traces else set()
        if held:
            missing -= held
            named.append(record)
    return f"{text} <!-- {' '.join(named)} -->" if named else text


def _family_note(edition: Edition, family: str, digest: str) -> _Note:
    writing = Writing()
    models = [card for card in edition.cards if card.kind == "model" and card.family == family]
    mine = [entry for entry in edition.entries if entry.family == family]
    parts = [_digest_link(edition, digest)]
    parts += [f"### Models\n\n{cards(models, writing)}"] if models else []
    refuted = [each for each in edition.findings(Ruling.REFUTED) if each.entries[0].family == family]
    if refuted:
        parts.append(f"### What does not hold\n\n{findings(refuted, writing)}")
    for ruling, title in _TITLES.items():
        found = [entry for entry in mine if entry.ruling is ruling]
        if found:
            parts.append(f"### {title}\n\n{brief(found, writing)}")
    told = {day for entry in mine for witness in entry.witnesses for day in (witness.day, witness.told)}
    days = sorted(told & edition.days.keys())
    if days:
        records = [witness.claim for entry in mine for witness in entry.witnesses]
        parts.append(_traced(f"Told on or of {', '.join(f'[[{day}]]' for day in days)}", records, edition))
    parts.append(writing.footnotes(edition))
    records = [*(card.head[0].record for card in models if card.head), *(entry.id for entry in mine)]
    heading = _traced(f"# {escape(family)}", records, edition)
    return _Note(
        _front("family", family=family), heading, "\n\n".join(part for part in parts if part), part=_part(edition)
    )


_TITLES = {
    Ruling.EXPIRED: "What was true then", Ruling.SUPPORTED: "What holds",
    Ruling.PREDICTION: "Forecasts", Ruling.UNVERIFIABLE: "What cannot be checked",
}  # fmt: skip


def _part(edition: Edition) -> str:
    return f"{edition.since}..{edition.until}"


def _digest_link(edition: Edition, digest: str) -> str:
    return _traced(f"## [[{digest}|{edition.since} to {edition.until}]]", (), edition)


def _day_note(edition: Edition, day: str, lines: tuple[Line, ...], digest: str) -> _Note:
    writing = Writing()
    written = [entry for entry in edition.entries if any(witness.day == day for witness in entry.witnesses)]
    told = [entry for entry in edition.entries if any(witness.told == day for witness in entry.witnesses)]
    families = sorted({entry.family for entry in (*written, *told)}, key=str.lower)
    parts = [_digest_link(edition, digest)]
    parts += [f"### Read and released\n\n{bullets(lines, writing)}"] if lines else []
    parts += [f"### Told of this day\n\n{brief(told, writing)}"] if told else []
    parts += [f"### Written on this day\n\n{brief(written, writing)}"] if written else []
    if families:
        parts.append(_named("Families: " + ", ".join(f"[[{file_name(family)}]]" for family in families), edition))
    parts.append(writing.footnotes(edition))
    records = [*(span.record for line in lines for span in line), *(w.claim for e in told for w in e.witnesses)]
    heading = _traced(f"# {day}", records, edition)
    return _Note(_front("day", date=datetime.date.fromisoformat(day)), heading, "\n\n".join(parts), part=_part(edition))


def _map_note(edition: Edition, digest: str) -> _Note:
    """The way in: the newest digest at the top, families and days below."""
    writing = Writing()
    records = [card.head[0].record for card in edition.cards if card.head] + [entry.id for entry in edition.entries]
    rows = []
    for family in edition.families():
        told = [entry for entry in edition.entries if entry.family == family]
        models = sum(card.family == family and card.kind == "model" for card in edition.cards)
        about = ", ".join(filter(None, ["models" if models else "", "claims" if told else "", _worst(told)]))
        rows.append(_traced(f"- [[{file_name(family)}]]{f': {about}' if about else ''}", records, edition))
    days = []
    for day, lines in edition.days.items():
        speaking = [witness.claim for e in edition.entries for witness in e.witnesses if witness.told == day]
        records = [*(span.record for line in lines for span in line), *speaking]
        days.append(_traced(f"- [[{day}]]", records, edition))
    parts = [
        f"{_digest_link(edition, digest)}",
        " · ".join(f"**{figure}** {name}{writing.mark(record)}" for figure, name, record, _ in edition.tiles),
        "### For the models that you run\n\n" + bullets(edition.mine, writing) if edition.mine else "",
        "### Families\n\n" + "\n".join(rows) if rows else "",
        "### Days\n\n" + "\n".join(days) if days else "",
        writing.footnotes(edition),
    ]  # fmt: skip
    return _Note(
        _front("map"),
        _traced(f"# {escape(edition.title)}", (), edition),
        "\n\n".join(part for part in parts if part),
        part=_part(edition),
    )


def _worst(entries: Iterable[object]) -> str:
    return "some refuted" if any(getattr(entry, "ruling", None) is Ruling.REFUTED for entry in entries) else ""


def _write(root: Path, path: Path, note: _Note) -> str:
    """Write one note; what of it was there outside the region stays. What became of it."""
    path.parent.mkdir(exist_ok=True)
    if path.is_symlink() or not path.parent.resolve().is_relative_to(root):
        return "left"
    if not path.exists():
        write_whole(path, _front_text(note.front) + f"{note.heading}\n\n{BEGIN}\n{_with_part('', note)}\n{END}\n")
        return "made"
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    try:
        old = data.decode("utf-8")
    except UnicodeDecodeError:
        return "left"
    # A line end that an editor made stays as it is outside the region.
    start, stop = old.find(BEGIN), old.find(END)
    if len(data) > _MOST_BYTES or start < 0 or stop < start or old.count(BEGIN) != 1 or old.count(END) != 1:
        return "left"
    inside = old[start + len(BEGIN) : stop].replace("\r\n", "\n").strip("\n")
    new = f"{old[: start + len(BEGIN)]}\n{_with_part(inside, note)}\n{old[stop:]}"
    if new == old:
        return "unchanged"
    write_whole(path, new)
    return "changed"


def _with_part(inside: str, note: _Note) -> str:
    """The region with this edition's part in it: the newest first, those of other editions as they are."""
    if not note.part:
        return note.text
    pieces = _PART.split(inside)
    parts = dict(zip(pieces[1::2], (piece.strip("\n") for piece in pieces[2::2]), strict=True))
    parts[note.part] = note.text
    order = sorted(parts, key=lambda each: tuple(reversed(each.split(".."))), reverse=True)
    return "\n\n".join(f"%% weighbridge:{name} %%\n{parts[name]}" for name in order)


def _front_text(front: Mapping[str, object]) -> str:
    return f"---\n{yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=1000)}---\n"
