"""What `weigh fit` shows of a plan: where each part goes, the sum, the speed, and a grid of contexts and caches."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from weighbridge import fit
from weighbridge.cli import output
from weighbridge.errors import WeighbridgeError
from weighbridge.figures import Basis, Range
from weighbridge.fit import Companions, DeviceNeed, LlamaCpp, Plan, Verdict, Workload
from weighbridge.fit.calibration import Calibration
from weighbridge.machine import Machine
from weighbridge.sizes import show_against, show_bytes

CONTEXTS = (4096, 8192, 16384, 32768, 65536, 131072, 262144)
_LOCAL = frozenset({"file", "folder", "hf_cache"})
# More devices than these get a row each.
_MOST_COLUMNS = 5
_CACHES = ((None, "f16"), ("q8_0", "q8_0"), ("q4_0", "q4_0"))


def as_data(plan: Plan, here: Machine) -> dict[str, object]:
    """The plan as JSON prints it: bytes, tokens, tokens a second."""
    return {
        "name": plan.facts.name,
        "verdict": plan.verdict,
        "engine": plan.engine,
        "engine_version": plan.engine_version,
        "basis": plan.basis,
        "context_tokens": plan.context_tokens,
        "parallel": plan.workload.parallel,
        "threads": plan.threads,
        "memory": _with_total(plan.memory),
        "devices": [
            {
                "name": need.name,
                "index": need.index,
                "layers": need.layers,
                "memory": _with_total(need.memory),
                "available_bytes": need.available_bytes,
            }
            for need in plan.devices
        ],
        "available_bytes": plan.available_bytes,
        "speed": plan.speed,
        "largest_context": plan.largest_context,
        "largest_context_as_placed": plan.largest_context_as_placed,
        "remedies": plan.remedies,
        "gpu_layers": plan.placement.gpu_layers if plan.placement else None,
        "experts_on_host": plan.placement.experts_on_host if plan.placement else None,
        "arguments": plan.arguments,
        "machine": here,
        "notes": [*plan.facts.notes, *plan.notes],
    }


def _with_total(need: fit.MemoryNeed) -> dict[str, int]:
    return dataclasses.asdict(need) | {"total": need.total}


_VERDICTS = {
    Verdict.FITS: "fits",
    Verdict.TIGHT: "tight: it fits, with less than a tenth to spare",
    Verdict.NO: "no: it does not fit",
}


def plan_page(
    plan: Plan,
    here: Machine,
    workload: Workload,
    known: Calibration | None,
    companions: Companions = Companions(),  # noqa: B008 - it never changes
) -> str:
    """The plan as people read it."""
    sections = [_headline(plan), _memory(plan), _speed(plan)]
    if plan.engine == "llama_cpp":
        sections.append(_grid(plan, here, workload, known, companions))
    ends = [f"largest context that fits: {_longest(plan)}"]
    ends += [f"instead: {remedy}" for remedy in plan.remedies]
    if plan.arguments and plan.verdict is not Verdict.NO:
        source = plan.facts.source
        # What lies here is served from where it lies; a repository by its name.
        served = str(Path(source.files[0]).parent) if source.place in _LOCAL else plan.facts.name
        ends.append(f"start it with: vllm serve {served} {' '.join(plan.arguments)}")
    sections.append("\n".join(output.fields([tuple(end.split(": ", 1))]) for end in ends))  # type: ignore[list-item]
    notes = [*plan.facts.notes, *plan.notes, *(plan.speed.notes if plan.speed else ())]
    if plan.engine == "transformers":
        notes.insert(0, "weigh up runs safetensors by vLLM alone, on GPUs; where there is none, it runs GGUF files")
    if notes:
        sections.append(output.fields([("note", note) for note in notes]))
    return "\n\n".join(section for section in sections if section)


def together(plans: Sequence[Plan]) -> str:
    """What several take of each device with all loaded; nothing where they are not all loaded at once."""
    if len(plans) < 2 or any(plan.verdict is Verdict.NO for plan in plans):
        return ""
    needs: dict[int | None, list[DeviceNeed]] = {}
    for need in (need for plan in plans for need in plan.devices):
        needs.setdefault(need.index, []).append(need)
    rows = []
    for of_device in needs.values():
        first, *others = of_device
        total = sum(need.memory.total for need in of_device)
        # Each was planned with the others loaded.
        free = None if first.available_bytes is None else first.available_bytes + sum(n.memory.total for n in others)
        size, most = (show_bytes(total), "unknown") if free is None else show_against(total, free)
        rows.append((first.name, size, "how much is free is unknown" if free is None else f"of {most} free"))
    return output.table(("together", "size", ""), rows, right=(1,))


def _longest(plan: Plan) -> str:
    """The longest context, and that of this placement where it holds less."""
    if not plan.largest_context:
        return "none"
    longest, so = f"{plan.largest_context:,} tokens", plan.largest_context_as_placed
    if so is None or so == plan.largest_context or plan.verdict is Verdict.NO:
        return longest
    return f"{longest}; placed as above {so:,}"


def _headline(plan: Plan) -> str:
    verdict = _VERDICTS[plan.verdict]
    if plan.verdict is Verdict.NO and any(need.available_bytes is None for need in plan.devices):
        verdict = "no: main memory is not described, so it is not known to fit"
    lines = [f"{output.printable(plan.facts.name)}: {verdict}"]
    where = _where(plan)
    at_once = plan.workload.parallel
    shared = f"shared by {at_once} at once" if plan.workload.unified_cache else f"x {at_once} at once"
    lines.append(f"  {plan.context_tokens:,} tokens {shared}, by {plan.engine}")
    if where:
        lines.append(f"  {where}")
    return "\n".join(lines)


def _where(plan: Plan) -> str:
    placement = plan.placement
    if placement is None or not placement.devices:
        return ""
    count = len(placement.layers)
    on_devices = sum(place is not None for place in placement.layers)
    text = f"{on_devices} of {count} layers on {'GPUs' if len(placement.devices) > 1 else 'the GPU'}"
    if placement.experts_on_host:
        text += f", experts of {placement.experts_on_host} of them in main memory"
    return text


_PARTS = (
    ("weights", "weights"), ("repack", "copies"), ("kv_cache", "cache"), ("recurrent_state", "state"),
    ("compute", "compute"), ("output", "scores"), ("overhead", "process"),
    ("projector", "projector"), ("draft", "draft"),
)  # fmt: skip


def _memory(plan: Plan) -> str:
    """One device: a row for each part. Several: a row for each device."""
    if len(plan.devices) == 1:
        return _by_part(plan.devices[0], _MEANINGS if plan.engine == "llama_cpp" else {})
    if len(plan.devices) == 2 and plan.devices[1].index in plan.unified:
        return _shared(*plan.devices)
    shown = [(name, title) for name, title in _PARTS if any(getattr(need.memory, name) for need in plan.devices)]
    if len(plan.devices) > _MOST_COLUMNS:
        listed = [(need.name, show_bytes(need.memory.total), _free(need), str(need.layers)) for need in plan.devices]
        return output.table(("", "sum", "free", "layers"), listed, right=(1, 2, 3))
    rows: list[tuple[str, ...]] = [
        (title, *(_size(need, name) for need in plan.devices)) for name, title in shown if name != "overhead"
    ]
    # In main memory it is the engine's process, on a GPU what the driver keeps for it.
    for title, is_host in (("process", True), ("driver", False)):
        sizes = [_size(need, "overhead") if (need.index is None) is is_host else "" for need in plan.devices]
        if any(sizes):
            rows.append((title, *sizes))
    rows.append(("sum", *(show_bytes(need.memory.total) for need in plan.devices)))
    rows.append(("free", *map(_free, plan.devices)))
    head = ("", *(_short_name(need.name, 66 // len(plan.devices) - 2) for need in plan.devices))
    return output.table(head, rows, right=range(1, len(head)))


def _size(need: DeviceNeed, part: str) -> str:
    size: int = getattr(need.memory, part)
    return show_bytes(size) if size else ""


def _shared(host: DeviceNeed, device: DeviceNeed) -> str:
    """A GPU without memory of its own: one column, and how much of it the GPU may have."""
    together = dataclasses.replace(host, name=f"{device.name}, one memory", memory=host.memory + device.memory)
    table = _by_part(together, _MEANINGS | {"repack": "", "overhead": "of the engine and the driver"})
    return f"{table}\nthe GPU holds {show_bytes(device.memory.total)} of it, of at most {_free(device)}"


def _short_name(name: str, room: int) -> str:
    """As many of a name's last words as there is room for: its first ones are the maker's."""
    words = name.split()
    while len(" ".join(words)) > room and len(words) > 1:
        words = words[1:]
    return " ".join(words)[:room]


def _free(need: DeviceNeed) -> str:
    return "unknown" if need.available_bytes is None else show_bytes(need.available_bytes)


_MEANINGS = {
    "weights": "all tensors, mapped from the file",
    "repack": "second copies, interleaved for this processor",
    "kv_cache": "keys and values of every token",
    "recurrent_state": "fixed state of recurrent layers",
    "compute": "activations of one step",
    "output": "scores of the rows that are output",
    "overhead": "the engine's process",
    "projector": "turns images or sound into what the model reads",
    "draft": "a smaller model that proposes tokens, with its cache",
}


def _by_part(need: DeviceNeed, meanings: Mapping[str, str]) -> str:
    total = need.memory.total or 1
    rows = [
        (title, show_bytes(size), f"{size / total:.0%}", meanings.get(name, "") if need.index is None else "")
        for name, title in _PARTS
        if (size := getattr(need.memory, name))
    ]
    summed, free = show_bytes(need.memory.total), "unknown how much is free"
    if need.available_bytes is not None:
        summed, available = show_against(need.memory.total, need.available_bytes)
        free = f"of {available} free"
    rows.append(("sum", summed, "", free))
    return output.table((need.name, "size", "share", ""), rows, right=(1, 2))


def show_range(found: Range | None, unit: str) -> str:
    """`105 to 167 tokens/s`, or unknown."""
    if found is None:
        return "unknown"
    low, high = _short(found.low), _short(found.high)
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _short(value: float) -> str:
    """Three figures of it: more are not known."""
    if value >= 1000:
        value = float(f"{value:.3g}")
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _speed(plan: Plan) -> str:
    speed = plan.speed
    if speed is None:
        return ""
    depth = plan.workload.depth_tokens or plan.context_tokens // 2
    filled = f" with {depth:,} tokens in the context" if speed.decode else ""
    rows = [("answer", show_range(speed.decode, "tokens/s") + filled)]
    if plan.workload.parallel > 1:
        together = " together" if speed.batch_decode else ""
        rows.append((f"{plan.workload.parallel} at once", show_range(speed.batch_decode, "tokens/s") + together))
    rows.append(("prompt", show_range(speed.prefill, "tokens/s")))
    if speed.first_token_seconds:
        rows.append(
            (
                "first token",
                f"{show_range(speed.first_token_seconds, 's')} after {plan.workload.prompt_tokens:,} tokens",
            )
        )
    if speed.load_seconds:
        rows.append(("loading", f"{show_range(speed.load_seconds, 's')} from the disk"))
    if speed.tokens_per_joule:
        rows.append(("energy", f"{show_range(speed.tokens_per_joule, 'tokens/J')} on the GPUs"))
    known = speed.decode or speed.prefill
    if known:
        rows.append(("basis", f"{known.basis}: {known.source}"))
    return output.fields(rows)


def _grid(plan: Plan, here: Machine, workload: Workload, known: Calibration | None, companions: Companions) -> str:
    """Verdict and speed for caches and contexts, for this file."""
    model = LlamaCpp(plan.facts)
    # What the engine was asked is of the processor alone.
    is_asked = plan.basis is Basis.MEASURED
    most = plan.facts.context_length or 8192
    contexts = [context for context in CONTEXTS if context <= most] or [most]
    rows = []
    for keys, values in _CACHES:
        if keys and not workload.flash_attention:
            continue
        cells = []
        for context in contexts:
            asked = dataclasses.replace(
                workload, context_tokens=context, cache_type_k=keys, cache_type_v=values if keys else None
            )
            try:
                found = fit.plan_with(
                    model, here, asked, companions, calibration=known, brief=True, use_devices=not is_asked
                )
            except WeighbridgeError:
                cells.append("?")
                continue
            middle = found.speed.decode if found.speed else None
            cells.append(cell(found.verdict, (middle.low + middle.high) / 2 if middle else None))
        rows.append((f"{values} cache", *cells))
    return grid_table("", contexts, rows, plan.workload.parallel)


def show_context(tokens: int) -> str:
    """`32k`, or the number where it is no multiple of 1,024."""
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else f"{tokens:,}"


def cell(verdict: Verdict, tokens_per_second: float | None) -> str:
    """`131`, `~131` where it is tight, `-` where it does not fit."""
    if verdict is Verdict.NO:
        return "-"
    speed = _short(tokens_per_second) if tokens_per_second else "fits"
    return f"~{speed}" if verdict is Verdict.TIGHT else speed


def grid_table(corner: str, contexts: Sequence[int], rows: Sequence[Sequence[str]], parallel: int) -> str:
    """Rows by contexts, with what the cells mean."""
    head = (corner, *map(show_context, contexts))
    return f"{output.table(head, rows, right=range(1, len(head)))}\n{legend(rows, parallel)}"


def legend(rows: Sequence[Sequence[str]], parallel: int) -> str:
    """What the cells of these rows mean."""
    has_speeds = any(cell.lstrip("~")[:1].isdigit() for row in rows for cell in row[1:])
    what = "tokens/s of one request by context" if has_speeds else "by context"
    return textwrap.fill(f"{what}, {parallel} at once; ~ tight, - does not fit", output.width())


def machine_lines(here: Machine) -> str:
    """The machine in a line or two, with its notes."""
    processor = here.processor
    parts = []
    if processor.model:
        parts.append(processor.model)
    if cores := processor.cores:
        parts.append(f"{cores} cores")
    if here.memory:
        limit = f", limited to {show_bytes(here.memory.cgroup_limit_bytes)}" if here.memory.cgroup_limit_bytes else ""
        rate = f" at {here.memory.bandwidth.value / 1e9:.0f} GB/s" if here.memory.bandwidth else ""
        parts.append(f"{show_bytes(here.memory.total_bytes)}{rate}{limit}")
    rows = [("machine", ", ".join(parts) or here.name or "unknown")]
    for device in here.devices:
        rate = f", {device.bandwidth.value / 1e9:,.0f} GB/s" if device.bandwidth else ""
        rows.append(("GPU", f"{device.name}, {show_bytes(device.memory_free_bytes)} free{rate}"))
    rows += [("note", note) for note in here.notes]
    return "\n" + output.fields(rows)
