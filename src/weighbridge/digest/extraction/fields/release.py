"""When a model was or will be released, and how it stands: released, announced, expected."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..dates import Told
from ..mention import Mention
from ..releasing import ITS_RELEASE, NOT_MODEL, PASSIVE, released
from ..scene import Found, Scene

NEEDS_NUMBER = False
STEMS = (
    "announc answered arriv available away came countered coming debut "
    "development drop due erschien erwartet eventual expect followed "
    "freigegeben general goes imminent introduc land launch live open open-sourc opensourc out planned prepar "
    "pushed postpon delay slip "
    "working posted "
    "pre-launch pre-release publish put releas remain replied responded "
    "roll scheduled ship still struck slated unveil upcoming uploaded "
    "veröffentlicht went yet"
)
_VERB = re.compile(
    r"\b(?<!pre-)(?<!post-)(?P<verb>re-?leas(?:e[sd]?|ing)|launch(?:e[sd]|ing)?|ship(?:s|ped)|open-?sourc(?:ed"
    r"|es|ing)"
    r"|debut(?:s|ed)?|unveil(?:s|ed)|"
    r"introduc(?:es|ed|ing)|announc(?:es|ed|ing)|publish(?:es|ed)|drop(?:s|ped)|roll(?:s|ed) out|made available"
    r"|now available|generally available|"
    r"general availability|is out|came out|went live|landed|lands|open(?:s|ed) (?:up )?(?:the )?(?=[\w "
    r".-]{0,30}weights)|arriv(?:es|ed|e)|available (?:since|from|as of|on|now|via|through)"
    r"|out(?=\s?[:;,.(!]|\s?$| now| today| on hugging)|"
    r"(?:answered|followed|responded|countered|replied|struck back) with|"
    r"veröffentlicht\w*|erschien(?:en)?|freigegeben|goes live|put out|posted|uploaded|released|(?:put|pushed"
    r"|uploaded)(?=[^.;]{3,60} (?:on|to) (?:hugging ?face|the hub|github|modelscope|ollama)))\b"
)
_NOUN = re.compile(
    r"\b(?<!pre-)(?<!post-)(?P<noun>release|launch|debut|arrival|launch window|announcement|veröffentlichung)\b"
)
_OTHER_SENSE = re.compile(
    r"\s(?:to|by|from|below|under|off|out of|in (?:price|cost)|a|an)?\s?(?:~ ?)?\$?\d|\s(?:support|the (?:price"
    r"|context|research|old|requirement))\b"
)
_FUTURE_NEAR = re.compile(
    r"\b(?:will|['’]ll|hopes?(?: to)?|aims?(?: to)?|intends?(?: to)?|wants?(?: to)?|soon|expected|upcoming|to "
    r"be|would|could|may|might|set to|plans?(?: to)?|going to|slated"
    r"|scheduled|about to|planned|anticipated|due|eventual|imminent|rumou?red|before|until|once|if|when|wird"
    r"|can|should|ready to|countdown|pre-launch)\b[^.;,()]{0,30}$"
)
_FUTURE_PLAIN = re.compile(
    r"\b(?P<future>expected (?:in|on|by|around|early|late|mid|for|next|later|this|before"
    r"|within|at the end|end of|the end"
    r"|soon|q[1-4]|to (?:arrive|land|ship|launch"
    r"|drop|release))|(?:is "
    r"|are )?coming (?:in|on|next|later|this|soon|[\"“']?within)|"
    r"expects? (?:it|them|[\w.-]+(?: [\w.-]*\d[\w.-]*){0,2}) (?:to (?:arrive|land|ship|launch|drop)|in|on|by"
    r"|before|around|early"
    r"|late|mid|next|later|this)\b|(?:remains?|still|is) unreleased|(?:is|are) (?:\w+ )?(?:days|weeks|months) away|"
    r"(?:is |are )?(?:due|slated|scheduled|planned) (?:in|on|for|next|later|this)|arriving|launch window"
    r"|imminent\b|is imminent|preparing|prepares|is working on|pushed|postponed|delayed|slipped|slips|(?:launch"
    r"|release) countdown|pre-release|pre-launch|"
    r"erwartet|in early development|still (?:in|under) development|eventual release|yet to be released|not yet "
    r"(?:been )?released|upcoming)\b"
)
# Of these one must occur; to look for them first is ten times as quick as the pattern above.
_FUTURE_WORDS = (
    "expect", "coming", "due ", "slated", "scheduled", "planned", "arriving", "launch ", "countdown", "imminent",
    "prepar", "working on", "pushed", "postpon", "delay", "slip", "pre-", "erwartet", "develop", "eventual", "yet",
    "unreleased", "away",
)  # fmt: skip
_LABEL = re.compile(
    r"\b(?<!last )(?:release[d]?(?: date)?|launch(?:ed)?(?: date)?|date|released on|veröffentlicht|erscheinung\w*"
    r"|available|availability|launch|created|published|shipped|came out)\b"
)
_LABEL_EXPECTED = re.compile(r"\b(?:expected|eta|timeline|planned|due|forecast|erwartet)\b")
_LABEL_STATUS = re.compile(r"\bstatus\b")
_LABEL_CUTOFF = re.compile(
    r"\b(?:cut-?off|knowledge|updated|training|note|published|posted|checked|stand|submitted|written|notes)\b"
)
_NO_WEIGHTS = re.compile(r"\bno (?:open |public )?weights\b[^.;]{0,24}$")
_OF_IT = re.compile(r"\W*(?:it|it['’]s|they|the model|this model)\b")
_ANNOUNCED = ("announc", "unveil")
_STATUS_CELL = {
    "released": "released",
    "available": "released",
    "ga": "released",
    "generally available": "released",
    "out": "released",
    "announced": "announced",
    "preview": "announced",
    "expected": "expected",
    "upcoming": "expected",
    "planned": "expected",
    "rumored": "expected",
    "rumoured": "expected",
    "closed": "closed",
    "closed-source": "closed",
    "api only": "closed",
    "api-only": "closed",
    "proprietary": "closed",
    "live": "released",
    "shipped": "released",
    "coming soon": "expected",
}


def find(scene: Scene) -> Iterator[Found]:
    """`release_date` and `status`."""
    if scene.label and (
        _LABEL.search(scene.label) or _LABEL_EXPECTED.search(scene.label) or _LABEL_STATUS.search(scene.label)
    ):
        if not _LABEL_CUTOFF.search(scene.label):
            yield from _labelled(scene)
        return
    seen: set[tuple[str | None, str]] = set()
    for match in _VERB.finditer(scene.low, scene.start, scene.end):
        yield from _once(_of_verb(scene, match), seen)
    if not seen:
        for match in _NOUN.finditer(scene.low, scene.start, scene.end):
            yield from _once(_of_noun(scene, match), seen)
    if not any(what == "status" for _, what in seen):
        yield from _once(_of_future(scene), seen)


def _once(found: Iterator[Found], seen: set[tuple[str | None, str]]) -> Iterator[Found]:
    for each in found:
        if (each.subject, each.field) not in seen:
            seen.add((each.subject, each.field))
            yield each


def _labelled(scene: Scene) -> Iterator[Found]:
    word = scene.words.strip(" *_`.")
    expected = bool(_LABEL_EXPECTED.search(scene.label))
    if _LABEL_STATUS.search(scene.label):
        status = _STATUS_CELL.get(word)
        if status:
            yield Found("status", status, scene.start, scene.end)
        if not scene.dates:
            return
    if scene.is_event and not expected and not re.search(r"releas|launch|veröff", scene.label):
        return
    named = [(told, names) for told in scene.dates if (names := _in_bracket(scene, told))]
    if named:
        # `Release: March 2024 (Llama 3), October 2024 (Llama 3.1)`
        for told, names in named:
            for name in names:
                found = _dated(told, expected=expected)
                found.subject = name
                yield found
        return
    if scene.dates and len(scene.words) < 60:
        told = scene.dates[0]
        yield _dated(told, expected=expected)
        if expected:
            yield Found("status", "expected", told.start, told.end)


def _in_bracket(scene: Scene, told: Told) -> list[str]:
    """The names that fill the bracket right behind a date."""
    if scene.after(told.end, 2) != " (":
        return []
    closing = scene.low.find(")", told.end, scene.end)
    return [each.name for each in scene.mentions if told.end < each.start < closing and each.is_specific]


def _dated(told: Told, *, expected: bool) -> Found:
    qualifiers = tuple(word for word in (told.words, "expected" if expected else "") if word)
    return Found("release_date", told.value, told.start, told.end, "date", qualifiers)


def _of_verb(scene: Scene, match: re.Match[str]) -> Iterator[Found]:
    start, end = match.start(), match.end()
    verb = match["verb"]
    other = verb.startswith(("drop", "ship", "arriv", "land")) and _OTHER_SENSE.match(scene.after(end, 24))
    if other or _NO_WEIGHTS.search(scene.before(start, 44)) or _is_noun(scene, match):
        return
    owner = released(scene, match)
    if scene.is_negated(start):
        if owner is not None and not verb.startswith(_ANNOUNCED) and not _OF_DATA.search(scene.before(start, 90)):
            yield Found("status", "expected", start, end, subject=owner.name)
        return
    first = scene.is_fragment and scene.before(start, 8).strip() == "first"
    if owner is None and verb.startswith(("publish", "post", "upload")) and "weights" not in scene.words and not first:
        return
    if owner is None and (scene.mentions or not _is_anaphoric(scene, start)):
        return
    if owner is None and NOT_MODEL.match(scene.after(end, 60)):
        return
    future = bool(_FUTURE_NEAR.search(scene.before(start, 44)))
    status = "announced" if verb.startswith(_ANNOUNCED) and not ITS_RELEASE.match(scene.after(end, 30)) else "released"
    future = future or scene.is_forecast
    status = "expected" if future else status
    told = _without_vague(scene, _date_near(scene, start, end, owner))
    is_past = verb.endswith("ed") and PASSIVE.search(scene.before(start, 40)) is None
    if told is not None and told.is_later and status == "released" and not (is_past or verb.startswith("available")):
        status, future = "expected", True
    for subject in _with_companions(scene, owner):
        yield Found("status", status, start, end, subject=subject, told=told.value if told else None)
        if status == "announced" and (told is None or not _ON_DAY.search(scene.before(told.start, 6))):
            continue
        if told is not None:
            found = _dated(told, expected=future)
            found.subject = subject
            yield found
        elif scene.told is not None and subject is not None:
            # `2026-04-11 - Meta ships Llama 5`: the item's or the row's day is the event's.
            yield Found("release_date", scene.told, start, end, "date", ("expected",) if future else (), subject)


def _without_vague(scene: Scene, told: Told | None) -> Told | None:
    """`earlier this year`, where the sentence goes on with a month, tells no date: `Tern 4 in February`."""
    is_vague = told is not None and len(told.value) == len("2026") and any(len(each.value) > 4 for each in scene.dates)
    return None if is_vague else told


def _is_noun(scene: Scene, match: re.Match[str]) -> bool:
    """`the release also closes ...`, `releases like Tern 4`, `competitive with Tern 4 at launch`: no verb."""
    verb, before = match["verb"], scene.before(match.start(), 12)
    if verb in ("release", "launch"):
        return before.endswith((" at ", "the ", "this ", "each ", "every ")) or before in ("the ", "this ")
    if verb == "releases":
        return not before.strip() or re.match(r" (?:like|such as)\b", scene.after(match.end(), 9)) is not None
    return False


_OF_DATA = re.compile(r"\b(?:datasets?|data|papers?|reports?|code|recipes?|benchmarks?)\b")
# `was announced on November 20`
_ON_DAY = re.compile(r"\b(?:on|in) $")
_ANAPHORIC = re.compile(
    r"(?:^\W*|\b(?:it|they|both|model|models|weights|variants?|version|family|release|checkpoints?)(?: (?:was"
    r"|were|is|are|will be|has been|have been|had been|had|should|may|might))?"
    r"(?: \w+ly| also| first| then| now| just)? )$"
)
_COMPANION = re.compile(
    r"(?:\s?\([^()]{0,160}\))?,?\s(?:alongside|together with|along with|as well as|and)\s(?:[\w-]+\s){0,2}"
)


def _is_anaphoric(scene: Scene, start: int) -> bool:
    before = scene.before(start, 60)
    return bool(_ANAPHORIC.search(before)) or (before.endswith(", ") and _OF_IT.match(scene.words) is not None)


def _with_companions(scene: Scene, owner: Mention | None) -> list[str | None]:
    """A release's model and those that came with it: `Llama 5 (600B) alongside Muse Spark`."""
    if owner is None:
        return [None]
    found: list[str | None] = [owner.name]
    for mention in reversed([each for each in scene.mentions if each.end <= owner.start]):
        # `A and B were released`
        if not mention.is_specific or scene.low[mention.end : owner.start].strip(" *_`") not in ("and", "&", ", and"):
            break
        found.insert(0, mention.name)
        break
    last = owner
    for mention in scene.mentions:
        if mention.start >= last.end and _COMPANION.fullmatch(scene.low[last.end : mention.start]):
            found.append(mention.name)
            last = mention
    return found


