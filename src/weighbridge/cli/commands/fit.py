"""Whether a model runs on this machine, and what it takes: the sum by component, and the largest context that fits.

The figures are computed by llama.cpp's own rules from the file's header; nothing is loaded. Exit code 1 if it does
not fit.

example:
  weigh fit model.gguf --context 32768 --json | jq .verdict
"""

from __future__ import annotations

import argparse
import dataclasses

from weighbridge import facts, fit, machine
from weighbridge.cli import output
from weighbridge.cli.locate import locate
from weighbridge.fit import Plan, Verdict
from weighbridge.machine import Machine
from weighbridge.sizes import show_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("source", metavar="FILE", help="a .gguf file (the first, if it is split), or a bundled model")
    parser.add_argument("--context", type=_positive, metavar="N", help="tokens of context for each request")
    parser.add_argument("--parallel", type=_positive, default=2, metavar="P", help="requests at once (default 2)")
    parser.add_argument("--ubatch", type=_positive, default=512, metavar="U", help="tokens a step (default 512)")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1 << 24:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {1 << 24:,}")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    here = machine.detect()
    workload = fit.Workload(arguments.context, arguments.parallel, arguments.ubatch)
    plan = fit.make_plan(facts.read(locate(arguments.source)), here, workload)
    print(output.to_json(_as_data(plan, here)) if arguments.json else _page(plan, here))
    return 1 if plan.verdict is Verdict.NO else 0


def _as_data(plan: Plan, here: Machine) -> dict[str, object]:
    return {
        "name": plan.facts.name,
        "verdict": plan.verdict,
        "engine": plan.engine,
        "basis": plan.basis,
        "context_tokens": plan.context_tokens,
        "parallel": plan.workload.parallel,
        "threads": plan.threads,
        "memory": dataclasses.asdict(plan.memory) | {"total": plan.memory.total},
        "available_bytes": plan.available_bytes,
        "largest_context": plan.largest_context,
        "machine": here,
        "notes": plan.facts.notes,
    }


_MEANINGS = {
    "weights": "all tensors, mapped from the file",
    "repack": "a second copy, interleaved for this processor",
    "kv_cache": "keys and values of every token, 16-bit",
    "recurrent_state": "fixed state of recurrent layers",
    "compute": "activations of one step",
    "output": "scores of the rows that are output",
    "overhead": "the engine's process itself",
}


def _page(plan: Plan, here: Machine) -> str:
    need = plan.memory.total
    rows = [
        (name.replace("_", " "), show_bytes(size), f"{size / need:.0%}", _MEANINGS[name])
        for name, size in dataclasses.asdict(plan.memory).items()
        if size
    ]
    rows.append(("total", show_bytes(need), "", f"of {show_bytes(plan.available_bytes)} available"))
    memory = here.memory
    limit = f", limited to {show_bytes(memory.cgroup_limit_bytes)}" if memory.cgroup_limit_bytes else ""
    cores = here.processor.physical_cores or here.processor.usable_threads
    machine_line = (
        f"{here.processor.model or 'unknown processor'}, {cores} cores, {show_bytes(memory.total_bytes)}{limit}"
    )
    verdict = {
        Verdict.FITS: "fits",
        Verdict.TIGHT: "tight: it fits, with less than a tenth to spare",
        Verdict.NO: "no: it does not fit",
    }[plan.verdict]
    longest = f"{plan.largest_context:,} tokens" if plan.largest_context else "none"
    lines = [
        f"{plan.facts.name}: {verdict}",
        f"  {plan.context_tokens:,} tokens x {plan.workload.parallel} requests at once, by {plan.engine}, computed",
        "",
        output.table(("memory", "size", "share", ""), rows, right=(1, 2)),
        "",
        f"largest context that fits here: {longest}",
        f"machine: {machine_line}",
        *(f"  {device.name}: {show_bytes(device.memory_free_bytes)} free (not used yet)" for device in here.devices),
        *(f"note: {note}" for note in (*plan.facts.notes, *here.notes)),
    ]
    return "\n".join(lines)
