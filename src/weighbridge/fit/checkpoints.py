"""Plans for checkpoints (safetensors): by vLLM where there are GPUs for it, and by transformers elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.facts import ModelFacts
from weighbridge.machine import Device, Machine

from . import transformers, vllm
from .calibration import Calibration
from .costs import Share
from .halving import last_enough
from .heads import kv_heads
from .memory import DeviceNeed, MemoryNeed
from .plan import COMFORTABLE, Plan, Verdict, verdict_of
from .planning import make_plan, threads_of
from .speed import estimate
from .workload import Workload

# vLLM's own logs left up to so much less for the cache than was predicted, as a share of the GPU.
_UNSURE = 0.02
_STEP = 256
_FOR_VLLM = frozenset({"nvidia", "amd"})


def plan_checkpoint(
    facts: ModelFacts,
    machine: Machine,
    workload: Workload,
    calibration: Calibration | None = None,
    *,
    reserved: Mapping[int | None, int] | None = None,
) -> Plan:
    """The plan for a checkpoint: the fewest GPUs that hold it with vLLM, or main memory with transformers.

    Of `reserved` bytes of main memory (None) and of devices by their index, others have the use. Raises BadModelFile
    where neither engine has a rule for it.
    """
    if workload.cache_type_k or workload.cache_type_v:
        raise BadSetting(
            f"{facts.name}: cache types are llama.cpp's, and it does not run {facts.source.kind}",
            hint="leave cache_type_k and cache_type_v away",
        )
    context = workload.context_of(facts)
    chosen = replace(workload, context_tokens=context)
    left = _without(machine, reserved or {})
    if machine.devices and all(device.vendor in _FOR_VLLM for device in machine.devices):
        # What is least taken comes first.
        order = sorted(range(len(left.devices)), key=lambda index: -left.devices[index].memory_free_bytes)
        if reserved is None:
            return _by_vllm(facts, left, chosen, calibration, order=range(len(left.devices)), is_shared=False)
        left = replace(left, devices=tuple(left.devices[index] for index in order))
        return _by_vllm(facts, left, chosen, calibration, order=order, is_shared=True)
    return _by_transformers(facts, left, chosen, calibration)


def plan_together(
    models: Sequence[tuple[ModelFacts, Workload]], machine: Machine, calibration: Calibration | None = None
) -> tuple[Plan, ...]:
    """Plans for several models that share a machine, checkpoints among them, in the order given.

    The largest chooses first, the next has what is left. vLLM is told to take no more of a GPU than its model needs, so
    that several servers, or llama.cpp beside one, find their part.
    """
    held: dict[int | None, int] = {}
    plans: dict[int, Plan] = {}
    before: dict[int, dict[int | None, int]] = {}
    for index in sorted(range(len(models)), key=lambda index: -(models[index][0].weights_bytes or 0)):
        facts, workload = models[index]
        before[index] = dict(held)
        if facts.source.kind == "gguf":
            plan = make_plan(facts, machine, workload, reserved=held, calibration=calibration)
        else:
            plan = plan_checkpoint(facts, machine, workload, calibration, reserved=held)
        if plan.verdict is not Verdict.NO:
            for need in plan.devices:
                held[need.index] = held.get(need.index, 0) + _taken(plan, need)
        plans[index] = plan
    return tuple(_beside(plans[index], before[index], held) for index in range(len(models)))


def _taken(plan: Plan, need: DeviceNeed) -> int:
    """What it takes of a device: vLLM all that it may, for its cache."""
    return need.available_bytes or 0 if plan.engine == "vllm" else need.memory.total


def _beside(plan: Plan, before: Mapping[int | None, int], held: Mapping[int | None, int]) -> Plan:
    """The plan with the verdict that it has with all others loaded, those too that chose after it."""
    if plan.verdict is not Verdict.FITS or plan.engine == "vllm":
        return plan
    share = 0.0
    for need in plan.devices:
        if need.available_bytes is not None:
            later = held.get(need.index, 0) - before.get(need.index, 0) - need.memory.total
            share = max(share, (need.memory.total + max(0, later)) / max(1, need.available_bytes))
    return replace(plan, verdict=Verdict.TIGHT if share > COMFORTABLE else Verdict.FITS)


def _without(machine: Machine, reserved: Mapping[int | None, int]) -> Machine:
    """The machine with so much less free."""
    devices = tuple(
        replace(device, memory_free_bytes=max(0, device.memory_free_bytes - reserved.get(index, 0)))
        for index, device in enumerate(machine.devices)
    )
    memory = machine.memory
    if memory is not None:
        gone = sum(reserved.get(index, 0) for index in (None, *_unified(machine)))
        memory = replace(memory, available_bytes=max(0, memory.available_bytes - gone))
    return replace(machine, devices=devices, memory=memory)


def _unified(machine: Machine) -> list[int]:
    return [index for index, device in enumerate(machine.devices) if device.unified]


def _by_vllm(
    facts: ModelFacts,
    machine: Machine,
    workload: Workload,
    calibration: Calibration | None,
    *,
    order: Sequence[int],
    is_shared: bool,
) -> Plan:
    """`order` tells each GPU's place in the machine that was asked about."""
    best: tuple[float, vllm.VLLMNeed] | None = None
    problem: BadSetting | None = None
    # Slices before stages: of several GPUs all compute each token, where stages wait for each other.
    choices = sorted(vllm.parallel_choices(facts, machine.devices), key=lambda ways: (ways[1], ways[0]))
    for tensor, pipeline in choices:
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
    notes = [*need.notes]
    if is_shared and share - _UNSURE <= 1:
        need = _no_more_than_needed(facts, machine, workload, need)
        used = ",".join(str(order[device.index or 0]) for device in need.devices)
        notes.append(
            f"shares the machine: CUDA_VISIBLE_DEVICES={used}, and of a GPU's memory only "
            f"{need.settings.gpu_memory_utilization:.0%}; start it when those before it are loaded"
        )
    speed = estimate(facts, machine, _shares(facts, need), workload, calibration, engine="vllm")
    places = tuple(replace(each, device=order[each.device or 0]) for each in speed.shares)
    devices = tuple(replace(device, index=order[device.index or 0]) for device in need.devices)
    return Plan(
        facts=facts,
        engine="vllm",
        engine_version=need.engine,
        workload=workload,
        context_tokens=workload.context_tokens or need.context_tokens,
        threads=threads_of(facts, machine),
        embeddings=False,
        memory=reduce(add, (device.memory for device in need.devices), MemoryNeed()),
        devices=devices,
        placement=None,
        verdict=verdict_of(share),
        largest_context=need.largest_context,
        speed=replace(speed, shares=places),
        remedies=_smaller(need, workload),
        notes=(*notes, "no GPU confirmed these figures: they follow vLLM's source and its users' logs"),
        arguments=need.arguments,
    )


