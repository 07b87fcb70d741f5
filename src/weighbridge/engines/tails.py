"""Files that end in zeros: what a download leaves that was given its full size at once and then broke off.

Such a file loads, and where only its last layers are missing its answers still look like language. So the end of the
data is looked at before it is loaded: that costs one page where the file is whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from weighbridge.errors import BadModelFile
from weighbridge.facts import ModelFacts, Tensor
from weighbridge.sizes import show_bytes

_STEP = 4096
_LARGE_STEP = 1 << 20
# Padding tokens may have rows of zeros: so large a part of a table of tokens, in whole rows, is no damage.
_PADDED_PART = 1 / 8
# The last bytes of what is there may happen to be zeros.
_BY_CHANCE = 64
_TABLES = ("token_embd", "output.weight", "lm_head", "embed_tokens")


def refuse_zero_tail(facts: ModelFacts) -> None:
    """BadModelFile if the weights of a file end in zeros that no whole model has; else, nothing.

    A matrix whose last rows are zeros is damaged, unless it is a table of tokens of which at most an eighth is padding.
    Vectors may be zeros: biases often are.
    """
    for number, name in enumerate(facts.source.files):
        tensors = [tensor for tensor in facts.tensors if tensor.file == number and tensor.bytes]
        path = Path(name)
        if not tensors or not path.is_file():
            continue
        first, end = min(tensor.offset for tensor in tensors), max(tensor.offset + tensor.bytes for tensor in tensors)
        if path.stat().st_size < end:
            continue  # it is too short, which the engine says itself
        with path.open("rb") as file:
            zeros_from = _zeros_from(file, first, end)
        damaged = list(_damaged(tensors, zeros_from))
        if damaged:
            raise BadModelFile(
                f"{path.name}: its last {show_bytes(end - zeros_from)} are zeros, where {', '.join(damaged[:3])}"
                + (f" and {len(damaged) - 3} more tensors" if len(damaged) > 3 else "")
                + " should be",
                hint="a download that broke off leaves such a file: fetch it again and compare its checksum",
            )


def _damaged(tensors: Iterable[Tensor], zeros_from: int) -> Iterable[str]:
    """Names of the matrices of which a part lies in the zeros, and cannot be meant so."""
    for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
        missing = tensor.offset + tensor.bytes - max(zeros_from, tensor.offset)
        if missing <= _BY_CHANCE or len(tensor.shape) < 2 or min(tensor.shape) < 2:
            continue
        may_be_padded = tensor.name.startswith(_TABLES) and missing <= tensor.bytes * _PADDED_PART
        # A break comes in the middle of a row, padding begins with one.
        if not may_be_padded or missing % (tensor.bytes // max(tensor.shape)) > _BY_CHANCE:
            yield tensor.name


def _zeros_from(file: BinaryIO, first: int, end: int) -> int:
    """The place from which on there are only zeros; `end` where the last byte is none."""
    place, step = end, _STEP
    while place > first:
        start = max(first, place - step)
        file.seek(start)
        kept = file.read(place - start).rstrip(b"\x00")
        if kept:
            return start + len(kept)
        place, step = start, _LARGE_STEP
    return first
