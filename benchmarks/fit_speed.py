"""How well speed is foretold: `python -m benchmarks.fit_speed`.

Without flags: calibrates (or takes what `--state FOLDER` holds), foretells models of other shapes and types, then runs
them in the real engine, and prints both. `--public FOLDER` fits and judges data-sheet figures by the public rows that
llmfit ships (its repository's `llmfit-core/data`, which is not part of this one). `--types` measures all types of ggml
on one thread: the table in `fit/rates.py`.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import math
import os
import re
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weighbridge import facts, machine
from weighbridge.cli.commands import calibrate
from weighbridge.errors import WeighbridgeError
from weighbridge.fit import calibration
from weighbridge.fit.calibration import Calibration
from weighbridge.fit.costs import Share
from weighbridge.fit.data_sheets import EFFICIENCIES, efficiency_of
from weighbridge.fit.speed import estimate
from weighbridge.fit.synthetic import TYPES, Shape, write_model
from weighbridge.fit.touched import Touched, touched, touched_by_sums
from weighbridge.fit.workload import Workload
from weighbridge.machine import Device, Machine

# Shapes that the calibration does not use. (name, shape)
UNSEEN = (
    ("dense Q4_0", Shape(8, 1024, 2816, 16, 4, vocabulary=32000, type="Q4_0")),
    ("dense Q8_0", Shape(8, 1024, 2816, 16, 4, vocabulary=32000, type="Q8_0")),
    ("dense Q4_K", Shape(12, 1536, 4096, 24, 8, vocabulary=32000, type="Q4_K")),
    ("dense Q5_K", Shape(8, 1536, 4096, 24, 8, vocabulary=32000, type="Q5_K")),
    ("dense IQ4_XS", Shape(8, 1536, 4096, 24, 8, vocabulary=32000, type="IQ4_XS")),
    ("wide Q6_K", Shape(2, 4096, 11008, 32, 8, 128, vocabulary=32000, type="Q6_K")),
    ("wide F16", Shape(1, 4096, 11008, 32, 32, 128, vocabulary=8192, type="F16")),
    ("deep Q8_0", Shape(24, 768, 2048, 12, 12, vocabulary=50304, type="Q8_0")),
    ("mixture Q4_0", Shape(8, 1024, 768, 16, 4, vocabulary=32000, type="Q4_0", experts=32, used=4)),
    ("mixture Q8_0", Shape(6, 1024, 512, 16, 4, vocabulary=32000, type="Q8_0", experts=64, used=8)),
    ("mixture Q4_K", Shape(6, 1024, 1024, 16, 4, vocabulary=32000, type="Q4_K", experts=16, used=2)),
)
RUNS = ((64, 13), (1024, 9))


@dataclass(frozen=True)
class Judged:
    """One figure: foretold and measured tokens a second."""

    name: str
    what: str
    threads: int
    low: float
    high: float
    measured: float

    @property
    def middle(self) -> float:
        """Between both bounds, as ratios go."""
        return math.sqrt(self.low * self.high)

    @property
    def error(self) -> float:
        """Of the middle, as a share of what was measured."""
        return self.middle / self.measured - 1


def judge(known: Calibration | None, here: Machine, threads: int, models: Iterable[tuple[str, Shape]]) -> list[Judged]:
    """Foretell first, then ask the engine."""
    found: list[Judged] = []
    for name, shape in models:
        with tempfile.TemporaryDirectory() as folder:
            path = write_model(Path(folder) / "model.gguf", shape)
            model = touched(facts.read(path))
            assert model is not None
            foretold = [_foretell(model, here, known, threads, run) for run in RUNS]
            timing = calibrate.measure(path, threads, RUNS)
        for (prompt, _answer), speed, run in zip(RUNS, foretold, timing.runs, strict=True):
            decode, prefill = speed
            if decode:
                row = Judged(name, f"decode @{prompt}", threads, decode.low, decode.high, 1 / run.decode_seconds)
                found.append(row)
            if prefill:
                measured = prompt / run.prefill_seconds
                found.append(Judged(name, f"prefill {prompt}", threads, prefill.low, prefill.high, measured))
        for row in found[-4:]:
            print(
                f"{row.name:14} {row.what:13} {row.threads} threads: foretold {row.middle:8.1f} "
                f"({row.low:.1f} to {row.high:.1f}), measured {row.measured:8.1f}, error {row.error:+.1%}",
                flush=True,
            )
    return found


def _foretell(model: Touched, here: Machine, known: Calibration | None, threads: int, run: tuple[int, int]) -> Any:
    prompt, answer = run
    workload = Workload(2048, 1, depth_tokens=prompt + answer // 2, prompt_tokens=prompt)
    speed = estimate(model, here, (Share(None),), workload, known, threads=threads)
    return speed.decode, speed.prefill


def summary(title: str, errors: Sequence[float], inside: float | None = None) -> str:
    """Median and 90th percentile of absolute errors."""
    sizes = sorted(map(abs, errors))
    if not sizes:
        return f"{title}: no rows"
    ninetieth = sizes[min(len(sizes) - 1, math.ceil(0.9 * len(sizes)) - 1)]
    within = f", {inside:.0%} within the range" if inside is not None else ""
    return f"{title}: {len(sizes)} rows, median {statistics.median(sizes):.1%}, 90th percentile {ninetieth:.1%}{within}"


def _print_summaries(title: str, rows: Sequence[Judged]) -> None:
    for what in ("decode", "prefill"):
        chosen = [row for row in rows if row.what.startswith(what)]
        inside = sum(row.low <= row.measured <= row.high for row in chosen) / max(1, len(chosen))
        print(summary(f"{title}, {what}", [row.error for row in chosen], inside))
        ratios = sorted(row.measured / row.middle for row in chosen)
        if len(ratios) > 10:
            cut = len(ratios) // 20
            print(f"  measured/foretold {ratios[cut]:.2f} to {ratios[-1 - cut]:.2f} for nine in ten")


def real_engine(state: Path | None, threads: Sequence[int], *, quick: bool) -> None:
    """Calibrate, foretell, measure."""
    here = machine.measure()
    known = calibration.load(state, machine.detect())[0] if state else None
    if known is None:
        of = calibration.trials(quick=quick)
        known = calibrate.calibrate(machine.detect(), sorted({1, *threads}), of, lambda line: None)
    models = UNSEEN[:2] if quick else UNSEEN
    print(f"{_load()} after calibrating, whose repeats lay within", end=" ")
    print(", ".join(f"{each.spread:.0%} ({each.threads} threads)" for each in known.measured))
    for count in threads:
        print(f"\ncalibrated, {count} threads, {_load()}")
        rows = judge(known, here, count, models)
        print(f"{_load()} at the end")
        before = [_uncalibrated(row, here, dict(models)[row.name]) for row in rows]
        _print_summaries(f"data sheet alone, {count} threads", [row for row in before if row])
        _print_summaries(f"calibrated, {count} threads", rows)


def _load() -> str:
    """How many programs wanted a processor in the last minute: what figures must be read beside."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"


