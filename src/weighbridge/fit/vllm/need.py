"""`VLLMNeed`: what each GPU must hold, and how much context its cache then holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from weighbridge.errors import BadModelFile
from weighbridge.facts import ModelFacts
from weighbridge.figures import Basis, Figure
from weighbridge.fit.memory import DeviceNeed
from weighbridge.fit.workload import Workload
from weighbridge.machine import Device
from weighbridge.sizes import show_bytes

from .cache import Cache, cache_of, groups_of, longest_context, specs_of, states_of
from .choices import resolve
from .fixed import COMMUNICATION, CONTEXT, ENCODER, GRAPH, fixed_need, has_encoder
from .settings import GIB, VERSION, Settings, command_arguments
from .splitting import cut
from .weights import parts_of, stage_weights

VISIBLE = Figure(0.98, Basis.ASSUMED, "cudaMemGetInfo of NVML's total: 23.58 of 24 GiB, 39.39 of 40, 79.2 of 79.65")
"""How much of a GPU's memory CUDA lets a program have."""


@dataclass(frozen=True, slots=True)
class VLLMNeed:
    """What each GPU must hold, what the cache then holds, and how to start vLLM so."""

    devices: tuple[DeviceNeed, ...]
    settings: Settings
    """With all defaults filled in."""
    context_tokens: int
    cache: Cache
    largest_context: int | None
    """The longest context at which `Workload.parallel` sequences fit at once, at most the model's; None: none does."""
    notes: tuple[str, ...]
    arguments: tuple[str, ...]
    """Of `vllm serve`, after the model's name."""
    basis: Basis = Basis.COMPUTED
    engine: str = f"vllm {VERSION}"

    @property
    def cache_tokens(self) -> int:
        """Tokens that the memory left for the cache holds."""
        return self.cache.tokens

    @property
    def max_concurrency(self) -> float:
        """How many sequences of the context fit at once."""
        return self.cache.concurrency

    @property
    def fits(self) -> bool:
        """Whether every GPU holds its part with the cache that the workload needs."""
        return all(device.fits for device in self.devices)


