"""From GGUF headers to facts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import PurePosixPath

from weighbridge.errors import BadModelFile

from . import architectures
from .chat import read_template
from .counting import Sums, add_up
from .gguf import Header
from .gguf_layers import read_layers
from .gguf_types import FILE_TYPES
from .keys import Keys
from .licences import chosen
from .model_facts import (
    Card,
    Context,
    Experts,
    Layer,
    LicenceStatement,
    Modalities,
    ModelFacts,
    Origin,
    Source,
    Tensor,
)
from .roles import role_of

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")
_MOST_PARTS = 4096


def part_names(name: str, first: Header) -> list[str]:
    """The names of all parts of a split model, the first included; one name where it is whole."""
    count = first.metadata.get("split.count", 1)
    if not isinstance(count, int) or count <= 1:
        return [name]
    path = PurePosixPath(name)
    named = _PART.fullmatch(path.name)
    if count > _MOST_PARTS or not named or int(named[3]) != count or int(named[2]) != 1:
        raise BadModelFile(
            f"{first.label}: is one of {count:,} parts, expected the first, named like model-00001-of-{count:05d}.gguf",
            hint="give the first part, with all parts in one folder under their own names",
        )
    return [str(path.with_name(f"{named[1]}-{number:05d}-of-{count:05d}.gguf")) for number in range(1, count + 1)]


def check_parts(headers: Sequence[Header]) -> None:
    """BadModelFile if a part stands in another's place, or a tensor in two of them."""
    seen: dict[str, str] = {}
    if len(headers) == 1:
        return
    for number, header in enumerate(headers):
        label = PurePosixPath(header.label).name
        if header.metadata.get("split.no", number) != number:
            raise BadModelFile(
                f"{header.label}: split.no is {header.metadata['split.no']}, expected {number}",
                hint="the parts were renamed: give each the name that it was published under",
            )
        for tensor in header.tensors:
            if tensor.name in seen:
                raise BadModelFile(
                    f"{header.label}: tensor {tensor.name!r} is in {seen[tensor.name]} too",
                    hint="a part occurs twice: fetch the parts again",
                )
            seen[tensor.name] = label


def facts_of(
    headers: Sequence[Header],
    source: Source,
    name: str,
    projector: Header | None = None,
    licences: Sequence[LicenceStatement] = (),
    served_context: int | None = None,
) -> ModelFacts:
    """The facts that the headers of one model tell; `projector` is the vision part in a file of its own."""
    first = headers[0]
    architecture = first.metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise BadModelFile(
            f"{first.label}: general.architecture is {architecture!r}, expected a name",
            hint="the file holds no model, or its converter left that key out",
        )
    files = [*headers, projector] if projector else headers
    tensors = first.tensors + tuple(
        tensor._replace(file=number) for number, header in enumerate(files[1:], start=1) for tensor in header.tensors
    )
    if not any(header.tensors for header in headers):
        raise BadModelFile(
            f"{first.label}: has no tensors, only metadata",
            hint="a vocabulary file is no model: fetch the one with weights",
        )
    return _facts(_keys(first, architecture), tensors, source, name, licences, served_context)


def _keys(header: Header, architecture: str) -> Keys:
    keys = Keys(header, architecture)
    family = architectures.find(architecture)
    complete = getattr(family, "complete_header", None)
    return Keys(header, architecture, complete(keys)) if complete else keys


