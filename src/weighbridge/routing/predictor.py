"""`Predictor`: how well each model would answer a prompt, learnt from `Evidence`, and how far that can be trusted.

What decides a route is how models differ on a prompt, not how hard it is, so both are learnt apart: one level, and each
model's distance from it. Two sources:

near   ridge regression on hashed words, letters and signs of form, and on the task that the prompt is recognised as;
       trained in parts whose weights are averaged (Zhang, Duchi and Wainwright 2015): time grows with examples only
told   where the caller tells the task: each model's mean on it, drawn to that on all by how much tasks differ beside
       how prompts of one task do; what a prompt says beyond that counts only where it surely chose better
base   each model's mean, shrunk towards that of all

How much of near carries over to a prompt unlike the evidence is measured, not assumed: tasks are left out, all is
trained anew, and what was foretold is held against what was. A prompt is told to be unlike by `familiarity`: the score
of the likeliest task, which ridge regression draws to that of none where a prompt is like no example. It tells tasks
that were left out from others far better than nearness or explained variance do. Without tasks it is how much of the
prompt lies in directions that the examples span. Where nothing carries over, all prompts get nearly the same answer:
the best single model.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weighbridge.errors import BadSetting
from weighbridge.figures import Basis, Figure

from .cascade import Tried, learn_threshold
from .evidence import Evidence
from .features import SIGNS, TABLE, Looks, look, rarity, signed, sketch
from .ridge import Doubles, Floats, Ridge
from .told import told_apart

VERSION = 2

_WIDTH = 4096
_WAVES = 128
_PART = 1000
_DIRECTIONS = 64
_FEWEST_NEAR = 20
_FEWEST_OF_A_TASK = 8
_MOST_TASKS = 64
_MOST_FOR_SHIFT = 600
_SHIFT_GROUPS = 4
_BINS = 6
_LITTLE = 0.05
# A task with this score is about as likely to be another.
_UNSURE = 0.6
# So many of the prompts that come are taken to be of no task of the evidence.
_OUTSIDE = 0.3
# So many examples of average outcome are taken as seen of each model before the first.
_PRIOR_EXAMPLES = 4.0
_TASK_SCALE = 5.0
# So many examples of the mean of all are added to each task's own.
_TABLE_PRIOR = 3.0
# Below so many examples a task their means are noise. Chosen on inner folds of the training halves of six sets.
_TABLE_TRUSTED = 20.0
# More of it wins more where tasks are known, and loses to the best single model where they are not.
_MOST_BY_TABLE = 0.5
_BANDWIDTH = 0.6
# Words and pieces are of length one, and so are the waves, nearly.
_SQUARES = 3.0
_SHARPNESS = (5.0, 10.0, 20.0, 40.0)
# Points of quality that asking one more model must bring.
_ESCALATION_WORTH = 0.02
_MOST_FILE_BYTES = 256 << 20
_SEED = 20261121


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is foretold of one prompt; one entry a model, in the predictor's order."""

    quality: Doubles
    """Expected score, 0 to 1."""
    deviation: Doubles
    """Of that expectation, one standard deviation."""
    familiarity: float
    """How much the prompt is like the examples, 0 to 1."""
    trust: float
    """What part of what the examples say of such prompts carries over, 0 to 1; 0: only the models' means count."""
    task: str | None
    """The task that the prompt looks most like, if the examples name any."""
    task_probability: float
    costs: Doubles
    """Expected, in the evidence's currency; NaN for unknown."""
    seconds: Doubles


@dataclass(frozen=True, slots=True)
class _Said:
    """What near says, before it is weighed: rows are prompts; the first column is the level."""

    near: Doubles
    familiarity: Doubles
    tasks: Doubles


def _complete(evidence: Evidence) -> Doubles:
    """Scores with gaps filled by prompt and model: a + b, each shrunk to nothing by its few outcomes; and outcomes that
    weigh less than one moved towards that."""
    scores, weights = np.nan_to_num(evidence.scores), evidence.weights
    total = max(weights.sum(), 1e-9)
    mean = float((weights * scores).sum() / total)
    by_model = np.zeros(scores.shape[1])
    by_prompt = np.zeros((len(scores), 1))
    for _ in range(10):
        rest = weights * (scores - mean - by_prompt)
        by_model = rest.sum(0) / (weights.sum(0) + _PRIOR_EXAMPLES)
        rest = weights * (scores - mean - by_model)
        by_prompt = (rest.sum(1) / (weights.sum(1) + 1.0))[:, None]
    return np.asarray(weights * scores + (1 - weights) * np.clip(mean + by_model + by_prompt, 0, 1))


