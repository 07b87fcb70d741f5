"""Serve models behind one OpenAI-compatible door.

MODEL is a .gguf file, org/name:Q4_K_M on the hub, a name of the catalogue, a bundled model's name, the URL of a server
that speaks the OpenAI API (URL#MODEL picks one of its models), or fake:OPTION=VALUE,... for tests. NAME=MODEL serves it
under another name. Without any, those of the settings file are served, or the bundled specialists. What does not fit is
refused, before anything is fetched; models that do not fit together are loaded in turns, as they are asked for. A
request for the model `auto` goes to the one whose card fits the prompt.

example:
  weigh up --once "What is 37 plus 58?"
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from weighbridge.cli import output
from weighbridge.cli.gateway_flags import add_address, add_planning, api_at, client_of, planning, read_settings
from weighbridge.cli.learning import keep_learning
from weighbridge.cli.main import INTERRUPTED
from weighbridge.cli.rereading import Rereader
from weighbridge.cli.sources import find_models, introduce
from weighbridge.engines import Model
from weighbridge.errors import AddressInUse, BadSetting, EngineFailed, GatewayUnreachable, WeighbridgeError
from weighbridge.gateway import Gateway, run_loop, serve, settle
from weighbridge.gateway.scheduler import Phase
from weighbridge.settings import PREFIX, Settings

_OF_THE_FOREGROUND = frozenset({"models", "once", "model", "detach", "reload", "json"})
_RELOADED = {
    "added": "models added",
    "removed": "models removed, once their answers are complete",
    "replaced": "models that are started anew",
    "settings": "settings that have changed",
    "kept": "hold only once the gateway is started again",
}
_KEY_VARIABLE = f"{PREFIX}API_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="what to serve (default: the bundled specialists)")
    parser.add_argument("--once", metavar="QUESTION", help="answer one question through the gateway, then stop")
    parser.add_argument("--model", default="auto", metavar="NAME", help="which model answers --once (default auto)")
    parser.add_argument(
        "--reload", action="store_true", help="have the gateway that runs take its settings anew, and end"
    )
    parser.add_argument("--detach", action="store_true", help="serve in the background; `weigh stop` ends it")
    add_planning(parser)
    parser.add_argument("--parallel", type=int, metavar="P", help="requests that one model answers at once (default 2)")
    parser.add_argument("--memory-budget", metavar="SIZE", help="main memory that all models may take, e.g. 12GiB")
    parser.add_argument(
        "--keep-alive", type=float, metavar="S", help="seconds a model stays loaded when nobody asks for it"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes that answer clients (default 1)")
    parser.add_argument("--json", action="store_true", help="print the address, or the answer to --once, as JSON")
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop, or until the one question is answered."""
    settings = _settings(arguments)
    if arguments.reload:
        return asyncio.run(_reload(settings, arguments))
    if arguments.detach:
        return _detach(arguments, settings)
    started = time.monotonic()
    # Before the loop: what must be fetched takes its time, and Ctrl-C ends it.
    models = find_models(arguments.models, settings)
    return run_loop(_serve(arguments, settings, models, started))


def _settings(arguments: argparse.Namespace) -> Settings:
    """The settings, under these flags."""
    return read_settings(
        arguments,
        port=0 if arguments.once and arguments.port is None else arguments.port,
        # One question needs no more.
        workers=1 if arguments.once else arguments.workers,
        parallel=arguments.parallel,
        memory_budget_bytes=arguments.memory_budget,
        keep_alive_seconds=arguments.keep_alive,
        **planning(arguments),
    )


async def _reload(settings: Settings, arguments: argparse.Namespace) -> int:
    """Have the gateway that runs take its settings anew."""
    async with client_of(settings) as client:
        done = await client.post("/admin/reload")
    if arguments.json:
        print(output.to_json(done))
        return 0
    for what, names in done.items():
        if names:
            output.tell(f"{_RELOADED.get(what, what)}: {', '.join(names)}")
    if not any(done.values()):
        output.tell("nothing has changed")
    return 0


