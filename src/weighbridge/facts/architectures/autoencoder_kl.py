"""AutoencoderKL: convolutions between pictures and the latent space that a diffusion model works in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm

_MOST_BLOCKS = 64


def complete(config: Config) -> Config:
    """The defaults of diffusers' `AutoencoderKL`."""
    return assume(
        config, in_channels=3, out_channels=3, block_out_channels=[64], layers_per_block=1, latent_channels=4,
        down_block_types=["DownEncoderBlock2D"], up_block_types=["UpDecoderBlock2D"], use_quant_conv=True,
        use_post_quant_conv=True, mid_block_add_attention=True,
    )  # fmt: skip


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    widths = config.numbers("block_out_channels") or []
    for key, kind in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
        if config.list(key) != [kind] * len(widths) or not 1 <= len(widths) <= _MOST_BLOCKS:
            raise config.wrong(key, config.list(key), f"{kind} for each of block_out_channels")
    latent, deep = config.whole("latent_channels"), config.whole("layers_per_block", most=_MOST_BLOCKS)
    yield from _convolution("encoder.conv_in", config.whole("in_channels"), widths[0])
    yield from _stages("encoder.down_blocks", "downsamplers", [widths[0], *widths], deep)
    yield from _middle(config, "encoder.mid_block", widths[-1])
    yield from norm("encoder.conv_norm_out", widths[-1], bias=True)
    yield from _convolution("encoder.conv_out", widths[-1], 2 * latent)
    yield from _convolution("decoder.conv_in", latent, widths[-1])
    yield from _middle(config, "decoder.mid_block", widths[-1])
    yield from _stages("decoder.up_blocks", "upsamplers", [widths[-1], *reversed(widths)], deep + 1)
    yield from norm("decoder.conv_norm_out", widths[0], bias=True)
    yield from _convolution("decoder.conv_out", widths[0], config.whole("out_channels"))
    if config.flag("use_quant_conv"):
        yield from _convolution("quant_conv", 2 * latent, 2 * latent, 1)
    if config.flag("use_post_quant_conv"):
        yield from _convolution("post_quant_conv", latent, latent, 1)


def _convolution(name: str, inputs: int, outputs: int, size: int = 3) -> Iterator[Part]:
    yield Part(f"{name}.weight", (outputs, inputs, size, size))
    yield Part(f"{name}.bias", (outputs,))


def _stages(name: str, sampler: str, widths: list[int], deep: int) -> Iterator[Part]:
    """Blocks from one width to the next; between blocks the picture is made smaller or larger."""
    for block, (inputs, outputs) in enumerate(pairwise(widths)):
        for layer in range(deep):
            yield from _residual(f"{name}.{block}.resnets.{layer}", outputs if layer else inputs, outputs)
        if block < len(widths) - 2:
            yield from _convolution(f"{name}.{block}.{sampler}.0.conv", outputs, outputs)


def _residual(name: str, inputs: int, outputs: int) -> Iterator[Part]:
    yield from norm(f"{name}.norm1", inputs, bias=True)
    yield from _convolution(f"{name}.conv1", inputs, outputs)
    yield from norm(f"{name}.norm2", outputs, bias=True)
    yield from _convolution(f"{name}.conv2", outputs, outputs)
    if inputs != outputs:
        yield from _convolution(f"{name}.conv_shortcut", inputs, outputs, 1)


def _middle(config: Config, name: str, width: int) -> Iterator[Part]:
    yield from _residual(f"{name}.resnets.0", width, width)
    yield from _residual(f"{name}.resnets.1", width, width)
    if config.flag("mid_block_add_attention"):
        yield from norm(f"{name}.attentions.0.group_norm", width, bias=True)
        for matrix in ("to_q", "to_k", "to_v", "to_out.0"):
            yield from linear(f"{name}.attentions.0.{matrix}", width, width, bias=True)
