"""llama.cpp, embedded by the `xllamacpp` wheel: one child process a model."""

from __future__ import annotations

from pathlib import Path

from weighbridge.errors import EngineFailed

from . import children
from .child_process import ChildProcess
from .endpoint import Running
from .model import Model
from .surroundings import Surroundings

IS_ENGINE = True


async def start(model: Model, surroundings: Surroundings) -> Running:
    """The model in a child of its own, loaded and answering, with context, slots and threads as planned."""
    if model.plan is None:
        raise EngineFailed(f"{model.name}: llama.cpp needs a plan", hint="give it a .gguf file")
    child = ChildProcess(
        model.name,
        Path(children.__file__).with_name("llama_cpp.py"),
        {
            "name": model.name,
            "path": model.plan.facts.source.files[0],
            "context_tokens": model.plan.context_tokens,
            "parallel": model.plan.workload.parallel,
            "threads": model.plan.threads,
            "embeddings": model.plan.embeddings,
            "pooled": "embedding" in model.plan.facts.modalities.output,
        },
        surroundings,
    )
    await child.start()
    return child