async def _serve(arguments: argparse.Namespace, settings: Settings, models: list[Model], started: float) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    for model in models:
        output.tell(introduce(model))
    is_loaded = len(models) > 1

    def tell(line: str) -> None:
        # Why a single model does not load is told by the error that ends the command.
        if is_loaded:
            output.tell(line)

    reread = Rereader(arguments.models, settings, models, lambda: _settings(arguments))
    async with serve(models, settings, tell, reread) as (gateway, url), _hang_ups(gateway, stop):
        learning = asyncio.create_task(keep_learning(settings) if not arguments.once else asyncio.sleep(0))
        stopped = asyncio.create_task(stop.wait())
        ready = asyncio.create_task(_ready(gateway, url, started, arguments, settings))
        await asyncio.wait({stopped, ready}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            ready.result()
            is_loaded = True
            if not arguments.once:
                await stopped
        ready.cancel()
        stopped.cancel()
        learning.cancel()
        await asyncio.wait({learning})
        if stop.is_set():
            output.tell("stopping")
    # Whoever waits for an answer and interrupts has none.
    return INTERRUPTED if arguments.once and stop.is_set() else 0


@contextlib.asynccontextmanager
async def _hang_ups(gateway: Gateway, stop: asyncio.Event) -> AsyncIterator[None]:
    """Meanwhile SIGHUP has the settings read anew; only where it says that our terminal is gone, it ends the gateway,
    as it would any command. One under `nohup`, in the background or of a service goes on."""
    loop = asyncio.get_running_loop()
    had_terminal, is_ignored = _has_terminal(), signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    tasks: set[asyncio.Task[None]] = set()

    def hung_up() -> None:
        if had_terminal and not _has_terminal():
            _fall_silent()
            if not is_ignored:
                stop.set()
                return
        task = loop.create_task(_take_anew(gateway))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, hung_up)
    try:
        yield
    finally:
        loop.add_signal_handler(signal.SIGHUP, stop.set)
        for task in tasks:
            task.cancel()


async def _take_anew(gateway: Gateway) -> None:
    assert gateway.reload is not None
    try:
        said = str(await gateway.reload())
    except WeighbridgeError as error:
        said = f"nothing was reloaded: {error}\n  {error.hint}"
    with contextlib.suppress(OSError):
        output.tell(said)


def _fall_silent() -> None:
    """Nobody reads at a terminal that is gone, and to write there is an error."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
            os.dup2(nobody, stream.fileno())
    os.close(nobody)


def _has_terminal() -> bool:
    """Whether this process has a terminal from which it is controlled, and that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


async def _ready(gateway: Gateway, url: str, started: float, arguments: argparse.Namespace, settings: Settings) -> None:
    """Have every model ready, say so, and answer the one question if there is one."""
    await gateway.pool.preload()
    ready = [name for name in gateway.pool.models if gateway.pool.phase(name) is Phase.READY]
    if not ready and gateway.pool.failures:
        raise _none_loaded(gateway)
    if arguments.once is None:
        await gateway.workers.come()
    settle()
    seconds = time.monotonic() - started
    output.tell(f"ready after {seconds:.2f} s: {', '.join(ready) or 'models are loaded when they are asked for'}")
    output.tell(f"OpenAI API: {api_at(url)}   (model: auto, {', '.join(gateway.pool.models)})")
    if arguments.once is not None:
        await _answer_once(url, settings, arguments, started)
    elif arguments.json:
        print(output.to_json({"url": url, "pid": os.getpid(), "models": ready, "ready_seconds": seconds}), flush=True)


def _none_loaded(gateway: Gateway) -> WeighbridgeError:
    """The cause, or of several, each of which was told when it came, where to look."""
    causes = gateway.pool.failures
    if len(gateway.pool.models) == 1:
        return next(iter(causes.values()))
    return EngineFailed(f"no model could be loaded: {', '.join(causes)}", hint=f"weigh logs {next(iter(causes))}")


