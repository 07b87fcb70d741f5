"""How much each device computes with, where a model's layers are spread over several: a recorded graph, spread alike.

A recording has fewer layers than most models, but what a device holds at once depends only on which kinds of layers it
has, and on what lies before and after them. So for each device the recording's few layers are shared out as the model's
many are: what comes before on the processor, what on other devices, the device's own layers, and what comes after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, groupby

from weighbridge.facts import ModelFacts

from .allocation import peak
from .forms import Form
from .placement import Placement
from .recordings import Recording
from .spreading import AT_INPUT, AT_OUTPUT, Graph, Part, Tensor, spread
from .steps import Step
from .tensor_names import block_of

ALIGNMENT = 128
"""Of blocks on a device (ggml-cuda.cu, ggml_backend_cuda_buffer_type_get_alignment)."""
_HOST_ALIGNMENT = 32
ROW_PADDING = 512
"""Values that rows of a quantized matrix are padded to on a device (ggml-cuda.cu, MATRIX_ROW_PADDING)."""
_OFFLOADED_FROM = 32
_BLOCK = 32
_F16_BLOCK_BYTES = 64
# More ways than these to cut a recording's layers are not looked through.
_MOST_CUTS = 12
_HOST, _BEFORE, _MINE, _AFTER = range(4)
# Parts that were spread, by graph and cut: graphs are kept for as long as the process lives.
_SPREAD: dict[tuple[object, ...], Part] = {}
_MOST_SPREAD = 4096
_SUMMED_UP: dict[int, tuple[int, frozenset[int]]] = {}


# For each role in turn: how many of the recording's layers it has; and how many leave their experts to the processor.
_Cut = tuple[tuple[int, ...], int]


class DeviceSteps:
    """One recording, for one model."""

    def __init__(self, facts: ModelFacts, form: Form, recording: Recording, graph: Graph) -> None:
        self.facts, self.form, self.recording, self.graph = facts, form, recording, graph
        # Layers that predict further tokens are in no graph.
        predicting = facts.dimensions.get("nextn_predict_layers", 0)
        answering = len(facts.layers) - (predicting if isinstance(predicting, int) else 0)
        self.count = min(answering, len(form.layers))
        self.recorded, self._rows = _summed_up(graph)
        self._labels_on_host = tuple(self._kind(label, on_host=True) for label in form.layers)
        self._cuts: dict[tuple[object, ...], _Cut] = {}
        self._parts: dict[tuple[object, ...], Part] = {}
        self._parts_at: dict[tuple[Placement, int | None, frozenset[int]], Part] = {}
        self._peaks: dict[tuple[int, ...], int] = {}
        self._sizes: dict[tuple[int, Step, int, int], list[int] | None] = {}
        self._graph_sizes = recording.graph_sizes
        self._counted: dict[Step, list[int]] = {}
        self._weights: dict[str, list[tuple[int, int]]] | None = None

    def _by_name(self) -> dict[str, list[tuple[int, int]]]:
        """Bytes of each weight on a device and its layer, by its name without the layer, the largest first."""
        found: dict[str, list[tuple[int, int]]] = {}
        for tensor in self.facts.tensors:
            layer, name = block_of(tensor.name) or (-1, tensor.name)
            found.setdefault(name, []).append((tensor.bytes + padding_bytes(tensor.shape, tensor.bytes), layer))
        return {name: sorted(sizes, reverse=True) for name, sizes in found.items()}

    def compute_bytes(
        self, step: Step, placement: Placement, key_block: int, value_block: int
    ) -> dict[int | None, int]:
        """Bytes of the compute buffer of each device, and of main memory.

        `key_block` and `value_block` are bytes of 32 values in the cache. KeyError where the recording lacks a size.
        """
        counts = self._counts(step)
        offloaded = frozenset(number for number in self._rows if counts[number] >= _OFFLOADED_FROM)
        found: dict[int | None, int] = {}
        for index in (None, *placement.devices):
            part = self._part(offloaded, placement, index)
            # Parts are kept, so that their ids are.
            which = id(part), step, key_block, value_block
            known_sizes = self._sizes.get(which)
            if known_sizes is None:
                sizes = [self._bytes(block, counts, placement, index, key_block, value_block) for block in part.blocks]
                # Those of weights depend on where all layers are.
                with_weights = any(self._graph_sizes[block[0]][0].startswith("weight") for block in part.blocks)
                self._sizes[which] = None if with_weights else sizes
            else:
                sizes = known_sizes
            # Many placements come to the same.
            key = id(part), *sizes
            known = self._peaks.get(key)
            if known is None:
                known = self._peaks[key] = peak(part.steps, sizes)
            found[index] = known
        return found

    def _counts(self, step: Step) -> list[int]:
        known = self._counted.get(step)
        if known is None:
            axes = [axes for _, axes in self._graph_sizes]
            known = self._counted[step] = self.recording.counts(self.facts, self.form, step, axes)
        return known

    def _bytes(
        self,
        block: tuple[int, int, int],
        counts: Sequence[int],
        placement: Placement,
        index: int | None,
        key_block: int,
        value_block: int,
    ) -> int:
        """Bytes that one block takes there."""
        size, *beside = block
        kind = self._graph_sizes[size][0]
        alignment = _HOST_ALIGNMENT if index is None else ALIGNMENT
        cached = {"k": key_block, "v": value_block}
        if kind == "unknown":
            raise KeyError("the size of what is copied")
        if kind in cached:
            taken = counts[size] * cached[kind] // _BLOCK
            # Rows of quantized values are padded, once.
            taken += cached[kind] * ROW_PADDING // _BLOCK if cached[kind] < _F16_BLOCK_BYTES else 0
        elif kind.startswith("weight"):
            taken = self._weight_bytes(kind.partition(" ")[2], placement, index)
        else:
            taken = counts[size] * int(kind)
        taken = -(-taken // alignment) * alignment
        for copied in beside:
            # The flash kernel keeps keys and values of another type as 16-bit ones beside its result (fattn.cu,
            # ggml_cuda_flash_attn_ext_get_alloc_size).
            if copied >= 0:
                type_ = self._graph_sizes[copied][0]
                is_short = cached[type_] == _F16_BLOCK_BYTES if type_ in cached else type_ == "2"
                taken += 0 if is_short else -(-2 * counts[copied] // alignment) * alignment
        return taken

    def _weight_bytes(self, name: str, placement: Placement, index: int | None) -> int:
        """The largest of the weights of this name that are copied: those of layers that lie elsewhere."""
        if self._weights is None:
            self._weights = self._by_name()
        on_host, layers = "_exps" in name, placement.layers
        for size, layer in self._weights.get(name, ()):
            if (
                layer < 0
                or layer >= len(layers)
                or layers[layer] != index
                or (on_host and layer < placement.experts_on_host)
            ):
                return size
        return 0

    def _part(self, offloaded: frozenset[int], placement: Placement, index: int | None) -> Part:
        """What this device allocates, by a like spread of the recording."""
        at = placement, index, offloaded
        known = self._parts_at.get(at)
        if known is None:
            role_of = self._roles(placement, index)
            output = role_of[placement.output]
            cut = self._cut(placement, role_of)
            key = index is None, cut, output, placement.on_devices_alone, placement.pipelined, offloaded
            known = self._parts.get(key)
            if known is None:
                known = self._parts[key] = self._spread_alike(cut, output, placement, offloaded, index is None)
            self._parts_at[at] = known
        return known

    @staticmethod
    def _roles(placement: Placement, index: int | None) -> dict[int | None, int]:
        """What each place is to this device."""
        found: dict[int | None, int] = {None: _HOST}
        role = _AFTER if index is None else _BEFORE
        for place in placement.devices:
            found[place] = role
            if place == index:
                role = _AFTER
        return found | {index: _MINE}

    def _cut(self, placement: Placement, role_of: Mapping[int | None, int]) -> _Cut:
        """The share of the recording's layers that is most like the model's."""
        experts_on_host = placement.experts_on_host
        labels = (*self._labels_on_host[:experts_on_host], *self.form.layers[experts_on_host:])
        runs_of_kinds: list[tuple[int, tuple[str, ...]]] = []
        begins = 0
        for role, run in groupby(placement.runs, lambda run: role_of[run[0]]):
            *_, (_, _, end) = run
            if begins < min(end, self.count):
                runs_of_kinds.append((role, labels[begins : min(end, self.count)]))
            begins = end
        key = tuple((role, frozenset(_counted(run).items()), run[0], run[-1]) for role, run in runs_of_kinds)
        if key not in self._cuts:
            self._cuts[key] = self._most_like(runs_of_kinds, experts_on_host > 0)
        return self._cuts[key]

    @staticmethod
    def _kind(label: str, *, on_host: bool) -> str:
        return f"{label} on host" if on_host and label.endswith("experts") else label

    def _most_like(self, runs: Sequence[tuple[int, Sequence[str]]], with_experts: bool) -> _Cut:
        labels = self.recording.form.layers[: self.recorded]
        if len(labels) < self.recorded:
            raise KeyError("not every recorded layer tells its kind")
        wanted = [(role, _counted(run), run[0], run[-1]) for role, run in runs]
        best: tuple[float, _Cut] | None = None
        for on_host in range(self.recorded + 1) if with_experts else (0,):
            kinds = [self._kind(label, on_host=number < on_host) for number, label in enumerate(labels)]
            for ends in _cuts(self.recorded, len(wanted), kinds):
                score, start, shares = 0.0, 0, [0, 0, 0, 0]
                for (role, counted, first, last), end in zip(wanted, ends, strict=True):
                    # Of what comes before and after one of a kind is enough, unless it is sent to this device.
                    enough = 1 if role in (_BEFORE, _AFTER) else 2
                    own = _counted(kinds[start:end])
                    missed: float = sum(
                        abs(min(enough, own.get(kind, 0)) - min(enough, counted.get(kind, 0)))
                        for kind in own.keys() | counted.keys()
                    )
                    # Whether a kind is there at all matters more than whether there are several, and that more than
                    # which ones meet where devices change.
                    missed += 3 * len(own.keys() ^ counted.keys())
                    missed += ((kinds[start] != first) + (kinds[end - 1] != last)) / 4
                    score += (3 if role == _MINE else 1) * missed
                    shares[role] += end - start
                    start = end
                # It takes some layers until blocks lie where they lie in all later ones.
                score -= min((shares[role] for role, _ in runs if role in (_HOST, _MINE)), default=0) / 100
                if best is None or score < best[0]:
                    best = score, (tuple(shares), on_host)
        if best is None:
            raise KeyError("more parts than layers")
        return best[1]

    def _spread_alike(
        self, cut: _Cut, output: int, whole: Placement, offloaded: frozenset[int], on_processor: bool
    ) -> Part:
        # What is spread alike is alike for every model of this graph.
        key = id(self.graph), cut, output, whole.on_devices_alone, whole.pipelined, offloaded, on_processor
        known = _SPREAD.get(key)
        if known is None:
            if len(_SPREAD) >= _MOST_SPREAD:
                _SPREAD.clear()
            known = _SPREAD[key] = self._spread_anew(cut, output, whole, offloaded, on_processor)
        return known

    def _spread_anew(
        self, cut: _Cut, output: int, whole: Placement, offloaded: frozenset[int], on_processor: bool
    ) -> Part:
        shares, experts_on_host = cut
        order = (_MINE, _BEFORE, _AFTER) if on_processor else (_HOST, _BEFORE, _MINE, _AFTER)
        taken = [role for role in (_BEFORE, _MINE, _AFTER) if shares[role] or role == output]
        if on_processor:
            taken = [role for role in taken if role != _MINE]
        number_of = {role: number for number, role in enumerate(taken)}
        processor = len(taken)
        layers = [number_of.get(role, processor) for role in order for _ in range(shares[role])]

        def place(tensor: Tensor) -> int:
            if tensor.place == AT_INPUT:
                return processor
            if tensor.place == AT_OUTPUT:
                return number_of.get(output, processor)
            if tensor.experts and tensor.place < experts_on_host:
                return processor
            return layers[tensor.place]

        parts = spread(
            self.graph, processor, place, lambda tensor: tensor.rows in offloaded, forces=whole.on_devices_alone,
            pipelined=whole.pipelined,
        )  # fmt: skip
        return parts[processor if on_processor else number_of[_MINE]]


def _summed_up(graph: Graph) -> tuple[int, frozenset[int]]:
    """How many layers were recorded, and which sizes are rows that are computed with weights."""
    # Graphs are kept for as long as the process lives, and compared by what is in them they take longer than this.
    known = _SUMMED_UP.get(id(graph))
    if known is None:
        recorded = 1 + max((tensor.place for tensor in graph.tensors), default=0)
        known = recorded, frozenset(tensor.rows for tensor in graph.tensors if tensor.rows >= 0)
        _SUMMED_UP[id(graph)] = known
    return known


def _counted(kinds: Sequence[str]) -> dict[str, int]:
    """How often each comes up, once or oftener."""
    return {kind: min(2, kinds.count(kind)) for kind in set(kinds)}


def _cuts(layers: int, parts: int, labels: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """Where each of so many parts may end."""
    inner = list(range(1, layers))
    if len(inner) > _MOST_CUTS:
        # Where kinds change, and some others.
        changes = [number for number in inner if labels[number] != labels[number - 1]]
        inner = sorted({*changes[: _MOST_CUTS // 2], *inner[:: len(inner) // (_MOST_CUTS // 2)], inner[-1]})
    for ends in combinations(inner, parts - 1):
        yield (*ends, layers)


def padding_bytes(shape: Sequence[int], size: int) -> int:
    """Bytes by which a device's back-end lengthens a quantized matrix whose rows are not multiples of 512 values.

    E.g. rows of 3,136 values of Q8_0: 64 over, so 448 values more, 476 bytes.
    """
    count = 1
    for length in shape:
        count *= length
    if not shape or not count or size >= 2 * count or shape[0] % ROW_PADDING == 0:
        return 0
    return -(-size * (ROW_PADDING - shape[0] % ROW_PADDING) // count)
