"""`read(source)`: the one door from a model's files to its facts."""

from __future__ import annotations

import os
import re
from pathlib import Path

from weighbridge.errors import BadModelFile

from .gguf import FILE_TYPES, Header, read_header
from .keys import Keys
from .layers import read_layers
from .model_facts import Card, Chat, Experts, Modalities, ModelFacts, Parameters, Source, Tensor

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


def read(source: str | os.PathLike[str]) -> ModelFacts:
    """The facts of the GGUF model at `source`, a file or the first part of a split one.

    Reads headers only. Raises BadModelFile for what is missing, damaged or no GGUF file.
    """
    path = Path(source)
    if path.is_dir():
        raise BadModelFile(f"{path}: is a folder, expected a .gguf file", hint="name the file inside it")
    headers = _headers(path)
    first = headers[0]
    architecture = first.metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise BadModelFile(
            f"{path}: general.architecture is {architecture!r}, expected a name",
            hint="the file holds no language model, or its converter left that key out",
        )
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    if not tensors:
        raise BadModelFile(
            f"{path}: has no tensors, only metadata", hint="a vocabulary file is no model: fetch the one with weights"
        )
    return _facts(headers, Keys(first, architecture), tensors)


def _headers(path: Path) -> list[Header]:
    first = read_header(path)
    count = first.metadata.get("split.count", 1)
    if not isinstance(count, int) or count <= 1:
        return [first]
    named = _PART.fullmatch(path.name)
    if not named or int(named[3]) != count or int(named[2]) != 1:
        raise BadModelFile(
            f"{path}: is one of {count} parts, expected the first, named like model-00001-of-{count:05d}.gguf",
            hint="give the first part, with all parts in one folder under their own names",
        )
    parts = [path.with_name(f"{named[1]}-{number:05d}-of-{count:05d}.gguf") for number in range(2, count + 1)]
    if missing := [part for part in parts if not part.is_file()]:
        raise BadModelFile(
            f"{path}: part {missing[0].name} of {count} is missing", hint="fetch all parts into one folder"
        )
    headers = [first, *map(read_header, parts)]
    _check_parts(headers)
    return headers


def _check_parts(headers: list[Header]) -> None:
    """BadModelFile if a part stands in another's place, or a tensor in two of them."""
    seen: dict[str, str] = {}
    for number, header in enumerate(headers):
        if header.metadata.get("split.no", number) != number:
            raise BadModelFile(
                f"{header.path}: split.no is {header.metadata['split.no']}, expected {number}",
                hint="the parts were renamed: give each the name that it was published under",
            )
        for tensor in header.tensors:
            if tensor.name in seen:
                raise BadModelFile(
                    f"{header.path}: tensor {tensor.name!r} is in {seen[tensor.name]} too",
                    hint="a part occurs twice: fetch the parts again",
                )
            seen[tensor.name] = header.path.name


def _experts(keys: Keys) -> Experts | None:
    total = keys.number("expert_count")
    if not total:
        return None
    used = keys.whole("expert_used_count", most=total)
    return Experts(total, used, keys.number("expert_shared_count"))


def _is_routed(tensor: Tensor) -> bool:
    return "_exps." in tensor.name


def _parameters(tensors: tuple[Tensor, ...], experts: Experts | None) -> Parameters:
    def count(*starts: str) -> int:
        return sum(tensor.elements for tensor in tensors if tensor.name.startswith(starts))

    total = sum(tensor.elements for tensor in tensors)
    routed = sum(tensor.elements for tensor in tensors if _is_routed(tensor))
    idle = routed - routed * experts.used // experts.total if experts else 0
    return Parameters(
        total=total,
        active=total - idle,
        embedding=count("token_embd."),
        output=count("output.weight"),
        routed_experts=routed,
        vision=count("v.", "mm."),
        mtp=sum(tensor.elements for tensor in tensors if ".nextn." in tensor.name),
    )


def _chat(template: str | None) -> Chat:
    if template is None:
        return Chat(template=False, tools=None, thinking=None)
    thinks = "enable_thinking" in template or "<think>" in template or "reasoning_content" in template
    return Chat(template=True, tools=bool(re.search(r"\btools\b", template)), thinking=thinks)


def _quantization(keys: Keys, tensors: tuple[Tensor, ...]) -> str:
    """What the maker called it; failing that, the type that most of the bytes are in."""
    named = FILE_TYPES.get(keys.number("general.file_type") or 0)
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.bytes
    most = max(sizes, key=lambda kind: sizes[kind])
    return named if named and "general.file_type" in keys.header.metadata else most


def _facts(headers: list[Header], keys: Keys, tensors: tuple[Tensor, ...]) -> ModelFacts:
    notes: list[str] = []
    experts = _experts(keys)
    parameters = _parameters(tensors, experts)
    weights_bytes = sum(tensor.bytes for tensor in tensors)
    routed_bytes = sum(tensor.bytes for tensor in tensors if _is_routed(tensor))
    idle_bytes = routed_bytes - routed_bytes * experts.used // experts.total if experts else 0
    layers = read_layers(keys, notes)
    heads = keys.per_layer("attention.head_count", len(layers)) or (0,)
    feed_forward = keys.per_layer("feed_forward_length", len(layers)) or (0,)
    embeds = keys.number("pooling_type") is not None
    vocabulary = keys.length("tokenizer.ggml.tokens") or keys.number("vocab_size")
    if vocabulary is None:
        raise keys.wrong("tokenizer.ggml.tokens", None, "the list of tokens")
    return ModelFacts(
        name=keys.text("general.name") or keys.header.path.stem,
        architecture=keys.architecture,
        source=Source(
            "gguf", tuple(str(header.path) for header in headers), sum(header.bytes_read for header in headers)
        ),
        parameters=parameters,
        weights_bytes=weights_bytes,
        active_weights_bytes=weights_bytes - idle_bytes,
        bits_per_weight=round(weights_bytes * 8 / parameters.total, 4),
        quantization=_quantization(keys, tensors),
        context_length=keys.number("context_length"),
        embedding_length=keys.whole("embedding_length"),
        feed_forward_length=max(feed_forward),
        head_count=max(heads),
        vocabulary_size=vocabulary,
        experts=experts,
        expert_feed_forward_length=keys.number("expert_feed_forward_length"),
        layers=layers,
        modalities=Modalities(output=("embedding",)) if embeds else Modalities(),
        tokenizer=keys.text("tokenizer.ggml.model"),
        chat=_chat(keys.text("tokenizer.chat_template")),
        licence=keys.text("general.license"),
        card=Card(
            keys.text("general.description"),
            keys.texts("general.tags"),
            keys.texts("weighbridge.card.examples"),
            keys.texts("weighbridge.card.counter_examples"),
        ),
        tensors=tensors,
        notes=tuple(notes),
    )
