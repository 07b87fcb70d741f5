"""A short sentence about a payment becomes a JSON object of person, amount, currency and date.

What the sentence does not say is null. Held out are persons: one full name in ten never occurs in training.
"""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Sequence

from . import Item, is_held_out

NAME = "extract"
TITLE = "a sentence about a payment to a JSON object"
DECLINE = '{"person": null, "amount": null, "currency": null, "date": null}'

FIRST_NAMES = (
    "Anna Ben Clara David Elena Felix Grace Henry Ivan Julia Karim Laura Marco Nina Oscar Paula Quentin Rosa Simon Tara "
    "Umar Vera Walter Xenia Yusuf Zoe Alice Bruno Carmen Dmitri Emma Farid Greta Hugo Ingrid Jonas Kenji Lena Mateo Nora "
    "Omar Priya Rahul Sofia Thomas Ursula Victor Wanda Yara Zara José Søren Zoë Jürgen Chloé Łukasz Aïcha André Mia Liam "
    "Noah Olivia Ethan Ava Lucas Isabella Mason Amelia Logan Harper James Robert Mary Patricia John Jennifer Michael Linda "
    "William Elizabeth Barbara Richard Susan Joseph Jessica Charles Sarah Daniel Karen Matthew Lisa Anthony Nancy Mark "
    "Sandra Paul Ashley Steven Kimberly Andrew Emily Kevin Donna Brian Michelle George Carol Edward Amanda Ronald Melissa"
).split()
LAST_NAMES = (
    "Smith Keller Garcia Müller Rossi Novak Tanaka Kowalski Dubois Silva Jensen Larsen Nguyen Patel Khan Ivanov Popov "
    "Schmidt Fischer Weber Wagner Becker Hoffmann Koch Bauer Richter Wolf Neumann Schwarz Zimmermann Braun Krüger Lopez "
    "Martinez Hernandez Gonzalez Perez Sanchez Ramirez Torres Flores Rivera Gomez Diaz Reyes Cruz Morales Johnson Williams "
    "Brown Jones Miller Davis Wilson Anderson Taylor Moore Jackson Martin Lee Thompson White Harris Clark Lewis Robinson "
    "Walker Young Allen King Wright Scott Hill Green Adams Baker Nelson Carter Mitchell Roberts Turner Phillips Campbell "
    "Parker Evans Edwards Collins Stewart Morris Rogers Reed Cook Morgan Bell Murphy Bailey Cooper Richardson Cox Howard "
    "Ward Peterson Gray Watson Brooks Kelly Sanders Price Bennett Wood Barnes Ross Henderson O'Neill O'Brien Lindström "
    "Østergaard Çelik Yılmaz Nowak Horváth Papadopoulos Yamamoto Suzuki Sato Kim Park Chen Wang Zhang Liu Singh Sharma Gupta"
).split()
STARTS = [*"b br c ch d dr f g gr h j k kl l m n p pr r s sch sh st t tr v w z".split(), ""]
VOWELS = "a e i o u ai ea ei ia io oa".split()
ENDS = "b ck d g k l ll m n nd ng nn r rd rg rt s ss t tz x".split() + [""] * 8

MONTHS = "January February March April May June July August September October November December".split()

# code: (signs that stand before, words that stand after: singular or plural alike, or the code itself)
CURRENCIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "USD": (("$", "US$"), ("dollars", "US dollars", "USD")),
    "EUR": (("€",), ("euros", "euro", "EUR", "€")),
    "GBP": (("£",), ("pounds", "British pounds", "GBP")),
    "CHF": (("CHF ",), ("Swiss francs", "francs", "CHF")),
    "JPY": (("¥",), ("yen", "Japanese yen", "JPY")),
    "INR": (("₹",), ("rupees", "Indian rupees", "INR")),
}

PURPOSES = (
    "for the new laptop|for lunch|for the rent|for two tickets|for repairs|for the course|for books|for the flat|for office "
    "chairs|for the workshop|for a bicycle|for the hotel|for consulting|for coffee|for the garden work|for the concert|for "
    "the train|for a used car|for the translation|for flowers|for the dentist|for the dinner|as a deposit|as a gift"
).split("|")
OTHERS = (
    "the landlord|the bank|the shop|the club|the museum|our company|the school|the garage|the charity|the office".split(
        "|"
    )
)

NOUNS = "fee loan bonus fine deposit refund rent gift share total bill phone camera table lamp ticket coat".split()
VERBS = (
    "paid gave sent owed lent wired mailed earned won lost raised saved spent collected claimed offered returned repaid "
    "borrowed pledged charged billed requested promised contributed invested received transferred donated refunded "
    "withdrew demanded brought posted forwarded remitted advanced moved shared kept got made took found left added"
).split()

