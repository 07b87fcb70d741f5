"""How fast facts are read: beside the `gguf` package, and beside reading the same bytes, in one run and in turns.

    python benchmarks/facts_speed.py [ROUNDS]

The model is made here: vocabulary, merges and tensors of the size of Qwen3's, with weights that are a hole in the file.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from weighbridge import __version__, facts, machine
from weighbridge.facts.gguf import read_header, read_header_of
from weighbridge.facts.walk import PythonWalks, find_walks
from weighbridge.sizes import show_bytes

ROUNDS = 40
# The peer takes seconds; a new process is started for each round.
PEER_ROUNDS, PROCESS_ROUNDS = 2, 7

TOKENS, MERGES = 151_936, 151_387
LAYERS, WIDTH, INNER, HEADS, KV_HEADS, HEAD = 36, 2560, 9728, 32, 8, 128

FIRST_FACTS = "from weighbridge import facts; import sys, time; begun = time.perf_counter(); facts.read(sys.argv[1])"
FIRST_READ = (
    "import os, sys, time; begun = time.perf_counter(); "
    "os.pread(os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2]), 0)"
)
FIRST_END = "; print(time.perf_counter() - begun)"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure beside what it is held against: a peer that is slower, or a limit that nothing is below."""

    name: str
    ours: float
    other: float
    other_name: str
    bar: float | None = None
    is_limit: bool = False

    @property
    def ratio(self) -> float:
        """How many times as fast as the peer, or as slow as the limit."""
        return self.ours / self.other if self.is_limit else self.other / self.ours

    @property
    def verdict(self) -> str:
        """The bar, and whether it is met."""
        if self.bar is None:
            return ""
        met = self.ratio <= self.bar if self.is_limit else self.ratio >= self.bar
        return f"{'at most' if self.is_limit else 'at least'} {self.bar:g}: {'met' if met else 'MISSED'}"


def in_turns(rounds: dict[Callable[[], object], int]) -> list[float]:
    """The least seconds that each took in so many rounds, all of them running in turns."""
    least = [float("inf")] * len(rounds)
    for turn in range(max(rounds.values())):
        for index, (work, count) in enumerate(rounds.items()):
            if turn < count:
                begun = time.perf_counter()
                work()
                least[index] = min(least[index], time.perf_counter() - begun)
    return least


