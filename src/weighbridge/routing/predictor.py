"""`Predictor`: how well each model would answer a prompt, learnt from `Evidence`, and how far that can be trusted.

lens         features of a prompt: hashed words and letters, signs of form
recognising  which task it is of, and how much it is like the examples
near         what tasks' means, and prompts beyond them, say of how models differ
guard        what part of that counts: where little carries over, all prompts get nearly the same answer, the best
             single model
learning     all of them from evidence
kept         the file that holds them
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weighbridge.errors import BadSetting
from weighbridge.figures import Basis, Figure

from .apart import scores_of
from .embedding import Embedding, load_embedding
from .features import SIGNS, TABLE, Looks, look, looks_of
from .guard import Guard
from .kept import EMBEDDED, Arrays, read, write
from .lens import FORM, LEXICAL, MEANING, WAVES, Lens
from .near import Near
from .recognising import LIKENESSES
from .ridge import Doubles, Floats

_OF_MODELS = ("noise", "signal", "counts", "costs", "seconds")
# What is another with an embedding than without.
_OF_EMBEDDING = ("usual", "weights", "means", "by_task", "told_table", "told_weights", "guard", "noise", "signal")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is foretold of one prompt; one entry a model, in the predictor's order."""

    quality: Doubles
    """Expected score, 0 to 1."""
    deviation: Doubles
    """Of that expectation, one standard deviation."""
    familiarity: float
    """How likely the prompt is of what the examples hold, 0 to 1."""
    trust: float
    """What part of what the examples say of such prompts counts, 0 to 1; 0: only the models' means count."""
    task: str | None
    """The task that the prompt looks most like, if the examples name any."""
    task_probability: float
    costs: Doubles
    """Expected, in the evidence's currency; NaN for unknown."""
    seconds: Doubles


