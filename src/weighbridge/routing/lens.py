"""`Lens`: from a prompt's looks to features, by tables that are learnt from the evidence's prompts alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .features import SIGNS, Looks, rarity, signed, sketch
from .ridge import Doubles, Floats

WIDTH = 4096
"""Features of words, and as many of pieces."""
WAVES = 128
"""Features of form."""
LEXICAL = 2 * WIDTH + WAVES
"""Features without an embedding."""
WORDS, PIECES, FORM = slice(0, WIDTH), slice(WIDTH, 2 * WIDTH), slice(2 * WIDTH, LEXICAL)
MEANING = slice(LEXICAL, None)
"""Where an embedding stands, if there is one."""
_BANDWIDTH = 0.6
# Embeddings nearer than this, of length one, are told apart by rounding alone.
_LEAST_APART = 1e-2
_AMPLITUDE = np.float32(math.sqrt(2 / WAVES))
_SEED = 20261121


class Lens:
    """From a prompt's looks to features; its tables are learnt from the evidence's prompts alone."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.rare_words, self.rare_pieces = arrays["rare_words"], arrays["rare_pieces"]
        self._rare = signed(self.rare_words, self.rare_pieces)
        self.middle, self.scale = arrays["middle"], arrays["scale"]
        self.frequencies, self.phases = arrays["frequencies"], arrays["phases"]
        self.usual: Floats | None = arrays.get("usual")
        """The mean embedding of prompts; None where none is looked at."""

    @property
    def blocks(self) -> tuple[slice, ...]:
        """The features of each kind."""
        return (WORDS, PIECES, FORM) if self.usual is None else (WORDS, PIECES, FORM, MEANING)

    @classmethod
    def of(cls, looks: list[Looks]) -> Lens:
        """Learnt from prompts, and from their embeddings where they have some."""
        rng = np.random.default_rng(_SEED)
        signs = np.array([each.signs for each in looks])
        # The little that is added keeps a sign that never varied from counting for much where it does.
        scale = (signs.std(0) + 0.02) * math.sqrt(len(SIGNS))
        embedded = np.array([each.embedded for each in looks if each.embedded is not None])
        # What is the same of all prompts says nothing of any.
        says = len(embedded) and float(np.linalg.norm(embedded - embedded.mean(0), axis=1).max()) > _LEAST_APART
        return cls(
            {
                **({"usual": embedded.mean(0, dtype=np.float32)} if says else {}),
                "rare_words": rarity([each.words for each in looks]),
                "rare_pieces": rarity([each.pieces for each in looks]),
                "middle": signs.mean(0).astype(np.float32),
                "scale": scale.astype(np.float32),
                "frequencies": (rng.normal(size=(len(SIGNS), WAVES)) * math.sqrt(2 / _BANDWIDTH)).astype(np.float32),
                "phases": rng.uniform(0, 2 * math.pi, WAVES).astype(np.float32),
            }
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """To keep."""
        names = ("rare_words", "rare_pieces", "middle", "scale", "frequencies", "phases", "usual")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def without_meaning(self) -> Lens:
        """The same of prompts' looks alone."""
        return Lens({name: array for name, array in self.arrays().items() if name != "usual"})

    def meaning(self, looks: Looks) -> Floats:
        """How the prompt's embedding differs from the usual one, of length one, or shorter where that is next to
        nothing; zeros where it has none."""
        assert self.usual is not None
        if looks.embedded is None:
            return np.zeros_like(self.usual)
        apart: Floats = looks.embedded - self.usual
        apart /= max(float(np.sqrt(apart @ apart)), _LEAST_APART)
        return apart

    def form(self, looks: Looks) -> Floats:
        """Signs of form, each about as large as others; what was never seen counts as the edge of what was."""
        edge: Floats = np.minimum(np.maximum((looks.signs - self.middle) / self.scale, -1), 1)
        return edge

    def text(self, looks: Looks) -> tuple[NDArray[np.uint32], Doubles]:
        """Words and pieces: places among the first features, and what stands there; places may repeat."""
        return sketch(looks, self._rare, WIDTH)

    def waves(self, form: Floats) -> Floats:
        """Random Fourier features of the signs: nearness in form (Rahimi and Recht 2007)."""
        turned: Floats = form @ self.frequencies
        turned += self.phases
        waves: Floats = np.cos(turned, out=turned)
        waves *= _AMPLITUDE
        return waves

    def features(self, looks: list[Looks]) -> Floats:
        """(prompts, features)."""
        found = np.zeros((len(looks), LEXICAL if self.usual is None else LEXICAL + len(self.usual)), np.float32)
        for row, each in zip(found, looks, strict=True):
            row[: 2 * WIDTH] = np.bincount(*self.text(each), 2 * WIDTH)
            if self.usual is not None:
                row[MEANING] = self.meaning(each)
        found[:, FORM] = self.waves(np.array([self.form(each) for each in looks]))
        return found
