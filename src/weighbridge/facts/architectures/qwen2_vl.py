"""Qwen2-VL: Qwen2 behind a vision tower; the published configs hold the decoder's keys at the top."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import qwen2
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, text_of, within, within_text
from weighbridge.facts.architectures.qwen3_vl import patches
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm, plain


def complete(config: Config) -> Config:
    """The defaults of `Qwen2VLConfig`."""
    return within(within_text(config, complete_text), "vision_config", _vision)


def complete_text(config: Config) -> Config:
    """The defaults of the decoder."""
    config = assume(
        config, vocab_size=152064, hidden_size=8192, intermediate_size=29568, num_hidden_layers=80,
        num_attention_heads=64, num_key_value_heads=8, max_window_layers=80,
    )  # fmt: skip
    return qwen2.complete(config)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    vision, (eyes, text) = config.section("vision_config"), prefixes(config)
    width = vision.whole("embed_dim")
    yield from patches(vision, f"{eyes}.patch_embed.proj", width, bias=False)
    for layer in range(vision.whole("depth", most=MOST_LAYERS)):
        block = f"{eyes}.blocks.{layer}"
        yield from norm(f"{block}.norm1", width, bias=True)
        yield from norm(f"{block}.norm2", width, bias=True)
        yield from linear(f"{block}.attn.qkv", width, 3 * width, bias=True)
        yield from linear(f"{block}.attn.proj", width, width, bias=True)
        yield from plain(f"{block}.mlp", width, width * vision.whole("mlp_ratio"), "fc1", "fc2", bias=True)
    yield from merger(vision, f"{eyes}.merger", width, vision.whole("hidden_size"), shift=True)
    yield from qwen2.parts(text_of(config), text)


def prefixes(config: Config) -> tuple[str, str]:
    """Where the tower's and the decoder's names start, which has changed with the place of the decoder's keys."""
    return ("model.visual", "model.language_model") if config.has("text_config") else ("visual", "model")


def merger(config: Config, name: str, width: int, outputs: int, *, shift: bool) -> Iterator[Part]:
    """Neighbouring patches merged and made as wide as the decoder; `shift`: a layer norm, which has a bias."""
    joined = width * config.whole("spatial_merge_size", most=64) ** 2
    yield from norm(f"{name}.ln_q", width, bias=shift)
    yield from linear(f"{name}.mlp.0", joined, joined, bias=True)
    yield from linear(f"{name}.mlp.2", joined, outputs, bias=True)


def _vision(config: Config) -> Config:
    return assume(
        config, depth=32, embed_dim=1280, hidden_size=3584, mlp_ratio=4, in_channels=3, patch_size=14,
        spatial_merge_size=2, temporal_patch_size=2,
    )  # fmt: skip