class Predictor:
    """What was learnt; made by `learn` or `load`, never changed."""

    def __init__(
        self,
        models: tuple[str, ...],
        about: dict[str, Any],
        arrays: Arrays,
        lens: Lens,
        near: Near | None,
        guard: Guard | None,
        embedding: Embedding | None = None,
        without: Predictor | None = None,
    ) -> None:
        """`about` holds `examples`, `mean_log_length` and `thresholds`; near and guard are there or not, together;
        `embedding` is what the lens sees meaning by, and `without` what was learnt of the same evidence without it."""
        self.models = models
        self.places = {model: at for at, model in enumerate(models)}
        """Where each model stands in a prediction."""
        self.about, self.arrays = about, arrays
        """What it is made of, to be kept."""
        self.lens, self.near, self.guard = lens, near, guard
        self.embedding, self.without = embedding, without
        self.lacks: str | None = None
        """In words, that what was learnt without an embedding speaks, as the one that was learnt with is not here."""
        self._base: Doubles = arrays["base"]
        self._signal: Doubles = arrays["signal"]
        self.counts: list[float] = arrays["counts"].tolist()
        """How many outcomes of each model it has learnt from, by weight."""
        self.rests_on = [f"{count:.0f} outcomes" for count in self.counts]
        """The same in words."""
        self._own_noise: Doubles = arrays["noise"] / np.maximum(arrays["counts"], 1)
        self._costs: Doubles = arrays["costs"]
        self._seconds: Doubles = arrays["seconds"]
        self._growths: list[float] = arrays["growth"].tolist()
        self._most: Doubles = self._signal + self._own_noise
        self._mean_length = float(about["mean_log_length"])
        self._thresholds = {
            (str(small), str(big)): Figure(float(value), Basis(basis), str(source))
            for small, big, value, basis, source in about.get("thresholds", ())
        }
        self._tasks = {task: at for at, task in enumerate(self.tasks)}

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
        return self.near.tasks if self.near else ()

    def outcomes(self, model: str) -> float:
        """How many outcomes of a model it has learnt from, by weight."""
        at = self.places.get(model)
        return self.counts[at] if at is not None else 0.0

    def save(self, path: Path) -> None:
        """One file, replaced in one step. BadSetting where it cannot be written."""
        plain = self.without or self
        about = {**self.about, "models": list(self.models), "tasks": list(self.tasks), **plain._parts()}
        about.pop("embedding", None)
        arrays = {**plain.lens.arrays(), **plain._learnt()}
        if self.embedding and self.without:
            known = {"name": self.embedding.name, "sha256": self.embedding.sha256}
            about["embedding"] = {**known, **self._parts()}
            own = {**self._learnt(), **self.lens.arrays()}
            arrays |= {f"{EMBEDDED}{name}": own[name] for name in _OF_EMBEDDING}
        write(path, about, arrays)

    def _parts(self) -> dict[str, float]:
        return {"inside": self.guard.inside, "outside": self.guard.outside} if self.guard else {}

    def _learnt(self) -> Arrays:
        if not self.near or not self.guard:
            return self.arrays
        return {**self.arrays, **self.near.arrays(), "guard": np.array(self.guard.weights)}

    @classmethod
    def load(cls, path: Path, embedding: str = "") -> Predictor:
        """From `save`'s file; no code in it runs. `embedding` is the setting `route_embedding`, looked at only where
        the file was learnt with one. If that is another or cannot be read, what was learnt without it speaks, and
        `lacks` says so. BadSetting for a file that is damaged, foreign or of another version."""
        return read(path, lambda about, arrays: cls._best(about, arrays, embedding))

    @classmethod
    def _best(cls, about: dict[str, Any], arrays: Arrays, setting: str) -> Predictor:
        """What was learnt with the embedding, or without where that is not here."""
        plain = cls._made(about, arrays)
        known = about.get("embedding")
        if known is None:
            return plain
        embedding, why = None, "route_embedding names none"
        try:
            embedding = load_embedding(setting)
        except BadSetting as error:
            why = f"{error}: {error.hint}"
        name, sum_of_it = str(known["name"]), str(known["sha256"])
        if embedding is not None and embedding.sha256 == sum_of_it:
            own = {each: arrays[f"{EMBEDDED}{each}"] for each in _OF_EMBEDDING}
            if own["usual"].shape != (embedding.dimensions,):
                raise ValueError(f"{own['usual'].size} numbers an embedding, expected {embedding.dimensions}")
            return cls._made({**about, **known}, {**arrays, **own}, embedding, plain)
        if embedding is not None:
            why = f"{setting} is another (sha256 {embedding.sha256[:12]}): weigh route learn learns with it"
        plain.lacks = (
            f"no embedding is looked at, what was learnt without one decides: there was {name} in learning "
            f"(sha256 {sum_of_it[:12]}), but {why}"
        )
        return plain

    @classmethod
    def _made(
        cls,
        about: dict[str, Any],
        arrays: Arrays,
        embedding: Embedding | None = None,
        without: Predictor | None = None,
    ) -> Predictor:
        models, tasks = tuple(map(str, about["models"])), tuple(map(str, about.get("tasks", ())))
        for name, shape in _shapes(len(models), len(tasks), arrays).items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} is {arrays[name].shape}, expected {shape}")
        lens = Lens(arrays)
        if "weights" not in arrays:
            return cls(models, about, arrays, lens, None, None)
        parts = float(about["inside"]), float(about["outside"])
        if not all(0 <= part <= 1 for part in parts):
            raise ValueError(f"parts that count are {parts}")
        own = {name: arrays[name] for name in ("base", "growth", *_OF_MODELS)}
        guard = Guard(tuple(arrays["guard"].tolist()), *parts)
        return cls(models, about, own, lens, Near(arrays, tasks), guard, embedding, without)

    def predict(self, prompt: str, task: str | None = None) -> Prediction:
        """Of one prompt; the task counts where the caller knows it and the evidence names it."""
        looks = look(prompt, embedding=self.embedding)
        said, familiarity, trust, likely = self._weighed(looks, task)
        most = int(likely.argmax()) if len(likely) else None
        longer = float(looks.signs[0]) - self._mean_length
        cost_growth, seconds_growth = self._growths
        return Prediction(
            quality=np.minimum(np.maximum(said[1:] + said[0], 0), 1),
            deviation=np.sqrt(self._most - (familiarity * trust) * self._signal),
            familiarity=familiarity,
            trust=trust,
            task=self.tasks[most] if most is not None else None,
            task_probability=float(likely[most]) if most is not None else 0.0,
            costs=self._costs * math.exp(cost_growth * longer),
            seconds=self._seconds * math.exp(seconds_growth * longer),
        )

    def predict_all(
        self, prompts: Sequence[str | Looks], tasks: Sequence[str | None] | None = None
    ) -> tuple[Doubles, Doubles, Doubles]:
        """Of many prompts: qualities (prompts, models), familiarities, and what part of what was learnt counts."""
        said = [
            self._weighed(each, task)[:3]
            for each, task in zip(looks_of(prompts, self.embedding), tasks or [None] * len(prompts), strict=True)
        ]
        outputs = np.array([each[0] for each in said]).reshape(len(said), len(self._base))
        return scores_of(outputs), np.array([each[1] for each in said]), np.array([each[2] for each in said])

    def _weighed(self, looks: Looks, task: str | None) -> tuple[Doubles, float, float, Doubles]:
        """Level and distances as far as they carry over, familiarity, the part that counts, and the tasks'
        probabilities. All of it counts where the task is told: that is familiar."""
        near, guard = self.near, self.guard
        if near is None or guard is None:
            return self._base, 0.0, 0.0, self._base[:0]
        told = self._tasks.get(task) if task is not None else None
        if told is not None:
            said: Doubles = near.told_table[told]
            if len(near.told_weights):
                said = said + self._product(looks, near.told_weights)
            likely = np.zeros(len(self._tasks))
            likely[told] = 1
            return said, 1.0, 1.0, likely
        said, alike, likely = near.say(self._product(looks, near.weights))
        signs = alike.tolist()
        if len(likely):
            signs.append(float(likely.max()))
        familiarity, trust = guard.trust(signs)
        return self._base + trust * (said - self._base), familiarity, trust, likely

    def _product(self, looks: Looks, weights: Floats) -> Floats:
        """Features times weights; only the rows of hashes that occur are touched."""
        places, there = self.lens.text(looks)
        found: Floats = there.astype(np.float32) @ weights.take(places, 0)
        found += self.lens.waves(self.lens.form(looks)) @ weights[FORM]
        if self.lens.usual is not None:
            found += self.lens.meaning(looks) @ weights[MEANING]
        return found


def _shapes(models: int, tasks: int, arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """What each kept array must be."""
    outputs, signs, features = 1 + models, len(SIGNS), LEXICAL
    if "usual" in arrays:
        features += arrays["usual"].size
    shapes: dict[str, tuple[int, ...]] = {
        "base": (outputs,), "rare_words": (TABLE,), "rare_pieces": (TABLE,), "middle": (signs,), "scale": (signs,),
        "frequencies": (signs, WAVES), "phases": (WAVES,), "growth": (2,), **dict.fromkeys(_OF_MODELS, (models,)),
    }  # fmt: skip
    if "usual" in arrays:
        shapes["usual"] = (arrays["usual"].size,)
    if "weights" not in arrays:
        return shapes
    count = len(arrays["guard"])
    return shapes | {
        "weights": (features, tasks + outputs + LIKENESSES),
        "means": (tasks + outputs,),
        "by_task": (tasks, outputs),
        "told_table": (tasks, outputs),
        "told_weights": (features if len(arrays["told_weights"]) else 0, outputs),
        # The constant, the likenesses, and where tasks are named perhaps the likeliest one's probability.
        "guard": (min(max(count, 1 + LIKENESSES), 1 + LIKENESSES + bool(tasks)),),
    }
