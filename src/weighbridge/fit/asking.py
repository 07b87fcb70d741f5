"""`plan_by_asking()`: a plan whose buffers the engine itself told, for forms of graph that were never recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from weighbridge.engine_environment import engine_environment
from weighbridge.errors import BadSetting, EngineFailed
from weighbridge.facts import ModelFacts
from weighbridge.figures import Basis
from weighbridge.machine import Machine

from .calibration import Calibration
from .costs import Share
from .llama_cpp import LlamaCpp, check_cache_types, process_overhead
from .memory import DeviceNeed, MemoryNeed
from .placement import Placement
from .plan import Plan, Verdict, verdict_of
from .planning import threads_of
from .speed import estimate
from .workload import Workload

_SECONDS = 120.0
# Of its own data, without what it maps: metadata, the vocabulary and the graph of one step.
_MOST_BYTES = 4 << 30
# The largest image of a batch of 1,024 tokens takes some gigabytes of the largest towers.
_MOST_PROJECTOR_BUFFER = 64 << 30


def plan_by_asking(
    facts: ModelFacts, machine: Machine, workload: Workload, calibration: Calibration | None = None
) -> Plan:
    """The plan for all on the processor, with caches and buffers as the engine tells them for this very file.

    Nothing is loaded: the engine opens the file with `no_alloc`, in a process of its own with limits of time and
    memory. Weights are the file's, by the header. BadSetting where there is no file to ask about, EngineFailed with the
    engine's last words where it refuses the file, ends, or takes too long.
    """
    check_cache_types(workload)
    model = LlamaCpp(facts)
    _ensure_here(facts)
    context = workload.context_of(facts)
    repacked = model.weights.repacked(machine)
    known = MemoryNeed(
        weights=model.weights.mapped_bytes(repacked) + model.weights.vision_bytes,
        repack=sum(tensor.bytes for tensor in repacked),
        overhead=process_overhead(facts.vocabulary_size),
    )
    available = machine.memory.available_bytes if machine.memory else None
    told = _ask(facts, model, workload, context, max(0, available - known.total) if available is not None else 0)
    memory = known + MemoryNeed(**told["buffers"])
    need = DeviceNeed("main memory", None, memory, available, layers=len(facts.layers))
    threads = threads_of(facts, machine)
    largest = told["largest_context"]
    remedies = (f"it fits at {largest:,} tokens: --context {largest}",) if largest and largest < context else ()
    chosen = replace(workload, context_tokens=context)
    notes = ["caches and buffers are as the engine told them of this file, without loading it; weights are the file's"]
    if machine.devices:
        notes.append("the embedded engine was asked, which runs on the processor: GPUs are left out")
    if available is None:
        notes.append("main memory is not described, so nothing is known to fit")
    return Plan(
        facts=facts,
        engine="llama_cpp",
        engine_version=told["engine"],
        workload=chosen,
        context_tokens=context,
        threads=threads,
        embeddings=model.gives_embeddings(chosen),
        memory=memory,
        devices=(need,),
        placement=Placement((None,) * len(facts.layers)),
        verdict=Verdict.NO if available is None else verdict_of(memory.total / max(1, available)),
        largest_context=largest,
        speed=estimate(facts, machine, (Share(None),), chosen, calibration, threads=threads),
        remedies=remedies,
        basis=Basis.MEASURED,
        notes=tuple(notes),
    )


def ask_projector(facts: ModelFacts) -> tuple[int, str]:
    """Bytes of a projector's weights and of its buffer for a batch of images, and the engine that told them of this
    very file (`mtmd_get_memory_usage`); the larger of with and without flash attention. Nothing is loaded.

    BadSetting where the file is not here, EngineFailed where the engine refuses it.
    """
    _ensure_here(facts)
    told = _answer(facts, {"projector": facts.source.files[0], "most_bytes": _MOST_BYTES})
    least = facts.weights_bytes or 0
    if not least <= told["bytes"] <= least + _MOST_PROJECTOR_BUFFER:
        raise EngineFailed(f"{facts.name}: the engine tells {told['bytes']:,} bytes for {least:,} bytes of weights")
    return told["bytes"], told["engine"]


def _ensure_here(facts: ModelFacts) -> None:
    if not facts.source.files or not Path(facts.source.files[0]).is_file():
        raise BadSetting(
            f"{facts.name} is not here, and the engine is asked about files that are",
            hint=f"fetch it first: weigh get {facts.name}",
        )


def _ask(facts: ModelFacts, model: LlamaCpp, workload: Workload, context: int, budget: int) -> dict[str, Any]:
    step = model.step(workload, context)
    request = {
        "path": facts.source.files[0],
        "context_tokens": context,
        "most_tokens": facts.context_length or context,
        "budget_bytes": budget,
        "most_bytes": _MOST_BYTES,
        "parallel": workload.parallel,
        "ubatch": workload.ubatch_tokens,
        "outputs": step.outputs,
        "output_bytes": model.output_bytes_of(workload, step),
        "flash": workload.flash_attention,
        "unified": workload.unified_cache,
        "full_windows": workload.full_windows,
        "type_k": workload.cache_type_k or "f16",
        "type_v": workload.cache_type_v or "f16",
        "embeddings": model.gives_embeddings(workload),
    }
    return _answer(facts, request)


def _answer(facts: ModelFacts, request: Mapping[str, object]) -> dict[str, Any]:
    """What the engine says, in a process of its own."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("asking_child.py"))]
    try:
        done = subprocess.run(
            command, input=json.dumps(request) + "\n", capture_output=True, text=True, errors="replace",
            timeout=_SECONDS, check=False, env=engine_environment(os.environ, OMP_NUM_THREADS="1"),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise EngineFailed(
            f"{facts.name}: the engine did not answer within {_SECONDS:.0f} s", hint="ask for a shorter --context"
        ) from error
    except OSError as error:
        raise EngineFailed(f"the engine's process could not be started: {error}") from error
    log = tuple(done.stderr.splitlines()[-20:])
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = next((line for line in reversed(log) if line.strip()), "it said nothing")
        raise EngineFailed(
            f"{facts.name}: the engine ended when it was asked (exit code {done.returncode}): {last[:300]}",
            hint="it would end so when the model is served, too: try other settings, or another engine",
            log=log,
        ) from None
    if "refused" in answer:
        lines = [line for line in answer["refused"].splitlines() if line.strip()]
        raise EngineFailed(
            f"{facts.name}: the engine refuses it: {lines[-1][:300] if lines else 'without a word'}",
            hint="it would refuse it when it is served, too: try other settings, or another engine",
            log=tuple(lines[-20:]),
        )
    return dict(answer)
