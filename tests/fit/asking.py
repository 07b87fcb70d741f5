"""The engine in a process of its own, which an assertion of it may end: it makes files and tells its buffers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# Each cache tells its size in MiB; DeepSeek-V4's compressors tell what they gather apart.
_CACHES = re.compile(r"^llama_kv_cache\S*: size = +([\d.]+) MiB", re.MULTILINE)
_STATES = re.compile(r"^llama_memory_recurrent\S*: size = +([\d.]+) MiB", re.MULTILINE)
_GATHERED = re.compile(r"DSV4 \S+ state buffer size = +([\d.]+) MiB")


class Died(Exception):
    """The engine's process ended; the message is its last words."""


class Answering:
    """A process that answers requests, a line each, started again where one has ended it."""

    module = __name__
    """What the process runs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, **request: Any) -> Any:
        """What the process answers; Died where that was its end, ValueError where the engine refuses."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"GGML_NO_BACKTRACE": "1"},
            )  # fmt: skip
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            words = self._process.stderr.read().strip().splitlines()
            self.close()
            raise Died(words[-1] if words else "no word")
        answer = json.loads(line)
        if isinstance(answer, dict) and "refused" in answer:
            raise ValueError(answer["refused"])
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process:
            for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
                stream.close()
            self._process.kill()
            self._process.wait()
            self._process = None


class Engine(Answering):
    """The engine: it makes files, and tells the buffers of contexts."""

    def make(self, path: Path, architecture: str, keys: dict[str, Any], also: dict[str, Any]) -> None:
        """A file of this family."""
        self.ask(make=str(path), architecture=architecture, keys=keys, also=also)

    def buffers(self, path: Path, settings: list[Any], **how: bool) -> list[dict[str, float]]:
        """MiB by kind for each of these settings, without allocating."""
        return self.ask(open=str(path), settings=[asdict(each) for each in settings], **how)


def _answer(request: dict[str, Any]) -> Any:
    from tests.facts.gguf_families import Family
    from tests.fit import engine
    from tests.fit.record_steps import make

    try:
        if "make" in request:
            make(Path(request["make"]), Family(request["architecture"], request["keys"], request["also"]))
            return {}
        found = []
        how = {name: request[name] for name in ("repack", "allocate") if name in request}
        with engine.opened(Path(request["open"]), **how) as model:
            weights = re.findall(r"^load_tensors: +(\S+) model buffer size = +([\d.]+) MiB", model.log, re.MULTILINE)
            for each in request["settings"]:
                with model.context(engine.Settings(**each)) as context:
                    told = context.weights()
                    found.append({
                        "weights": sum(told.values()) / 2**20,
                        "repack": told.get("CPU_REPACK", 0) / 2**20,
                        "compute": context.compute,
                        "cache": sum(map(float, _CACHES.findall(context.log))),
                        "state": sum(map(float, [*_STATES.findall(context.log), *_GATHERED.findall(context.log)])),
                        "output": sum(size for _, size in context.megabytes("output")),
                    })  # fmt: skip
            return found or [{device: float(size) for device, size in weights}]
    except engine.Refused as error:
        return {"refused": str(error)[-800:]}


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), file=answers, flush=True)
    os._exit(0)
