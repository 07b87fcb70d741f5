"""`facts.read` on GGUF files: what it reads is what was written, and what is wrong is named."""

from __future__ import annotations

import functools
import os
import struct
import tempfile
import time
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import SHARED
from tests.gguf_files import header, tensor_entry, text, write_model
from weighbridge import facts
from weighbridge.errors import BadModelFile


def test_parameters_are_the_sum_of_tensor_shapes(tiny_gguf):
    path = tiny_gguf()
    found = facts.read(path)
    tensors = gguf.GGUFReader(path).tensors

    assert found.parameters.total == sum(int(tensor.n_elements) for tensor in tensors)
    assert found.weights_bytes == sum(int(tensor.n_bytes) for tensor in tensors)


def test_tensor_places_are_those_of_the_gguf_package(tiny_gguf):
    path = tiny_gguf()
    ours = {tensor.name: (tensor.offset, tensor.bytes, tensor.shape) for tensor in facts.read(path).tensors}
    theirs = {
        t.name: (int(t.data_offset), int(t.n_bytes), tuple(map(int, t.shape))) for t in gguf.GGUFReader(path).tensors
    }

    assert ours == theirs


def test_only_the_header_is_read(tiny_gguf):
    path = tiny_gguf(width=256, inner=1024)
    found = facts.read(path)

    assert found.source.bytes_read < path.stat().st_size - found.weights_bytes + 32


def test_active_parameters_count_the_experts_that_are_used(tiny_gguf):
    found = facts.read(tiny_gguf(experts=8, experts_used=2))
    routed = 2 * 8 * 3 * 64 * 128

    assert found.parameters.routed_experts == routed
    assert found.parameters.total - found.parameters.active == routed * 6 // 8
    assert (found.experts.total, found.experts.used) == (8, 2)


def test_grouped_query_attention_keeps_its_kv_heads(tiny_gguf):
    (layer, *_) = facts.read(tiny_gguf(width=64, heads=4, kv_heads=2)).layers

    assert layer.kind == "grouped_query"
    assert layer.kv_bytes_per_token == 2 * (16 + 16) * 2


def test_a_sliding_window_caps_the_SMALL(tiny_gguf):
    found = facts.read(
        tiny_gguf(
            layers=2,
            metadata={"llama.attention.sliding_window": 1024, "llama.attention.sliding_window_pattern": [1, 0]},
        )
    )
    windowed, full = found.layers

    assert windowed.cache_bytes(8192) == windowed.cache_bytes(1024)
    assert full.cache_bytes(8192) == 8 * full.cache_bytes(1024)


def test_a_window_without_a_pattern_is_counted_whole_and_said(tiny_gguf):
    found = facts.read(tiny_gguf(metadata={"llama.attention.sliding_window": 1024}))

    assert all(layer.window_tokens is None for layer in found.layers)
    assert "does not say which layers" in found.notes[0]


def test_a_latent_cache_is_rank_plus_rotary_part(tiny_gguf):
    lengths = {"llama.attention.key_length_mla": 24, "llama.attention.value_length_mla": 16}
    latent = {"llama.attention.kv_lora_rank": 512, "llama.attention.key_length": 512 + 16}
    found = facts.read(tiny_gguf(kv_heads=1, metadata=latent | lengths))

    assert found.layers[0].kind == "latent"
    assert found.layers[0].kv_bytes_per_token == (512 + 16) * 2


def test_a_latent_vector_that_the_engine_unfolds_is_a_cache_of_keys_and_values(tiny_gguf):
    found = facts.read(tiny_gguf(metadata={"llama.attention.kv_lora_rank": 512}))

    assert found.layers[0].kind == "grouped_query"


def test_a_layer_that_attends_and_keeps_a_state_counts_both(tiny_gguf):
    found = facts.read(tiny_gguf(metadata={"llama.ssm.inner_size": 128, "llama.ssm.state_size": 16}))

    assert found.layers[0].kv_bytes_per_token > 0
    assert found.layers[0].state_bytes == 16 * 128 * 4


def test_a_layer_without_kv_heads_keeps_a_fixed_state(tiny_gguf):
    path = tiny_gguf(metadata={"llama.ssm.inner_size": 128, "llama.ssm.state_size": 16, "llama.ssm.conv_kernel": 4})
    found = facts.read(_with_kv_heads(path, [0, 2]))

    assert [layer.kind for layer in found.layers] == ["recurrent", "grouped_query"]
    assert found.layers[0].state_bytes == (3 * 128 + 16 * 128) * 4
    assert found.layers[0].cache_bytes(100) == found.layers[0].cache_bytes(100_000)