def _outputs(complete: Doubles) -> Doubles:
    """Level, and each model's distance from it."""
    level = complete.mean(1, keepdims=True)
    return np.concatenate((level, complete - level), 1)


class Lens:
    """From a prompt's looks to features; its tables are learnt from the evidence's prompts alone."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.rare_words, self.rare_pieces = arrays["rare_words"], arrays["rare_pieces"]
        self._rare = signed(self.rare_words, self.rare_pieces)
        self.middle, self.scale = arrays["middle"], arrays["scale"]
        self.frequencies, self.phases = arrays["frequencies"], arrays["phases"]

    @classmethod
    def of(cls, looks: list[Looks]) -> Lens:
        """Learnt from prompts."""
        rng = np.random.default_rng(_SEED)
        signs = np.array([each.signs for each in looks])
        # The little that is added keeps a sign that never varied from counting for much where it does.
        scale = (signs.std(0) + 0.02) * math.sqrt(len(SIGNS))
        return cls(
            {
                "rare_words": rarity([each.words for each in looks]),
                "rare_pieces": rarity([each.pieces for each in looks]),
                "middle": signs.mean(0).astype(np.float32),
                "scale": scale.astype(np.float32),
                "frequencies": (rng.normal(size=(len(SIGNS), _WAVES)) * math.sqrt(2 / _BANDWIDTH)).astype(np.float32),
                "phases": rng.uniform(0, 2 * math.pi, _WAVES).astype(np.float32),
            }
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """To keep."""
        return {
            name: getattr(self, name)
            for name in ("rare_words", "rare_pieces", "middle", "scale", "frequencies", "phases")
        }

    def form(self, looks: Looks) -> Floats:
        """Signs of form, each about as large as others; what was never seen counts as the edge of what was."""
        edge: Floats = np.minimum(np.maximum((looks.signs - self.middle) / self.scale, -1), 1)
        return edge

    def text(self, looks: Looks) -> tuple[NDArray[np.uint32], Doubles]:
        """Words and pieces: places among the first features, and what stands there; places may repeat."""
        return sketch(looks, self._rare, _WIDTH)

    def waves(self, form: Floats) -> Floats:
        """Random Fourier features of the signs: nearness in form (Rahimi and Recht 2007)."""
        return np.asarray(np.sqrt(2 / _WAVES) * np.cos(form @ self.frequencies + self.phases), np.float32)

    def features(self, looks: list[Looks]) -> tuple[Floats, Floats]:
        """(prompts, features), and the signs of form alone."""
        form = np.array([self.form(each) for each in looks])
        text = np.zeros((len(looks), 2 * _WIDTH), np.float32)
        for row, each in zip(text, looks, strict=True):
            row[:] = np.bincount(*self.text(each), 2 * _WIDTH)
        return np.concatenate((text, self.waves(form)), 1), form


def _softmax(scores: Doubles, sharpness: float) -> Doubles:
    powers = np.exp(sharpness * (scores - scores.max(-1, keepdims=True)))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _share(tasks: tuple[str | None, ...]) -> float:
    """How much the way by tasks' means first counts: the more examples a task has, the more."""
    named = set(_named(tasks))
    examples = sum(task in named for task in tasks)
    return max(0.0, 1 - _TABLE_TRUSTED * len(named) / examples) * _MOST_BY_TABLE if named else 0.0


def _named(tasks: tuple[str | None, ...]) -> tuple[str, ...]:
    """Tasks with enough examples; none where there is only one."""
    counts = Counter(task for task in tasks if task is not None)
    named = tuple(sorted(task for task, count in counts.most_common(_MOST_TASKS) if count >= _FEWEST_OF_A_TASK))
    return named if len(named) > 1 else ()


