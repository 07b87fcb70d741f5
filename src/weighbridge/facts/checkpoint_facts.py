"""From a config.json, and from safetensors headers where they are at hand, to facts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from weighbridge.errors import BadModelFile

from . import architectures
from .chat import read_template
from .config import Config, Places
from .config_layers import block_count, read_dimensions, read_layers
from .counting import Entry, Sums, add_up
from .licences import chosen, of_front_matter
from .model_facts import (
    Card,
    Context,
    Experts,
    LicenceStatement,
    Modalities,
    ModelFacts,
    Origin,
    Source,
    Tensor,
)
from .packing import scheme, unpack
from .parts import Part
from .roles import role_of
from .safetensors import SafetensorsHeader

# Bytes a weight of the types that a config names.
_TYPE_BYTES = {"float32": ("F32", 4), "float16": ("F16", 2), "half": ("F16", 2), "bfloat16": ("BF16", 2),
               "float64": ("F64", 8), "float": ("F32", 4)}  # fmt: skip
_TEXT_SECTIONS = ("text_config", "llm_config", "language_config", "thinker_config")
# The largest real config implies some 4,000 parts, experts taken together.
_MOST_PARTS, _MOST_COPIES, _MOST_ELEMENTS = 1 << 15, 1 << 16, 1 << 50


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What lies beside the weights of a model in Hugging Face's layout; each part may be missing."""

    name: str
    config: Config | None
    raw_config: bytes = b""
    quantization: Config | None = None
    headers: Sequence[SafetensorsHeader] = ()
    stated_bytes: int | None = None
    """What an index says that the weights take, where the weights are not at hand."""
    tokenizer: Config | None = None
    tokenizer_kind: str | None = None
    chat_template: str | None = None
    chat_label: str = ""
    front_matter: dict[str, Any] = field(default_factory=dict)
    card_label: str = ""
    licences: Sequence[LicenceStatement] = ()
    embeds: bool = False
    """Whether the files make it a sentence-embedding model (sentence-transformers' modules.json)."""
    notes: Sequence[str] = ()


def facts_of(checkpoint: Checkpoint, source: Source) -> ModelFacts:
    """The facts that config and headers tell. Without headers parameters are counted from the config
    (`basis: computed`), or unknown where the family's shapes are not known here."""
    notes = list(checkpoint.notes)
    config = _completed(checkpoint.config or Config({}, checkpoint.name), notes)
    text = text_of(config)
    experts = _experts(text, config)
    layers = read_layers(text, notes)
    tensors = tuple(tensor for header in checkpoint.headers for tensor in header.tensors)
    if tensors:
        sums = _read(tensors, config, text, checkpoint.quantization, experts, notes)
    else:
        sums = _computed(config, text, checkpoint, experts, notes)
    statements = [*of_front_matter(checkpoint.front_matter, checkpoint.card_label), *checkpoint.licences]
    context, context_length = _context(text, config, checkpoint.tokenizer)
    quantization = checkpoint.quantization or _quantization_of(config, text)
    return ModelFacts(
        name=checkpoint.name,
        architecture=_architecture(config, text),
        source=source,
        parameters=sums.parameters,
        weights=sums.weights,
        weights_bytes=sums.weights_bytes if sums.weights_bytes is not None else checkpoint.stated_bytes,
        active_weights_bytes=sums.active_weights_bytes,
        bits_per_weight=sums.bits_per_weight,
        quantization=scheme(quantization) or sums.commonest_type or None,
        context_length=context_length,
        context=context,
        embedding_length=text.number("hidden_size", "d_model", "n_embd", "dim"),
        feed_forward_length=_largest(text, "intermediate_size", "ffn_hidden_size", "n_inner", "d_ff"),
        head_count=text.number("num_attention_heads", "n_head", "n_heads", "num_heads"),
        vocabulary_size=text.number("vocab_size", "padded_vocab_size") or config.number("vocab_size"),
        experts=experts,
        expert_feed_forward_length=_largest(text, "moe_intermediate_size", "expert_ffn_hidden_size"),
        layers=layers,
        modalities=_modalities(config, sums, embeds=checkpoint.embeds),
        tokenizer=checkpoint.tokenizer_kind,
        chat=read_template(checkpoint.chat_template),
        licence=chosen(statements),
        licences=tuple(statements),
        card=card_of(checkpoint.front_matter),
        tensors=tensors,
        dimensions=read_dimensions(text, layers),
        origins=_origins(checkpoint, config, text, tensors),
        notes=tuple(notes),
    )


def _completed(config: Config, notes: list[str]) -> Config:
    """The config with what its family assumes; as it is where it lacks what even that needs."""
    complete = getattr(_family(config), "complete", None)
    try:
        return complete(config) if complete else config
    except BadModelFile as error:
        notes.append(f"the config lacks what its family needs: {error}")
        return config


def _family(config: Config) -> Any:
    class_name = config.text("_class_name")
    if class_name:
        return architectures.find(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower())
    return architectures.find(config.text("model_type"))


