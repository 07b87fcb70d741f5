"""Bytes of weights that each GPU loads, as vLLM cuts them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from weighbridge.errors import BadModelFile
from weighbridge.facts import ModelFacts
from weighbridge.facts.roles import role_of
from weighbridge.fit.heads import is_latent, latent_lengths

from .settings import DTYPES, Settings
from .splitting import Split

_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
# vocab_parallel_embedding.py, DEFAULT_VOCAB_PADDING_SIZE.
_VOCABULARY_STEP = 64
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.(\d+)\.")
# linear.py, ReplicatedLinear: what MLA makes smaller before it makes it wide again, and the sparse indexer.
_REPLICATED = re.compile(r"q_a_|kv_a_|wq_a|wkv_a|indexer|fused_qkv_a")
_KEY_OR_VALUE = re.compile(r"(^|[._])(k|v|wk|wv|key|value)(_proj|_lin)?\.(?!.*norm)")
_FUSED = re.compile(r"qkv|c_attn|query_key_value|W_pack")
_LINEAR = frozenset({"attention", "feed_forward", "routed_experts", "shared_experts", "recurrent"})
# What only the first stage of a pipeline has.
_FIRST = frozenset({"embedding", "per_layer_embedding", "vision", "audio"})
_WHOLE = frozenset({"norm", "router", "buffer", "other", "vision", "audio"})


class Part(NamedTuple):
    """Some weights as they are stored, and where they belong."""

    role: str
    layer: int | None
    bytes: int
    name: str
    rows: int | None


def stage_weights(facts: ModelFacts, split: Split, parts: Sequence[Part], stage: int) -> int:
    """Bytes of weights that one GPU of the stage loads.

    Sharded are embedding and output by rows of the vocabulary (padded to a multiple of 64), matrices of attention,
    feed-forward and experts by columns or rows (layers/linear.py); whole on every GPU are norms, the router, what MLA
    makes small, and keys and values beyond the number of their heads. Heads for multi-token prediction are not loaded.
    """
    layers, is_last = split.stages[stage], stage == len(split.stages) - 1
    is_tied = not any(part.role == "output" for part in parts)
    total = 0
    for part in parts:
        if part.role in ("mtp", "copy"):
            continue
        if part.layer is not None:
            is_here = part.layer in layers
        elif part.role in _FIRST:
            is_here = not stage or (is_last and is_tied and part.role == "embedding")
        else:
            is_here = is_last or part.role != "output"
        if is_here:
            total += share_of(facts, split, part)
    return total + _rotations(facts, split)


def share_of(facts: ModelFacts, split: Split, part: Part) -> int:
    """What one GPU has of some weights."""
    role, ways = part.role, split.ways
    if role in ("embedding", "output", "per_layer_embedding"):
        rows = part.rows or facts.vocabulary_size or 0
        padded = -(-rows // _VOCABULARY_STEP) * _VOCABULARY_STEP
        return -(-part.bytes * padded // (max(1, rows) * ways))
    if role in _WHOLE or (role == "attention" and _REPLICATED.search(part.name)):
        return part.bytes
    if role == "routed_experts" and split.settings.expert_parallel and facts.experts:
        return -(-part.bytes * -(-facts.experts.total // ways) // facts.experts.total)
    if role == "attention" and _KEY_OR_VALUE.search(part.name):
        return -(-part.bytes // split.kv_ways(part.layer))
    if role == "attention" and part.layer is not None and part.rows and _FUSED.search(part.name):
        layer = facts.layers[part.layer]
        kept = part.bytes * min(part.rows, layer.keys + layer.values) // part.rows
        return -(-(part.bytes - kept) // ways) - (-kept // split.kv_ways(part.layer))
    return -(-part.bytes // ways)


def parts_of(facts: ModelFacts, split: Split) -> tuple[Part, ...]:
    """The weights as vLLM loads them: by tensor where headers are at hand and the model is cut, else by role."""
    settings = split.settings
    padding = padding_of(facts, settings)
    if facts.tensors and split.ways * len(split.stages) > 1:
        return tuple(_parts_of_tensors(facts, settings, padding))
    rows = [(row.role, _loaded(row.bytes, row.parameters, row.type, settings, row.role), row.type)
            for row in facts.weights]  # fmt: skip
    if not rows:
        rows = [(role, size, "") for role, size in _parts_of_parameters(facts, settings)]
    return tuple(_parts_of_roles(facts, settings, rows, padding))


def _parts_of_roles(
    facts: ModelFacts, settings: Settings, rows: Iterable[tuple[str, int, str]], padding: float | None
) -> Iterator[Part]:
    """Each layer has its part of a sum; of attention's, keys and values apart, as they divide otherwise."""
    count = len(facts.layers)
    keys = sum(layer.keys + layer.values for layer in facts.layers if not is_latent(layer))
    for role, size, kind in rows:
        if padding and kind == "MXFP4" and role == "routed_experts":
            size = round(size * padding)
        if role not in _LINEAR and role not in ("norm", "router"):
            yield Part(role, None, size, "", None)
            continue
        kept = 0
        if role == "attention" and facts.embedding_length:
            kept = min(size, facts.embedding_length * keys * DTYPES[settings.dtype])
        for index in range(count):
            share = size * (index + 1) // count - size * index // count
            own = kept * (index + 1) // count - kept * index // count
            yield Part(role, index, share - own, "", None)
            if own:
                yield Part(role, index, own, "k_proj.", None)