class Near:
    """Ridge on all features and on the recognised task."""

    def __init__(self, arrays: dict[str, Any], tasks: tuple[str, ...], sharpness: float) -> None:
        self.tasks, self.sharpness = tasks, sharpness
        self.weights, self.means = arrays["weights"], arrays["means"]
        """Columns: the tasks' scores, the outputs, and without tasks the directions in which examples lie."""
        self.by_task = arrays["by_task"]
        """Outputs by task, and by waves over task and form together, where those helped."""
        self.told_table, self.told_weights = arrays["told_table"], arrays["told_weights"]
        """Where the task is told: outputs by task, and from features to what those leave."""
        self.frequencies, self.phases = arrays["mixed_frequencies"], arrays["mixed_phases"]

    @classmethod
    def fit(
        cls,
        features: Floats,
        form: Floats,
        outputs: Doubles,
        tasks: tuple[str | None, ...],
        share: float,
        costs: Doubles,
    ) -> tuple[Near, Doubles, Doubles]:
        """And what is foretold of each example by others, and how familiar they find it. `share` is how much the way
        by tasks' means first counts, `costs` are the models'."""
        named = _named(tasks)
        of_task = np.array([[task == name for name in named] for task in tasks], float).reshape(len(tasks), len(named))
        parts = np.array_split(np.random.default_rng(_SEED).permutation(len(tasks)), max(1, round(len(tasks) / _PART)))
        grams = [features[part] @ features[part].T for part in parts]
        weights: Any = 0.0
        means: Any = 0.0
        recognised = np.zeros_like(of_task)
        told_table, told_weights = np.zeros((0, outputs.shape[1])), np.zeros((0, outputs.shape[1]), np.float32)
        if named:
            ridges = [Ridge(features[part], gram) for part, gram in zip(parts, grams, strict=True)]
            for part, ridge in zip(parts, ridges, strict=True):
                fitted = ridge.fit(of_task[part], (0.1, 0.3, 1.0))
                weights, means = weights + fitted.weights / len(parts), means + fitted.means / len(parts)
                recognised[part] = fitted.left_out
            told_table, told_weights = told_apart(ridges, parts, outputs, _turn(outputs), of_task, costs)
        sharpness = max(
            _SHARPNESS,
            key=lambda each: float(np.log((_softmax(recognised, each) * of_task).sum(1) + 1e-3).mean()) if named else 0,
        )
        likely = _softmax(recognised, sharpness) if named else of_task
        turn = _turn(outputs)
        mixed = _best_mixed(features, form, likely, outputs @ turn, parts[0], grams[0]) if named else _no_waves()
        added = _of_task(form, likely, *mixed)
        found, middle, left_out = _fitted(features, added, outputs, turn, parts, grams)
        if named and share:
            # The same once more for what tasks' means leave.
            by_table = _table_of(outputs, of_task)
            first = _but_own(outputs, of_task, likely, by_table)
            rest = _fitted(features, added[:, len(named) :], outputs - first, turn, parts, grams)
            own = np.concatenate((rest[0][: features.shape[1]], by_table / _TASK_SCALE, rest[0][features.shape[1] :]))
            found, middle = _between(found, own, share), _between(middle, rest[1], share)
            left_out = _between(left_out, rest[2] + first, share)
        width = features.shape[1]
        directions, familiar = np.zeros((width, 0), np.float32), recognised.max(1) if named else np.zeros(len(tasks))
        if not named:
            directions, familiar = _span(features, parts[0], grams[0])
        scores = np.asarray(weights) if named else np.zeros((width, 0))
        arrays = {
            "weights": np.concatenate((scores, found[:width], directions), 1).astype(np.float32),
            "means": np.concatenate((np.asarray(means) if named else np.zeros(0), middle)),
            "by_task": found[width:].astype(np.float32),
            "mixed_frequencies": mixed[0],
            "mixed_phases": mixed[1],
            "told_table": told_table,
            "told_weights": told_weights,
        }
        return cls(arrays, named, sharpness), left_out, familiar

    def arrays(self) -> dict[str, NDArray[Any]]:
        """To keep."""
        return {
            "weights": self.weights,
            "means": self.means,
            "by_task": self.by_task,
            "mixed_frequencies": self.frequencies,
            "mixed_phases": self.phases,
            "told_table": self.told_table,
            "told_weights": self.told_weights,
        }

    def say(self, product: Doubles, form: Floats) -> tuple[Doubles, Doubles, Doubles]:
        """From features times weights: outputs, familiarity, probabilities of the tasks."""
        count, outputs = len(self.tasks), len(self.means)
        if not count:
            inside = (product[:, outputs:] ** 2).sum(1) / _SQUARES
            return self.means + product[:, :outputs], inside, product[:, :0]
        scores = product[:, :count] + self.means[:count]
        likely = _softmax(scores, self.sharpness)
        added = _of_task(form, likely, self.frequencies, self.phases)
        return self.means[count:] + product[:, count:] + added @ self.by_task, scores.max(1), likely


def _no_waves() -> tuple[Floats, Floats]:
    return np.zeros((0, 0), np.float32), np.zeros(0, np.float32)


