"""How much memory a model takes under llama.cpp: estimates beside what the engine itself would allocate, in one run.

    python benchmarks/fit_memory.py [--write docs/fit-exactness.md] [--only NAME ...] [--no-peers]

Files have the shapes of published models (`tests/published_shapes.py`); their weights are holes. Every estimate is made
before the engine is asked. Peers are the newest ones that their registries have: they are installed into a folder of
their own, without what they would download or build besides; where that fails they are told to be absent.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import functools
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.fit.asking import Died, Engine
from tests.fit.engine import VERSION, Settings
from tests.published_shapes import Published, chosen, write

from weighbridge import __version__, facts
from weighbridge.errors import WeighbridgeError
from weighbridge.fit.llama_cpp import LlamaCpp
from weighbridge.fit.workload import Workload
from weighbridge.machine import Machine, Memory, Processor

MIB, GIB = 1 << 20, 1 << 30
UBATCH = 512
COMPONENTS = ("weights", "repack", "cache", "state", "compute", "output")
OURS, PYTHON_PEER, HF_PEER, NODE_PEER = "weighbridge", "xllamacpp.memory", "hf-mem", "node-llama-cpp"
FACTOR, MARGIN = "file x 1.2", "file + 2 GiB"
TOOLS = (OURS, PYTHON_PEER, HF_PEER, NODE_PEER, FACTOR, MARGIN)
SHORT = dict(zip(TOOLS, ("ours", "xllamacpp", "hf-mem", "node-llama", "x 1.2", "+ 2 GiB"), strict=True))
# What peers need beside the engine's processor: second copies of weights are compared apart, as no peer knows them.
PLAIN = Machine(Processor("", 1, 1, ()), Memory(1 << 50, 1 << 50, None), ())
WITH_AVX2 = Machine(Processor("", 1, 1, ("AVX2",)), Memory(1 << 50, 1 << 50, None), ())
INSTALL_SECONDS, ASK_SECONDS = 300, 300

_HF_ASK = """
import json, sys
from hf_mem.gguf.metadata import parse_gguf_metadata
answers = []
for path, context, parallel, kind in json.load(sys.stdin):
    read = 1_000_000
    while True:
        try:
            with open(path, "rb") as file:
                found = parse_gguf_metadata(file.read(read), True, context, kind.upper(), parallel)
            answers.append(found.bytes_count + found.kv_cache.cache_size)
        except Exception as error:
            if type(error).__name__ in ("error", "UnicodeDecodeError") and read < 100_000_000:
                read *= 2
                continue
            answers.append(None)
        break
print(json.dumps(answers))
"""
_NODE_ASK = """
import {getLlama, readGgufFileInfo, GgufInsights, GgmlType} from "node-llama-cpp";
import {readFileSync, writeFileSync} from "fs";
const llama = await getLlama({gpu: false, build: "never", skipDownload: true, logLevel: "error"});
const answers = [], opened = {};
for (const [path, contextSize, sequences, kind] of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
    try {
        opened[path] ??= await GgufInsights.from(await readGgufFileInfo(path, {sourceType: "filesystem"}), llama);
        const type = GgmlType[kind.toUpperCase()];
        const weights = await opened[path].estimateModelResourceRequirementsV2({gpuLayers: 0});
        const context = await opened[path].estimateContextResourceRequirementsV2({
            contextSize, modelGpuLayers: 0, batchSize: 512, sequences, flashAttention: true,
            kvCacheKeyType: type, kvCacheValueType: type
        });
        answers.push(weights.cpuRam + weights.gpuVram + context.cpuRam + context.gpuVram);
    } catch (error) {
        answers.push(null);
    }
}
writeFileSync(process.argv[3], JSON.stringify(answers));
process.exit(0);
"""

_PAGE = """\
<!-- Made by benchmarks/fit_memory.py --write docs/fit-exactness.md -->

# Memory: ours, peers', the engine's

Made on {date} by weighbridge {version}, of the engine in {engine}.

Each file has the header of a published model: every tensor with its true shape, type and place, as many tokens as its
vocabulary, and holes for weights. Each tool estimates it first; then llama.cpp itself opens it and makes a context,
without allocating, and tells its buffers: weights once, keys and values, recurrent states, the compute buffer of a step
of 512 tokens with flash attention, and one row of scores a sequence. Their sum is `engine`; the columns behind it are
each tool's error in percent. `4k x4` is four sequences of 4,096 tokens each; `q8_0` is the type of the cache, which has
16 bits otherwise. A dash: the tool has no answer.

