"""Plans for checkpoints (safetensors): by vLLM where there are GPUs for it, and by transformers elsewhere."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add

from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.facts import ModelFacts
from weighbridge.machine import Device, Machine

from . import transformers, vllm
from .calibration import Calibration
from .memory import DeviceNeed, MemoryNeed
from .plan import COMFORTABLE, Plan, Verdict, first_enough, threads_of, verdict_of
from .speed import Share, estimate
from .workload import Workload

# vLLM's own logs left up to so much less for the cache than was predicted, as a share of the GPU.
_UNSURE = 0.02
_STEP = 256
_FOR_VLLM = frozenset({"nvidia", "amd"})


def plan_checkpoint(
    facts: ModelFacts, machine: Machine, workload: Workload, calibration: Calibration | None = None
) -> Plan:
    """The plan for a checkpoint: the fewest GPUs that hold it with vLLM, or main memory with transformers.

    Raises BadModelFile where neither engine has a rule for it.
    """
    context = workload.context_of(facts)
    chosen = replace(workload, context_tokens=context)
    if machine.devices and all(device.vendor in _FOR_VLLM for device in machine.devices):
        return _by_vllm(facts, machine, chosen, calibration)
    return _by_transformers(facts, machine, chosen, calibration)


def _by_vllm(facts: ModelFacts, machine: Machine, workload: Workload, calibration: Calibration | None) -> Plan:
    best: tuple[float, vllm.VLLMNeed] | None = None
    problem: BadSetting | None = None
    for tensor, pipeline in sorted(vllm.parallel_choices(facts, machine.devices), key=lambda ways: ways[0] * ways[1]):
        settings = vllm.Settings(tensor_parallel=tensor, pipeline_parallel=pipeline)
        try:
            need = vllm.plan_memory(facts, machine.devices, workload, settings)
        except BadSetting as error:
            problem = error
            continue
        share = max(_share(device) for device in need.devices) + _UNSURE
        if best is None or share < best[0]:
            best = share, need
        if share <= COMFORTABLE:
            break
    if best is None:
        raise problem or BadModelFile(f"{facts.name}: cannot be cut for these GPUs", hint="use fewer of them")
    share, need = best
    ways = need.settings.tensor_parallel * need.settings.pipeline_parallel
    shares = [Share(index, 1 / ways, output=index == 0) for index in range(ways)]
    speed = estimate(facts, machine, shares, workload, calibration)
    if need.settings.tensor_parallel > 1:
        # Slices are read at once, not one after the other; what passes between them is not modelled.
        speed = replace(speed, decode=None, prefill=None, batch_decode=None, first_token_seconds=None)
    return Plan(
        facts=facts,
        engine="vllm",
        engine_version=need.engine,
        workload=workload,
        context_tokens=workload.context_tokens or need.context_tokens,
        threads=threads_of(facts, machine),
        embeddings=False,
        memory=reduce(add, (device.memory for device in need.devices), MemoryNeed()),
        devices=need.devices,
        placement=None,
        verdict=verdict_of(share),
        largest_context=need.largest_context,
        speed=speed,
        remedies=_smaller(need, workload),
        notes=(*need.notes, "no GPU confirmed these figures: they follow vLLM's source and its users' logs"),
        arguments=need.arguments,
    )


def _share(device: DeviceNeed) -> float:
    return device.memory.total / max(1, device.available_bytes or 1)


def _smaller(need: vllm.VLLMNeed, workload: Workload) -> tuple[str, ...]:
    if need.largest_context and workload.context_tokens and need.largest_context < workload.context_tokens:
        return (f"it fits at {need.largest_context:,} tokens: --context {need.largest_context}",)
    return ()


def _by_transformers(facts: ModelFacts, machine: Machine, workload: Workload, calibration: Calibration | None) -> Plan:
    device = next((device for device in machine.devices), None)
    need, notes = transformers.plan_memory(facts, device, workload)
    if device is None and machine.memory is not None:
        need = replace(need, available_bytes=machine.memory.available_bytes)
    available = need.available_bytes
    # What nobody knows the size of is not said to hold it.
    verdict = Verdict.NO if available is None else verdict_of(need.memory.total / max(1, available))
    largest = None if available is None else _largest_context(facts, device, workload, available)
    asked = workload.context_tokens or 0
    remedies = (f"it fits at {largest:,} tokens: --context {largest}",) if largest and largest < asked else ()
    return Plan(
        facts=facts,
        engine="transformers",
        engine_version=f"transformers {transformers.VERSION}",
        workload=workload,
        context_tokens=workload.context_tokens or 0,
        threads=threads_of(facts, machine),
        embeddings=False,
        memory=need.memory,
        devices=(need,),
        placement=None,
        verdict=verdict,
        largest_context=largest,
        speed=estimate(facts, machine, (Share(None if device is None else 0),), workload, calibration),
        remedies=remedies if verdict is Verdict.NO else (),
        notes=tuple(notes),
    )


def _largest_context(facts: ModelFacts, device: Device | None, workload: Workload, available: int) -> int | None:
    """The longest context, in steps of 256 and at most the model's own, that transformers has room for."""
    most = facts.context_length or 8192

    def fits(context: int) -> bool:
        need, _ = transformers.plan_memory(facts, device, replace(workload, context_tokens=context))
        return need.memory.total <= available

    if fits(most):
        return most
    too_many = first_enough(lambda steps: not fits(steps * _STEP), -(-most // _STEP))
    return (too_many - 1) * _STEP or None if too_many else None
