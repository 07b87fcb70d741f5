"""`start(model)`: finds the engine's module by its name and starts it."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from weighbridge.errors import BadSetting

from .endpoint import Running
from .model import Model
from .surroundings import Surroundings


class EngineModule(Protocol):
    """What a module of this folder offers to be an engine."""

    IS_ENGINE: bool

    async def start(self, model: Model, surroundings: Surroundings) -> Running:
        """Start the model and return when it answers; EngineFailed with the engine's own words otherwise."""


def engine_names() -> list[str]:
    """The engines that there are: the modules of this folder that call themselves one."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in modules if _find(module.name))


def _find(name: str) -> EngineModule | None:
    full_name = f"{__package__}.{name}"
    if importlib.util.find_spec(full_name) is None:
        return None
    module = importlib.import_module(full_name)
    return cast("EngineModule", module) if getattr(module, "IS_ENGINE", False) else None


async def start(model: Model, surroundings: Surroundings) -> Running:
    """The model, started by its engine and ready to answer."""
    engine = _find(model.engine)
    if engine is None:
        raise BadSetting(f"no engine is named {model.engine!r}", hint=f"there are: {', '.join(engine_names())}")
    return await engine.start(model, surroundings)
