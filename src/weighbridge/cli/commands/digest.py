"""What was released, which claims about it hold, and what it means for the models that you run.

Sources are followed (`[digest] sources` in the settings, or --source), their claims are checked against facts,
arithmetic and each other, and what is recorded is published: as Markdown on stdout, and as a page, a feed or a vault of
linked notes. Each figure leads to the claim or the fact that it is from. A gathering that is stopped goes on where it
was; --offline reads files alone, and the record.

example:
  weigh digest --source file:posts --offline --html digest.html
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from weighbridge import catalogue, hub
from weighbridge.catalogue import Catalogue
from weighbridge.cli import output
from weighbridge.cli.digest_places import Places
from weighbridge.cli.state_folders import EVALS
from weighbridge.digest import Knowledge, publishing
from weighbridge.digest.assembly import Mine, Surroundings
from weighbridge.digest.edition import Edition
from weighbridge.digest.fetching import Fetcher, Manners
from weighbridge.digest.gathering import gather
from weighbridge.digest.knowledge.own import recall
from weighbridge.digest.prose import with_prose
from weighbridge.digest.record import Record
from weighbridge.digest.sources import Endpoints, Reader, Source, source
from weighbridge.digest.tracing import Untraceable
from weighbridge.digest.verifying import read_files
from weighbridge.digest.week import make_edition
from weighbridge.errors import BadPage, BadSetting, StateDamaged, WeighbridgeError
from weighbridge.evals import read_log
from weighbridge.facts import HubAccess
from weighbridge.openai_api import Client
from weighbridge.settings import Settings, load
from weighbridge.store import Store

_DAYS = 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument(
        "--source", action="append", default=[], metavar="KIND:WHAT",
        help="read this and tell of it alone: hf:trending, github:OWNER/REPOSITORY, feed:URL, arxiv:QUERY, web:URL, "
        "file:PATH; may be repeated",
    )  # fmt: skip
    parser.add_argument("--since", type=_day, metavar="DAY", help="first day (default: a week before the last)")
    parser.add_argument("--until", type=_day, metavar="DAY", help="last day (default: today; offline: the newest read)")
    parser.add_argument("--vault", type=Path, metavar="DIR", help="write linked notes; your own words in them stay")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page")
    parser.add_argument("--feed", type=Path, metavar="FILE", help="go on with a feed: .json, else Atom")
    parser.add_argument("--offline", action="store_true", help="ask no server: files and the record alone")
    parser.add_argument("--no-gather", action="store_true", help="read no source: publish what is recorded")
    parser.add_argument(
        "--machine", action="append", default=[], metavar="TEXT", help='another machine to fit: "rtx 4090"; repeatable'
    )
    parser.add_argument(
        "--prose", metavar="MODEL", help="have a model of the gateway write an introduction, and check it"
    )
    parser.add_argument("--json", action="store_true", help="print the edition as JSON instead of Markdown")
    parser.add_argument("--quiet", action="store_true", help="print nothing where files are written")
    parser.add_argument("--config", metavar="FILE", help="a TOML file of settings")


def _day(text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day like 2026-04-19") from None


def run(arguments: argparse.Namespace) -> int:
    """Gather, check, publish."""
    settings = load(config=arguments.config)
    now = datetime.datetime.now(datetime.UTC)
    named = [source(text) for text in arguments.source]
    sources = named or [source(text) for text in settings.digest.sources]
    if arguments.offline:
        sources = [each for each in sources if each.is_local]
    today = now.date()
    since = arguments.since or _before(today.isoformat())
    with Store(settings.state_path) as store:
        record = Record(store)
        notes = [] if arguments.no_gather else _gather(record, sources, settings, since, now)
        texts = [each.text for each in named]
        since, until = _window(record, texts, arguments, today.isoformat())
        edition = _edition(record, settings, since, until, arguments, texts, notes)
        try:
            if arguments.prose:
                edition = _with_prose(record, edition, settings, arguments.prose)
            _publish(edition, arguments)
            shown = output.to_json(edition) if arguments.json else publishing.markdown(edition)
        except Untraceable as error:
            raise BadPage(
                f"the digest states figures that no record holds: {error}",
                hint="this is a fault of weighbridge: report it",
            ) from error
    if not (arguments.quiet and (arguments.html or arguments.vault or arguments.feed)):
        print(shown, end="" if shown.endswith("\n") else "\n")
    if not edition.pages and not edition.cards and not edition.moves:
        output.tell(f"nothing is recorded from {since} to {until}")
        output.tell("  name a source: weigh digest --source file:posts, or hf:trending")
        return 1
    return 0


def _window(record: Record, named: Sequence[str], arguments: argparse.Namespace, today: str) -> tuple[str, str]:
    """The first and the last day: as asked for; of sources that were named, all their days; else a week."""
    days = record.page_days(named) if named else None
    if days and not (arguments.since or arguments.until):
        return min(days[0], _before(days[1])), days[1]
    is_past = arguments.offline or arguments.no_gather
    until = arguments.until or (days[1] if days else (record.newest_day() if is_past else None) or today)
    since = arguments.since or _before(until)
    if since > until:
        raise BadSetting(f"--since {since} is after --until {until}", hint="name the earlier day first")
    return since, until


def _before(until: str) -> str:
    """The first day of the week that ends on this one."""
    return (datetime.date.fromisoformat(until) - datetime.timedelta(days=_DAYS - 1)).isoformat()


def _gather(
    record: Record, sources: Sequence[Source], settings: Settings, since: str, now: datetime.datetime
) -> list[str]:
    access = HubAccess.from_environment(os.environ)
    told = settings.digest
    if access.offline and any(each.kind == "hf" for each in sources):
        output.tell("HF_HUB_OFFLINE is set: the hub is not asked")
        sources = [each for each in sources if each.kind != "hf"]
    manners = Manners(
        pause_seconds=told.pause_seconds,
        answer_seconds=told.timeout_seconds,
        private_hosts=told.private_hosts,
        contact=told.contact,
    )
    endpoints = Endpoints(
        hub=access.endpoint,
        hub_token=access.token,
        github=told.github_api,
        github_token=os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN") or None,
        arxiv=told.arxiv_api,
    )
    notes = []
    with Fetcher(manners, record) as fetcher:
        reader = Reader(fetcher, now.date().isoformat(), since, endpoints)
        outcomes = gather(record, sources, reader, now.isoformat(timespec="seconds"), output.tell)
    if not access.offline and any(each.kind == "hf" for each in sources):
        read_files(record, since, now.date().isoformat(), access, told.read_files, output.tell)
    for outcome in outcomes:
        for note in outcome.notes:
            output.tell(f"  not read: {note}")
            notes.append(note)
    return notes


def _edition(
    record: Record,
    settings: Settings,
    since: str,
    until: str,
    arguments: argparse.Namespace,
    named: Sequence[str],
    notes: Sequence[str],
) -> Edition:
    known = catalogue.load(settings.state_path)
    knowledge = Knowledge(known, recall(record))
    around = Surroundings(
        meant=lambda name: knowledge.meant(name).variants,
        catalogue=known,
        fits=Places(settings, until, arguments.machine),
        mine=_mine(settings, known),
        measured=_measured(settings),
        watch=settings.digest.watch,
        title=settings.digest.title,
    )
    return make_edition(record, since, until, around, knowledge, sources=named, notes=notes)


def _mine(settings: Settings, known: Catalogue) -> list[Mine]:
    """The models of the settings, and those that were used here, where the catalogue knows them."""
    names = {name: (table.source or name) for name, table in settings.models.items()}
    try:
        used = sorted(hub.last_used(settings.state_path))
    except StateDamaged:
        used = []
    for model in used:
        if not model.startswith(("/", "http")):
            names.setdefault(model, model)
    found: list[Mine] = []
    seen: set[str] = set()
    for name, origin in sorted(names.items()):
        try:
            variant = known.resolve(origin.partition("@")[0].partition(":")[0] if "/" in origin else Path(origin).stem)
        except WeighbridgeError:
            continue
        if variant.name not in seen:
            seen.add(variant.name)
            found.append(Mine(name, variant))
    return found


def _measured(settings: Settings) -> frozenset[str]:
    """Names of models for which a log of `weigh eval` is there."""
    found = set()
    folder = settings.state_path / EVALS
    for path in sorted(folder.rglob("*.jsonl"))[:1000] if folder.is_dir() else ():
        try:
            found.add(read_log(path, keep_ids=False).head.model)
        except WeighbridgeError:
            continue
    return frozenset(found)


def _publish(edition: Edition, arguments: argparse.Namespace) -> None:
    try:
        if arguments.html:
            arguments.html.write_text(publishing.html(edition), encoding="utf-8")
        if arguments.feed:
            before = arguments.feed.read_bytes() if arguments.feed.exists() else b""
            make = publishing.json_feed if arguments.feed.suffix.lower() == ".json" else publishing.atom
            arguments.feed.write_text(make(edition, before), encoding="utf-8")
    except OSError as error:
        raise BadPage(f"{error.filename}: {error.strerror}", hint="name a file that can be written") from error
    if arguments.vault:
        written = publishing.write_vault(edition, arguments.vault)
        for name in written.left:
            output.tell(f"{arguments.vault / name}.md: is not ours, or its marks are gone: left as it is")
        output.tell(
            f"{arguments.vault}: {len(written.made)} notes made, {len(written.changed)} changed, "
            f"{len(written.unchanged)} as they were"
        )


def _with_prose(record: Record, edition: Edition, settings: Settings, model: str) -> Edition:
    """With an introduction, where one passes the check."""

    def write(prompt: str) -> str:
        return asyncio.run(_answer(settings, model, prompt))

    try:
        return with_prose(record, edition, write, model)
    except Untraceable as error:
        output.tell(f"what {model} wrote is not published: no record holds {error}")
        return edition


async def _answer(settings: Settings, model: str, prompt: str) -> str:
    async with Client(settings.url, settings.api_key) as client:
        return "".join([piece.text async for piece in client.chat([{"role": "user", "content": prompt}], model)])