def _parts_of_tensors(facts: ModelFacts, settings: Settings, padding: float | None) -> Iterator[Part]:
    is_tied = facts.parameters.output == 0
    is_packed = any(tensor.type not in _FLOATS for tensor in facts.tensors)
    for tensor in facts.tensors:
        role = role_of(tensor.name, len(facts.layers))
        if role == "output" and is_tied:
            role = "copy"
        size = tensor.bytes
        if not is_packed:
            is_matrix = role in _LINEAR and len(tensor.shape) > 1
            size = _loaded(size, tensor.elements, tensor.type, settings, role if is_matrix else "norm")
        if padding and role == "routed_experts" and tensor.name.endswith(("_blocks", "_scales")):
            size = round(size * padding)
        found = _LAYER.search(tensor.name)
        is_inside = found is not None and role not in ("vision", "audio", "mtp")
        layer = int(found[1]) if found and is_inside else None
        yield Part(role, layer, size, tensor.name, tensor.shape[0] if tensor.shape else None)


def _parts_of_parameters(facts: ModelFacts, settings: Settings) -> Iterator[tuple[str, int]]:
    """Where no type is stated vLLM takes 16 bits (config/model.py, _resolve_auto_dtype)."""
    known = facts.parameters
    if known.total is None or facts.quantization not in (None, "BF16", "F16", "F32"):
        raise BadModelFile(
            f"{facts.name}: how many bytes its weights take is not told by its config",
            hint="read the folder or repository with its safetensors files, whose headers tell it",
        )
    rest = known.total
    for role in ("embedding", "output", "routed_experts", "shared_experts", "vision", "audio", "per_layer_embedding"):
        count = getattr(known, role) or 0
        rest -= count
        yield role, _loaded(count * 2, count, "BF16", settings, role)
    yield "attention", _loaded(rest * 2, rest, "BF16", settings, "attention")


def _loaded(size: int, weights: int, kind: str, settings: Settings, role: str) -> int:
    """Bytes in the type that vLLM computes in; what is quantized stays as it is stored."""
    if kind not in _FLOATS:
        return size
    if settings.quantization == "fp8" and role in _LINEAR:
        return weights
    return weights * DTYPES[settings.dtype]


def padding_of(facts: ModelFacts, settings: Settings) -> float | None:
    """How much larger MXFP4 experts are on the GPU: widths are rounded up to 256 and 128 for the kernels of most GPUs
    (fused_moe/oracle/mxfp4.py, mxfp4_round_up_hidden_size_and_intermediate_size).

    gpt-oss: 3072 x 2944 over 2880 x 2880 = 1.0904; its 12.8 GiB became 13.72, its 60.8 GiB 65.97 by their logs.
    """
    width, inner = facts.embedding_length, facts.expert_feed_forward_length or facts.feed_forward_length
    if not width or not inner or not any(row.type == "MXFP4" for row in facts.weights):
        return None
    own = inner if settings.expert_parallel else inner // settings.tensor_parallel
    return (-(-width // 256) * 256) * (-(-own // 128) * 128) / (width * own)


def _rotations(facts: ModelFacts, split: Split) -> int:
    """The table of rotations that all layers of a kind share (rotary_embedding/base.py): positions x head x 2 B.

    131,072 x 128 x 2 B = 32 MiB for Llama-3.1.
    """
    rotated = [index for index, layer in enumerate(facts.layers) if layer.keys and layer.kind != "shared_kv"]
    if not rotated:
        return 0
    layer = facts.layers[rotated[0]]
    length = latent_lengths(facts)[2] if is_latent(layer) else layer.keys // split.kv_heads[rotated[0]]
    tables = len({bool(facts.layers[index].window_tokens) for index in rotated})
    return tables * (facts.context_length or 0) * length * 2
