"""The loops of walk.c do what the Python ones do, to the byte; and headers are read in chunks of any size."""

from __future__ import annotations

import functools
import io
import os
import random
import shutil
import struct
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.gguf_files import header, tensor_entry, text, write_model
from weighbridge.errors import BadModelFile
from weighbridge.facts.gguf import SkippedArray, read_header, read_header_of
from weighbridge.facts.gguf_types import TENSOR_TYPES
from weighbridge.facts.walk import LIBRARY, CWalks, PythonWalks, find_walks

compiled = pytest.mark.skipif(
    not LIBRARY.is_file(), reason="walk.c was not compiled: no C compiler when this was installed"
)
LENGTHS = st.one_of(st.integers(0, 80), st.integers(0, 5000), st.integers(0, 2**64 - 1), st.just(2**64 - 8))


@functools.cache
def in_c() -> CWalks:
    return CWalks(LIBRARY)


def test_an_installed_package_has_the_library_where_a_compiler_is():
    if not any(map(shutil.which, ("cc", "gcc", "clang"))) or os.environ.get("CC"):
        pytest.skip("no C compiler here, or one that was named for this once")

    assert LIBRARY.is_file(), "make setup compiles it: hatch_build.py"
    assert isinstance(find_walks(), CWalks)


@st.composite
def buffers(draw, order):
    """Stretches of strings that repeat, so that buffers are large enough to be walked in pieces, with damage."""
    raw = b""
    for _ in range(draw(st.integers(1, 4))):
        rng = random.Random(draw(st.integers(0, 2**32)))
        most = draw(st.sampled_from((0, 1, 12, 70, 300)))
        filler = draw(st.sampled_from((b"x", b"\x00", b"\x01")))
        sizes = [rng.randint(0, most) for _ in range(draw(st.sampled_from((0, 1, 30, 1500))))]
        raw += b"".join(struct.pack(order + "Q", size) + filler * size for size in sizes)
        raw += draw(st.one_of(st.just(b""), st.binary(max_size=20), LENGTHS.map(lambda n: struct.pack(order + "Q", n))))
    return raw


@compiled
@settings(max_examples=examples(100), deadline=None)
@given(data=st.data(), order=st.sampled_from("<>"))
def test_both_loops_over_strings_stop_at_the_same_byte(data, order):
    raw = bytearray(data.draw(buffers(order)))
    end = data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))
    at = data.draw(st.one_of(st.just(0), st.integers(0, end)))
    count = data.draw(st.one_of(st.integers(0, 20), st.integers(0, 10_000), st.just(1 << 62)))

    assert in_c().texts(raw, at, end, count, order) == PythonWalks().texts(raw, at, end, count, order)


@compiled
@pytest.mark.parametrize("order", "<>")
def test_pieces_that_all_end_in_a_string_without_end_are_left(order):
    # 0xff in all places: each seems longer than the buffer. Strings of short lengths lie between, to cut pieces at.
    endless = struct.pack(order + "Q", 2**64 - 9)
    raw = bytearray((struct.pack(order + "Q", 4) + b"four") * 20 + endless) * 100

    for at in (0, 12, 12 * 20, 5):
        assert in_c().texts(raw, at, len(raw), 10_000, order) == PythonWalks().texts(raw, at, len(raw), 10_000, order)


def pack_tensor(order, name, shape, kind, offset):
    size = struct.pack(order + "Q", len(name))
    return size + name + struct.pack(f"{order}I{len(shape)}QIQ", len(shape), *shape, kind, offset)


TENSORS = st.tuples(
    st.one_of(
        st.from_regex(rb"blk\.[0-9]{1,2}\.[a-z_]{1,12}\.weight", fullmatch=True),
        st.binary(max_size=80),
        st.sampled_from((b"", b"one\ntwo", "ü".encode(), b"x" * 63, b"x" * 64)),
    ),
    st.lists(st.sampled_from((1, 32, 256, 2**63)), max_size=5).map(tuple),
    st.integers(0, 40),
    st.integers(0, 2**64 - 1),
)


