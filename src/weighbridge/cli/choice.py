"""`weigh fit` over the catalogue: a grid for one model, and which models fit a machine."""

from __future__ import annotations

import argparse
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weighbridge import catalogue
from weighbridge.catalogue import Variant
from weighbridge.cli import output
from weighbridge.cli.candidates import RECIPES, candidates
from weighbridge.cli.fit_pages import CONTEXTS, cell, legend, machine_lines, show_context
from weighbridge.errors import BadSetting, UnknownModel
from weighbridge.fit import Verdict, Workload
from weighbridge.fit.ranking import Candidate, Ranking, rank
from weighbridge.machine import Machine
from weighbridge.sizes import parse_bytes, show_bytes, show_count

# Without a word on the context, what a chat with a document needs.
_CONTEXT = 8192
# Without a word on speed, about as fast as people read.
_READABLE = 8.0
_SHORTEST_NAME = 18
# 16-bit files are for making others from.
CHOSEN_FROM = frozenset({"Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q4_0", "MXFP4_MOE", "IQ4_XS"})


def _from_floor(floor: str | None) -> tuple[str, ...]:
    """The recipes from the most bits down to the floor."""
    if floor is None:
        return RECIPES
    if floor.upper() not in RECIPES:
        raise BadSetting(f"no recipe is named {floor!r}", hint=f"--floor is one of: {', '.join(RECIPES)}")
    return RECIPES[: RECIPES.index(floor.upper()) + 1]


def grid(
    name: str, here: Machine, workload: Workload, folder: Path, floor: str | None = None
) -> tuple[object, str, bool]:
    """Quantizations by contexts for one model of the catalogue: data, page, and whether anything fits."""
    found = catalogue.load(folder)
    variant = found.resolve(name)
    ranked = candidates([variant], _from_floor(floor))
    if not ranked:
        raise UnknownModel(
            f"{variant.name}: the catalogue knows it, but not its layers: nothing is said rather than guessed",
            hint=f"weigh fit {variant.repository} reads its own files",
        )
    ((_, candidate),) = ranked
    contexts = [context for context in CONTEXTS if context <= candidate.context_length] or [candidate.context_length]
    if workload.context_tokens and workload.context_tokens not in contexts:
        contexts = sorted({*contexts, workload.context_tokens})
    ranking = rank([candidate], here, contexts, workload)
    rows, data = [], []
    for row, (_, number) in enumerate(ranking.rows):
        quantized = candidate.quantizations[number]
        cells = []
        for column, context in enumerate(contexts):
            verdict = Verdict(ranking.verdict(row, column))
            cells.append(cell(verdict, _middle(ranking, row, column)))
            data.append(_as_data(variant, candidate, ranking, row, column) | {"context_tokens": context})
        rows.append((quantized.recipe, show_bytes(quantized.weights_bytes), *cells))
    head = ("", "size", *map(show_context, contexts))
    table = output.table(head, rows, right=range(1, len(head)))
    # The second column is a size.
    below = legend([row[1:] for row in rows], workload.parallel)
    if contexts[-1] > candidate.context_length:
        below += f"\nit was made for {candidate.context_length:,} tokens: longer contexts are not counted"
    page = [_headline(variant), table, below, _sources(variant)]
    asked = [entry for entry in data if entry["context_tokens"] == (workload.context_tokens or entry["context_tokens"])]
    fits = any(entry["verdict"] != "no" and _is_fast(entry, workload.wanted_tokens_per_second) for entry in asked)
    machine = machine_lines(here)
    return {"name": variant.name, "grid": data, "machine": here}, "\n\n".join(page) + "\n" + machine, fits


def _is_fast(entry: dict[str, Any], wanted: float | None) -> bool:
    """Whether it may be as fast as wanted; an unknown speed is held against nothing."""
    return wanted is None or entry["decode"] is None or entry["decode"]["high"] >= wanted


def _headline(variant: Variant) -> str:
    parts = [variant.name]
    if variant.parameters:
        active = variant.active_parameters
        apart = active and active.value != variant.parameters.value
        parts.append(
            f"{show_count(variant.parameters.value)} parameters"
            + (f", {show_count(active.value)} active" if active and apart else "")
        )
    if variant.context_length:
        parts.append(f"{variant.context_length.value:,} tokens of context")
    if variant.licence:
        parts.append(variant.licence.value)
    return ", ".join(parts)


def _sources(variant: Variant) -> str:
    shape = variant.shape
    lines = [("repository", variant.repository)]
    if shape:
        lines.append(("shape", f"{shape.basis}: {shape.source} ({shape.date})"))
    lines.append(("sizes", "computed by llama.cpp's own rules for choosing types; a file has its header beside"))
    lines += [("note", note) for note in variant.notes]
    return output.fields(lines)