def _uncalibrated(row: Judged, here: Machine, shape: Shape) -> Judged | None:
    """The same row by measured bandwidth alone."""
    tokens = int(re.sub(r"\D", "", row.what))
    run = next(run for run in RUNS if run[0] == tokens)
    decode, prefill = _foretell(calibration.touched_by(shape), here, None, row.threads, run)
    speed = decode if row.what.startswith("decode") else prefill
    return replace(row, low=speed.low, high=speed.high) if speed else None


def all_types() -> None:
    """Nanoseconds a weight on one thread, for one token, a few and many together."""
    with tempfile.TemporaryDirectory() as folder:
        for name, of in TYPES.items():
            if name == "F32":
                continue
            layers = max(2, round(150e6 / (60e6 * of.block_bytes / of.weights)))
            shape = Shape(layers, 2048, 8192, 32, 8, type=name)
            path = write_model(Path(folder) / "model.gguf", shape)
            model = calibration.touched_by(shape)
            weights = model.parameters + model.output_parameters
            runs = calibrate.measure(path, 1, ((8, 9), (64, 2))).runs
            times = (runs[0].decode_seconds, runs[0].prefill_seconds / 8, runs[1].prefill_seconds / 64)
            print(f'"{name}": ({", ".join(f"{seconds / weights * 1e9:.3f}" for seconds in times)}),', flush=True)


