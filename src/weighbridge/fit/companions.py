"""`plan_with()`: the plan of a model with what is loaded beside it: a projector for images or sound, a draft model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from weighbridge.errors import BadModelFile
from weighbridge.facts import ModelFacts
from weighbridge.machine import Machine
from weighbridge.sizes import show_bytes

from .asking import ask_projector
from .calibration import Calibration
from .halving import last_enough
from .llama_cpp import LlamaCpp, process_overhead
from .memory import DeviceNeed, MemoryNeed
from .plan import Plan, Verdict, verdict_of
from .planning import make_plan
from .steps import CELLS_STEP
from .workload import Workload

DRAFTED_TOKENS = 3
"""How many tokens llama.cpp has a draft model propose at once (common.h, `common_params_speculative_draft::n_max`)."""
_PROJECTOR_ARCHITECTURE = "clip"


@dataclass(frozen=True, slots=True)
class Projector:
    """A file that turns images or sound into what the model reads (`mmproj`)."""

    facts: ModelFacts
    bytes: int
    """Weights and the buffer for the largest image of a batch, as the engine told them of this very file."""
    engine_version: str


@dataclass(frozen=True, slots=True)
class Companions:
    """What is loaded with a model, in the engine's one process."""

    projector: Projector | None = None
    draft: ModelFacts | None = None

    def __bool__(self) -> bool:
        return self.projector is not None or self.draft is not None


def companions_of(projector: ModelFacts | None = None, draft: ModelFacts | None = None) -> Companions:
    """The companions by their files' facts; the engine is asked what the projector takes, without loading it.

    BadModelFile for a file that is none, BadSetting where the projector is not on this machine, EngineFailed where the
    engine refuses it.
    """
    found = None
    if projector is not None:
        if projector.architecture != _PROJECTOR_ARCHITECTURE:
            raise BadModelFile(
                f"{projector.name}: a model of architecture {projector.architecture!r}, expected a projector "
                f"({_PROJECTOR_ARCHITECTURE!r})",
                hint="such files are named mmproj-*.gguf in the model's repository",
            )
        found = Projector(projector, *ask_projector(projector))
    if draft is not None and draft.source.kind != "gguf":
        raise BadModelFile(f"{draft.name}: {draft.source.kind}, expected a .gguf file", hint="name a .gguf file")
    return Companions(found, draft)


def plan_with(
    facts: ModelFacts | LlamaCpp,
    machine: Machine,
    workload: Workload,
    companions: Companions,
    *,
    reserved: Mapping[int | None, int] | None = None,
    use_devices: bool = True,
    calibration: Calibration | None = None,
    brief: bool = False,
) -> Plan:
    """The plan of a model with its companions, in whose sums they are counted; without any, that of `make_plan`.

    A draft keeps a 16-bit cache as long as the model's own (server-context.cpp: "as many tokens per sequence as the
    target context"), so the longest context is looked for with both. A projector goes to the first GPU, as the engine
    puts it, and to main memory where it does not fit there.
    """
    if not companions:
        return make_plan(
            facts, machine, workload, reserved=reserved, use_devices=use_devices, calibration=calibration, brief=brief
        )
    model = facts if isinstance(facts, LlamaCpp) else LlamaCpp(facts)
    draft = LlamaCpp(companions.draft) if companions.draft is not None else None
    planning = _Planning(model, draft, companions, machine, workload, dict(reserved or {}), use_devices, calibration)
    context = workload.context_of(model.facts)
    plan = planning.plan(context, brief=brief)
    if draft is not None and not brief:
        plan = replace(plan, largest_context=planning.largest(plan.largest_context), largest_context_as_placed=None)
    return replace(plan, notes=(*plan.notes, *_notes(companions, plan)))