def _of_task(form: Floats, likely: Doubles, frequencies: Floats, phases: Floats) -> Floats:
    """Probable tasks as features, and waves over task and form: by them, form may say another thing in each task."""
    scaled = _TASK_SCALE * likely
    if not len(phases):
        return np.asarray(scaled, np.float32)
    both: Floats = np.concatenate((form, likely), 1).astype(np.float32)
    waves = np.sqrt(2 / len(phases)) * np.cos(both @ frequencies + phases)
    return np.asarray(np.concatenate((scaled, waves), 1), np.float32)


def _best_mixed(
    features: Floats, form: Floats, likely: Doubles, outputs: Doubles, part: NDArray[np.intp], gram: Floats
) -> tuple[Floats, Floats]:
    """Waves over task and form where they help on examples left out, else none."""
    rng = np.random.default_rng(_SEED + 1)
    width = form.shape[1] + likely.shape[1]
    waves = (
        np.asarray(rng.normal(size=(width, _WAVES)) * math.sqrt(2 / _BANDWIDTH), np.float32),
        np.asarray(rng.uniform(0, 2 * math.pi, _WAVES), np.float32),
    )
    errors = []
    for each in (_no_waves(), waves):
        added = _of_task(form[part], likely[part], *each)
        ridge = Ridge(np.concatenate((features[part], added), 1), gram + added @ added.T)
        rest = ridge.fit(outputs[part]).left_out - outputs[part]
        errors.append(float((rest[:, 1:] ** 2).mean()))
    return waves if errors[1] < errors[0] else _no_waves()


def _table_of(outputs: Doubles, of_task: Doubles) -> Doubles:
    """Each task's mean outputs, drawn towards those of all as by a few examples more."""
    counts = of_task.sum(0)[:, None]
    return np.asarray((of_task.T @ outputs + _TABLE_PRIOR * outputs.mean(0)) / (counts + _TABLE_PRIOR))


def _but_own(outputs: Doubles, of_task: Doubles, likely: Doubles, table: Doubles) -> Doubles:
    """What the tasks' means foretell of each example, its own part in its task's mean taken out."""
    own = (of_task * likely / (of_task.sum(0) + _TABLE_PRIOR - 1)).sum(1, keepdims=True)
    return np.asarray(likely @ table + own * (of_task @ table - outputs))


def _fitted(
    features: Floats, added: Floats, outputs: Doubles, turn: Doubles, parts: list[NDArray[np.intp]], grams: list[Floats]
) -> tuple[Doubles, Doubles, Doubles]:
    """Ridge in parts, averaged: weights, means, and what is foretold of each example by others."""
    found: Any = 0.0
    middle: Any = 0.0
    left_out = np.zeros_like(outputs)
    for part, gram in zip(parts, grams, strict=True):
        ridge = Ridge(np.concatenate((features[part], added[part]), 1), gram + added[part] @ added[part].T)
        fitted = ridge.fit(outputs[part] @ turn)
        found, middle = found + fitted.weights @ turn.T / len(parts), middle + fitted.means @ turn.T / len(parts)
        left_out[part] = fitted.left_out @ turn.T
    return np.asarray(found), np.asarray(middle), left_out


def _between(one: Doubles, other: Doubles, share: float) -> Doubles:
    return (1 - share) * one + share * other


def _largest(tasks: tuple[str | None, ...]) -> float:
    """The share of the largest task that is told apart."""
    counts = Counter(tasks)
    named = [counts[task] for task in _named(tasks)]
    return max(named) / sum(named) if named else 0.0


def _span(features: Floats, part: NDArray[np.intp], gram: Floats) -> tuple[Floats, Doubles]:
    """The directions in which one half of some examples lies, and how much of all the others lies in them."""
    half = np.arange(0, len(part), 2)
    directions = Ridge(features[part[half]], gram[np.ix_(half, half)]).directions(_DIRECTIONS, 1.0)
    others = np.delete(np.arange(len(features)), part[half])
    inside = ((features @ directions) ** 2).sum(1) / _SQUARES
    inside[part[half]] = np.median(inside[others])
    return directions, inside


def _turn(outputs: Doubles) -> Doubles:
    """The level, and the directions in which models differ, so that each gets a strength of its own."""
    apart = outputs[:, 1:] - outputs[:, 1:].mean(0)
    _, vectors = np.linalg.eigh(apart.T @ apart)
    turn = np.zeros((outputs.shape[1], outputs.shape[1]))
    turn[0, 0] = 1
    turn[1:, 1:] = vectors
    # The models' distances sum to nothing: the direction that all share holds none.
    return turn[:, [0, *range(2, outputs.shape[1])]] if outputs.shape[1] > 2 else turn[:, :1]


