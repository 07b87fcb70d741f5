"""Inspect: `.eval` files, a zip of JSON: `header.json` and a file a sample in `samples/`."""

from __future__ import annotations

import importlib
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from weighbridge.errors import BadTask
from weighbridge.evals.log import EvalLog, Head, Row
from weighbridge.evals.score import State

_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partly correct, incorrect, no answer."""
_STOPS = {"max_tokens": State.TRUNCATED, "model_length": State.TRUNCATED, "content_filter": State.REFUSED}
_LARGEST_SAMPLE_BYTES = 256 << 20
_ZSTANDARD = 93
"""Its number in a ZIP file."""
_LOCAL_HEADER_BYTES = 30


def recognizes(path: Path) -> bool:
    """By the ending of its name and by being a zip."""
    return path.suffix == ".eval" and zipfile.is_zipfile(path)


def read(path: Path) -> list[EvalLog]:
    """A log a scorer. Samples of several epochs are clusters; errors and cut-off answers have no score here."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            header = read_json(archive, "header.json" if "header.json" in names else "_journal/start.json")
            samples = [read_json(archive, name) for name in sorted(names) if name.startswith("samples/")]
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


def read_json(archive: zipfile.ZipFile, name: str) -> Any:
    """An entry of a log. ValueError where it is damaged, or larger than any log's."""
    if archive.getinfo(name).file_size > _LARGEST_SAMPLE_BYTES:
        raise ValueError(f"{name} is larger than {_LARGEST_SAMPLE_BYTES:,} bytes")
    return json.loads(_content(archive, archive.getinfo(name)))


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """An entry's content. Inspect writes Zstandard, which Python's own zipfile does not read before 3.14."""
    if info.compress_type != _ZSTANDARD:
        return archive.read(info)
    assert archive.fp is not None
    archive.fp.seek(info.header_offset)
    # PKWARE's APPNOTE.TXT, 4.3.7: the last two fields of a local header are how long its name and its extras are.
    head = archive.fp.read(_LOCAL_HEADER_BYTES)
    archive.fp.seek(sum(struct.unpack("<HH", head[-4:])), io.SEEK_CUR)
    packed = archive.fp.read(info.compress_size)
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError as error:
        raise BadTask("reading it needs zstandard", hint="pip install zstandard") from error
    try:
        # No more comes out than the entry says, and it says no more than is allowed.
        with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream:
            found = bytes(stream.read(info.file_size))
    except zstandard.ZstdError as error:
        raise ValueError(f"{info.filename}: {error}") from error
    if len(found) != info.file_size or zlib.crc32(found) != info.CRC:
        raise ValueError(f"{info.filename} is damaged")
    return found


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
