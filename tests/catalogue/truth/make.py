"""Writes the truth that quantizations are held against: llama.cpp's own choice of each tensor's type.

    python make.py LLAMA_CPP_FOLDER

compiles `types.cpp` with the sources there (C++17; made with those of llama-cpp-python 0.3.36), asks it about the
networks below, and writes `types.json.gz`: for each network, recipe and kind of tensor the types by layer, equal
neighbours counted. `snapshots.json.gz` holds the same of files that were published, as llama.cpp's own tests record
them (tests/snapshots, MIT).
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.catalogue.networks import NETWORKS, by_kind, tensors_of_truth

from weighbridge.catalogue.quantizations import RECIPES, GGUFTensor, Network

_HERE = Path(__file__).parent
_FTYPES = {
    "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12,
    "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ2_XXS": 19, "IQ2_XS": 20,
    "Q2_K_S": 21, "IQ3_XS": 22, "IQ3_XXS": 23, "IQ1_S": 24, "IQ4_NL": 25, "IQ3_S": 26, "IQ3_M": 27, "IQ2_S": 28,
    "IQ2_M": 29, "IQ4_XS": 30, "IQ1_M": 31, "BF16": 32, "MXFP4_MOE": 38,
}  # fmt: skip


def compile_types(llama: Path, folder: Path) -> Path:
    """The program that answers; what it never calls is left unresolved."""
    (folder / "ggml-version.h").write_text('#define GGML_VERSION "0"\n#define GGML_COMMIT "0"\n')
    places = [f"-I{place}" for place in (folder, llama / "src", llama / "include", llama / "ggml/include",
                                         llama / "ggml/src")]  # fmt: skip
    sources = [_HERE / "types.cpp", *(llama / "src" / f"llama-{part}.cpp" for part in ("hparams", "arch", "impl")),
               llama / "ggml/src/ggml.c", llama / "ggml/src/ggml-quants.c"]  # fmt: skip
    objects = []
    for source in sources:
        compiler = ["gcc"] if source.suffix == ".c" else ["g++", "-std=c++17"]
        objects.append(folder / f"{source.stem}.o")
        subprocess.run([*compiler, "-O0", "-D_GNU_SOURCE", *places, "-c", source, "-o", objects[-1]], check=True)
    program = folder / "types"
    links = ["-Wl,--unresolved-symbols=ignore-all", "-Wl,-z,lazy", "-no-pie"]
    subprocess.run(["g++", *links, *objects, "-o", program, "-lpthread", "-lm"], check=True)
    return program


def ask(program: Path, tensors: Iterable[GGUFTensor], network: Network) -> dict[str, dict[str, str]]:
    """For each recipe, with `+matrix` where there is an importance matrix, each tensor's type."""
    lines = [f"recipe {recipe} {_FTYPES[recipe]}" for recipe in RECIPES]
    heads = network.heads_per_kv_head
    lines.append(
        f"model {network.architecture} {heads or 1} {1 if heads else 0} {network.experts} {network.block_count} "
        f"{int(network.is_70b)}"
    )
    for tensor in tensors:
        if len(tensor.shape) > 1 and not tensor.name.endswith(".vector"):
            lines.append(f"tensor {tensor.name} {' '.join(str(length) for length in (*tensor.shape, 1, 1)[:3])}")
    answer = subprocess.run([program], input="\n".join([*lines, "end\n"]), capture_output=True, text=True, check=True)
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in answer.stdout.splitlines():
        words = line.split()
        if words[0] == "recipe":
            current = found[words[1] + ("+matrix" if words[2] == "1" else "")] = {}
        elif words[0] != "end" and words[1] != "kept":
            current[words[0]] = words[1].upper()
    return found


def read_snapshot(path: Path) -> dict[str, Any]:
    """A recorded file: for each recipe the usual type, and tensors of others."""
    sections: dict[str, Any] = {}
    name = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            name, _, usual = line[1:].partition("] ")
            sections[name] = {"usual": usual.upper(), "others": {}}
        elif line and not line.startswith("#"):
            tensor, kind = line.split()
            sections[name]["others"][tensor] = kind.upper()
    return {
        recipe: {"usual": section["usual"], "others": by_kind(section["others"])}
        for recipe, section in sections.items()
        if recipe in RECIPES
    }


def write(path: Path, content: Any) -> None:
    """Compact JSON, packed so that equal content gives equal bytes."""
    text = json.dumps(content, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    llama = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        program = compile_types(llama, Path(folder))
        types = {}
        for name in NETWORKS:
            tensors, network = tensors_of_truth(name)
            answers = ask(program, tensors, network)
            types[name] = {recipe: by_kind(kinds) for recipe, kinds in answers.items()}
        write(_HERE / "types.json.gz", types)
    snapshots = {path.stem: read_snapshot(path) for path in sorted((llama / "tests/snapshots").glob("*.schema"))}
    write(_HERE / "snapshots.json.gz", snapshots)