{tools}
- `file x 1.2`, `file + 2 GiB`: rules of thumb, from the file's size

`xllamacpp.memory` is asked about one card with all layers, and no memory set aside. `hf-mem` counts weights and cache
only. `node-llama-cpp` simulates its own engine, which keeps scores for every token of a step, not for one a sequence:
its second row compares it with the engine here run in that way.

## Sums

```text
{summary}
```

## Our largest difference, buffer by buffer

```text
{components}
```

`repack` is the second, interleaved copy of some matrices that the processor's back-end keeps on AVX2. No peer knows of
it, so it is not in the sums. The engine tells caches, compute and output buffers with two decimals of a MiB, weights to
the byte.

## Every case

```text
{cases}
```

## Models

The tensors of each shape add up to these parameters, or the run stops. Types in Q4_K_M files follow the rules of
llama.cpp's quantizer.

{models}
"""

Question = tuple[str, int, int, str]
"""A file, the tokens of each sequence, how many sequences, and the cache's type."""


@dataclass(slots=True)
class Case:
    """One file with one setting: what each tool says, then what the engine does. All in MiB."""

    model: str
    quantization: str
    settings: Settings
    ours: dict[str, float] | None = None
    estimates: dict[str, float | None] = field(default_factory=dict)
    truth: dict[str, float] = field(default_factory=dict)
    with_all_scores: float | None = None
    """The engine's total with a row of scores for each token of a step, which is how node-llama-cpp's engine runs."""

    @property
    def total(self) -> float:
        """The engine's total, weights once."""
        return sum(self.truth[part] for part in COMPONENTS if part != "repack")

    def error(self, tool: str) -> float | None:
        """Percent that this tool is above the engine, or below; None where it has no answer."""
        estimate = self.estimates.get(tool)
        return None if estimate is None else 100 * (estimate / self.total - 1)

    @property
    def setting(self) -> str:
        """The setting in a few letters."""
        at = self.settings
        slots = f" x{at.parallel}" if at.parallel > 1 else ""
        return f"{at.context // 1024}k{slots}{'' if at.type_k == 'f16' else ' ' + at.type_k}"


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tool: its version, or why there is none, and what answers questions."""

    name: str
    version: str
    ask: Callable[[Sequence[Question]], list[int | None]] | None = None


def every_setting(*, is_first: bool) -> list[Settings]:
    """Of a model's first file four settings, of its others one: only the weights differ there."""
    plain = Settings(4096, ubatch=UBATCH)
    if not is_first:
        return [plain]
    return [
        plain,
        Settings(32768, ubatch=UBATCH),
        Settings(4096, parallel=4, ubatch=UBATCH),
        Settings(32768, ubatch=UBATCH, type_k="q8_0", type_v="q8_0"),
    ]


def our_estimate(path: Path, at: Settings) -> dict[str, float] | None:
    """MiB by component; None for what was never recorded."""
    model = LlamaCpp(facts.read(path))
    workload = Workload(at.context, at.parallel, at.ubatch, at.type_k, at.type_v, at.flash, at.unified)
    try:
        need = model.on_processor(PLAIN, workload, at.context)
        repack = model.on_processor(WITH_AVX2, workload, at.context).repack
    except WeighbridgeError:
        return None
    return {
        "weights": need.weights / MIB, "repack": repack / MIB, "cache": need.kv_cache / MIB,
        "state": need.recurrent_state / MIB, "compute": need.compute / MIB, "output": need.output / MIB,
    }  # fmt: skip


def in_wheel() -> Peer:
    """`xllamacpp.memory`, which comes with the engine. Here it reads a file once, not anew for each setting."""
    import xllamacpp.memory as memory

    reader, kinds = memory._import_gguf()
    read = functools.lru_cache(1)(lambda path, _mode: reader(path))
    memory._import_gguf = lambda: (read, kinds)
    memory.dump_metadata_json = functools.lru_cache(1)(memory.dump_metadata_json)
    # One card that holds anything and keeps nothing for itself.
    card = {"name": "CUDA", "memory_free": 1 << 50, "memory_min": 0}

    def ask(questions: Sequence[Question]) -> list[int | None]:
        answers: list[int | None] = []
        for path, context, parallel, kind in questions:
            try:
                found = memory.estimate_gpu_layers([card], path, [], context * parallel, UBATCH, parallel, kind)
                answers.append(int(found.total_size))
            except Exception:
                # It does not know every header: that is an answer as well.
                answers.append(None)
        return answers

    return Peer(PYTHON_PEER, importlib.metadata.version("xllamacpp"), ask)


