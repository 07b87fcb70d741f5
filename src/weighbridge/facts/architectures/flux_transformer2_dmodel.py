"""FLUX.1: a diffusion transformer, first with two streams, text and picture, then with both as one."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of diffusers' `FluxTransformer2DModel`."""
    return assume(
        config, patch_size=1, in_channels=64, num_layers=19, num_single_layers=38, attention_head_dim=128,
        num_attention_heads=24, joint_attention_dim=4096, pooled_projection_dim=768, guidance_embeds=False,
    )  # fmt: skip


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    length, channels = config.whole("attention_head_dim"), config.whole("in_channels")
    width = config.whole("num_attention_heads") * length
    sources = {"timestep_embedder": 256, "text_embedder": config.whole("pooled_projection_dim")}
    if config.flag("guidance_embeds"):
        sources["guidance_embedder"] = 256
    for name, inputs in sources.items():
        yield from linear(f"time_text_embed.{name}.linear_1", inputs, width, bias=True)
        yield from linear(f"time_text_embed.{name}.linear_2", width, width, bias=True)
    yield from linear("context_embedder", config.whole("joint_attention_dim"), width, bias=True)
    yield from linear("x_embedder", channels, width, bias=True)
    for layer in range(config.whole("num_layers", most=MOST_LAYERS)):
        yield from _double(f"transformer_blocks.{layer}", width, length)
    for layer in range(config.whole("num_single_layers", most=MOST_LAYERS)):
        yield from _single(f"single_transformer_blocks.{layer}", width, length)
    outputs = config.whole("patch_size") ** 2 * config.whole("out_channels", default=channels)
    yield from linear("norm_out.linear", width, 2 * width, bias=True)
    yield from linear("proj_out", width, outputs, bias=True)


def _double(block: str, width: int, length: int) -> Iterator[Part]:
    matrices = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    for matrix in matrices:
        yield from linear(f"{block}.attn.{matrix}", width, width, bias=True)
    for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        yield from norm(f"{block}.attn.{name}", length)
    for name in ("norm1", "norm1_context"):
        yield from linear(f"{block}.{name}.linear", width, 6 * width, bias=True)
    for name in ("ff", "ff_context"):
        yield from linear(f"{block}.{name}.net.0.proj", width, 4 * width, bias=True)
        yield from linear(f"{block}.{name}.net.2", 4 * width, width, bias=True)


def _single(block: str, width: int, length: int) -> Iterator[Part]:
    for matrix in ("to_q", "to_k", "to_v"):
        yield from linear(f"{block}.attn.{matrix}", width, width, bias=True)
    yield from norm(f"{block}.attn.norm_q", length)
    yield from norm(f"{block}.attn.norm_k", length)
    yield from linear(f"{block}.norm.linear", width, 3 * width, bias=True)
    yield from linear(f"{block}.proj_mlp", width, 4 * width, bias=True)
    yield from linear(f"{block}.proj_out", 5 * width, width, bias=True)
