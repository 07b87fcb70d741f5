"""Which settings a model and some GPUs allow, and those that vLLM chooses where nobody says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weighbridge.errors import BadSetting
from weighbridge.facts import ModelFacts
from weighbridge.fit.heads import kv_heads
from weighbridge.fit.workload import Workload
from weighbridge.machine import Device

from .settings import CACHE_BYTES, DTYPES, GIB, Settings


def parallel_choices(facts: ModelFacts, devices: Sequence[Device]) -> tuple[tuple[int, int], ...]:
    """(tensor_parallel, pipeline_parallel) that use all or some of the GPUs and cut the model evenly, fewest GPUs
    first; of equal counts, more tensor parallelism first, as it also divides the time of a step."""
    alike = 0
    while alike < len(devices) and _is_alike(devices[alike], devices[0]):
        alike += 1
    found = []
    heads = _some_kv_heads(facts)
    for count in range(1, alike + 1):
        for tensor in range(count, 0, -1):
            if count % tensor == 0 and count // tensor <= len(facts.layers) and not _obstacle(facts, heads, tensor):
                found.append((tensor, count // tensor))
    return tuple(found)


def resolve(
    facts: ModelFacts, devices: Sequence[Device], workload: Workload, settings: Settings, notes: list[str]
) -> Settings:
    """The settings with vLLM's defaults; BadSetting for those that cannot be."""
    tensor, pipeline = settings.tensor_parallel, settings.pipeline_parallel
    if tensor < 1 or pipeline < 1 or tensor * pipeline > len(devices):
        raise BadSetting(
            f"tensor_parallel {tensor} x pipeline_parallel {pipeline} needs as many GPUs, there are {len(devices)}",
            hint=f"choose two numbers whose product is at most {len(devices)}",
        )
    used = devices[: tensor * pipeline]
    if not all(_is_alike(device, used[0]) for device in used):
        names = ", ".join(dict.fromkeys(device.name for device in used))
        notes.append(f"the GPUs differ ({names}): vLLM gives all the same part, and the smallest sets the cache")
    heads = _some_kv_heads(facts)
    obstacle = _obstacle(facts, heads, tensor, expert_parallel=settings.expert_parallel)
    if obstacle:
        ways = [str(count) for count in range(1, len(devices) + 1) if not _obstacle(facts, heads, count)]
        raise BadSetting(
            f"{facts.name} cannot be cut into {tensor}: {obstacle}", hint=f"tensor_parallel can be {', '.join(ways)}"
        )
    if pipeline > len(facts.layers):
        raise BadSetting(
            f"{facts.name} has {len(facts.layers)} layers, fewer than {pipeline} stages",
            hint=f"choose at most {len(facts.layers)} stages",
        )
    for name, table, value in (
        ("kv_cache_dtype", CACHE_BYTES, settings.kv_cache_dtype),
        ("dtype", DTYPES, settings.dtype),
        ("quantization", {"fp8": 1, None: 1}, settings.quantization),
    ):
        if value not in table:
            known = ", ".join(str(key) for key in table)
            raise BadSetting(f"{name} {value!r} is not computed here", hint=f"known: {known}")
    total = min(device.memory_total_bytes for device in used)
    small = total < 70 * GIB or "a100" in used[0].name.lower() or used[0].compute_capability == "12.1"
    tokens, sequences = (2048, 256) if small else (16384 if total >= 160 * GIB else 8192, 1024)
    context = workload.context_of(facts)
    sequences = settings.max_num_seqs or max(sequences, workload.parallel)
    tokens = settings.max_num_batched_tokens or min(tokens, sequences * context)
    if sequences < workload.parallel:
        raise BadSetting(
            f"max_num_seqs {sequences} is less than the {workload.parallel} sequences at once",
            hint=f"choose at least {workload.parallel}",
        )
    return replace(settings, max_num_batched_tokens=tokens, max_num_seqs=min(sequences, tokens))


def _is_alike(one: Device, other: Device) -> bool:
    return (one.name, one.memory_total_bytes) == (other.name, other.memory_total_bytes)


def _obstacle(facts: ModelFacts, kv_heads: int | None, ways: int, *, expert_parallel: bool = False) -> str | None:
    """Why tensor parallelism cannot be that (config/model.py, verify_with_parallel_config; linear.py, divide)."""
    if facts.head_count and facts.head_count % ways:
        return f"{facts.head_count} heads do not divide by it"
    if facts.feed_forward_length and facts.feed_forward_length % ways:
        return f"a feed-forward length of {facts.feed_forward_length} does not divide by it"
    inner = facts.expert_feed_forward_length
    if inner and not expert_parallel and inner % ways:
        return f"experts of {inner} do not divide by it"
    if kv_heads and kv_heads % ways and ways % kv_heads:
        return f"{kv_heads} heads of keys neither divide by it nor divide it"
    return None


def _some_kv_heads(facts: ModelFacts) -> int | None:
    """Heads of keys of the first layer that has any, where they are known."""
    return next((heads for heads in kv_heads(facts) if heads), None)
