"""`quantize()`: byte by byte what the engine's own quantizer makes, and files that the engine loads."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import xllamacpp

from tests.conftest import run_weigh
from tests.gguf_files import write_model
from weighbridge import facts
from weighbridge.compression import FORMS, quantize
from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.specialists import bundled

QUANTIZED = [kind for kind, form in FORMS.items() if form.block > 1]


def awkward_weights() -> np.ndarray:
    """Ordinary ones, and what rounding goes wrong on: zeros, halves, tiny, huge, all alike, one far out."""
    rows = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    rows[3], rows[4, :32], rows[6, :32], rows[7] = 0, 1e-9, np.arange(32) - 16, 0.5
    rows[5] *= 1e4
    rows[8, 5] = -300
    rows[9] = np.abs(rows[9])
    return rows


@pytest.fixture(scope="module")
def engine():
    library = ctypes.CDLL(next(Path(xllamacpp.__file__).parent.glob("*.so")))
    if not hasattr(library, "ggml_quantize_chunk"):
        pytest.skip("this wheel does not export ggml's quantizer")
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p
    ]  # fmt: skip
    return library


@pytest.mark.parametrize("kind", FORMS)
def test_blocks_are_those_of_the_engines_own_quantizer(engine, kind):
    rows, form = awkward_weights(), FORMS[kind]
    mine = form.encode(rows)
    theirs = np.zeros(mine.size, np.uint8)
    size = engine.ggml_quantize_chunk(form.number, rows.ctypes.data, theirs.ctypes.data, 0, *rows.shape, None)

    assert size == mine.size == rows.size // form.block * form.block_bytes
    assert np.array_equal(mine.ravel(), theirs)


@pytest.mark.parametrize("kind", FORMS)
def test_blocks_are_read_as_ggufs_own_library_reads_them(kind):
    packed = FORMS[kind].encode(awkward_weights()).reshape(64, -1)

    assert np.array_equal(FORMS[kind].decode(packed), gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[kind]))


@pytest.mark.parametrize("kind", ["Q4_0", "F16"])
def test_the_file_is_the_old_one_but_for_its_matrices(tmp_path, kind):
    source = bundled()["arithmetic"]
    made = quantize(source, tmp_path / "made.gguf", kind)
    old, new = gguf.GGUFReader(source), gguf.GGUFReader(made.path)
    keys = [name for name in old.fields if not name.startswith("GGUF.") and name != "general.file_type"]

    assert [new.fields[name].contents() for name in keys] == [old.fields[name].contents() for name in keys]
    assert new.fields["general.file_type"].contents() == FORMS[kind].file_type
    assert facts.read(made.path).quantization == kind
    for before, after in zip(old.tensors, new.tensors, strict=True):
        assert (before.name, tuple(before.shape)) == (after.name, tuple(after.shape))
        if len(before.shape) == 1:
            assert np.array_equal(before.data, after.data)
        else:
            wanted = gguf.quants.quantize(
                gguf.quants.dequantize(before.data, before.tensor_type), gguf.GGMLQuantizationType[kind]
            )
            assert np.array_equal(after.data.view(np.uint8).ravel(), wanted.view(np.uint8).ravel())
    assert made.tensors + made.kept == len(new.tensors)
    assert made.file_bytes == made.path.stat().st_size


def test_rows_that_are_no_whole_blocks_become_f16(tmp_path):
    source = write_model(tmp_path / "narrow.gguf", width=48, layers=1)
    made = quantize(source, tmp_path / "made.gguf", "Q8_0")

    assert made.halved > 0
    assert {tensor.tensor_type.name for tensor in gguf.GGUFReader(made.path).tensors} <= {"F16", "F32", "Q8_0"}


def test_what_cannot_be_made_is_said_and_leaves_nothing(tmp_path):
    source = bundled()["arithmetic"]
    there = tmp_path / "there.gguf"
    there.write_bytes(b"mine")
    with pytest.raises(BadSetting, match="is there already"):
        quantize(source, there, "Q4_0")
    with pytest.raises(BadSetting, match="no type 'Q3_K'"):
        quantize(source, tmp_path / "new.gguf", "Q3_K")
    with pytest.raises(BadSetting, match="no such folder"):
        quantize(source, tmp_path / "nowhere" / "new.gguf", "Q4_0")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(source.read_bytes()[:-1000])
    with pytest.raises(BadModelFile):
        quantize(cut, tmp_path / "new.gguf", "Q4_0")
    # What is no number is found while the file is being written.
    data = bytearray(quantize(source, tmp_path / "whole.gguf", "F16").path.read_bytes())
    last = max(gguf.GGUFReader(tmp_path / "whole.gguf").tensors, key=lambda each: each.data_offset * len(each.shape))
    data[int(last.data_offset) : int(last.data_offset) + 2] = np.float16(np.nan).tobytes()
    cut.write_bytes(data)
    with pytest.raises(BadModelFile, match="no number"):
        quantize(cut, tmp_path / "new.gguf", "Q4_0")

    assert there.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.gguf", "there.gguf", "whole.gguf"]


def test_a_variant_is_made_by_one_command_and_compared_by_another_with_a_task(tmp_path):
    """The file's own loss, and what that does to answers: by one command each."""
    made = tmp_path / "arithmetic-Q4_0.gguf"
    state = {"WEIGHBRIDGE_STATE_DIR": str(tmp_path / "state")}
    done = run_weigh("quantize", "arithmetic", "q4_0", "--out", str(made), **state)
    assert done.returncode == 0, done.stderr
    assert "29 matrices as Q4_0" in done.stdout
    task = tmp_path / "sums.jsonl"
    task.write_text("".join(f'{{"input": "What is {a} plus 5?", "target": "{a + 5}"}}\n' for a in range(20, 28)))
    told = run_weigh(
        "compare", str(made), "arithmetic", "--tokens", "400", "--task", str(task), "--json", timeout=120, **state
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)

    assert 0.01 < found["kl"]["value"] < 0.2
    [report] = found["tasks"]
    assert {each["model"]: each["samples"] for each in report["results"]} == {"arithmetic": 8, "arithmetic-Q4_0": 8}
    assert report["comparisons"][0]["difference"]["n"] == 8
    assert report["advice"]["use"]
