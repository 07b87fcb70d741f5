"""The drawings of a report: scores with their intervals, and quality against each cost with its Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from weighbridge.cli import drawing, output
from weighbridge.cli.drawing import Dot, Drawing, Line, Mark, Words
from weighbridge.errors import BadSetting
from weighbridge.evals import Report
from weighbridge.evals.cost import AXES, points_of
from weighbridge.evals.report import Result

_NAME = 34
_WIDTH, _LEFT, _RIGHT = 900.0, 220.0, 860.0
_TOP, _BOTTOM = 46.0, 306.0
_ROWS = 10
_MOST_LETTERS = 26


def write(path: Path, reports: Sequence[Report]) -> None:
    """All drawings of all reports in a file, by its ending."""
    check(path)
    sheet = drawing.stacked([each for report in reports for each in drawings(report)])
    if path.suffix == ".svg":
        path.write_text(drawing.svg(sheet), encoding="utf-8")
    else:
        path.write_bytes(drawing.png(sheet))


def check(path: Path) -> None:
    """BadSetting for a file that is drawn in no form that is known."""
    if path.suffix not in (".svg", ".png"):
        raise BadSetting(f"--plot {path} ends with neither .svg nor .png", hint="name a file that does")


def drawings(report: Report) -> list[Drawing]:
    """The intervals, and quality against each cost that two models at least have."""
    scatters = [scatter(report, axis) for axis in AXES]
    return [intervals(report.task, report.results), *(each for each in scatters if each is not None)]


def points(report: Report, axis: str) -> dict[str, tuple[float, float]]:
    """(quality, cost) by model, in the unit of the axis."""
    costs = [(each.model, each.estimate.value if each.estimate else None, each.cost) for each in report.results]
    return points_of(costs, axis)


def intervals(task: str, results: Sequence[Result]) -> Drawing:
    """A line a model, from the low to the high end of its interval, on one scale from 0 to 1."""
    row, top = 28.0, 44.0
    bottom = top + len(results) * row
    marks: list[Mark] = [Words(0, 16, f"{task}: scores with their intervals of 95 %", colour="soft")]
    for tick in range(0, 11, 2):
        x = _LEFT + (_RIGHT - _LEFT) * tick / 10
        marks += [Line(x, top - 14, x, bottom - 12), Words(x + 9, bottom + 6, f"{tick / 10:.1f}", end=True)]
    for at, result in enumerate(results):
        y = top + at * row
        marks.append(Words(0, y + 4, result.model[:_NAME]))
        if result.estimate is not None:
            low, high = (
                _LEFT + (_RIGHT - _LEFT) * end for end in (result.estimate.interval.low, result.estimate.interval.high)
            )
            marks.append(Line(low, y, high, y, "mark", 3.0))
            marks.append(Dot(_LEFT + (_RIGHT - _LEFT) * result.estimate.value, y))
    return Drawing(_WIDTH, bottom + 20, tuple(marks), f"{task}: scores with their intervals")


def scatter(report: Report, axis: str) -> Drawing | None:
    """Quality against a cost; what nothing beats is filled and joined. None where fewer than two models have it."""
    found = points(report, axis)
    if len(found) < 2:
        return None
    label = AXES[axis][1]
    ticks = _ticks(max(cost for _, cost in found.values()) * 1.15)
    most = ticks[-1]
    left, right = 70.0, 640.0
    place = {
        name: (left + (right - left) * cost / most, _BOTTOM - (_BOTTOM - _TOP) * quality)
        for name, (quality, cost) in found.items()
    }
    marks: list[Mark] = [
        Words(0, 16, f"{report.task}: score against {label} (filled: nothing beats it in both)", colour="soft"),
        Line(left, _TOP, left, _BOTTOM),
        Line(left, _BOTTOM, right, _BOTTOM),
        *(Words(left - 8, _BOTTOM - (_BOTTOM - _TOP) * tick / 4 + 4, f"{tick / 4:g}", end=True) for tick in range(5)),
        *(Words(left + (right - left) * tick / most + 8, _BOTTOM + 18, f"{tick:,.12g}", end=True) for tick in ticks),
    ]
    front = report.fronts.get(axis, ())
    marks += [
        Line(*first, *second, "mark", 1.5, dashed=True)
        for first, second in pairwise(sorted(place[name] for name in front))
    ]
    for name, (x, y) in place.items():
        marks += [Dot(x, y, filled=name in front), Words(x + 9, y - 6, name[:_NAME])]
    return Drawing(_WIDTH, _BOTTOM + 36, tuple(marks), f"{report.task}: score against {label}")


def _ticks(most: float) -> list[float]:
    """Round numbers from 0 to beyond the largest: 0, 10, 20, 30 for 26; steps of 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(most / 4))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= most / 4)
    return [round(step * number, 12) for number in range(math.ceil(most / step) + 1)]


def terminal(report: Report, axis: str) -> str:
    """The same in letters: each model's, with `*` behind those that nothing beats. Empty where there is no front."""
    found = points(report, axis)
    if not 2 <= len(found) <= _MOST_LETTERS:
        return ""
    label, front = AXES[axis][1], report.fronts.get(axis, ())
    columns = min(60, output.width() - 12)
    most = max(cost for _, cost in found.values()) or 1.0
    best, worst = (pick(quality for quality, _ in found.values()) for pick in (max, min))
    span = best - worst or 1.0
    grid = [[" "] * (columns + 1) for _ in range(_ROWS)]
    legend = []
    for letter, (name, (quality, cost)) in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", found.items(), strict=False):
        row, column = round((best - quality) / span * (_ROWS - 1)), round(cost / most * columns)
        # Where two fall on one place, the second stands beside the first.
        while grid[row][column] != " " and column < columns:
            column += 1
        grid[row][column] = letter
        legend.append(f"{letter} {name}{'*' if name in front else ''}")
    lines = [f"score against {label} (* nothing beats it in both)"]
    for at, cells in enumerate(grid):
        edge = f"{best:.3f}" if at == 0 else f"{worst:.3f}" if at == _ROWS - 1 else ""
        lines.append(f"{edge:>6} |{''.join(cells).rstrip()}")
    lines.append(" " * 7 + "+" + "-" * columns)
    lines.append(" " * 8 + "0" + f"{float(f'{most:.3g}'):,.12g}".rjust(columns - 1))
    return "\n".join([*lines, *_wrapped(legend)])


def _wrapped(entries: Sequence[str]) -> list[str]:
    """As many entries a line as there is room for."""
    lines = [""]
    for entry in entries:
        if lines[-1] and len(lines[-1]) + len(entry) + 3 > output.width() - 8:
            lines.append("")
        lines[-1] += ("   " if lines[-1] else "") + entry
    return [" " * 8 + output.printable(line) for line in lines]
