"""Under which heading a value stands: in a list of properties that its model heads, or in which column of a table.

A list of properties is as certain as a row of a table:

    Llama 4 Scout

    - Parameters: 109B
    - License: Llama 4 Community License

where the heading is the name and no more than a subtitle, each line down to the value's has a label, and the value's
own label is that of its field.
"""

from __future__ import annotations

import re

from .attribution import places_of_value
from .case import Case

_MOST_LINES, _MOST_HEADING, _MOST_LABEL, _MOST_VALUE = 14, 90, 32, 70
_LABELS = {
    "parameters_total": r"(?:total |model )?(?:param\w*|size)(?: count)?",
    "parameters_active": r"(?:active|activated)(?: param\w*)?(?: per token)?",
    "context_length": r"(?:max(?:imum)? |native )?context(?: (?:length|window|size))?",
    "licence": r"licen[sc]e",
    "release_date": r"(?:released?|release date|launch(?:ed)?)",
    "experts": r"(?:number of |total |routed )?experts",
}
_LINE = re.compile(
    r"^\s*(?:[-*+•◦▪]|\d{1,2}[.)])?\s*[^\w\s]{0,3}\s?"
    rf"([A-Za-z][\w /()-]{{0,{_MOST_LABEL}}}?)\W{{0,3}}[:=]\W{{0,3}}(.*)$"
)
_BEFORE_NAME = re.compile(r"^(?:#{1,6}\s|[-*+•]\s|\d{1,2}(?:\.\d{1,2})*[.):]?\s|[^\w\s]+\s?)*")
_PART = r"[\s_:/‑–-]{0,2}"
# What makes a heading that begins with a name one of something else, or of two.
_FURTHER = re.compile(
    r"\b(?:vs|versus|and|or|api|gguf|awq|gptq|fp8|fp4|int[48]|nvfp4|mxfp4|mlx|quant\w*|distill\w*|fine-?tun\w*|lora|based"
    r"|merge\w*|setup|install\w*|config\w*|deploy\w*|recipe|benchmark\w*|results?|via|on|with|at|for|using|in|plus"
    r"|mini|lite|max|pro|turbo|flash|coder|vl|vision|omni|next)\b|[/,&+]|\d\s?[bt]\b"
)


def is_listed_under_it(case: Case) -> bool:
    """Whether the claim's line is a property of a list that its subject heads."""
    label = _LABELS.get(case.claim.field)
    own = _LINE.match(case.claim.quote.strip())
    if label is None or own is None or len(own[2]) > _MOST_VALUE:
        return False
    if not re.fullmatch(label, own[1].strip().lower()):
        return False
    for line in reversed(case.above[-_MOST_LINES:]):
        listed = _LINE.match(line)
        if not line.strip(" `") or (listed and listed[2].strip(" *_`")):
            continue
        # The heading, or a label that has nothing behind it.
        return _is_its_name(case, line)
    return False


def _is_its_name(case: Case, line: str) -> bool:
    heading = _BEFORE_NAME.sub("", line.strip(), count=1)
    if len(heading) > _MOST_HEADING or heading.rstrip().endswith((".", "!", "?", ";")):
        return False
    parts = [re.escape(part) for part in re.split(r"[\s_:/–-]+", case.claim.subject) if part]
    match = re.match(rf"\W{{0,3}}{_PART.join(parts)}(?![\w]|[-_]\w|\.\d)", heading, re.I)
    return match is not None and not _FURTHER.search(heading[match.end() :].lower())


def header_of(case: Case) -> list[str]:
    """The cells of the first row of the table that the quote is a row of, in small letters; none where it is no row."""
    if "|" not in case.claim.quote:
        return []
    rows = []
    for line in reversed(case.above):
        if "|" not in line:
            break
        rows.append(line)
    return [cell.strip(" *_`") for cell in rows[-1].lower().strip().strip("|").split("|")] if rows else []


def column_of(case: Case, header: list[str]) -> str:
    """What the header calls the column that the value stands in; empty where it is not sure which."""
    quote = case.claim.quote.strip()
    lead = quote.startswith("|")
    columns = {quote.count("|", 0, at) - lead for at in places_of_value(case.claim)}
    if len(columns) != 1 or quote.strip("|").count("|") + 1 != len(header):
        return ""
    return header[columns.pop()]
