"""Qwen2.5-VL: Qwen2 behind a vision tower with gated feed-forward networks."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import qwen2
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, text_of, within, within_text
from weighbridge.facts.architectures.qwen2_vl import complete_text, merger, prefixes
from weighbridge.facts.architectures.qwen3_vl import patches
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Qwen2_5_VLConfig`."""
    return within(within_text(config, complete_text), "vision_config", _vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    vision, (eyes, text) = config.section("vision_config"), prefixes(config)
    width = vision.whole("hidden_size")
    yield from patches(vision, f"{eyes}.patch_embed.proj", width, bias=False)
    for layer in range(vision.whole("depth", most=MOST_LAYERS)):
        block = f"{eyes}.blocks.{layer}"
        yield from norm(f"{block}.norm1", width)
        yield from norm(f"{block}.norm2", width)
        yield from linear(f"{block}.attn.qkv", width, 3 * width, bias=True)
        yield from linear(f"{block}.attn.proj", width, width, bias=True)
        yield from gated(f"{block}.mlp", width, vision.whole("intermediate_size"), bias=True)
    yield from merger(vision, f"{eyes}.merger", width, vision.whole("out_hidden_size"), shift=False)
    yield from qwen2.parts(text_of(config), text)


def _vision(config: Config) -> Config:
    return assume(
        config, depth=32, hidden_size=3584, intermediate_size=3420, in_channels=3, patch_size=14,
        spatial_merge_size=2, temporal_patch_size=2, out_hidden_size=3584,
    )  # fmt: skip
