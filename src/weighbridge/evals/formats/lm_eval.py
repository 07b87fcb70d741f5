"""lm-eval's YAML tasks that need no `!function`: include and group resolved, Jinja in a sandbox, filters.

A task is asked as a chat: `description`, the few shots, and the document in one message. Multiple choice is asked with
lettered choices, where lm-eval compares log-likelihoods: scores of the two are not comparable. The few shots are the
first ones of their split, where lm-eval draws them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from weighbridge.errors import BadTask
from weighbridge.evals.formats import plain
from weighbridge.evals.task import Dataset, Generation, Sample, Task, sha256_of

_FILES = ("json", "csv")
_DEFAULT_MAX_TOKENS = 256
_MOST_DEPTH = 16


def reads(path: Path) -> bool:
    """By its keys, where it is YAML."""
    if path.suffix not in (".yaml", ".yml"):
        return False
    from weighbridge.evals.formats._yaml import load

    found = load(path)
    return isinstance(found, dict) and bool({"task", "include", "group"} & set(found)) and "prompts" not in found


def read(path: Path, data: Path | None) -> list[Task]:
    """The task, or the tasks of the group. BadTask names what would need Python, or is not supported."""
    return list(_tasks(path, _config(path), data))


def _config(path: Path, depth: int = 0) -> dict[str, Any]:
    """A file's keys, over those of the file that it includes."""
    from weighbridge.evals.formats._yaml import load

    found = load(path)
    if not isinstance(found, dict):
        raise BadTask(f"{path}: holds no keys", hint="a task of lm-eval is a mapping")
    if depth > _MOST_DEPTH:
        raise BadTask(f"{path}: is included by itself", hint="mend the includes")
    included = found.pop("include", None)
    base: dict[str, Any] = {}
    for name in [included] if isinstance(included, str) else included or []:
        base |= _config(path.parent / name, depth + 1)
    return base | found


def _tasks(path: Path, config: dict[str, Any], data: Path | None, depth: int = 0) -> Iterator[Task]:
    members = config.get("task")
    if not isinstance(members, list):
        yield _task(path, config, data)
        return
    if depth > _MOST_DEPTH:
        raise BadTask(f"{path}: the group holds itself", hint="mend the groups")
    known: dict[str, Path] | None = None
    for member in members:
        if isinstance(member, dict) and isinstance(member.get("task"), list):
            yield from _tasks(path, member, data, depth + 1)
            continue
        name = member.get("task") if isinstance(member, dict) else member
        known = _named(path) if known is None else known
        if name not in known:
            if isinstance(member, dict) and "dataset_path" in member:
                yield _task(path, member, data)
                continue
            raise BadTask(
                f"{path}: the group names {name!r}, and no file beside it has that task",
                hint=f"there are: {', '.join(sorted(known)[:8])}",
            )
        own = member if isinstance(member, dict) else {}
        yield from _tasks(known[name], _config(known[name]) | own, data, depth + 1)


def _named(path: Path) -> dict[str, Path]:
    """The tasks and groups in the folder, by name."""
    found = {}
    for file in sorted((*path.parent.rglob("*.yaml"), *path.parent.rglob("*.yml"))):
        config = _config(file)
        name = config.get("group") if isinstance(config.get("task"), list) else config.get("task")
        if isinstance(name, str):
            found[name] = file
    return found


def _task(path: Path, config: dict[str, Any], data: Path | None) -> Task:
    _check(path, config)
    output_type = config.get("output_type", "generate_until")
    if output_type not in ("generate_until", "multiple_choice"):
        raise BadTask(
            f"{path}: output_type {output_type} needs log-likelihoods of given text", hint="engines' chat has none"
        )
    files = _files(path, config, data)
    split = config.get("test_split") or config.get("validation_split") or config.get("training_split") or "test"
    chosen = files.get(split) or files.get("*")
    if chosen is None:
        raise BadTask(f"{path}: no file is named for the split {split}", hint="in dataset_kwargs: data_files: {...}")
    shots = _shots(path, config, files)
    name = str(config.get("task_alias") or config.get("task") or path.stem)

    def samples() -> Iterator[Sample]:
        for at, (place, document) in enumerate(plain.records(chosen)):
            yield _sample(config, document, shots, at, place)

    dataset = Dataset(name, samples, plain.count_of(chosen), sha256_of(chosen, *_with_includes(path)))
    if output_type == "multiple_choice":
        return Task(name, dataset, "choice")
    return Task(name, dataset, "filtered", _scoring(path, config), _generation(config))


def _with_includes(path: Path) -> list[Path]:
    from weighbridge.evals.formats._yaml import load

    included = load(path).get("include")
    names = [included] if isinstance(included, str) else included or []
    return [path, *(file for name in names for file in _with_includes(path.parent / name))]


def _check(path: Path, config: dict[str, Any]) -> None:
    from weighbridge.evals.formats._yaml import Function

    def walk(value: Any, where: str) -> None:
        if isinstance(value, Function):
            raise BadTask(
                f"{path}: {where} is the Python function {value.name}, which is not run",
                hint="write out what it makes as JSONL, and evaluate that",
            )
        for key, part in (
            value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else [])
        ):
            walk(part, f"{where}.{key}" if where else str(key))

    walk({key: value for key, value in config.items() if key != "metric_list"}, "")
    if config.get("output_type") != "multiple_choice":
        # Metrics beside the one that is used here need not be run.
        known = [each for each in config.get("metric_list") or () if _is_exact_match(each)]
        walk(known or config.get("metric_list"), "metric_list")
    if "class" in config:
        raise BadTask(f"{path}: is a Python class, which is not run", hint="write its samples out as JSONL")


