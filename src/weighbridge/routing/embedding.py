"""`Embedding`: a prompt as one vector of a small static embedding, looked up token by token; no network runs.

Two forms are read. `bundled`: what the package wordllama carries in its wheel; of that package only two files are read,
its code is never imported. A folder as model2vec writes it: `model.safetensors` with the tokens' vectors (`embeddings`,
or `embedding.weight`; perhaps `weights` and `mapping` by token), and `tokenizer.json`. Nothing is fetched.

A text is cut to its `excerpt`; of its distinct tokens the vectors are summed, each by the logarithm of one more than
its count, and the sum is made as long as one. A token that is repeated says little more than once, and tasks were
recognised better so than by the plain mean.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weighbridge.errors import BadSetting, WeighbridgeError
from weighbridge.facts.safetensors import read_header

from .excerpt import HEAD_LETTERS, TAIL_LETTERS, excerpt
from .ridge import Floats

BUNDLED = "bundled"
"""The setting that names the embedding of the extra."""
_INSTALL = "pip install 'weighbridge[embedding]'"
_BUNDLED_WEIGHTS = "weights/l2_supercat_256.safetensors"
_BUNDLED_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_WEIGHTS, _TOKENIZER = "model.safetensors", "tokenizer.json"
_VECTORS = ("embeddings", "embedding.weight")
_KINDS = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "<i1", "I32": "<i4", "I64": "<i8"}
_MOST_WEIGHTS_BYTES = 1 << 30
_MOST_TOKENIZER_BYTES = 64 << 20
_MOST_DIMENSIONS = 1024
# More letters than the excerpt has are tokens of nothing.
_MOST_TOKENS = 2 * (HEAD_LETTERS + TAIL_LETTERS)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Made by `load_embedding`, never changed; any number of threads may ask it at once."""

    name: str
    """`bundled`, or the folder's path."""
    sha256: str
    """Of the tokenizer's file and that of the weights: what was learnt with one embedding is of no use with another."""
    vectors: NDArray[np.float16]
    """(tokens, dimensions)"""
    tokenizer: Any
    unknown: int | None
    """The token of what the tokenizer does not know, which says nothing."""

    @property
    def dimensions(self) -> int:
        """Numbers a text."""
        return int(self.vectors.shape[1])

    def of(self, text: str) -> Floats:
        """The text's vector, of length one, or zeros where it has no token; 0.1 ms for 400 letters, 0.6 ms for the
        longest, 3.5 ms for the longest in a script of which each letter is several tokens."""
        found = np.zeros(self.dimensions, np.float32)
        # Surrogates, which JSON may hold, are no text to a tokenizer.
        clean = excerpt(text).encode("utf-8", "replace").decode()
        ids = np.array(self.tokenizer.encode(clean, add_special_tokens=False).ids[:_MOST_TOKENS], np.int64)
        known = ids[(ids < len(self.vectors)) & (ids != (-1 if self.unknown is None else self.unknown))]
        tokens, counts = np.unique(known, return_counts=True)
        if len(tokens):
            found = np.log1p(counts).astype(np.float32) @ self.vectors.take(tokens, 0).astype(np.float32)
            length = float(np.sqrt(found @ found))
            if length:
                found /= length
        return found

    def embed(self, texts: Sequence[str]) -> Floats:
        """(texts, dimensions)"""
        return np.array([self.of(text) for text in texts], np.float32).reshape(len(texts), self.dimensions)


