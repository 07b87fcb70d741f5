"""Tables whose rows have lost the gaps between their cells: `ModelParamsContext`, and below it `Tern 8B8B32K tokens`.

The header tells what each column holds; a row is parted where what it holds can stand. Lines that cannot be parted
stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

_MOST_HEADER, _MOST_ROW, _MOST_TABLES, _MOST_ROWS = 140, 240, 50, 200
_LEAST_COLUMNS, _MOST_FREE = 3, 3

_SIZE = r"(?:~|≈)?\d{1,4}(?:\.\d{1,2})?[BMT](?: \([^()\n]{1,30}\))?"
_LENGTH = r"(?:up to )?(?:~|≈)?\d[\d.,]{0,9}\+?[KkM]?(?: tokens)?"
_QUANT = r"(?:I?Q\d(?:_[A-Z0-9]{1,3}){0,3}|[FB]P?F?\d{1,2}|INT[48]|AWQ|GPTQ|MXFP4|NVFP4|\d-bit)"
_SPEED = r"(?:~|≈)?\d[\d.,–-]{0,10}\+? ?(?:tok(?:en)?s?/s(?:ec)?|t/s|tps)"
_MEMORY = r"(?:~|≈)?\d[\d.,–-]{0,8}\+? ?Gi?B\+?(?: V?RAM)?"
_PRICE = r"(?:~|≈)?\$\d[\d.,]{0,8}(?: ?/ ?(?:M|1M|MTok|million)(?: tokens)?)?|Free"
_SCORE = r"(?:~|≈)?\d{1,4}(?:\.\d{1,2})?%?"
_LICENCE = (
    r"(?:Modified )?MIT(?: License)?|Apache(?:[ -]?2(?:\.0)?)?(?: License)?|Proprietary|Closed|Open|Custom|Community"
    r"|Llama[\w .-]{0,30}|Gemma[\w .-]{0,20}|CC[ -]BY[\w. -]{0,12}|OpenRAIL[\w-]{0,4}|Research[\w -]{0,20}"
)
_UNKNOWN = r"|—|–|N/A|Undisclosed|Unknown|TBD"
_FREE = r"[^\n|]{1,60}?"
_COLUMNS: tuple[tuple[str, str], ...] = (
    (
        "Total Parameters|Total Params|Parameter Count|Parameters|Params|Active Parameters|Active Params|Model Size",
        _SIZE,
    ),
    ("Context Window|Context Length|Max Context|Context", _LENGTH),
    ("Quantization|Quant", _QUANT),
    ("Speed|Tokens/sec|Tokens/s|Tok/s", _SPEED),
    ("Min VRAM|VRAM Required|VRAM Needed|VRAM Usage|VRAM|RAM|Memory|File Size|Download Size", _MEMORY),
    ("Input Price|Output Price|Input Cost|Output Cost|Input|Output|Price", _PRICE),
    ("MMLU-Pro|MMLU|GPQA Diamond|GPQA|HumanEval|SWE-bench Verified|SWE-bench|LiveCodeBench|GSM8K|MATH", _SCORE),
    ("License|Licence", _LICENCE),
    ("Size", f"{_SIZE}|{_MEMORY}"),
    (
        "Model Name|Model|Name|Variant|Developer|Company|Provider|Maker|Best For|Best Use Case|Use Cases?"
        "|Key Strengths?|Key Features?|Strengths?|Notes?|Type|Architecture|Release Date|Released|Release|Highlights"
        "|Focus|Why",
        "",
    ),
)
_WORDS = sorted((word for words, _ in _COLUMNS for word in words.split("|")), key=len, reverse=True)
_WORD = re.compile("|".join(word if word.endswith("?") else re.escape(word) for word in _WORDS))
_HEADER = re.compile(rf"^(?=Model|Name|Variant)(?:{_WORD.pattern}){{{_LEAST_COLUMNS},9}}$", re.MULTILINE)

Edit = tuple[int, int, str]


def parted(text: str) -> Iterator[Edit]:
    """Where bars belong, as edits of the text: begin, end, and what stands there then."""
    for number, match in enumerate(_HEADER.finditer(text)):
        if number >= _MOST_TABLES or len(match[0]) > _MOST_HEADER:
            continue
        columns = [found.group() for found in _WORD.finditer(match[0])]
        row = _row_of(columns)
        rows = list(_rows(text, match.end(), row)) if row else []
        if len(rows) > 1:
            yield from _bars([found.span() for found in _WORD.finditer(text, *match.span())])
            for found in rows:
                yield from _bars([found.span(group) for group in range(1, len(columns) + 1)])


def _row_of(columns: list[str]) -> re.Pattern[str] | None:
    """What a row looks like below such a header; None where too little is told to part one."""
    kinds = [next(kind for words, kind in _COLUMNS if re.fullmatch(words, column)) for column in columns]
    free = sum(not kind for kind in kinds)
    if free > _MOST_FREE or free == len(kinds):
        return None
    cells = []
    for number, kind in enumerate(kinds):
        if kind:
            cells.append(f"({kind}{_UNKNOWN})")
        elif number + 1 == len(kinds):
            cells.append(r"([^\n|]{0,120})")
        else:
            # Two that tell nothing of themselves are parted before a capital.
            cells.append(f"({_FREE})" + ("" if kinds[number + 1] else r"(?<=[a-z0-9)])(?=[A-Z])"))
    return re.compile("".join(cells) + r"[ \t]*$", re.MULTILINE)


def _rows(text: str, at: int, row: re.Pattern[str]) -> Iterator[re.Match[str]]:
    for _ in range(_MOST_ROWS):
        while text.startswith("\n", at):
            at += 1
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        found = row.match(text, at, end) if 0 < end - at <= _MOST_ROW else None
        if found is None:
            return
        yield found
        at = end


def _bars(cells: list[tuple[int, int]]) -> Iterator[Edit]:
    yield cells[0][0], cells[0][0], "| "
    for (_, end), (start, _) in pairwise(cells):
        yield end, start, " | "
    yield cells[-1][1], cells[-1][1], " |"