def _with_kv_heads(path: Path, per_layer: list[int]) -> Path:
    """The file with `head_count_kv` as a list, one number a layer, in place of the one number."""
    key = text("llama.attention.head_count_kv")
    raw = path.read_bytes()
    at = raw.index(key) + len(key)
    listed = struct.pack(f"<IIQ{len(per_layer)}i", 9, 5, len(per_layer), *per_layer)
    entries_end = raw.index(text("token_embd.weight"))
    grown = raw[:at] + listed + raw[at + 8 :]
    start_before = -(-_header_end(raw) // 32) * 32
    end_after = _header_end(raw) + len(listed) - 8
    start_after = -(-end_after // 32) * 32
    assert entries_end < start_before
    path.write_bytes(grown[:end_after] + bytes(start_after - end_after) + raw[start_before:])
    return path


def _header_end(raw: bytes) -> int:
    last = text("blk.1.ffn_down.weight")
    return raw.index(last) + len(last) + 4 + 2 * 8 + 4 + 8


def test_a_split_model_is_read_as_one(tmp_path):
    whole = facts.read(write_model(tmp_path / "whole.gguf"))
    for part in (1, 2):
        metadata = {"split.count": 2, "split.no": part - 1}
        prefix = "second." if part == 2 else ""
        write_model(tmp_path / f"model-{part:05d}-of-00002.gguf", metadata=metadata, prefix=prefix)

    found = facts.read(tmp_path / "model-00001-of-00002.gguf")

    assert found.parameters.total == 2 * whole.parameters.total
    assert len(found.source.files) == 2


def test_a_part_that_occurs_twice_or_in_anothers_place_is_named(tmp_path):
    for part in (1, 2):
        write_model(tmp_path / f"same-{part:05d}-of-00002.gguf", metadata={"split.count": 2})
        write_model(tmp_path / f"swap-{part:05d}-of-00002.gguf", metadata={"split.count": 2, "split.no": 2 - part})

    with pytest.raises(BadModelFile, match=r"tensor '.*' is in same-00001-of-00002\.gguf too"):
        facts.read(tmp_path / "same-00001-of-00002.gguf")
    with pytest.raises(BadModelFile, match=r"split\.no is 1, expected 0"):
        facts.read(tmp_path / "swap-00001-of-00002.gguf")


def test_a_missing_part_is_named(tmp_path):
    write_model(tmp_path / "model-00001-of-00002.gguf", metadata={"split.count": 2})

    with pytest.raises(BadModelFile, match=r"part model-00002-of-00002\.gguf of 2 is missing"):
        facts.read(tmp_path / "model-00001-of-00002.gguf")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 an archive", r"begins with b'PK\\x03\\x04', expected b'GGUF'"),
        (b"GGUF", "the version needs 4 bytes"),
        (b"GGUF" + struct.pack("<I", 1), "GGUF version 1, expected 2 or 3"),
        (header(1 << 60, 0, b"x" * 100), "promises 1,152,921,504,606,846,976 tensors, and 100 bytes can hold 3"),
        (header(0, 1 << 60, b"x" * 100), "promises 1,152,921,504,606,846,976 metadata entries"),
        (header(0, 1, struct.pack("<Q", 1 << 40) + b"x" * 20), "the name of metadata entry 0 needs 1,099,511,627,776"),
        (header(0, 1, text("key") + struct.pack("<IIQ", 9, 8, 1 << 50)), "array 'key' of 1,125,899,906,842,624 values"),
        (header(0, 1, text("key") + struct.pack("<IIQ", 9, 9, 1) + b"x" * 8), "has values of type 9"),
        (
            header(1, 0, struct.pack("<Q1sIIQ", 1, b"t", 0, 8, 0) + bytes(64)),
            "has a single weight, Q8_0 holds them in 32s",
        ),
        (header(0, 1, text("key") + struct.pack("<I", 77) + b"x" * 8), "has a value of type 77"),
        (header(0, 2, (text("k") + struct.pack("<IB", 0, 1)) * 2), "metadata key 'k' occurs twice"),
        (header(1, 0, tensor_entry("t", (32,), 99, 0)), "is of type 99, which is not known"),
        (header(1, 0, tensor_entry("t", (33,), 8, 0)), "rows of 33 weights, Q8_0 holds them in 32s"),
        (header(1, 0, tensor_entry("t", (0, 4), 0, 0)), r"has the shape \[0, 4\]"),
        (header(1, 0, tensor_entry("t", (1 << 40, 1 << 40), 0, 0)), "has the shape"),
        (header(1, 0, tensor_entry("t" * 80, (4,), 0, 0)), "the name of tensor 0 has 80 bytes, expected at most 63"),
        (header(1, 0, tensor_entry("t", (1024,), 0, 0)), "bytes are missing"),
        (
            header(2, 0, tensor_entry("a", (16,), 0, 0) + tensor_entry("b", (16,), 0, 32) + bytes(256)),
            "tensor 'b' begins at 128, inside tensor 'a'",
        ),
        (header(1, 0, tensor_entry("a", (16,), 0, 7) + bytes(256)), "which is not aligned to 32 bytes"),
        (header(2, 0, tensor_entry("a", (8,), 0, 0) * 2 + bytes(256)), "tensor 'a' occurs twice"),
    ],
)
def test_a_damaged_file_is_named_with_place_and_cause(tmp_path, content, message):
    path = tmp_path / "damaged.gguf"
    path.write_bytes(content)

    with pytest.raises(BadModelFile, match=message) as caught:
        facts.read(path)

    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_a_truncated_file_says_how_many_bytes_are_missing(tiny_gguf):
    path = tiny_gguf()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 1000)

    with pytest.raises(BadModelFile, match="1,000 bytes are missing"):
        facts.read(path)