def _no_more_than_needed(facts: ModelFacts, machine: Machine, workload: Workload, need: vllm.VLLMNeed) -> vllm.VLLMNeed:
    """The same with the least share of each GPU that holds it with room to spare, so that others find theirs."""
    wanted = 0.0
    for place, device in enumerate(need.devices):
        visible = machine.devices[place].memory_total_bytes * vllm.VISIBLE.value
        comfortable = min(device.memory.total / COMFORTABLE, device.available_bytes or 0)
        wanted = max(wanted, comfortable / visible + _UNSURE)
    utilization = min(need.settings.gpu_memory_utilization, math.ceil(wanted * 100) / 100)
    settings = replace(need.settings, gpu_memory_utilization=utilization)
    return vllm.plan_memory(facts, machine.devices, workload, settings)


def _shares(facts: ModelFacts, need: vllm.VLLMNeed) -> list[Share]:
    """How vLLM spreads it: stages one after the other, each cut among neighbours that compute at once."""
    ways, count = need.settings.tensor_parallel, len(facts.layers)
    # Keys beyond the number of their heads are on several; where that differs between layers, on the most.
    cache_ways = min((min(ways, heads or 1) for heads in kv_heads(facts)), default=1)
    return [
        Share(
            stage * ways,
            need.devices[stage * ways].layers / count,
            output=stage == need.settings.pipeline_parallel - 1,
            ways=ways,
            cache_ways=cache_ways,
        )
        for stage in range(need.settings.pipeline_parallel)
    ]


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
        speed=estimate(
            facts, machine, (Share(None if device is None else 0),), workload, calibration, engine="transformers"
        ),
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
    return last_enough(lambda steps: fits(steps * _STEP), most // _STEP) * _STEP or None