@dataclass(frozen=True)
class PublicRow:
    """One public measurement of a model that is known, on a device that is known."""

    user: str
    device: Device
    name: str
    model: Touched
    depth: int
    speed: float
    stored: float

    @property
    def roofline(self) -> float:
        """Tokens a second if every byte were read once at peak bandwidth."""
        assert self.device.bandwidth is not None
        return self.device.bandwidth.value / (self.model.active_bytes() + self.model.cache_bytes(self.depth))

    @property
    def fits(self) -> bool:
        """Whether it lay on the GPU whole, as far as its memory says."""
        return self.stored + self.model.cache_bytes(self.depth) < 0.92 * self.device.memory_total_bytes


class _Public:
    """Reads llmfit's files; counts what is left aside, and why."""

    def __init__(self, folder: Path) -> None:
        from weighbridge import catalogue

        self.folder = folder
        self.catalogue = catalogue.load()
        self.aside: collections.Counter[str] = collections.Counter()
        self.rows: list[PublicRow] = []
        self._devices: dict[str, Device | None] = {}
        self._community()
        self._cache()

    def _device(self, name: str, memory_gib: float | None) -> Device | None:
        sized = f"{name} {round(memory_gib)}gb" if memory_gib and name in ("RTX 3060", "RTX 3080") else name
        if sized not in self._devices:
            try:
                self._devices[sized] = machine.describe(sized).devices[0]
            except (WeighbridgeError, IndexError):
                self._devices[sized] = None
        return self._devices[sized]

    def _model(self, names: Iterable[str], recipe: str) -> tuple[Touched, float] | None:
        for name in names:
            try:
                shape = self.catalogue.resolve(name).shape
            except WeighbridgeError:
                continue
            if shape is None:
                continue
            roles = {each.role: each for each in shape.weights}
            routed = roles.get("routed_experts")
            if recipe == "MLX4":
                left_out = {"per_layer_embedding", "vision", "audio"} | (
                    set() if shape.tied_embeddings else {"embedding"}
                )
                read = [each for each in shape.weights if each.role not in left_out]
                # Groups of 64 weights with a 16-bit scale and bias: 4.5 bits a weight.
                active, stored = sum(each.active_parameters for each in read) * 0.5625, shape.parameters * 0.5625
                output = 0.0
            elif recipe in shape.quantizations:
                row = shape.quantizations[recipe]
                active, stored, output = row.active_bytes, row.weights_bytes, row.output_bytes
            else:
                continue
            embedding = roles.get("embedding")
            output_role = roles.get("output") or embedding
            scores = output_role.parameters if output_role else 0
            experts = shape.experts
            expert_bytes = routed.parameters * stored / shape.parameters if routed else 0.0
            model = touched_by_sums(
                active_bytes=active,
                output_bytes=output,
                expert_bytes=expert_bytes,
                layers=shape.layers,
                active_parameters=float(shape.active_parameters or shape.parameters),
                output_parameters=scores,
                heads=shape.head_count,
                head_length=shape.key_length,
                vocabulary=shape.vocabulary_size or 0,
                width=shape.embedding_length or 0,
                experts_total=experts.total if experts else 1,
                experts_used=experts.used if experts else 1,
                stored_bytes=stored,
            )
            return model, stored
        return None

    def _add(self, user: str, device: Device | None, name: str, found: Any, depth: float, speed: float) -> None:
        if device is None or device.bandwidth is None:
            self.aside["device not known"] += 1
        elif found is None:
            self.aside["model or quantization not in the catalogue"] += 1
        else:
            self.rows.append(PublicRow(user, device, name, found[0], int(depth), speed, found[1]))

    def _community(self) -> None:
        for path in sorted(self.folder.glob("community/*/*.json")):
            data = json.loads(path.read_text())
            hardware = data["hardware"]
            for row in data["results"]:
                if hardware["gpuCount"] > 1 or row["provider"] not in ("llamacpp", "mlx"):
                    self.aside["several GPUs, or another engine"] += 1
                    continue
                names, recipe = _file_name(row["model"])
                device = self._device(hardware["hardwareName"], hardware.get("vramGb"))
                depth = 30 + row["avgOutputTokens"] / 2
                self._add(path.parent.name, device, names[0], self._model(names, recipe), depth, row["avgTps"])

    def _cache(self) -> None:
        data = json.loads((self.folder / "benchmark_cache.json").read_text())
        rows = {row["id"]: row for preset in data["presets"].values() for row in preset["rows"]}
        seen = set()
        for row in rows.values():
            hardware, flags = row["hardware"], row["engineFlags"]
            if row["engine"]["engineName"] != "llama.cpp" or hardware["gpuCount"] != 1:
                self.aside["several GPUs, or another engine"] += 1
                continue
            command = (flags.get("commandSnippet") or "").lower()
            if hardware["hwClass"] == "CPU_ONLY":
                self.aside["processor, whose memory is not told"] += 1
                continue
            if flags.get("specDecoding") or flags.get("mtpEnabled") or ("mtp" in command and "spec" in command):
                self.aside["speculative decoding"] += 1
                continue
            recipe = (row["engine"]["quantization"] or "").upper()
            user = (row["user"] or {}).get("username") or "unknown"
            name = row["model"]["displayName"]
            key = (hardware["gpuName"], user, name, recipe, row["tokSOut"])
            if key in seen:
                self.aside["the same figure again"] += 1
                continue
            seen.add(key)
            deep = re.search(r" -d (\d+)", command)
            depth = int(deep[1]) if deep else row["promptTokens"] or 0
            depth += (row["outputTokens"] or 0) / 2
            gpu = hardware["gpuName"] or f"apple {hardware['chipVariant']}"
            found = self._model((row["model"]["hfId"], name), recipe)
            self._add(user, self._device(gpu, hardware.get("vramGb")), name, found, depth, row["tokSOut"])


