"""llama.cpp's own program, `llama-server`, on the PATH: for builds with CUDA, Metal, Vulkan or ROCm.

What a build is and which options it has is asked of the program itself, once: releases differ, and an option that is
not there ends the program.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from weighbridge.errors import EngineFailed
from weighbridge.fit import Plan

from .endpoint import Endpoint, Running
from .finding import Found
from .llama_cpp import given_by, planned
from .llama_cpp import manner as of_the_wheel
from .manner import Manner
from .model import Model
from .program import private_endpoint, start_program
from .surroundings import Surroundings
from .tails import refuse_zero_tail

IS_ENGINE = True
formats = frozenset({"gguf"})

_PROGRAM = "llama-server"
_INSTALL = "install llama.cpp (a build for your GPU) and have its llama-server on the PATH"
_ASK_SECONDS = 30.0
# GPUs in the order of their slots, as drivers list them; CUDA would begin with the fastest.
_ENVIRONMENT = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
_OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")
_DEVICE = re.compile(r"^\s+(\w+): (.+?) \([\d.]+ MiB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Build:
    """One llama-server: its options, and the devices that it sees as (its own name, what it is)."""

    program: str
    version: str
    options: frozenset[str]
    help: str
    devices: tuple[tuple[str, str], ...]

    @property
    def has_sockets(self) -> bool:
        """Whether `--host` takes the path of a Unix socket."""
        return re.search(r"--host\b[^\n]*(\n\s+[^-\s][^\n]*)*\.sock", self.help) is not None

    @property
    def flash_attention_takes_value(self) -> bool:
        """Before the autumn of 2025 `--flash-attn` stood alone."""
        return re.search(r"--flash-attn\s*\[", self.help) is not None


_known: dict[tuple[str, int, int], Build] = {}


def find() -> Found:
    """The program on the PATH; its version is not asked for here, as that starts it."""
    program = shutil.which(_PROGRAM)
    if program is None:
        return Found("llama_server", reason=f"no {_PROGRAM} is on the PATH", hint=_INSTALL)
    known = [build.version for key, build in _known.items() if key[0] == program]
    return Found("llama_server", known[-1] if known else "not asked yet")


def manner(model: Model) -> Manner:
    """As the wheel's server, except that older builds tell any model of tools, in a generic format."""
    return replace(of_the_wheel(model), tells_tools=None)


async def build_of(program: str) -> Build:
    """What this program is, asked once for each file. EngineFailed if it does not say."""
    key = _identity(program)
    if key not in _known:
        version, described, devices = await asyncio.gather(
            *(_say(program, flag) for flag in ("--version", "--help", "--list-devices"))
        )
        if "--ctx-size" not in described:
            raise EngineFailed(f"{program} --help lists no --ctx-size: it is no llama-server", hint=_INSTALL)
        found = re.search(r"version: *(.+)", version)
        _known[key] = Build(
            program,
            found[1].strip() if found else "unknown",
            frozenset(_OPTION.findall(described)),
            described,
            tuple(_DEVICE.findall(devices)),
        )
    return _known[key]


def _identity(program: str) -> tuple[str, int, int]:
    status = Path(program).stat()
    return program, status.st_mtime_ns, status.st_size


