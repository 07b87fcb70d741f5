"""`Drawing`: lines, dots and words on a sheet, as SVG or as PNG; no library of plots is needed for either."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_COLOURS = {"ink": "#1a1a1a", "soft": "#666666", "line": "#cccccc", "mark": "#0b62c4"}
"""By their roles; a page may have its own for them (`var(--ink)`)."""
_LETTER = 13.0
_MARGIN = 12.0


@dataclass(frozen=True, slots=True)
class Line:
    """From one point to another."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str = "line"
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Dot:
    """A filled circle; hollow ones mark what something else beats."""

    x: float
    y: float
    filled: bool = True
    radius: float = 5.0


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text whose first letter stands on (x, y); `end` puts its last one there."""

    x: float
    y: float
    text: str
    end: bool = False
    colour: str = "ink"


Mark = Line | Dot | Words


@dataclass(frozen=True, slots=True)
class Drawing:
    """Marks on a sheet of so many points; y grows downwards."""

    width: float
    height: float
    marks: tuple[Mark, ...]
    label: str = ""
    """What it shows, for those who do not see it."""


def stacked(drawings: Sequence[Drawing]) -> Drawing:
    """One below the other, with a margin around all."""
    marks: list[Mark] = []
    top = _MARGIN
    for drawing in drawings:
        marks += [_moved(mark, _MARGIN, top) for mark in drawing.marks]
        top += drawing.height
    width = max((drawing.width for drawing in drawings), default=1.0)
    return Drawing(width + 2 * _MARGIN, top + _MARGIN, tuple(marks), "; ".join(drawing.label for drawing in drawings))


def _moved(mark: Mark, right: float, down: float) -> Mark:
    if isinstance(mark, Line):
        return replace(mark, x1=mark.x1 + right, x2=mark.x2 + right, y1=mark.y1 + down, y2=mark.y2 + down)
    return replace(mark, x=mark.x + right, y=mark.y + down)


def svg(drawing: Drawing, *, in_page: bool = False) -> str:
    """As SVG: within a page that has colours for the roles, or as a file of its own."""

    def colour(role: str) -> str:
        return f"var(--{role})" if in_page else _COLOURS[role]

    def drawn(mark: Mark) -> str:
        if isinstance(mark, Line):
            dashes = ' stroke-dasharray="4"' if mark.dashed else ""
            return (
                f'<line x1="{mark.x1:.1f}" y1="{mark.y1:.1f}" x2="{mark.x2:.1f}" y2="{mark.y2:.1f}" '
                f'stroke="{colour(mark.colour)}" stroke-width="{mark.width:g}"{dashes}/>'
            )
        if isinstance(mark, Dot):
            fill = colour("mark") if mark.filled else ("var(--back)" if in_page else "#ffffff")
            return (
                f'<circle cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{mark.radius:g}" fill="{fill}" '
                f'stroke="{colour("mark")}" stroke-width="1.5"/>'
            )
        end = ' text-anchor="end"' if mark.end else ""
        return f'<text x="{mark.x:.1f}" y="{mark.y:.1f}" fill="{colour(mark.colour)}"{end}>{escape(mark.text)}</text>'

    own = "" if in_page else f' xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="{_LETTER:g}"'
    sheet = "" if in_page else '<rect width="100%" height="100%" fill="#ffffff"/>'
    return (
        f'<svg{own} viewBox="0 0 {drawing.width:g} {drawing.height:g}" role="img" aria-label="{escape(drawing.label)}">'
        f"{sheet}{''.join(map(drawn, drawing.marks))}</svg>"
    )


# The letters of a PNG: lines from point to point on a grid of 5 by 7, x and y a digit each, y from the top. Letters
# without lines of their own are drawn as a box.
_STROKES = {
    "A": "062046 1434", "B": "003041320333440636 0006 0333", "C": "4130100105163645", "D": "00304145360600",
    "E": "40000646 0333", "F": "400006 0333", "G": "41301001051636454323", "H": "0006 4046 0343",
    "I": "1030 2026 1636", "J": "4045361605", "K": "0006 400346", "L": "000646", "M": "0600234046",
    "N": "06004640", "O": "103041453616050110", "P": "06003041423303", "Q": "103041453616050110 2446",
    "R": "06003041423303 2346", "S": "413010010213334445361605", "T": "0040 2026", "U": "000516364540",
    "V": "002640", "W": "0016233640", "X": "0046 4006", "Y": "0023 402326", "Z": "00400646",
    "0": "103041453616050110 4105", "1": "112026 1636", "2": "0110304142060646", "3": "0040233344453616 05",
    "4": "36300444", "5": "400003334445361605", "6": "413010010516364544331304", "7": "004016",
    "8": "103041423313020110 1304051636454433", "9": "4333130201103041453616 05", ".": "2526", ",": "2516",
    "-": "1333", "_": "0646", ":": "2122 2526", "/": "0640", "(": "30212536", ")": "10212516", "[": "30202636",
    "]": "10202616", "+": "2125 0343", "%": "0640 0010110100 3545463635", "#": "1016 3036 0242 0444",
    "=": "0242 0444", "'": "2021", "\"": "1011 3031", "*": "2125 0244 0442", "<": "400346", ">": "004306",
    "?": "01103041422324 2526", "!": "2024 2526", "@": "46160501103041443424223242",
    "$": "413010010213334445361605 2026", "&": "46021030320405163645", "|": "2026", " ": "", "~": "0312233443",
    ";": "2122 2516", "^": "022042", "\\": "0046", "{": "3021221323242536", "}": "1021223323242516",
    "`": "1021",
}  # fmt: skip
_BOX = "0040460600"
_SMALL = 0.78
"""Small letters are drawn as capitals of this height."""


def png(drawing: Drawing, scale: float = 2.0) -> bytes:
    """As a PNG of so many pixels a point."""
    import numpy as np

    sheet = np.full((round(drawing.height * scale), round(drawing.width * scale), 3), 255.0)
    for mark in drawing.marks:
        if isinstance(mark, Line):
            _draw_line(sheet, mark, scale)
        elif isinstance(mark, Dot):
            radius = mark.radius + 0.75
            _cover(sheet, (mark.x, mark.y, mark.x, mark.y), radius, _rgb("mark"), scale)
            if not mark.filled:
                _cover(sheet, (mark.x, mark.y, mark.x, mark.y), radius - 1.5, (255.0, 255.0, 255.0), scale)
        else:
            _write(sheet, mark, scale)
    return _encoded(sheet.round().astype(np.uint8))


def _rgb(role: str) -> tuple[float, float, float]:
    value = int(_COLOURS[role][1:], 16)
    return float(value >> 16), float(value >> 8 & 255), float(value & 255)


def _draw_line(sheet: npt.NDArray[np.float64], line: Line, scale: float) -> None:
    length = ((line.x2 - line.x1) ** 2 + (line.y2 - line.y1) ** 2) ** 0.5
    dashes = max(1, round(length / 4)) if line.dashed else 1
    for dash in range(0, dashes, 2):
        ends = [dash / dashes, (dash + 1) / dashes]
        x1, x2 = (line.x1 + (line.x2 - line.x1) * share for share in ends)
        y1, y2 = (line.y1 + (line.y2 - line.y1) * share for share in ends)
        _cover(sheet, (x1, y1, x2, y2), line.width / 2, _rgb(line.colour), scale)


def _write(sheet: npt.NDArray[np.float64], words: Words, scale: float) -> None:
    unit = _LETTER * 0.72 / 6
    steps = [6.2 * (_SMALL if letter.islower() else 1.0) * unit for letter in words.text]
    x = words.x - (sum(steps) if words.end else 0.0)
    for letter, step in zip(words.text, steps, strict=True):
        size = unit * (_SMALL if letter.islower() else 1.0)
        for stroke in _STROKES.get(letter.upper(), _BOX).split():
            points = [
                (x + int(stroke[at]) * size, words.y - (6 - int(stroke[at + 1])) * size)
                for at in range(0, len(stroke) - 1, 2)
            ]
            for first, second in pairwise(points):
                _cover(sheet, (*first, *second), 0.55, _rgb(words.colour), scale)
        x += step


def _cover(
    sheet: npt.NDArray[np.float64],
    ends: tuple[float, float, float, float],
    radius: float,
    colour: tuple[float, float, float],
    scale: float,
) -> None:
    """Paint all that lies within a radius of a line, softly at its edge."""
    import numpy as np

    x1, y1, x2, y2 = (end * scale for end in ends)
    reach = radius * scale
    height, width, _ = sheet.shape
    left, right = max(0, int(min(x1, x2) - reach - 1)), min(width, int(max(x1, x2) + reach + 2))
    top, bottom = max(0, int(min(y1, y2) - reach - 1)), min(height, int(max(y1, y2) + reach + 2))
    if left >= right or top >= bottom:
        return
    y, x = np.mgrid[top:bottom, left:right] + 0.5
    dx, dy = x2 - x1, y2 - y1
    squared = dx * dx + dy * dy
    along = np.clip(((x - x1) * dx + (y - y1) * dy) / squared, 0, 1) if squared else np.zeros_like(x)
    distance = np.hypot(x - x1 - along * dx, y - y1 - along * dy)
    share = np.clip(reach + 0.5 - distance, 0, 1)[..., None]
    part = sheet[top:bottom, left:right]
    part += share * (np.array(colour) - part)


def _encoded(pixels: npt.NDArray[np.uint8]) -> bytes:
    """By the PNG specification, ISO/IEC 15948: eight bits a colour, no filter."""
    height, width, _ = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
