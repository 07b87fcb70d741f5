"""Plain lines: JSONL, CSV or JSON with a question and its answer a sample; also OpenAI's evals and Inspect's samples.

A line has `input` (or `prompt`, `question`, `messages`) and `target` (or `answer`, `ideal`, `expected`), perhaps `id`,
`choices` and `cluster`. JSONL and CSV (parted by commas, semicolons or tabs) are read as they are gone through; other
fields are kept as metadata.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

from weighbridge.errors import BadTask
from weighbridge.evals.task import Dataset, Message, Sample, Task, sha256_of

INPUTS = ("input", "prompt", "question", "messages")
TARGETS = ("target", "answer", "ideal", "expected")
_ENDINGS = (".jsonl", ".csv", ".json", ".jsonl.gz", ".csv.gz")
_MOST_FIELD_CHARACTERS = 16 << 20
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def reads(path: Path) -> bool:
    """By the ending of its name."""
    return path.name.endswith(_ENDINGS)


def read(path: Path, data: Path | None) -> list[Task]:
    """The task in a file of samples, its scorer chosen by what the first one looks like; `data` has no meaning here."""
    if data is not None:
        raise BadTask(f"{path}: holds its samples itself", hint="leave --data away")
    dataset = dataset_of(path)
    first = next(iter(dataset), None)
    if first is None:
        raise BadTask(f"{path}: holds no sample", hint="one JSON object a line, or a CSV with a header")
    return [Task(path.name.partition(".")[0], dataset, suggested_scorer(first))]


def dataset_of(path: Path, renamed: Mapping[str, str] | None = None) -> Dataset:
    """The samples of a file; `renamed` says which of its columns is meant by `input`, `target` and so on."""
    if not path.is_file():
        raise BadTask(f"{path}: there is no such file", hint="check the path")
    given = dict(renamed or {})

    def samples() -> Iterator[Sample]:
        for at, (place, fields) in enumerate(records(path)):
            yield sample_of(fields, at, place, given)

    return Dataset(path.name.partition(".")[0], samples, count_of(path), sha256_of(path) + json.dumps(given))


def suggested_scorer(sample: Sample) -> str:
    """`choice` where there are choices, `unit_tests` where there are tests of code, `numeric` for numbers, `json_match`
    for objects, `exact` else."""
    from weighbridge.evals.scorers.numeric import NUMBER

    if sample.choices:
        return "choice"
    if sample.metadata.get("test_list") or (sample.metadata.get("test") and sample.metadata.get("entry_point")):
        return "unit_tests"
    if isinstance(sample.target, Mapping):
        return "json_match"
    targets = sample.targets
    if targets and all(NUMBER.fullmatch(target.strip()) or "####" in target for target in targets):
        return "numeric"
    return "exact"


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's fields, with its place in words. BadTask names the line that cannot be read."""
    try:
        with _open(path) as file:
            if ".csv" in path.suffixes[-2:]:
                yield from _csv(path, file)
            elif path.suffix == ".json":
                yield from _json(path, file)
            else:
                yield from _jsonl(path, file)
    except UnicodeDecodeError as error:
        raise BadTask(f"{path}: is not UTF-8: byte {error.start}", hint="save it as UTF-8") from error
    except (OSError, EOFError) as error:
        raise BadTask(f"{path}: {error}", hint="check the file") from error


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _jsonl(path: Path, file: TextIO) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield _fields(f"{path}: line {number}", line)


def _fields(place: str, line: str) -> tuple[str, dict[str, Any]]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadTask(f"{place}: {error}", hint="write one JSON object a line") from error
    if not isinstance(found, dict):
        raise BadTask(f"{place}: is a JSON {type(found).__name__}, expected an object", hint="one object a line")
    return place, found


def _json(path: Path, file: TextIO) -> Iterator[tuple[str, dict[str, Any]]]:
    text = file.read()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        # Many a .json is JSONL.
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield _fields(f"{path}: line {number}", line)
        return
    if isinstance(found, dict):
        found = next(
            (found[key] for key in ("examples", "data", "samples") if isinstance(found.get(key), list)), [found]
        )
    for number, fields in enumerate(found if isinstance(found, list) else [found], 1):
        if not isinstance(fields, dict):
            raise BadTask(f"{path}: entry {number}: is no object", hint="a list of objects")
        yield f"{path}: entry {number}", fields