_RECIPES = "Q8_0 Q6_K Q5_K_M Q5_K_S Q4_K_M Q4_K_S Q4_0 Q4_1 IQ4_NL IQ4_XS Q3_K_L Q3_K_M Q3_K_S Q2_K F16 BF16".split()


def _file_name(text: str) -> tuple[list[str], str]:
    """What a file's name may call the model, and its recipe."""
    name = re.sub(r"(-fp16)?\.gguf$", "", text.rsplit("/", 1)[-1])
    recipe = "MLX4" if name.endswith("-4bit") else ""
    for each in _RECIPES:
        if re.search(rf"[-_.]{each}$", name, re.IGNORECASE):
            recipe = each
            name = name[: -len(each) - 1]
            break
    if name.endswith("-MXFP4"):
        recipe, name = "MXFP4_MOE", name[:-6]
    name = name.removesuffix("-4bit")
    return [name, *([name.replace("_", "/", 1), name.split("_", 1)[1]] if "_" in name else [])], recipe


Fit = tuple[float, float, float]


def _seconds(row: PublicRow, fit: Fit) -> float:
    share, layer, mixture = fit
    layers = row.model.block_count * layer * (mixture if row.model.experts else 1)
    return 1 / row.roofline / share + layers + row.model.vocabulary * 3e-9


def _fitted(rows: Sequence[PublicRow]) -> Fit:
    """The share of bandwidth, seconds a layer and factor of mixtures with the least sum of |log error|.

    A device of which one user measured much counts by the root of its rows.
    """
    counts = collections.Counter((row.user, row.device.name) for row in rows)
    weights = [1 / math.sqrt(counts[row.user, row.device.name]) for row in rows]
    reads = [1 / row.roofline for row in rows]
    has_mixtures = any(row.model.experts for row in rows)
    best, best_fit = math.inf, (0.7, 5e-5, 1.5)
    for share in (number / 50 for number in range(15, 51)):
        for layer in (number * 5e-6 for number in range(41)):
            for mixture in (1.0, 1.5, 2.0, 2.5) if has_mixtures else (1.5,):
                loss = 0.0
                for row, read, weight in zip(rows, reads, weights, strict=True):
                    layers = row.model.block_count * layer * (mixture if row.model.experts else 1)
                    loss += weight * abs(math.log((read / share + layers) * row.speed))
                if loss < best:
                    best, best_fit = loss, (share, layer, mixture)
    return best_fit


