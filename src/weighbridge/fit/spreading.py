"""How a step's graph is spread over devices, and what each then allocates: ggml's scheduler, retold.

The rules (ggml-backend.cpp, ggml_backend_sched_split_graph): an operation goes where its weights or its cache lie;
large matrices in main memory are sent to the first device; what is left goes with its neighbours, a device's before
the processor's. The graph is cut where the place changes, and what a part reads from elsewhere is copied to it. Blocks
are then given out part by part as by `allocation.py`, for each device from a buffer of its own. test_devices.py asks
the engine, with devices that hold nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# What a tensor of a graph is, as recorded (tests/fit/record_graph.py).
INPUT, OUTPUT, REPLACES, VIEW, SHY, WEIGHT, CACHE, FORCED, FLASH = (1 << bit for bit in range(9))
"""A step's input; kept to the end; may take a source's place; only looks at another; does not go where its weights are;
lies in a weights' buffer; lies in a cache; is told where to go when all layers are on devices; attends with the flash
kernel."""
# Places that are no layer.
NOWHERE, AT_INPUT, AT_OUTPUT = -1, -2, -3
COPIES = 4
"""With all layers on several devices, inputs are kept for so many steps at once (ggml-backend.cpp,
GGML_SCHED_MAXCOPIES)."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a step's graph."""

    size: int
    """Which of the recording's sizes it has."""
    kind: int
    place: int = NOWHERE
    """The layer that a weight, a cache or a forced operation belongs to."""
    view_of: int = -1
    sources: tuple[int, ...] = ()
    alike: int = 0
    """A bit for each source that has the same layout: its place may be taken."""
    rows: int = -1
    """Which size tells how many rows it computes with a weight."""
    experts: bool = False
    """It is the weight of routed experts."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A step's tensors: given ones first, then computed ones in their order."""

    tensors: tuple[Tensor, ...]
    leaves: tuple[int, ...]
    nodes: tuple[int, ...]


def packed(graph: Graph) -> dict[str, Any]:
    """As it lies in the archive. Others are named by how far before they stand, so that alike layers read alike."""
    return {
        "tensors": [
            [
                each.size, each.kind, each.place, each.view_of if each.view_of < 0 else number - each.view_of,
                each.alike,
                each.rows, int(each.experts), *(number - source for source in each.sources),
            ]
            for number, each in enumerate(graph.tensors)
        ],
        "leaves": list(graph.leaves),
        "nodes": [number - place for place, number in enumerate(graph.nodes)],
    }  # fmt: skip


def unpacked(entry: dict[str, Any]) -> Graph:
    """The graph of a recording."""
    tensors = []
    for number, (size, kind, place, view, alike, rows, experts, *sources) in enumerate(entry["tensors"]):
        looks_at = view if view < 0 else number - view
        tensors.append(
            Tensor(size, kind, place, looks_at, tuple(number - each for each in sources), alike, rows, bool(experts))
        )
    nodes = tuple(number + place for place, number in enumerate(entry["nodes"]))
    return Graph(tuple(tensors), tuple(entry["leaves"]), nodes)


# A block: the size of a tensor, and the sizes of keys and values that are kept beside it as 16-bit copies, or -1.
Block = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """What one device allocates and gives back: as in `allocation.peak`, with what each block is."""

    steps: tuple[int, ...]
    blocks: tuple[Block, ...]


def spread(
    graph: Graph,
    devices: int,
    place: Callable[[Tensor], int],
    offloads: Callable[[Tensor], bool],
    *,
    forces: bool,
    pipelined: bool,
) -> tuple[Part, ...]:
    """What each of so many devices allocates, and the processor as the last.

    `place` tells where a weight, a cache or a forced operation lies, `offloads` whether an operation with weights in
    main memory has so many rows that it is sent to the first device. `forces`: all layers are on devices. `pipelined`:
    copies of inputs are kept for several steps.
    """
    return _Spread(graph, devices, place, offloads, forces, COPIES if pipelined else 1).parts()


