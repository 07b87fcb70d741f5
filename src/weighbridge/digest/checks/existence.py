"""Whether there is such a model: by that size, that version, in that repository.

"No such model is known" refutes only where so much is known that it would be: sizes of a release that has been out for
half a year, of a maker whose repositories are listed; a version of such a family, on a page that is older than what is
known. A name that somebody heard of, a service offers or a list holds is never refuted.
"""

from __future__ import annotations

import datetime
import re

from weighbridge.catalogue import Variant
from weighbridge.figures import Basis
from weighbridge.sizes import show_count

from ..knowledge import Knowledge, Subject, sizes_in, words_of_name
from ..knowledge.knowledge import HUB
from ..knowledge.names import unit_of, versions_in
from ..verdict import Proof, Ruling
from .case import Case, Finding, days_between, first_day, name_proof, open_question, proof_of, refuted, supported

FIELDS = ("exists",)

_SETTLED_DAYS = 180
# A version that nobody had heard of when this was collected may come out the day after.
_HEARD_DAYS = 45
_MOST_BITS = 9
_LEAST_SIZES, _LEAST_ROWS, _LEAST_RELEASES = 4, 20, 4
_OUT_NOW = re.compile(
    r"\b(?:ship(?:s|ped|ping)?|releas(?:es?|ed|ing)|launch(?:es|ed|ing)?|introduc(?:es|ed|ing)|unveil(?:s|ed)|debuts?"
    r"|available|open-?sourced|downloads?|scor(?:es|ed))\b"
)
_TO_COME = re.compile(
    r"\b(?:expect\w*|upcoming|next[- ]gen\w*|future|speculat\w*|predict\w*|anticipat\w*|hop(?:e|es|ed|ing)|wait\w*"
    r"|rumou?r\w*|if|when|would|could|might|may|will|until|before|wish\w*|plans?|planned|later|soon|not yet|no)\b|\?"
)
_FROM_TO = re.compile(r"(?i)\d\s?[bm]\s?(?:[-–/,]|to)\s?\d")
_GLUED = re.compile(r"(?:and|with|or|as|like|from)([A-Za-z][\w.-]{2,60}/[\w.-]{2,100})$")
_ELSEWHERE = re.compile(
    r"\bgithub\b|\bopenrouter\b|\bmodelscope\b|\bollama\b|\breplicate\b|\bkaggle\b|\bdocker\b|\bcollection\b"
)
_AT_HUB = re.compile(
    r"hugging ?face|\bhf\b|hf[._]|🤗|from_pretrained|pretrained=|--?model\b|model(?:_id|_name|_path)?\s?[=:]"
    r"|repo(?:_id|sitory)?\b|download|\bvllm serve\b|weights|checkpoint|snapshot"
)
# A service's own tag: `gemma3:3b` is what it chose to call something.
_TAG = re.compile(r"^[\w./-]+:[\w.-]*$")
_VERSION = re.compile(r"\d{1,2}(?:\.\d{1,2})?")
_REPOSITORY = re.compile(r"^[\w.-]{2,60}/[\w.-]{2,100}$")


def check(case: Case) -> Finding:
    """Supported where it is known; refuted where it would be known and is not."""
    denies = case.claim.value is False or case.word in ("false", "no", "unreleased")
    found = _check(case)
    if not denies:
        return found
    swapped = {Ruling.SUPPORTED: Ruling.REFUTED, Ruling.REFUTED: Ruling.SUPPORTED}
    return Finding(swapped.get(found.ruling, found.ruling), found.evidence)


def _check(case: Case) -> Finding:
    name = case.claim.value if isinstance(case.claim.value, str) and "/" in case.claim.value else case.claim.subject
    if _REPOSITORY.match(str(name)):
        return _repository(case, str(name))
    if not case.subject.is_known:
        return missing(case)
    if active := _named_by_active(case.subject):
        return supported(_seen(case.subject, case.knowledge), active)
    return (
        supported(_seen(case.subject, case.knowledge))
        if _is_sure(case)
        else open_question(_seen(case.subject, case.knowledge))
    )


