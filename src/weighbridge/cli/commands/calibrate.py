"""Measure once how fast the engine is on this machine, so that every later speed is an estimate of a few percent.

Small models of known bytes are made in a temporary folder and run by llama.cpp with one thread and with one a core; it
takes under a minute and 300 MB of disk. Other work on the machine falsifies it: end what you can. Exit code 1 where the
engine could not be measured.

example:
  weigh calibrate --json | jq .measured
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from weighbridge import machine, settings
from weighbridge.cli import output
from weighbridge.engine_environment import engine_environment
from weighbridge.engines import children
from weighbridge.errors import BadSetting, EngineFailed
from weighbridge.fit import calibration
from weighbridge.fit.calibration import Calibration, Run, Trial
from weighbridge.fit.synthetic import write_model
from weighbridge.machine import Machine

# No trial that can be done without is begun after so many seconds.
_BUDGET_SECONDS = 45.0
_START_SECONDS = 60.0
_RUN_SECONDS = 120.0
# In each of two visits.
_REPEATS = 3
# So many times the seconds that its processor time explains, and other programs had the processor.
_BUSY = 1.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("--threads", type=int, metavar="N", help="threads to measure with (default: one a core)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the bytes: seconds, and a rough answer")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")


@dataclass(frozen=True, slots=True)
class Timing:
    """What the child says of one model with so many threads."""

    runs: tuple[Run, ...]
    busy: bool
    """Whether other programs had a good part of the processor."""


def engine_name() -> str:
    """The embedded engine with its version."""
    try:
        return f"xllamacpp {version('xllamacpp')}"
    except PackageNotFoundError:
        return "xllamacpp"


def measure(path: Path, threads: int, runs: Sequence[tuple[int, int]], *, parallel: int = 1) -> Timing:
    """Run a model in a process of its own: for each (prompt, answer) seconds of a step and of the prompt.

    EngineFailed quotes what the engine said. The process ends with us, however we end.
    """
    context = max(prompt + answer for prompt, answer in runs) + 16
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        arguments = {
            "path": str(path),
            "socket": str(Path(folder) / "engine.sock"),
            "threads": threads,
            "context_tokens": -(-context // 256) * 256,
            "parallel": parallel,
            "runs": [
                {"prompt": prompt, "generate": answer, "repeats": _REPEATS, "parallel": parallel}
                for prompt, answer in runs
            ],
            "parent": os.getpid(),
            "report": writer,
        }
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    str(Path(children.__file__).with_name("speed_llama_cpp.py")),
                    json.dumps(arguments),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(writer,),
                env=engine_environment(os.environ),
                # Ctrl-C is for us; the child ends when its input closes.
                start_new_session=True,
            )
        except OSError as error:
            os.close(reader)
            raise EngineFailed(f"the engine's process could not be started: {error}") from error
        finally:
            os.close(writer)
        try:
            report = _report(reader)
        finally:
            _end(process)
        if "results" not in report:
            log.seek(0)
            tail = log.read().decode(errors="replace").splitlines()[-20:]
            cause = report.get("error") or "it ended without a word"
            raise EngineFailed(f"{path.name}: the engine could not be measured: {cause}", log=tuple(tail))
    return _timing(report["results"], threads)


def _report(reader: int) -> dict[str, Any]:
    """The child's one line; nothing where it ended or took too long."""
    raw, until = b"", time.monotonic() + _START_SECONDS + _RUN_SECONDS
    try:
        while not raw.endswith(b"\n"):
            ready, _, _ = select.select([reader], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(reader, 65536) if ready else b""
            if not chunk:
                break
            raw += chunk
    finally:
        os.close(reader)
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _timing(results: Sequence[Mapping[str, Any]], threads: int) -> Timing:
    """The quickest repeat counts: other programs can only slow one down. Where they did, processor time tells what the
    run would have taken without them."""
    runs, busy = [], False
    for result in results:
        seconds = sorted(step["seconds"] for step in result["decode"])
        worked = min(step["cpu_seconds"] for step in result["decode"]) / threads
        step = seconds[0]
        prefill = result["prefill"]
        prompt, prompt_worked = prefill["seconds"], prefill["cpu_seconds"] / threads
        busy = busy or prompt > _BUSY * prompt_worked
        runs.append(Run(result["run"]["prompt"], result["run"]["generate"], step, seconds[1] / step - 1, prompt))
        if threads == 1:
            # One thread's processor time is its time without others.
            runs[-1] = replace(runs[-1], decode_seconds=min(step, worked), prefill_seconds=min(prompt, prompt_worked))
    return Timing(tuple(runs), busy)


def calibrate(
    here: Machine,
    threads: Sequence[int],
    of: Sequence[Trial],
    tell: Callable[[str], None],
    budget_seconds: float = _BUDGET_SECONDS,
) -> Calibration:
    """Measure all trials with each number of threads; `tell` hears how far it is and how long it will take."""
    begun = time.monotonic()
    results: dict[int, dict[str, tuple[Run, ...]]] = {count: {} for count in threads}
    notes: list[str] = []
    busy = visits = 0
    with tempfile.TemporaryDirectory(prefix="weighbridge-") as folder:
        # Each model is visited twice, apart in time: what else the machine does then falls on one of both.
        for number, trial in enumerate((*of, *of)):
            spent = time.monotonic() - begun
            is_second = number >= len(of)
            if spent > budget_seconds and (is_second or not trial.needed):
                if not is_second:
                    notes.append(f"{trial.name} was left out, as {spent:.0f} s had passed")
                continue
            if is_second and trial.name not in results[threads[0]]:
                continue
            expected = min(spent / number * (2 * len(of) - number), budget_seconds - spent) if number else 0.0
            left = f", about {expected:.0f} s left" if expected > 0 else ""
            tell(f"measuring {trial.name} ({number + 1} of {2 * len(of)}{left})")
            found = _visit(Path(folder), trial, threads)
            for count, timing in found.items():
                before = results[count].get(trial.name)
                results[count][trial.name] = (
                    tuple(one.better(other) for one, other in zip(before, timing.runs, strict=True))
                    if before
                    else timing.runs
                )
                busy, visits = busy + timing.busy, visits + 1
    if busy > visits // 3:
        notes.append("other programs kept the processor busy: run it again when it is idle")
    measured, fastest = [], 0.0
    for count in threads:
        found_rates, read = calibration.derive(results[count], of, count)
        measured.append(found_rates)
        fastest = max(fastest, read)
    return Calibration(
        calibration.identity(here), engine_name(), calibration.today(), tuple(measured), fastest, {}, tuple(notes)
    )


def _visit(folder: Path, trial: Trial, threads: Sequence[int]) -> dict[int, Timing]:
    """Make the model, run it with each number of threads, and remove it."""
    try:
        path = write_model(folder / f"{trial.name}.gguf", trial.shape)
    except OSError as error:
        raise BadSetting(
            f"no model could be made in {folder}: {error.strerror}", hint="set TMPDIR to a folder with 300 MB"
        ) from error
    found = {count: measure(path, count, trial.runs) for count in threads}
    path.unlink()
    return found


def run(arguments: argparse.Namespace) -> int:
    """Measure, keep and print."""
    here = machine.detect()
    most = here.processor.usable_threads or 1
    if arguments.threads is not None and not 1 <= arguments.threads <= most:
        raise BadSetting(f"--threads is {arguments.threads}", hint=f"this process may use 1 to {most}")
    cores = arguments.threads or min(here.processor.physical_cores or most, most)
    of = calibration.trials(quick=arguments.quick)
    found = calibrate(here, sorted({1, cores}), of, output.tell)
    folder = settings.load().state_path
    try:
        kept = calibration.save(folder, found)
        output.tell(f"kept in {kept}")
    except OSError as error:
        raise BadSetting(
            f"{folder}: cannot be written: {error.strerror}", hint="choose another folder: WEIGHBRIDGE_STATE_DIR"
        ) from error
    print(output.to_json(found) if arguments.json else _page(found))
    return 0


def _page(found: Calibration) -> str:
    rows = []
    for each in found.measured:
        for name, rate in sorted(each.rates.types.items()):
            rows.append(
                (
                    name,
                    str(each.threads),
                    f"{1 / rate.first / 1e9:.1f} GB/s",
                    f"{1 / rate.few / 1e9:.1f} GB/s",
                    f"{1 / rate.many / 1e9:.1f} GB/s",
                )
            )
    last = found.measured[-1].rates
    lines = [
        f"{found.engine} on {found.machine}, {found.day}",
        "",
        output.table(("weights", "threads", "decode", "+1 of few", "+1 of many"), rows, right=(1, 2, 3, 4)),
        "",
        f"cache {last.piece * 1e9:.0f} ns a head and token, attention {last.attention * 1e9:.3f} ns a value "
        f"({last.attention_many * 1e9:.3f} in prompts), {last.layer * 1e6:.0f} us a layer, "
        f"{last.vocabulary * 1e9:.1f} ns an entry of scores",
        f"repeats lay within {max(each.spread for each in found.measured):.0%} of each other (decode), "
        f"{max(each.prefill_spread for each in found.measured):.0%} (prompts)",
        *(f"note: {note}" for note in found.notes),
    ]
    return "\n".join(lines)