@compiled
@settings(max_examples=examples(100), deadline=None)
@given(
    tensors=st.lists(TENSORS, max_size=30),
    order=st.sampled_from("<>"),
    cut=st.integers(0, 100),
    count=st.integers(0, 40),
)
@example(tensors=[(b"a", (1,), 0, 0), (b"b", (1,), 0, 32), (b"c", (1,), 1, 64)], order="<", cut=0, count=3)
def test_tensors_are_listed_as_they_were_written(tensors, order, cut, count):
    packed = [pack_tensor(order, *tensor) for tensor in tensors]
    raw = bytearray(b"".join(packed))
    raw = raw[: len(raw) - cut] if cut < len(raw) else raw
    at, listed = in_c().tensors(raw, 0, len(raw), count, order)

    found = len(listed.names)
    assert found <= count
    assert at == sum(map(len, packed[:found])) <= len(raw)
    assert listed.names == [name.decode() for name, *_ in tensors[:found]]
    assert list(listed.offsets) == [offset for *_, offset in tensors[:found]]
    forms = [entry[8 + len(name) : -8] for entry, (name, *_) in zip(packed, tensors, strict=True)]
    assert [bytes(raw[at : at + len(form)]) for at, form in zip(listed.forms, forms, strict=False)] == forms[:found]
    assert len(set(listed.forms)) == len(set(forms[:found]))
    if found < min(count, len(tensors)) and at + len(packed[found]) <= len(raw):
        name, shape, *_ = tensors[found]
        assert not 0 < len(name) <= 63 or len(shape) > 4 or not name.isascii() or not name.decode().isprintable()


# Headers with much to pass over


def large_model(order="<", tensors=600):
    """A header with arrays that are passed over and enough tensors to be listed at once, and its weights."""

    def string(value):
        return struct.pack(order + "Q", len(value)) + value

    rng = random.Random(7)
    tokens = b"".join(string(b"x" * rng.randrange(12)) for _ in range(9000))
    entries = [
        string(b"general.architecture") + struct.pack(order + "I", 8) + string(b"llama"),
        string(b"tokens") + struct.pack(order + "IIQ", 9, 8, 9000) + tokens,
        string(b"scores") + struct.pack(order + "IIQ", 9, 6, 9000) + bytes(4 * 9000),
        string(b"few") + struct.pack(order + "IIQ3i", 9, 5, 3, 1, 2, 3),
    ]
    table = [
        pack_tensor(order, f"blk.{index}.w".encode(), ((32,), (32, 2), (64, 2, 1))[index % 3], 8, 160 * index)
        for index in range(tensors)
    ]
    raw = header(tensors, len(entries), b"".join(entries) + b"".join(table), order=order)
    return raw + bytes(-len(raw) % 32 + 160 * tensors)


def outcome(raw, **options):
    """The header, or the error's words."""
    try:
        return read_header_of(io.BytesIO(raw), "model", len(raw), **options)
    except BadModelFile as error:
        return str(error), error.hint


@pytest.mark.parametrize("order", "<>")
def test_a_large_header_reads_the_same_in_chunks_of_any_size(order):
    raw = large_model(order)
    whole = outcome(raw, chunk_bytes=len(raw), walks=PythonWalks())

    assert whole.metadata["tokens"] == SkippedArray(9000)
    assert len(whole.tensors) == 600
    for chunk_bytes in (1, 100, 5000, 1 << 18):
        assert outcome(raw, chunk_bytes=chunk_bytes, walks=PythonWalks()) == whole
        assert outcome(raw, chunk_bytes=chunk_bytes, walks=find_walks()) == whole
        assert outcome(raw, chunk_bytes=chunk_bytes, most_chunk_bytes=1 << 20) == whole


@compiled
@settings(max_examples=examples(100), deadline=None)
@given(data=st.data(), order=st.sampled_from("<>"))
def test_damage_is_named_in_the_same_words_by_both(data, order):
    raw = bytearray(large_model(order, tensors=20 if data.draw(st.booleans()) else 600))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 8))
        raw[at : at + 8] = data.draw(
            st.one_of(st.binary(min_size=1, max_size=1), LENGTHS.map(lambda n: struct.pack(order + "Q", n)))
        )
    raw = bytes(raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(1, len(raw))))])
    chunk_bytes = data.draw(st.sampled_from((64, 4096, 1 << 18)))

    assert outcome(raw, walks=in_c(), chunk_bytes=chunk_bytes) == outcome(raw, walks=PythonWalks())


