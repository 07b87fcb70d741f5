"""GLM-4.1V: a decoder with joined gate and up matrices and four norms a layer, behind a vision tower."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, pair, text_of, within
from weighbridge.facts.architectures.llama import NORMS, decoder, grouped_query
from weighbridge.facts.architectures.phi3 import joined_feed_forward
from weighbridge.facts.architectures.qwen3_vl import patches
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Glm4vConfig`."""
    return within(within(config, "text_config", _text), "vision_config", vision)


def vision(config: Config) -> Config:
    """The defaults of the vision tower."""
    return assume(
        config, depth=24, hidden_size=1536, in_channels=3, image_size=336, patch_size=14, spatial_merge_size=2,
        temporal_patch_size=2, out_hidden_size=4096, intermediate_size=13696,
    )  # fmt: skip


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from tower(config.section("vision_config"), "model.visual")
    blocks = partial(grouped_query, bias=True, output_bias=False), joined_feed_forward
    norms = (*NORMS, "post_self_attn_layernorm", "post_mlp_layernorm")
    yield from decoder(text_of(config), "model.language_model", "lm_head", *blocks, norms=norms)


def tower(config: Config, name: str) -> Iterator[Part]:
    """The vision tower, which ends in a convolution that gathers patches."""
    width, outputs = config.whole("hidden_size"), config.whole("out_hidden_size")
    (height, breadth), (tall, wide) = pair(config, "patch_size"), pair(config, "image_size")
    yield from patches(config, f"{name}.patch_embed.proj", width, bias=True)
    yield Part(f"{name}.embeddings.position_embedding.weight", ((tall // height) * (wide // breadth), width))
    for layer in range(config.whole("depth", most=MOST_LAYERS)):
        block = f"{name}.blocks.{layer}"
        yield from norm(f"{block}.norm1", width)
        yield from norm(f"{block}.norm2", width)
        yield from linear(f"{block}.attn.qkv", width, 3 * width, bias=config.flag("attention_bias"))
        yield from linear(f"{block}.attn.proj", width, width)
        yield from gated(f"{block}.mlp", width, outputs)
    yield from norm(f"{name}.post_conv_layernorm", width)
    yield from norm(f"{name}.post_layernorm", width)
    yield from gathering(config, name, config.whole("intermediate_size"))


def gathering(config: Config, name: str, inner: int) -> Iterator[Part]:
    """The convolution that gathers patches, and the projector."""
    outputs, merge = config.whole("out_hidden_size"), config.whole("spatial_merge_size", most=64)
    yield Part(f"{name}.downsample.weight", (outputs, config.whole("hidden_size"), merge, merge))
    yield Part(f"{name}.downsample.bias", (outputs,))
    yield from linear(f"{name}.merger.proj", outputs, outputs)
    yield from norm(f"{name}.merger.post_projection_norm", outputs, bias=True)
    yield from gated(f"{name}.merger", outputs, inner)


def _text(config: Config) -> Config:
    return assume(
        config, vocab_size=151552, hidden_size=4096, intermediate_size=13696, num_hidden_layers=40,
        num_attention_heads=32, num_key_value_heads=2,
    )  # fmt: skip
