"""The process in which llama.cpp is asked what it would allocate for a file, with `no_alloc`: nothing is loaded.

It is run by path and imports nothing of this package, so that an assertion of the engine ends it alone. A line of JSON
comes in; the answer goes out by the descriptor that standard output was.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

os.environ["GGML_NO_BACKTRACE"] = "1"

_POINTER, _FLAG, _INT, _COUNT, _REAL = ctypes.c_void_p, ctypes.c_bool, ctypes.c_int32, ctypes.c_uint32, ctypes.c_float
# ggml.h, enum ggml_type.
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20, "bf16": 30}
_STEP = 256
_SEARCH_SECONDS = 30.0
_MIB = 1 << 20
_MOST_DEVICES = 64


def _structure(name: str, fields: str) -> type[ctypes.Structure]:
    """A structure of the C interface; each field is written `name` or `name:kind`."""
    kinds: dict[str, Any] = {"p": _POINTER, "b": _FLAG, "i": _INT, "u": _COUNT, "f": _REAL, "z": ctypes.c_size_t}
    listed = [field.partition(":") for field in fields.split()]
    return type(name, (ctypes.Structure,), {"_fields_": [(field, kinds[kind or "p"]) for field, _, kind in listed]})


# llama.h, struct llama_model_params and struct llama_context_params, with room for more at their ends; `wrong_defaults`
# compares their defaults with what the engine is known to take.
ModelParams = _structure(
    "ModelParams",
    "devices overrides n_gpu_layers:i split_mode:i load_mode:i lazy_mode:i main_gpu:i tensor_split progress "
    "progress_data kv_overrides vocab_only:b check_tensors:b use_extra_bufts:b no_host:b no_alloc:b load_mtp:b "
    "spare spare2",
)
ContextParams = _structure(
    "ContextParams",
    "n_ctx:u n_batch:u n_ubatch:u n_seq_max:u n_rs_seq:u n_outputs_max:u n_outputs_max_per_seq:u n_threads:i "
    "n_threads_batch:i ctx_type:i rope_scaling_type:i pooling_type:i attention_type:i flash_attn_type:i "
    "rope_freq_base:f rope_freq_scale:f yarn_ext_factor:f yarn_attn_factor:f yarn_beta_fast:f yarn_beta_slow:f "
    "yarn_orig_ctx:u defrag_thold:f cb_eval cb_eval_data type_k:i type_v:i abort abort_data unnamed embeddings:b "
    "offload_kqv:b no_perf:b op_offload:b swa_full:b kv_unified:b samplers n_samplers:z ctx_other spare spare2",
)
# mtmd.h, struct mtmd_context_params.
ProjectorParams = _structure(
    "ProjectorParams",
    "use_gpu:b device print_timings:b n_threads:i image_marker media_marker flash_attn_type:i warmup:b "
    "image_min_tokens:i image_max_tokens:i cb_eval cb_eval_data batch_max_tokens:i progress progress_data spare spare2",
)
_PROJECTOR_DEFAULTS = {
    "use_gpu": True, "device": None, "print_timings": True, "n_threads": 4, "image_marker": None, "warmup": True,
    "flash_attn_type": -1, "image_min_tokens": -1, "image_max_tokens": -1, "batch_max_tokens": 1024,
}  # fmt: skip


class _Node(ctypes.Structure):
    """A node of the tree that libstdc++'s std::map is."""


_NODE = ctypes.POINTER(_Node)
_Node._fields_ = [
    ("color", _INT), ("parent", _NODE), ("left", _NODE), ("right", _NODE), ("device", _POINTER),
    ("bytes", ctypes.c_size_t),
]  # fmt: skip


class _Map(ctypes.Structure):
    """A std::map from a device to bytes, as libstdc++ lays it out."""

    _fields_: ClassVar = [
        ("compare", ctypes.c_size_t), ("color", _INT), ("root", _NODE), ("first", _NODE), ("last", _NODE),
        ("count", ctypes.c_size_t),
    ]  # fmt: skip


