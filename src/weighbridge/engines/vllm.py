"""vLLM: its own server, `vllm serve`, as a child, with arguments from the plan.

The options were held against the argument parser of vLLM 0.33.0 (tests/engines/vllm_options.json). No GPU has run it
here: that it starts and answers was tested with a program that parses its options as vLLM does.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from weighbridge.errors import BadSetting, EngineFailed

from .endpoint import Endpoint, Running
from .finding import Found
from .manner import Manner
from .model import Model
from .program import private_endpoint, start_program
from .surroundings import Surroundings

IS_ENGINE = True
QUEUES = True
formats = frozenset({"safetensors"})

# What the plan decides, but for several machines or what the plan does not know of: our name, vLLM's option.
OPTIONS = {
    "executor": "--distributed-executor-backend",
    "tensor_parallel": "--tensor-parallel-size",
    "pipeline_parallel": "--pipeline-parallel-size",
    "quantization": "--quantization",
    "kv_cache_dtype": "--kv-cache-dtype",
    "max_model_len": "--max-model-len",
    "gpu_memory_utilization": "--gpu-memory-utilization",
}
"""Options of a model that go before the plan's arguments. `executor` is `mp`, `ray` (several machines: GPUs that no
plan made here has seen) or `uni`."""
_EXECUTORS = ("mp", "ray", "uni", "external_launcher")
# Not passed on: they say which model it is.
_OURS = frozenset({"path"})
_INSTALL = "pip install vllm in an environment with CUDA or ROCm, and have its `vllm` on the PATH"
_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1", "VLLM_LOGGING_COLOR": "0"}


@dataclass(frozen=True, slots=True)
class Installed:
    """A vLLM that can be started, and the folder of its package where that was found."""

    command: tuple[str, ...]
    folder: Path | None

    @property
    def version(self) -> str:
        """By the name of its metadata's folder, as asking the program takes ten seconds."""
        if self.folder is not None:
            for path in self.folder.parent.glob("vllm-*.dist-info"):
                return path.name.removeprefix("vllm-").removesuffix(".dist-info")
        return "unknown"

    @property
    def has_sockets(self) -> bool:
        """Whether its parser has `--uds`, as its own source says."""
        if self.folder is None:
            return False
        files = self.folder.glob("entrypoints/**/cli_args.py")
        return any(re.search(r"^\s+uds\s*:", path.read_text(errors="replace"), re.MULTILINE) for path in files)


def installed() -> Installed | None:
    """The vLLM on the PATH, or in our own Python; None where there is none."""
    program = shutil.which("vllm")
    if program is not None:
        return Installed((program,), _package_of(Path(program)))
    try:
        spec = find_spec("vllm")
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    return Installed((sys.executable, "-m", "vllm.entrypoints.cli.main"), folder)


def _package_of(program: Path) -> Path | None:
    """The package that a console script belongs to, by the Python in its first line."""
    try:
        with program.open("rb") as file:
            first = file.readline(512).decode(errors="replace")
    except OSError:
        return None
    python = first.removeprefix("#!").split()
    if not first.startswith("#!") or not python:
        return None
    prefix = Path(python[0]).parent.parent
    return next((path for path in prefix.glob("lib/python3*/site-packages/vllm") if path.is_dir()), None)


def find() -> Found:
    """vLLM, on the PATH or in our own Python."""
    here = installed()
    if here is None:
        return Found("vllm", reason="no `vllm` is on the PATH", hint=_INSTALL)
    return Found("vllm", here.version)


def manner(model: Model) -> Manner:
    """What of other APIs it has depends on its version, and is found out. Tools reach a model by its template alone."""
    facts = model.facts
    return Manner(tells_tools=False, sees_images=None if facts is None else "image" in facts.modalities.input)


async def start(model: Model, surroundings: Surroundings) -> Running:
    """`vllm serve` in a process of its own, healthy and tested."""
    here = installed()
    if here is None:
        raise EngineFailed(f"{model.name}: vLLM is not installed: no `vllm` is on the PATH", hint=_INSTALL)
    endpoint = private_endpoint(surroundings, over_socket=here.has_sockets, model=model.name)
    return await start_program(
        model.name,
        [*here.command, *command(model, endpoint)],
        endpoint,
        _ENVIRONMENT | ({"VLLM_API_KEY": endpoint.api_key} if endpoint.api_key else {}),
        surroundings,
        gives="embedding" if _embeds(model) else "text",
    )


def command(model: Model, endpoint: Endpoint) -> list[str]:
    """What comes after `vllm`. A key is never in it, as everybody on the machine can read a command line."""
    planned = _pairs(model.plan.arguments if model.plan else ())
    for name, value in model.options.items():
        if name in _OURS:
            continue
        if name not in OPTIONS:
            raise BadSetting(f"{model.name}: vllm has no option {name!r}", hint=f"there are: {', '.join(OPTIONS)}")
        if name == "executor" and value not in _EXECUTORS:
            raise BadSetting(f"{model.name}: executor is {value!r}", hint=f"there are: {', '.join(_EXECUTORS)}")
        planned[OPTIONS[name]] = value
    listening = _listening(endpoint)
    flat = [word for flag, value in planned.items() for word in (flag, value) if word is not None]
    runner = ["--runner", "pooling"] if _embeds(model) else []
    return [
        "serve", _path(model), "--served-model-name", model.name, *flat, *runner, *listening,
        "--disable-uvicorn-access-log",
    ]  # fmt: skip


def _listening(endpoint: Endpoint) -> list[str]:
    if endpoint.socket is not None:
        return ["--uds", str(endpoint.socket)]
    return ["--host", "127.0.0.1", "--port", str(urlsplit(endpoint.base_url).port)]


def _pairs(arguments: Sequence[str]) -> dict[str, str | None]:
    """A command line as options with their values."""
    found: dict[str, str | None] = {}
    flag = ""
    for word in arguments:
        if word.startswith("--"):
            flag = word
            found[flag] = None
        else:
            found[flag] = word
    return found


def _path(model: Model) -> str:
    """The folder of the checkpoint."""
    if "path" in model.options:
        return model.options["path"]
    if model.plan is None:
        raise EngineFailed(f"{model.name}: vLLM needs a checkpoint", hint="give it a folder with safetensors files")
    if model.plan.facts.source.kind != "safetensors":
        raise EngineFailed(
            f"{model.name}: is {model.plan.facts.source.kind}, which vLLM does not run",
            hint="give vLLM the safetensors checkpoint that it was made from; llama.cpp runs the GGUF file",
        )
    return str(Path(model.plan.facts.source.files[0]).parent)


def _embeds(model: Model) -> bool:
    return model.facts is not None and "text" not in model.facts.modalities.output
