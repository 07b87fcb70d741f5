"""`Near`: what prompts say of how models differ, learnt from examples: the task that a prompt is recognised as, and its
words, letters and form beyond that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .apart import turn_of
from .recognising import LIKENESSES, indicators, named_tasks, recognise, softmax
from .ridge import Doubles, Floats
from .told import by_others, fit_parts, shrunk, told_apart
from .worth import Worth

_SEED = 20261121
_PART = 1000
# How much of what prompts say beyond their recognised task may count: the part that chose best on examples left out.
_BEYOND = (0.5, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What others foretell of each example."""

    outputs: Doubles
    signs: Doubles
    """How familiar others find it, as of `signs_of`."""
    misses: Doubles
    """Squared error of what is foretold of how models differ; summed over models."""


class Near:
    """Made by `fit` or from what was kept, never changed."""

    def __init__(self, arrays: dict[str, Any], tasks: tuple[str, ...]) -> None:
        self.tasks = tasks
        self.weights, self.means = arrays["weights"], arrays["means"]
        """Columns: the tasks' scores, the outputs, and likeness by words, pieces and form; means of all but these."""
        self._bias, self._means = self.means[: len(tasks)], self.means[len(tasks) :]
        self.by_task = arrays["by_task"]
        """What a task adds to the outputs."""
        self.told_table, self.told_weights = arrays["told_table"], arrays["told_weights"]
        """Where the task is told: outputs by task, and from features to what those leave."""

    @classmethod
    def fit(
        cls, features: Floats, outputs: Doubles, tasks: tuple[str | None, ...], costs: Doubles
    ) -> tuple[Near, LeftOut]:
        """In parts whose weights are averaged (Zhang, Duchi and Wainwright 2015): time grows with examples only.
        `costs` are the models'."""
        named = named_tasks(tasks)
        of_task = indicators(tasks, named)
        parts = np.array_split(np.random.default_rng(_SEED).permutation(len(tasks)), max(1, round(len(tasks) / _PART)))
        known = recognise(features, of_task, parts)
        turn, worth = turn_of(outputs), Worth(outputs, costs)
        turned = outputs @ turn
        mean = turned.mean(0)
        told_table, told_weights = np.zeros((0, outputs.shape[1])), np.zeros((0, outputs.shape[1]), np.float32)
        by_task, first, beyond = np.zeros((0, outputs.shape[1])), np.tile(mean, (len(tasks), 1)), 1.0
        if named:
            by_task = (shrunk(turned, of_task) - mean) @ turn.T
            first = by_others(turned, of_task, known.likely)
            told_table, told_weights = told_apart(known.ridges, parts, turned, turn, of_task, worth)
        found, middle, left_out = fit_parts(known.ridges, parts, turned - first)
        if named:
            beyond = worth.best(first @ turn.T, left_out @ turn.T, _BEYOND)
        arrays = {
            "weights": np.concatenate((known.weights, beyond * found @ turn.T, known.alike_weights), 1).astype(
                np.float32
            ),
            "means": np.concatenate((known.bias, (mean + beyond * middle) @ turn.T)),
            "by_task": by_task,
            "told_table": told_table,
            "told_weights": told_weights,
        }
        foretold = (first + beyond * left_out) @ turn.T
        misses = ((outputs - foretold)[:, 1:] ** 2).sum(1)
        return cls(arrays, named), LeftOut(foretold, signs_of(known.alike, known.likely), misses)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """To keep."""
        return {name: getattr(self, name) for name in ("weights", "means", "by_task", "told_table", "told_weights")}

    def say(self, product: NDArray[Any]) -> tuple[Doubles, NDArray[Any], Doubles]:
        """From features times weights: outputs; likeness by words, pieces and form; probabilities of the tasks."""
        tasks, alike = len(self.tasks), product[..., -LIKENESSES:]
        outputs: Doubles = product[..., tasks:-LIKENESSES] + self._means
        if not tasks:
            return outputs, alike, outputs[..., :0]
        likely = softmax(product[..., :tasks] + self._bias)
        return outputs + likely @ self.by_task, alike, likely


def signs_of(alike: Doubles, likely: Doubles) -> Doubles:
    """How familiar prompts are: likeness, and where tasks are named the likeliest one's probability."""
    return np.concatenate((alike, likely.max(1, keepdims=True)), 1) if likely.shape[1] else alike
