"""What llama.cpp allocates for a model, buffer by buffer and device by device.

Weights follow llama-model.cpp (load_tensors), caches llama-kv-cache*.cpp and llama-memory-recurrent.cpp, outputs
llama-context.cpp (output_reserve), second copies ggml-cpu/repack.cpp; the compute buffer is replayed from what the
engine itself was recorded to do (`steps.py`). Read and recorded 2026-11; the tests ask the engine's own log.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.facts import Layer, ModelFacts, Tensor
from weighbridge.machine import Device, Machine

from .device_steps import ALIGNMENT, DeviceSteps, padding_bytes
from .memory import MemoryNeed
from .placement import Placement
from .steps import Form, Step, cells_of, find, form_of, rotation_of
from .workload import CACHE_BLOCK, CACHE_TYPES, Workload

# Types that the processor back-end repacks into a second copy, with what their rows must be a multiple of
# (ggml-cpu/repack.cpp, ggml_repack_get_optimal_repack_type, read 2026-11; the wheel is built for AVX2, not AVX-512).
_REPACKED_ON_AVX2 = {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8}
_REPACKED_ON_ARM = {
    "Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "IQ4_NL": 4, "MXFP4": 4, "Q8_0": 4, "Q1_0": 4,
}  # fmt: skip
# A process with the engine loaded and no model took 24 MiB, and 27 MiB more with a vocabulary of 151,936 tokens
# (resident, xllamacpp 2026.10).
_PROCESS_BYTES = 32 << 20
_TOKEN_BYTES = 256
# What a driver keeps for one process on a device: assumed, as it differs by driver and is told by none.
_DEVICE_OVERHEAD = {"nvidia": 512 << 20, "amd": 384 << 20, "apple": 128 << 20}
_OTHER_OVERHEAD = 256 << 20
# With all layers on several devices, inputs are kept for so many steps at once (ggml-backend.cpp,
# GGML_SCHED_MAX_COPIES).
_COPIES = 4
# Of these architectures' layers that predict further tokens, llama.cpp always loads the feed-forward network, all but
# its norm (models/hy-v3.cpp and step35.cpp leave TENSOR_SKIP away there).
_FEED_FORWARD_OF_PREDICTING = ("hy_v3", "step35")
_FEED_FORWARD = re.compile(r"\.ffn_(?!norm)")
# Without a graph a device held up to 48 MiB more than the processor alone (tests/fit/test_devices.py).
_UNSURE_BYTES = 64 << 20
_VISION = ("v.", "mm.", "a.", "resampler.")
# Beside the embedding (llama-arch.cpp, LLM_TENSOR_LAYER_INPUT); and what is loaded with the first layer without having
# its number.
_LOOKED_UP = ("position_embd.", "token_types.", "per_layer_token_embd.")
_WITH_FIRST_LAYER = ("token_embd_norm.", "per_layer_model_proj.", "per_layer_proj_norm.", "conv1d.", "hrm.")
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
        self._cached = Counter(facts.layers)
        # Layers without heads get values as long as the longest too, unless a hybrid's cache leaves them out.
        leaves_out = any(layer.state_bytes for layer in self._cached) or facts.dimensions.get("nextn_predict_layers")
        self._pads_all = not leaves_out and any(layer.values for layer in self._cached)
        self._peaks: dict[Step, int] = {}
        self._device_steps: dict[int, DeviceSteps] = {}
        self._weights: dict[Placement, dict[int | None, int]] = {}
        self.gives_embeddings_always = "embedding" in facts.modalities.output
        self._sort_weights()

    def _sort_weights(self) -> None:
        """Bytes by layer, with routed experts apart; what comes before the layers, and after them."""
        count = len(self.facts.layers)
        self.layer_bytes, self.expert_bytes = [0] * count, [0] * count
        self.output_bytes = self.vision_bytes = 0
        predicting = self.facts.dimensions.get("nextn_predict_layers", 0)
        first_predicting = count - (predicting if isinstance(predicting, int) and predicting < count else 0)
        in_part = self.facts.architecture in _FEED_FORWARD_OF_PREDICTING
        self._types = {tensor.type for tensor in self.facts.tensors}
        embedding, has_output = 0, False
        self._loaded: list[Tensor] = []
        for tensor in self.facts.tensors:
            name, size = tensor.name, tensor.bytes
            if name.startswith("blk."):
                number = int(name[4 : name.index(".", 4)])
                # Layers that predict further tokens are not loaded unless drafting is asked for, or only in part.
                if number >= count or (number >= first_predicting and not (in_part and _FEED_FORWARD.search(name))):
                    continue
                if "_exps" in name:
                    self.expert_bytes[number] += size
                else:
                    self.layer_bytes[number] += size
            elif name.startswith(_VISION):
                self.vision_bytes += size
                continue
            elif name.startswith("output"):
                self.output_bytes += size
                has_output = has_output or name == "output.weight"
            elif name == "token_embd.weight":
                embedding = size
            self._loaded.append(tensor)
        # A tied embedding is loaded once more where the output is computed elsewhere (TENSOR_DUPLICATED).
        self.tied_output_bytes = 0 if has_output else embedding

    def repacked(self, machine: Machine) -> tuple[Tensor, ...]:
        """The matrices that this processor's back-end keeps a second, interleaved copy of."""
        rows = _repacked_types(machine)
        if not self._types & rows.keys():
            return ()
        return tuple(
            tensor
            for tensor in self._loaded
            if tensor.type in rows
            # Of three axes only experts: a latent's matrices, one a head, are multiplied by as they lie there.
            and (len(tensor.shape) == 2 or (len(tensor.shape) == 3 and "_exps" in tensor.name))
            and tensor.shape[1] % rows[tensor.type] == 0
            # A tied embedding is the output matrix too, and repacked as that; otherwise it is only looked up.
            and (tensor.name != "token_embd.weight" or self.tied_output_bytes)
        )

    def step(self, workload: Workload, context_tokens: int) -> Step:
        """The largest step of a context of this length."""
        step = largest_step(workload, context_tokens)
        outputs = step.tokens if self.gives_embeddings(workload) else workload.parallel
        return replace(step, outputs=outputs, cache=self._rotates(workload))

    def _rotates(self, workload: Workload) -> str:
        """Quantized keys are rotated where all heads have one length, a multiple of 64; values too."""
        lengths = self.facts.dimensions
        keys, values = lengths.get("attention.key_length", 0), lengths.get("attention.value_length", 0)
        if isinstance(keys, tuple) or isinstance(values, tuple) or not rotation_of(keys):
            return "plain"
        if lengths.get("attention.key_length_swa", keys) != keys or workload.cache_type_k in (None, "f16", "bf16"):
            return "plain"
        both = workload.cache_type_v not in (None, "f16", "bf16") and rotation_of(values)
        return "both" if both else "keys"

    def gives_embeddings(self, workload: Workload) -> bool:
        """Embedding models do, and models with so few tokens that scores for a whole step of a prompt cost little."""
        scores = workload.ubatch_tokens * (self.facts.vocabulary_size or 0)
        return self.gives_embeddings_always or scores <= _CHEAP_SCORES

    def cache_bytes(self, workload: Workload, step: Step, layers: Sequence[Layer] | None = None) -> tuple[int, int]:
        """Bytes of keys and values, and of fixed states, for these layers or for all.

        cells x (keys + values) x bytes a value, for each stream; e.g. 4,096 cells of 8 heads of 128 keys and 128 values
        at 16 bits: 16 MiB a layer.
        """
        key_block, value_block = workload.cache_block_bytes
        counted = self._cached if layers is None else Counter(layers)
        streams = 1 if workload.unified_cache else workload.parallel
        # Values are kept transposed without flash attention, and all layers as long as the longest (v_trans).
        widest = 0 if workload.flash_attention else max(layer.values for layer in self._cached)
        cache = state = 0
        for layer, count in counted.items():
            kept = layer.values or (self._pads_all and layer.kind == "none")
            values = (widest or layer.values) if kept else 0
            cache += count * streams * layer_cache_bytes(layer, values, step, key_block, value_block)
            state += count * workload.parallel * layer.state_bytes
        return cache, state

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
                    hint="with flash attention and a 16-bit cache more forms are known; the notes name the engine's "
                    "version that was recorded",
                ) from error
            self._peaks[step] = known
        return known

    def output_bytes_of(self, workload: Workload, step: Step) -> int:
        """Rows of scores in 32-bit floats (llama-context.cpp, output_reserve): one a sequence, or one for each token of
        a step, with its embedding, where embeddings are given."""
        row = self.facts.vocabulary_size or 0
        if self.gives_embeddings(workload):
            row += self.facts.embedding_length or 0
        return 4 * row * max(step.outputs, workload.parallel)

    def on_processor(self, machine: Machine, workload: Workload, context_tokens: int) -> MemoryNeed:
        """What main memory must hold where the processor computes everything, with weights mapped from the file."""
        step = self.step(workload, context_tokens)
        cache, state = self.cache_bytes(workload, step)
        repacked = self.repacked(machine)
        return MemoryNeed(
            weights=self.mapped_bytes(repacked) + self.vision_bytes,
            repack=sum(tensor.bytes for tensor in repacked),
            kv_cache=cache,
            recurrent_state=state,
            compute=self.compute_bytes(step),
            output=self.output_bytes_of(workload, step),
            overhead=process_overhead(self.facts.vocabulary_size),
        )

    def mapped_bytes(self, repacked: Sequence[Tensor]) -> int:
        """Bytes of the files from the first to the last tensor that is used as it lies there (get_mapping_range)."""
        elsewhere = {tensor.name for tensor in repacked if tensor.name != "token_embd.weight"}
        ends: dict[int, tuple[int, int]] = {}
        for name, _, _, offset, size, file in self._loaded:
            if name in elsewhere:
                continue
            first, last = ends.get(file, (offset, 0))
            ends[file] = min(first, offset), max(last, offset + size)
        return sum(last - first for first, last in ends.values())

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
        weights = self._weights_on(placement)
        needs: dict[int | None, MemoryNeed] = {}
        for index in (None, *placement.devices):
            mine = [layer for layer, place in zip(self.facts.layers, placement.layers, strict=True) if place == index]
            cache, state = self.cache_bytes(workload, step, mine)
            need = MemoryNeed(
                weights=weights.get(index, 0), kv_cache=cache, recurrent_state=state, compute=compute[index]
            )
            if index is None:
                overhead = process_overhead(self.facts.vocabulary_size)
                need = replace(need, output=self.output_bytes_of(workload, step), overhead=overhead)
            else:
                need = replace(need, overhead=device_overhead(machine.devices[index]))
            needs[index] = need
        return needs

    def _weights_on(self, placement: Placement) -> dict[int | None, int]:
        """Bytes of weights by device: as the file has them in main memory, lengthened as on a device there.

        Embeddings are looked up in main memory. A tied one is loaded again where the output is computed, and factors of
        rotations wherever there are layers (llama-model.cpp, load_tensors).
        """
        known = self._weights.get(placement)
        if known is not None:
            return known
        found: dict[int | None, int] = dict.fromkeys((None, *placement.devices), 0)
        self._weights[placement] = found
        first = placement.layers[0]
        for tensor in self._loaded:
            name, size = tensor.name, tensor.bytes
            places: tuple[int | None, ...] = (placement.output,)
            if name.startswith("blk."):
                number = int(name[4 : name.index(".", 4)])
                on_host = "_exps" in name and number < placement.experts_on_host
                places = (None if on_host else placement.layers[number],)
            elif name.startswith("token_embd."):
                tied = self.tied_output_bytes and placement.output is not None
                places = (None, placement.output) if tied else (None,)
            elif name.startswith(_LOOKED_UP):
                places = (None,)
            elif name.startswith(_WITH_FIRST_LAYER):
                places = (first,)
            elif name.startswith("rope_f"):
                places = tuple(dict.fromkeys(placement.layers))
            for place in places:
                if place is None:
                    found[place] += size
                else:
                    padded = size + padding_bytes(tensor.shape, size)
                    found[place] += -(-padded // ALIGNMENT) * ALIGNMENT
        found[placement.devices[0]] += self.vision_bytes
        return found

    def _computes_on(self, workload: Workload, step: Step, placement: Placement) -> dict[int | None, int]:
        """Bytes of the compute buffers by device."""
        recordings = find(self.form, step)
        recording = recordings[0] if len(recordings) == 1 else None
        if recording is not None and recording.graph is not None:
            known = self._device_steps.get(id(recording))
            if known is None:
                known = DeviceSteps(self.facts, self.form, recording, recording.graph)
                self._device_steps[id(recording)] = known
            try:
                return known.compute_bytes(step, placement, *workload.cache_block_bytes)
            except KeyError:
                # A size that is only missed on devices: bounded below, as without the graph.
                pass
        # Each is taken to hold what the processor would alone, and a good deal more: no graph says how much it is.
        # Main memory holds the inputs where nothing is computed there.
        copies = _COPIES if placement.pipelined else 1
        inputs = self._input_bytes(step) + 12 * step.tokens * (self.facts.embedding_length or 0)
        alone = self.compute_bytes(step)
        alone += alone // 8 + copies * inputs + _UNSURE_BYTES
        computes = not placement.on_devices_alone or placement.experts_on_host > 0
        return {None: alone if computes else copies * inputs, **dict.fromkeys(placement.devices, alone)}

    def _input_bytes(self, step: Step) -> int:
        """Masks of 16-bit floats for both kinds of attention, positions and indices."""
        windows = {layer.window_tokens for layer in self.facts.layers if layer.keys}
        cells = sum(step.window_cells(window) for window in {bool(window): window for window in windows}.values())
        return 2 * step.tokens * cells + 32 * step.tokens


# At most this share of a recipe's bytes has a second copy on processors with AVX2; by the types that it mixes.
_COPIED_ON_AVX2 = {
    "Q4_0": 1.0, "Q4_K_M": 1.0, "Q4_K_S": 1.0, "IQ4_NL": 1.0, "MXFP4_MOE": 1.0, "Q3_K_L": 0.6, "Q3_K_M": 0.6,
    "Q2_K": 0.6, "Q2_K_S": 0.6, "IQ3_M": 0.6, "IQ3_S": 0.3, "IQ3_XS": 0.3, "IQ3_XXS": 0.3, "IQ2_M": 0.3, "IQ2_S": 0.3,
}  # fmt: skip


def most_copied(machine: Machine, recipe: str) -> float:
    """Which share of a recipe's bytes this processor keeps a second copy of, at most."""
    types = _repacked_types(machine)
    if types is _REPACKED_ON_AVX2:
        return _COPIED_ON_AVX2.get(recipe.partition("+")[0], 0.0)
    return 1.0 if types else 0.0


def _repacked_types(machine: Machine) -> dict[str, int]:
    """The types that this processor's back-end repacks, with what their rows must be a multiple of."""
    sets = set(machine.processor.instruction_sets)
    if "AVX2" in sets:
        return _REPACKED_ON_AVX2
    return _REPACKED_ON_ARM if sets & {"DOTPROD", "MATMUL_INT8"} else {}


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
