"""Where the models of a digest run: on this machine when nothing else runs on it, and on those of the settings.

`digest` knows no planner's arrays and no catalogue's shapes together; what it is handed are facts in words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from weighbridge import machine
from weighbridge.catalogue import Variant
from weighbridge.cli.candidates import candidates
from weighbridge.cli.choice import CHOSEN_FROM
from weighbridge.digest.assembly import Place
from weighbridge.digest.kept import Fact
from weighbridge.figures import Basis
from weighbridge.fit import Workload
from weighbridge.fit.ranking import Candidate, Ranking, rank
from weighbridge.machine import Machine
from weighbridge.settings import Settings
from weighbridge.sizes import show_bytes

CONTEXT = 8192
"""Tokens: what a chat with a document needs; as `weigh fit` takes it."""
_READABLE = 8.0
HERE = "this machine"


class Places:
    """Ranks each variant once on each machine."""

    def __init__(self, settings: Settings, until: str, machines: Sequence[str] = ()) -> None:
        self._until = until
        self._machines: list[tuple[str, bool, Machine]] = [(HERE, True, _at_rest(settings))]
        self._machines += [(text, False, machine.describe(text)) for text in (*settings.digest.machines, *machines)]
        self._found: dict[str, tuple[Place, ...]] = {}

    def __call__(self, variants: Sequence[Variant]) -> Mapping[str, Sequence[Place]]:
        """By a variant's name, a fact for each machine; nothing for a variant whose layers are not known."""
        asked = candidates([variant for variant in variants if variant.name not in self._found])
        if asked:
            rows: dict[str, list[Place]] = {variant.name: [] for variant, _ in asked}
            for name, is_here, where in self._machines:
                for variant, place in self._rank(asked, name, where, is_here=is_here):
                    rows[variant.name].append(place)
            self._found |= {name: tuple(found) for name, found in rows.items()}
        return self._found

    def _rank(
        self, asked: Sequence[tuple[Variant, Candidate]], name: str, where: Machine, *, is_here: bool
    ) -> Iterator[tuple[Variant, Place]]:
        # A model's own context may be shorter; what is longer than that counts as what does not fit.
        lengths = [min(CONTEXT, candidate.context_length) for _, candidate in asked]
        contexts = sorted(set(lengths))
        ranking = rank([each for _, each in asked], where, contexts, Workload(context_tokens=CONTEXT, parallel=1))
        best: dict[int, tuple[tuple[int, bool], int]] = {}
        for row, (owner, number) in enumerate(ranking.rows):
            if asked[owner][1].quantizations[number].recipe not in CHOSEN_FROM:
                continue
            column = contexts.index(lengths[owner])
            speed = float(ranking.decode_low[row, column] + ranking.decode_high[row, column]) / 2
            place = _VERDICTS.index(ranking.verdict(row, column))
            # Quantizations come from the most bits to the fewest: the first that fits and is fast enough to read along,
            # else the first that fits, else the smallest.
            order = (place, speed < _READABLE)
            if owner not in best or order < best[owner][0] or (place == best[owner][0][0] == len(_VERDICTS) - 1):
                best[owner] = (order, row)
        for owner, (variant, _) in enumerate(asked):
            if owner in best:
                yield (
                    variant,
                    _place(
                        ranking,
                        best[owner][1],
                        contexts.index(lengths[owner]),
                        asked[owner],
                        name,
                        where,
                        self._until,
                        is_here=is_here,
                    ),
                )


_VERDICTS = ("fits", "tight", "no")


def _place(
    ranking: Ranking,
    row: int,
    column: int,
    asked: tuple[Variant, Candidate],
    name: str,
    where: Machine,
    until: str,
    *,
    is_here: bool,
) -> Place:
    """One cell of the ranking, in words."""
    variant, candidate = asked
    verdict = ranking.verdict(row, column)
    recipe = candidate.quantizations[ranking.rows[row][1]].recipe
    need = float(ranking.need_bytes[row, column])
    low, high = float(ranking.decode_low[row, column]), float(ranking.decode_high[row, column])
    has_speed = low == low and high == high and verdict != "no"
    said = {"fits": "fits", "tight": "is tight on" if is_here else "is tight", "no": "does not fit"}[verdict]
    who = f"{said} {HERE}" if is_here else f"{name}: {said}"
    speed = f", {_short(low)} to {_short(high)} tokens/s" if has_speed else ""
    text = f"{who} at {recipe}: {show_bytes(need)} with {ranking.contexts[column]:,} tokens{speed}"
    value = {"verdict": verdict, "machine": name, "quantization": recipe, "memory_bytes": round(need)}
    source = f"weigh fit, by the shape of {variant.name} on {where.name or HERE}"
    return Place(name, is_here, Fact(variant.name, f"fit:{name}", value, text, Basis.COMPUTED, source, recipe, until))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _at_rest(settings: Settings) -> Machine:
    """This machine with all its memory free but the margin: a digest speaks of weeks, not of this moment."""
    here = machine.detect(settings.state_path, models=Path.home())
    devices = tuple(dataclasses.replace(each, memory_free_bytes=each.memory_total_bytes) for each in here.devices)
    if here.memory is None:
        return dataclasses.replace(here, devices=devices)
    whole = min(here.memory.total_bytes, here.memory.cgroup_limit_bytes or here.memory.total_bytes)
    memory = dataclasses.replace(here.memory, available_bytes=max(0, whole - settings.memory_margin_bytes))
    return dataclasses.replace(here, memory=memory, devices=devices)
