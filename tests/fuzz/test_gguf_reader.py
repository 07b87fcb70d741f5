"""Minutes of damaged headers: the reader never crashes, never takes long, never takes much memory."""

from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc

import pytest

from tests.gguf_files import header, tensor_entry, text, write_model
from weighbridge import facts
from weighbridge.errors import BadModelFile

SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
NUMBERS = [
    0,
    1,
    7,
    31,
    32,
    33,
    255,
    256,
    1 << 16,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    1 << 60,
    (1 << 63) - 1,
    (1 << 64) - 1,
]


def damaged(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A seed with bytes, numbers and stretches changed, mostly in its header."""
    raw = bytearray(rng.choice(seeds))
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(min(len(raw), rng.choice((64, 512, 12_000))) or 1)
        if at >= len(raw):
            break
        match rng.randrange(5):
            case 0:
                raw[at] = rng.randrange(256)
            case 1:
                raw[at : at + 8] = struct.pack("<Q", rng.choice(NUMBERS))
            case 2:
                raw[at : at + 4] = struct.pack("<I", rng.choice(NUMBERS) & 0xFFFFFFFF)
            case 3:
                del raw[at : at + rng.randrange(1, 40)]
            case 4:
                start = rng.randrange(len(raw))
                raw[at:at] = raw[start : start + rng.randrange(1, 80)]
    return bytes(raw[: rng.randrange(len(raw))] if rng.random() < 0.1 else raw)


@pytest.mark.fuzz
def test_no_damage_crashes_or_stalls_the_reader(tmp_path):
    rng = random.Random(int(os.environ.get("FUZZ_SEED", "1")))
    seeds = [
        write_model(tmp_path / "a.gguf", layers=1).read_bytes(),
        write_model(tmp_path / "b.gguf", layers=1, experts=4, experts_used=2).read_bytes(),
        header(1, 1, text("general.architecture") + struct.pack("<I", 8) + text("x") + tensor_entry("t", (4,), 0, 0)),
    ]
    path = tmp_path / "damaged.gguf"
    until, tries, readable, slowest = time.monotonic() + SECONDS, 0, 0, 0.0
    tracemalloc.start()
    while time.monotonic() < until:
        raw = damaged(rng, seeds)
        path.write_bytes(raw)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        begun = time.perf_counter()
        try:
            facts.read(path)
            readable += 1
        except BadModelFile as error:
            assert str(path) in str(error)
        except Exception:
            (tmp_path / "crash.gguf").write_bytes(raw)
            print(f"kept as {tmp_path / 'crash.gguf'}")
            raise
        slowest = max(slowest, time.perf_counter() - begun)
        tries += 1
        assert slowest < 1
        assert tracemalloc.get_traced_memory()[1] - before < 4 * len(raw) + (4 << 20)
    print(f"{tries:,} files, {readable:,} of them readable, slowest {slowest * 1e3:.0f} ms")
    assert tries > 100
