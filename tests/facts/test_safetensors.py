"""`facts.read` on safetensors: true headers are read whole, and what is wrong is named with its place."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.safetensors_files import header, write, write_folder
from weighbridge import facts
from weighbridge.errors import BadModelFile, WeighbridgeError

LINEAR = {
    "model.embed_tokens.weight": ("BF16", (1000, 64)),
    "model.layers.0.self_attn.q_proj.weight": ("BF16", (64, 64)),
    "model.layers.0.mlp.up_proj.weight": ("F32", (128, 64)),
    "lm_head.weight": ("BF16", (1000, 64)),
}


def test_tensors_are_read_with_their_places(tmp_path):
    found = facts.read(write(tmp_path / "model.safetensors", LINEAR))
    start = len(header(LINEAR)[0])

    assert [(t.name, t.type, t.shape) for t in found.tensors] == [(n, k, s) for n, (k, s) in LINEAR.items()]
    assert found.tensors[0].offset == start
    assert found.tensors[-1].offset + found.tensors[-1].bytes == (tmp_path / "model.safetensors").stat().st_size
    assert found.parameters.total == 1000 * 64 * 2 + 64 * 64 + 128 * 64
    assert found.weights_bytes == 2 * (1000 * 64 * 2 + 64 * 64) + 4 * 128 * 64
    assert found.source.bytes_read == start


def test_a_header_alone_is_read_and_said(tmp_path):
    found = facts.read(write(tmp_path / "model.safetensors", LINEAR, body=False))

    assert found.parameters.total == 1000 * 64 * 2 + 64 * 64 + 128 * 64
    assert any("headers alone" in note for note in found.notes)


@pytest.mark.parametrize("shards", [2, 4])
def test_shards_are_one_model(tmp_path, shards):
    whole = facts.read(write_folder(tmp_path / "whole", None, LINEAR))
    folder = write_folder(tmp_path / "split", None, LINEAR, shards)

    for source in (
        folder,
        folder / "model.safetensors.index.json",
        folder / f"model-00001-of-{shards:05d}.safetensors",
    ):
        found = facts.read(source)
        assert found.parameters == whole.parameters
        assert found.weights_bytes == whole.weights_bytes
        assert len([file for file in found.source.files if file.endswith(".safetensors")]) == shards
        assert {tensor.file for tensor in found.tensors} == set(range(shards))


def test_shards_without_their_index_are_found_by_their_names(tmp_path):
    folder = write_folder(tmp_path, None, LINEAR, 3)
    (folder / "model.safetensors.index.json").unlink()

    assert facts.read(folder).parameters.total == 1000 * 64 * 2 + 64 * 64 + 128 * 64


def test_an_index_without_its_files_tells_bytes_and_no_parameters(tmp_path):
    folder = write_folder(tmp_path, {"model_type": "unheard_of"}, LINEAR, 2)
    for shard in folder.glob("*.safetensors"):
        shard.unlink()
    found = facts.read(folder)

    assert found.weights_bytes == 2 * (1000 * 64 * 2 + 64 * 64) + 4 * 128 * 64
    assert found.parameters.total is None
    assert "none of the 2 files" in found.notes[0]


def test_a_missing_shard_is_named(tmp_path):
    folder = write_folder(tmp_path, None, LINEAR, 4)
    (folder / "model-00003-of-00004.safetensors").unlink()

    with pytest.raises(BadModelFile, match=r"part model-00003-of-00004\.safetensors of 4 is missing"):
        facts.read(folder)


def test_an_index_and_files_of_different_revisions_are_told(tmp_path):
    folder = write_folder(tmp_path, None, LINEAR, 2)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"]["model.norm.weight"] = "model-00001-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(
        BadModelFile, match=r"no file holds 1 of the 5 tensors that the index promises, 'model\.norm\.weight'"
    ):
        facts.read(folder)


def test_a_tensor_in_another_file_than_the_index_names_is_told(tmp_path):
    folder = write_folder(tmp_path, None, LINEAR, 2)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"]["lm_head.weight"] = "model-00001-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(BadModelFile, match=r"00001-of-00002\.safetensors: the index promises tensor 'lm_head\.weight'"):
        facts.read(folder)


def test_a_tensor_in_two_files_is_told(tmp_path):
    for number in (1, 2):
        write(tmp_path / f"model-0000{number}-of-00002.safetensors", LINEAR)

    with pytest.raises(BadModelFile, match=r"00001-of-00002.*is in model-00002-of-00002\.safetensors too"):
        facts.read(tmp_path)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"a": "model.safetensors.index.json"}, "expected names of safetensors files"),
        ({"a": "../outside.safetensors"}, "expected names of safetensors files in the same folder"),
        ({"a": 7}, "expected names of safetensors files"),
        ({}, "expected 1 to 4,096 files"),
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(tmp_path, places, message):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))

    with pytest.raises(BadModelFile, match=message):
        facts.read(tmp_path)


def entry(name: str, kind: str, shape: str, begin: int, end: int) -> str:
    return f'"{name}":{{"dtype":"{kind}","shape":[{shape}],"data_offsets":[{begin},{end}]}}'


A = entry("a", "F32", "2", 0, 8)


@pytest.mark.parametrize(
    ("text", "body", "message"),
    [
        ("{" + A + "," + entry("b", "F32", "2", 4, 12) + "}", 12, r"'b' begins at byte \d+, inside tensor 'a'"),
        ("{" + A + "," + entry("b", "F32", "2", 12, 20) + "}", 20, "belong to no tensor"),
        ("{" + A + "," + A + "}", 8, "'a' occurs twice"),
        ("{" + entry("a", "F32", "3", 0, 8) + "}", 8, r"has 8 bytes, F32 of shape \[3\] takes 12"),
        ("{" + entry("a", "F32", "2", 0, 8) + "}", 4, "4 bytes are missing"),
        ("{" + entry("a", "F32", "2", 0, 8) + "}", 9, "1 bytes follow the last tensor"),
        ("{" + entry("a", "Q9", "2", 0, 8) + "}", 8, "type 'Q9', which is not known"),
        ("{" + entry("a", "F32", "2,,2", 0, 8) + "}", 8, "expected lengths"),
        ("{" + entry("a", "F32", "9223372036854775807,9223372036854775807", 0, 8) + "}", 8, "more than any tensor has"),
        ("{" + A, 8, "expected ',' or '}'"),
        ("{" + A + ",}", 8, "expected the name of a tensor"),
        ("[1]", 0, "this is no safetensors header"),
        ("{" + A + "}x", 8, "after the header's end"),
        ('{"a":{"dtype":"F32","shape":[2]}}', 8, "expected dtype, shape and data_offsets"),
        ('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', 8, "expected a type, lengths and two offsets"),
        ('{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8, "key 'dtype' occurs twice"),
        ('{"a":[' + "[" * 5000 + "]" * 5000 + "]}", 0, "nested too deeply"),
        ('{"a":{"dtype":"F32","shape":[' + "9" * 5000 + '],"data_offsets":[0,8]}}', 8, "digits"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, text, body, message):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(body))

    with pytest.raises(BadModelFile, match=message) as caught:
        facts.read(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "a safetensors file has at least 8"),
        (b"abc", "a safetensors file has at least 8"),
        ((1 << 40).to_bytes(8, "little"), "the header's length is given as 1,099,511,627,776 bytes"),
        (b"\x01" + bytes(7) + b"{", "the header's length is 1"),
        (b"\x04" + bytes(7) + b"\xff\xfe{}", "no UTF-8"),
        (b"PK\x03\x04" + bytes(64), "pickle"),
        (b"\x80\x04\x95" + bytes(64), "pickle"),
    ],
)
def test_what_is_no_safetensors_file_is_told(tmp_path, raw, message):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(raw)

    with pytest.raises(BadModelFile, match=message):
        facts.read(path)


def test_a_pickle_is_never_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    import pickle

    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    for source in (tmp_path / "pytorch_model.bin", tmp_path):
        with pytest.raises(BadModelFile):
            facts.read(source)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')

    assert any("pickles" in note for note in facts.read(tmp_path).notes)
    assert not (tmp_path / "sprung").exists()


def test_an_unusual_but_valid_header_is_read(tmp_path):
    text = ' {\n "__metadata__" : {"format":"pt"} ,\n'
    text += '"we\\u0069ght": {"data_offsets": [0, 8], "shape": [2], "dtype": "F32"},'
    text += '"s": {"shape":[], "dtype":"F32", "data_offsets":[8,12]}, '
    text += entry("none", "F32", "0", 12, 12) + "}  "
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(12))

    assert [(t.name, t.elements) for t in facts.read(path).tensors] == [("weight", 2), ("s", 1), ("none", 0)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_header_is_read_or_refused_and_nothing_else(data):
    raw = bytearray(header(LINEAR)[0] + bytes(64))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.safetensors"
        path.write_bytes(bytes(raw))
        try:
            facts.read(path)
        except WeighbridgeError as error:
            assert "damaged.safetensors" in str(error)