class _Spread:
    def __init__(
        self,
        graph: Graph,
        devices: int,
        place: Callable[[Tensor], int],
        offloads: Callable[[Tensor], bool],
        forces: bool,
        copies: int,
    ) -> None:
        self.graph, self.processor, self.copies = graph, devices, copies
        # Copies are added to these as the graph is cut.
        self.tensors = list(graph.tensors)
        self.sources = [list(tensor.sources) for tensor in graph.tensors]
        self.kinds = [tensor.kind for tensor in graph.tensors]
        self.at = [-1] * len(self.tensors)
        self.outside = [bool(tensor.kind & (WEIGHT | CACHE)) and tensor.view_of < 0 for tensor in self.tensors]
        self.copy_of: dict[tuple[int, int], list[int]] = {}
        self._assign(place, offloads, forces)
        self._expand()
        self._complete()

    def _assign(self, place: Callable[[Tensor], int], offloads: Callable[[Tensor], bool], forces: bool) -> None:
        """The first pass: by buffers and weights."""
        tensors, at = self.tensors, self.at
        lies = [place(tensor) if self.outside[number] else -1 for number, tensor in enumerate(tensors)]
        for number in (*self.graph.leaves, *self.graph.nodes):
            tensor = tensors[number]
            if forces and tensor.kind & FORCED:
                at[number] = place(tensor)
                continue
            root = tensor.view_of if tensor.view_of >= 0 else number
            if self.outside[root]:
                at[number] = lies[root]
            elif tensor.kind & INPUT:
                at[number] = self.processor
            elif not tensor.kind & SHY:
                for source in tensor.sources:
                    if self.outside[source] and tensors[source].kind & WEIGHT:
                        at[number] = lies[source]
                        if lies[source] == self.processor and self.processor and offloads(tensor):
                            at[number] = 0
                        break

    def _expand(self) -> None:
        """Neighbours go together: first with devices, then with whatever is there."""
        at = self.at
        walked = [number for number in self.graph.nodes if not self.kinds[number] & VIEW]
        for with_processor in (False, True):
            for order in (walked, walked[::-1]):
                current = -1
                for number in order:
                    if at[number] != -1:
                        current = at[number] if with_processor or at[number] != self.processor else -1
                    elif current != -1:
                        at[number] = current

    def _complete(self) -> None:
        """What has no place yet goes where it is used, and a view where it looks."""
        at, tensors = self.at, self.tensors
        for number in self.graph.nodes:
            if at[number] == -1 and tensors[number].view_of >= 0:
                at[number] = at[tensors[number].view_of]
            for source in tensors[number].sources:
                if at[source] == -1:
                    looks_at = tensors[source].view_of
                    at[source] = at[looks_at] if looks_at >= 0 else at[number]
            if at[number] == -1:
                at[number] = 0

    def _lies_at(self, number: int) -> int:
        """Where a tensor's bytes are."""
        root = self.tensors[number].view_of
        if root >= 0 and (self.outside[root] or self.at[number] == -1):
            return self.at[root]
        return self.at[number]

    def _cut(self) -> list[tuple[int, list[int], list[int]]]:
        """The parts: each its place, what it has copied to it, and its operations."""
        at, kinds = self.at, self.kinds
        parts: list[tuple[int, list[int], list[int]]] = []
        first = next((number for number in self.graph.nodes if not kinds[number] & VIEW), None)
        current = at[first] if first is not None else self.processor
        inputs: list[int] = []
        inside: list[int] = []
        parts.append((current, inputs, inside))
        for number in self.graph.nodes:
            if kinds[number] & VIEW:
                inside.append(number)
                continue
            sources = self.sources[number]
            # Of weights that are sent to a device each gets a part of its own, so that they share a block.
            renewed = (
                at[number] == current
                and bool(inputs)
                and any(
                    self.outside[source] and kinds[source] & WEIGHT and self._lies_at(source) != current
                    for source in sources
                )
            )
            if at[number] != current or renewed:
                current, inputs, inside = at[number], [], []
                parts.append((current, inputs, inside))
            for index, source in enumerate(sources):
                if at[source] != current and self._lies_at(source) != current:
                    if (source, current) not in self.copy_of:
                        self.copy_of[source, current] = [self._copied(source, current) for _ in range(self.copies)]
                        inputs.append(source)
                    sources[index] = self.copy_of[source, current][0]
            inside.append(number)
        return parts

    def _copied(self, source: int, place: int) -> int:
        self.tensors.append(Tensor(self.tensors[source].size, 0))
        self.kinds.append(INPUT | OUTPUT if self.copies > 1 else 0)
        self.sources.append([])
        self.outside.append(False)
        self.at.append(place)
        return len(self.tensors) - 1

    def parts(self) -> tuple[Part, ...]:
        """What each place allocates and gives back, the processor last."""
        cut = self._cut()
        leaves: list[tuple[int, int]] = []
        if self.copies > 1:
            for leaf in self.graph.leaves:
                if self.kinds[leaf] & INPUT and (leaf, self.at[leaf]) not in self.copy_of:
                    self.kinds[leaf] |= OUTPUT
                    copied = [self._copied(leaf, self.at[leaf]) for _ in range(self.copies - 1)]
                    leaves += [(each, self.at[leaf]) for each in (leaf, *copied)]
            for place, inputs, _ in cut:
                leaves += [(copy, place) for source in inputs for copy in self.copy_of[source, place]]
        leaves += [(leaf, self.at[leaf]) for leaf in self.graph.leaves]
        # Each: the tensor, where, what it looks at, its sources; a dependency has no tensor.
        order: list[tuple[int, int, list[int]]] = []
        for place, inputs, inside in cut:
            for source in inputs:
                order.append((-1, self.at[source], [source]))
                order.append((self.copy_of[source, place][0], place, []))
            order += [(number, self.at[number], self.sources[number]) for number in inside]
        return _Blocks(self, self.processor + 1).given_out(leaves, order)


