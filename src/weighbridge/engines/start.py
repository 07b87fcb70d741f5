"""`start(model)`: finds the engine's module by its name and starts it; `choose(facts)`: which engine that should be."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from weighbridge.errors import BadModelFile, BadSetting, EngineFailed
from weighbridge.facts import ModelFacts
from weighbridge.machine import Machine

from .endpoint import Running
from .finding import Found
from .manner import Manner
from .model import Model
from .surroundings import Surroundings


class EngineModule(Protocol):
    """What a module of this folder offers to be an engine."""

    IS_ENGINE: bool
    formats: frozenset[str]
    """The formats of files that it runs, as `Source.kind` names them; empty: it runs no files."""

    QUEUES: bool
    """Whether requests beyond what it answers at once are better off with it than waiting here, as it batches all that
    it has. Not every module says so: no."""

    def find(self) -> Found:
        """Whether it is here, quickly: without starting or importing it."""

    def manner(self, model: Model) -> Manner:
        """What its server understands. Not every module says so: then nothing is known, and all is passed on."""

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


def manner(model: Model) -> Manner:
    """What this model's engine understands of what clients may ask."""
    module = _find(model.engine)
    tell = getattr(module, "manner", None)
    found: Manner = tell(model) if tell is not None else Manner()
    return found


def queues(engine: str) -> bool:
    """Whether this engine is given all requests that there are, and makes them wait itself."""
    module = _find(engine)
    return module is not None and getattr(module, "QUEUES", False)


def available() -> tuple[Found, ...]:
    """Every engine, with its version where it can be started here, and the reason where it can't."""
    return tuple(engine.find() for name in engine_names() if (engine := _find(name)))


def able(kind: str) -> list[str]:
    """The engines that run files of this format, whether they are here or not."""
    return [name for name in engine_names() if (engine := _find(name)) and kind in engine.formats]


def choose(facts: ModelFacts, machine: Machine | None = None) -> str:
    """The engine that shall run these files on this machine; without one, on the processor.

    GGUF: llama.cpp, by the program on the PATH where there are GPUs, as the embedded wheel computes on the processor
    alone. safetensors: vLLM. BadModelFile for what no engine runs, EngineFailed for one that is not installed.
    """
    has_devices = bool(machine and machine.devices)
    fitting = able(facts.source.kind)
    if not fitting:
        raise BadModelFile(
            f"{facts.name}: is {facts.source.kind}, which no engine here runs",
            hint="fetch the model as a .gguf file, or as a folder with safetensors",
        )
    here = [found for found in available() if found.name in fitting and found.is_here]
    names = [found.name for found in here]
    if "llama_cpp" in names:
        return "llama_server" if has_devices and "llama_server" in names else "llama_cpp"
    if names:
        return names[0]
    missing = next(found for found in available() if found.name in fitting)
    raise EngineFailed(
        f"{facts.name}: is {facts.source.kind}, which {missing.name} runs, and {missing.reason}",
        hint=f"{missing.hint}; or fetch the model as a .gguf file",
    )
