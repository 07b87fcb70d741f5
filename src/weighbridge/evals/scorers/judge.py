"""A model as judge: the answer beside a reference, asked in both orders; 1 if it is better twice, 0 if worse twice.

Judges favour the place of an answer, so one verdict is none: where the two orders disagree, or both say tie, the score
is 0.5, and how often they agree is reported (L. Zheng et al., 2023, arXiv:2306.05685, section 3.4).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from weighbridge.errors import BadTask
from weighbridge.evals.asking import Patience, ask, body_of
from weighbridge.evals.http import Connection, Target
from weighbridge.evals.score import Answer, Score, ScoringFailed
from weighbridge.evals.scorers._needs import targets
from weighbridge.evals.task import Generation, Sample

DISAGREE = "the orders disagree"
_VERDICT = re.compile(r"\[\[([ABC])\]\]")
_PROMPT = """You compare two answers to a question. Do not let their order or their length sway you.{rubric}
Say in one or two sentences what tells them apart, then your verdict as the last line: [[A]] if answer A is better, \
[[B]] if answer B is better, [[C]] for a tie.

[Question]
{question}

[Answer A]
{first}

[Answer B]
{second}"""


@dataclass(slots=True)
class Judge:
    """Asks the judge's server; as many connections as there are answers being judged."""

    target: Target
    rubric: str
    generation: Generation
    patience: Patience = field(default_factory=Patience)
    _idle: list[Connection] = field(default_factory=list)

    async def score(self, sample: Sample, answer: Answer) -> Score:
        """1, 0.5 or 0, with both verdicts. ScoringFailed where the judge gives none."""
        reference = targets(sample)[0]
        first = await self._verdict(sample, answer.text, reference)
        second = await self._verdict(sample, reference, answer.text)
        swapped = {"A": "B", "B": "A", "C": "C"}[second]
        said = f"{first}{second}"
        if first != swapped:
            return Score(0.5, said, DISAGREE)
        return Score({"A": 1.0, "B": 0.0, "C": 0.5}[first], said, "both orders agree")

    async def _verdict(self, sample: Sample, first: str, second: str) -> str:
        rubric = f" What counts: {self.rubric}" if self.rubric else ""
        values = {"rubric": rubric, "question": sample.question, "first": first, "second": second}
        # One pass, so that braces in an answer stay what they are.
        prompt = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], _PROMPT)
        connection = self._idle.pop() if self._idle else Connection(self.target)
        try:
            body = body_of([{"role": "user", "content": prompt}], self.target, self.generation)
            asked = await ask(connection, body, self.patience)
        finally:
            self._idle.append(connection)
        if asked.answer is None:
            raise ScoringFailed(f"the judge does not answer: {asked.failure.message if asked.failure else ''}")
        found = _VERDICT.findall(asked.answer.text)
        if not found:
            raise ScoringFailed(f"the judge gave no verdict: {asked.answer.text[-200:]!r}")
        return str(found[-1])

    def close(self) -> None:
        """Give the connections back."""
        while self._idle:
            self._idle.pop().close()


def make(
    url: str = "", model: str = "", rubric: str = "", api_key_variable: str = "", max_tokens: int | None = 1024
) -> Judge:
    """By the options of a task: the judge's `url` and `model`; the key is in the variable `api_key_variable`."""
    if not url or not model:
        raise BadTask("scorer judge needs url and model", hint="--option url=http://127.0.0.1:8642 --option model=NAME")
    key = os.environ.get(api_key_variable, "") if api_key_variable else ""
    if api_key_variable and not key:
        raise BadTask(f"the variable {api_key_variable} is not set", hint="it shall hold the key of the judge's server")
    return Judge(Target(url.rstrip("/").removesuffix("/v1"), model, key), rubric, Generation(max_tokens))
