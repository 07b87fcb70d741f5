"""Kimi K2.5 and later: Kimi K2 behind MoonViT."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import deepseek_v3
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, pair, text_of, within
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm, plain


def complete(config: Config) -> Config:
    """The defaults of `Kimi_K25Config`."""
    return within(within(config, "text_config", deepseek_v3.complete), "vision_config", _vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text, vision = text_of(config), config.section("vision_config")
    width, outputs = vision.whole("hidden_size"), text.whole("hidden_size")
    yield from _tower(vision, "vision_tower")
    across, down = pair(vision, "merge_kernel_size")
    joined = width * across * down
    yield from norm("mm_projector.pre_norm", width, bias=True)
    yield from linear("mm_projector.proj.0", joined, joined, bias=True)
    yield from linear("mm_projector.proj.2", joined, outputs, bias=True)
    yield from deepseek_v3.parts(text, "language_model.model", "language_model.lm_head")


def _vision(config: Config) -> Config:
    """The published configs have names of their own."""
    return assume(
        config, hidden_size=config.whole("vt_hidden_size", default=1152), patch_size=14,
        intermediate_size=config.whole("vt_intermediate_size", default=4304),
        num_hidden_layers=config.whole("vt_num_hidden_layers", default=27), merge_kernel_size=[2, 2],
        pos_emb_height=config.whole("init_pos_emb_height", default=64),
        pos_emb_width=config.whole("init_pos_emb_width", default=64),
    )  # fmt: skip


def _tower(config: Config, name: str) -> Iterator[Part]:
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    places = config.whole("pos_emb_height"), config.whole("pos_emb_width")
    yield Part(f"{name}.patch_embed.proj.weight", (width, 3, *pair(config, "patch_size")))
    yield Part(f"{name}.patch_embed.proj.bias", (width,))
    yield Part(f"{name}.patch_embed.pos_emb.weight", (*places, width))
    for layer in range(config.whole("num_hidden_layers", most=MOST_LAYERS)):
        block = f"{name}.encoder.blocks.{layer}"
        yield from linear(f"{block}.wqkv", width, 3 * width, bias=True)
        yield from linear(f"{block}.wo", width, width, bias=True)
        yield from plain(f"{block}.mlp", width, inner, "fc0", "fc1", bias=True)
        yield from norm(f"{block}.norm0", width, bias=True)
        yield from norm(f"{block}.norm1", width, bias=True)
    yield from norm(f"{name}.encoder.final_layernorm", width, bias=True)
