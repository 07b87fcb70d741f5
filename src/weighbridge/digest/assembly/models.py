"""Models and programs of an edition: what they are, where they run, and which could replace what the reader runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from weighbridge.catalogue import Variant
from weighbridge.figures import Basis
from weighbridge.sizes import show_bytes, show_count

from .. import about
from ..edition import Card, Entry, Line, Span
from ..found import Listing
from ..kept import Fact
from ..knowledge.own import of_repository
from ..licence_terms import terms_of
from ..verdict import Ruling
from .making import UNKNOWN, Making, Mine, Place

_MOST_LISTED, _MOST_RELEASED, _MOST_TOLD, _MOST_ROWS = 15, 15, 16, 12
_MOST_VARIANTS, _MOST_PLACED, _MOST_TRIED = 2, 12, 5
_KINDS = ("code", "vision", "reasoning", "embedding", "reranking", "chat")
_KIND_WORDS = {"code": "coder", "vision": "vision model", "reasoning": "reasoner", "embedding": "embedding model",
               "reranking": "reranker", "chat": "chat model"}  # fmt: skip


def cards_of(making: Making, entries: Sequence[Entry], listings: Sequence[Listing]) -> tuple[Card, ...]:
    """Releases of these days, then the models that were spoken of."""
    likes = {point.model: point.likes or 0 for point in making.record.series(until=making.until)}
    models = sorted(
        (each for each in listings if each.kind == "model"), key=lambda each: (-likes.get(each.name, 0), each.name)
    )
    chosen: dict[str, tuple[Variant | None, Listing | None]] = {}
    for listing in models[:_MOST_LISTED]:
        variant = next(iter(making.meant(listing.name)), None)
        chosen.setdefault(variant.name if variant else listing.name, (variant, listing))
    released = [
        each
        for each in making.around.catalogue
        if each.released and making.since <= each.released.value <= making.until
    ]
    released.sort(key=lambda each: (-(each.downloads.value if each.downloads else 0), each.name))
    for variant in released[:_MOST_RELEASED]:
        chosen.setdefault(variant.name, (variant, None))
    told: Counter[str] = Counter()
    by_name: dict[str, Variant] = {}
    for entry in entries:
        for variant in _best_known(making.meant(entry.subject)):
            told[variant.name] += len(entry.witnesses)
            by_name[variant.name] = variant
    for name, _ in sorted(told.items(), key=lambda each: (-each[1], each[0]))[:_MOST_TOLD]:
        chosen.setdefault(name, (by_name[name], None))
    variants = [variant for variant, _ in chosen.values() if variant is not None]
    places = making.around.fits(variants)
    cards = [_card(making, name, *what, places.get(name, ())) for name, what in chosen.items()]
    cards += [_program(making, listing) for listing in listings if listing.kind != "model"]
    return tuple(sorted(cards, key=lambda card: (not card.is_new, card.kind, _descending(card.day), card.name.lower())))


def _best_known(variants: Sequence[Variant]) -> list[Variant]:
    """Those of a name's variants that most people fetch."""
    return sorted(variants, key=lambda each: (-(each.downloads.value if each.downloads else 0), each.name))[
        :_MOST_VARIANTS
    ]


def _descending(day: str) -> tuple[int, ...]:
    return tuple(-ord(letter) for letter in day)


def _card(making: Making, name: str, variant: Variant | None, listing: Listing | None, places: Sequence[Place]) -> Card:
    facts = about.of_variant(variant) if variant else []
    known = {fact.field for fact in facts}
    read = of_repository(making.record, listing.name) if listing else []
    # A model without experts uses all of its weights, which is told once.
    total = next((fact.value for fact in read if fact.field == "parameters_total"), None)
    read = [fact for fact in read if fact.field != "parameters_active" or fact.value != total]
    facts = [*read, *(fact for fact in facts if fact.field not in {each.field for each in read})]
    known |= {fact.field for fact in read}
    if listing:
        facts += [fact for fact in about.of_listing(listing) if fact.field not in known or fact.field == "release_date"]
    kept = making.keep(facts)
    licence = next((fact for fact in kept if fact.field == "licence"), None)
    day = (
        (listing.released if listing else None)
        or (variant.released.value if variant and variant.released else "")
        or ""
    )
    address = listing.address if listing else f"https://huggingface.co/{variant.repository}" if variant else ""
    head = kept[0].id if kept else making.keep([Fact(name, "name", name, name, Basis.STATED, address)])[0].id
    family = variant.family if variant else UNKNOWN
    making.note(head, family)
    return Card(
        name=name,
        kind="model",
        family=family,
        address=address,
        day=day,
        is_new=making.since <= day <= making.until,
        facts=tuple(making.told(fact) for fact in kept if fact.field not in ("licence", "title")),
        fits=tuple(making.told(fact) for fact in making.keep(place.fact for place in places)),
        licence=making.told(licence) if licence else (),
        asks=tuple(making.told(fact) for fact in making.keep(terms_of(str(licence.value)) if licence else ())),
        head=(Span(name, head, address),),
    )