def _factor(near: Doubles, truth: Doubles) -> float:
    """The part of near that brings it closest to the truth, less one standard error; 0 to 1."""
    size = float((near**2).sum())
    if size < 1e-9:
        return 0.0
    return float(np.clip((near * truth).sum() / size - math.sqrt(float(truth.var()) / size), 0, 1))


class Predictor:
    """What was learnt; made by `learn` or `load`, never changed."""

    def __init__(
        self, models: tuple[str, ...], about: dict[str, Any], arrays: dict[str, Any], near: Near | None, lens: Lens
    ) -> None:
        self.models = models
        self.places = {model: at for at, model in enumerate(models)}
        """Where each model stands in a prediction."""
        self.about = about
        """`examples`, `by_model` (outcomes of each), `tasks` and `error`."""
        self.parts = arrays, near, lens
        """What it is made of, to make another one that says more about itself."""
        self._near, self._lens = near, lens
        self._base: Doubles = arrays["base"]
        self._noise: Doubles = arrays["noise"]
        self._signal: Doubles = arrays["signal"]
        self._counts: Doubles = arrays["counts"]
        self._costs: Doubles = arrays["costs"]
        self._seconds: Doubles = arrays["seconds"]
        self._growth: Doubles = arrays["growth"]
        self._own_noise: Doubles = self._noise / np.maximum(self._counts, 1)
        self._growths = self._growth.tolist()
        self._carry: Doubles = arrays["carry"]
        """Familiarities, and below them what part of near holds there."""
        self._thresholds = {
            (str(small), str(big)): Figure(float(value), Basis(basis), str(source))
            for small, big, value, basis, source in about.get("thresholds", ())
        }
        self._tasks = {task: at for at, task in enumerate(near.tasks)} if near else {}

    @property
    def examples(self) -> int:
        """Prompts that it has learnt from."""
        return int(self.about["examples"])

    @property
    def thresholds(self) -> dict[tuple[str, str], Figure]:
        """Of cascades, by small and big model: the mean log-probability below which the big one is asked."""
        return self._thresholds

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that it recognises."""
        return self._near.tasks if self._near else ()

    def outcomes(self, model: str) -> float:
        """How many outcomes of a model it has learnt from, by weight."""
        at = self.places.get(model)
        return float(self._counts[at]) if at is not None else 0.0

    def _said(self, looks: list[Looks], tasks: list[str | None]) -> _Said:
        near, count = self._near, len(self._tasks)
        if near is None:
            nothing = np.zeros(len(looks))
            return _Said(np.tile(self._base, (len(looks), 1)), nothing, np.zeros((len(looks), 0)))
        outputs, familiarity = np.empty((len(looks), len(self._base))), np.full(len(looks), np.inf)
        likely = np.zeros((len(looks), count))
        told = [self._tasks.get(task, -1) if task is not None else -1 for task in tasks]
        for at, (each, task) in enumerate(zip(looks, told, strict=True)):
            form = self._lens.form(each)
            if task < 0:
                said = near.say(self._product(each, form, near.weights).astype(np.float64)[None], form[None])
                outputs[at], familiarity[at], likely[at] = said[0][0], said[1][0], said[2][0]
                continue
            # A task that the caller tells is familiar.
            likely[at, task] = 1
            outputs[at] = near.told_table[task]
            if len(near.told_weights):
                outputs[at] += self._product(each, form, near.told_weights)
        return _Said(outputs, familiarity, likely)

    def _product(self, looks: Looks, form: Floats, weights: Floats) -> Floats:
        """Features times weights; only the rows of hashes that occur are touched."""
        places, there = self._lens.text(looks)
        found: Floats = there.astype(np.float32) @ weights.take(places, 0)
        found += self._lens.waves(form) @ weights[2 * _WIDTH :]
        return found

    def _weigh(self, said: _Said) -> tuple[Doubles, Doubles]:
        """Level and distances, as far as they carry over, and the part of near that does; all, if the task is told."""
        part = np.where(np.isinf(said.familiarity), 1.0, np.interp(said.familiarity, *self._carry))
        return self._base + part[:, None] * (said.near - self._base), part

    def predict_all(
        self, prompts: Sequence[str | Looks], tasks: list[str | None] | None = None
    ) -> tuple[Doubles, Doubles, Doubles]:
        """Of many prompts: qualities (prompts, models), familiarities, and parts of near that carry over."""
        said = self._said(_looks(prompts), tasks or [None] * len(prompts))
        found, trust = self._weigh(said)
        return found[:, :1] + found[:, 1:], said.familiarity, trust

    def predict(self, prompt: str, task: str | None = None) -> Prediction:
        """Of one prompt; the task counts where the caller knows it and the evidence names it."""
        looks = look(prompt)
        said = self._said([looks], [task])
        found, trust = self._weigh(said)
        familiarity = min(max(float(said.familiarity[0]), 0.0), 1.0)
        variance = self._signal * (1 - familiarity * float(trust[0])) + self._own_noise
        most = int(said.tasks[0].argmax()) if said.tasks.shape[1] else None
        longer = float(looks.signs[0]) - self._growth_at
        growth = [math.exp(each * longer) for each in self._growths]
        return Prediction(
            quality=np.minimum(np.maximum(found[0, 0] + found[0, 1:], 0), 1),
            deviation=np.sqrt(variance),
            familiarity=familiarity,
            trust=float(trust[0]),
            task=self.tasks[most] if most is not None else None,
            task_probability=float(said.tasks[0, most]) if most is not None else 0.0,
            costs=self._costs * growth[0],
            seconds=self._seconds * growth[1],
        )

    @property
    def _growth_at(self) -> float:
        return float(self.about["mean_log_length"])

    def save(self, path: Path) -> None:
        """One file, replaced in one step. BadSetting where it cannot be written."""
        about = {**self.about, "version": VERSION, "models": list(self.models)}
        arrays: dict[str, NDArray[Any]] = {
            "base": self._base, "noise": self._noise, "signal": self._signal, "counts": self._counts,
            "costs": self._costs, "seconds": self._seconds, "growth": self._growth,
            "carry": self._carry,
            **self._lens.arrays(),
        }  # fmt: skip
        if self._near:
            about |= {"tasks": list(self._near.tasks), "sharpness": self._near.sharpness}
            arrays |= self._near.arrays()
        for name in ("rare_words", "rare_pieces", "weights", "told_weights"):
            if name in arrays:
                arrays[name] = arrays[name].astype(np.float16)
        packed = io.BytesIO()
        text = np.frombuffer(json.dumps(about, ensure_ascii=False).encode(), np.uint8)
        np.savez_compressed(packed, allow_pickle=False, about=text, **arrays)
        beside = path.with_name(path.name + ".new")
        try:
            beside.write_bytes(packed.getvalue())
            beside.replace(path)
        except OSError as error:
            raise BadSetting(f"{path}: cannot be written: {error.strerror}", hint="choose another folder") from error

    @classmethod
    def load(cls, path: Path) -> Predictor:
        """From `save`'s file; no code in it runs. BadSetting for one that is damaged, foreign or of another version."""
        try:
            with zipfile.ZipFile(path) as packed:
                size = sum(entry.file_size for entry in packed.infolist())
            if size > _MOST_FILE_BYTES:
                raise BadSetting(
                    f"{path}: {size:,} bytes, at most {_MOST_FILE_BYTES:,} are read", hint="this is no predictor's file"
                )
            with np.load(path, allow_pickle=False) as kept:
                arrays = {name: kept[name] for name in kept.files}
            about = json.loads(arrays.pop("about").tobytes())
            return cls._made(about, arrays)
        except BadSetting:
            raise
        except FileNotFoundError:
            raise BadSetting(f"{path}: there is no such file", hint="weigh route learn DATA makes one") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile, EOFError,
                RecursionError, OverflowError, NotImplementedError, RuntimeError) as error:  # fmt: skip
            raise BadSetting(
                f"{path}: no file of a predictor, or a damaged one: {error}",
                hint="make it anew: weigh route learn DATA",
            ) from error

    @classmethod
    def _made(cls, about: dict[str, Any], arrays: dict[str, Any]) -> Predictor:
        if about.get("version") != VERSION:
            raise BadSetting(
                f"a predictor of version {about.get('version')!r}, expected {VERSION}",
                hint="make it anew: weigh route learn DATA",
            )
        for name, array in arrays.items():
            if array.dtype.kind != "f" or (name not in ("costs", "seconds") and not np.isfinite(array).all()):
                raise ValueError(f"{name} holds no finite numbers")
        models, tasks = tuple(map(str, about["models"])), tuple(map(str, about.get("tasks", ())))
        outputs = 1 + len(models)
        columns = (
            len(tasks) + outputs + (0 if tasks else arrays["weights"].shape[1] - outputs) if "weights" in arrays else 0
        )
        shapes = {
            "base": (outputs,), "rare_words": (TABLE,), "rare_pieces": (TABLE,),
            "middle": (len(SIGNS),), "scale": (len(SIGNS),), "frequencies": (len(SIGNS), _WAVES), "phases": (_WAVES,),
            "growth": (2,), **dict.fromkeys(("noise", "signal", "counts", "costs", "seconds"), (len(models),)),
        }  # fmt: skip
        if "weights" in arrays:
            shapes |= {
                "weights": (2 * _WIDTH + _WAVES, columns),
                "means": (len(tasks) + outputs,),
                "by_task": (len(tasks) + len(arrays["mixed_phases"]), outputs),
                "told_table": (len(tasks), outputs),
                "told_weights": (2 * _WIDTH + _WAVES if len(arrays["told_weights"]) else 0, outputs),
            }
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} is {arrays[name].shape}, expected {shape}")
        for name in ("rare_words", "rare_pieces", "weights", "told_weights"):
            if name in arrays:
                arrays[name] = arrays[name].astype(np.float32)
        near = Near(arrays, tasks, float(about["sharpness"])) if "weights" in arrays else None
        return cls(models, about, arrays, near, Lens(arrays))