class _Blocks:
    """ggml's graph allocator over several buffers (ggml-alloc.c)."""

    def __init__(self, graph: _Spread, places: int) -> None:
        self.graph = graph
        count = len(graph.tensors)
        self.children, self.views = [0] * count, [0] * count
        self.placed = [False] * count
        # For each tensor that holds a block: where, and which.
        self.held: dict[int, tuple[int, int]] = {}
        self.steps: list[list[int]] = [[] for _ in range(places)]
        self.blocks: list[list[Block]] = [[] for _ in range(places)]
        self.numbers: list[dict[Block, int]] = [{} for _ in range(places)]
        self.count = [0] * places

    def given_out(  # noqa: C901 - one walk, as the allocator walks
        self, leaves: Sequence[tuple[int, int]], order: Sequence[tuple[int, int, list[int]]]
    ) -> tuple[Part, ...]:
        """The steps of each place."""
        tensors, kinds = self.graph.tensors, self.graph.kinds
        for leaf, place in leaves:
            self._place(leaf, place)
        for number, place, sources in order:
            if number >= 0:
                if tensors[number].view_of >= 0:
                    self.views[tensors[number].view_of] += 1
                if kinds[number] & INPUT:
                    self._place(number, place)
            for source in sources:
                self.children[source] += 1
                if kinds[source] & INPUT:
                    self._place(source, place)
        for number, place, sources in order:
            for source in sources:
                self._place(source, place)
            if number >= 0:
                self._place(number, place)
            for source in sources:
                self.children[source] -= 1
                if self.children[source] or self.views[source]:
                    continue
                owner = tensors[source].view_of
                if owner < 0:
                    self._release(source)
                else:
                    self.views[owner] -= 1
                    if not self.views[owner] and not self.children[owner]:
                        self._release(owner)
        return tuple(Part(tuple(steps), tuple(blocks)) for steps, blocks in zip(self.steps, self.blocks, strict=True))

    def _place(self, number: int, place: int) -> None:
        graph = self.graph
        tensor = graph.tensors[number]
        if self.placed[number] or graph.outside[number] or tensor.view_of >= 0:
            return
        self.placed[number] = True
        if tensor.kind & REPLACES:
            for index, parent in enumerate(graph.sources[number]):
                if (
                    tensor.alike >> index & 1
                    and parent in self.held
                    and not graph.kinds[parent] & OUTPUT
                    and self.children[parent] == 1
                    and not self.views[parent]
                ):
                    self.held[number] = self.held.pop(parent)
                    return
        beside = (-1, -1)
        if tensor.kind & FLASH and place != graph.processor:
            keys, values = (graph.tensors[source] for source in graph.sources[number][1:3])
            same = keys.view_of >= 0 and keys.view_of == values.view_of
            beside = keys.size, -1 if same else values.size
        block = tensor.size, *beside
        numbers = self.numbers[place]
        if block not in numbers:
            numbers[block] = len(numbers)
            self.blocks[place].append(block)
        self.held[number] = place, self.count[place]
        self.count[place] += 1
        self.steps[place].append(numbers[block])

    def _release(self, number: int) -> None:
        if not self.graph.kinds[number] & OUTPUT and number in self.held:
            place, block = self.held.pop(number)
            self.steps[place].append(-1 - block)
