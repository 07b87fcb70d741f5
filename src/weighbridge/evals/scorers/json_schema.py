"""Right where the answer's JSON is valid by a JSON schema, the task's own or the sample's field `schema`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from jsonschema import SchemaError, validators
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from weighbridge.errors import BadTask
from weighbridge.evals.score import Answer, Score
from weighbridge.evals.scorers._json import found_json
from weighbridge.evals.task import Sample


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """Nothing is fetched: a schema that points elsewhere is refused."""

    schema: Mapping[str, Any] | None
    _made: dict[str, Validator] = field(default_factory=dict)

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0; the first fault is told."""
        schema = self.schema if self.schema is not None else sample.metadata.get("schema")
        if schema is None:
            raise BadTask(f"sample {sample.id} has no schema", hint="give each line a schema, or --option schema=FILE")
        is_there, said = found_json(answer.text)
        if not is_there:
            return Score(0.0, None, "no JSON in the answer")
        shown = json.dumps(said, ensure_ascii=False)
        try:
            fault = next(iter(self._validator(sample, schema).iter_errors(said)), None)
        except Unresolvable as error:
            raise BadTask(f"sample {sample.id}: the schema points elsewhere: {error}", hint="write it out") from error
        return Score(float(fault is None), shown, "" if fault is None else f"{fault.json_path}: {fault.message}"[:300])

    def _validator(self, sample: Sample, schema: Any) -> Validator:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._made:
            try:
                self._made[key] = _validator(json.loads(schema) if isinstance(schema, str) else schema)
            except (SchemaError, ValueError) as error:
                raise BadTask(f"sample {sample.id}: is no JSON schema: {error}"[:300], hint="mend it") from error
        return self._made[key]


def _validator(schema: Any) -> Validator:
    kind = validators.validator_for(schema)
    kind.check_schema(schema)
    # An empty registry keeps it from asking the network.
    return kind(schema, registry=Registry())


def is_valid(value: Any, schema: Any) -> bool:
    """Whether a value is valid by a schema. BadTask where that is none."""
    try:
        return bool(_validator(schema).is_valid(value))
    except (SchemaError, Unresolvable) as error:
        raise BadTask(f"{json.dumps(schema)[:80]} is no JSON schema: {error}"[:300], hint="mend it") from error


def make(schema: Mapping[str, Any] | str | None = None) -> JsonSchema:
    """By the options of a task: `schema` as an object, or a file that holds it."""
    if isinstance(schema, str):
        try:
            schema = json.loads(Path(schema).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadTask(f"{schema}: {error}", hint="a file that holds a JSON schema") from error
    return JsonSchema(cast("Mapping[str, Any] | None", schema))