def learn(evidence: Evidence) -> Predictor:
    """A predictor from these outcomes and no others; the same evidence gives the same predictor.

    BadSetting where there is no outcome at all.
    """
    if not len(evidence) or not evidence.weights.any():
        raise BadSetting("there are no outcomes to learn from", hint="without evidence, rules decide")
    looks = _looks(evidence.prompts)
    learnt = _learn(evidence, looks, _shift(evidence, looks), _share(evidence.tasks))
    return Predictor(learnt.models, {**learnt.about, "thresholds": _thresholds(evidence)}, *learnt.parts)


def _looks(prompts: Sequence[str | Looks]) -> list[Looks]:
    return [each if isinstance(each, Looks) else look(each) for each in prompts]


def _thresholds(evidence: Evidence) -> list[tuple[str, str, float, str, str]]:
    """Of each cascade from a model to a better one that enough prompts tell of: when to escalate."""
    scores, sure = evidence.scores, evidence.log_probabilities
    if sure is None:
        return []
    found = []
    for small, big in permutations(range(len(evidence.models)), 2):
        rows = np.flatnonzero(np.isfinite(sure[:, small]) & ~np.isnan(scores[:, small] + scores[:, big]))
        if scores[rows, big].sum() <= scores[rows, small].sum():
            continue
        tried = [Tried(*map(float, (sure[at, small], scores[at, small], scores[at, big]))) for at in rows]
        figure = learn_threshold(tried, _ESCALATION_WORTH)
        if figure.basis is Basis.MEASURED:
            names = evidence.models[small], evidence.models[big]
            found.append((*names, figure.value, figure.basis.value, figure.source or ""))
    return found


