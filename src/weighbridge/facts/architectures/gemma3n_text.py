"""Gemma 3n's decoder: four streams, embeddings a layer, shared caches in late layers."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, each, layer_count
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Gemma3nTextConfig`."""
    config = assume(
        config, vocab_size=262400, hidden_size=2048, intermediate_size=16384, num_hidden_layers=35,
        num_attention_heads=8, num_key_value_heads=2, head_dim=256, sliding_window=512, laurel_rank=64,
        vocab_size_per_layer_input=262144, hidden_size_per_layer_input=256, altup_num_inputs=4,
        num_kv_shared_layers=15, tie_word_embeddings=True,
    )  # fmt: skip
    return assume(config, layer_types=each(config, 5, "full_attention", "sliding_attention"))


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    width, count, own = config.whole("hidden_size"), layer_count(config), config.whole("hidden_size_per_layer_input")
    tied, streams = config.flag("tie_word_embeddings"), config.whole("altup_num_inputs", least=1, most=64)
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied, prefix=prefix, output=output)
    yield Part(f"{prefix}.embed_tokens_per_layer.weight", (config.whole("vocab_size_per_layer_input"), count * own))
    yield from linear(f"{prefix}.per_layer_model_projection", width, count * own)
    yield from norm(f"{prefix}.per_layer_projection_norm", own)
    for stream in range(streams - 1):
        yield from linear(f"{prefix}.altup_projections.{stream}", width, width)
        yield from linear(f"{prefix}.altup_unembed_projections.{stream}", width, width)
    first_shared = count - config.whole("num_kv_shared_layers", most=count)
    for layer, inner in enumerate(_inner_sizes(config)):
        block = f"{prefix}.layers.{layer}"
        yield from _attention(config, f"{block}.self_attn", shares=layer >= first_shared)
        yield from gated(f"{block}.mlp", width, inner)
        for name in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            yield from norm(f"{block}.{name}_layernorm", width)
        yield from _streams(f"{block}.altup", width, streams)
        yield from linear(f"{block}.laurel.linear_left", width, config.whole("laurel_rank"))
        yield from linear(f"{block}.laurel.linear_right", config.whole("laurel_rank"), width)
        yield from norm(f"{block}.laurel.post_laurel_norm", width)
        yield from linear(f"{block}.per_layer_input_gate", width, own)
        yield from linear(f"{block}.per_layer_projection", own, width)
        yield from norm(f"{block}.post_per_layer_input_norm", width)
    yield from norm(f"{prefix}.norm", width)


def _inner_sizes(config: Config) -> list[int]:
    """One size a layer, from a list or a number."""
    if not isinstance(config.data.get("intermediate_size"), list):
        return [config.whole("intermediate_size")] * layer_count(config)
    sizes = config.numbers("intermediate_size") or []
    if len(sizes) != layer_count(config) or len(sizes) > MOST_LAYERS:
        raise config.wrong("intermediate_size", sizes, f"{layer_count(config):,} numbers, one a layer")
    return sizes


def _attention(config: Config, name: str, *, shares: bool) -> Iterator[Part]:
    """`shares`: keys and values are those of an earlier layer."""
    heads, kv_heads, length = (config.whole(key) for key in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    bias = config.flag("attention_bias")
    for part in attention(name, config.whole("hidden_size"), heads, kv_heads, length, bias=bias, head_norms=True):
        if not (shares and part.name.split(".")[-2] in ("k_proj", "v_proj", "k_norm")):
            yield part


def _streams(name: str, width: int, streams: int) -> Iterator[Part]:
    yield Part(f"{name}.correct_output_scale", (width,))
    yield from linear(f"{name}.correction_coefs", streams, streams)
    yield from linear(f"{name}.prediction_coefs", streams, streams * streams)
    yield from linear(f"{name}.modality_router", width, streams)
    yield from norm(f"{name}.router_norm", width)