def _facts(
    keys: Keys,
    tensors: tuple[Tensor, ...],
    source: Source,
    name: str,
    licences: Sequence[LicenceStatement],
    served_context: int | None,
) -> ModelFacts:
    notes: list[str] = []
    experts = _experts(keys)
    # Without layers and without a vocabulary it is no language model: a projector, a diffusion network.
    is_language = keys.value("block_count") is not None or keys.value("tokenizer.ggml.model") is not None
    layers = read_layers(keys, notes) if is_language else ()
    sums = _sums(keys, tensors, experts, layers)
    statements = [*_licences(keys), *licences]
    context, context_length = _context(keys, served_context)
    return ModelFacts(
        name=keys.text("general.name") or name,
        architecture=keys.architecture,
        source=source,
        parameters=sums.parameters,
        weights=sums.weights,
        weights_bytes=sums.weights_bytes,
        active_weights_bytes=sums.active_weights_bytes,
        bits_per_weight=sums.bits_per_weight,
        quantization=_quantization(keys, sums),
        context_length=context_length,
        context=context,
        embedding_length=keys.whole("embedding_length") if is_language else None,
        feed_forward_length=keys.largest("feed_forward_length"),
        head_count=keys.largest("attention.head_count"),
        vocabulary_size=_vocabulary(keys) if is_language else None,
        experts=experts,
        expert_feed_forward_length=keys.largest("expert_feed_forward_length"),
        layers=layers,
        modalities=_modalities(keys, sums, is_language=is_language),
        tokenizer=keys.text("tokenizer.ggml.model"),
        chat=read_template(keys.text("tokenizer.chat_template")),
        licence=chosen(statements),
        licences=tuple(statements),
        card=Card(
            keys.text("general.description"),
            keys.texts("general.tags"),
            keys.texts("weighbridge.card.examples"),
            keys.texts("weighbridge.card.counter_examples"),
        ),
        tensors=tensors,
        dimensions=_dimensions(keys, tensors) if layers else {},
        origins=_origins(keys, tensors),
        notes=tuple(notes),
    )


# Lengths that some files leave to their tensors, and the tensor whose rows' number tells each.
_TOLD_BY_TENSORS = {
    "expert_feed_forward_length": ("ffn_up_exps.weight", "ffn_gate_up_exps.weight"),
    "expert_shared_feed_forward_length": ("ffn_up_shexp.weight",),
}


