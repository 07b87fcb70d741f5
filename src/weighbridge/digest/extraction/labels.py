"""Words that label what follows: before a colon, in a table's header, on a line of their own; and a page's own date."""

from __future__ import annotations

import re

from .dates import dates

_POSTED = re.compile(r"(?i)\b(?:posted|published|updated|submitted|checked|stand|date:)\b[^.]{0,14}\d")
WHOLE_LABEL = re.compile(
    r"(?:total |active |activated |model )?(?:parameters?|params|size|parameter count)|(?:max(?:imum)? "
    r")?context(?: length| window| size)?|licen[cs]e|lizenz|"
    r"modalit(?:y|ies)|architecture|(?:release|launch)(?:d| date)?|(?:number of |active |total )?experts|base "
    r"model|input price|output price|downloads|likes|stars|"
    r"vram|memory|training tokens|status|input|output|format"
)
LABELLED_LINE = re.compile(
    rf"(?P<label>(?:{WHOLE_LABEL.pattern}|(?:input|output) (?:cost|token price))) (?=[$€£~≈]?\d"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d)"
)
"""`Release Date Jul 28, 2025`: a label and its value on a short line, with no colon."""
GLUED_LINE = re.compile(
    rf"(?P<label>(?=[A-Z])(?i:{WHOLE_LABEL.pattern}|(?:input|output) (?:cost|token price)))(?=[$€£¥~≈0-9]|[A-Z][a-z ])"
)
"""`LicenseModified MIT`, `Input Price$0.40/M`: cells of a table that have lost the gap between them."""
TABLE_HEAD = re.compile(
    r"(?:model )?(?:spec(?:ification)?|propert(?:y|ie)|attribute|feature|parameter|metric|item|detail|field|aspect"
    r"|characteristic|benchmark)s? ?(?:values?|details?|descriptions?|specifications?|info|scores?|specs?)"
)
"""`Spec Value`, `FeatureDetails`: the head of a table of properties that has lost its bars."""
LABEL_WORDS = frozenset(
    "total active activated model parameters parameter params size max maximum context license licence lizenz modality "
    "modalities architecture release released launch launched number experts base input output downloads likes stars "
    "vram memory training status format".split()
)
"""The words that a label begins with."""
_KNOWN_LABEL = re.compile(
    r"param|context|licen|lizenz|releas|launch|date|status|architect|type|expert|modalit|input|output|price"
    r"|pricing|cost|train|token|memory|vram|"
    r"ram\b|gpu|hardware|speed|throughput|download|star|like|rank|base|finetuned|format|size|window|mmlu|bench"
    r"|eval|gsm|math|aime|gpqa|expected|"
    r"file|quant|weights|available|kontext|pipeline|requires?|\barch|developer|arena|ifeval|hellaswag|mbpp|arc\b"
    r"|bbh|qa\b"
)


_SECTION = re.compile(
    r"\b(?:overview|tiers?|guide|corner|comparison|table|summary|hardware|benchmarks?|results|picks|numbers"
    r"|news|notes?"
    r"|efficiency|attention|performance|costs?|speeds?|design|inference|training|deployment|pricing|advantages?"
    r"|specifications?|specs?|features?|details|highlights|facts|value|story|availability|capabilit\w+|requirements"
    r"|entities|questions|watch\w*|trend\w*|metrics|impact|conclusion|introduction|closing|sources|related"
    r"|limitations?|usage|background|abstract|evaluations?|methods?|methodology|active|status|provider|references|links"
    r"|getting started|quick ?start|installation|setup|resources|faq|about|contact|comments|acknowledg\w+)\b"
)


def is_label(label: str) -> bool:
    """Whether the words before a colon tell what the words behind it are."""
    return bool(_KNOWN_LABEL.search(label))


def is_section(words: str) -> bool:
    """Whether a heading in lower case is of a part of the text, or a label, and no name."""
    return bool(
        TABLE_HEAD.fullmatch(words)
        or _SECTION.search(words)
        or WHOLE_LABEL.fullmatch(words)
        or _KNOWN_LABEL.search(words)
    )


_OPEN_ENDS = frozenset("for when to of in with on at by and or vs".split())


# What a list's own heading is of.
_TOPIC = re.compile(
    r"\b(?:models?|llms?|vlms?|generation|images?|video|vision|speech|audio|embeddings?|coding|writing|reasoning|chat|rag"
    r"|tools?|apps?|use cases?|open|closed|enterprise|local|frontier|families|releases?|others?|local)\b"
)


def titled(words: str) -> str:
    """A heading that is a name by its form: a few words, all with capitals."""
    parts = words.strip(" *_`").split()
    is_name = 1 <= len(parts) <= 4 and all(part[0].isupper() for part in parts) and len(words) < 50
    is_name = (
        is_name
        and parts[-1].lower() not in _OPEN_ENDS
        and not _SECTION.search(words.lower())
        and not _TOPIC.search(words.lower())
    )
    return " ".join(parts) if is_name else ""


def date_of_page(text: str) -> str | None:
    """The date that stands near the top on a short line of its own, in a dateline, or behind `Posted on`."""
    at = 0
    for line in text.split("\n")[:14]:
        for told in dates(text, at, at + len(line), None):
            short = len(line) < 90 and (told.end - told.start) * 4 > len(line.strip())
            opens = told.start - at < 40 and text[told.end : told.end + 3].strip()[:1] in ("—", "–", "-")
            if len(told.value) == 10 and (short or opens or _POSTED.search(line)):
                return told.value
        at += len(line) + 1
    return None


def year_of_page(head: str) -> int | None:
    """The year that its top names first."""
    found = re.search(r"\b(20[12]\d)\b", head)
    return int(found[1]) if found else None
