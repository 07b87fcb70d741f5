"""Llama 4: its decoder behind a vision tower."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import llama4_text
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, pair, text_of, within
from weighbridge.facts.architectures._encoder import encoder_layer
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Llama4Config`."""
    return within(within(config, "text_config", llama4_text.complete), "vision_config", _vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text, vision = text_of(config), config.section("vision_config")
    yield from _tower(vision, "vision_model")
    yield from linear("multi_modal_projector.linear_1", vision.whole("vision_output_dim"), text.whole("hidden_size"))
    yield from llama4_text.parts(text, "language_model.model", "language_model.lm_head")


def _vision(config: Config) -> Config:
    return assume(
        config, hidden_size=768, num_hidden_layers=34, num_channels=3, intermediate_size=5632,
        vision_output_dim=7680, image_size=448, patch_size=14, projector_input_dim=4096, projector_output_dim=4096,
    )  # fmt: skip


def _tower(config: Config, name: str) -> Iterator[Part]:
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    patch, image = pair(config, "patch_size"), pair(config, "image_size")
    places = (image[0] // patch[0]) * (image[1] // patch[1]) + 1
    yield Part(f"{name}.class_embedding", (width,))
    yield Part(f"{name}.positional_embedding_vlm", (places, width))
    yield from linear(f"{name}.patch_embedding.linear", config.whole("num_channels") * patch[0] * patch[1], width)
    yield from norm(f"{name}.layernorm_pre", width, bias=True)
    yield from norm(f"{name}.layernorm_post", width, bias=True)
    for layer in range(config.whole("num_hidden_layers", most=MOST_LAYERS)):
        block, norms = f"{name}.model.layers.{layer}", ("input_layernorm", "post_attention_layernorm")
        yield from encoder_layer(block, width, inner, output="o_proj", norms=norms)
    outputs = config.whole("projector_output_dim")
    yield from linear(f"{name}.vision_adapter.mlp.fc1", inner, config.whole("projector_input_dim"))
    yield from linear(f"{name}.vision_adapter.mlp.fc2", outputs, outputs)


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: chunks of 8192 tokens in three layers of four."""
    return {"attention.sliding_window": 8192, "attention.sliding_window_pattern": 4, "attention.window_kind": "chunked"}
