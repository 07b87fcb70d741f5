"""How fast a model answers: tokens a second from the bytes and operations that each token really costs.

A step computes some tokens at once: one of each sequence while answers are written (decode), up to a ubatch of them
while a prompt is read (prefill). Its seconds are a sum over devices of

    weights:    bytes x (first + (n - 1) x further)     each matrix is read once, and multiplied for n tokens
    cache:      n x bytes of cache at that depth x seconds a byte
    attention:  n x heads' looks at earlier tokens x (seconds a look + values compared and mixed x seconds a value), and
                kept heads x earlier tokens x seconds to fetch what lies apart
    layers:     layers x (seconds a layer + n x width x seconds an activation)    norms, kernels' starts, threads' waits
    vocabulary: rows of scores x entries x seconds an entry

The rates are a device's `Rates`. They are measured where there is a `Calibration`, and else follow from the data
sheet by shares that public measurements showed (docs/speed.md has the errors of both). Of a mixture's experts a step of
n tokens reads E (1 - (1 - k/E)^n), the number of distinct ones expected if choices are even: 8 of 128 for one token,
51.6 for 8. Every speed is held under the roofline, bytes over peak bandwidth: 4.67 GB at 936 GB/s are 200 tokens a
second at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from weighbridge.facts import Layer, ModelFacts
from weighbridge.figures import Basis, Figure, Range
from weighbridge.machine import Device, Machine

from .synthetic import TYPES
from .workload import CACHE_BLOCK, Workload

if TYPE_CHECKING:
    from .calibration import Calibration
    from .learning import Learned

# Roles that a text token does not read: parts for pictures and sound, what lies beside the network, and embeddings, of
# which one row is looked up.
_NOT_READ = frozenset({"vision", "audio", "mtp", "copy", "buffer", "embedding", "per_layer_embedding"})
# Up to so many tokens a product is computed column by column; from so many on in tiles that reuse what was read.
_FEW, _MANY = 8, 64
# What fewer answers taught is not relied on.
_LEAST_ANSWERS = 3
_PROMPTS = ", prompts"
# What one handing-over of activations between devices costs beside its bytes, in seconds: assumed.
_HANDOVER = (5e-6, 40e-6)
_LINK_SHARE = 0.8
# What adding up the slices of all devices costs beside its bytes, in seconds: assumed from what users measured, 4 to 10
# us over NVLink (sglang#2904, nccl#1259), 43 and 54 us for eight cards over PCIe (nccl#1530, nccl#1439).
_ALL_REDUCE = {True: (4e-6, 20e-6), False: (8e-6, 60e-6)}
# The slowest way between two devices where none is described: PCIe 3.0 x8.
_SLOWEST_LINK = 7.9e9
# Rings over PCIe reach half of what its wires give, and less through main memory (nccl#1530).
_LINK_SHARES = (0.35, 0.9)
_ACTIVATION_BYTES = 2
# A disk's files come between its own rate and two thirds of it: pages are faulted in by the engine's reads.
_LOAD_SHARE = 2 / 3
# A GPU that waits for memory draws less than its board's limit, and more than a third of it: assumed.
_LEAST_POWER_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Touched:
    """What an engine touches of a model to compute tokens; from a file's facts, or from a catalogue's entry."""

    weights: Mapping[str, float]
    """Bytes by ggml type that every step reads whole: all but routed experts, the output and looked-up embeddings."""
    output: Mapping[str, float]
    """Bytes by type of the matrix that makes scores, read once a step, for the rows that are asked for."""
    experts: Mapping[str, float]
    """Bytes by type of all routed experts of all layers."""
    layers: tuple[tuple[int, Layer], ...]
    """What layers keep of the tokens: (how many alike follow each other, the layer)."""
    parameters: float
    """Weights that one token is multiplied with, the output apart."""
    output_parameters: float
    heads: int | None
    head_length: int | None
    """Length of a head's key; with `heads`, what attention computes. None: as many heads as keys are kept for."""
    vocabulary: int
    width: int
    experts_total: int = 1
    experts_used: int = 1
    stored_bytes: float = 0.0
    """Of the whole file, which is what loading reads."""
    name: str = ""
    """What tells it from others, for what its own answers taught."""

    @property
    def block_count(self) -> int:
        """How many layers there are."""
        return sum(count for count, _ in self.layers)

    def active_bytes(self, tokens: float = 1) -> float:
        """Bytes of weights that one step of so many tokens reads, each once."""
        dense = sum(self.weights.values()) + sum(self.output.values())
        return dense + sum(self.experts.values()) * distinct_share(self.experts_total, self.experts_used, tokens)

    def thread_seconds(self) -> float:
        """Seconds that one thread would take for one token's weights, by `THREAD_NANOSECONDS`: what a processor of slow
        arithmetic is held back by."""
        routed = self.experts_used / self.experts_total
        total = 0.0
        for table, share in ((self.weights, 1.0), (self.output, 1.0), (self.experts, routed)):
            for name, size in table.items():
                nanoseconds = THREAD_NANOSECONDS.get(name, (_UNKNOWN_NANOSECONDS,))[0]
                total += share * size * _WEIGHTS_A_BYTE.get(name, _UNKNOWN_WEIGHTS) * nanoseconds * 1e-9
        return total

    def cache_bytes(self, depth_tokens: int, key_bytes: float = 2.0, value_bytes: float = 2.0) -> float:
        """Bytes that one token reads of its sequence's cache when that holds so many tokens."""
        return float(sum(n * layer.cache_bytes(depth_tokens, key_bytes, value_bytes) for n, layer in self.layers))

    def attention_values(self, layer: Layer) -> float:
        """Values that one token compares and mixes with for each earlier token it attends to: heads x (key + value).

        A latent (MLA) serves every head whole, so each head computes with the latent's length, twice.
        """
        if not self.heads:
            return float(layer.keys + layer.values)
        if layer.kind in ("latent", "sparse_index") and not layer.values:
            return 2.0 * self.heads * layer.keys
        if not layer.keys:
            return 0.0
        length = self.head_length or self.width / self.heads
        return self.heads * length * (1 + layer.values / layer.keys)

    @property
    def rows(self) -> float:
        """Rows of the matrices that one token is multiplied with, as if all were as long as the network is wide."""
        return self.parameters / self.width if self.width else 0.0

    def looks(self, depth_tokens: float) -> float:
        """How often heads look at earlier tokens for one token at that depth: heads x tokens attended to, summed."""
        return sum(
            n * (self.heads or 1) * min(depth_tokens, layer.window_tokens or depth_tokens)
            for n, layer in self.layers
            if layer.keys
        )

    def pieces(self, depth_tokens: float) -> float:
        """How many heads' keys and values are fetched for one token at that depth: kept heads x tokens attended to,
        summed. A latent is one for all heads."""
        length = self.head_length or (self.width / self.heads if self.heads else 0.0)
        return sum(
            n
            * (layer.keys / length if layer.values and length else 1.0)
            * min(depth_tokens, layer.window_tokens or depth_tokens)
            for n, layer in self.layers
            if layer.keys
        )

    def attended(self, depth_tokens: float) -> float:
        """Values of attention for one token at that depth, all layers together."""
        return sum(
            n * self.attention_values(layer) * min(depth_tokens, layer.window_tokens or depth_tokens)
            for n, layer in self.layers
        )

    def attended_by_prompt(self, tokens: float) -> float:
        """The same for all tokens of a prompt together: t^2 / 2, and past a window w: w^2 / 2 + (t - w) w."""
        total = 0.0
        for count, layer in self.layers:
            seen = min(tokens, layer.window_tokens or tokens)
            total += count * self.attention_values(layer) * (seen * seen / 2 + (tokens - seen) * seen)
        return total


