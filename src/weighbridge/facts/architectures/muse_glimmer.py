"""Muse Glimmer: attention with an output gate, each fourth layer whole, behind a vision tower."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import assume, layer_count, text_of, within
from weighbridge.facts.architectures._encoder import encoder_layer
from weighbridge.facts.architectures.llama import NORMS, decoder, feed_forward, grouped_query, head_length
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `MuseGlimmerConfig`."""
    config = assume(config, out_hidden_size=6144, projector_hidden_size=4096)
    return within(within(config, "text_config", _text), "vision_config", vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from tower(config)
    norms = (*NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")
    blocks = grouped_query, gate, partial(feed_forward, bias=False)
    yield from decoder(text_of(config), "model.language_model", "lm_head", *blocks, norms=norms)


def vision(config: Config) -> Config:
    """The defaults of the vision tower."""
    return assume(
        config, patch_size=14, pos_emb_height=32, pos_emb_width=32, num_hidden_layers=50, hidden_size=1536,
        intermediate_size=8960, patch_temporal=2,
    )  # fmt: skip


def kinds(config: Config) -> list[str]:
    """Each fourth layer, counted from the last, attends to everything."""
    count = layer_count(config)
    return ["sliding_attention" if (count - 1 - layer) % 4 else "full_attention" for layer in range(count)]


def gate(config: Config, name: str, _layer: int) -> Iterator[Part]:
    """What weighs attention's output."""
    values = config.whole("num_attention_heads") * head_length(config)
    yield from linear(f"{name}.self_attn.gate_proj", config.whole("hidden_size"), values)


def tower(config: Config) -> Iterator[Part]:
    """The vision tower, and what makes its output as wide as the decoder."""
    vision, name = config.section("vision_config"), "model.vision_tower"
    width, inner = vision.whole("hidden_size"), config.whole("projector_hidden_size")
    values = vision.whole("patch_temporal") * 3 * vision.whole("patch_size") ** 2
    places = vision.whole("pos_emb_height") * vision.whole("pos_emb_width")
    yield from linear(f"{name}.patch_embedder.patch_embedding", values, width)
    yield Part(f"{name}.patch_embedder.position_embedding_table.weight", (places, width))
    yield from norm(f"{name}.ln_pre", width, bias=True)
    for layer in range(layer_count(vision)):
        block, norms = f"{name}.layers.{layer}", ("norm1", "norm2")
        size = vision.whole("intermediate_size")
        yield from encoder_layer(block, width, size, attention="attn", output="proj", norms=norms)
    yield from norm(f"{name}.ln_post", width, bias=True)
    yield from linear("model.vision_adapter.fc1", config.whole("out_hidden_size"), inner)
    yield from linear("model.vision_adapter.fc2", inner, inner)
    yield from linear("model.vision_projection", inner, config.section("text_config").whole("hidden_size"))


def _text(config: Config) -> Config:
    config = assume(
        config, vocab_size=202048, hidden_size=6656, intermediate_size=19968, num_hidden_layers=52,
        num_attention_heads=32, num_key_value_heads=2, head_dim=128, sliding_window=2048,
    )  # fmt: skip
    return assume(config, layer_types=kinds(config))


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: each fourth layer has no window."""
    return {"attention.sliding_window_pattern": 4}
