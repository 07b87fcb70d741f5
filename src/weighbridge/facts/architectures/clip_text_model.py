"""CLIP's text encoder, as pipelines of diffusers use it to read prompts."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures._encoder import encoder_layer
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `CLIPTextConfig`."""
    return assume(
        config, vocab_size=49408, hidden_size=512, intermediate_size=2048, projection_dim=512, num_hidden_layers=12,
        num_attention_heads=8, max_position_embeddings=77,
    )  # fmt: skip


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width = config.whole("hidden_size")
    yield Part("text_model.embeddings.token_embedding.weight", (config.whole("vocab_size"), width))
    yield Part("text_model.embeddings.position_embedding.weight", (config.whole("max_position_embeddings"), width))
    for layer in range(layer_count(config)):
        yield from encoder_layer(f"text_model.encoder.layers.{layer}", width, config.whole("intermediate_size"))
    yield from norm("text_model.final_layer_norm", width, bias=True)
    if "CLIPTextModelWithProjection" in (config.list("architectures") or []):
        yield from linear("text_projection", width, config.whole("projection_dim"))