def _program(making: Making, listing: Listing) -> Card:
    kept = making.keep(about.of_listing(listing))
    title = next((fact for fact in kept if fact.field == "title"), None)
    head = kept[0].id if kept else ""
    return Card(
        name=listing.name,
        kind=listing.kind,
        family="",
        address=listing.address,
        day=listing.released or "",
        is_new=True,
        facts=tuple(making.told(fact) for fact in kept if fact.field in ("release_date", "status")),
        head=(
            Span(
                str(title.value) if title and listing.kind == "paper" else listing.name,
                (title or kept[0]).id if kept else head,
                listing.address,
            ),
        ),
    )


def glance_of(
    making: Making, entries: Sequence[Entry], cards: Sequence[Card], key: str
) -> tuple[tuple[Line, ...], ...]:
    """A row for each model that is spoken of most: what it is, where it runs, how its claims stand."""
    of_subject: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if not entry.is_rule:
            of_subject[entry.key].append(entry)

    def told(found: Iterable[Entry], *rulings: Ruling) -> int:
        return sum(len(entry.witnesses) for entry in found if not rulings or entry.ruling in rulings)

    order = sorted(
        of_subject, key=lambda each: (-told(of_subject[each], Ruling.REFUTED), -told(of_subject[each]), each)
    )
    rows: list[tuple[Line, ...]] = []
    for subject in order[:_MOST_ROWS]:
        found = of_subject[subject]
        first = next((entry for entry in found if entry.field != "exists"), found[0])
        name = first.subject
        is_refused = any(entry.field == "exists" and entry.ruling is Ruling.REFUTED for entry in found)
        rows.append(((Span(name, first.id),), *_what_it_is(making, name, cards, is_refused=is_refused)))
        hold, refuted = told(found, Ruling.SUPPORTED), told(found, Ruling.REFUTED)
        neither = told(found) - hold - refuted
        words = f"claims of {name} that hold: {hold:,}, that are refuted: {refuted:,}, that are neither: {neither:,}"
        fact = making.counted(words, told(found), key)
        rows[-1] = (*rows[-1], *(making.told(fact, f"{count:,}") for count in (hold, refuted, neither)))
    return tuple(rows)


def _what_it_is(making: Making, name: str, cards: Sequence[Card], *, is_refused: bool) -> tuple[Line, Line]:
    """What a model is and whether it runs here; of a name that means several, their sizes and the largest that runs."""
    variants = making.meant(name)
    card = next((each for each in cards if len(variants) == 1 and each.name == variants[0].name), None)
    if card is not None:
        here = next((each for each in making.around.fits(variants).get(card.name, ()) if each.is_here), None)
        return _joined_lines(card.facts[:3]), _briefly(making, here) if here else (Span("not known"),)
    sized = sorted((each for each in variants if each.parameters), key=lambda each: (_size(each), each.name))
    if not sized:
        return (Span("no such model is known" if is_refused else "not known"),), ()
    low, high = show_count(_size(sized[0])), show_count(_size(sized[-1]))
    text = f"{len(sized)} models of {low} to {high} parameters" if low != high else f"{low} parameters"
    names = [each.name for each in sized]
    [fact] = making.keep(
        [Fact(name, "sizes", names, text, Basis.COMPUTED, "the catalogue", ", ".join(names), sized[-1].parameters.date)]  # type: ignore[union-attr]
    )
    places = making.around.fits(sized[-_MOST_PLACED:])
    running = next(
        (place for each in reversed(sized) for place in places.get(each.name, ()) if place.is_here and place.fits),
        None,
    )
    if running is None:
        is_placed = any(places.get(each.name) for each in sized)
        return making.told(fact), (Span("none of them" if is_placed else "not known"),)
    line = _briefly(making, running)
    return making.told(fact), (Span(f"{running.fact.subject}: ", line[0].record), *line)


def _briefly(making: Making, place: Place) -> Line:
    """Whether it runs here, for a table's cell; the fact says it in full."""
    [fit] = making.keep([place.fact])
    value = place.fact.value if isinstance(place.fact.value, dict) else {}
    said = {"fits": "yes", "tight": "barely"}.get(str(value.get("verdict")), "no")
    size = show_bytes(float(value["memory_bytes"])) if "memory_bytes" in value else ""
    text = f"{said}, {size} at {value.get('quantization', '')}" if size else fit.text
    making.note(fit.id, text)
    return (Span(text, fit.id),)