def _middle(ranking: Ranking, row: int, column: int) -> float | None:
    low, high = float(ranking.decode_low[row, column]), float(ranking.decode_high[row, column])
    return (low + high) / 2 if low == low and high == high else None


def _as_data(variant: Variant, candidate: Candidate, ranking: Ranking, row: int, column: int) -> dict[str, Any]:
    quantized = candidate.quantizations[ranking.rows[row][1]]
    middle = _middle(ranking, row, column)
    share = float(ranking.share[row, column])
    return {
        "model": variant.name,
        "repository": variant.repository,
        "quantization": quantized.recipe,
        "verdict": ranking.verdict(row, column),
        "weights_bytes": quantized.weights_bytes,
        "memory_bytes": round(float(ranking.need_bytes[row, column])),
        "share": share if share != float("inf") else None,
        "on_gpu": float(ranking.on_device[row, column]),
        "decode": None
        if middle is None
        else {
            "low": float(ranking.decode_low[row, column]),
            "high": float(ranking.decode_high[row, column]),
            "basis": "computed",
        },
        "parameters": variant.parameters,
        "active_parameters": variant.active_parameters,
        "context_length": variant.context_length,
        "licence": variant.licence,
        "released": variant.released,
        "downloads": variant.downloads,
        "evidence": variant.evidence,
    }


def _wanted(arguments: argparse.Namespace, variants: Sequence[Variant]) -> list[Variant]:
    """Those that the filters leave; a filter on what is not known leaves nothing."""
    kept = []
    for variant in variants:
        if arguments.task and not variant.has(arguments.task):
            continue
        if arguments.licence and not (variant.licence and arguments.licence.lower() in variant.licence.value.lower()):
            continue
        if arguments.modality and not (variant.modalities and arguments.modality in variant.modalities.value.input):
            continue
        kept.append(variant)
    if not kept:
        raise BadSetting("no model of the catalogue passes these filters", hint=_filters(arguments, variants))
    return kept


def _filters(arguments: argparse.Namespace, variants: Sequence[Variant]) -> str:
    """What the first filter that nothing passes alone may be; or that they are too many."""
    tags = sorted({tag.name for variant in variants for tag in variant.tags})
    if arguments.task and arguments.task not in tags:
        return f"--task is one of: {', '.join(tags)}"
    inputs = sorted({kind for variant in variants if variant.modalities for kind in variant.modalities.value.input})
    if arguments.modality and arguments.modality not in inputs:
        return f"--modality is one of: {', '.join(inputs)}"
    licences = Counter(variant.licence.value for variant in variants if variant.licence)
    if arguments.licence and not any(arguments.licence.lower() in name.lower() for name in licences):
        return f"--licence is part of a name, as in: {', '.join(name for name, _ in licences.most_common(6))}"
    return "leave one of them away"


