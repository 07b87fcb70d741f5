"""Qwen3-Omni's vocoder: a small transformer, then convolutions that make a wave of codes."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Qwen3OmniMoeCode2WavConfig`."""
    return assume(
        config, codebook_size=2048, hidden_size=1024, num_attention_heads=16, num_key_value_heads=16,
        intermediate_size=3072, num_hidden_layers=8, num_quantizers=16, upsample_rates=[8, 5, 4, 3],
        upsampling_ratios=[2, 2], decoder_dim=1536,
    )  # fmt: skip


def parts(config: Config, name: str) -> Iterator[Part]:
    """Every tensor."""
    width, codes = config.whole("hidden_size"), config.whole("codebook_size") * config.whole("num_quantizers")
    yield Part(f"{name}.code_embedding.weight", (codes, width))
    yield from _transformer(config, f"{name}.pre_transformer", width)
    for index, ratio in enumerate(_few(config, "upsampling_ratios")):
        place = f"{name}.upsample.{index}"
        yield from _convolution(f"{place}.0.conv", (width, width, ratio), width)
        yield from _convolution(f"{place}.1.dwconv.conv", (width, 1, 7), width)
        yield from norm(f"{place}.1.norm", width, bias=True)
        yield from linear(f"{place}.1.pwconv1", width, 4 * width, bias=True)
        yield from linear(f"{place}.1.pwconv2", 4 * width, width, bias=True)
        yield Part(f"{place}.1.gamma", (width,))
    channels = config.whole("decoder_dim")
    yield from _convolution(f"{name}.decoder.0.conv", (channels, width, 7), channels)
    rates = _few(config, "upsample_rates")
    for index, rate in enumerate(rates, start=1):
        yield from _stage(f"{name}.decoder.{index}.block", channels, channels // 2, rate)
        channels //= 2
    yield from _snake(f"{name}.decoder.{len(rates) + 1}", channels)
    yield from _convolution(f"{name}.decoder.{len(rates) + 2}.conv", (1, channels, 7), 1)


def _few(config: Config, key: str) -> list[int]:
    found = config.numbers(key) or []
    if len(found) > 16:
        raise config.wrong(key, found, "at most 16 numbers")
    return found


def _transformer(config: Config, name: str, width: int) -> Iterator[Part]:
    heads, kv_heads = config.whole("num_attention_heads", least=1), config.whole("num_key_value_heads")
    length, bias = config.whole("head_dim", default=width // heads), config.flag("attention_bias")
    for layer in range(layer_count(config)):
        block = f"{name}.layers.{layer}"
        yield from attention(f"{block}.self_attn", width, heads, kv_heads, length, bias=bias)
        yield from gated(f"{block}.mlp", width, config.whole("intermediate_size"))
        yield from norm(f"{block}.input_layernorm", width)
        yield from norm(f"{block}.post_attention_layernorm", width)
        yield Part(f"{block}.self_attn_layer_scale.scale", (width,))
        yield Part(f"{block}.mlp_layer_scale.scale", (width,))
    yield from norm(f"{name}.norm", width)


def _stage(name: str, inputs: int, outputs: int, rate: int) -> Iterator[Part]:
    yield from _snake(f"{name}.0", inputs)
    yield from _convolution(f"{name}.1.conv", (inputs, outputs, 2 * rate), outputs)
    for unit in (2, 3, 4):
        for index, kernel in ((1, 7), (2, 1)):
            yield from _snake(f"{name}.{unit}.act{index}", outputs)
            yield from _convolution(f"{name}.{unit}.conv{index}.conv", (outputs, outputs, kernel), outputs)


def _snake(name: str, width: int) -> Iterator[Part]:
    """A periodic activation with learned lengths and heights."""
    yield Part(f"{name}.alpha", (width,))
    yield Part(f"{name}.beta", (width,))


def _convolution(name: str, shape: tuple[int, int, int], outputs: int) -> Iterator[Part]:
    yield Part(f"{name}.weight", shape)
    yield Part(f"{name}.bias", (outputs,))