def _named_by_active(subject: Subject) -> Proof | None:
    """Where the size in a name is what one token uses, what the whole is."""
    for variant in subject.variants if subject.is_exact else ():
        total, active = variant.parameters, variant.active_parameters
        for word, size in sizes_in(subject.words).items() if total and active else ():
            if (
                total
                and active
                and abs(size - active.value) < 0.1 * size
                and total.value > 1.5 * size
                and word[0] != "a"
            ):
                text = f"{word.upper()} is what one token uses of {variant.name}: it has {show_count(total.value)}"
                source = variant.shape.source.partition(";")[0] if variant.shape else total.source
                return Proof("sum", text, total.basis, source, "parameters", total.date)
    return None


def _is_sure(case: Case) -> bool:
    """A name that only a list of prices holds, without a day, may be an alias."""
    subject = case.subject
    return bool(subject.variants or subject.rows or any(served.days for served in subject.served))


def _seen(subject: Subject, knowledge: Knowledge) -> Proof:
    if subject.variants:
        variant = min(subject.variants, key=lambda each: each.released.value if each.released else "9")
        more = f" and {len(subject.variants) - 1} more" if len(subject.variants) > 1 else ""
        day = variant.released.value if variant.released else ""
        text = f"{variant.repository}{more} on the hub" + (f", {'since' if more else 'made'} {day}" if day else "")
        return Proof("name", text, Basis.STATED, HUB, variant.repository, knowledge.hub_date)
    if subject.rows:
        return Proof("name", f"{subject.rows[0].repository} on the hub", Basis.STATED, HUB, "", knowledge.hub_date)
    served = subject.served[0]
    opened, closed = (sum(getattr(each, votes) for each in subject.served) for votes in ("open_votes", "closed_votes"))
    weights = "" if opened and 2 * opened >= closed else "; no weights of it are known"
    return Proof("name", f"services offer {served.name}{weights}", Basis.STATED, served.source, "", knowledge.date)


def missing(case: Case) -> Finding:
    """What can be said of a name that nothing is known by."""
    if mention := case.knowledge.first_mention(case.subject.words):
        return open_question(Proof("name", f"AINews listed the name on {mention}; no weights of it are known here",
                                   Basis.STATED, "AINews (news.smol.ai)", "models", mention))  # fmt: skip
    if case.knowledge.reports(case.subject):
        fact = case.knowledge.reports(case.subject)[0]
        return supported(proof_of(fact, f"{fact.of}: {fact.key}"))
    subject = case.subject
    if not subject.lacks:
        return open_question(name_proof("nothing is known by this name", case.knowledge))
    if sizes_in(subject.words):
        return _missing_size(case)
    return _missing_version(case)


def _missing_size(case: Case) -> Finding:
    near, knowledge = case.subject.near, case.knowledge
    release = near[0].release
    sizes = sorted({each.parameters.value for each in near if each.parameters})
    told = ", ".join(dict.fromkeys(show_count(size) for size in sizes))
    proof = name_proof(f"{release} has the sizes {told}; none is {case.subject.lacks}", knowledge)
    elsewhere = _sibling_release(case)
    lineup = knowledge.reports_of(release, "sizes")
    told_by = [proof_of(fact, f"{fact.of} came as {fact.value} ({fact.key})") for fact in lineup]
    proofs = (proof, *told_by, elsewhere) if elsewhere else (proof, *told_by)
    if (
        len({each.release for each in near}) == 1
        and (len({round(size, -8) for size in sizes}) >= _LEAST_SIZES or lineup)
        and knowledge.makers.get(near[0].maker.lower(), 0) >= _LEAST_ROWS
        and _age_days(near, knowledge) >= _SETTLED_DAYS
        and not _is_younger(case, 0)
        and not case.is_expected
        and not _any_row(case)
        and _is_such_a_size(case, sizes)
        and _is_in_quote(case)
        and not _FROM_TO.search(case.claim.subject)
        and not _may_be_bits(case)
        and not _is_bare(case)
        and not _TAG.match(case.claim.subject)
        # In small letters it is the identifier of anybody's file, `qwen3-53b-a3b`, or what somebody searched for.
        and ("/" in case.claim.subject or case.claim.subject != case.claim.subject.lower())
    ):
        return refuted(*proofs)
    return open_question(*proofs)