_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, _POINTER)


def wrong_defaults(library: Any) -> list[str]:
    """Which defaults are not those of the structures above: with any, nothing that is asked would mean anything."""
    params, context = library.llama_model_default_params(), library.llama_context_default_params()
    of_model = {"n_gpu_layers": -1, "split_mode": 1, "use_extra_bufts": True, "no_alloc": False}
    of_context = {
        "n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "type_k": 1, "type_v": 1, "defrag_thold": -1,
        "embeddings": False, "offload_kqv": True, "no_perf": True, "op_offload": True, "swa_full": True,
        "kv_unified": False, "n_samplers": 0,
    }  # fmt: skip
    known = ((params, of_model), (context, of_context))
    return [name for given, of in known for name, value in of.items() if getattr(given, name) != value]


class Engine:
    """The wheel's C interface, with what it writes kept."""

    def __init__(self) -> None:
        import xllamacpp

        library = ctypes.CDLL(str(next(Path(xllamacpp.__file__).parent.glob("*.so"))))
        self.version = f"xllamacpp {xllamacpp.__version__}"
        for name, answer, *arguments in (
            ("llama_model_default_params", ModelParams),
            ("llama_context_default_params", ContextParams),
            ("llama_model_load_from_file", _POINTER, ctypes.c_char_p, ModelParams),
            ("llama_init_from_model", _POINTER, _POINTER, ContextParams),
            ("llama_free", None, _POINTER),
            ("llama_backend_init", None),
            ("llama_log_set", None, _LOG, _POINTER),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = answer, arguments
        self._lines: list[str] = []
        self._keep = _LOG(lambda _level, text, _data: self._lines.append(text.decode(errors="replace")))
        library.llama_log_set(self._keep, None)
        library.llama_backend_init()
        if wrong := wrong_defaults(library):
            raise RuntimeError(f"{self.version} is not the version that can be asked: {', '.join(wrong)} differ")
        self._library, self._model = library, None

    def open(self, path: str) -> None:
        """Read the file's header. ValueError quotes why the engine refuses it."""
        params = self._library.llama_model_default_params()
        # With second copies the engine tells them as weights; their bytes are known from the header.
        params.no_alloc, params.use_extra_bufts, params.load_mtp, params.load_mode = True, False, False, 0
        self._lines.clear()
        self._model = self._library.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            raise ValueError("".join(self._lines)[-2000:])

    def buffers(self, asked: dict[str, Any], tokens: int) -> dict[str, int]:
        """Bytes of each kind for a context of so many tokens a sequence, by the log. ValueError where it is refused."""
        params = self._library.llama_context_default_params()
        parallel = asked["parallel"]
        params.n_ctx = tokens * (1 if asked["unified"] else parallel)
        params.n_seq_max, params.n_ubatch = parallel, asked["ubatch"]
        params.n_batch = max(2048, asked["ubatch"])
        params.n_outputs_max = asked["outputs"]
        params.flash_attn_type, params.kv_unified = int(asked["flash"]), asked["unified"]
        params.swa_full, params.embeddings = asked["full_windows"], asked["embeddings"]
        params.type_k, params.type_v = TYPES[asked["type_k"]], TYPES[asked["type_v"]]
        params.n_threads = params.n_threads_batch = 1
        self._lines.clear()
        pointer = self._library.llama_init_from_model(self._model, params)
        log = "".join(self._lines)
        if not pointer:
            raise ValueError(log[-2000:])
        self._library.llama_free(pointer)
        found = told(log)
        # Told is what it begins with: the buffer grows with the first step that gives more rows.
        return found | {"output": max(found["output"], asked["output_bytes"])}

    def projector(self, path: str) -> int:
        """Bytes of a projector's weights and buffer, the larger of with and without flash attention. ValueError where
        the engine refuses the file, RuntimeError where it is not the version that can be asked."""
        try:
            usage = self._library._Z21mtmd_get_memory_usagePKc19mtmd_context_params
            defaults = self._library.mtmd_context_params_default
        except AttributeError as error:
            raise RuntimeError(f"{self.version} cannot be asked about projectors") from error
        defaults.restype, usage.restype = ProjectorParams, _Map
        usage.argtypes = (ctypes.c_char_p, ProjectorParams)
        params = defaults()
        if wrong := [name for name, value in _PROJECTOR_DEFAULTS.items() if getattr(params, name) != value]:
            raise RuntimeError(f"{self.version} is not the version that can be asked: {', '.join(wrong)} differ")
        self._library.mtmd_log_set(self._keep, None)
        most = 0
        for flash in (0, 1):
            params.flash_attn_type = flash
            self._lines.clear()
            found = usage(os.fsencode(path), params)
            if not 1 <= found.count <= _MOST_DEVICES:
                raise ValueError("".join(self._lines)[-2000:] or "it tells no memory")
            most = max(most, sum(_bytes(found.root)))
        return most


def _bytes(node: Any) -> list[int]:
    """What each device holds, of a tree."""
    if not node:
        return []
    return [node.contents.bytes, *_bytes(node.contents.left), *_bytes(node.contents.right)]


def told(log: str) -> dict[str, int]:
    """Bytes by kind. The log rounds to 0.01 MiB: half of that is added, so that no figure is too small."""
    patterns = {
        "kv_cache": r"^llama_kv_cache\S*: size = +([\d.]+) MiB",
        "recurrent_state": (
            r"^llama_memory_recurrent\S*: size = +([\d.]+) MiB|DSV4 \S+ state buffer size = +([\d.]+) MiB"
        ),
        "compute": r"^\S+: +\S+ +compute buffer size = +([\d.]+) MiB",
        "output": r"^\S+: +\S+ +output buffer size = +([\d.]+) MiB",
    }
    found = {}
    for kind, pattern in patterns.items():
        sizes = [float(next(filter(None, each.groups()))) for each in re.finditer(pattern, log, re.MULTILINE)]
        found[kind] = round(sum(size + 0.005 for size in sizes if size) * _MIB)
    if not found["compute"]:
        raise ValueError(f"the engine's log tells no compute buffer: {log[-500:]}")
    return found


def _largest(engine: Engine, asked: dict[str, Any], until: float) -> int | None:
    """The longest context, in steps of 256 and at most the model's, whose buffers fit the budget; found by halving."""

    def fits(tokens: int) -> bool:
        with contextlib.suppress(ValueError):
            return sum(engine.buffers(asked, tokens).values()) <= int(asked["budget_bytes"])
        return False

    most: int = asked["most_tokens"]
    if fits(most):
        return most
    low, high = 0, -(-most // _STEP)
    while high - low > 1 and time.monotonic() < until:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * _STEP) else (low, middle)
    return low * _STEP or None


def _limit_memory(most_bytes: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _projector(engine: Engine, asked: dict[str, Any]) -> dict[str, Any]:
    return {"bytes": engine.projector(asked["projector"])}


def _buffers(engine: Engine, asked: dict[str, Any]) -> dict[str, Any]:
    engine.open(asked["path"])
    buffers = engine.buffers(asked, asked["context_tokens"])
    largest = _largest(engine, asked, time.monotonic() + _SEARCH_SECONDS) if asked["budget_bytes"] else None
    return {"buffers": buffers, "largest_context": largest}


def main() -> None:
    """Answer one request."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    _limit_memory(asked["most_bytes"])
    try:
        engine = Engine()
        tell = _projector if "projector" in asked else _buffers
        answer = {"engine": engine.version, **tell(engine, asked)}
    except (ValueError, RuntimeError, OSError, AttributeError, ImportError) as error:
        answer = {"refused": str(error)[-2000:]}
    print(json.dumps(answer), file=answers, flush=True)
    # The engine's own ends are not waited for: some of its destructors fail where nothing was allocated.
    os._exit(0)


if __name__ == "__main__":
    main()