def load_embedding(setting: str) -> Embedding | None:
    """The embedding that the setting `route_embedding` names: none where it is empty, that of the extra for `bundled`,
    else a folder's. BadSetting where it is not there or not as it should be."""
    if not setting:
        return None
    if setting == BUNDLED:
        found = importlib.util.find_spec("wordllama")
        if found is None or not found.submodule_search_locations:
            raise BadSetting("the embedding 'bundled' is not installed", hint=_INSTALL)
        folder = Path(found.submodule_search_locations[0])
        weights, tokenizer = folder / _BUNDLED_WEIGHTS, folder / _BUNDLED_TOKENIZER
    else:
        folder = Path(setting).expanduser()
        weights, tokenizer = folder / _WEIGHTS, folder / _TOKENIZER
    raw = _read(tokenizer, _MOST_TOKENIZER_BYTES)
    body = _read(weights, _MOST_WEIGHTS_BYTES)
    digest = hashlib.sha256(raw)
    digest.update(body)
    made, unknown = _tokenizer(tokenizer, raw)
    return Embedding(setting, digest.hexdigest(), _vectors(weights, body), made, unknown)


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(most_bytes + 1)
    except OSError as error:
        raise BadSetting(
            f"route_embedding: {path}: {error.strerror}",
            hint=f"name a folder with {_WEIGHTS} and {_TOKENIZER}, as model2vec writes it, or {BUNDLED}",
        ) from error
    if len(raw) > most_bytes:
        raise BadSetting(f"route_embedding: {path}: more than {most_bytes:,} bytes", hint="choose a smaller embedding")
    return raw


def _wrong(path: Path, what: str) -> BadSetting:
    return BadSetting(f"route_embedding: {path}: {what}", hint="fetch it again, or name another embedding")


def _tensors(path: Path, body: bytes) -> dict[str, NDArray[Any]]:
    """Those that an embedding may have, as they lie in the file; BF16 and the like are not read."""
    file = io.BytesIO(body)
    try:
        header = read_header(file, str(path), len(body))
    except WeighbridgeError as error:
        raise BadSetting(f"route_embedding: {error}", hint=error.hint) from error
    found = {}
    for tensor in header.tensors:
        if tensor.name in (*_VECTORS, "mapping", "weights"):
            if tensor.type not in _KINDS:
                raise _wrong(path, f"{tensor.name} is of type {tensor.type}, expected one of {', '.join(_KINDS)}")
            flat = np.frombuffer(body, _KINDS[tensor.type], tensor.elements, tensor.offset)
            found[tensor.name] = flat.reshape(tensor.shape)
    return found


def _vectors(path: Path, body: bytes) -> NDArray[np.float16]:
    """A token a row, weighed where the file weighs them, in two bytes a number."""
    tensors = _tensors(path, body)
    rows = next((tensors[name] for name in _VECTORS if name in tensors), None)
    if rows is None or rows.ndim != 2 or not rows.size or rows.shape[1] > _MOST_DIMENSIONS:
        raise _wrong(path, f"no {' or '.join(_VECTORS)} of tokens with at most {_MOST_DIMENSIONS:,} numbers each")
    mapping, weights = tensors.get("mapping"), tensors.get("weights")
    count = len(rows) if mapping is None else mapping.size
    if count * rows.shape[1] * rows.itemsize > _MOST_WEIGHTS_BYTES:
        raise _wrong(path, f"{count:,} tokens of {rows.shape[1]:,} numbers are too many")
    if mapping is not None:
        if mapping.ndim != 1 or mapping.dtype.kind != "i" or ((mapping < 0) | (mapping >= len(rows))).any():
            raise _wrong(path, "its mapping names vectors that are not there")
        rows = rows[mapping]
    if weights is not None:
        if weights.shape != (count,):
            raise _wrong(path, f"{count:,} tokens, but weights of shape {weights.shape}")
        rows = rows * weights.astype(np.float32)[:, None]
    largest = float(np.abs(rows).max())
    if not 0 < largest < np.inf:
        raise _wrong(path, "its vectors are no finite numbers, or all 0")
    # Two bytes hold up to 65,504, and only directions count.
    return rows if rows.dtype == np.float16 else (rows / largest).astype(np.float16)


def _tokenizer(path: Path, raw: bytes) -> tuple[Any, int | None]:
    """The tokenizer, and its token of what it does not know."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise BadSetting("an embedding needs the package tokenizers", hint=_INSTALL) from error
    try:
        found = Tokenizer.from_buffer(raw)
        found.no_truncation()
        found.no_padding()
        if hasattr(found.model, "unk_token"):
            unknown = found.token_to_id(found.model.unk_token) if found.model.unk_token else None
        else:  # a unigram model says its place
            unknown = json.loads(raw)["model"].get("unk_id")
    except Exception as error:
        raise _wrong(path, f"no tokenizer: {error}") from error
    return found, unknown