def distinct_share(total: int, used: int, tokens: float) -> float:
    """The share of a layer's experts that so many tokens touch: 1 - (1 - k/E)^n; 0.0625 for 8 of 128 and one token."""
    return float(1.0 - (1.0 - used / total) ** tokens)


def _grouped(layers: Iterable[Layer]) -> tuple[tuple[int, Layer], ...]:
    """Runs of like layers. One that attends to another's keys reads them too: the last ones kept with its window."""
    kept: dict[bool, Layer] = {}
    runs: list[tuple[int, Layer]] = []
    for layer in layers:
        read = layer
        if layer.kind == "shared_kv":
            read = kept.get(layer.window_tokens is not None, layer)
        elif layer.keys:
            kept[layer.window_tokens is not None] = layer
        if runs and runs[-1][1] == read:
            runs[-1] = runs[-1][0] + 1, read
        else:
            runs.append((1, read))
    return tuple(runs)


def touched(facts: ModelFacts) -> Touched | None:
    """What a file's facts say of it; None where they do not tell bytes or layers."""
    if not facts.weights or not facts.layers:
        return None
    tied = not facts.parameters.output
    weights: dict[str, float] = {}
    output: dict[str, float] = {}
    experts: dict[str, float] = {}
    parameters = output_parameters = 0.0
    used, total = (facts.experts.used, facts.experts.total) if facts.experts else (1, 1)
    for row in facts.weights:
        if row.role == "output" or (row.role == "embedding" and tied):
            output[row.type] = output.get(row.type, 0.0) + row.bytes
            output_parameters += row.parameters
        elif row.role == "routed_experts":
            experts[row.type] = experts.get(row.type, 0.0) + row.bytes
            parameters += row.parameters * used / total
        elif row.role not in _NOT_READ:
            weights[row.type] = weights.get(row.type, 0.0) + row.bytes
            parameters += row.parameters
    length = facts.dimensions.get("attention.key_length")
    if isinstance(length, tuple):
        length = max(length, default=None)
    return Touched(
        weights=weights,
        output=output,
        experts=experts,
        layers=_grouped(facts.layers),
        parameters=parameters,
        output_parameters=output_parameters,
        heads=facts.head_count,
        head_length=length,
        vocabulary=facts.vocabulary_size or 0,
        width=facts.embedding_length or 0,
        experts_total=total,
        experts_used=used,
        stored_bytes=facts.weights_bytes or 0,
        name=f"{facts.name}, {facts.weights_bytes or 0} B",
    )


def touched_by_sums(
    *,
    active_bytes: float,
    output_bytes: float,
    expert_bytes: float,
    layers: Sequence[tuple[int, Layer]],
    active_parameters: float,
    output_parameters: float,
    heads: int | None,
    head_length: int | None,
    vocabulary: int,
    width: int,
    experts_total: int = 1,
    experts_used: int = 1,
    stored_bytes: float = 0.0,
    type_name: str = "Q4_K",
) -> Touched:
    """The same from sums, as a catalogue has them: bytes that one token makes an engine read, looked-up embeddings left
    out, with the output and the used share of `expert_bytes` (all routed experts) among them. The type is taken to be
    one for all."""
    routed = expert_bytes * experts_used / experts_total
    return Touched(
        weights={type_name: max(0.0, active_bytes - output_bytes - routed)},
        output={type_name: output_bytes},
        experts={type_name: expert_bytes} if expert_bytes else {},
        layers=_grouped(layer for count, layer in layers for _ in range(count)),
        parameters=active_parameters - output_parameters,
        output_parameters=output_parameters,
        heads=heads,
        head_length=head_length,
        vocabulary=vocabulary,
        width=width,
        experts_total=experts_total,
        experts_used=experts_used,
        stored_bytes=stored_bytes,
    )


