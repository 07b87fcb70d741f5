"""What engines and servers say may be anything: it is quoted or left, and never breaks us."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.engines.causes import cause_of
from weighbridge.engines.remote import _list, _stated_context
from weighbridge.errors import EngineFailed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("data id meta n_ctx x".split()), inner),
    max_leaves=12,
)


@given(st.lists(st.text(max_size=2000), max_size=8))
def test_a_cause_is_one_short_line_or_none(lines):
    cause = cause_of(lines)
    assert cause is None or len(cause) <= 300


@given(st.lists(st.text(alphabet="abc xyz", max_size=40), max_size=5))
def test_a_log_without_an_error_tells_no_cause(lines):
    assert cause_of(lines) is None


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        # llama.cpp: the reason comes first, and three lines say only that it failed.
        (
            "0.00.014.879 E llama_model_load: error loading model: check_tensor_dims: tensor 'x' not found\n"
            "0.00.014.932 E llama_model_load_from_file_impl: failed to load model\n"
            "0.00.016.056 E srv          init: exiting due to model loading error",
            "llama_model_load: error loading model: check_tensor_dims: tensor 'x' not found",
        ),
        # An assertion beats what was said before it.
        (
            "0.00.001.000 E something: was odd\n/src/ggml.c:3355: GGML_ASSERT(ggml_can_mul_mat(a, b)) failed\n",
            "/src/ggml.c:3355: GGML_ASSERT(ggml_can_mul_mat(a, b)) failed",
        ),
        # CUDA: the allocation that failed, not the buffer that was wanted for it.
        (
            "0.00.100.000 E ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9216.00 MiB on device 0: "
            "cudaMalloc failed: out of memory\n0.00.100.010 E alloc_tensor_range: failed to allocate CUDA0 buffer",
            "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9216.00 MiB on device 0: cudaMalloc failed: out of "
            "memory",
        ),
        # vLLM: the first exception, not the one that says that there was another.
        (
            "(EngineCore pid=7) ERROR 11-21 12:00:05 [core.py:700] Traceback (most recent call last):\n"
            "(EngineCore pid=7) ERROR 11-21 12:00:05 [core.py:700] torch.cuda.OutOfMemoryError: CUDA out of memory.\n"
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
            "torch.cuda.OutOfMemoryError: CUDA out of memory.",
        ),
        ("usage: vllm\nvllm serve: error: unrecognized arguments: -x", "vllm serve: error: unrecognized arguments: -x"),
        ("all is well\nModuleNotFoundError: No module named 'torch'", "ModuleNotFoundError: No module named 'torch'"),
    ],
)  # fmt: skip
def test_the_line_that_tells_most_is_quoted(log, cause):
    assert cause_of(log.splitlines()) == cause


@given(JSON)
def test_any_list_of_models_is_taken_or_refused_with_the_address(content):
    try:
        entries = _list(json.dumps(content).encode(), "far", "http://far/v1/models")
    except EngineFailed as error:
        assert "http://far/v1/models" in str(error)
        return
    for entry in entries:
        context = _stated_context(entry)
        assert context is None or context > 0


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_the_address(raw):
    with pytest.raises(EngineFailed, match="http://far/v1/models"):
        _list(raw, "far", "http://far/v1/models")
