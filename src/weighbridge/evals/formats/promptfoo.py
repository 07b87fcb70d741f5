"""promptfoo's YAML: prompts, and tests with deterministic assertions. Its providers are left to `--model` and `--url`.

A prompt is a task. Assertions that run JavaScript or Python, or ask a model, are refused by name.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from weighbridge.errors import BadTask
from weighbridge.evals.formats import plain
from weighbridge.evals.task import Dataset, Sample, Task, sha256_of

_MOST_TESTS = 1_000_000


def reads(path: Path) -> bool:
    """By its keys, where it is YAML."""
    if path.suffix not in (".yaml", ".yml"):
        return False
    from weighbridge.evals.formats._yaml import load

    found = load(path)
    return isinstance(found, dict) and "prompts" in found and ("tests" in found or "scenarios" in found)


def read(path: Path, data: Path | None) -> list[Task]:
    """A task a prompt. BadTask names what is not supported."""
    from weighbridge.evals.formats._yaml import load
    from weighbridge.evals.scorers.assertions import check

    if data is not None:
        raise BadTask(f"{path}: holds its tests itself", hint="leave --data away")
    found = load(path)
    if "scenarios" in found:
        raise BadTask(f"{path}: scenarios are not supported", hint="write them out as tests")
    tests = list(_tests(path, found))
    if not tests:
        raise BadTask(f"{path}: holds no test", hint="tests: [{vars: {...}, assert: [...]}]")
    for number, (_, assertions, _) in enumerate(tests, 1):
        for assertion in assertions:
            check(assertion, f"{path}: test {number}")
    prompts = list(_prompts(path, found))
    title = str(found.get("description") or path.stem)
    return [
        _task(path, title if len(prompts) == 1 else f"{title} ({label})", prompt, tests) for label, prompt in prompts
    ]


def _task(path: Path, name: str, prompt: str, tests: list[tuple[dict[str, Any], list[dict[str, Any]], float]]) -> Task:
    from weighbridge.evals.formats._yaml import render

    def samples() -> Iterator[Sample]:
        for at, (variables, assertions, threshold) in enumerate(tests):
            text = render(prompt, variables, f"{path}: test {at + 1}")
            expected = [
                {
                    key: render(value, variables, f"{path}: test {at + 1}") if isinstance(value, str) else value
                    for key, value in assertion.items()
                }
                for assertion in assertions
            ]
            yield Sample(str(at), _messages(text), expected, metadata={**variables, "threshold": threshold})

    return Task(name, Dataset(name, samples, len(tests), sha256_of(path) + prompt), "assertions")


def _messages(text: str) -> str | tuple[Mapping[str, Any], ...]:
    """A prompt that is a JSON list of messages is a conversation."""
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            return text
        if isinstance(found, list) and all(isinstance(turn, dict) and "role" in turn for turn in found):
            return tuple(found)
    return text


def _prompts(path: Path, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    given = found["prompts"]
    for number, prompt in enumerate(given if isinstance(given, list) else [given], 1):
        label, text = str(number), prompt
        if isinstance(prompt, dict):
            text = prompt.get("raw") or prompt.get("id")
            label = str(prompt.get("label") or number)
        if not isinstance(text, str):
            raise BadTask(f"{path}: prompt {number} is {prompt!r}", hint="text, or file://NAME.txt")
        if text.startswith("file://"):
            file = path.parent / text.removeprefix("file://")
            if file.suffix not in (".txt", ".md", ".json"):
                raise BadTask(f"{path}: the prompt {text} would have to be run", hint="text, .txt, .md or .json")
            text = _read(file)
        yield label, text


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadTask(f"{file}: {error}", hint="check the path") from error


def _tests(path: Path, found: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], float]]:
    """Variables, assertions and threshold of each test; a list as a variable makes a test of each of its values."""
    common = found.get("defaultTest") or {}
    if not isinstance(common, dict):
        raise BadTask(f"{path}: defaultTest is {common!r}", hint="write it out")
    for test in _listed(path, found["tests"]):
        variables = {**(common.get("vars") or {}), **(test.get("vars") or {})}
        assertions = [*(common.get("assert") or ()), *(test.get("assert") or ())]
        threshold = float(test.get("threshold") or common.get("threshold") or 0.0)
        several = {name: value if isinstance(value, list) else [value] for name, value in variables.items()}
        if math.prod(map(len, several.values())) > _MOST_TESTS:
            raise BadTask(
                f"{path}: a test's lists of variables make more than {_MOST_TESTS:,} tests", hint="shorten them"
            )
        for values in itertools.product(*several.values()):
            yield dict(zip(several, values, strict=True)), assertions, threshold


def _listed(path: Path, tests: Any) -> Iterator[dict[str, Any]]:
    from weighbridge.evals.formats._yaml import load

    if isinstance(tests, str):
        file = path.parent / tests.removeprefix("file://")
        if file.suffix == ".csv":
            yield from (_of_csv(fields, place) for place, fields in plain.records(file))
            return
        tests = load(file)
    for number, test in enumerate(tests if isinstance(tests, list) else [tests], 1):
        if isinstance(test, str):
            yield from _listed(path, test)
        elif isinstance(test, dict):
            yield test
        else:
            raise BadTask(f"{path}: test {number} is {test!r}", hint="a mapping with vars and assert")


def _of_csv(fields: dict[str, Any], place: str) -> dict[str, Any]:
    """A line whose column `__expected` is `type: value`, or text that the answer must be equal to."""
    expected = str(fields.get("__expected") or "")
    assertions = []
    if expected:
        from weighbridge.evals.scorers.assertions import TYPES

        kind, sign, value = expected.partition(":")
        known = bool(sign) and kind.strip().removeprefix("not-") in TYPES
        assertions = [
            {"type": kind.strip(), "value": value.strip()} if known else {"type": "equals", "value": expected}
        ]
    if any(name.startswith("__expected") and name != "__expected" and fields[name] for name in fields):
        raise BadTask(f"{place}: has several __expected columns", hint="write the tests as YAML")
    return {"vars": {name: value for name, value in fields.items() if not name.startswith("__")}, "assert": assertions}
