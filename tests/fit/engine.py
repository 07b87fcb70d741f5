"""llama.cpp's own C interface, out of the wheel that is installed: what it would allocate, without allocating.

A model is opened with `no_alloc`, so files of any size can be asked about; each context's log says how large its
buffers are, and the graph of its largest step can be looked at. An assertion of the engine ends the process, so whoever
asks about doubtful files does so in a process of its own.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ["GGML_NO_BACKTRACE"] = "1"

import xllamacpp

from weighbridge.fit.asking_child import TYPES, ContextParams, ModelParams, wrong_defaults

_POINTER, _FLAG, _INT, _COUNT, _REAL = ctypes.c_void_p, ctypes.c_bool, ctypes.c_int32, ctypes.c_uint32, ctypes.c_float
VERSION = f"xllamacpp {xllamacpp.__version__}"


class _Tensor(ctypes.Structure):
    """ggml.h, struct ggml_tensor."""

    _fields_ = (
        ("type", ctypes.c_int), ("buffer", _POINTER), ("ne", ctypes.c_int64 * 4), ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int), ("op_params", _INT * 16), ("flags", _INT), ("src", _POINTER * 10),
        ("view_src", _POINTER), ("view_offs", ctypes.c_size_t), ("data", _POINTER), ("name", ctypes.c_char * 64),
        ("extra", _POINTER), ("padding", ctypes.c_char * 8),
    )  # fmt: skip


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(next(Path(xllamacpp.__file__).parent.glob("*.so"))))
    answers = {
        "llama_model_default_params": (ModelParams,),
        "llama_context_default_params": (ContextParams,),
        "llama_model_load_from_file": (_POINTER, ctypes.c_char_p, ModelParams),
        "llama_init_from_model": (_POINTER, _POINTER, ContextParams),
        "llama_free": (None, _POINTER),
        "llama_model_free": (None, _POINTER),
        "llama_backend_init": (None,),
        "ggml_nbytes": (ctypes.c_size_t, _POINTER),
        "ggml_op_name": (ctypes.c_char_p, ctypes.c_int),
        "ggml_op_can_inplace": (_FLAG, ctypes.c_int),
        "_Z19llama_graph_reserveP13llama_contextjjj": (_POINTER, _POINTER, _COUNT, _COUNT, _COUNT),
        "_Z26llama_get_memory_breakdownPK13llama_context": (None, _POINTER, _POINTER),
        "ggml_backend_buft_name": (ctypes.c_char_p, _POINTER),
    }
    for name, (answer, *arguments) in answers.items():
        function = getattr(library, name)
        function.restype, function.argtypes = answer, arguments
    return library


_ENGINE = _library()
_LINES: list[str] = []


def check() -> None:
    """AssertionError if the structures above are not those of the wheel: then nothing asked here means anything."""
    assert not wrong_defaults(_ENGINE)
    assert not _ENGINE.llama_context_default_params().samplers


_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, _POINTER)


@_LOG
def _keep(_level: int, text: bytes, _data: object) -> None:
    _LINES.append(text.decode(errors="replace"))


_ENGINE.llama_log_set.argtypes = [_LOG, _POINTER]
_ENGINE.llama_log_set(_keep, None)
_ENGINE.llama_backend_init()
check()


class Refused(Exception):
    """The engine did not take a file or its settings; the message is its log."""


@dataclass(frozen=True)
class Settings:
    """How a context is made. `context` is each sequence's, unless the cache is unified: then it is what all share."""

    context: int = 4096
    parallel: int = 1
    ubatch: int = 512
    flash: bool = True
    unified: bool = False
    full_windows: bool = False
    type_k: str = "f16"
    type_v: str = "f16"
    outputs: int | None = None
    """Rows of scores a step; None: one a sequence, as its server asks for."""
    embeddings: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of the largest step."""
        return min(self.ubatch, self.context * (1 if self.unified else self.parallel))


@dataclass
class Node:
    """One tensor of a graph, as far as its memory is concerned."""

    name: str
    operation: str
    may_replace: bool
    """Whether its result may take its first fitting source's place."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    type: int
    bytes: int
    is_input: bool
    is_output: bool
    is_outside: bool
    """It lies in a buffer of its own: weights, caches."""
    view_of: Node | None
    sources: list[Node]
    is_weight: bool = False
    """It lies in a buffer of weights."""


