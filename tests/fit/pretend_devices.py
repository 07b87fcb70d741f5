"""Devices that the engine takes for GPUs and that hold nothing: what it would place on each, told without one.

ggml's backend interface is filled in from here: devices with a name, a size and rules for how long a tensor is in their
memory, as CUDA's backend has them (ggml-cuda.cu: alignment 128, quantized rows padded to 512 values, 16-bit copies of a
quantized cache beside the result of flash attention; asynchronous, with events and a pinned host buffer). They say that
they can compute everything, and are never asked to: models are opened with `no_alloc`.

The layout of the structures is ggml-backend-impl.h's of API version 3; `start` compares it with what the installed
engine does before anything is asked.

As a program it answers requests, a line of JSON each, like `asking.py`.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import struct
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.fit.asking import Answering

API_VERSION = 3
ALIGNMENT = 128
ROW_PADDING = 512
OFFLOADED_FROM = 32
"""So many rows make a matrix in main memory worth sending to a device (GGML_OP_OFFLOAD_MIN_BATCH)."""
_F16 = 1
MOST_DEVICES = 15


@dataclass(frozen=True)
class Offload:
    """How a model is spread."""

    gpu_layers: int = 999
    split: tuple[float, ...] = (1.0,)
    """The share of each device that takes part (`--tensor-split`)."""
    host_tensors: str = ""
    """A pattern of the tensors that stay in main memory (`--override-tensor PATTERN=CPU`)."""
    offload_kqv: bool = True
    op_offload: bool = True


class Pretended(Answering):
    """A process with pretend devices."""

    module = "tests.fit.pretend_devices"

    def buffers(self, path: Path, offload: Offload, settings: Sequence[Any]) -> list[dict[str, Any]]:
        """For each of these settings bytes by buffer type, as `{"Pretend0": {"model": 1, "context": 2, "compute": 3}}`,
        and to which device each layer went.

        What is computed with is what the engine reserves as for a real device: what it says of itself with `no_alloc`
        leaves out that some operations are told where to go (ggml_backend_sched_reserve_size forgets that).
        """
        return self.ask(path=str(path), offload=asdict(offload), settings=[asdict(each) for each in settings])


_P, _Z, _B, _I = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_bool, ctypes.c_int
_KINDS = {"p": _P, "z": _Z, "b": _B, "i": _I, "n": None, "s": ctypes.c_char_p, "c": ctypes.c_uint8}
# name:answer and arguments; `-` is a function that is left out, as it may be.
_BUFFER_TYPE = (
    "get_name:pp alloc_buffer:ppz alloc_buffer_n:- get_alignment:zp get_max_size:- get_alloc_size:zpp "
    "get_alloc_size_n:- is_host:-"
)
_BUFFER = (
    "free_buffer:np get_base:pp init_tensor:- memset_tensor:nppczz set_tensor:npppzz get_tensor:npppzz set_tensor_2d:- "
    "get_tensor_2d:- cpy_tensor:bppp clear:npc reset:-"
)
_BACKEND = (
    "get_name:pp free:np set_tensor_async:npppzz get_tensor_async:npppzz set_tensor_2d_async:- get_tensor_2d_async:- "
    "cpy_tensor_async:bpppp synchronize:np graph_plan_create:- graph_plan_free:- graph_plan_update:- "
    "graph_plan_compute:- graph_compute:ipp event_record:npp event_wait:npp graph_optimize:-"
)
_DEVICE = (
    "get_name:pp get_description:pp get_memory:nppp get_type:ip get_props:npp init_backend:pps get_buffer_type:pp "
    "get_host_buffer_type:pp buffer_from_host_ptr:- supports_op:bpp supports_buft:bpp offload_op:bpp event_new:pp "
    "event_free:npp event_synchronize:npp"
)
_REGISTRY = "get_name:pp get_device_count:zp get_device:ppz get_proc_address:pps"
_kept: list[Any] = []
_allocations: list[tuple[int, int]] = []
"""Each buffer that was asked for: its type and its bytes."""


def _table(listed: str, given: dict[str, Any]) -> list[int]:
    """Addresses of these functions, in the interface's order; what is not given does nothing."""
    addresses = []
    for entry in listed.split():
        name, kinds = entry.split(":")
        if name in given and isinstance(given[name], int):
            addresses.append(given[name])
        elif kinds == "-":
            addresses.append(0)
        else:
            made = ctypes.CFUNCTYPE(_KINDS[kinds[0]], *(_KINDS[kind] for kind in kinds[1:]))(
                given.get(name, lambda *_: 0)
            )
            _kept.append(made)
            addresses.append(ctypes.cast(made, _P).value or 0)
    return addresses