def _files(path: Path, config: dict[str, Any], data: Path | None) -> dict[str, Path]:
    """The files of samples by split; `*`: of any."""
    if data is not None:
        return {"*": data}
    if config.get("dataset_path") not in _FILES:
        raise BadTask(
            f"{path}: its data is {config.get('dataset_path')!r}, elsewhere",
            hint="fetch the split as JSONL and name it: --data FILE",
        )
    found = (config.get("dataset_kwargs") or {}).get("data_files")
    if isinstance(found, dict):
        return {str(split): path.parent / _only(path, file) for split, file in found.items()}
    return {"*": path.parent / _only(path, found)}


def _only(path: Path, file: Any) -> str:
    if isinstance(file, list) and len(file) == 1:
        file = file[0]
    if not isinstance(file, str) or "://" in file:
        raise BadTask(f"{path}: data_files is {file!r}", hint="one file a split, beside the task")
    return file


def _shots(path: Path, config: dict[str, Any], files: Mapping[str, Path]) -> str:
    """The solved examples before each document."""
    count = int(config.get("num_fewshot") or 0)
    if not count:
        return ""
    given = (config.get("fewshot_config") or {}).get("samples")
    if isinstance(given, list):
        documents = given[:count]
    else:
        split = str(config.get("fewshot_split") or config.get("training_split"))
        if split not in files:
            raise BadTask(f"{path}: num_fewshot is {count}, and no file holds the split {split}", hint="num_fewshot: 0")
        documents = [document for _, document in islice(plain.records(files[split]), count)]
    delimiter, between = config.get("target_delimiter", " "), config.get("fewshot_delimiter", "\n\n")
    place = f"{path}: few shots"
    return "".join(
        f"{_text(config, document, place)}{delimiter}{_first(_target(config, document, place))}{between}"
        for document in documents
    )


def _first(target: Any) -> str:
    return str(target[0] if isinstance(target, list) and target else target)


def _sample(config: dict[str, Any], document: dict[str, Any], shots: str, at: int, place: str) -> Sample:
    description = _field(config.get("description", ""), document, place)
    question = f"{description}{shots}{_text(config, document, place)}"
    target = _target(config, document, place)
    choices: tuple[str, ...] = ()
    if config.get("output_type") == "multiple_choice":
        choices = tuple(map(str, _choices(config, document, place)))
        if isinstance(target, str) and target.strip().lstrip("-").isdecimal() and target not in choices:
            target = int(target)
    return Sample(str(document.get("id", at)), question, target, choices, metadata=document)


def _text(config: dict[str, Any], document: dict[str, Any], place: str) -> str:
    return str(_field(config.get("doc_to_text", ""), document, place))


def _target(config: dict[str, Any], document: dict[str, Any], place: str) -> Any:
    target = _field(config.get("doc_to_target", ""), document, place)
    if isinstance(target, str) and target.startswith("[") and target.endswith("]"):
        return _literal(target)
    return target


def _choices(config: dict[str, Any], document: dict[str, Any], place: str) -> list[Any]:
    given = config.get("doc_to_choice")
    if isinstance(given, list):
        return [_field(each, document, place) for each in given]
    if isinstance(given, dict):
        return [_field(each, document, place) for each in given.values()]
    found = _field(given, document, place)
    found = _literal(found) if isinstance(found, str) else found
    if not isinstance(found, list) or not 2 <= len(found) <= 26:
        raise BadTask(f"{place}: doc_to_choice gives {found!r}", hint="2 to 26 choices")
    return found


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _field(given: Any, document: dict[str, Any], place: str) -> Any:
    """A column's value where a column bears that name, else the template with the document put in."""
    from weighbridge.evals.formats._yaml import render

    if isinstance(given, str):
        return document[given] if given in document else render(given, document, place)
    return given


def _generation(config: dict[str, Any]) -> Generation:
    given = config.get("generation_kwargs") or {}
    until = given.get("until", [config.get("fewshot_delimiter", "\n\n")])
    temperature = given.get("temperature", 0.0) if given.get("do_sample") else 0.0
    return Generation(
        int(given.get("max_gen_toks", given.get("max_tokens", _DEFAULT_MAX_TOKENS))),
        float(temperature),
        (until,) if isinstance(until, str) else tuple(until),
    )


def _is_exact_match(metric: Any) -> bool:
    return isinstance(metric, dict) and metric.get("metric") == "exact_match"


def _scoring(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The options of the scorer `filtered`: the pipelines of filters, and how texts are compared."""
    metrics = config.get("metric_list") or [{"metric": "exact_match"}]
    named = [each.get("metric") for each in metrics]
    metric = next((each for each in metrics if _is_exact_match(each)), None)
    if metric is None:
        raise BadTask(f"{path}: no metric of {named} is known here", hint="exact_match is; or write JSONL and a scorer")
    pipelines = {str(each["name"]): each["filter"] for each in config.get("filter_list") or ()}
    compared = {
        key: metric[key]
        for key in ("ignore_case", "ignore_punctuation", "ignore_numbers", "regexes_to_ignore")
        if key in metric
    }
    return {"filters": pipelines, **compared}
