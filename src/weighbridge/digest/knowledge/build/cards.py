"""Scores that makers publish in tables of their cards: whose score, on what, by whose card."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_MOST_CELL = 80
_PIPED = re.compile(r"^\s*\|.*\|\s*$")
_RULE = re.compile(r"^[\s|:-]+$")
_SCORE = re.compile(r"(?<![\d.])(\d{1,4}(?:\.\d{1,2})?)\s*%?\*?$")
# Names of models have a family's word; heads such as `Metric` or `# Shots` do not.
_MODEL = re.compile(
    r"(?i)(llama|qwen|deepseek|gpt|claude|gemini|gemma|glm|kimi|minimax|mimo|mistral|mixtral|yi-|dbrx|phi|bonsai|grok"
    r"|falcon|codellama|opus|sonnet|o3|o4)"
)
# What a score is of, by the words before, between and after.
_SHOTS = re.compile(r"(?i)\b\d+-?\s*shots?\b|#\s*shots")


def read_cards(data: Path) -> list[list[str]]:
    """A row a score: model, benchmark, value, the card."""
    found = []
    for path in sorted((data / "model-cards").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        card = path.stem.replace("+", "/").removesuffix("-README").removesuffix("-MODEL_CARD")
        card = {"meta-": "meta-llama/llama-models "}.get(card[:5], "") + card
        for table in (*_piped(text), *_tagged(text)):
            for model, benchmark, value in _scores(table):
                found.append([model, benchmark, value, f"model card of {card}"])
    return sorted({tuple(row): row for row in found}.values())


def _scores(table: list[list[str]]) -> Iterator[tuple[str, str, str]]:
    heads = next((row for row in table if sum(bool(_MODEL.search(cell)) for cell in row) >= 2), None)
    if heads is None:
        return
    columns = {number: _plain(cell) for number, cell in enumerate(heads) if _MODEL.search(cell)}
    first = min(columns)
    for row in table[table.index(heads) + 1 :]:
        if len(row) != len(heads):
            continue
        labels = [_plain(cell) for cell in row[:first]]
        named = [cell for cell in labels if re.search(r"[A-Za-z]{3}", cell) and not _SHOTS.fullmatch(cell)]
        if not named or any(cell.lstrip("# ").lower().startswith(("activated", "total", "arch")) for cell in labels):
            continue
        benchmark = _benchmark(named)
        for number, model in columns.items():
            score = _SCORE.search(_plain(row[number]))
            if benchmark and score and score[0] == _plain(row[number]) and model:
                yield model, benchmark, score[1]


_METRIC = re.compile(r"(?i)^(acc|em|macro|pass@|f1|rouge|average|exact|cot|\d|accuracy|score|match)")
_GROUPS = frozenset(
    "general english chinese code math multilingual reasoning knowledge agentic coding category vision tool stem"
    " capability instruction".split()
)


def _benchmark(labels: list[str]) -> str:
    """The cell that names the benchmark: neither its group nor its metric."""
    names = [cell for cell in labels if not _METRIC.match(cell) and cell.split()[0].lower() not in _GROUPS]
    return names[0][:_MOST_CELL] if names else ""


def _plain(cell: str) -> str:
    cell = re.sub(r"<[^>]*>", " ", cell)
    cell = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", cell)
    cell = re.sub(r"[*`†‡^~]|\\(?=_)", "", cell)
    return " ".join(cell.split())[:_MOST_CELL]


def _piped(text: str) -> Iterator[list[list[str]]]:
    table: list[list[str]] = []
    for line in (*text.splitlines(), ""):
        if _PIPED.match(line):
            if not _RULE.match(line):
                table.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif table:
            yield table
            table = []


class _Tables(HTMLParser):
    """Rows of cells; a cell that spans rows or columns stands in each."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._row: list[str] | None = None
        self._cell: list[str] | None = None
        self._spans: dict[int, tuple[int, str]] = {}
        self._now = (1, 1)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
            self._spans = {}
        elif tag == "tr" and self.tables:
            self._end_row()
            self._row = []
        elif tag in ("td", "th") and self._row is not None:
            self._end_cell()
            asked = dict(attrs)
            self._now = (_span(asked.get("rowspan")), _span(asked.get("colspan")))
            self._fill()
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._end_cell()
        elif tag in ("tr", "table"):
            self._end_row()

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def _fill(self) -> None:
        while self._row is not None and len(self._row) in self._spans:
            column = len(self._row)
            left, text = self._spans[column]
            self._row.append(text)
            if left > 1:
                self._spans[column] = left - 1, text
            else:
                del self._spans[column]

    def _end_cell(self) -> None:
        if self._cell is None or self._row is None:
            return
        text = " ".join("".join(self._cell).split())
        rows, columns = self._now
        for _ in range(columns):
            if rows > 1:
                self._spans[len(self._row)] = rows - 1, text
            self._row.append(text)
        self._cell = None

    def _end_row(self) -> None:
        self._end_cell()
        if self._row:
            self._fill()
            self.tables[-1].append(self._row)
        self._row = None


def _span(text: str | None) -> int:
    return min(max(int(text), 1), 50) if text and text.isdigit() else 1


def _tagged(text: str) -> list[list[list[str]]]:
    reader = _Tables()
    reader.feed(text)
    reader.close()
    return reader.tables