async def _answer_once(url: str, settings: Settings, arguments: argparse.Namespace, started: float) -> None:
    asked = time.monotonic()
    text, first, model, reason = "", None, "", ""
    async with client_of(settings, url) as client:
        messages = [{"role": "user", "content": arguments.once}]
        async for piece in client.chat(messages, arguments.model, temperature=0):
            if not model:
                model, reason = piece.model, piece.reason
                output.tell(f"{model} answers: {reason}")
            if piece.text and first is None:
                first = time.monotonic()
            text += piece.text
            if not arguments.json:
                print(piece.text, end="", flush=True)
    if not arguments.json:
        print()
        return
    data = {
        "question": arguments.once,
        "answer": text,
        "model": model,
        "reason": reason,
        "first_token_seconds": None if first is None else first - asked,
        "start_to_first_token_seconds": None if first is None else first - started,
    }
    print(output.to_json(data))


def _detach(arguments: argparse.Namespace, settings: Settings) -> int:
    """Start the same command in the background, and return when it serves."""
    if "version" in asyncio.run(_health(settings)):
        if arguments.models:
            raise AddressInUse(
                f"a gateway serves at {settings.url} already", hint="weigh stop ends it, or choose another --port"
            )
        output.tell(f"a gateway serves already: {api_at(settings.url)}   (weigh stop ends it)")
        return 0
    if settings.port == 0:
        raise AddressInUse("--detach needs a port that you know", hint="choose one: --port 8642")
    # What is wrong with them is said here and now.
    for model in find_models(arguments.models, settings):
        output.tell(introduce(model))
    log = settings.state_path / "logs" / "gateway.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = log.open("wb")
        log.chmod(0o600)
    except OSError as error:
        raise BadSetting(f"{log}: {error.strerror}", hint="choose another folder: WEIGHBRIDGE_STATE_DIR") from error
    with file:
        child = subprocess.Popen(
            [sys.executable, "-m", "weighbridge", "up", *_given(arguments)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # Where no list of processes shows it.
            env={**os.environ, _KEY_VARIABLE: settings.api_key} if settings.api_key else None,
            start_new_session=True,
        )
    try:
        asyncio.run(_until_answers(child, settings, log))
    except BaseException:
        child.kill()
        raise
    output.tell(f"serving in the background, process {child.pid}: {api_at(settings.url)}   (weigh stop ends it)")
    if arguments.json:
        print(output.to_json({"url": settings.url, "pid": child.pid, "log": log}))
    return 0


def _given(arguments: argparse.Namespace) -> list[str]:
    """The command line again, without what makes it go into the background, and without the key."""
    left = _OF_THE_FOREGROUND | {"api_key"}
    kept = {name: value for name, value in vars(arguments).items() if name not in left}
    words = [(f"--{name.replace('_', '-')}", str(value)) for name, value in kept.items() if value is not None]
    return [*itertools.chain.from_iterable(words), *arguments.models]


async def _health(settings: Settings) -> dict[str, Any]:
    """What the gateway at that address says of itself, nothing where there is none."""
    try:
        async with client_of(settings) as client:
            health: dict[str, Any] = await client.get("/health")
            return health
    except GatewayUnreachable:
        return {}


def _last_lines(log: Path) -> tuple[str, ...]:
    return tuple(log.read_text(errors="replace").splitlines()[-5:])


async def _until_answers(child: subprocess.Popen[bytes], settings: Settings, log: Path) -> None:
    until = time.monotonic() + settings.start_timeout_seconds
    while (await _health(settings)).get("status") not in ("ok", "idle"):
        if child.poll() is not None or time.monotonic() > until:
            child.kill()
            raise EngineFailed(
                "the gateway did not start in the background", hint=f"its log is {log}", log=_last_lines(log)
            )
        await asyncio.sleep(0.05)
