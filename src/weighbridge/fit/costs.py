"""Seconds of a step on each device that computes a share of a model, and of what passes between devices.

A step computes some tokens at once: one of each sequence while answers are written (decode), up to a ubatch of them
while a prompt is read (prefill). Its seconds are a sum over devices of

    weights:    bytes x (first + (n - 1) x further)     each matrix is read once, and multiplied for n tokens
    cache:      n x bytes of cache at that depth x seconds a byte
    attention:  n x heads' looks at earlier tokens x (seconds a look + values compared and mixed x seconds a value), and
                kept heads x earlier tokens x seconds to fetch what lies apart
    layers:     layers x (seconds a layer + n x width x seconds an activation)    norms, kernels' starts, threads' waits
    vocabulary: rows of scores x entries x seconds an entry

The rates are a device's `Rates`. Of a mixture's experts a step of n tokens reads E (1 - (1 - k/E)^n), the number of
distinct ones expected if choices are even: 8 of 128 for one token, 51.6 for 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge.figures import Basis
from weighbridge.machine import Machine

from .rates import Rates, TypeRate
from .touched import Touched, distinct_share

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
class Part:
    """A share with what it costs there."""

    share: Share
    rates: Rates
    peak: float | None
    spread: tuple[float, float]
    prefill_spread: tuple[float, float]
    has_flops: bool
    basis: Basis
    source: str


def _matrices(part: Part, model: Touched, tokens: float, rows: float) -> float | None:
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


def _layers_of(part: Part, model: Touched, tokens: float) -> float:
    rates = part.rates
    each = rates.layer * rates.mixture + tokens * model.width * rates.activation
    rows = model.rows / part.share.ways * (rates.row + (tokens - 1) * rates.row_many)
    return part.share.layers * (model.block_count * each + rows)


def decode_seconds(part: Part, model: Touched, parallel: int, depth: int, kept: tuple[float, float]) -> float | None:
    """Seconds of a step that gives each of so many sequences one token."""
    matrices = _matrices(part, model, parallel, parallel)
    if matrices is None:
        return None
    cache = part.share.layers / part.share.cache_ways * model.cache_bytes(depth, *kept) * part.rates.cache
    attention = model.attended(depth) * part.rates.attention + model.looks(depth) * part.rates.look
    attention += model.pieces(depth) * part.rates.piece
    attention /= part.share.ways
    return matrices + parallel * (cache + part.share.layers * attention) + _layers_of(part, model, parallel)


def prefill_seconds(part: Part, model: Touched, tokens: int, ubatch: int) -> float | None:
    """Seconds for a prompt: steps of a ubatch each, the last one gives one row of scores."""
    steps = -(-tokens // ubatch)
    middle = _matrices(part, model, tokens / steps, 0)
    last = _matrices(part, model, tokens / steps, 1)
    if middle is None or last is None:
        return None
    attention = part.share.layers / part.share.ways * model.attended_by_prompt(tokens) * part.rates.attention_many
    return (steps - 1) * middle + last + attention + steps * _layers_of(part, model, tokens / steps)


def handovers(model: Touched, machine: Machine, shares: Sequence[Share], tokens: float) -> tuple[float, float]:
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


def roofline(parts: Sequence[Part], model: Touched, parallel: int, cache: float) -> float | None:
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