def _is_bare(case: Case) -> bool:
    """Whether a family's name alone stands beside the size: `Nemotron 15B` may be of any release."""
    rest = case.subject.words - sizes_in(case.subject.words).keys()
    return len(rest) == 1 and not versions_in(rest) and not any(sign.isdigit() for word in rest for sign in word)


def _is_such_a_size(case: Case, sizes: list[int]) -> bool:
    """Far smaller ones are others' experiments by the same name, or drafts; one that is less than a unit of its last
    digit off may be rounded: `Falcon H1 1B` for 1.55B."""
    word, claimed = max(sizes_in(case.subject.words).items(), key=lambda each: each[1])
    if any(abs(claimed - size) < unit_of(word, claimed) for size in sizes):
        return False
    return sizes[0] / 4 <= claimed <= 10 * sizes[-1]


def _may_be_bits(case: Case) -> bool:
    """Whether the size may be of a packing: `DeepSeek-R1 1.58b`, where the page tells of bits."""
    sizes = sizes_in(case.subject.words)
    return any("." in word and size < _MOST_BITS * 1e9 for word, size in sizes.items()) and bool(
        re.search(r"\bbits?\b|\bbpw\b|quant|\biq\d", f"{case.context} {case.claim.quote.lower()}")
    )


def _is_in_quote(case: Case) -> bool:
    """Whether the very words name family and size: else the size may be another's."""
    quote = words_of_name(case.claim.quote[-200:]) | words_of_name(case.claim.quote[:200])
    low = case.claim.quote.lower()
    size = sizes_in(case.subject.words).keys()
    family = [word for word in case.subject.words if word.isalpha() and len(word) > 2]
    return any(word in low for word in family) and (size <= quote or any(word in low.replace(" ", "") for word in size))


def _any_row(case: Case) -> bool:
    """Whether anybody at all has a repository whose name holds the family, the version and the size."""
    words = case.subject.words
    family = max((word for word in words if word.isalpha()), key=len, default="")
    sizes = sizes_in(words)
    makers = {each.maker.lower() for each in case.subject.near}
    return any(
        words <= words_of_name(row.name) for maker in makers for row in case.knowledge.rows_of_maker(maker)
        if family in row.repository.lower() and any(size in row.repository.lower() for size in sizes)
    )  # fmt: skip


def _sibling_release(case: Case) -> Proof | None:
    """The release of the same family that has this size: `9B is of Gemma 2`."""
    sizes = sizes_in(case.subject.words).keys()
    family = case.subject.near[0].family
    own = {each.release for each in case.subject.near}
    for variant in case.knowledge.catalogue:
        if variant.family == family and variant.release not in own and sizes <= words_of_name(variant.name):
            return name_proof(
                f"{case.subject.lacks} is a size of {variant.release}: {variant.repository}", case.knowledge
            )
    return None


def _missing_version(case: Case) -> Finding:
    near, knowledge = case.subject.near, case.knowledge
    family = near[0].family
    releases = sorted({each.release for each in near})
    proof = name_proof(
        f"no {family} {case.subject.lacks} is known of: not on the hub, no service offers it; there are "
        f"{', '.join(releases[:12])}",
        knowledge,
    )  # fmt: skip
    versions = [float(word) for release in releases for word in words_of_name(release) if _VERSION.fullmatch(word)]
    newest = max(versions, default=0.0)
    is_next = bool(_VERSION.fullmatch(case.subject.lacks)) and newest < float(case.subject.lacks) <= newest + 1
    makers = {each.maker.lower() for each in near}
    told = case.told
    if (
        is_next
        and told is not None
        and not _is_younger(case, _HEARD_DAYS)
        and len(releases) >= _LEAST_RELEASES
        and max(knowledge.makers.get(maker, 0) for maker in makers) >= _LEAST_ROWS
        and not case.is_expected
        and (case.claim.field != "exists" or _is_told_as_out(case))
    ):
        return refuted(proof)
    return open_question(proof)


def _is_told_as_out(case: Case) -> bool:
    """Whether the words around a bare name tell of it as of something that is there: a next version is hoped for long
    before, and asked about."""
    return bool(_OUT_NOW.search(case.line)) and not _TO_COME.search(case.line)


