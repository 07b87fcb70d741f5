"""How fast facts are read: beside the `gguf`, `safetensors` and `huggingface_hub` packages, and beside reading the
same bytes, in one run and in turns.

    python benchmarks/facts_speed.py [ROUNDS]

The models are made here: a GGUF file with the vocabulary and tensors of Qwen3, checkpoints with the tensors of Llama
3.1 405B and of DeepSeek-V3; weights are holes in the files. The hub is one on this machine.
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
import safetensors

from weighbridge import __version__, facts, machine
from weighbridge.facts import HubAccess
from weighbridge.facts.gguf import read_header, read_header_of
from weighbridge.facts.walk import PythonWalks, find_walks
from weighbridge.sizes import show_bytes

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.facts.hub_server import COMMIT, running_hub
from tests.safetensors_files import write_folder

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


Tensors = dict[str, tuple[str, tuple[int, ...]]]


def dense() -> Tensors:
    """The tensors of Llama 3.1 405B: 1,136."""
    width, inner = 16384, 53248
    found: Tensors = {
        "model.embed_tokens.weight": ("BF16", (128256, width)),
        "lm_head.weight": ("BF16", (128256, width)),
    }
    for layer in range(126):
        block = f"model.layers.{layer}"
        for name, shape in (
            ("self_attn.q_proj", (width, width)), ("self_attn.k_proj", (1024, width)),
            ("mlp.gate_proj", (inner, width)),
            ("self_attn.v_proj", (1024, width)), ("self_attn.o_proj", (width, width)), ("mlp.up_proj", (inner, width)),
            ("mlp.down_proj", (width, inner)), ("input_layernorm", (width,)), ("post_attention_layernorm", (width,)),
        ):  # fmt: skip
            found[f"{block}.{name}.weight"] = ("BF16", shape)
    return found


def mixture() -> Tensors:
    """The experts of DeepSeek-V3 in FP8, each matrix with its scales: 89,088 tensors."""
    found: Tensors = {}
    for layer in range(3, 61):
        for expert in range(256):
            for name in ("gate_proj", "up_proj", "down_proj"):
                matrix = f"model.layers.{layer}.mlp.experts.{expert}.{name}.weight"
                found[matrix] = ("F8_E4M3", (2048, 7168))
                found[f"{matrix}_scale_inv"] = ("F32", (16, 56))
    return found


def read_with_safetensors(folder: Path) -> int:
    """The peer's way to names, types and shapes: each file opened, each tensor asked for."""
    count = 0
    for path in folder.glob("*.safetensors"):
        with safetensors.safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - the file is no mapping
                view = file.get_slice(name)
                count += len(view.get_shape()) + len(view.get_dtype())
    return count


def safetensors_rows(folder: Path, rounds: int) -> Iterator[Row]:
    """Rows of checkpoints in many files, from the disk and from a hub on this machine."""
    shards = write_folder(folder / "dense", None, dense(), 200)
    ours, peer = in_turns({lambda: facts.read(shards): rounds, lambda: read_with_safetensors(shards): rounds})
    yield Row("200 shards", ours, 0.05, "the bar", 1, is_limit=True)
    yield Row("200 shards", ours, peer, "safe_open")
    many = write_folder(folder / "mixture", None, mixture(), 163)
    ours, peer = in_turns({lambda: facts.read(many): 3, lambda: read_with_safetensors(many): 3})
    yield Row("89,088 tensors", ours, peer, "safe_open")
    yield from hub_rows(folder)


def hub_rows(folder: Path) -> Iterator[Row]:
    """One repository on a hub: the same names with tiny shapes, since that hub keeps its files in memory."""
    # The peer keeps the index in its cache, whose place it reads when it is imported.
    os.environ |= {"HF_HUB_CACHE": str(folder / "cache"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    import huggingface_hub

    tiny: Tensors = {name: (kind, (2,) * len(shape)) for name, (kind, shape) in dense().items()}
    files = {path.name: path.read_bytes() for path in write_folder(folder / "tiny", {}, tiny, 40).iterdir()}
    with running_hub({"acme/tiny": files}) as hub:
        access = HubAccess(endpoint=hub.url, token=None, cache=folder / "none")
        client = huggingface_hub.HfApi(endpoint=hub.url, token=False)
        sent = {"ours": 0, "peer": 0}

        def asking(who: str, ask: Callable[[], object]) -> Callable[[], None]:
            def work() -> None:
                before = hub.sent
                ask()
                sent[who] = hub.sent - before

            return work

        ours, peer = in_turns(
            {
                asking("ours", lambda: facts.read("acme/tiny", access)): 5,
                asking("peer", lambda: client.get_safetensors_metadata("acme/tiny", revision=COMMIT)): 5,
            }
        )
        yield Row("40 shards, hub", ours, peer, "huggingface_hub")
        size = sum(map(len, files.values()))
        print(f"from the hub: {sent['ours']:,} bytes sent to us, {sent['peer']:,} to huggingface_hub, of {size:,}\n")


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
    print(f"{'what':<19}{'ours':>11}  {'held against':<15}{'':>11}{'ratio':>8}  bar")
    for name, ours, other_name, other, ratio, verdict in lines:
        print(f"{name:<19}{ours:>11}  {other_name:<15}{other:>11}{ratio:>8}  {verdict}".rstrip())


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
        print()
        show(safetensors_rows(Path(folder), rounds))
    print("\nThe least of several rounds, in turns. Its bytes: the header's bytes read once from the page cache.")


if __name__ == "__main__":
    main()