def _errors(rows: Sequence[PublicRow], fit: Fit) -> list[float]:
    return [1 / _seconds(row, fit) / row.speed - 1 for row in rows]


def _half(row: PublicRow) -> int:
    return int(hashlib.sha256(f"{row.user}|{row.device.name}".encode()).hexdigest(), 16) % 2


def _left_out(rows: Sequence[PublicRow], key: Callable[[PublicRow], object]) -> list[float]:
    """Errors of rows that the fit did not see: each value of the key is left out in turn."""
    errors: list[float] = []
    for value in {key(row) for row in rows}:
        others = [row for row in rows if key(row) != value]
        if len(others) >= 5:
            errors += _errors([row for row in rows if key(row) == value], _fitted(others))
    return errors


def public(folder: Path) -> None:
    """Fit data-sheet figures, and judge them by rows that were left out."""
    read = _Public(folder)
    print("left aside:", ", ".join(f"{count} {why}" for why, count in read.aside.most_common()))
    rows = [row for row in read.rows if row.fits]
    above = [row for row in read.rows if row.speed > row.roofline]
    print(
        f"{len(read.rows)} rows of known models on known devices; {len(read.rows) - len(rows)} fit no such device whole"
    )
    print(f"{len(above)} above the roofline, {sum(row.fits for row in above)} of them among those that fit")
    rows = [row for row in rows if row.speed <= row.roofline]
    halves: list[float] = []
    shipped: list[float] = []
    for kind in ("nvidia", "nvidia_old", "apple", "amd"):
        of = [row for row in rows if efficiency_of(row.device) == kind]
        if len(of) < 5:
            continue
        fit = _fitted(of)
        ratios = sorted(1 / (1 + error) for error in _errors(of, fit))
        low, high = ratios[len(ratios) // 20], ratios[-1 - len(ratios) // 20]
        devices = len({row.device.name for row in of})
        print(f"\n{kind}: {len(of)} rows of {devices} devices: share {fit[0]:.2f}, {fit[1] * 1e6:.0f} us a layer,")
        print(f"  mixtures x {fit[2]}, measured/foretold {low:.2f} to {high:.2f} for nine in ten")
        print(summary("  fitted on all", _errors(of, fit)))
        of_kind = []
        for half in (0, 1):
            fitting = [row for row in of if _half(row) == half]
            if len(fitting) >= 5:
                of_kind += _errors([row for row in of if _half(row) != half], _fitted(fitting))
        print(summary("  fitted on one half of the users' devices, judged on the other", of_kind))
        print(summary("  each device left out in turn", _left_out(of, lambda row: row.device.name)))
        halves += of_kind
        row = EFFICIENCIES[kind]
        shipped += _errors(of, (row.bandwidth, row.layer, row.mixture))
    print()
    print(summary("data sheet, on halves left out", halves))
    print(summary("data sheet, with the figures in speed.py, which saw them", shipped))
    print(summary("two constants a device, models left out in turn by halves", _by_device(rows)))


def _by_device(rows: Sequence[PublicRow]) -> list[float]:
    """What a calibration of each device would give: fitted on half of its models, judged on the others."""
    groups: dict[tuple[str, str], list[PublicRow]] = {}
    for row in rows:
        groups.setdefault((row.user, row.device.name), []).append(row)
    errors: list[float] = []
    for of in groups.values():
        for half in (0, 1) if len(of) >= 12 else ():
            fitting = [row for row in of if hashlib.sha256(row.name.encode()).digest()[0] % 2 == half]
            judged = [row for row in of if row not in fitting]
            if len(fitting) >= 4 and judged:
                errors += _errors(judged, _fitted(fitting))
    return errors


def main() -> None:
    """Run what the flags ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public", type=Path, metavar="FOLDER")
    parser.add_argument("--types", action="store_true")
    parser.add_argument("--state", type=Path, help="folder with a calibration that weigh calibrate kept")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.public:
        public(arguments.public)
    elif arguments.types:
        all_types()
    else:
        real_engine(arguments.state, arguments.threads, quick=arguments.quick)


if __name__ == "__main__":
    main()