def plan_memory(facts: ModelFacts, devices: Sequence[Device], workload: Workload, settings: Settings) -> VLLMNeed:
    """The need of every GPU, and the largest context, for the workload.

    Raises BadModelFile for what vLLM does not run or no rule is known for, BadSetting where the model cannot be cut so.
    Worked by hand: Qwen3-8B in bf16 on an A100 of 40 GB at 0.9, without graphs: 40 x 0.98 x 0.9 = 35.28 GiB, less 15.27
    of weights, 0.51 of activations and 0.5 of context leave 19.0 for the cache; vLLM 0.9.2 logged 18.69.
    """
    notes: list[str] = []
    _refuse_unknown(facts)
    settings = resolve(facts, devices, workload, settings, notes)
    split = cut(facts, settings, notes)
    if (devices[0].compute_capability or "").startswith("10."):
        split = split._replace(largest_graph=1024)
    context = workload.context_of(facts)
    if facts.context_length and context > facts.context_length:
        notes.append(f"{context:,} tokens are more than the model was made for: VLLM_ALLOW_LONG_MAX_MODEL_LEN=1")
    used = devices[: settings.tensor_parallel * settings.pipeline_parallel]
    parts = parts_of(facts, split)
    fixed = [fixed_need(facts, split, parts, stage) for stage in range(len(split.stages))]
    if has_encoder(facts):
        notes.append(
            f"an encoder's activations are assumed to take {show_bytes(ENCODER.value)} at least, its weights to be "
            "whole on each GPU; --language-model-only does without them"
        )
    budgets = [_budget(device, settings) for device in used]
    left = [
        budget - fixed[index // settings.tensor_parallel].total for index, budget in enumerate(budgets)
    ]  # ranks of one stage are neighbours (distributed/parallel_state.py)
    groups = groups_of(specs_of(facts, split))
    cache = cache_of(groups, split, left, context)
    states = states_of(groups, settings)
    parallel = max(1, workload.parallel)
    needs = []
    for index, device in enumerate(used):
        stage = index // settings.tensor_parallel
        # One block is vLLM's own: an empty place to point at (block_pool.py, null_block).
        held = (1 + parallel * cache.sequence_blocks) * cache.block_bytes[stage]
        state = parallel * states * cache.block_bytes[stage]
        memory = replace(fixed[stage], kv_cache=held - state, recurrent_state=state)
        needs.append(DeviceNeed(device.name, index, memory, max(0, budgets[index]), layers=len(split.stages[stage])))
    _warn_of_free(used, budgets, settings, notes)
    return VLLMNeed(
        devices=tuple(needs),
        settings=settings,
        context_tokens=context,
        cache=cache,
        largest_context=longest_context(facts, groups, split, left, parallel),
        notes=(*notes, *_UNCONFIRMED),
        arguments=command_arguments(settings, context),
    )


_UNCONFIRMED = (
    f"computed from the source of vLLM {VERSION} and held against published logs: no test here ran vLLM or a GPU",
    "activations are an upper estimate: the largest set that lives at once in a step, without what a compiler fuses",
    f"assumed: {CONTEXT.value / GIB:.2g} GiB a GPU for CUDA, {COMMUNICATION.value / GIB:.2g} more where GPUs work "
    f"together, {GRAPH.value / 2**20:.0f} MiB a CUDA graph, and that CUDA sees {VISIBLE.value:.0%} of the memory",
)


def cache_capacity(facts: ModelFacts, cache_bytes: int, context_tokens: int, settings: Settings) -> Cache:
    """What a cache of so many bytes a GPU holds: of vLLM's `Available KV cache memory` its `GPU KV cache size`.

    Qwen3.6-35B-A3B with an 8-bit cache: a state of 2,146,304 B makes blocks of 2096 tokens; ten layers share one of
    21,463,040 B, of which 5.98 GiB hold 299; a sequence of 131,072 tokens takes 63 and 3 x 2, so 4.33 fit.
    """
    _refuse_unknown(facts)
    settings = replace(
        settings,
        max_num_batched_tokens=settings.max_num_batched_tokens or 2048,
        max_num_seqs=settings.max_num_seqs or 256,
    )
    split = cut(facts, settings, [])
    left = [cache_bytes] * (settings.tensor_parallel * settings.pipeline_parallel)
    return cache_of(groups_of(specs_of(facts, split)), split, left, context_tokens)


def weights_bytes(facts: ModelFacts, settings: Settings) -> tuple[int, ...]:
    """Bytes of weights on a GPU of each pipeline stage: vLLM's `Model loading took`.

    Llama-3.1-8B: 8,030,261,248 x 2 B, and 32 MiB of rotations for 131,072 positions: 14.989 GiB; logged: 14.9888.
    """
    _refuse_unknown(facts)
    split = cut(facts, settings, [])
    parts = parts_of(facts, split)
    return tuple(stage_weights(facts, split, parts, stage) for stage in range(len(split.stages)))


def _refuse_unknown(facts: ModelFacts) -> None:
    if facts.source.kind == "gguf":
        raise BadModelFile(
            f"{facts.name}: is GGUF, which vLLM {VERSION} reads only by a plugin that is experimental",
            hint="give vLLM the safetensors checkpoint that it was made from; llama.cpp runs the GGUF file",
        )
    if not facts.layers:
        raise BadModelFile(
            f"{facts.name}: what the layers of {facts.architecture} keep is not known here",
            hint="vLLM's memory is computed for language models whose config.json is at hand",
        )
    unknown = {layer.kind for layer in facts.layers} & {"compressed"}
    if unknown:
        raise BadModelFile(
            f"{facts.name}: how vLLM lays out a cache of {', '.join(sorted(unknown))} entries is not known here",
            hint="start vLLM and read `GPU KV cache size` from its log",
        )


def _budget(device: Device, settings: Settings) -> int:
    """Bytes that vLLM may take: utilization x all (v1/worker/utils.py, request_memory), and never more than is free."""
    visible = int(device.memory_total_bytes * VISIBLE.value)
    return min(math.ceil(visible * settings.gpu_memory_utilization), device.memory_free_bytes)


def _warn_of_free(devices: Sequence[Device], budgets: Sequence[int], settings: Settings, notes: list[str]) -> None:
    for device, budget in zip(devices, budgets, strict=True):
        wanted = device.memory_total_bytes * VISIBLE.value * settings.gpu_memory_utilization
        if budget < wanted - 1:
            share = math.floor(budget / (device.memory_total_bytes * VISIBLE.value) * 100) / 100
            notes.append(
                f"{device.name} has {show_bytes(device.memory_free_bytes)} free, less than vLLM would take: it starts "
                f"only with --gpu-memory-utilization {share:.2f} or less"
            )
            return
