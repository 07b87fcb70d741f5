"""GGUF files of any architecture, for tests: their keys are given, their tensors are those that the engine asks for.

`Engine` is llama.cpp in a process of its own. A file without the right tensors is refused with the name or the shape of
the first that is wrong, so a file is written, refused and mended until it loads; no list of tensors need be kept here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np

Shapes = dict[str, list[int]]

_MISSING = re.compile(r"tensor '(.+?)' not found|missing tensor '(.+?)'")
_SHAPE = re.compile(r"tensor '(.+?)' has wrong shape; expected\s+([\d, ]+), got")
_LAYER = re.compile(r"blk\.(\d+)\.")
_LOADED = re.compile(r"loading tensor (\S+)")
_BYTES = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 324))][:256]


class Cache(NamedTuple):
    """One cache that the engine has made, as it logs it."""

    cells: int
    layers: tuple[int, ...]
    sequences: int
    keys: str
    """MiB in all, with two decimals; `values` too."""
    values: str


class Log(NamedTuple):
    """What the engine says of the caches of one context."""

    error: str
    text: str

    @property
    def caches(self) -> list[Cache]:
        """Caches of keys and values, in the order in which they are made."""
        found, layers = [], []
        for line in self.text.splitlines():
            if layer := re.search(r"llama_kv_cache: layer +(\d+): dev =", line):
                layers.append(int(layer[1]))
            elif size := re.search(
                r"llama_kv_cache: size = .*\( *(\d+) cells, +\d+ layers, +\d+/(\d+) seqs\), "
                r"K \(f16\): +([\d.]+) MiB, V \(f16\): +([\d.]+) MiB",
                line,
            ):
                found.append(Cache(int(size[1]), tuple(layers), int(size[2]), size[3], size[4]))
                layers = []
        return found

    @property
    def states(self) -> Cache | None:
        """The recurrent states: convolutions as `keys`, the rest as `values`."""
        layers = tuple(int(layer) for layer in re.findall(r"llama_memory_recurrent, layer +(\d+): dev =", self.text))
        size = re.search(
            r"llama_memory_recurrent: size = .*\( *(\d+) cells,.* (\d+) seqs.*"
            r"R \(f32\): +([\d.]+) MiB, S \(f32\): +([\d.]+) MiB",
            self.text,
        )
        return Cache(int(size[1]), layers, int(size[2]), size[3], size[4]) if size else None


class Engine:
    """llama.cpp in a process of its own, which is started again where a file has brought it down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None

    def load(self, path: Path, context: int, parallel: int) -> Log:
        """The log of loading this file with a context of `context` tokens for each of `parallel` sequences."""
        log = self.folder / "engine.log"
        if self._process is None or self._process.poll() is not None:
            with log.open("wb") as file:
                self._process = subprocess.Popen(
                    [sys.executable, __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    text=True,
                    env=os.environ | {"GGML_NO_BACKTRACE": "1"},
                )
        start = log.stat().st_size
        self._process.stdin.write(json.dumps([str(path), context * parallel, parallel]) + "\n")
        self._process.stdin.flush()
        timer = threading.Timer(20, self._process.kill)
        timer.start()
        answer = self._process.stdout.readline()
        timer.cancel()
        if not answer:
            self._process.wait()
        error = answer.strip() or ("" if answer else "the process ended")
        # The engine writes its log from a thread of its own.
        last = b"exiting due to model loading error" if error else b"init: model loaded"
        deadline = time.monotonic() + 5
        with log.open("rb") as file:
            file.seek(start)
            text = file.read()
            while last not in text and answer and time.monotonic() < deadline:
                time.sleep(0.001)
                text += file.read()
        return Log(error, text.decode(errors="replace"))

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.stdin.close()
            self._process.wait(30)
            self._process.stdout.close()

    def write(self, path: Path, architecture: str, keys: dict[str, Any], also: Shapes | None = None) -> Path:
        """A file of this architecture with these keys, the tensors without which it is refused, and `also` these."""
        # By the second and the third the engine tells whether a file has the model and the layers that predict further.
        count = keys["block_count"]
        tensors: Shapes = dict.fromkeys(("token_embd.weight", "blk.0.attn_norm.weight"), [1])
        for layer in range(count - keys.get("nextn_predict_layers", 0), count):
            tensors[f"blk.{layer}.nextn.eh_proj.weight"] = [1]
        tensors |= also or {}
        for _ in range(400):
            _write(path, architecture, keys, tensors)
            log = self.load(path, 256, 1)
            if not log.error:
                return path
            if not _mend(tensors, log.text):
                reasons = re.findall(r"^\S+ E .*|^.*ASSERT.*", log.text, re.MULTILINE) or log.text.splitlines()[-3:]
                raise AssertionError(f"{architecture}: {log.error}\n" + "\n".join(reasons))
        raise AssertionError(f"{architecture}: still refused")


def _mend(tensors: Shapes, log: str) -> bool:
    """Add or change what the engine has refused the file for."""
    if found := _SHAPE.search(log):
        tensors[found[1]] = [int(length) for length in found[2].split(",")]
    elif found := _MISSING.search(log):
        missing = found[1] or found[2]
        layer = _LAYER.match(missing)
        if layer and not any(name.startswith(layer[0]) for name in tensors):
            # A new layer is most often like the one before.
            before = f"blk.{int(layer[1]) - 1}."
            tensors |= {
                layer[0] + name.removeprefix(before): shape
                for name, shape in [*tensors.items()]
                if name.startswith(before)
            }
        tensors.setdefault(missing, [1])
    elif "wrong number of tensors" in log:
        for name in set(tensors) - set(_LOADED.findall(log)):
            del tensors[name]
    else:
        return False
    return True


def _write(path: Path, architecture: str, keys: dict[str, Any], tensors: Shapes) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in keys.items():
        name = key if key.startswith(("tokenizer.", "xielu.")) else f"{architecture}.{key}"
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        else:
            writer.add_array(name, value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*_BYTES, "<|end|>"])
    writer.add_token_types([1] * 256 + [3])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(256)
    for name, shape in tensors.items():
        size = 4 * int(np.prod(shape))
        writer.add_tensor_info(name, shape[::-1], np.dtype(np.float32), size)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    (file,) = writer.fout
    file.flush()
    end = gguf.GGUFWriter.ggml_pad(file.tell(), 32)
    for shape in tensors.values():
        end += gguf.GGUFWriter.ggml_pad(4 * int(np.prod(shape)), 32)
    file.truncate(end)
    writer.close()


def _serve() -> None:
    """The engine's process: for each line with a file and its settings, load it and say how that went."""
    import xllamacpp

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # To end a server takes long, and may never come to pass.
    servers = []
    for line in sys.stdin:
        settings = xllamacpp.CommonParams()
        settings.model.path, settings.n_ctx, settings.n_parallel = json.loads(line)
        settings.verbosity = 5
        settings.warmup = settings.fit_params = settings.kv_unified = settings.ui = settings.use_jinja = False
        settings.cache_ram_mib = settings.port = 0
        settings.embedding = "bert" in settings.model.path
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = settings.n_threads_http = 1
        answer = ""
        try:
            servers.append(xllamacpp.Server(settings))
        except Exception as error:
            answer = repr(error)
        print(answer, file=answers, flush=True)
    # The engine's own way out has crashed.
    os._exit(0)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _serve()