class Context:
    """A context of a model: its log, its buffers' sizes, and its graph."""

    def __init__(self, pointer: int, settings: Settings, log: str) -> None:
        self._pointer, self.settings, self.log = pointer, settings, log

    def megabytes(self, what: str) -> list[tuple[str, float]]:
        """The buffers of this kind that the log tells, with their devices: `compute`, `KV`, `RS`, `output`."""
        found = re.findall(rf"^\S+: +(\S+) +{what} buffer size = +([\d.]+) MiB", self.log, re.MULTILINE)
        return [(device, float(size)) for device, size in found]

    @property
    def compute(self) -> float:
        """MiB of the compute buffer, where there is only the processor."""
        ((_, size),) = self.megabytes("compute")
        return size

    def weights(self) -> dict[str, int]:
        """Bytes of weights by buffer, such as `CPU` and `CPU_REPACK`: what would be allocated, where nothing was."""
        # The answer is a std::map: its header has the root of a red-black tree at byte 16; a node has its children at
        # 16 and 24, then the key, and bytes of the model, of the context and of computing.
        answer = ctypes.create_string_buffer(64)
        _ENGINE._Z26llama_get_memory_breakdownPK13llama_context(answer, self._pointer)
        found: dict[str, int] = {}
        nodes = [struct.unpack_from("<Q", answer, 16)[0]]
        while nodes:
            if address := nodes.pop():
                *children, buffer, model, _, _ = struct.unpack("<16x6Q", ctypes.string_at(address, 64))
                found[_ENGINE.ggml_backend_buft_name(buffer).decode()] = model
                nodes += children
        return found

    def graph(self) -> tuple[list[Node], list[Node]]:
        """The tensors that the largest step computes, in their order, and those that it is given."""
        at, outputs = self.settings, self.settings.outputs or self.settings.parallel
        pointer = _ENGINE._Z19llama_graph_reserveP13llama_contextjjj(self._pointer, at.tokens, at.parallel, outputs)
        if not pointer:
            raise Refused("the graph's memory could not be had")
        # ggml-impl.h, struct ggml_cgraph: size, n_nodes, n_leafs; nodes, grads, grad_accs, leafs.
        _, count, leaves, _, nodes, _, _, leaf = struct.unpack("<iiiiQQQQ", ctypes.string_at(pointer, 48))
        seen: dict[int, Node] = {}

        def node(address: int) -> Node:
            if address not in seen:
                raw = _Tensor.from_address(address)
                seen[address] = made = Node(
                    raw.name.decode(errors="replace"), _ENGINE.ggml_op_name(raw.op).decode(),
                    _ENGINE.ggml_op_can_inplace(raw.op), tuple(raw.ne), tuple(raw.nb), raw.type,
                    _ENGINE.ggml_nbytes(address), bool(raw.flags & 1), bool(raw.flags & 2),
                    bool(raw.data or raw.buffer), None, [],
                )  # fmt: skip
                # ggml-backend-impl.h, struct ggml_backend_buffer: what it is for stands after its size.
                made.is_weight = bool(raw.buffer) and ctypes.c_int.from_address(raw.buffer + 8 * 14).value == 1
                made.view_of = node(raw.view_src) if raw.view_src else None
                made.sources = [node(source) for source in raw.src if source]
            return seen[address]

        def listed(start: int, length: int) -> list[Node]:
            return [node(address) for address in struct.unpack(f"<{length}Q", ctypes.string_at(start, 8 * length))]

        return listed(nodes, count), listed(leaf, leaves)


class Model:
    """A model that was opened, and what the engine said of it."""

    def __init__(self, pointer: int, log: str) -> None:
        self._pointer, self.log = pointer, log

    @contextmanager
    def context(self, settings: Settings) -> Iterator[Context]:
        """A context with these settings; Refused if the engine does not take them."""
        params = _ENGINE.llama_context_default_params()
        params.n_ctx = settings.context * (1 if settings.unified else settings.parallel)
        params.n_seq_max, params.n_ubatch, params.n_batch = (
            settings.parallel,
            settings.ubatch,
            max(2048, settings.ubatch),
        )
        params.n_outputs_max = settings.outputs or settings.parallel
        params.flash_attn_type, params.kv_unified = int(settings.flash), settings.unified
        params.swa_full, params.embeddings = settings.full_windows, settings.embeddings
        params.type_k, params.type_v = TYPES[settings.type_k], TYPES[settings.type_v]
        params.n_threads = params.n_threads_batch = 1
        _LINES.clear()
        pointer = _ENGINE.llama_init_from_model(self._pointer, params)
        if not pointer:
            raise Refused("".join(_LINES)[-2000:])
        try:
            yield Context(pointer, settings, "".join(_LINES))
        finally:
            _ENGINE.llama_free(pointer)


def open_log(path: Path, *, repack: bool = False, allocate: bool = False) -> tuple[int | None, str]:
    """The engine's pointer to the model, None where it refuses the file, and its log."""
    params = _ENGINE.llama_model_default_params()
    params.no_alloc, params.use_extra_bufts, params.load_mtp = not allocate, repack, False
    params.load_mode = 1 if allocate else 0
    _LINES.clear()
    pointer = _ENGINE.llama_model_load_from_file(os.fsencode(path), params)
    return pointer, "".join(_LINES)


@contextmanager
def opened(path: Path, *, repack: bool = False, allocate: bool = False) -> Iterator[Model]:
    """A model, opened without memory for it; with `repack` the processor's second copies are told too."""
    pointer, log = open_log(path, repack=repack, allocate=allocate)
    if not pointer:
        raise Refused(log[-2000:])
    try:
        yield Model(pointer, log)
    finally:
        _ENGINE.llama_model_free(pointer)