def test_a_list_of_strings_without_end_is_refused_at_once(tmp_path):
    path = tmp_path / "endless.gguf"
    path.write_bytes(header(0, 1, text("key") + struct.pack("<IIQ", 9, 8, 1 << 36)))
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    begun = time.process_time()

    with pytest.raises(BadModelFile, match="brings all lists of strings to more than 4,194,304"):
        facts.read(path)
    # To walk over half a terabyte of empty strings would take minutes.
    assert time.process_time() - begun < 30


def test_texts_are_bounded_together(tmp_path):
    path = tmp_path / "long.gguf"
    entries = b"".join(text(f"key{index}") + struct.pack("<IQ", 8, 1 << 22) + bytes(1 << 22) for index in range(5))
    path.write_bytes(header(0, 5, entries))

    with pytest.raises(BadModelFile, match="brings all texts to more than 16,777,216 bytes"):
        facts.read(path)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.gguf")

    with pytest.raises(BadModelFile, match="is no ordinary file"):
        facts.read(tmp_path / "pipe.gguf")


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(BadModelFile, match=r"none\.gguf: is not there"):
        facts.read(tmp_path / "none.gguf")
    with pytest.raises(BadModelFile, match="is a folder with nothing, expected"):
        facts.read(tmp_path)


def test_a_big_endian_file_reads_like_its_twin(tmp_path):
    little = write_model(tmp_path / "little.gguf")
    assert facts.read(little).architecture == "llama"
    entry = struct.pack(">Q", 20) + b"general.architecture" + struct.pack(">IQ", 8, 5) + b"llama"
    path = tmp_path / "big.gguf"
    path.write_bytes(header(0, 1, entry, order=">"))

    with pytest.raises(BadModelFile, match="has no tensors"):
        facts.read(path)


@pytest.mark.parametrize("value", ["many", [1, 2, 3]])
def test_a_key_of_the_wrong_kind_is_named(tmp_path, value):
    raw = write_model(tmp_path / "m.gguf", metadata={"llama.attention.key_length": value})

    with pytest.raises(BadModelFile, match=r"llama\.attention\.key_length is .*, expected a whole number"):
        facts.read(raw)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_an_error_or_a_readable_model(tmp_path_factory, data):
    raw = bytearray(_small_model())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(raw), 9000) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(raw))))
    path = tmp_path_factory.mktemp("damage") / "m.gguf"
    path.write_bytes(raw[:cut])

    try:
        found = facts.read(path)
    except BadModelFile as error:
        assert str(path) in str(error)
    else:
        assert found.parameters.total > 0


@functools.cache
def _small_model() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_model(Path(folder) / "m.gguf", layers=1).read_bytes()


@pytest.mark.skipif(not (SHARED / "models").exists(), reason="../shared/models is not in this clone")
def test_a_model_trained_elsewhere_is_read():
    found = facts.read(SHARED / "models" / "stories260K.gguf")

    assert (found.architecture, len(found.layers), found.context_length) == ("llama", 5, 512)
    # Both copies of the embedding lie in the file; its README counts 264,128 with llama2.c's 4,096 tabled angles.
    assert found.parameters.total - found.parameters.output == 264_128 - 4_096


@pytest.mark.skipif(not (SHARED / "data").exists(), reason="../shared/data is not in this clone")
@pytest.mark.parametrize("path", sorted((SHARED / "data" / "gguf-vocab").glob("*.gguf")), ids=lambda path: path.stem)
def test_a_vocabulary_is_told_from_a_model(path):
    with pytest.raises(BadModelFile, match="has no tensors, only metadata"):
        facts.read(path)