def _is_younger(case: Case, days: int) -> bool:
    """Whether the page is younger than what is known, or within so many days of it."""
    told = case.told
    return told is not None and days_between(told, f"{case.knowledge.hub_date}-01") < days


def _age_days(near: tuple[Variant, ...], knowledge: Knowledge) -> int:
    days = [each.released.value for each in near if each.released]
    if not days:
        return 0
    return (datetime.date.fromisoformat(knowledge.date) - first_day(min(days))).days


def _repository(case: Case, name: str) -> Finding:
    """A repository's name is taken to the letter."""
    knowledge = case.knowledge
    row = knowledge.row(name)
    if row or any(name.lower() == each.repository.lower() for each in case.subject.variants):
        return supported(Proof("name", f"{name} is on the hub", Basis.STATED, HUB, name, knowledge.hub_date))
    if glued := _GLUED.match(name):
        # A blank that was lost before the name: `andqwen-ai/qwen3-coder`.
        maker = glued[1].lower().split("-")[0].rstrip("ai")
        if any(known.startswith(maker) for known in knowledge.makers if len(maker) > 2):
            name = glued[1]
    organisation, _, short = name.partition("/")
    if case.subject.lacks:
        found = missing(case)
        is_elsewhere = _is_of_another_place(case, name, list(case.subject.near))
        return open_question(*found.evidence) if is_elsewhere else found
    of_maker = [each for each in case.subject.variants if each.maker.lower() == organisation.lower()]
    if of_maker and not _is_younger(case, 0):
        there = of_maker[0].repository
        is_elsewhere = _is_pattern(case, name) or _is_of_another_place(case, name, of_maker)
        if _lacks_size(short, of_maker, knowledge) and not is_elsewhere:
            return refuted(
                name_proof(f"there is no {name}: each of that release names its size, as {there}", knowledge)
            )
        return open_question(name_proof(f"{name} is not listed; {there} is", knowledge))
    if case.subject.variants and case.subject.rows and not knowledge.rows_of_maker(organisation):
        # Other services and programs call houses by names of their own.
        return open_question(
            name_proof(
                f"nothing of {organisation} is listed; its maker's is {case.subject.variants[0].repository}", knowledge
            )
        )
    return open_question(name_proof(f"{name} is not listed", knowledge))


def _is_of_another_place(case: Case, name: str, known: list[Variant]) -> bool:
    """Whether it is another place's name: GitHub has MoonshotAI/Kimi-Linear, services mistralai/mistral-small. The hub
    writes an organisation one way, and most makers their models with capitals; what is loaded or fetched by its name
    is meant to be there."""
    organisation, _, short = name.partition("/")
    makers = {variant.maker for variant in known}
    is_spelled = organisation in makers or organisation.lower() not in {maker.lower() for maker in makers}
    has_capitals = all(variant.name != variant.name.lower() for variant in known)
    is_at_hub = not case.context or bool(_AT_HUB.search(case.context))
    is_other = not is_spelled or (has_capitals and short == short.lower())
    return is_other or not is_at_hub or bool(_ELSEWHERE.search(case.line))


def _is_pattern(case: Case, name: str) -> bool:
    """Whether the name goes on: `meta-llama/Llama-3.1-*`, `openai/gpt-oss-{20b,120b}`, or stands in an address."""
    at = case.context.find(name.lower())
    after = case.context[at + len(name) : at + len(name) + 2] if at >= 0 else ""
    before = case.context[max(0, at - 1) : at] if at > 0 else ""
    return bool(re.match(r"[-_./]?[*{\[<$%…]|[-_/](?:\w|\W|$)|\.\.", after)) or before in ("/", "-", "_", "@")


def _lacks_size(short: str, of_maker: list[Variant], knowledge: Knowledge) -> bool:
    """Whether every repository of that release names a size, and this one none; `40k` is no size of a network."""
    words = words_of_name(short)
    if sizes_in(words):
        return False
    rows = [row for row in knowledge.rows_of_maker(of_maker[0].maker) if words <= words_of_name(row.name)]
    return len(rows) >= 2 and all(any(size[-1] in "bmt" for size in sizes_in(words_of_name(row.name))) for row in rows)