@pytest.mark.parametrize("name", ["blk.599.w", "new\nline"])
def test_tensors_of_one_name_are_found_among_many(name):
    raw = large_model()
    last = pack_tensor("<", b"blk.599.w", (64, 2, 1), 8, 160 * 599)
    table = raw.index(pack_tensor("<", b"blk.0.w", (32,), 8, 0))
    twice = struct.pack("<Q", len(name)) + name.encode() + last[8 + 9 :]
    ends = raw.index(last) + len(last)
    grown = bytearray(raw[:table] + twice + raw[table:ends] + twice + raw[ends:])
    grown[8:16] = struct.pack("<Q", 602)

    for walks in (PythonWalks(), find_walks()):
        message, _ = outcome(bytes(grown), walks=walks)
        assert f"tensor {name!r} occurs twice" in message


class Remote:
    """A file that can only be read and sought, and answers in small pieces."""

    def __init__(self, raw: bytes, most: int) -> None:
        self.raw, self.most, self.at = raw, most, 0
        self.asked: list[int] = []
        self.read_bytes = 0

    def read(self, count: int) -> bytes:
        self.asked.append(count)
        found = self.raw[self.at : self.at + min(count, self.most)]
        self.at += len(found)
        self.read_bytes += len(found)
        return found

    def seek(self, place: int) -> int:
        self.at = place
        return place


def test_a_remote_file_is_read_in_growing_chunks_and_what_is_passed_over_is_not_read():
    raw = header(
        0,
        3,
        text("scores")
        + struct.pack("<IIQ", 9, 6, 1 << 20)
        + bytes(4 << 20)
        + text("tokens")
        + struct.pack("<IIQ", 9, 8, 30_000)
        + text("eight by") * 30_000
        + text("last")
        + struct.pack("<II", 4, 7),
    )
    file = Remote(raw, 1 << 30)
    found = read_header_of(file, "remote", len(raw), chunk_bytes=1000, most_chunk_bytes=64_000)

    assert found.metadata == {"scores": SkippedArray(1 << 20), "tokens": SkippedArray(30_000), "last": 7}
    assert file.read_bytes < 30_000 * 16 + 2000
    assert file.asked[0] == 1000
    assert max(file.asked) <= 64_000
    assert len(file.asked) < 20
    slow = Remote(raw, 999)
    assert read_header_of(slow, "remote", len(raw), chunk_bytes=1000, most_chunk_bytes=64_000) == found


def test_a_file_that_gives_less_than_its_size_is_named():
    raw = large_model()

    with pytest.raises(BadModelFile, match="could be read"):
        read_header_of(io.BytesIO(raw[:-100_000]), "model", len(raw), chunk_bytes=100)


def test_places_are_the_bytes_of_entries_and_table(tmp_path):
    path = write_model(tmp_path / "m.gguf")
    raw = path.read_bytes()
    found = read_header(path)

    assert found.label == str(path)
    places = sorted(found.places.values())
    assert [raw[first + 8 :].startswith(key.encode()) for key, (first, _) in found.places.items()]
    assert [end for _, end in places[:-1]] == [first for first, _ in places[1:]]
    assert found.tensor_table == (places[-1][1], found.bytes_read)
    assert raw[found.tensor_table[0] + 8 :].startswith(found.tensors[0].name.encode())


def test_memory_is_bounded_by_chunks_not_by_the_vocabulary(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(header(0, 1, text("tokens") + struct.pack("<IIQ", 9, 8, 500_000) + text("a token") * 500_000))
    read_header(path)
    tracemalloc.start()
    try:
        read_header(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert path.stat().st_size > 7 << 20
    assert peak < 1 << 20


@pytest.mark.parametrize(
    ("kind", "shape", "size"),
    [
        (9, (32,), 36),  # Q8_1: two halves and 32 bytes
        (36, (256, 4), 256 * 4 // 4 + 32),  # I2_S of BitNet: one scale behind all
        (42, (64, 2), 36),
        (134, (64, 3), 3 * (2 + 13)),  # IQ1_BN of ik_llama.cpp: a scale before each row
        (144, (256, 2), 2 * (4 + 136)),
        (398, (64, 8), 8 * (4 + 64)),
    ],
)
def test_types_of_other_engines_have_their_sizes(kind, shape, size):
    raw = header(1, 0, tensor_entry("t", shape, kind, 0))
    (tensor,) = outcome(raw + bytes(-len(raw) % 32 + size)).tensors

    assert (tensor.type, tensor.bytes, tensor.file) == (TENSOR_TYPES[kind][0], size, 0)
    assert "bytes are missing" in outcome(raw + bytes(-len(raw) % 32 + size - 1))[0]
