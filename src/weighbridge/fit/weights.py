"""`LoadedWeights`: which of a file's tensors llama.cpp loads, where they lie, and their bytes there.

By llama-model.cpp (load_tensors); second copies by ggml-cpu/repack.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from weighbridge.facts import ModelFacts, Tensor
from weighbridge.machine import Machine

from .device_steps import ALIGNMENT, padding_bytes
from .placement import Placement
from .repacking import repacked_types
from .tensor_names import block_of

# Of these architectures' layers that predict further tokens, llama.cpp always loads the feed-forward network, all but
# its norm (models/hy-v3.cpp and step35.cpp leave TENSOR_SKIP away there).
_FEED_FORWARD_OF_PREDICTING = ("hy_v3", "step35")
_FEED_FORWARD = re.compile(r"\.ffn_(?!norm)")
_VISION = ("v.", "mm.", "a.", "resampler.")
# Beside the embedding (llama-arch.cpp, LLM_TENSOR_LAYER_INPUT); and what is loaded with the first layer without having
# its number.
_LOOKED_UP = ("position_embd.", "token_types.", "per_layer_token_embd.")
_WITH_FIRST_LAYER = ("token_embd_norm.", "per_layer_model_proj.", "per_layer_proj_norm.", "conv1d.", "hrm.")


@dataclass(slots=True)
class _DeviceWeights:
    """Bytes of weights as a device has them, each tensor lengthened and aligned; in main memory they are as in the
    file."""

    layers: list[int]
    """By layer, without routed experts."""
    experts: list[int]
    looked_up: int = 0
    """Embeddings, which stay in main memory: as in the file."""
    embedding: int = 0
    """The tied embedding, loaded again where the output is computed."""
    with_first: tuple[int, int] = (0, 0)
    """What goes where the first layer goes: as in the file, and on a device."""
    with_output: tuple[int, int] = (0, 0)
    rotations: list[tuple[int, int]] = field(default_factory=list)
    """Factors of rotations, wherever there are layers."""


class LoadedWeights:
    """The weights of one model. Tensors that predict further tokens are left out, and so is what sees or hears."""

    layer_bytes: list[int]
    """By layer, without routed experts."""
    expert_bytes: list[int]
    """Of routed experts, by layer."""
    output_bytes: int
    vision_bytes: int
    tied_output_bytes: int
    """Of the embedding where it is the output too: it is loaded once more where that is computed elsewhere
    (TENSOR_DUPLICATED)."""

    def __init__(self, facts: ModelFacts) -> None:
        """`facts` are those of a file with layers."""
        self.facts = facts
        self._on_device: _DeviceWeights | None = None
        count = len(self.facts.layers)
        self.layer_bytes, self.expert_bytes = [0] * count, [0] * count
        self.output_bytes = self.vision_bytes = 0
        predicting = self.facts.dimensions.get("nextn_predict_layers", 0)
        first_predicting = count - (predicting if isinstance(predicting, int) and predicting < count else 0)
        in_part = self.facts.architecture in _FEED_FORWARD_OF_PREDICTING
        self._types = {tensor.type for tensor in self.facts.tensors}
        embedding, has_output = 0, False
        self._loaded: list[Tensor] = []
        # Of each loaded tensor: its layer, or None.
        self._layer_of: list[int | None] = []
        for tensor in self.facts.tensors:
            name, size = tensor.name, tensor.bytes
            number = None
            if found := block_of(name):
                number = found[0]
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
            self._layer_of.append(number)
        self.tied_output_bytes = 0 if has_output else embedding

    def repacked(self, machine: Machine) -> tuple[Tensor, ...]:
        """The matrices that this processor's back-end keeps a second, interleaved copy of."""
        rows = repacked_types(machine)
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

    def mapped_bytes(self, repacked: Sequence[Tensor]) -> int:
        """Bytes of the files from the first to the last tensor that is used as it lies there (get_mapping_range)."""
        elsewhere = {tensor.name for tensor in repacked if tensor.name != "token_embd.weight"}
        used = [each for each in self._loaded if each.name not in elsewhere] if elsewhere else self._loaded
        mapped = 0
        for file in {each.file for each in used}:
            of_file = [each for each in used if each.file == file]
            first = min(each.offset for each in of_file)
            mapped += max(each.offset + each.bytes for each in of_file) - first
        return mapped

    @property
    def least_bytes(self) -> int:
        """Bytes of all layers and of the output, as they are in the file: less than these nothing takes."""
        return sum(self.layer_bytes) + sum(self.expert_bytes) + self.output_bytes

    def on(self, placement: Placement) -> dict[int | None, int]:
        """Bytes of weights by device: as the file has them in main memory, lengthened as on a device there.

        Embeddings are looked up in main memory. A tied one is loaded again where the output is computed, and factors of
        rotations wherever there are layers (llama-model.cpp, load_tensors).
        """
        known = self._on_device = self._on_device or self._weighed_for_devices()
        found: dict[int | None, int] = dict.fromkeys((None, *placement.devices), 0)
        for place, start, end in placement.runs:
            on_host = max(start, min(placement.experts_on_host, end)) if place is not None else end
            found[None] += sum(self.expert_bytes[start:on_host])
            if place is None:
                found[None] += sum(self.layer_bytes[start:end])
            else:
                found[place] += sum(known.layers[start:end]) + sum(known.experts[on_host:end])
        first, output = placement.layers[0], placement.output
        found[None] += known.looked_up
        found[first] += known.with_first[first is not None]
        found[output] += known.with_output[output is not None]
        if self.tied_output_bytes and output is not None:
            found[output] += known.embedding
        for index in dict.fromkeys(place for place, _, _ in placement.runs):
            found[index] += sum(sizes[index is not None] for sizes in known.rotations)
        found[placement.devices[0]] += self.vision_bytes
        return found

    def _weighed_for_devices(self) -> _DeviceWeights:
        """All tensors, as a device has them."""
        count = len(self.facts.layers)
        found = _DeviceWeights([0] * count, [0] * count)
        alike: dict[tuple[tuple[int, ...], int], int] = {}
        for (name, _, shape, _, size, _), number in zip(self._loaded, self._layer_of, strict=True):
            taken = alike.get((shape, size))
            if taken is None:
                taken = -(-(size + padding_bytes(shape, size)) // ALIGNMENT) * ALIGNMENT
                alike[shape, size] = taken
            if number is not None:
                (found.experts if "_exps" in name else found.layers)[number] += taken
            elif name.startswith("token_embd."):
                found.looked_up += size
                found.embedding += taken
            elif name.startswith(_LOOKED_UP):
                found.looked_up += size
            elif name.startswith(_WITH_FIRST_LAYER):
                found.with_first = found.with_first[0] + size, found.with_first[1] + taken
            elif name.startswith("rope_f"):
                found.rotations.append((size, taken))
            else:
                found.with_output = found.with_output[0] + size, found.with_output[1] + taken
        return found

    @cached_property
    def largest_matrices(self) -> tuple[list[int], list[int]]:
        """By layer, the bytes of the largest tensor, and of the largest that routed experts have."""
        count = len(self.facts.layers)
        dense, routed = [0] * count, [0] * count
        for tensor, number in zip(self._loaded, self._layer_of, strict=True):
            if number is not None:
                sizes = routed if "_exps" in tensor.name else dense
                sizes[number] = max(sizes[number], tensor.bytes)
        return dense, routed
