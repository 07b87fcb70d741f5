"""Qwen3-VL: Qwen3 behind a vision tower whose middle layers feed the decoder's first ones (deepstack)."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import qwen3
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, pair, text_of, within
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm, plain


def complete(config: Config) -> Config:
    """The defaults of `Qwen3VLConfig`."""
    return within(within(config, "text_config", _text), "vision_config", vision)


def vision(config: Config) -> Config:
    """The defaults of the vision tower."""
    return assume(
        config, depth=27, hidden_size=1152, intermediate_size=4304, num_heads=16, in_channels=3, patch_size=16,
        spatial_merge_size=2, temporal_patch_size=2, out_hidden_size=3584, num_position_embeddings=2304,
        deepstack_visual_indexes=[8, 16, 24],
    )  # fmt: skip


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from tower(config.section("vision_config"), "model.visual")
    yield from qwen3.parts(text_of(config), "model.language_model")


def tower(config: Config, name: str) -> Iterator[Part]:
    """The vision tower."""
    width = config.whole("hidden_size")
    yield from patches(config, f"{name}.patch_embed.proj", width, bias=True)
    yield Part(f"{name}.pos_embed.weight", (config.whole("num_position_embeddings"), width))
    for layer in range(config.whole("depth", most=MOST_LAYERS)):
        block = f"{name}.blocks.{layer}"
        yield from norm(f"{block}.norm1", width, bias=True)
        yield from norm(f"{block}.norm2", width, bias=True)
        yield from linear(f"{block}.attn.qkv", width, 3 * width, bias=True)
        yield from linear(f"{block}.attn.proj", width, width, bias=True)
        inner = config.whole("intermediate_size")
        yield from plain(f"{block}.mlp", width, inner, "linear_fc1", "linear_fc2", bias=True)
    joined = width * config.whole("spatial_merge_size", most=64) ** 2
    yield from _merger(f"{name}.merger", width, joined, config.whole("out_hidden_size"))
    for index in range(len(config.list("deepstack_visual_indexes", most=MOST_LAYERS) or [])):
        yield from _merger(f"{name}.deepstack_merger_list.{index}", joined, joined, config.whole("out_hidden_size"))


def patches(config: Config, name: str, width: int, *, bias: bool) -> Iterator[Part]:
    """Pictures cut into patches, some frames deep, each made a vector."""
    frames = config.whole("temporal_patch_size")
    yield Part(f"{name}.weight", (width, config.whole("in_channels", "in_chans"), frames, *pair(config, "patch_size")))
    if bias:
        yield Part(f"{name}.bias", (width,))


def _merger(name: str, normed: int, inner: int, outputs: int) -> Iterator[Part]:
    yield from norm(f"{name}.norm", normed, bias=True)
    yield from linear(f"{name}.linear_fc1", inner, inner, bias=True)
    yield from linear(f"{name}.linear_fc2", inner, outputs, bias=True)


def _text(config: Config) -> Config:
    return assume(
        config, vocab_size=151936, hidden_size=4096, intermediate_size=22016, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=32, head_dim=128,
    )  # fmt: skip