def _csv(path: Path, file: TextIO) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(_MOST_FIELD_CHARACTERS)
    delimiter = _delimiter(file)
    rows = csv.DictReader(file, delimiter=delimiter)
    try:
        for fields in rows:
            if None in fields or None in fields.values():
                raise BadTask(
                    f"{path}: line {rows.line_num}: has {'more' if None in fields else 'fewer'} cells than the header",
                    hint=f"put text that holds {_DELIMITERS[delimiter]} in quotes",
                )
            yield f"{path}: line {rows.line_num}", dict(fields)
    except csv.Error as error:
        raise BadTask(f"{path}: line {rows.line_num}: {error}", hint="is it a CSV?") from error


def _delimiter(file: TextIO) -> str:
    """What parts the cells of the header: a comma, or what spreadsheets write where a comma stands in numbers."""
    header = re.sub(r'"[^"]*"', "", file.readline(_MOST_FIELD_CHARACTERS))
    file.seek(0)
    return max(_DELIMITERS, key=header.count)


def sample_of(fields: Mapping[str, Any], at: int, place: str, renamed: Mapping[str, str]) -> Sample:
    """One sample from its fields. BadTask names what is missing."""
    known = {name: renamed.get(name) for name in ("input", "target", "id", "choices", "cluster")}
    asked = _first(fields, (known["input"],) if known["input"] else INPUTS)
    if asked is None or asked[1] in ("", []):
        raise BadTask(
            f"{place}: has no {known['input'] or 'input, prompt, question or messages'}; it has: "
            f"{', '.join(map(str, list(fields)[:12]))}",
            hint="weigh eval init makes a task of a file with other names",
        )
    wanted = _first(fields, (known["target"],) if known["target"] else TARGETS)
    choices = fields.get(known["choices"] or "choices")
    cluster = fields.get(known["cluster"] or "cluster")
    used = {asked[0], wanted[0] if wanted else "", *(known[name] or name for name in ("id", "choices", "cluster"))}
    return Sample(
        str(fields.get(known["id"] or "id", at)),
        _input(asked[1], place),
        wanted[1] if wanted else None,
        _choices(choices, place),
        None if cluster in (None, "") else str(cluster),
        {name: value for name, value in fields.items() if name not in used},
    )


def _first(fields: Mapping[str, Any], names: tuple[str | None, ...]) -> tuple[str, Any] | None:
    return next(((name, fields[name]) for name in names if name is not None and fields.get(name) is not None), None)


def _input(value: Any, place: str) -> str | tuple[Message, ...]:
    if isinstance(value, str):
        return value
    is_talk = isinstance(value, list) and all(isinstance(turn, dict) and "role" in turn for turn in value)
    if not is_talk:
        raise BadTask(f"{place}: the input is {type(value).__name__}", hint="text, or a list of {role, content}")
    return tuple(value)


def _choices(value: Any, place: str) -> tuple[str, ...]:
    if value in (None, ""):
        return ()
    if isinstance(value, str):
        # A CSV has no lists.
        try:
            value = json.loads(value) if value.startswith("[") else value.split("|")
        except (ValueError, RecursionError):
            raise BadTask(f"{place}: choices is {value[:80]!r}", hint='a list as JSON: ["a", "b"], or a|b|c') from None
    if isinstance(value, dict):
        value = value.get("text", value)
    if not isinstance(value, list) or not 2 <= len(value) <= 26:
        raise BadTask(f"{place}: choices is {value!r}", hint="2 to 26 texts: a list, or in a CSV a|b|c")
    return tuple(str(choice).strip() for choice in value)


def count_of(path: Path) -> int | None:
    """How many samples there are, where lines tell: of a JSONL, by its lines that are not blank."""
    if path.suffix != ".jsonl":
        return None if path.name.endswith(".gz") else sum(1 for _ in records(path))
    with path.open("rb") as file:
        return sum(1 for line in file if not line.isspace())