@dataclass(frozen=True, slots=True)
class TypeRate:
    """Seconds for one byte of a matrix of one type: of the first token of a step, and of each further one when a step
    has few tokens, and many. `first` has reading and computing in it; neither of the others is more."""

    first: float
    few: float
    many: float

    def seconds(self, tokens: float) -> float:
        """Seconds a byte of a step of so many tokens; fewer than one are a share of one."""
        if tokens <= 1:
            return self.first * tokens
        place = min(1.0, max(0.0, math.log2(tokens / _FEW) / math.log2(_MANY / _FEW)))
        return self.first + (tokens - 1) * (self.few + (self.many - self.few) * place)

    def scaled(self, factor: float) -> TypeRate:
        """All three, times a factor."""
        return TypeRate(self.first * factor, self.few * factor, self.many * factor)


@dataclass(frozen=True, slots=True)
class Rates:
    """What work costs on one device, in seconds."""

    types: Mapping[str, TypeRate]
    """By ggml type; one under the name `*` stands for all types that are not named."""
    cache: float
    """A byte of cache that decode reads."""
    attention: float
    """A value of attention (`Touched.attended`) of one token by itself."""
    attention_many: float
    """The same where many tokens are computed at once."""
    layer: float
    """One layer of one step."""
    vocabulary: float
    """One entry of a row of scores, with its share of choosing from it."""
    mixture: float = 1.0
    """A layer with experts costs so many times `layer`."""
    look: float = 0.0
    """One head's look at one earlier token, beside its values."""
    piece: float = 0.0
    """Fetching the keys and values that one kept head has of one earlier token. They lie apart from those of the next
    token by all other heads', so a processor waits for each: some 110 ns for lengths of 64 and of 128 alike, where
    reading as many bytes in order takes a fifth (four shapes, 2 to 24 layers, an EPYC of Zen 4, 2026-11)."""
    activation: float = 0.0
    """One value of a token's width, in one layer: all that is no product of matrices."""
    row: float = 0.0
    """One row of a matrix (as many as `parameters / width`), beside its weights: short rows cost more a weight."""
    row_many: float = 0.0
    """The same for each further token of a step."""
    experts: float | None = None
    """What a further token costs an expert's matrix, as a share of `first`; None: as it does others. llama.cpp
    multiplies experts token by token on a processor."""

    def of(self, name: str) -> TypeRate | None:
        """A type's, None where it is not known."""
        return self.types.get(name) or self.types.get("*")


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a model that one device computes."""

    device: int | None
    """Its place in `Machine.devices`; None for the processor."""
    layers: float = 1.0
    """Which share of the layers, with their cache."""
    experts: float | None = None
    """Which share of the routed experts; None: that of its layers."""
    output: bool = True
    """Whether it makes the scores; where several say so, the last one does."""
    ways: int = 1
    """So many devices alike, `device` and those after it, hold a slice of each matrix and compute at once (tensor
    parallelism); after attention and after the feed-forward network they add up what they have."""
    cache_ways: int = 1
    """By how much the cache is divided among them: keys beyond the number of heads, and latents, are on all."""


WHOLE_ON_PROCESSOR = (Share(None),)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a plan is. What cannot be known from what is known of the machine is None."""

    decode: Range | None
    """Tokens a second of one sequence alone, at the workload's depth."""
    prefill: Range | None
    """Tokens a second of a prompt of the workload's length."""
    batch_decode: Range | None
    """Tokens a second of all the workload's sequences together."""
    first_token_seconds: Range | None
    """From a prompt to its answer's first token, with the model loaded and idle."""
    load_seconds: Range | None
    """From the disk; a file that the page cache holds loads faster."""
    tokens_per_joule: Range | None
    """Of one sequence alone, counting the GPUs' power and nothing else; None where a part runs on the processor."""
    roofline_decode: float | None
    """Tokens a second of one sequence that no engine can exceed: every byte once, at peak bandwidth."""
    notes: tuple[str, ...] = ()
    shares: tuple[Share, ...] = ()
    """How the model is spread over devices, as this was computed."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What a kind of device reaches of its data sheet, with where the figures are from.

    `bandwidth` is the share of peak bandwidth at which matrices are read, `layer` the seconds a layer costs beside,
    `mixture` how many times that one with experts does, `flops` the share of peak 16-bit rate in prompts, and of it
    `mixture_flops` where there are experts. `spread` (low, high) is what speed comes to, as multiples of the middle, in
    nine of ten measured rows.
    """

    bandwidth: float
    layer: float
    mixture: float
    flops: float
    mixture_flops: float
    spread: tuple[float, float]
    prefill_spread: tuple[float, float]
    source: str