def text_of(config: Config) -> Config:
    """The part of the config that speaks of the language model."""
    for name in _TEXT_SECTIONS:
        section = config.section(name)
        if section.data:
            return text_of(section) if section.section("text_config").data else section
    return config


def _architecture(config: Config, text: Config) -> str:
    named = config.text("model_type") or config.text("_class_name") or text.text("model_type")
    classes = config.list("architectures") or []
    return named or (str(classes[0]) if classes else "unknown")


def _largest(config: Config, *names: str) -> int | None:
    value = config.find(*names)[1]
    if isinstance(value, list):
        return max((entry for entry in value if isinstance(entry, int)), default=None)
    return config.number(*names)


def _experts(text: Config, config: Config) -> Experts | None:
    ffn = text.section("ffn_config") if isinstance(text.data.get("ffn_config"), dict) else text
    for found in (text, ffn):
        name, value = found.find("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts",
                                 "num_routed_experts")  # fmt: skip
        total = (
            max((x for x in value if isinstance(x, int)), default=0)
            if isinstance(value, list)
            else (found.number(name) or 0)
        )
        if total > 1:
            used = _largest(found, "num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_top_k",
                            "moe_topk", "moe_k", "experts_per_token", "num_selected_experts", "top_k",
                            "num_activated_experts")  # fmt: skip
            if used is None or not 1 <= used <= total:
                return None
            return Experts(total, used, _shared(found))
    return None