def _learn(evidence: Evidence, looks: list[Looks], shift: _Shift | None, share: float) -> Predictor:
    complete = _complete(evidence)
    outputs = _outputs(complete)
    lens = Lens.of(looks)
    counts = evidence.weights.sum(0)
    base = np.concatenate((outputs[:, :1].mean(0), outputs[:, 1:].mean(0) * counts / (counts + _PRIOR_EXAMPLES)))
    near: Near | None = None
    left_out = np.tile(base, (len(looks), 1))
    familiarity = np.zeros(len(looks))
    if len(looks) >= _FEWEST_NEAR and len(evidence.models) > 1:
        features, form = lens.features(looks)
        near, left_out, familiarity = Near.fit(features, form, outputs, evidence.tasks, share, _means(evidence.costs))
    rest = complete - (left_out[:, :1] + left_out[:, 1:])
    lengths = np.array([float(each.signs[0]) for each in looks])
    arrays = {
        "base": base,
        "noise": (rest**2).mean(0),
        "signal": np.var(left_out[:, :1] + left_out[:, 1:], axis=0) + 0.25 / (len(looks) + _PRIOR_EXAMPLES),
        "counts": counts,
        "costs": _means(evidence.costs),
        "seconds": _means(evidence.seconds),
        "growth": np.array([_growth(evidence.costs, lengths), _growth(evidence.seconds, lengths)]),
        "carry": _carry(familiarity, shift, _largest(evidence.tasks), named=bool(near.tasks))
        if near
        else np.zeros((2, 1)),
    }
    about = {
        "examples": len(looks),
        "mean_log_length": float(lengths.mean()),
        "error": float(np.sqrt((rest**2).mean())),
        "tasks_left_out": shift.groups if shift else 0,
    }
    return Predictor(evidence.models, about, arrays, near, lens)