_PUBLIC = "fitted on llmfit's public rows of llama.cpp (v1.1.17 and its repository, 2026-08)"
# Fitted by `benchmarks/fit_speed.py --public`, which prints the errors on rows that were left out.
EFFICIENCIES: dict[str, Efficiency] = {
    "nvidia": Efficiency(
        0.76, 35e-6, 2.0, 0.75, 0.6, (0.86, 1.35), (0.45, 1.45), f"{_PUBLIC}: 192 of 13 NVIDIA devices since 2018"
    ),
    "nvidia_old": Efficiency(
        0.42, 195e-6, 1.5, 0.5, 0.6, (0.75, 1.35), (0.4, 1.6), f"{_PUBLIC}: 45 of one GTX 1050 Ti"
    ),
    "apple": Efficiency(
        0.90, 100e-6, 1.5, 0.5, 0.9, (0.82, 1.2), (0.55, 1.6), f"{_PUBLIC}: 71 of an M4 Pro and an M1 Max"
    ),
    "amd": Efficiency(
        0.90, 95e-6, 2.5, 0.3, 0.6, (0.6, 1.7), (0.5, 1.5), f"{_PUBLIC}: 77 of an RX 7900 XT and an RX 7900 XTX"
    ),
    "other": Efficiency(0.65, 100e-6, 2.0, 0.25, 0.6, (0.4, 1.5), (0.3, 2.5), "assumed: no measured rows were found"),
    "processor": Efficiency(
        0.6, 25e-6, 1.5, 1.0, 0.8, (0.55, 1.45), (0.5, 2.0),
        "measured on two cores of an EPYC of Zen 4 by xllamacpp 2026.10 with 19 types, and held to be alike elsewhere",
    ),
}  # fmt: skip
# Nanoseconds a weight on one thread: (one token, each of a few together, each of many together). How types compare
# where a processor was not measured, and whether arithmetic is what limits it. Measured by `benchmarks/fit_speed.py
# --types` on an EPYC of Zen 4 with xllamacpp 2026.10, which is built for AVX2 (2026-11; the least of several runs).
THREAD_NANOSECONDS: dict[str, tuple[float, float, float]] = {
    "F32": (0.165, 0.085, 0.085), "F16": (0.083, 0.046, 0.042), "BF16": (0.090, 0.037, 0.037),
    "Q4_0": (0.036, 0.025, 0.020), "Q4_1": (0.045, 0.044, 0.043), "Q5_0": (0.061, 0.043, 0.030),
    "Q5_1": (0.058, 0.043, 0.041), "Q8_0": (0.051, 0.023, 0.017), "Q2_K": (0.030, 0.030, 0.016),
    "Q3_K": (0.042, 0.042, 0.017), "Q4_K": (0.030, 0.021, 0.016), "Q5_K": (0.048, 0.038, 0.014),
    "Q6_K": (0.041, 0.041, 0.016), "IQ2_XXS": (0.072, 0.056, 0.019), "IQ2_XS": (0.075, 0.057, 0.020),
    "IQ2_S": (0.073, 0.073, 0.023), "IQ3_XXS": (0.102, 0.065, 0.021), "IQ3_S": (0.123, 0.067, 0.020),
    "IQ4_NL": (0.036, 0.023, 0.019), "IQ4_XS": (0.054, 0.053, 0.018), "MXFP4": (0.039, 0.025, 0.021),
}  # fmt: skip
# Weights a byte of each.
_WEIGHTS_A_BYTE = {name: of.weights / of.block_bytes for name, of in TYPES.items()}
# A type that is not in the table is held for one of the slower.
_UNKNOWN_NANOSECONDS, _UNKNOWN_WEIGHTS = 0.1, 2.0
# An entry of a row of scores and its share of choosing among them: 3 ns measured on a processor core, which is where
# choosing happens for any device.
_VOCABULARY_SECONDS = 3e-9
# A processor's attention, in seconds a value on one thread: measured as above, 0.13 ns and 0.045 ns in prompts.
_ATTENTION_ON_A_THREAD = (0.13e-9, 0.045e-9)
# A GPU computes a prompt's attention at this share of its 16-bit rate: 0.41 and 0.6 by public rows of two NVIDIA
# devices at depths of 32,768 and 16,384 tokens. While it decodes, attention is as fast as its cache is read.
_ATTENTION_FLOPS_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class EngineCost:
    """How an engine differs from llama.cpp, whose speeds the figures above were fitted on."""

    spread: tuple[float, float]
    """What its speed may come to, as multiples of both bounds of llama.cpp's."""
    layer_seconds: tuple[float, float]
    """Least and most seconds that a layer of a step costs beside."""
    source: str


# Only llama.cpp's speeds are measured: what is told of other engines is carried over from them, and wide.
ENGINES: dict[str, EngineCost] = {
    "llama_cpp": EngineCost((1.0, 1.0), (0.0, 0.0), ""),
    "vllm": EngineCost(
        (0.75, 1.25), (0.0, 10e-6),
        "carried over to vLLM, of which no speed was measured here: 0.75 to 1.25 times that (assumed)",
    ),
    "transformers": EngineCost(
        (0.5, 1.1), (0.1e-3, 1.5e-3),
        "carried over to transformers, of which no speed was measured here: 0.5 to 1.1 times that, and 0.1 to 1.5 ms a "
        "layer for starting its kernels one by one (assumed: 8B on an H100 8.4 ms a step, 5.1 as a graph; 0.6B 42 ms)",
    ),
}  # fmt: skip


def efficiency_of(device: Device | None) -> str:
    """Which row of `EFFICIENCIES` is a device's: its maker, and for NVIDIA whether it is older than Volta."""
    if device is None:
        return "processor"
    if device.vendor == "nvidia":
        try:
            return "nvidia" if float(device.compute_capability or "7.0") >= 7 else "nvidia_old"
        except ValueError:
            return "nvidia"
    return device.vendor if device.vendor in EFFICIENCIES else "other"


def _peak(machine: Machine, device: int | None) -> Figure | None:
    if device is not None:
        return machine.devices[device].bandwidth
    return machine.memory.bandwidth if machine.memory else None