def _dimensions(keys: Keys, tensors: tuple[Tensor, ...]) -> dict[str, int | tuple[int, ...]]:
    """The header's own numbers, and what llama.cpp takes where it is silent (llama-model.cpp, load_hparams)."""
    found = keys.dimensions()
    heads, width = found.get("attention.head_count"), found.get("embedding_length")
    first = max(heads, default=0) if isinstance(heads, tuple) else heads
    if heads is not None:
        found.setdefault("attention.head_count_kv", heads)
    if first and isinstance(width, int):
        found.setdefault("attention.key_length", width // first)
        found.setdefault("attention.value_length", width // first)
    for key, names in _TOLD_BY_TENSORS.items():
        if "expert_count" in found and not found.get(key):
            rows = [shape[1] for name, _, shape, *_ in tensors if name.endswith(names) and len(shape) > 1]
            if rows:
                found[key] = max(rows)
    return found


def _experts(keys: Keys) -> Experts | None:
    total = keys.number("expert_count")
    if not total:
        return None
    most_used = keys.largest("expert_used_count")
    if most_used is None or not 1 <= most_used <= total:
        raise keys.wrong("expert_used_count", keys.value("expert_used_count"), f"a whole number from 1 to {total:,}")
    return Experts(total, most_used, keys.number("expert_shared_count"))


def _sums(keys: Keys, tensors: tuple[Tensor, ...], experts: Experts | None, layers: tuple[Layer, ...]) -> Sums:
    predicting = keys.number("nextn_predict_layers") or 0
    if 0 < predicting < len(layers):
        answering = len(layers) - predicting
        entries = [(role_of(name, answering), kind, prod(shape), size) for name, kind, shape, _, size, _ in tensors]
        return add_up(entries, experts, "read")
    # Layers are alike: with their numbers out of the names, each kind of tensor is weighed once.
    names, kinds, shapes, _, sizes, _ = zip(*tensors, strict=True)
    forms = [name[name.find(".", 4) :] if name.startswith("blk.") else name for name in names]
    alike = Counter(zip(forms, kinds, shapes, sizes, strict=True))
    entries = [
        (role_of(f"blk.0{form}" if form.startswith(".") else form), kind, prod(shape) * count, size * count)
        for (form, kind, shape, size), count in alike.items()
    ]
    return add_up(entries, experts, "read")


def _quantization(keys: Keys, sums: Sums) -> str | None:
    """What the maker called the mixture of types; failing that, the type that most of the bytes are in."""
    number = keys.number("general.file_type")
    named = FILE_TYPES.get(number) if number is not None else None
    return named or sums.commonest_type


def _vocabulary(keys: Keys) -> int:
    vocabulary = keys.length("tokenizer.ggml.tokens") or keys.number("vocab_size")
    if vocabulary is None:
        raise keys.wrong("tokenizer.ggml.tokens", None, "the list of tokens")
    return vocabulary


def _context(keys: Keys, served: int | None) -> tuple[Context, int | None]:
    length = keys.number("context_length")
    scaling = keys.text("rope.scaling.type")
    original = keys.number("rope.scaling.original_context_length")
    if scaling in (None, "none"):
        return Context(native=length, served=served), length
    factor = keys.real("rope.scaling.factor")
    return Context(original or length, length if original else None, served, scaling, factor), length


# llama.h, LLAMA_POOLING_TYPE_RANK: one number that says how well a document answers a query.
_BY_RANK = 4


def _modalities(keys: Keys, sums: Sums, *, is_language: bool) -> Modalities:
    inputs = ["text"] if is_language else []
    if sums.parameters.vision:
        inputs.append("image")
    if sums.parameters.audio:
        inputs.append("audio")
    pooling = keys.number("pooling_type")
    if pooling == _BY_RANK:
        return Modalities(tuple(inputs), ("score",))
    embeds = pooling is not None or not is_language
    return Modalities(tuple(inputs), ("embedding",) if embeds else ("text",))


def _licences(keys: Keys) -> list[LicenceStatement]:
    return [
        LicenceStatement("weights", found, keys.header.label, key)
        for key in ("general.license", "general.license.name", "general.license.link")
        if (found := keys.text(key))
    ]


# Each fact with the key that tells it.
_TOLD_BY = {
    "name": "general.name",
    "architecture": "general.architecture",
    "quantization": "general.file_type",
    "context_length": "context_length",
    "context.native": "rope.scaling.original_context_length",
    "context.scaling": "rope.scaling.type",
    "context.factor": "rope.scaling.factor",
    "embedding_length": "embedding_length",
    "feed_forward_length": "feed_forward_length",
    "head_count": "attention.head_count",
    "layers": "block_count",
    "layers.kv_heads": "attention.head_count_kv",
    "layers.key_length": "attention.key_length",
    "layers.value_length": "attention.value_length",
    "layers.window_tokens": "attention.sliding_window",
    "layers.window_pattern": "attention.sliding_window_pattern",
    "layers.latent": "attention.kv_lora_rank",
    "layers.index_keys": "attention.indexer.key_length",
    "layers.state": "ssm.state_size",
    "layers.recurrent": "attention.recurrent_layers",
    "experts.total": "expert_count",
    "experts.used": "expert_used_count",
    "experts.shared": "expert_shared_count",
    "expert_feed_forward_length": "expert_feed_forward_length",
    "tokenizer": "tokenizer.ggml.model",
    "vocabulary_size": "tokenizer.ggml.tokens",
    "chat": "tokenizer.chat_template",
    "licence": "general.license",
    "card.description": "general.description",
}


def _origins(keys: Keys, tensors: tuple[Tensor, ...]) -> dict[str, Origin]:
    table = Origin(keys.header.label, f"shapes of {len(tensors):,} tensors", *keys.header.tensor_table)
    counted = ("parameters", "weights", "weights_bytes", "active_weights_bytes", "bits_per_weight")
    found = dict.fromkeys(counted, table)
    return found | {fact: origin for fact, key in _TOLD_BY.items() if (origin := keys.origin(key))}
