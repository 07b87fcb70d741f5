"""What two models need to be compared, and whether this machine has it: before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weighbridge.errors import BadModelFile, BadSetting, DoesNotFit
from weighbridge.facts import ModelFacts
from weighbridge.fit import LlamaCpp, Plan, Workload, make_plan
from weighbridge.fit.asking import plan_by_asking
from weighbridge.machine import Machine
from weighbridge.sizes import show_bytes

from .scorer import ScorerSettings

LEAST_TOKENS = 65
# Bytes of scores that one step of one model may leave.
_STEP_BYTES = 48 << 20
_LEAST_ROWS, LONGEST_CONTEXT = 32, 512
_MARGIN_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to compare: what it is, and the types of its cache."""

    facts: ModelFacts
    name: str
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"


@dataclass(frozen=True, slots=True)
class Manner:
    """How far and how two models are compared."""

    context_tokens: int = LONGEST_CONTEXT
    """Length of the pieces in which the text is read; the models' own context, if that is shorter."""
    most_tokens: int | None = None
    """Read so many of the text's tokens at most."""
    most_seconds: float | None = None
    """Begin no piece after so many seconds; what was read by then counts."""
    threads: int | None = None
    """Of both together; None: as the plans say."""
    load_seconds: float = 300.0
    step_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """How both will run."""

    context_tokens: int
    """Length of the pieces in which the text is read."""
    rows: int
    """Tokens of a step."""
    threads: int
    """Of each of the two."""
    settings: tuple[ScorerSettings, ScorerSettings]


def prepare(quant: Candidate, base: Candidate, machine: Machine, manner: Manner) -> Prepared:
    """How the two are run on this machine. Raises BadSetting for what cannot be compared, DoesNotFit where memory is
    short, EngineFailed where the engine had to be asked what it takes, and refuses."""
    both = quant, base
    lengths = [each.facts.context_length for each in both]
    context = min([manner.context_tokens, *(length for length in lengths if length)])
    if context < LEAST_TOKENS - 1:
        raise BadSetting(
            f"pieces of {context:,} tokens are too short to compare models over",
            hint=f"--context takes {LEAST_TOKENS - 1} and more",
        )
    rows = min(context, _rows(max(each.facts.vocabulary_size or 0 for each in both)))
    plans = [_plan(each, machine, context, rows) for each in both]
    _check_memory(both, plans, rows)
    threads = max(1, (manner.threads or max(plan.threads for plan in plans)) // 2)
    first, second = (
        ScorerSettings(
            path=Path(each.facts.source.files[0]).resolve(),
            context_tokens=context,
            rows=rows,
            threads=threads,
            most_bytes=plan.memory.total + _step_bytes(each, rows) + _MARGIN_BYTES,
            cache_type_k=each.cache_type_k,
            cache_type_v=each.cache_type_v,
            load_seconds=manner.load_seconds,
            step_seconds=manner.step_seconds,
        )
        for each, plan in zip(both, plans, strict=True)
    )
    return Prepared(context, rows, threads, (first, second))


def _plan(each: Candidate, machine: Machine, context: int, rows: int) -> Plan:
    facts = each.facts
    if facts.source.kind != "gguf" or not facts.source.files:
        raise BadSetting(
            f"{each.name} is no GGUF file on this machine, and only those are compared here",
            hint="name two .gguf files: the quantized one, and the one it was made of",
        )
    workload = Workload(
        context_tokens=context, parallel=1, ubatch_tokens=rows, cache_type_k=each.cache_type_k,
        cache_type_v=each.cache_type_v,
    )  # fmt: skip
    try:
        model = LlamaCpp(facts)
        if model.gives_embeddings_always:
            raise BadSetting(
                f"{each.name} gives embeddings and foretells no tokens", hint="compare models that write text"
            )
        return make_plan(model, machine, workload, use_devices=False, brief=True)
    except BadModelFile:
        # A graph that was never recorded: the engine itself tells what it takes.
        return plan_by_asking(facts, machine, workload)


def _step_bytes(each: Candidate, rows: int) -> int:
    """Scores of a step: in the engine's graph, its answer, and twice in shared memory."""
    return 4 * 4 * rows * (each.facts.vocabulary_size or 0)


def _check_memory(both: tuple[Candidate, Candidate], plans: list[Plan], rows: int) -> None:
    quant, base = both
    need = sum(plan.memory.total + _step_bytes(each, rows) for plan, each in zip(plans, both, strict=True))
    if quant.facts.source.files == base.facts.source.files:
        need -= plans[0].memory.weights  # mapped once
    available = plans[0].devices[0].available_bytes
    if available is not None and need > available:
        raise DoesNotFit(
            f"{quant.name} and {base.name} together need {show_bytes(need)}, {show_bytes(available)} are available",
            hint="end other programs, or take a smaller base, such as the Q8_0 file",
        )


def _rows(vocabulary_size: int) -> int:
    """Tokens of a step, so that its scores take no more than 48 MiB; a multiple of 32, and at least that."""
    fitting = _STEP_BYTES // (4 * max(1, vocabulary_size))
    return max(_LEAST_ROWS, min(LONGEST_CONTEXT, fitting // _LEAST_ROWS * _LEAST_ROWS))