def _flops(machine: Machine, device: int | None) -> Figure | None:
    return machine.processor.flops if device is None else machine.devices[device].half_flops


def _working(machine: Machine, threads: int | None) -> int | None:
    """Threads that compute: those asked for, or one a core; None where neither is known."""
    return threads or machine.processor.physical_cores or machine.processor.usable_threads


def _sheet_rates(model: Touched, machine: Machine, device: int | None, threads: int | None) -> Rates | None:
    """The middle of what a data sheet lets expect; None where bandwidth is unknown.

    Where the rate of arithmetic is unknown, further tokens of a step are free, which no caller may take for a prefill.
    """
    peak = _peak(machine, device)
    if peak is None or peak.value <= 0:
        return None
    kind = EFFICIENCIES[efficiency_of(machine.devices[device] if device is not None else None)]
    share = 1.0
    if device is None and threads:
        cores = machine.processor.physical_cores or machine.processor.usable_threads or threads
        alone = machine.memory.thread_bandwidth if machine.memory else None
        # Few threads do not use all of the bandwidth; one that was measured says how much it uses.
        share = min(1.0, threads * (alone.value / peak.value if alone else 1 / cores))
    read = first = 1 / (peak.value * kind.bandwidth * share)
    working = _working(machine, threads)
    if device is None and working:
        first = max(first, model.thread_seconds() / working / model.active_bytes())
    flops = _flops(machine, device)
    cores_share = min(1.0, threads / (machine.processor.physical_cores or threads)) if device is None and threads else 1
    bytes_each = sum(model.weights.values()) + sum(model.experts.values()) * model.experts_used / model.experts_total
    further = 0.0
    if flops and bytes_each:
        reached = flops.value * kind.flops * cores_share * (kind.mixture_flops if model.experts else 1.0)
        further = min(first, 2 * model.parameters / bytes_each / reached)
    attention, many = 0.0, 2 / (flops.value * _ATTENTION_FLOPS_SHARE) if flops else 0.0
    if device is None:
        attention, many = (seconds / (working or 1) for seconds in _ATTENTION_ON_A_THREAD)
    return Rates(
        types={"*": TypeRate(first, further, further)},
        cache=read,
        attention=attention,
        attention_many=many,
        layer=kind.layer,
        vocabulary=_VOCABULARY_SECONDS,
        mixture=kind.mixture if model.experts else 1.0,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A share with what it costs there."""

    share: Share
    rates: Rates
    peak: float | None
    spread: tuple[float, float]
    prefill_spread: tuple[float, float]
    has_flops: bool
    basis: Basis
    source: str


def _matrices(part: _Part, model: Touched, tokens: float, rows: float) -> float | None:
    """Seconds for the weights of one step of so many tokens, `rows` of which get scores; None for an unknown type."""
    total = 0.0
    slice_of = 1 / part.share.ways
    for name, size in model.weights.items():
        rate = part.rates.of(name)
        if rate is None:
            return None
        total += slice_of * part.share.layers * size * rate.seconds(tokens)
    experts = part.share.layers if part.share.experts is None else part.share.experts
    if experts and model.experts:
        # All distinct experts together see `used` tokens' worth of work for each token of the step.
        distinct = distinct_share(model.experts_total, model.experts_used, tokens)
        each = max(1.0, tokens * model.experts_used / model.experts_total / distinct)
        for name, size in model.experts.items():
            rate = part.rates.of(name)
            if rate is None:
                return None
            if part.rates.experts is not None:
                further = rate.first * part.rates.experts
                rate = TypeRate(rate.first, further, further)
            total += slice_of * experts * size * distinct * rate.seconds(each)
    if part.share.output and rows:
        for name, size in model.output.items():
            rate = part.rates.of(name)
            if rate is None:
                return None
            total += slice_of * size * rate.seconds(rows)
        total += rows * model.vocabulary * part.rates.vocabulary
    return total


def _layers_of(part: _Part, model: Touched, tokens: float) -> float:
    rates = part.rates
    each = rates.layer * rates.mixture + tokens * model.width * rates.activation
    rows = model.rows / part.share.ways * (rates.row + (tokens - 1) * rates.row_many)
    return part.share.layers * (model.block_count * each + rows)


def _decode_seconds(part: _Part, model: Touched, parallel: int, depth: int, kept: tuple[float, float]) -> float | None:
    """Seconds of a step that gives each of so many sequences one token."""
    matrices = _matrices(part, model, parallel, parallel)
    if matrices is None:
        return None
    cache = part.share.layers / part.share.cache_ways * model.cache_bytes(depth, *kept) * part.rates.cache
    attention = model.attended(depth) * part.rates.attention + model.looks(depth) * part.rates.look
    attention += model.pieces(depth) * part.rates.piece
    attention /= part.share.ways
    return matrices + parallel * (cache + part.share.layers * attention) + _layers_of(part, model, parallel)


def _prefill_seconds(part: _Part, model: Touched, tokens: int, ubatch: int) -> float | None:
    """Seconds for a prompt: steps of a ubatch each, the last one gives one row of scores."""
    steps = -(-tokens // ubatch)
    middle = _matrices(part, model, tokens / steps, 0)
    last = _matrices(part, model, tokens / steps, 1)
    if middle is None or last is None:
        return None
    attention = part.share.layers / part.share.ways * model.attended_by_prompt(tokens) * part.rates.attention_many
    return (steps - 1) * middle + last + attention + steps * _layers_of(part, model, tokens / steps)


def _handovers(model: Touched, machine: Machine, shares: Sequence[Share], tokens: float) -> tuple[float, float]:
    """Fewest and most seconds that activations take between devices in one step."""
    times = len([share for share in shares if share.layers]) - 1
    apart = sum((share.experts or 0.0) for share in shares if not share.layers)
    # Experts elsewhere than their layer: there and back, layer by layer.
    times += round(2 * apart * model.block_count) if model.experts else 0
    reduced = [_all_reduces(model, machine, share, tokens) for share in shares if share.ways > 1]
    low, high = sum(each[0] for each in reduced), sum(each[1] for each in reduced)
    if not times:
        return low, high
    links = [machine.devices[share.device].link for share in shares if share.device is not None]
    rates = [link.bandwidth.value * _LINK_SHARE for link in links if link and link.bandwidth]
    moving = 4 * model.width * tokens / min(rates) if rates else 0.0
    return low + times * (_HANDOVER[0] + moving), high + times * (_HANDOVER[1] + moving)


def _all_reduces(model: Touched, machine: Machine, share: Share, tokens: float) -> tuple[float, float]:
    """Fewest and most seconds of a step in which devices add up their slices: twice a layer, each 2 (n - 1) / n times
    the activations over the link (a ring).

    Qwen3-32B on two A100: 128 x (4 to 60 us + 10 KB over 11 to 270 GB/s) = 0.5 to 7.8 ms a token; a step of one token
    is bound by delays, a prompt by the link. The slow bound takes the devices for joined by PCIe alone, as a data
    sheet's NVLink wants a bridge that may not be there.
    """
    device = machine.devices[share.device or 0]
    times = 2 * share.layers * model.block_count
    moved = 2 * (share.ways - 1) / share.ways * tokens * model.width * _ACTIVATION_BYTES
    rates = [link.bandwidth.value for link in (device.link, device.peer_link) if link and link.bandwidth]
    slowest = min(rates, default=_SLOWEST_LINK) * _LINK_SHARES[0]
    fastest = max(rates, default=math.inf) * _LINK_SHARES[1]
    least = _ALL_REDUCE[device.peer_link is not None or not rates][0]
    return times * (least + moved / fastest), times * (_ALL_REDUCE[False][1] + moved / slowest)


def _roofline(parts: Sequence[_Part], model: Touched, parallel: int, cache: float) -> float | None:
    """Tokens a second of so many sequences that no engine exceeds: every byte once at peak bandwidth, by device."""
    seconds = 0.0
    for part in parts:
        if part.peak is None:
            return None
        experts = part.share.layers if part.share.experts is None else part.share.experts
        distinct = distinct_share(model.experts_total, model.experts_used, parallel) if model.experts else 0.0
        size = part.share.layers * (sum(model.weights.values()) + parallel * cache)
        size += experts * distinct * sum(model.experts.values())
        size += sum(model.output.values()) if part.share.output else 0.0
        seconds += size / (part.peak * part.share.ways)
    return parallel / seconds if seconds else None


def _speed(
    seconds: float, spread: tuple[float, float], delay: tuple[float, float], tokens: float, roof: float | None,
    basis: Basis, source: str,
) -> Range:  # fmt: skip
    low = tokens / (seconds / spread[0] + delay[1])
    high = tokens / (seconds / spread[1] + delay[0])
    if roof is not None:
        low, high = min(low, roof), min(high, roof)
    return Range(low, high, basis, source)


def _one_output(shares: Sequence[Share]) -> list[Share]:
    last = max((place for place, share in enumerate(shares) if share.output), default=len(shares) - 1)
    return [replace(share, output=place == last) for place, share in enumerate(shares)]


def _part(
    model: Touched, machine: Machine, share: Share, calibration: Calibration | None, threads: int | None
) -> _Part | None:
    device = machine.devices[share.device] if share.device is not None else None
    kind = EFFICIENCIES[efficiency_of(device)]
    peak = _peak(machine, share.device)
    peak_value = peak.value if peak else None
    if calibration and share.device is None:
        measured = calibration.rates_for(model, threads)
        if measured:
            rates, spread, prefill_spread = measured
            # What an engine was seen to read, memory gives, whatever was measured on a busier day.
            seen = max(calibration.read_bandwidth, peak_value or 0.0) or None
            return _Part(
                share, rates, seen, spread, prefill_spread, True, Basis.MEASURED,
                f"weigh calibrate, {calibration.engine}, {calibration.day}",
            )  # fmt: skip
    sheet = _sheet_rates(model, machine, share.device, threads)
    if sheet is None or peak is None:
        return None
    source = f"{peak.source or peak.basis}; {kind.source}"
    has_flops = _flops(machine, share.device) is not None
    return _Part(share, sheet, peak_value, kind.spread, kind.prefill_spread, has_flops, Basis.COMPUTED, source)


def place_of(machine: Machine, shares: Sequence[Share], engine: str = "llama_cpp") -> str:
    """A name for where a model runs, to keep what was learnt under: `processor`, `GeForce RTX 3090 + processor`,
    `2 x A100 SXM4 80GB by vllm`."""
    names = []
    for share in shares:
        name = "processor" if share.device is None else machine.devices[share.device].name
        names.append(name if share.ways == 1 else f"{share.ways} x {name}")
    return " + ".join(names) + ("" if engine == "llama_cpp" else f" by {engine}")


def of_model(place: str, model: Touched) -> str:
    """The same for one model alone."""
    return f"{place}: {model.name}"


def of_prompts(place: str) -> str:
    """The same for how fast prompts are read."""
    return place + _PROMPTS


def _least_sure(parts: Sequence[_Part]) -> Basis:
    order = list(Basis)
    return max((part.basis for part in parts), key=order.index)


def estimate(
    model: ModelFacts | Touched,
    machine: Machine,
    shares: Sequence[Share] = WHOLE_ON_PROCESSOR,
    workload: Workload | None = None,
    calibration: Calibration | None = None,
    *,
    threads: int | None = None,
    engine: str = "llama_cpp",
) -> Speed:
    """How fast a model runs on a machine, spread over devices as `shares` say.

    E.g. Qwen3-8B at Q4_K_M on an RTX 3090: 4.67 GB at 0.76 x 936 GB/s, 36 layers of 35 us and 151,936 scores are 8.3 ms
    a token: 104 to 163 tokens a second, under a roofline of 200. `threads` are the engine's; None: one a core. `engine`
    is a row of `ENGINES`: what was calibrated is llama.cpp's, and is not taken for another's.
    """
    found = touched(model) if isinstance(model, ModelFacts) else model
    workload = workload or Workload()
    none = Speed(None, None, None, None, None, None, None)
    if found is None:
        return replace(none, notes=("the files do not tell how many bytes a token reads",))
    load = _load_seconds(found, machine)
    shares = _one_output(shares)
    measured = calibration if engine == "llama_cpp" else None
    parts = [_part(found, machine, share, measured, threads) for share in shares]
    if not all(parts):
        unknown = [place_of(machine, (share,)) for share, part in zip(shares, parts, strict=True) if part is None]
        return replace(none, load_seconds=load, notes=(f"bandwidth is not known of: {', '.join(unknown)}",))
    known = [part for part in parts if part]
    lessons = calibration.learned if calibration else {}
    return _Estimate(found, machine, known, workload, ENGINES[engine], _Lessons(lessons, engine)).speed(load)


@dataclass(frozen=True, slots=True)
class _Lessons:
    """What answers taught, to be applied to an estimate made without it."""

    learned: Mapping[str, Learned]
    engine: str

    def apply(self, found: Range | None, place: str, model: Touched, roof: float | None, ending: str) -> Range | None:
        """The range with what this model's own answers taught, or else all models' there."""
        if found is None:
            return None
        for name, whose in ((of_model(place, model), "of this model "), (place, "")):
            known = self.learned.get(name + ending)
            if known and known.count >= _LEAST_ANSWERS:
                middle = math.sqrt(found.low * found.high) / known.ratio
                low, high = (middle * bound for bound in known.spread)
                if roof is not None:
                    low, high = min(low, roof), min(high, roof)
                return Range(low, high, Basis.MEASURED, f"learnt from {known.count:,} answers {whose}here")
        return found


@dataclass(frozen=True, slots=True)
class _Estimate:
    """All that an estimate is made of."""

    model: Touched
    machine: Machine
    parts: Sequence[_Part]
    workload: Workload
    engine: EngineCost
    lessons: _Lessons

    def speed(self, load: Range | None) -> Speed:
        shares = tuple(part.share for part in self.parts)
        one, prefill = self.decode(1), None
        if all(part.has_flops for part in self.parts):
            prefill = self.prefill()
        first = None
        if one and prefill:
            prompt = self.workload.prompt_tokens
            low, high = prompt / prefill.high + 1 / one.high, prompt / prefill.low + 1 / one.low
            first = Range(low, high, max(one.basis, prefill.basis, key=list(Basis).index), one.source)
        return Speed(
            decode=one,
            prefill=prefill,
            batch_decode=self.decode(self.workload.parallel),
            first_token_seconds=first,
            load_seconds=load,
            tokens_per_joule=_per_joule(one, self.machine, shares),
            roofline_decode=_roofline(self.parts, self.model, 1, self.cache_bytes),
            notes=tuple(_assumptions(self.machine, shares)),
            shares=shares,
        )

    @property
    def depth(self) -> int:
        context = self.workload.context_tokens or 8192
        return self.workload.depth_tokens if self.workload.depth_tokens is not None else context // 2

    @property
    def value_bytes(self) -> tuple[float, float]:
        keys, values = self.workload.cache_block_bytes
        return keys / CACHE_BLOCK, values / CACHE_BLOCK

    @property
    def cache_bytes(self) -> float:
        return self.model.cache_bytes(self.depth, *self.value_bytes)

    @property
    def place(self) -> str:
        return place_of(self.machine, [part.share for part in self.parts], self.lessons.engine)

    def decode(self, parallel: int) -> Range | None:
        found = [_decode_seconds(part, self.model, parallel, self.depth, self.value_bytes) for part in self.parts]
        seconds = [value for value in found if value is not None]
        if len(seconds) < len(self.parts):
            return None
        spread = _mixed([part.spread for part in self.parts], seconds)
        roof = _roofline(self.parts, self.model, parallel, self.cache_bytes)
        told = self._range(sum(seconds), spread, parallel, 1, parallel, roof)
        return self.lessons.apply(told, self.place, self.model, roof, "")

    def prefill(self) -> Range | None:
        tokens, ubatch = max(1, self.workload.prompt_tokens), max(1, self.workload.ubatch_tokens)
        found = [_prefill_seconds(part, self.model, tokens, ubatch) for part in self.parts]
        seconds = [value for value in found if value is not None]
        if len(seconds) < len(self.parts):
            return None
        steps = -(-tokens // ubatch)
        spread = _mixed([part.prefill_spread for part in self.parts], seconds)
        # Each step reads the weights at least once.
        once = _roofline(self.parts, replace(self.model, output={}), 1, 0.0)
        roof = once * tokens / steps if once else None
        told = self._range(sum(seconds), spread, tokens / steps, steps, tokens, roof)
        return self.lessons.apply(told, self.place, self.model, roof, _PROMPTS)

    def _range(
        self, seconds: float, spread: tuple[float, float], step_tokens: float, steps: int, tokens: float,
        roof: float | None,
    ) -> Range:  # fmt: skip
        """Tokens over the seconds of so many steps, with what an engine and the ways between devices add to each."""
        low, high = _handovers(self.model, self.machine, [part.share for part in self.parts], step_tokens)
        least, most = (each * self.model.block_count for each in self.engine.layer_seconds)
        slow, fast = (bound * own for bound, own in zip(spread, self.engine.spread, strict=True))
        sources = [part.source for part in self.parts] + ([self.engine.source] if self.engine.source else [])
        return _speed(
            seconds, (slow, fast), (steps * (low + least), steps * (high + most)), tokens, roof,
            _least_sure(self.parts), "; ".join(dict.fromkeys(sources)),
        )  # fmt: skip


def _assumptions(machine: Machine, shares: Sequence[Share]) -> Iterable[str]:
    """What a speed of several devices rests on."""
    for share in shares:
        if share.ways > 1:
            device = machine.devices[share.device or 0]
            links = [link.name for link in (device.peer_link, device.link) if link]
            way = " or ".join(links) or "a way between them that is not described"
            yield (
                f"speed: each of {share.ways} GPUs reads its slice; adding them up twice a layer takes 4 to 60 us and "
                f"its bytes over {way} (assumed)"
            )
            break
    if len(shares) > 1 and all(share.device is not None for share in shares):
        yield "speed: stages are taken to work one after the other; with several requests at once they overlap"


def _mixed(spreads: Sequence[tuple[float, float]], seconds: Sequence[float]) -> tuple[float, float]:
    """The spread of a sum, each part counting by its seconds."""
    total = sum(seconds) or 1.0
    slow = sum(value / spread[0] for spread, value in zip(spreads, seconds, strict=True)) / total
    fast = sum(value / spread[1] for spread, value in zip(spreads, seconds, strict=True)) / total
    return 1 / slow, 1 / fast


def _load_seconds(model: Touched, machine: Machine) -> Range | None:
    rate = machine.disk.read_bandwidth if machine.disk else None
    if rate is None or rate.value <= 0 or not model.stored_bytes:
        return None
    fastest = model.stored_bytes / rate.value
    return Range(fastest, fastest / _LOAD_SHARE, Basis.COMPUTED, f"the file's bytes, {rate.source or rate.basis}")


def _per_joule(decode: Range | None, machine: Machine, shares: Sequence[Share]) -> Range | None:
    if decode is None or any(share.device is None for share in shares):
        return None
    taking_part = [(machine.devices[share.device], share.ways) for share in shares if share.device is not None]
    powers = [device.power_watts for device, _ in taking_part]
    watts = sum(device.power_watts.value * ways for device, ways in taking_part if device.power_watts)
    if not watts or None in powers:
        return None
    source = f"board power, of which decode draws {_LEAST_POWER_SHARE:.0%} to all (assumed); {decode.source}"
    return Range(decode.low / watts, decode.high / (watts * _LEAST_POWER_SHARE), Basis.ASSUMED, source)


def fleet(
    *,
    active_bytes: Any,
    is_mixture: Any,
    cache_bytes: Any,
    attended: Any,
    block_count: Any,
    vocabulary: Any,
    bandwidth: Any,
    kind: Any,
    cores: Any = 1,
    thread_seconds: Any = 0.0,
) -> tuple[Any, Any]:
    """Decode speed of one sequence, for many pairs of a model and a device known by its data sheet: low and high.

    Arguments are NumPy arrays that broadcast. `active_bytes` are the weights that one token reads
    (`Touched.active_bytes()`), `cache_bytes` what it reads of the cache at the depth asked about, and `kind` is each
    device's row of `EFFICIENCIES` by its number. On processors alone count `cores`, `thread_seconds`
    (`Touched.thread_seconds()`) and `attended` (`Touched.attended()` at that depth). Where bandwidth is NaN or 0, the
    answer is NaN. The same as `estimate` for a model whole on one device, which the tests hold it to.
    """
    # Imported here: single plans do without.
    import numpy as np

    rows = list(EFFICIENCIES.values())
    kind = np.asarray(kind)
    share = np.array([row.bandwidth for row in rows])[kind]
    layer = np.array([row.layer for row in rows])[kind]
    mixture = np.array([row.mixture for row in rows])[kind]
    low = np.array([row.spread[0] for row in rows])[kind]
    high = np.array([row.spread[1] for row in rows])[kind]
    on_processor = kind == list(EFFICIENCIES).index("processor")
    peak = np.where(np.asarray(bandwidth) > 0, bandwidth, np.nan)
    read = np.asarray(active_bytes) + cache_bytes
    computing = np.where(on_processor, np.asarray(thread_seconds) / cores, 0.0)
    seconds = np.maximum(active_bytes / (peak * share), computing) + cache_bytes / (peak * share)
    seconds = seconds + block_count * layer * np.where(is_mixture, mixture, 1.0)
    seconds = seconds + np.asarray(vocabulary) * _VOCABULARY_SECONDS
    seconds = seconds + np.where(on_processor, np.asarray(attended) * _ATTENTION_ON_A_THREAD[0] / cores, 0.0)
    roof = peak / read
    return np.minimum(low / seconds, roof), np.minimum(high / seconds, roof)
