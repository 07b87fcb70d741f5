"""Inspect: `.eval` files, a zip of JSON: `header.json` and a file a sample in `samples/`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from weighbridge.errors import BadTask
from weighbridge.evals.log import EvalLog, Head, Row
from weighbridge.evals.score import State

_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partly correct, incorrect, no answer."""
_STOPS = {"max_tokens": State.TRUNCATED, "model_length": State.TRUNCATED, "content_filter": State.REFUSED}
_LARGEST_SAMPLE_BYTES = 256 << 20


def recognizes(path: Path) -> bool:
    """By the ending of its name and by being a zip."""
    return path.suffix == ".eval" and zipfile.is_zipfile(path)


def read(path: Path) -> list[EvalLog]:
    """A log a scorer. Samples of several epochs are clusters; errors and cut-off answers have no score here."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            header = _json(archive, "header.json" if "header.json" in names else "_journal/start.json")
            samples = [_json(archive, name) for name in sorted(names) if name.startswith("samples/")]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise BadTask(f"{path}: {error}", hint="write it anew: inspect log convert --to eval") from error
    about = header["eval"]
    scorers = list(dict.fromkeys(name for sample in samples for name in sample.get("scores") or ()))
    epochs = max((sample.get("epoch", 1) for sample in samples), default=1)
    logs = []
    for scorer in scorers:
        rows = [_row(at, sample, scorer, epochs > 1) for at, sample in enumerate(samples)]
        task = about["task"] if len(scorers) == 1 else f"{about['task']} ({scorer})"
        logs.append(
            EvalLog.of_rows(Head(task, about["model"], "", scorer, samples=len(rows), source="inspect"), path, rows)
        )
    return logs


def _json(archive: zipfile.ZipFile, name: str) -> Any:
    if archive.getinfo(name).file_size > _LARGEST_SAMPLE_BYTES:
        raise ValueError(f"{name} is larger than {_LARGEST_SAMPLE_BYTES:,} bytes")
    return json.loads(archive.read(name))


def _row(at: int, sample: dict[str, Any], scorer: str, several: bool) -> Row:
    output = sample.get("output") or {}
    choices = output.get("choices") or [{}]
    stop = str(choices[0].get("stop_reason") or "")
    found = (sample.get("scores") or {}).get(scorer)
    state = State.ERROR if sample.get("error") or found is None else _STOPS.get(stop, State.SCORED)
    value = _value(found["value"]) if found is not None and state is State.SCORED else None
    name = str(sample["id"])
    usage = output.get("usage") or {}
    asked = sample.get("input")
    return Row(
        at,
        f"{name}#{sample.get('epoch', 1)}" if several else name,
        state,
        value,
        name if several else None,
        asked if isinstance(asked, str) else json.dumps(asked),
        sample.get("target"),
        str(output.get("completion") or ""),
        (found or {}).get("answer"),
        str((sample.get("error") or {}).get("message") or (found or {}).get("explanation") or ""),
        stop,
        str(output.get("model") or ""),
        usage.get("input_tokens"),
        usage.get("output_tokens"),
    )


def _value(value: Any) -> float:
    if isinstance(value, str):
        return _LETTERS[value] if value in _LETTERS else float(value)
    if isinstance(value, bool | int | float) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f"a score of {value!r} is not between 0 and 1")
