"""What llama.cpp allocates for a model, buffer by buffer and device by device.

Weights follow llama-model.cpp (load_tensors), caches llama-kv-cache*.cpp and llama-memory-recurrent.cpp, outputs
llama-context.cpp (output_reserve), second copies ggml-cpu/repack.cpp; the compute buffer is replayed from what the
engine itself was recorded to do (`steps.py`). Read and recorded 2026-11; the tests ask the engine's own log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.facts import Layer, ModelFacts
from weighbridge.machine import Device, Machine

from .device_steps import DeviceSteps
from .forms import Form, form_of
from .memory import MemoryNeed
from .placement import Placement
from .recordings import find
from .repacking import repacked_types
from .spreading import COPIES
from .steps import Step, cells_of, rotated_of
from .weights import LoadedWeights
from .workload import CACHE_BLOCK, CACHE_TYPES, Workload

# A process with the engine loaded and no model took 24 MiB, and 27 MiB more with a vocabulary of 151,936 tokens
# (resident, xllamacpp 2026.10).
_PROCESS_BYTES = 32 << 20
_TOKEN_BYTES = 256
# What a driver keeps for one process on a device: assumed, as it differs by driver and is told by none.
_DEVICE_OVERHEAD = {"nvidia": 512 << 20, "amd": 384 << 20, "apple": 128 << 20}
_OTHER_OVERHEAD = 256 << 20
# Without a graph a device held up to 48 MiB more than the processor alone (tests/fit/test_devices.py).
UNSURE_BYTES = 64 << 20
UNSURE_INPUTS = 16 << 20
# 16 bits over the 4.5 of a value in q4_0.
WIDENED = 4
# Of a recorded graph's estimate, what is added where kinds of layers alternate and some stay in main memory: on pretend
# devices qwen35 was short by 13 % in one of 16 such cases, others by 1 to 2 %.
_ALTERNATING_SHARE, _ALTERNATING_BYTES = 5, 8 << 20
_CHEAP_SCORES = 4 << 20


class LlamaCpp:
    """One model, prepared so that its needs are quickly told for many settings."""

    def __init__(self, facts: ModelFacts) -> None:
        if facts.source.kind != "gguf" or not facts.layers:
            raise BadModelFile(
                f"{facts.name}: is {facts.source.kind} of architecture {facts.architecture}, expected a language model "
                "in GGUF: that is what llama.cpp runs",
                hint="fetch the model as a .gguf file",
            )
        self.facts = facts
        self.form: Form = form_of(facts)
        # Which of its few kinds each layer is, and how many are of each.
        kinds: dict[Layer, int] = {}
        same: dict[int, int] = {}
        for layer in facts.layers:
            # Most are one object many times, and quicker told apart as such.
            if id(layer) not in same:
                same[id(layer)] = kinds.setdefault(layer, len(kinds))
        self._kind_of = [same[id(layer)] for layer in facts.layers]
        counts = Counter(self._kind_of)
        self._cached = {layer: counts[kind] for layer, kind in kinds.items()}
        # Layers without heads get values as long as the longest too, unless a hybrid's cache leaves them out.
        leaves_out = any(layer.state_bytes for layer in self._cached) or facts.dimensions.get("nextn_predict_layers")
        self._pads_all = not leaves_out and any(layer.values for layer in self._cached)
        self._steps: dict[tuple[Workload, int], Step] = {}
        self._peaks: dict[Step, int] = {}
        self._caches: dict[tuple[Step, int, int], list[tuple[int, int]]] = {}
        self._layer_caches: dict[tuple[Step, int, int], tuple[list[int], list[int]]] = {}
        self._device_steps: dict[int, DeviceSteps] = {}
        self._on_host: dict[frozenset[tuple[str, int]], tuple[int, int]] = {}
        self.gives_embeddings_always = "text" not in facts.modalities.output
        self.weights = LoadedWeights(facts)

    def step(self, workload: Workload, context_tokens: int) -> Step:
        """The largest step of a context of this length."""
        known = self._steps.get((workload, context_tokens))
        if known is None:
            step = largest_step(workload, context_tokens)
            # speculative.cpp, common_speculative_get_output_limits: what was proposed, and the token after it.
            rows = workload.parallel * (1 + workload.drafted_tokens)
            outputs = step.tokens if self.gives_embeddings(workload) else min(rows, step.tokens)
            known = replace(
                step, outputs=outputs, cache=rotated_of(self.facts, workload.cache_type_k, workload.cache_type_v)
            )
            self._steps[workload, context_tokens] = known
        return known

    def gives_embeddings(self, workload: Workload) -> bool:
        """Embedding models do, and models with so few tokens that scores for a whole step of a prompt cost little."""
        scores = workload.ubatch_tokens * (self.facts.vocabulary_size or 0)
        return self.gives_embeddings_always or scores <= _CHEAP_SCORES

    def cache_bytes(self, workload: Workload, step: Step, layers: Sequence[Layer] | None = None) -> tuple[int, int]:
        """Bytes of keys and values, and of fixed states, for these layers or for all.

        cells x (keys + values) x bytes a value, for each stream; e.g. 4,096 cells of 8 heads of 128 keys and 128 values
        at 16 bits: 16 MiB a layer.
        """
        counted = self._cached if layers is None else Counter(layers)
        each = dict(zip(self._cached, self._cache_of_kinds(workload, step), strict=True))
        return (
            sum(count * each[layer][0] for layer, count in counted.items()),
            sum(count * each[layer][1] for layer, count in counted.items()),
        )

    def cache_by_layer(self, workload: Workload, step: Step) -> tuple[list[int], list[int]]:
        """Bytes of keys and values, and of fixed states, layer by layer."""
        key = step, *workload.cache_block_bytes
        known = self._layer_caches.get(key)
        if known is None:
            each = self._cache_of_kinds(workload, step)
            caches, states = ([of[part] for of in each] for part in (0, 1))
            known = [caches[kind] for kind in self._kind_of], [states[kind] for kind in self._kind_of]
            self._layer_caches[key] = known
        return known

    def _cache_of_kinds(self, workload: Workload, step: Step) -> list[tuple[int, int]]:
        """The same for each kind of layer that the model has, in the order in which they first come."""
        key_block, value_block = workload.cache_block_bytes
        known = self._caches.get((step, key_block, value_block))
        if known is None:
            # DeepSeek-V4's caches are apart for each sequence, whatever is asked for.
            is_apart = any(layer.tokens_per_entry > 1 for layer in self._cached)
            kept_step = replace(step, unified_cache=False) if is_apart else step
            streams = 1 if kept_step.unified_cache else step.parallel
            # Values are kept transposed without flash attention, and all layers as long as the longest (v_trans).
            widest = 0 if step.flash_attention else max(layer.values for layer in self._cached)
            known = []
            for layer in self._cached:
                kept = layer.values or (self._pads_all and layer.kind == "none")
                values = (widest or layer.values) if kept else 0
                cache = streams * layer_cache_bytes(layer, values, kept_step, key_block, value_block)
                known.append((cache, step.parallel * layer.state_bytes))
            self._caches[step, key_block, value_block] = known
        return known

    def compute_bytes(self, step: Step) -> int:
        """Bytes of the compute buffer, replayed; BadModelFile where this form of graph was never recorded."""
        known = self._peaks.get(step)
        if known is None:
            recordings = find(self.form, step)
            try:
                if not recordings:
                    raise KeyError(self.facts.architecture)
                known = max(recording.peak(self.facts, self.form, step) for recording in recordings)
            except KeyError as error:
                raise BadModelFile(
                    f"{self.facts.name}: how much llama.cpp computes with is not known for this form of "
                    f"{self.facts.architecture} ({error.args[0]}), and it is not guessed",
                    hint="weigh fit FILE --ask-engine has the engine tell it, without loading the file; with flash "
                    "attention and a 16-bit cache more forms are known",
                ) from error
            self._peaks[step] = known
        return known

    def output_bytes_of(self, workload: Workload, step: Step) -> int:
        """Rows of scores in 32-bit floats (llama-context.cpp, output_reserve): one a sequence, or one for each token of
        a step, with its embedding, where embeddings are given."""
        row = self.facts.vocabulary_size or 0
        if self.gives_embeddings(workload):
            wide = self.facts.dimensions.get("embedding_length_out", 0)
            row += (wide if isinstance(wide, int) else 0) or self.facts.embedding_length or 0
        return 4 * row * max(step.outputs, workload.parallel)

    def on_processor(self, machine: Machine, workload: Workload, context_tokens: int) -> MemoryNeed:
        """What main memory must hold where the processor computes everything, with weights mapped from the file."""
        step = self.step(workload, context_tokens)
        cache, state = self.cache_bytes(workload, step)
        kind = frozenset(repacked_types(machine).items())
        if kind not in self._on_host:
            repacked = self.weights.repacked(machine)
            self._on_host[kind] = self.weights.mapped_bytes(repacked), sum(tensor.bytes for tensor in repacked)
        mapped, copied = self._on_host[kind]
        return MemoryNeed(
            weights=mapped + self.weights.vision_bytes,
            repack=copied,
            kv_cache=cache,
            recurrent_state=state,
            compute=self.compute_bytes(step),
            output=self.output_bytes_of(workload, step),
            overhead=process_overhead(self.facts.vocabulary_size),
        )

    def on_devices(
        self, machine: Machine, workload: Workload, context_tokens: int, placement: Placement
    ) -> dict[int | None, MemoryNeed]:
        """What main memory (None) and each device must hold, with weights copied to the devices.

        Weights, caches, states and the buffers that are computed with, on devices and for them in main memory, are what
        the engine asks pretend devices for, which hold and compute nothing but follow the rules of CUDA's buffers
        (tests/fit/pretend_devices.py). In main memory weights are counted as they are used; the log may tell a longer
        mapped buffer, from the first of them in the file to the last.

        A real device may differ in what its back-end does beside these buffers: its own workspace (cuBLAS, pools for
        quantized matrices and split attention, graphs), counted as assumed overhead; operations that it does not
        support, which go to the processor and cut the step in more parts; and operations that it fuses or runs side by
        side, which may keep blocks longer. Metal and Vulkan have other alignments and keep no 16-bit copies of a
        quantized cache beside a step.
        """
        if not placement.devices:
            return {None: self.on_processor(machine, workload, context_tokens)}
        step = self.step(workload, context_tokens)
        compute = self._computes_on(workload, step, placement)
        held = self.held_on_devices(machine, workload, context_tokens, placement)
        return {index: replace(need, compute=compute[index]) for index, need in held.items()}

    def held_on_devices(
        self, machine: Machine, workload: Workload, context_tokens: int, placement: Placement
    ) -> dict[int | None, MemoryNeed]:
        """The same without what is computed with, which takes longest to tell."""
        step = self.step(workload, context_tokens)
        weights = self.weights.on(placement)
        caches, states = dict.fromkeys(weights, 0), dict.fromkeys(weights, 0)
        cache_of, state_of = self.cache_by_layer(workload, step)
        for place, start, end in placement.runs:
            caches[place] += sum(cache_of[start:end])
            states[place] += sum(state_of[start:end])
        return {
            index: MemoryNeed(
                weights=weights[index],
                kv_cache=caches[index],
                recurrent_state=states[index],
                output=self.output_bytes_of(workload, step) if index is None else 0,
                overhead=process_overhead(self.facts.vocabulary_size)
                if index is None
                else device_overhead(machine.devices[index]),
            )
            for index in weights
        }

    def _computes_on(self, workload: Workload, step: Step, placement: Placement) -> dict[int | None, int]:
        """Bytes of the compute buffers by device."""
        recordings = find(self.form, step)
        recording = recordings[0] if len(recordings) == 1 else None
        unbounded = self._may_copy_caches()
        # Of these graphs even spread ones were short where some layers or experts stay in main memory.
        is_whole = placement.on_devices_alone and placement.experts_on_host == 0
        if recording is not None and recording.graph is not None and (is_whole or not unbounded):
            known = self._device_steps.get(id(recording))
            if known is None:
                known = DeviceSteps(self.facts, self.form, recording, recording.graph)
                self._device_steps[id(recording)] = known
            try:
                found = known.compute_bytes(step, placement, *workload.cache_block_bytes)
                # Where kinds of layers alternate, which of them meet at the borders differs from the recording.
                return (
                    found
                    if is_whole or not self._alternates
                    else {
                        index: size + size // _ALTERNATING_SHARE + _ALTERNATING_BYTES for index, size in found.items()
                    }
                )
            except KeyError:
                # A size that is only missed on devices: bounded below, as without the graph.
                pass
        if unbounded:
            raise BadModelFile(
                f"{self.facts.name}: how much GPUs compute with is not known for {self.facts.architecture} and this "
                "cache, and it is not guessed",
                hint="with flash attention and a 16-bit cache more forms are known; the processor alone is estimated",
            )
        # Each is taken to hold what the processor would alone, and a good deal more: no graph says how much it is.
        # Main memory holds the inputs where nothing is computed there.
        copies = COPIES if placement.pipelined else 1
        inputs = self._input_bytes(step) + 20 * step.tokens * (self.facts.embedding_length or 0)
        inputs += inputs // 8 + UNSURE_INPUTS
        alone = self.compute_bytes(step)
        alone += int(alone * unsure_share(self.facts.layers))
        alone += copies * inputs + UNSURE_BYTES + self._sent_bytes(workload, step, placement)
        computes = not placement.on_devices_alone or placement.experts_on_host > 0
        return {None: alone if computes else copies * inputs, **dict.fromkeys(placement.devices, alone)}

    def _sent_bytes(self, workload: Workload, step: Step, placement: Placement) -> int:
        """What a step of a prompt sends from main memory to a device at most: it computes with matrices that lie there
        (ggml-backend.cpp, op_offload), one after another, and attends for layers there, with their caches and states.

        Two of each, as the next may come before the last is given back. A quantized cache is also made to one of 16
        bits, on whatever device attends.
        """
        places, on_host = placement.layers, placement.experts_on_host
        dense, routed = self.weights.largest_matrices
        cache_of, state_of = self.cache_by_layer(workload, step)
        matrix = cache = 0
        for number, place in enumerate(places):
            if place is None:
                matrix = max(matrix, dense[number], routed[number])
                cache = max(cache, cache_of[number] + state_of[number])
            elif number < on_host:
                matrix = max(matrix, routed[number])
        widened = 2 * WIDENED * max(cache_of, default=0) if workload.has_quantized_cache else 0
        return 2 * matrix + 2 * cache + widened

    @cached_property
    def _alternates(self) -> bool:
        """Whether layers that keep a state stand among layers that attend."""
        layers = self._cached
        return any(layer.state_bytes for layer in layers) and any(layer.keys for layer in layers)

    def _may_copy_caches(self) -> bool:
        """Whether devices may hold far more than the processor alone would: pretend devices were asked for more than
        any bound known here, where layers use another's cache or have heads of several lengths, where they are run
        through several times (HRM), and for some more."""
        lengths = self.facts.dimensions
        return (
            any(layer.kind == "shared_kv" for layer in self.facts.layers)
            or lengths.get("attention.key_length_swa", 0) not in (0, lengths.get("attention.key_length"))
            or self.facts.architecture in _UNBOUNDED_ON_DEVICES
        )

    def _input_bytes(self, step: Step) -> int:
        """Masks for both kinds of attention (16-bit floats with flash attention, up to three of 32
        bits without), positions and indices."""
        windows = {layer.window_tokens for layer in self.facts.layers if layer.keys}
        cells = sum(step.window_cells(window) for window in {bool(window): window for window in windows}.values())
        return (2 if step.flash_attention else 12) * step.tokens * cells + 32 * step.tokens


# Pretend devices were asked for more than the bound.
_UNBOUNDED_ON_DEVICES = frozenset({
    "deepseek32", "deepseek4", "glm-dsa", "glm5-next", "grok", "hrm_text", "hy_v4", "kimi-k3", "minimax-01", "nanbeige",
})  # fmt: skip


def largest_step(workload: Workload, context_tokens: int) -> Step:
    """The largest step of a context of this length that gives one row of scores a sequence."""
    everything = context_tokens * (1 if workload.unified_cache else workload.parallel)
    return Step(
        context_tokens, workload.parallel, min(workload.ubatch_tokens, cells_of(everything)), workload.parallel,
        workload.flash_attention, workload.unified_cache, workload.full_windows,
    )  # fmt: skip


def layer_cache_bytes(layer: Layer, values: int, step: Step, key_block: int, value_block: int) -> int:
    """Bytes of one layer's cache for one stream, with so many values a token; blocks are bytes of 32 values.

    All tokens, or those of a window, have an entry; compressed layers have one more for several tokens, and a sparse
    indexer keeps keys of its own beside each.
    """
    entry = (layer.keys * key_block + values * value_block) // CACHE_BLOCK
    index = layer.index_keys * key_block // CACHE_BLOCK
    cells, whole = step.window_cells(layer.window_tokens), cells_of(step.context_tokens)
    if layer.tokens_per_entry > 1:
        return cells * entry + cells_of(-(-whole // layer.tokens_per_entry)) * (entry + index)
    return cells * entry + whole * index


def unsure_share(layers: Iterable[Layer]) -> float:
    """How much more a device may compute with than the processor alone, where no graph was recorded: on pretend devices
    it was up to a fifth more for plamo2, and more than an eighth for mamba, which keep states."""
    return 0.5 if any(layer.state_bytes for layer in layers) else 0.125


def process_overhead(vocabulary_size: int | None) -> int:
    """Bytes of the engine's process and its vocabulary."""
    return _PROCESS_BYTES + _TOKEN_BYTES * (vocabulary_size or 0)


def device_overhead(device: Device) -> int:
    """Bytes that a driver keeps on a device for one process: assumed."""
    return _DEVICE_OVERHEAD.get(device.vendor, _OTHER_OVERHEAD)


def check_cache_types(workload: Workload) -> None:
    """BadSetting for a cache type that llama.cpp does not have, or not with the other settings."""
    for name, kind in (("keys", workload.cache_type_k), ("values", workload.cache_type_v)):
        if kind is not None and kind not in CACHE_TYPES:
            raise BadSetting(f"no cache type of {name} is {kind!r}", hint=f"there are: {', '.join(CACHE_TYPES)}")
    if not workload.flash_attention and (workload.cache_type_v or "f16") not in ("f16", "bf16"):
        raise BadSetting(
            f"values as {workload.cache_type_v} need flash attention", hint="leave --no-flash-attention away"
        )
