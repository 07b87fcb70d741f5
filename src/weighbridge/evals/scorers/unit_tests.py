"""Code, right where it passes the sample's tests, run in a locked-down child.

The tests are the sample's field `test` (Python, as in HumanEval: with `entry_point`, its `check` is called),
`test_list` (assertions, as in MBPP) or `tests`; else the target is the test.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, field
from typing import Any

from weighbridge.errors import BadTask
from weighbridge.evals.sandbox import is_locked, run_locked
from weighbridge.evals.score import Answer, Score
from weighbridge.evals.task import Sample

_BLOCK = re.compile(r"```[A-Za-z0-9_+-]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(slots=True)
class UnitTests:
    """As many children at once as there are cores."""

    timeout_seconds: float
    memory_bytes: int
    locked: bool
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(os.cpu_count() or 1))

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1 or 0, with the first failure."""
        code = program(sample, answer.text)
        async with self._room:
            ended = await run_locked(code, self.timeout_seconds, self.memory_bytes, locked=self.locked)
        return Score(float(ended.passed), None, ended.why)


def code_in(text: str) -> str:
    """The code of an answer: its longest code block, or all of it."""
    blocks: list[str] = _BLOCK.findall(text)
    return max(blocks, key=len) if blocks else text


def program(sample: Sample, text: str) -> str:
    """The answer's code with the sample's tests below. BadTask where there are none."""
    code, entry = code_in(text), sample.metadata.get("entry_point")
    if entry and not re.search(rf"^\s*(?:async\s+)?def\s+{re.escape(str(entry))}\b", code, re.MULTILINE):
        # The answer goes on where the question, a function's head, ends.
        code = sample.question + code
    parts = [code, _tests(sample)]
    if entry and "def check(" in parts[1]:
        parts.append(f"check({entry})")
    return "\n\n".join(parts)


def _tests(sample: Sample) -> str:
    fields: Any = sample.metadata
    found = next((fields[name] for name in ("test", "tests", "test_list") if fields.get(name)), sample.target)
    if isinstance(found, list | tuple):
        setup = fields.get("test_setup_code") or ""
        return "\n".join([str(setup), *map(str, found)])
    if not isinstance(found, str) or not found.strip():
        raise BadTask(f"sample {sample.id} has no tests", hint="give each line a test, test_list or tests")
    return found


def make(timeout_seconds: float = 10.0, memory_mib: int = 1024, allow_unlocked: bool = False) -> UnitTests:
    """By the options of a task. BadTask where the child cannot be locked in, unless that is allowed."""
    if not is_locked() and not allow_unlocked:
        raise BadTask(
            "code of models would run with all your rights here: this system has no seccomp",
            hint="run it in a container or a virtual machine, with --option allow_unlocked=true",
        )
    if timeout_seconds <= 0 or memory_mib < 64:
        raise BadTask("timeout_seconds must be above 0 and memory_mib at least 64", hint="10 and 1024 are usual")
    return UnitTests(timeout_seconds, memory_mib << 20, is_locked())