def _shared(config: Config) -> int | None:
    stated = config.number("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
    if stated is None and config.number("shared_expert_intermediate_size", "shared_intermediate_size"):
        return 1
    return stated


def _quantization_of(config: Config, text: Config) -> Config:
    for found in (config, text):
        section = found.section("quantization_config", "compression_config", "quantization")
        if section.data:
            return section
    return Config({}, config.label)


def _read(
    tensors: tuple[Tensor, ...],
    config: Config,
    text: Config,
    quantization: Config | None,
    experts: Experts | None,
    notes: list[str],
) -> Sums:
    packed = unpack(tensors, quantization or _quantization_of(config, text))
    count = block_count(text)
    has_embedding = any(role_of(tensor.name) == "embedding" for tensor in tensors)
    tied = {"output"} if has_embedding and _is_tied(config, text) else set()
    entries, odd = [], set()
    for tensor in tensors:
        role = role_of(tensor.name, count)
        kind, weights = packed[tensor.name]
        if weights is None and role != "buffer":
            odd.add(kind)
        entries.append(Entry("copy" if role in tied else role, kind, weights, tensor.bytes))
    if experts is None and any(entry.role == "routed_experts" for entry in entries):
        notes.append("how many experts a token uses is not told here: active parameters are unknown")
    if odd:
        notes.append(
            f"tensors of {', '.join(sorted(odd))} are packed in a way that is not known here: parameters are unknown"
        )
    if any(entry.role == "copy" for entry in entries):
        notes.append("the output matrix is the embedding (tie_word_embeddings) and stored a second time: counted once")
    return add_up(entries, experts, "read")


def _is_tied(config: Config, text: Config) -> bool:
    for found in (text, config):
        if found.has("tie_word_embeddings"):
            return found.flag("tie_word_embeddings")
    return False


def _computed(config: Config, text: Config, checkpoint: Checkpoint, experts: Experts | None, notes: list[str]) -> Sums:
    family = _family(config)
    listing = getattr(family, "parts", None)
    if listing is None:
        if checkpoint.config is not None:
            notes.append(
                f"what tensors a {_architecture(config, text)} has is not known here: its parameters are counted only "
                "from weights' headers"
            )
        return add_up((), experts, "computed")
    kind, size = _TYPE_BYTES.get(_type_of(config, text) or "", ("", None))
    quantization = checkpoint.quantization or _quantization_of(config, text)
    if quantization.data:
        # Which tensors stay whole differs from maker to maker: bytes are told only by the weights' headers.
        kind, size = scheme(quantization) or "", None
    count = block_count(text)
    try:
        entries = [
            Entry(role_of(part.name.replace("*", "0"), count), kind, part.elements, size and part.elements * size)
            for part in _bounded(listing(config), config)
        ]
    except BadModelFile as error:
        notes.append(f"parameters cannot be counted: {error}")
        entries = []
    return add_up(entries, experts, "computed")


def _bounded(parts: Iterator[Part], config: Config) -> Iterator[Part]:
    """The parts; BadModelFile where there are more, or larger ones, than any model has: a config is foreign input."""
    for number, part in enumerate(parts):
        if number > _MOST_PARTS or part.copies > _MOST_COPIES or part.elements > _MOST_ELEMENTS:
            raise BadModelFile(
                f"{config.label}: implies more tensors, or larger ones, than any model has",
                hint="fetch the config again",
            )
        yield part


def _type_of(config: Config, text: Config) -> str | None:
    for found in (config, text):
        named = found.text("torch_dtype", "dtype")
        if named:
            return named.removeprefix("torch.")
    return None


def _context(text: Config, config: Config, tokenizer: Config | None) -> tuple[Context, int | None]:
    length = None
    for found in (text, config):
        length = length or found.number("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len",
                                        "seq_length", "n_ctx", "model_max_length")  # fmt: skip
    served = tokenizer.data.get("model_max_length") if tokenizer else None
    # Tokenizers without a limit say 10^30.
    is_limit = isinstance(served, int | float) and not isinstance(served, bool) and 1 <= served < 1e9
    served = int(served) if served and is_limit else None
    name, value = text.find("rope_scaling", "rope_parameters")
    rope = Config(value if isinstance(value, dict) else {}, text.label, f"{text.prefix}{name}.")
    # Rotations may differ between kinds of layers; those that see everything set the reach.
    if isinstance(rope.data.get("full_attention"), dict):
        rope = rope.section("full_attention")
    method = rope.text("rope_type", "type")
    if method is None or method in ("default", "mrope", "proportional"):
        return Context(native=length, served=served), length
    original, factor = rope.number("original_max_position_embeddings"), rope.real("factor")
    if original is None:
        original = text.number("original_max_position_embeddings")
    # Linear scaling alone does not say whether the length is that before it or after it.
    return Context(original, length if original else None, served, method, factor), length


def _modalities(config: Config, sums: Sums, *, embeds: bool) -> Modalities:
    parameters = sums.parameters
    thinker = config.section("thinker_config")
    inputs = ["text"]
    if parameters.vision or any(x.has("vision_config", "vision_tower", "mm_vision_tower") for x in (config, thinker)):
        inputs.append("image")
    if config.has("video_token_id", "video_token_index", "video_token"):
        inputs.append("video")
    if parameters.audio or any(x.has("audio_config", "audio_encoder_config", "sound_config", "speech_config")
                               for x in (config, thinker)):  # fmt: skip
        inputs.append("audio")
    outputs = ["embedding"] if embeds else ["text"]
    if config.has("talker_config"):
        outputs.append("audio")
    return Modalities(tuple(inputs), tuple(outputs))


def card_of(front: dict[str, Any]) -> Card:
    """What a model card's fields say that the model is for."""
    tags = front.get("tags")
    listed = tuple(tag[:100] for tag in tags[:200] if isinstance(tag, str)) if isinstance(tags, list) else ()
    return Card(tags=listed)


# Each fact with the keys that may tell it, in the section that speaks of language.
_TOLD_BY = {
    "context_length": ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length"),
    "context.scaling": ("rope_scaling", "rope_parameters"),
    "embedding_length": ("hidden_size", "d_model", "n_embd", "dim"),
    "feed_forward_length": ("intermediate_size", "ffn_hidden_size", "n_inner"),
    "head_count": ("num_attention_heads", "n_head"),
    "vocabulary_size": ("vocab_size",),
    "layers": ("num_hidden_layers", "n_layers", "n_layer", "num_layers"),
    "layers.kind": ("layer_types", "layers_block_type", "hybrid_override_pattern", "hybrid_layer_pattern"),
    "layers.kv_heads": ("num_key_value_heads", "multi_query_group_num"),
    "layers.key_length": ("head_dim",),
    "layers.value_length": ("v_head_dim",),
    "layers.window_tokens": ("sliding_window", "attention_chunk_size"),
    "layers.latent": ("kv_lora_rank",),
    "layers.index_keys": ("index_head_dim",),
    "experts.total": ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"),
    "experts.used": ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_top_k", "moe_topk"),
    "experts.shared": ("n_shared_experts", "num_shared_experts", "shared_expert_intermediate_size"),
    "expert_feed_forward_length": ("moe_intermediate_size",),
}


def _origins(checkpoint: Checkpoint, config: Config, text: Config, tensors: tuple[Tensor, ...]) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    counted = ("parameters", "weights", "weights_bytes", "active_weights_bytes", "bits_per_weight")
    if tensors:
        header = checkpoint.headers[0]
        table = (8, header.header_bytes) if len(checkpoint.headers) == 1 else (None, None)
        label = header.label if len(checkpoint.headers) == 1 else f"{len(checkpoint.headers)} files"
        found |= dict.fromkeys(counted, Origin(label, f"shapes of {len(tensors):,} tensors", *table))
    if checkpoint.config is None:
        return found
    if not tensors:
        found["parameters"] = Origin(config.label, f"the shapes that a {_architecture(config, text)} config implies")

    places = Places(checkpoint.raw_config)

    def told(fact: str, path: str) -> None:
        place = places.find(path)
        if place:
            found[fact] = Origin(config.label, path, *place)
        elif fact not in found:
            found[fact] = Origin(config.label, f"{path}, as the architecture has it where the file is silent")

    told("architecture", "model_type" if config.has("model_type") else "architectures")
    for fact, names in _TOLD_BY.items():
        for part in (text, config):
            name, value = part.find(*names)
            if value is not None:
                told(fact, f"{part.prefix}{name}")
                break
    if config.has("quantization_config"):
        told("quantization", "quantization_config")
    if checkpoint.chat_template is not None:
        found["chat"] = Origin(checkpoint.chat_label, "chat_template")
    return found