# {p} person, {m} amount with currency, {d} date, {x} purpose or nothing, {o} the other side, {v} a verb, often made up
FORMS = (
    "{p} {v} {m} on {d}.",
    "{p} {v} {m}{x} on {d}.",
    "{p} {v} {m} to {o} on {d}.",
    "{p} {v} {o} {m} on {d}.",
    "{p} {v} {m} at {o} on {d}.",
    "{p} {v} a {w} of {m} on {d}.",
    "{p} {v} a {w} for {m} on {d}.",
    "{p} {v} {w} {m} on {d}.",
    "On {d} {p} {v} {m}{x}.",
    "On {d}, {p} {v} {m} to {o}.",
    "On {d} a {w} of {m} {v} from {p}.",
    "A {w} of {m} {v} {w} from {p} on {d}.",
    "{m} {v} by {p} on {d}.",
    "{p} paid {m} on {d}.",
    "{p} paid {m}{x} on {d}.",
    "On {d}, {p} paid {m}{x}.",
    "On {d} {p} paid {m} to {o}{x}.",
    "{p} sent {m} to {o} on {d}.",
    "{p} transferred {m} to {o} on {d}.",
    "{p} transferred {m}{x} on {d}.",
    "{p} received {m} from {o} on {d}.",
    "{p} owes {o} {m} since {d}.",
    "{p} donated {m} to {o} on {d}.",
    "{p} spent {m}{x} on {d}.",
    "{p} lent {m} to {o} on {d}.",
    "{p} borrowed {m} from {o} on {d}.",
    "{p} invoiced {o} {m} on {d}.",
    "{p} was paid {m}{x} on {d}.",
    "{p} will pay {m} by {d}.",
    "{p} must pay {m} to {o} before {d}.",
    "{p} bought a phone for {m} on {d}.",
    "{p} sold a camera for {m} on {d}.",
    "{m} was paid by {p} on {d}.",
    "{m} were sent to {p} on {d}{x}.",
    "{m} from {p} arrived on {d}.",
    "A payment of {m} from {p} arrived on {d}.",
    "Payment of {m} received from {p} on {d}.",
    "Invoice from {p}: {m}, due {d}.",
    "Invoice for {p}, {m}, dated {d}.",
    "We got {m} from {p} on {d}.",
    "We paid {p} {m} on {d}{x}.",
    "I owe {p} {m} since {d}.",
    "Please pay {p} {m} by {d}.",
    "Refund {m} to {p} by {d}.",
    "{d}: {p} paid {m}{x}.",
    "{d}: {m} from {p}.",
    "{p}, {m}, {d}",
    "Received from {p} {m} on {d}.",
    "Yesterday {o} confirmed that {p} paid {m} on {d}.",
    "According to {o}, {p} received {m} on {d}.",
    "The bill of {p} from {d} is {m}.",
)
PARTIAL_FORMS = (
    "{p} {v} {m}.",
    "{p} {v} {m} to {o}.",
    "{p} owes me {m}.",
    "{p} {v} {m} yesterday.",
    "{p} {v} {o} on {d}.",
    "{p} paid {m}{x}.",
    "{p} owes {o} {m}.",
    "{p} sent {m} to {o}.",
    "We got {m} from {p}.",
    "{m} arrived on {d}.",
    "{o} charged {m} on {d}.",
    "{o} asked for {m}.",
    "{p} called {o} on {d}.",
    "{p} was born on {d}.",
    "{p} visited {o}.",
    "{p} paid {o} on {d}.",
    "The meeting is on {d}.",
    "It costs {m}.",
    "Someone paid {m} yesterday.",
)
UNSEEN_FORMS = (
    "{p} handed over {m} on {d}.",
    "It was {p} who paid {m} on {d}.",
    "{p} settled a bill of {m} on {d}.",
    "On {d} a sum of {m} came in from {p}.",
    "{p} deposited {m} at {o} on {d}.",
)
BEFORE = (
    "Extract: ",
    "Extract the fields: ",
    "Sentence: ",
    "Text: ",
    "Extract person, amount, currency and date: ",
    "Note: ",
)
CHATTER = (
    "Hello", "Hi!", "How are you?", "Who are you?", "What can you do?", "Tell me a joke.", "What is the capital of France?",
    "The weather is nice today.", "The train was late again.", "She likes to read in the garden.", "Once upon a time",
    "Please close the door.", "What time is it?", "Thank you very much.", "The cat sleeps on the sofa.", "I like music.",
    "Write a poem about the sea.", "The shop opens at nine.", "Good morning", "Why is the sky blue?", "It rained all day.",
)  # fmt: skip


def _syllables(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(STARTS) + rng.choice(VOWELS) + rng.choice(ENDS) for _ in range(count)).capitalize()


def _word(rng: random.Random, common: Sequence[str]) -> str:
    """A word of the list, or one that nobody knows: what it means must not matter, only that it is no name."""
    return rng.choice(common) if rng.random() < 0.6 else _syllables(rng, rng.randrange(1, 4)).lower()