def _words(*words: int) -> int:
    """The address of a structure of these words, kept for good."""
    made = (ctypes.c_uint64 * len(words))(*words)
    _kept.append(made)
    return ctypes.addressof(made)


def _read(address: int, count: int) -> tuple[int, ...]:
    return struct.unpack(f"<{count}Q", ctypes.string_at(address, 8 * count))


def _text(text: str) -> int:
    """The address of these characters, kept for good."""
    made = ctypes.create_string_buffer(text.encode())
    _kept.append(made)
    return ctypes.addressof(made)


class _Interface(ctypes.Structure):
    """A buffer's functions, as they are given by value."""

    _fields_ = (("words", ctypes.c_uint64 * len(_BUFFER.split())),)


def start(memory: Sequence[int]) -> list[int]:
    """Register devices of so many bytes each; their addresses."""
    from tests.fit import engine

    library = engine._ENGINE
    for name, answer, arguments in (
        ("ggml_backend_dev_by_type", _P, (_I,)),
        ("ggml_backend_dev_backend_reg", _P, (_P,)),
        ("ggml_backend_dev_init", _P, (_P, _P)),
        ("ggml_backend_cpu_buffer_type", _P, ()),
        ("ggml_backend_get_device", _P, (_P,)),
        ("ggml_backend_buft_alloc_buffer", _P, (_P, _Z)),
        ("ggml_backend_buft_get_device", _P, (_P,)),
        ("ggml_backend_buft_get_alignment", _Z, (_P,)),
        ("ggml_backend_buft_get_max_size", _Z, (_P,)),
        ("ggml_backend_buft_is_host", _B, (_P,)),
        ("ggml_backend_buft_name", ctypes.c_char_p, (_P,)),
        ("ggml_backend_buffer_get_base", _P, (_P,)),
        ("ggml_backend_buffer_get_size", _Z, (_P,)),
        ("ggml_backend_buffer_init", _P, (_P, _Interface, _P, _Z)),
        ("ggml_backend_dev_count", _Z, ()),
        ("ggml_backend_register", None, (_P,)),
        ("ggml_row_size", _Z, (_I, ctypes.c_int64)),
        ("ggml_is_quantized", _B, (_I,)),
        ("ggml_op_name", ctypes.c_char_p, (_I,)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = answer, arguments

    processor = library.ggml_backend_dev_by_type(0)
    registry = library.ggml_backend_dev_backend_reg(processor)
    plain = library.ggml_backend_cpu_buffer_type()
    assert _read(registry, 1)[0] & 0xFFFFFFFF == API_VERSION, "the interface is of another version"
    assert _read(processor, 16)[15] == registry, "a device has other functions"
    backend = library.ggml_backend_dev_init(processor, None)
    assert _read(backend, 18)[17] == processor, "a backend has other functions"
    buffer = library.ggml_backend_buft_alloc_buffer(plain, 4096)
    assert _read(buffer, 14)[11::2] == (plain, 4096), "a buffer has other functions"

    operations = {library.ggml_op_name(number).decode(): number for number in range(90)}
    rows = {operations["MUL_MAT"]: 1, operations["MUL_MAT_ID"]: 2, operations["ROPE"]: 2, operations["ROPE_BACK"]: 2}
    flash, get_rows = operations["FLASH_ATTN_EXT"], operations["GET_ROWS"]
    devices: list[int] = []
    types: list[int] = []
    reach = [1 << 44]
    bytes_of: dict[int, int] = {}

    def base(buffer: int) -> int:
        return bytes_of[buffer]

    buffers = _table(_BUFFER, {"get_base": base, "cpy_tensor": lambda *_: True})

    def allocate(kind: int, size: int) -> int:
        made: int = library.ggml_backend_buffer_init(
            kind, _Interface((ctypes.c_uint64 * len(buffers))(*buffers)), None, size
        )
        _allocations.append((kind, size))
        # An address that nothing lies at, and nobody looks.
        bytes_of[made] = reach[0]
        reach[0] += -(-size // (1 << 20)) * (1 << 20) + (1 << 20)
        return made

    def allocated(_kind: int, address: int) -> int:
        tensor = engine._Tensor.from_address(address)
        size: int = library.ggml_nbytes(address)
        if tensor.op == flash:
            keys, values = (engine._Tensor.from_address(tensor.src[place]) for place in (1, 2))
            same = tensor.src[1] in (values.view_src, tensor.src[2]) or (
                values.view_src is not None and (values.view_src, values.view_offs) == (keys.view_src, keys.view_offs)
            )
            for part in (keys,) if same else (keys, values):
                if part.type != _F16:
                    count = part.ne[0] * part.ne[1] * part.ne[2] * part.ne[3]
                    size = -(-size // ALIGNMENT) * ALIGNMENT + 2 * count
        if library.ggml_is_quantized(tensor.type) and tensor.ne[0] % ROW_PADDING:
            size += library.ggml_row_size(tensor.type, ROW_PADDING - tensor.ne[0] % ROW_PADDING)
        return size

    def offloads(_device: int, address: int) -> bool:
        tensor = engine._Tensor.from_address(address)
        if tensor.op == get_rows:
            return False
        axis = rows.get(tensor.op)
        count = tensor.ne[axis] if axis else tensor.ne[1] * tensor.ne[2] * tensor.ne[3]
        return bool(count >= OFFLOADED_FROM)

    plain_functions = _read(plain, 8)

    def allocate_on_host(_kind: int, size: int) -> int:
        made: int = library.ggml_backend_buft_alloc_buffer(plain, size)
        ctypes.c_uint64.from_address(made + 8 * 11).value = host
        _allocations.append((host, size))
        return made

    host_name, registry_name = _text("Pretend_Host"), _text("Pretend")
    host_functions = _table(
        _BUFFER_TYPE,
        {
            "get_name": lambda _: host_name, "alloc_buffer": allocate_on_host, "get_alignment": plain_functions[3],
            "get_alloc_size": plain_functions[5], "is_host": plain_functions[7],
        },
    )  # fmt: skip
    registry_words = (ctypes.c_uint64 * 6)()
    _kept.append(registry_words)
    host = 0
    for number, size in enumerate(memory):
        name = _text(f"Pretend{number}")
        place = (ctypes.c_uint64 * 17)()
        _kept.append(place)
        device = ctypes.addressof(place)
        kind = _words(
            *_table(
                _BUFFER_TYPE,
                {
                    "get_name": lambda _, name=name: name, "alloc_buffer": allocate,
                    "get_alignment": lambda _: ALIGNMENT, "get_alloc_size": allocated,
                },
            ),
            device, 0,
        )  # fmt: skip
        if not host:
            host = _words(*host_functions, device, 0)

        def describe(_device: int, into: int, name: int = name, size: int = size) -> None:
            # name, description, free, total, type, id; async, host_buffer, buffer_from_host_ptr, events, mmap.
            packed = struct.pack("<QQQQQQ5?3x", name, name, size, size, 1, 0, True, True, False, True, True)
            ctypes.memmove(into, packed, len(packed))

        def tell_memory(_device: int, free: int, total: int, size: int = size) -> None:
            ctypes.c_size_t.from_address(free).value = ctypes.c_size_t.from_address(total).value = size

        functions = _table(_BACKEND, {"get_name": lambda _, name=name: name})

        def begin(
            _device: int, _params: bytes, device: int = device, functions: Sequence[int] = functions, own: int = number
        ) -> int:
            return _words(_words(own + 1, 2), *functions, device, 0)

        place[:] = [
            *_table(
                _DEVICE,
                {
                    "get_name": lambda _, name=name: name, "get_description": lambda _, name=name: name,
                    "get_memory": tell_memory, "get_type": lambda _: 1, "get_props": describe, "init_backend": begin,
                    "get_buffer_type": lambda _, kind=kind: kind, "get_host_buffer_type": lambda _: host,  # noqa: B023 - one for all
                    "supports_op": lambda *_: True, "supports_buft": lambda _, asked, kind=kind: asked == kind,
                    "offload_op": offloads, "event_new": lambda _, device=device: _words(device, 0),
                },
            ),
            ctypes.addressof(registry_words), 0,
        ]  # fmt: skip
        devices.append(device)
        types.append(kind)
    registry_words[:] = [
        API_VERSION,
        *_table(
            _REGISTRY,
            {
                "get_name": lambda _: registry_name, "get_device_count": lambda _: len(devices),
                "get_device": lambda _, index: devices[index],
            },
        ),
        0,
    ]  # fmt: skip
    before = library.ggml_backend_dev_count()
    library.ggml_backend_register(ctypes.addressof(registry_words))
    assert library.ggml_backend_dev_count() == before + len(devices)
    for device, kind in zip(devices, types, strict=True):
        assert library.ggml_backend_buft_get_device(kind) == device
        assert library.ggml_backend_buft_get_alignment(kind) == ALIGNMENT
        assert library.ggml_backend_buft_get_max_size(kind) == (1 << 64) - 1
        assert not library.ggml_backend_buft_is_host(kind)
    assert library.ggml_backend_buft_is_host(host)
    made = library.ggml_backend_buft_alloc_buffer(types[0], 4096)
    assert library.ggml_backend_buffer_get_size(made) == 4096
    assert library.ggml_backend_buffer_get_base(made) == bytes_of[made]
    return devices


_BREAKDOWN = "_Z26llama_get_memory_breakdownPK13llama_context"


def _breakdown(library: ctypes.CDLL, context: int) -> dict[str, dict[str, int]]:
    """Bytes by buffer type: a std::map from it to three numbers, walked as libstdc++ lays it out."""
    function = getattr(library, _BREAKDOWN)
    function.restype, function.argtypes = None, (_P, _P)
    room = (ctypes.c_uint64 * 6)()
    function(ctypes.addressof(room), context)
    found: dict[str, dict[str, int]] = {}

    def walk(node: int) -> None:
        if node:
            _, _, left, right, kind, model, cache, compute = _read(node, 8)
            walk(left)
            name = library.ggml_backend_buft_name(kind).decode()
            found[name] = {"model": model, "context": cache, "compute": compute}
            walk(right)

    walk(room[2])
    assert len(found) == room[5]
    return found


def _asked(request: dict[str, Any], devices: Sequence[int]) -> Any:
    from tests.fit import engine

    library = engine._ENGINE
    offload = Offload(**request["offload"])
    params = library.llama_model_default_params()
    params.no_alloc, params.load_mtp, params.load_mode = True, False, 0
    chosen = (_P * 16)(*devices[: len(offload.split)])
    split = (ctypes.c_float * 16)(*offload.split)
    params.devices, params.tensor_split = ctypes.addressof(chosen), ctypes.addressof(split)
    params.n_gpu_layers = offload.gpu_layers
    pattern = ctypes.create_string_buffer(offload.host_tensors.encode())
    overrides = (ctypes.c_uint64 * 4)(ctypes.addressof(pattern), library.ggml_backend_cpu_buffer_type(), 0, 0)
    if offload.host_tensors:
        params.overrides = ctypes.addressof(overrides)
    engine._LINES.clear()
    model = library.llama_model_load_from_file(os.fsencode(request["path"]), params)
    load_log = "".join(engine._LINES)
    if not model:
        return {"refused": load_log[-1500:]}
    answers = []
    for listed in request["settings"]:
        settings = engine.Settings(**listed)
        made = library.llama_context_default_params()
        made.n_ctx = settings.context * (1 if settings.unified else settings.parallel)
        made.n_seq_max, made.n_ubatch, made.n_batch = settings.parallel, settings.ubatch, max(2048, settings.ubatch)
        made.n_outputs_max = settings.outputs or settings.parallel
        made.embeddings, made.kv_unified, made.swa_full = settings.embeddings, settings.unified, settings.full_windows
        made.flash_attn_type = int(settings.flash)
        made.type_k, made.type_v = engine.TYPES[settings.type_k], engine.TYPES[settings.type_v]
        made.n_threads = made.n_threads_batch = 1
        made.offload_kqv, made.op_offload = offload.offload_kqv, offload.op_offload
        engine._LINES.clear()
        context = library.llama_init_from_model(model, made)
        log = "".join(engine._LINES)
        if not context:
            return {"refused": log[-1500:]}
        buffers = _breakdown(library, context)
        _allocations.clear()
        outputs = settings.outputs or settings.parallel
        if not library._Z19llama_graph_reserveP13llama_contextjjj(context, settings.tokens, settings.parallel, outputs):
            return {"refused": "the graph's memory could not be had"}
        for buffer in buffers.values():
            buffer["compute"] = 0
        for kind, size in _allocations:
            buffers[library.ggml_backend_buft_name(kind).decode()]["compute"] += size
        answers.append({
            "buffers": buffers,
            "layers": re.findall(r"layer +\d+ assigned to device (\w+)", load_log),
        })  # fmt: skip
        library.llama_free(context)
    library.llama_model_free(model)
    return answers


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    at_hand = start([16 << 30] * MOST_DEVICES)
    for line in sys.stdin:
        print(json.dumps(_asked(json.loads(line), at_hand)), file=answers, flush=True)
    os._exit(0)
