"""`estimate()`: how fast a model answers, in tokens a second, from the bytes and operations that each token costs.

The seconds of a step are those of `costs.py`, by rates that are measured where there is a `Calibration`, and else
follow from the data sheet by shares that public measurements showed (docs/speed.md has the errors of both). Every speed
is held under the roofline, bytes over peak bandwidth: 4.67 GB at 936 GB/s are 200 tokens a second at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from weighbridge.facts import ModelFacts
from weighbridge.figures import Basis, Range
from weighbridge.machine import Machine

from .calibration import Calibration
from .costs import WHOLE_ON_PROCESSOR, Part, Share, decode_seconds, handovers, prefill_seconds, roofline
from .data_sheets import EFFICIENCIES, ENGINES, EngineCost, efficiency_of, peak_bandwidth, peak_flops, sheet_rates
from .learning import Learned
from .touched import Touched, touched
from .workload import CACHE_BLOCK, Workload

# What fewer answers taught is not relied on.
_LEAST_ANSWERS = 3
_PROMPTS = ", prompts"
# A disk's files come between its own rate and two thirds of it: pages are faulted in by the engine's reads.
_LOAD_SHARE = 2 / 3
# A GPU that waits for memory draws less than its board's limit, and more than a third of it: assumed.
_LEAST_POWER_SHARE = 1 / 3


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
) -> Part | None:
    device = machine.devices[share.device] if share.device is not None else None
    kind = EFFICIENCIES[efficiency_of(device)]
    peak = peak_bandwidth(machine, share.device)
    peak_value = peak.value if peak else None
    if calibration and share.device is None:
        measured = calibration.rates_for(model, threads)
        if measured:
            rates, spread, prefill_spread = measured
            # What an engine was seen to read, memory gives, whatever was measured on a busier day.
            seen = max(calibration.read_bandwidth, peak_value or 0.0) or None
            return Part(
                share, rates, seen, spread, prefill_spread, True, Basis.MEASURED,
                f"weigh calibrate, {calibration.engine}, {calibration.day}",
            )  # fmt: skip
    sheet = sheet_rates(model, machine, share.device, threads)
    if sheet is None or peak is None:
        return None
    source = f"{peak.source or peak.basis}; {kind.source}"
    has_flops = peak_flops(machine, share.device) is not None
    return Part(share, sheet, peak_value, kind.spread, kind.prefill_spread, has_flops, Basis.COMPUTED, source)


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


def _least_sure(parts: Sequence[Part]) -> Basis:
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
    parts: Sequence[Part]
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
            roofline_decode=roofline(self.parts, self.model, 1, self.cache_bytes),
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
        found = [decode_seconds(part, self.model, parallel, self.depth, self.value_bytes) for part in self.parts]
        seconds = [value for value in found if value is not None]
        if len(seconds) < len(self.parts):
            return None
        spread = _mixed([part.spread for part in self.parts], seconds)
        roof = roofline(self.parts, self.model, parallel, self.cache_bytes)
        told = self._range(sum(seconds), spread, parallel, 1, parallel, roof)
        return self.lessons.apply(told, self.place, self.model, roof, "")

    def prefill(self) -> Range | None:
        tokens, ubatch = max(1, self.workload.prompt_tokens), max(1, self.workload.ubatch_tokens)
        found = [prefill_seconds(part, self.model, tokens, ubatch) for part in self.parts]
        seconds = [value for value in found if value is not None]
        if len(seconds) < len(self.parts):
            return None
        steps = -(-tokens // ubatch)
        spread = _mixed([part.prefill_spread for part in self.parts], seconds)
        # Each step reads the weights at least once.
        once = roofline(self.parts, replace(self.model, output={}), 1, 0.0)
        roof = once * tokens / steps if once else None
        told = self._range(sum(seconds), spread, tokens / steps, steps, tokens, roof)
        return self.lessons.apply(told, self.place, self.model, roof, _PROMPTS)

    def _range(
        self, seconds: float, spread: tuple[float, float], step_tokens: float, steps: int, tokens: float,
        roof: float | None,
    ) -> Range:  # fmt: skip
        """Tokens over the seconds of so many steps, with what an engine and the ways between devices add to each."""
        low, high = handovers(self.model, self.machine, [part.share for part in self.parts], step_tokens)
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