def _person(rng: random.Random, *, held_out: bool) -> str:
    while True:
        first = rng.choice(FIRST_NAMES) if rng.random() < 0.6 else _syllables(rng, rng.randrange(1, 4))
        last = rng.choice(LAST_NAMES) if rng.random() < 0.5 else _syllables(rng, rng.randrange(1, 4))
        shape = rng.random()
        if shape < 0.12:
            person = first
        elif shape < 0.16:
            person = f"{first} {rng.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
        elif shape < 0.2:
            person = f"{first} {last}-{rng.choice(LAST_NAMES)}"
        else:
            person = f"{first} {last}"
        if len(person) > 3 and is_held_out(person) == held_out:
            return person


def _amount(rng: random.Random) -> tuple[str, str, str]:
    """As the sentence shows it with its currency, as JSON shows the number, and the currency's code."""
    code = rng.choice(("USD", "USD", "EUR", "EUR", "GBP", "CHF", "JPY", "INR"))
    whole = rng.randrange(1, (10, 100, 1000, 10000, 100000)[rng.randrange(5)])
    cents = f".{rng.randrange(100):02d}" if code != "JPY" and rng.random() < 0.4 else ""
    shown = (f"{whole:,}" if rng.random() < 0.6 else str(whole)) + cents
    before, after = CURRENCIES[code]
    form = rng.random()
    if form < 0.4:
        text = rng.choice(before) + shown
    elif form < 0.5:
        text = f"{code} {shown}"
    else:
        text = f"{shown} {rng.choice(after)}"
    return text, f"{whole}{cents}", code


def _date(rng: random.Random) -> tuple[str, str]:
    """As the sentence shows it, and as ISO 8601."""
    day = datetime.date(1990, 1, 1) + datetime.timedelta(days=rng.randrange(366 * 45))
    month, short = MONTHS[day.month - 1], MONTHS[day.month - 1][:3]
    ordinal = {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10 if day.day not in (11, 12, 13) else 0, "th")
    shapes = (
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"{day.day} {short} {day.year}",
        f"{short} {day.day}, {day.year}",
        f"{month} {day.day}{ordinal}, {day.year}",
        f"the {day.day}{ordinal} of {month} {day.year}",
        day.isoformat(),
        f"{day.day:02d}.{day.month:02d}.{day.year}",
        f"{day.day}.{day.month}.{day.year}",
    )
    return rng.choice(shapes), day.isoformat()


def _item(rng: random.Random, form: str, *, held_out: bool) -> Item:
    person, (amount_text, amount, currency), (date_text, date) = (
        _person(rng, held_out=held_out),
        _amount(rng),
        _date(rng),
    )
    purpose = f" {rng.choice(PURPOSES)}" if rng.random() < 0.6 else ""
    other = rng.choice(OTHERS)
    if rng.random() >= 0.7 and not form.startswith("{o}"):  # else the sentence would be about that one
        other = rng.choice(FIRST_NAMES)
    verb, word = _word(rng, VERBS), _word(rng, NOUNS)
    prompt = form.format(p=person, m=amount_text, d=date_text, x=purpose, o=other, v=verb, w=word)
    prompt = prompt[0].upper() + prompt[1:] if prompt.startswith("the ") else prompt
    fields = {
        "person": json.dumps(person, ensure_ascii=False) if "{p}" in form else "null",
        "amount": amount if "{m}" in form else "null",
        "currency": f'"{currency}"' if "{m}" in form else "null",
        "date": f'"{date}"' if "{d}" in form else "null",
    }
    answer = "{" + ", ".join(f'"{key}": {value}' for key, value in fields.items()) + "}"
    return Item(prompt, answer, "whole" if form in FORMS else "partial" if form in PARTIAL_FORMS else "unseen")


def sample(rng: random.Random, *, held_out: bool) -> Item:
    """A sentence and its JSON object; one in eight leaves something unsaid."""
    partial = rng.random() < 0.125
    # What is held out is the person: a sentence without one could occur in training too.
    forms = [form for form in (PARTIAL_FORMS if partial else FORMS) if "{p}" in form or not held_out]
    form = rng.choice(forms)
    item = _item(rng, form, held_out=held_out)
    prompt = item.prompt
    if rng.random() < 0.1:
        prompt = prompt.rstrip(".")
    if rng.random() < 0.1:
        prompt = rng.choice(BEFORE) + prompt
    return Item(prompt, item.answer, item.kind)


def unseen(rng: random.Random) -> Item:
    """A held-out person in a sentence form that training never used."""
    return _item(rng, rng.choice(UNSEEN_FORMS), held_out=True)


def foreign(rng: random.Random) -> Item:
    """Text with nothing to extract, and the object that says so."""
    return Item(rng.choice(CHATTER), DECLINE, "foreign")