def _date_near(scene: Scene, start: int, end: int, owner: Mention | None) -> Told | None:
    """The date that goes with a verb: the nearest; of `from September to November` the second."""
    best = None
    for number, told in enumerate(scene.dates):
        away = told.start - end if told.start >= end else start - told.end
        opens = told.end <= start and not scene.before(told.start, 30).strip(" *_`([-•on") and away < 220
        if (away < 90 or opens) and (best is None or away < best[0]):
            best = (away, told)
            continue
        goes_on = best is not None and number and best[1] is scene.dates[number - 1]
        if best and goes_on and scene.low[best[1].end : told.start].strip() in ("to", "until", "auf", "→"):
            best = (best[0], told)
    return best[1] if best else None


def _of_noun(scene: Scene, match: re.Match[str]) -> Iterator[Found]:
    start, end = match.start(), match.end()
    after = scene.after(end, 30)
    owner = None
    of = re.match(r"(?: \w+)? of (?:the |its )?(?:[\w-]+ ){0,2}", after)
    for mention in scene.mentions:
        if not mention.is_specific:
            continue
        if of and end <= mention.start <= end + of.end() + 1:
            owner = mention
        elif 0 <= start - mention.end <= 3 or re.fullmatch(r"['’‘]s (?:\w+ )?", scene.low[mention.end : start]):
            owner = owner or mention
    if owner is None or re.match(r" (?:notes|candidate|paper|bundle|path)", after):
        return
    if scene.low[owner.end : start] == " at ":
        # `competitive with GPT-4 at launch`
        return
    told = _date_near(scene, start, end, owner)
    future = scene.is_forecast or scene.is_future() or (told is not None and told.is_later)
    if told is None and not future and not of:
        return
    yield Found("status", "expected" if future else "released", start, end, subject=owner.name)
    if told is not None:
        found = _dated(told, expected=future)
        found.subject = owner.name
        yield found


def _of_future(scene: Scene) -> Iterator[Found]:
    if not any(word in scene.words for word in _FUTURE_WORDS):
        return
    match = _FUTURE_PLAIN.search(scene.low, scene.start, scene.end)
    if match is None or scene.is_negated(match.start()) or scene.before(match.start(), 8).endswith(("can ", "may ")):
        return
    told = _date_near(scene, match.start(), match.end(), None)
    # `imminent V4`: said of the name right behind.
    ahead = next((m.name for m in scene.mentions if match.start() <= m.start <= match.end() + 6), None)
    yield Found("status", "expected", match.start(), match.end(), subject=ahead, needs_name=not scene.is_fragment)
    if told is not None:
        found = _dated(told, expected=True)
        found.subject = ahead
        yield found