def from_pypi(folder: Path) -> Peer:
    """hf-mem, in a virtual environment of its own."""
    python = folder / "bin" / "python"
    try:
        venv.create(folder, with_pip=True)
        _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", HF_PEER], INSTALL_SECONDS)
        version = _run(
            [python, "-c", f"import importlib.metadata as m; print(m.version({HF_PEER!r}))"], ASK_SECONDS
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return Peer(HF_PEER, "absent: it could not be installed")

    def ask(questions: Sequence[Question]) -> list[int | None]:
        answers: list[int | None] = json.loads(_run([python, "-c", _HF_ASK], ASK_SECONDS, json.dumps(questions)))
        return answers

    return Peer(HF_PEER, version, ask)


def from_npm(folder: Path) -> Peer:
    """node-llama-cpp with the prebuilt engine that its registry has; nothing is downloaded besides, nor built."""
    if not shutil.which("node") or not shutil.which("npm"):
        return Peer(NODE_PEER, "absent: there is no node")
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    (folder / "ask.mjs").write_text(_NODE_ASK)
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", NODE_PEER]
    try:
        _run(install, INSTALL_SECONDS, folder=folder)
        version = json.loads((folder / "node_modules" / NODE_PEER / "package.json").read_text())["version"]
    except (OSError, subprocess.SubprocessError):
        return Peer(NODE_PEER, "absent: it could not be installed")

    def ask(questions: Sequence[Question]) -> list[int | None]:
        (folder / "questions.json").write_text(json.dumps(questions))
        _run(["node", "ask.mjs", "questions.json", "answers.json"], ASK_SECONDS, folder=folder)
        answers: list[int | None] = json.loads((folder / "answers.json").read_text())
        return answers

    return Peer(NODE_PEER, version, ask)


def _run(command: Sequence[str | Path], seconds: float, given: str | None = None, folder: Path | None = None) -> str:
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=seconds, check=True, cwd=folder,
        env=os.environ | {"NODE_LLAMA_CPP_SKIP_DOWNLOAD": "true"},
    )  # fmt: skip
    return done.stdout


def predict(files: dict[Path, list[Case]], peers: list[Peer]) -> None:
    """What every tool says of one model's files, before the engine is asked."""
    for path, cases in files.items():
        size = path.stat().st_size / MIB
        for case in cases:
            case.ours = our_estimate(path, case.settings)
            if case.ours is not None:
                case.estimates[OURS] = sum(case.ours[part] for part in COMPONENTS if part != "repack")
            case.estimates |= {FACTOR: 1.2 * size, MARGIN: size + 2048}
    asked = [(path, case) for path, cases in files.items() for case in cases]
    questions = [
        (str(path), case.settings.context, case.settings.parallel, case.settings.type_k) for path, case in asked
    ]
    for peer in peers:
        answers: Sequence[int | None] = [None] * len(asked)
        if peer.ask:
            # A peer that ends has no answer to any of them.
            with contextlib.suppress(subprocess.SubprocessError, ValueError):
                answers = peer.ask(questions)
        for (_, case), answer in zip(asked, answers, strict=True):
            case.estimates[peer.name] = None if answer is None else answer / MIB


def ask_engine(engine: Engine, path: Path, cases: list[Case]) -> None:
    """What the engine would allocate, into the cases."""
    every_score = [
        Settings(at.context, at.parallel, at.ubatch, type_k=at.type_k, type_v=at.type_v, outputs=at.tokens)
        for at in (case.settings for case in cases)
    ]
    asked = [case.settings for case in cases]
    answers = engine.buffers(path, [*asked, *every_score])
    (copies, *_) = engine.buffers(path, asked[:1], repack=True)
    for case, truth, wider in zip(cases, answers[: len(cases)], answers[len(cases) :], strict=True):
        case.truth = truth | {"repack": copies["repack"]}
        case.with_all_scores = sum(wider[part] for part in COMPONENTS if part != "repack")


def percent(value: float | None) -> str:
    """An error with its sign; a dash where there is none."""
    if value is None:
        return "-"
    if abs(value) < 0.0005:
        return "0.000"
    return f"{value:+.3f}" if abs(value) < 1 else f"{value:+.1f}" if abs(value) < 100 else f"{value:+.0f}"