def _means(table: Doubles) -> Doubles:
    known = ~np.isnan(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nan_to_num(table).sum(0) / known.sum(0))


def _growth(table: Doubles, lengths: Doubles) -> float:
    """The power of the prompt's length by which costs or seconds grow, 0 to 1, by least squares within models."""
    known = (table > 0) & np.isfinite(table)
    if known.sum() < _FEWEST_NEAR:
        return 0.0
    logs = np.log(np.where(known, table, 1.0))
    logs -= np.where(known, logs, 0).sum(0) / np.maximum(known.sum(0), 1)
    wide = np.broadcast_to((lengths - lengths.mean())[:, None], table.shape)[known]
    return float(np.clip((wide @ logs[known]) / (wide @ wide + 1.0), 0, 1))


@dataclass(frozen=True, slots=True)
class _Shift:
    """What was seen of tasks that were left out."""

    familiarity: Doubles
    factor: float
    """The part of near that held in every group of them."""
    groups: int


def _shift(evidence: Evidence, looks: list[Looks]) -> _Shift | None:
    """What carries over to tasks that were left out; None where there are not three tasks."""
    named = sorted({task for task in evidence.tasks if task is not None})
    if len(named) < 3 or len(evidence) < 3 * _FEWEST_NEAR or len(evidence.models) < 2:
        return None
    rng = np.random.default_rng(_SEED)
    chosen = np.sort(rng.permutation(len(evidence))[:_MOST_FOR_SHIFT])
    some, seen = evidence.rows(chosen), [looks[at] for at in chosen]
    order = [named[at] for at in rng.permutation(len(named))]
    group = {task: at % min(_SHIFT_GROUPS, len(named)) for at, task in enumerate(order)}
    of = np.array([group[task] if task is not None else -1 for task in some.tasks])
    outputs, share = _outputs(_complete(some)), _share(evidence.tasks)
    familiarities, factors = [], []
    for each in sorted(set(of.tolist()) - {-1}):
        others, own = np.flatnonzero(of != each), np.flatnonzero(of == each)
        if len(others) < _FEWEST_NEAR or not some.weights[others].any():
            continue
        without = _learn(some.rows(others), [seen[at] for at in others], None, share)
        said = without._said([seen[at] for at in own], [None] * len(own))
        familiarities.append(said.familiarity)
        factors.append(_factor((said.near - without._base)[:, 1:], (outputs[own] - without._base)[:, 1:]))
    if not factors:
        return None
    return _Shift(np.concatenate(familiarities), min(factors), len(factors))


def _carry(inside: Doubles, outside: _Shift | None, largest: float, *, named: bool) -> Doubles:
    """By familiarity, what part of near holds: all where examples are surely like the prompt, else what held in every
    group of tasks that were left out; and a little everywhere, by which what is otherwise equal is put in order.

    A familiarity counts as an example's as far as more examples have it than prompts of tasks left out. Where tasks are
    named but too few to leave one out, near counts as far as the score of the likeliest is nearer to 1 than the share
    of the largest; where none is named, it does not for a prompt that is less familiar than nearly all examples.
    """
    if outside is None and named:
        return np.array([[max(_UNSURE, largest), 1.0], [_LITTLE, 1.0]])
    if outside is None:
        low, high = np.quantile(inside, (0.02, 0.2))
        return np.array([[low * 0.5, low, max(high, low + 1e-6)], [_LITTLE, 0.5, 1.0]])
    edges = np.quantile(np.concatenate((inside, outside.familiarity)), np.linspace(0, 1, _BINS + 1))
    edges[-1] += 1e-9
    at, parts = [], []
    for low, high in pairwise(edges):
        here = (1 - _OUTSIDE) * float(((inside >= low) & (inside < high)).mean())
        there = _OUTSIDE * float(((outside.familiarity >= low) & (outside.familiarity < high)).mean())
        if here + there:
            like = max(0.0, (here - there) / (here + there))
            at.append((low + high) / 2)
            parts.append(max(_LITTLE, like + (1 - like) * outside.factor))
    return np.array([at, np.maximum.accumulate(parts)])
