"""`Rereader`: the settings and models of `weigh up` as they are now, for a gateway that reloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from weighbridge.cli.sources import find_models, wanted_sources
from weighbridge.engines import Model
from weighbridge.settings import Settings


class Rereader:
    """Reads the settings again, with the flags and the environment that the command began with.

    A model that was planned before, and of which the settings say what they said, stays as it is: only what is new is
    looked for.
    """

    def __init__(
        self, sources: Sequence[str], settings: Settings, models: Sequence[Model], read: Callable[[], Settings]
    ) -> None:
        self._sources = sources
        self._read = read
        self._settings = settings
        self._known = dict(zip(wanted_sources(sources, settings), models, strict=True))

    def __call__(self, free: Mapping[str, int]) -> tuple[Settings, list[Model]]:
        """The settings and models now; `free` is the memory by place that all models may take. WeighbridgeError says
        what is wrong with them."""
        settings = self._read()
        kept = {
            source: model
            for source, model in self._known.items()
            if model.plan is not None and self._says_the_same(settings, model.name)
        }
        models = find_models(self._sources, settings, kept, free)
        self._settings = settings
        self._known = dict(zip(wanted_sources(self._sources, settings), models, strict=True))
        return settings, models

    def _says_the_same(self, settings: Settings, name: str) -> bool:
        return settings.of(name) == self._settings.of(name)