@dataclass(frozen=True, slots=True)
class _Planning:
    model: LlamaCpp
    draft: LlamaCpp | None
    companions: Companions
    machine: Machine
    workload: Workload
    reserved: dict[int | None, int]
    use_devices: bool
    calibration: Calibration | None

    def plan(self, context: int, *, brief: bool) -> Plan:
        """All of it at a context; with the projector in main memory where it does not fit on a GPU."""
        places: list[int | None] = [0, None] if self.use_devices and self.machine.devices else [None]
        for place in places[: None if self.companions.projector else 1]:
            plan = self._placed(context, place, brief=brief)
            if plan.verdict is not Verdict.NO:
                break
        return plan

    def largest(self, most: int | None) -> int | None:
        """The longest context at which the model and its draft fit; `most` is that of the model alone beside the draft
        as it was planned."""
        limit = self.model.facts.context_length or max(most or 0, self.workload.context_of(self.model.facts))
        if self.plan(limit, brief=True).verdict is not Verdict.NO:
            return limit
        steps = last_enough(
            lambda number: self.plan(number * CELLS_STEP, brief=True).verdict is not Verdict.NO, limit // CELLS_STEP
        )
        return steps * CELLS_STEP or None

    def _placed(self, context: int, place: int | None, *, brief: bool) -> Plan:
        beside = self._beside(context, place)
        drafted = DRAFTED_TOKENS if self.draft is not None else 0
        plan = make_plan(
            self.model,
            self.machine,
            replace(self.workload, context_tokens=context, drafted_tokens=drafted),
            reserved=_sums(self.reserved, {index: need.total for index, need in beside.items()}),
            use_devices=self.use_devices,
            calibration=self.calibration,
            brief=brief,
        )
        return self._together(plan, beside)

    def _beside(self, context: int, place: int | None) -> dict[int | None, MemoryNeed]:
        """What the companions take of each device."""
        found: dict[int | None, MemoryNeed] = {}
        if self.companions.projector is not None:
            found[place] = MemoryNeed(projector=self.companions.projector.bytes)
        if self.draft is not None:
            workload = replace(self.workload, context_tokens=context, cache_type_k=None, cache_type_v=None)
            held = _sums(self.reserved, {index: need.total for index, need in found.items()})
            plan = make_plan(
                self.draft, self.machine, workload, reserved=held, use_devices=self.use_devices, brief=True
            )
            vocabulary = process_overhead(self.draft.facts.vocabulary_size) - process_overhead(0)
            for need in plan.devices:
                # The process, and what a driver keeps for it, are the model's own already.
                taken = need.memory.total - need.memory.overhead + (vocabulary if need.index is None else 0)
                found[need.index] = found.get(need.index, MemoryNeed()) + MemoryNeed(draft=taken)
        return found

    def _together(self, plan: Plan, beside: Mapping[int | None, MemoryNeed]) -> Plan:
        """The plan with the companions in its sums."""
        needs = {need.index: need for need in plan.devices}
        for index, more in beside.items():
            known = needs.get(index)
            if known is not None:
                free = None if known.available_bytes is None else known.available_bytes + more.total
                needs[index] = replace(known, memory=known.memory + more, available_bytes=free)
            elif index is not None:
                device = self.machine.devices[index]
                free = max(0, device.memory_free_bytes - self.reserved.get(index, 0))
                needs[index] = DeviceNeed(device.name, index, more, free)
        devices = tuple(needs[index] for index in sorted(needs, key=lambda index: -1 if index is None else index))
        verdict = plan.verdict
        if verdict is not Verdict.NO:
            shares = [
                need.memory.total / max(1, need.available_bytes) for need in devices if need.available_bytes is not None
            ]
            # Of what is free without the companions a smaller share may be left than the model's own takes.
            verdict = max(verdict, verdict_of(max(shares, default=0.0)), key=list(Verdict).index)
        memory = reduce(add, (need.memory for need in devices), MemoryNeed())
        return replace(plan, devices=devices, memory=memory, verdict=verdict)


def _sums(one: Mapping[int | None, int], other: Mapping[int | None, int]) -> dict[int | None, int]:
    return {index: one.get(index, 0) + other.get(index, 0) for index in {**one, **other}}


def _notes(companions: Companions, plan: Plan) -> list[str]:
    notes = []
    if (projector := companions.projector) is not None:
        on_device = any(need.memory.projector for need in plan.devices if need.index is not None)
        notes.append(
            f"the projector {projector.facts.name} takes {show_bytes(projector.bytes)}, as {projector.engine_version} "
            "told of this file" + (" on a processor: on a GPU its buffer may differ" if on_device else "")
        )
    if companions.draft is not None:
        notes.append(
            f"the draft {companions.draft.name} proposes {DRAFTED_TOKENS} tokens at once; the speed is that of the "
            "model without it: how many it gets right depends on the text, and is not known before it is measured"
        )
    return notes