async def _say(program: str, flag: str) -> str:
    """What the program says to one flag, on either stream."""
    try:
        process = await asyncio.create_subprocess_exec(
            program, flag, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        raise EngineFailed(f"{program}: could not be started: {error.strerror}", hint=_INSTALL) from error
    try:
        out, _ = await asyncio.wait_for(process.communicate(), _ASK_SECONDS)
    except TimeoutError:
        raise EngineFailed(f"{program} {flag}: no answer within {_ASK_SECONDS:g} s", hint=_INSTALL) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out.decode(errors="replace")


async def start(model: Model, surroundings: Surroundings) -> Running:
    """llama-server in a process of its own, with the plan's settings, healthy and tested."""
    plan = planned(model)
    program = shutil.which(_PROGRAM)
    if program is None:
        raise EngineFailed(f"{model.name}: no {_PROGRAM} is on the PATH", hint=_INSTALL)
    build = await build_of(program)
    await asyncio.to_thread(refuse_zero_tail, plan.facts)
    endpoint = private_endpoint(surroundings, over_socket=build.has_sockets)
    environment = _ENVIRONMENT | ({"LLAMA_API_KEY": endpoint.api_key} if endpoint.api_key else {})
    return await start_program(
        model.name,
        [program, *command(model, plan, build, endpoint)],
        endpoint,
        environment,
        surroundings,
        gives=given_by(plan),
    )


def command(model: Model, plan: Plan, build: Build, endpoint: Endpoint) -> list[str]:
    """What comes after `llama-server`. A key is never in it."""
    workload = plan.workload
    parallel = workload.parallel
    words = ["--model", plan.facts.source.files[0], "--alias", model.name]
    words += _listening(endpoint)
    words += ["--ctx-size", str(plan.context_tokens * (1 if workload.unified_cache else parallel))]
    words += ["--parallel", str(parallel), "--threads", str(plan.threads)]
    step = workload.ubatch_tokens
    given = given_by(plan)
    if given != "text":
        # Pooling asserts that a step divides evenly among the sequences.
        step = max(step - step % parallel, parallel)
    words += ["--ubatch-size", str(step), "--batch-size", str(max(2048, step))]
    words += _cache(model, plan, build)
    words += _places(model, plan, build)
    if given != "text":
        # The program then answers nothing else, unlike the wheel.
        words += _needed(model, build, "--reranking" if given == "score" else "--embeddings")
    if "mmproj" in model.options:
        words += [*_needed(model, build, "--mmproj"), model.options["mmproj"]]
    if "draft" in model.options:
        words += [*_needed(model, build, "--model-draft"), model.options["draft"]]
        # Newer builds draft with a second model only where they are told to.
        words += ["--spec-type", "draft-simple"] if "--spec-type" in build.options else []
    # The plan decides: not what the program finds free. Its prompt cache in main memory would be 8 GiB beside it.
    for flag, value in (("--fit", "off"), ("--cache-ram", "0"), ("--cors-origins", "http://localhost")):
        words += [flag, value] if flag in build.options else []
    for flags in (("--no-webui", "--no-ui"), ("--metrics",), ("--no-context-shift",), ("--jinja",)):
        words += [flag for flag in flags if flag in build.options][:1]
    return words


def _listening(endpoint: Endpoint) -> list[str]:
    if endpoint.socket is not None:
        return ["--host", str(endpoint.socket)]
    return ["--host", "127.0.0.1", "--port", str(urlsplit(endpoint.base_url).port)]


def _cache(model: Model, plan: Plan, build: Build) -> list[str]:
    workload = plan.workload
    words = []
    for flag, value in (("--cache-type-k", workload.cache_type_k), ("--cache-type-v", workload.cache_type_v)):
        words += [*_needed(model, build, flag), value] if value else []
    if build.flash_attention_takes_value:
        words += ["--flash-attn", "on" if workload.flash_attention else "off"]
    elif workload.flash_attention:
        words += _needed(model, build, "--flash-attn")
    if workload.unified_cache:
        words += _needed(model, build, "--kv-unified")
    elif "--no-kv-unified" in build.options:
        words += ["--no-kv-unified"]
    return words + (_needed(model, build, "--swa-full") if workload.full_windows else [])


def _places(model: Model, plan: Plan, build: Build) -> list[str]:
    """Which layers go to which devices, and which experts stay in main memory."""
    placement = plan.placement
    if placement is None or not placement.devices:
        return ["--n-gpu-layers", "0", *(["--device", "none"] if "--device" in build.options else [])]
    names = _device_names(model, plan, build, placement.devices)
    words = ["--device", ",".join(names), "--n-gpu-layers", str(placement.gpu_layers)]
    if len(names) > 1:
        words += ["--split-mode", "layer", "--tensor-split", ",".join(map(str, placement.tensor_split))]
    if placement.experts_on_host:
        layers = "|".join(map(str, range(placement.experts_on_host)))
        words += ["--override-tensor", rf"blk\.({layers})\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU"]
    return words


def _device_names(model: Model, plan: Plan, build: Build, devices: tuple[int, ...]) -> list[str]:
    """The program's names of the plan's devices: the first of a kind is the first that the program lists of it."""
    _needed(model, build, "--device")
    called: Mapping[int | None, str] = {need.index: need.name for need in plan.devices}
    left = list(build.devices)
    found: dict[int, str] = {}
    for index in sorted(devices):
        same = [device for device in left if _alike(called.get(index, ""), device[1])]
        # Where names say nothing, a machine with as many devices as the program sees has them in the same order.
        choice = same[0] if same else left[0] if left and len(devices) == len(build.devices) else None
        if choice is None:
            seen = ", ".join(f"{name} ({what})" for name, what in build.devices) or "no device"
            raise EngineFailed(
                f"{model.name}: the plan uses {called.get(index, index)}, and {build.program} sees {seen}",
                hint="use a build of llama.cpp for this GPU, or plan without GPUs",
            )
        left.remove(choice)
        found[index] = choice[0]
    return [found[index] for index in devices]


def _alike(one: str, other: str) -> bool:
    """Whether two names are of one kind of device: drivers and back-ends differ in makers and brackets."""
    words, others = (set(re.findall(r"[a-z0-9]+", name.lower())) for name in (one, other))
    noise = {"nvidia", "amd", "intel", "apple", "geforce", "radeon", "graphics", "r", "tm"}
    return bool(words - noise) and (words - noise <= others or others - noise <= words)


def _needed(model: Model, build: Build, flag: str) -> list[str]:
    """An option that the plan depends on; EngineFailed where this build does not have it."""
    if flag not in build.options:
        raise EngineFailed(
            f"{model.name}: the plan needs {flag}, which {build.program} ({build.version}) does not have",
            hint="use a newer llama.cpp",
        )
    return [flag]