def case_table(cases: Iterable[Case]) -> list[str]:
    """One line a case."""
    widths = [8, 11, 8, 12, 8, 8]
    lines = [
        f"{'model':<19}{'file':<7}{'context':<10}{'engine':>9}"
        + "".join(f"{SHORT[tool]:>{width}}" for tool, width in zip(TOOLS, widths, strict=True)),
        f"{'':<36}{'MiB':>9}" + "".join(f"{'%':>{width}}" for width in widths),
    ]
    for case in cases:
        errors = "".join(f"{percent(case.error(tool)):>{width}}" for tool, width in zip(TOOLS, widths, strict=True))
        lines.append(f"{case.model:<19}{case.quantization:<7}{case.setting:<10}{case.total:>9,.0f}{errors}")
    return lines


def summary_table(cases: Sequence[Case]) -> list[str]:
    """Median and largest error of each tool."""
    rows = [(tool, [case.error(tool) for case in cases]) for tool in TOOLS]
    own_way = [
        None if estimate is None or case.with_all_scores is None else 100 * (estimate / case.with_all_scores - 1)
        for case in cases
        for estimate in [case.estimates.get(NODE_PEER)]
    ]
    rows.append((f"{NODE_PEER}, scores for all", own_way))
    lines = [f"{'':<30}{'median %':>12}{'largest %':>12}{'cases':>8}{'no answer':>12}"]
    for name, errors in rows:
        known = [abs(error) for error in errors if error is not None]
        figures = (
            f"{statistics.median(known):>12.3f}{max(known):>12.3f}{len(known):>8}"
            if known
            else f"{'-':>12}{'-':>12}{0:>8}"
        )
        lines.append(f"{name:<30}{figures}{len(errors) - len(known):>12}")
    return lines


def component_table(cases: Sequence[Case]) -> list[str]:
    """Our largest difference of each buffer."""
    lines = [f"{'':<30}{'MiB':>12}  where"]
    for part in COMPONENTS:
        found = [
            (abs(case.ours[part] - case.truth[part]), f"{case.model} {case.quantization} {case.setting}")
            for case in cases
            if case.ours is not None
        ]
        if found:
            size, where = max(found)
            lines.append(f"{part:<30}{size:>12.3f}  {where if size >= 0.005 else ''}".rstrip())
    return lines


def model_table(models: Iterable[Published]) -> list[str]:
    """The shapes, with the parameters that they were checked against."""
    rows = [f"| {model.name} | {model.architecture} | {model.parameters:,} | {model.source} |" for model in models]
    return ["| model | architecture | parameters | as told by |", "|---|---|---:|---|", *rows]


def page(cases: Sequence[Case], models: Sequence[Published], peers: Sequence[Peer]) -> str:
    """The document."""
    texts = {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "version": __version__,
        "engine": VERSION,
        "tools": "\n".join(f"- `{peer.name}` {peer.version}" for peer in peers),
        "summary": "\n".join(summary_table(cases)),
        "components": "\n".join(component_table(cases)),
        "cases": "\n".join(case_table(cases)),
        "models": "\n".join(model_table(models)),
    }
    return _PAGE.format(**texts)


def main() -> int:
    """Estimate, ask, print; exit code 1 if ours is ever further off than it may be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, help="write the tables into this file")
    parser.add_argument("--only", nargs="+", default=[], help="only models whose names hold one of these")
    parser.add_argument("--no-peers", action="store_true", help="install and ask no peer")
    arguments = parser.parse_args()
    models = chosen(arguments.only)
    cases: list[Case] = []
    with tempfile.TemporaryDirectory() as name, contextlib.closing(Engine()) as engine:
        folder = Path(name)
        peers = [] if arguments.no_peers else [in_wheel(), from_pypi(folder / "venv"), from_npm(folder / "node")]
        for peer in peers:
            print(f"{peer.name} {peer.version}", file=sys.stderr)
        for model in models:
            files = {
                write(folder / f"{model.name}-{quantization}.gguf", model, quantization): [
                    Case(model.name, quantization, at)
                    for at in every_setting(is_first=quantization == model.quantizations[0])
                ]
                for quantization in model.quantizations
            }
            predict(files, peers)
            for path, asked in files.items():
                try:
                    ask_engine(engine, path, asked)
                    cases += asked
                except (Died, ValueError) as error:
                    print(f"{path.stem}: the engine does not take it: {error}", file=sys.stderr)
                path.unlink()
            print(model.name, file=sys.stderr)
    for table in (case_table(cases), summary_table(cases), component_table(cases)):
        print("\n".join(table), end="\n\n")
    if arguments.write:
        arguments.write.write_text(page(cases, models, peers))
    ours = [case.error(OURS) for case in cases]
    return 0 if cases and all(error is not None and abs(error) <= 0.5 for error in ours) else 1


if __name__ == "__main__":
    sys.exit(main())
