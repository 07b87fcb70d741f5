"""`make_plan(facts, machine, workload)`: where each part of a model goes, what it takes, and whether that is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

from weighbridge.facts import ModelFacts
from weighbridge.machine import Machine
from weighbridge.sizes import show_bytes

from .calibration import Calibration
from .costs import Share
from .llama_cpp import LlamaCpp, check_cache_types
from .longest import LongestContext
from .memory import MemoryNeed
from .placement import Placement
from .plan import COMFORTABLE, Plan, Verdict, verdict_of
from .recordings import engine_version
from .search import Search, Tried, budget_of
from .speed import Speed, estimate
from .touched import touched
from .workload import Workload

# Measured on two cores with a 2 MB model: 1 thread 8,000 tokens/s, 2 threads 1,000 to 2,300.
_SMALL_BYTES = 32 << 20
_SMALLER_CACHES = (("q8_0", "q8_0"), ("q8_0", "q4_0"), ("q4_0", "q4_0"))


def threads_of(facts: ModelFacts, machine: Machine) -> int:
    """One thread a core, and a single one for a model so small that waking a second costs more than it saves."""
    if (facts.active_weights_bytes or 0) < _SMALL_BYTES:
        return 1
    usable = machine.processor.usable_threads or machine.processor.physical_cores or 1
    return max(1, min(machine.processor.physical_cores or usable, usable))


def make_plan(
    facts: ModelFacts | LlamaCpp,
    machine: Machine,
    workload: Workload,
    *,
    reserved_bytes: int = 0,
    reserved: Mapping[int | None, int] | None = None,
    use_devices: bool = True,
    calibration: Calibration | None = None,
    brief: bool = False,
) -> Plan:
    """The plan for one model in GGUF by llama.cpp.

    `reserved_bytes` of main memory are promised to other models and count as gone; `reserved` says the same of each
    device by its index. Without `use_devices` GPUs are left alone, as by the embedded engine, which has none. A `brief`
    plan leaves out the largest contexts and the remedies, which take longest to find.

    Raises BadModelFile for what llama.cpp does not run, and for graphs whose memory is not known.
    """
    check_cache_types(workload)
    model = facts if isinstance(facts, LlamaCpp) else LlamaCpp(facts)
    facts = model.facts
    budget = budget_of(machine, {None: reserved_bytes, **(reserved or {})})
    search = Search(model, machine, budget, use_devices)
    longest = LongestContext(search)
    context = workload.context_of(facts)
    chosen = replace(workload, context_tokens=context)
    tried = search.best(chosen, context)
    placement, needs, share = tried
    verdict = verdict_of(share)
    as_placed = None if brief else longest.as_placed(placement, chosen, context, share)
    largest = None if brief else longest.in_any_place(tried, as_placed, chosen)
    if as_placed is not None:
        # On several GPUs layers are shared out anew for another context; what is named is what the search finds then.
        as_placed = min(as_placed, largest or as_placed)
    remedies = () if brief or verdict is Verdict.FITS else tuple(_remedies(search, tried, chosen, context, largest))
    threads = threads_of(facts, machine)
    return Plan(
        facts=facts,
        engine="llama_cpp",
        engine_version=engine_version(),
        workload=chosen,
        context_tokens=context,
        threads=threads,
        embeddings=model.gives_embeddings(chosen),
        memory=reduce(add, (need.memory for need in needs), MemoryNeed()),
        devices=needs,
        placement=placement,
        verdict=verdict,
        largest_context=largest,
        speed=_speed(model, machine, placement, chosen, calibration, threads),
        remedies=remedies,
        notes=tuple(_notes(model, machine, placement, context, unknown=search.left_out)),
        unified=budget.unified,
        largest_context_as_placed=as_placed,
    )


def _speed(
    model: LlamaCpp,
    machine: Machine,
    placement: Placement,
    workload: Workload,
    calibration: Calibration | None,
    threads: int,
) -> Speed | None:
    """How fast the plan is; None where the files do not tell what a token reads."""
    found = touched(model.facts)
    if found is None:
        return None
    count, routed = len(placement.layers), sum(model.weights.expert_bytes) or 1
    shares = []
    for index in dict.fromkeys((*placement.layers, placement.output)):
        mine = [number for number, place in enumerate(placement.layers) if place == index]
        experts = sum(
            model.weights.expert_bytes[number]
            for number in range(count)
            if (None if number < placement.experts_on_host else placement.layers[number]) == index
        )
        shares.append(Share(index, len(mine) / count, experts / routed, placement.output == index))
    if placement.experts_on_host and None not in placement.layers:
        on_host = sum(model.weights.expert_bytes[: placement.experts_on_host])
        shares.append(Share(None, 0.0, on_host / routed, output=False))
    return estimate(found, machine, shares, workload, calibration, threads=threads)


def _remedies(search: Search, tried: Tried, workload: Workload, context: int, largest: int | None) -> list[str]:
    """What would make it fit, the least change first; or, where it does, fit with room to spare."""
    found = []
    _, needs, share = tried
    most, fits = (1.0, "fits") if share > 1 else (COMFORTABLE, "fits with room to spare")
    if share > 1 and largest and largest < context:
        found.append(f"it fits at {largest:,} tokens: --context {largest}")
    if search.budget.host is None and share > 1:
        found.append('tell how much main memory there is: --machine "...,ram=32GiB"')
    if workload.parallel > 1:
        fewer = replace(workload, parallel=1)
        if search.holds(fewer, context, most):
            found.append(f"one request at once {fits} at {context:,} tokens: --parallel 1")
    for keys, values in _SMALLER_CACHES:
        if not workload.flash_attention or (workload.cache_type_k, workload.cache_type_v) != (None, None):
            break
        smaller = replace(workload, cache_type_k=keys, cache_type_v=values)
        if search.holds(smaller, context, most):
            found.append(
                f"a cache of {keys} keys and {values} values {fits} at {context:,} tokens: --cache-type-k {keys} "
                f"--cache-type-v {values}"
            )
            break
    missing = sum(
        max(0, need.memory.total - need.available_bytes) for need in needs if need.available_bytes is not None
    )
    weights = search.model.facts.weights_bytes or 0
    if missing and weights > missing:
        found.append(
            f"a quantization of at most {show_bytes(weights - missing)} would fit (this one is {show_bytes(weights)})"
        )
    return found


def _notes(model: LlamaCpp, machine: Machine, placement: Placement, context: int, *, unknown: bool) -> list[str]:
    notes = []
    if unknown:
        notes.append(
            f"what GPUs compute with is not known for some places of {model.facts.architecture}'s layers: those were "
            "left out, and a faster place may fit"
        )
    made_for = model.facts.context_length
    if made_for and context > made_for:
        notes.append(f"the model was made for {made_for:,} tokens: past them its answers are not to be relied on")
    if placement.devices:
        notes.append(
            "memory on GPUs is computed by the rules that the processor's buffers were checked against; "
            "what a driver keeps for itself is assumed"
        )
    if model.weights.vision_bytes:
        notes.append("the vision part's weights are counted; what it computes with is not known and is not in the sum")
    if machine.memory is None:
        notes.append("main memory is not described: inputs and scores there are not held against anything")
    return notes


def plan_set(
    models: Sequence[tuple[ModelFacts, Workload]],
    machine: Machine,
    *,
    use_devices: bool = True,
    calibration: Calibration | None = None,
) -> tuple[Plan, ...]:
    """Plans for several models that share a machine, in the order given: each as it is with the others loaded.

    The order in which they choose their places matters: each model is tried first, and the set is taken in which most
    fit, and of these the one that answers fastest.
    """
    prepared = [LlamaCpp(facts) for facts, _ in models]
    best: tuple[tuple[int, float], tuple[Plan, ...]] | None = None
    indices = range(len(models))

    def planned(index: int, others: Iterable[Plan]) -> Plan:
        """The plan of one with these others loaded."""
        held: dict[int | None, int] = {}
        for other in others:
            if other.verdict is not Verdict.NO:
                for need in other.devices:
                    held[need.index] = held.get(need.index, 0) + need.memory.total
        return make_plan(
            prepared[index], machine, models[index][1], reserved=held, use_devices=use_devices, calibration=calibration
        )

    by_size = sorted(indices, key=lambda index: -(models[index][0].weights_bytes or 0))
    for first in indices:
        order = [first, *(index for index in by_size if index != first)]
        plans: dict[int, Plan] = {}
        for index in order:
            plans[index] = planned(index, plans.values())
        fitting = sum(plan.verdict is not Verdict.NO for plan in plans.values())
        speeds = [plan.speed.decode.low for plan in plans.values() if plan.speed and plan.speed.decode]
        seconds = sum(1 / speed for speed in speeds if speed)
        key = fitting, -seconds
        if best is None or key > best[0]:
            best = key, tuple(plans[index] for index in indices)
    if best is None:
        return ()
    together = best[1]
    found = []
    for index, plan in enumerate(together):
        again = planned(index, (*together[:index], *together[index + 1 :]))
        # The verdict is that of the whole set; a place is not changed any more.
        found.append(again if again.placement == plan.placement else plan)
    return tuple(found)