def words(rng: random.Random) -> Iterator[str]:
    """Tokens as a byte-level vocabulary has them, some six bytes long."""
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    while True:
        length = max(1, min(60, round(rng.gauss(5, 2.5))))
        yield ("Ġ" if rng.random() < 0.5 else "") + "".join(rng.choices(letters, k=length))


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of Qwen3-4B, as NumPy orders shapes, and an output matrix of its own: 399."""
    yield "output.weight", (TOKENS, WIDTH)
    yield "token_embd.weight", (TOKENS, WIDTH)
    yield "output_norm.weight", (WIDTH,)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        yield block + "attn_k.weight", (KV_HEADS * HEAD, WIDTH)
        yield block + "attn_k_norm.weight", (HEAD,)
        yield block + "attn_norm.weight", (WIDTH,)
        yield block + "attn_output.weight", (WIDTH, HEADS * HEAD)
        yield block + "attn_q.weight", (HEADS * HEAD, WIDTH)
        yield block + "attn_q_norm.weight", (HEAD,)
        yield block + "attn_v.weight", (KV_HEADS * HEAD, WIDTH)
        yield block + "ffn_down.weight", (WIDTH, INNER)
        yield block + "ffn_gate.weight", (INNER, WIDTH)
        yield block + "ffn_norm.weight", (WIDTH,)
        yield block + "ffn_up.weight", (INNER, WIDTH)


def write_gguf(path: Path) -> int:
    """Write the model with the `gguf` package; returns how many bytes its header has."""
    word = words(random.Random(3))
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_name("Speed 4B")
    writer.add_context_length(40_960)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([next(word) for _ in range(TOKENS)])
    writer.add_token_types([1] * TOKENS)
    writer.add_token_merges([f"{next(word)} {next(word)[:3]}" for _ in range(MERGES)])
    writer.add_eos_token_id(151_645)
    writer.add_chat_template("{%- for m in messages -%}{{ m.content }}{%- endfor -%}" + "{# long, as they are #}" * 150)
    weights_bytes = 0
    for name, shape in shapes():
        kind = gguf.GGMLQuantizationType.F32 if len(shape) == 1 else gguf.GGMLQuantizationType.Q4_K
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        tensor_bytes = int(np.prod(shape)) // block * block_bytes
        writer.add_tensor_info(name, shape, np.dtype(np.float32), tensor_bytes, raw_dtype=kind)
        weights_bytes += tensor_bytes
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    header_bytes = path.stat().st_size
    with path.open("r+b") as file:
        # All tensors are multiples of 32 bytes, so none is padded.
        file.truncate(-(-header_bytes // 32) * 32 + weights_bytes)
    return header_bytes


def first_in_a_process(program: str, *arguments: object) -> float:
    """The least seconds that it takes where it is the first thing a process does, imports aside."""
    command = [sys.executable, "-c", program + FIRST_END, *map(str, arguments)]
    return min(
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(PROCESS_ROUNDS)
    )


def gguf_rows(folder: Path, rounds: int) -> Iterator[Row]:
    """Rows of one GGUF file with a large vocabulary."""
    path = folder / "speed.gguf"
    header_bytes = write_gguf(path)
    descriptor = os.open(path, os.O_RDONLY)
    file_bytes = path.stat().st_size

    def in_python() -> None:
        with path.open("rb", buffering=0) as file:
            read_header_of(file, str(path), file_bytes, walks=PythonWalks())

    header, whole, plain, bytes_alone, peer = in_turns(
        {
            lambda: read_header(path): rounds,
            lambda: facts.read(path): rounds,
            in_python: PEER_ROUNDS,
            lambda: os.pread(descriptor, header_bytes, 0): rounds,
            lambda: gguf.GGUFReader(path): PEER_ROUNDS,
        }
    )
    os.close(descriptor)
    first_facts = first_in_a_process(FIRST_FACTS, path)
    first_read = first_in_a_process(FIRST_READ, path, header_bytes)
    print(
        f"GGUF: {TOKENS:,} tokens, {MERGES:,} merges, {sum(1 for _ in shapes())} tensors; "
        f"header of {show_bytes(header_bytes)}\n"
    )
    yield Row("header", header, peer, "GGUFReader", 50)
    yield Row("facts", whole, peer, "GGUFReader", 50)
    yield Row("header, without C", plain, peer, "GGUFReader")
    yield Row("header", header, bytes_alone, "its bytes", 2, is_limit=True)
    yield Row("facts", whole, bytes_alone, "its bytes", 2, is_limit=True)
    yield Row("facts, new process", first_facts, first_read, "its bytes", is_limit=True)


def show(rows: Iterator[Row]) -> None:
    """The table, as wide as a terminal."""
    lines = [
        (
            row.name,
            f"{row.ours * 1e3:,.2f} ms",
            row.other_name,
            f"{row.other * 1e3:,.2f} ms",
            f"{row.ratio:,.1f}",
            row.verdict,
        )
        for row in rows
    ]
    print(f"{'what':<19}{'ours':>9}  {'held against':<13}{'':>11}{'ratio':>8}  bar")
    for name, ours, other_name, other, ratio, verdict in lines:
        print(f"{name:<19}{ours:>9}  {other_name:<13}{other:>11}{ratio:>8}  {verdict}".rstrip())


def main() -> None:
    """Measure and print the tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    here = machine.detect()
    print(
        f"weighbridge {__version__}, {here.processor.model}, {here.processor.usable_threads} threads, "
        f"Python {sys.version.split()[0]}, loops in {'Python' if isinstance(find_walks(), PythonWalks) else 'C'}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        show(gguf_rows(Path(folder), rounds))
    print("\nThe least of several rounds, in turns. Its bytes: the header's bytes read once from the page cache.")


if __name__ == "__main__":
    main()