def ranking(arguments: argparse.Namespace, here: Machine, workload: Workload, folder: Path) -> tuple[object, str, bool]:
    """Models that fit, each at the most bits that fit with room to spare and are fast enough; data, page, any."""
    found = catalogue.load(folder)
    try:
        most = parse_bytes(arguments.max_size) if arguments.max_size else None
    except ValueError as error:
        raise BadSetting(f"--max-size: {error}", hint="it is of a model's file: --max-size 20GiB") from error
    recipes = _from_floor(arguments.floor)
    chosen_from = CHOSEN_FROM if arguments.floor is None else frozenset(recipes[1:] or recipes)
    listed = candidates(_wanted(arguments, found.variants), recipes)
    context = workload.context_tokens or _CONTEXT
    contexts = sorted({context, *CONTEXTS})
    column = contexts.index(context)
    ranked = rank([candidate for _, candidate in listed], here, contexts, workload)
    wanted = arguments.wanted or _READABLE
    best: dict[int, int] = {}
    unsure: dict[int, int] = {}
    slow: dict[int, float] = {}
    large: dict[int, int] = {}
    for row, (owner, number) in enumerate(ranked.rows):
        quantized = listed[owner][1].quantizations[number]
        speed = _middle(ranked, row, column)
        if quantized.recipe not in chosen_from or ranked.verdict(row, column) != "fits":
            continue
        if most is not None and quantized.weights_bytes > most:
            large[owner] = quantized.weights_bytes
        elif speed is not None and speed < wanted:
            slow[owner] = max(speed, slow.get(owner, 0.0))
        else:
            # Quantizations come from the most bits to the fewest.
            (unsure if speed is None else best).setdefault(owner, row)
    # Fewer bits whose speed is known go before more whose speed is not.
    best = unsure | best
    front = _front(ranked, listed, best, column)
    order = sorted(best, key=lambda owner: (owner not in front, -_known(listed[owner][0].downloads)))
    rows, data = [], []
    for owner in order:
        variant, candidate = listed[owner]
        row = best[owner]
        longest = max(
            (each for number, each in enumerate(contexts) if float(ranked.share[row, number]) <= 1), default=context
        )
        entry = _as_data(variant, candidate, ranked, row, column)
        data.append(entry | {"pareto": owner in front, "context_tokens": context, "largest_context_of_grid": longest})
        rows.append(_row(variant, entry, longest, is_best=owner in front))
    head = ["", "model", "params", "quant", "memory", "tok/s", "up to", "licence", "quality"]
    shown = rows[: arguments.limit]
    if all(row[-1] == "-" for row in shown):
        head, shown = head[:-1], [row[:-1] for row in shown]
    cut = _narrowed([head, *shown])[1:]
    meanings = [] if not cut else [
        "? : how fast is not known." if any(row[5] == "?" for row in shown) else "",
        "* nothing else that fits beats it in parameters, speed and memory at once; these first, then by downloads.",
        "quality: answers right, by whom; - : nobody's measurement is known." if "quality" in head else "",
    ]  # fmt: skip
    meanings.append(f"catalogue of {found.date}: weigh fit NAME shows one model's grid.")
    page = [
        f"{len(best)} of {len(listed)} models fit with room to spare:\n"
        f"  {context:,} token{'s' * (context > 1)} of context, {workload.parallel} at once, "
        f"at least {wanted:,.12g} tokens/s"
        + (f", files of at most {show_bytes(most)}" if most is not None else "")
        + (f", not below {recipes[-1]}" if arguments.floor else ""),
        output.table(head, cut, right=(4, 5, 6), droppable=() if "quality" in head else (7,))
        if cut
        else _why_none([variant for variant, _ in listed], slow, large),
        "\n".join(textwrap.fill(line, output.width()) for line in meanings if line),
    ]
    return (
        {"machine": here, "context_tokens": context, "parallel": workload.parallel, "models": data},
        "\n\n".join(page) + "\n" + machine_lines(here),
        bool(best),
    )


def _why_none(variants: Sequence[Variant], slow: dict[int, float], large: dict[int, int]) -> str:
    """What stands in the way of all, and by how much it misses."""
    said = []
    if slow:
        owner = max(slow, key=slow.__getitem__)
        said.append(
            f"{len(slow):,} fit and are too slow; the fastest is {variants[owner].name}, with about "
            f"{slow[owner]:.2g} tokens/s: --wanted"
        )
    if large:
        owner = min(large, key=large.__getitem__)
        said.append(
            f"{len(large):,} fit and have larger files; the smallest is {variants[owner].name}, with "
            f"{show_bytes(large[owner])}: --max-size"
        )
    return "\n".join(textwrap.fill(line, output.width()) for line in said or ["none fits: a shorter --context may"])


def _known(figure: catalogue.Known[int] | None) -> int:
    return figure.value if figure else 0


def _row(variant: Variant, entry: dict[str, Any], longest: int, *, is_best: bool) -> tuple[str, ...]:
    count = show_count(variant.parameters.value) if variant.parameters else "?"
    active = variant.active_parameters
    if active and variant.parameters and active.value < 0.9 * variant.parameters.value:
        count += f"/{show_count(active.value)}"
    decode = entry["decode"]
    speed = "?" if decode is None else f"{(decode['low'] + decode['high']) / 2:,.0f}"
    quality = "-"
    if variant.evidence:
        first = variant.evidence[0]
        quality = f"{first.value:g}{'%' if first.unit == 'percent' else ''} {first.benchmark} ({first.by})"
    licence = variant.licence.value if variant.licence else "unknown"
    return (
        "*" if is_best else "", variant.name, count, entry["quantization"],
        show_bytes(entry["memory_bytes"]), speed, show_context(longest), _cut(licence, 10), quality,
    )  # fmt: skip


def _narrowed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows with names cut so that a line has room for the rest."""
    others = sum(max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0])) if column != 1)
    room = max(_SHORTEST_NAME, output.width() - others)
    return [[_cut(cell, room) if column == 1 else cell for column, cell in enumerate(row)] for row in rows]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _front(ranked: Ranking, listed: Sequence[tuple[Variant, Candidate]], best: dict[int, int], column: int) -> set[int]:
    """Models that no other beats in parameters, speed and memory at once. Parameters are no quality: they stand in
    where nobody measured any."""
    points = {
        owner: (
            float(_known(listed[owner][0].parameters)),
            _middle(ranked, row, column) or 0.0,
            -float(ranked.need_bytes[row, column]),
        )
        for owner, row in best.items()
    }
    return {
        owner
        for owner, point in points.items()
        if not any(
            other != point and all(theirs >= mine for theirs, mine in zip(other, point, strict=True))
            for other in points.values()
        )
    }