def _size(variant: Variant) -> int:
    return variant.parameters.value if variant.parameters else 0


def _joined_lines(lines: Sequence[Line]) -> Line:
    found: list[Span] = []
    for line in lines:
        found += ([Span(", ")] if found else []) + list(line)
    return tuple(found)


def replacements_of(making: Making, cards: Sequence[Card]) -> tuple[Line, ...]:
    """What could take the place of a model that the reader runs: newer, of the same kind, and it runs here."""
    found: list[Line] = []
    offered = [(card, variant) for card in cards if card.kind == "model" for variant in making.meant(card.name)[:1]]
    places = making.around.fits([variant for _, variant in offered])
    for mine in making.around.mine:
        kind = next((tag for tag in _KINDS if mine.variant.has(tag)), None)
        better = [
            (card, variant, place)
            for card, variant in offered
            if kind and variant.name != mine.variant.name and variant.has(kind) and _is_newer(variant, mine.variant)
            for place in [next((each for each in places.get(variant.name, ()) if each.is_here and each.fits), None)]
            if place is not None
        ]
        [running] = making.keep(
            [
                Fact(
                    mine.name,
                    "mine",
                    mine.variant.name,
                    f"you run {mine.name} ({mine.variant.name})",
                    Basis.READ,
                    "your settings and what was used here",
                )
            ]
        )
        if not better:
            found.append(
                (
                    Span(f"{mine.name} ({mine.variant.name})", running.id),
                    Span(": nothing in this digest would take its place here"),
                )
            )
        for card, variant, place in better[:3]:
            [fit] = making.keep([place.fact])
            found.append(_replacement(making, mine, running, card, variant, fit, kind or "model"))
    return tuple(found)


def tries_of(making: Making, cards: Sequence[Card]) -> tuple[Line, ...]:
    """What runs here of the models that came out, else of those in the news, and what to type to try it."""
    models = [(card, variant) for card in cards if card.kind == "model" for variant in making.meant(card.name)[:1]]
    # What was trained to answer comes before what was not, and one of several of a kind is enough.
    models.sort(key=lambda each: (not each[0].is_new, not any(map(each[1].has, ("chat", "code")))))
    places = making.around.fits([variant for _, variant in models])
    passed = {(each.variant.release, show_count(_size(each.variant))) for each in making.around.mine}
    found: list[Line] = []
    for card, variant in models:
        place = next((each for each in places.get(variant.name, ()) if each.is_here and each.fits), None)
        kind = (variant.release, show_count(_size(variant)))
        if place is None or kind in passed or len(found) == _MOST_TRIED:
            continue
        passed.add(kind)
        [fit] = making.keep([place.fact])
        record = card.head[0].record
        licence = (Span(", "), *card.licence) if card.licence else ()
        is_new = (Span(" (new)"),) if card.is_new else ()
        found.append(
            (
                Span(card.name, record, card.address), *is_new, Span(": "), *making.told(fit), *licence,
                Span(" - "), Span(f"weigh get {variant.name}", record, is_code=True), Span(", then "),
                Span(f"weigh eval TASK --model {variant.name}", record, is_code=True),
            )
        )  # fmt: skip
    return tuple(found)


def _is_newer(one: Variant, other: Variant) -> bool:
    return bool(one.released and other.released and one.released.value > other.released.value)


def _replacement(making: Making, mine: Mine, running: Fact, card: Card, variant: Variant, fit: Fact, kind: str) -> Line:
    same = bool(variant.licence and mine.variant.licence and variant.licence.value == mine.variant.licence.value)
    licence = next((span for span in card.licence), None)
    if licence is None:
        licensed: Line = (Span(", its licence is not known"),)
    elif same:
        licensed = (Span(", the same licence ("), licence, Span(")"))
    else:
        licensed = (Span(", another licence ("), licence, Span(")"))
    names = {variant.name.lower(), variant.repository.lower()}
    is_measured = bool(names & {name.lower() for name in making.around.measured})
    if is_measured:
        command: Line = (Span("; measured on your data: "), Span("weigh eval report", is_code=True))
    else:
        typed = f"weigh eval TASK --model {variant.repository}"
        command = (Span("; not yet measured on your data: "), Span(typed, card.head[0].record, is_code=True))
    return (
        Span(card.name, card.head[0].record, card.address), Span(f" could replace your {_KIND_WORDS.get(kind, kind)} "),
        Span(f"{mine.name} ({mine.variant.name})", running.id), Span(": "), Span(fit.text, fit.id), *licensed, *command,
    )  # fmt: skip
