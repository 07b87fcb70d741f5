"""Phi-4-multimodal as transformers has it: Phi-4-mini with SigLIP and a conformer; adapters are files of their own."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import phi3
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, within
from weighbridge.facts.architectures._encoder import complete_siglip, siglip
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Phi4MultimodalConfig`."""
    config = assume(
        config, vocab_size=200064, hidden_size=3072, intermediate_size=8192, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8,
    )  # fmt: skip
    return within(within(config, "vision_config", _vision), "audio_config", _audio)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    vision, width = config.section("vision_config"), config.whole("hidden_size")
    name, seen = "model.embed_tokens_extend.image_embed", vision.whole("hidden_size")
    yield from siglip(vision, f"{name}.img_processor")
    yield Part(f"{name}.global_img_feature_extensor", (1, 1, seen))
    yield Part(f"{name}.sub_img_feature_extensor", (1, 1, 1, seen))
    yield from linear(f"{name}.img_projection_up", seen, width, bias=True)
    yield from linear(f"{name}.img_projection_down", width, width, bias=True)
    audio, name = config.section("audio_config"), "model.embed_tokens_extend.audio_embed"
    yield from _ear(audio, f"{name}.encoder")
    heard = audio.whole("hidden_size") * audio.whole("downsample_rate")
    for kind in ("speech", "vision_speech"):
        yield from linear(f"{name}.up_proj_for_{kind}", heard, width, bias=True)
        yield from linear(f"{name}.down_proj_for_{kind}", width, width, bias=True)
    yield from phi3.parts(config)


def _vision(config: Config) -> Config:
    config = assume(
        config, hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, image_size=448, patch_size=14,
    )  # fmt: skip
    return complete_siglip(config.replace(vision_use_head=True))


def _audio(config: Config) -> Config:
    return assume(
        config, hidden_size=1024, intermediate_size=1536, num_blocks=24, num_attention_heads=16, kernel_size=3,
        ext_pw_out_channel=1024, depthwise_separable_out_channel=1024, depthwise_multiplier=1, input_size=80,
        time_reduction=8, bias_max_distance=1000, bias_symmetric=False, nemo_conv_channels=1024, downsample_rate=1,
    )  # fmt: skip


def _ear(config: Config, name: str) -> Iterator[Part]:
    """The audio tower: conformer blocks behind convolutions, each of which halves the frequencies."""
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    buckets = config.whole("bias_max_distance") * (1 if config.flag("bias_symmetric") else 2)
    yield from _subsampling(config, f"{name}.embed", width)
    table = (buckets, config.whole("num_attention_heads"))
    yield Part(f"{name}.relative_attention_bias_layer.bias_values.weight", table)
    for layer in range(config.whole("num_blocks", most=MOST_LAYERS)):
        block = f"{name}.encoders.{layer}"
        for network in ("feed_forward_in", "feed_forward_out"):
            yield from norm(f"{block}.{network}.layer_norm", width, bias=True)
            yield from linear(f"{block}.{network}.gate_up_proj", width, 2 * inner, bias=True)
            yield from linear(f"{block}.{network}.down_proj", inner, width, bias=True)
        for matrix in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield from linear(f"{block}.self_attn.{matrix}", width, width, bias=True)
        yield from _convolutions(config, f"{block}.conv", width)
        yield from norm(f"{block}.layer_norm_att", width, bias=True)
        yield from norm(f"{block}.layer_norm", width, bias=True)


def _convolutions(config: Config, name: str, width: int) -> Iterator[Part]:
    outputs, deep = config.whole("ext_pw_out_channel"), width * config.whole("depthwise_multiplier")
    yield from norm(f"{name}.layer_norm", width, bias=True)
    yield Part(f"{name}.glu.b1", (1, outputs, 1))
    yield Part(f"{name}.glu.b2", (1, outputs, 1))
    yield from _convolution(f"{name}.glu.ext_pw_conv_1d", (2 * outputs, width, 1))
    yield from _convolution(f"{name}.dw_sep_conv_1d.dw_conv", (deep, 1, config.whole("kernel_size")))
    separable = config.whole("depthwise_separable_out_channel")
    yield from _convolution(f"{name}.dw_sep_conv_1d.pw_conv", (separable, deep, 1))
    yield from _convolution(f"{name}.ext_pw_conv_1d", (outputs, width, 1))


def _subsampling(config: Config, name: str, width: int) -> Iterator[Part]:
    channels, left = config.whole("nemo_conv_channels"), config.whole("input_size", least=1)
    steps = config.whole("time_reduction", least=2).bit_length() - 1
    for step in range(steps):
        left = (left - 1) // 2 + 1
        first = 3 * step - 1 if step else 0
        yield from _convolution(f"{name}.conv.{first}", (channels, 1, 3, 3))
        if step:
            yield from _convolution(f"{name}.conv.{first + 1}", (channels, channels, 1, 1))
    yield from linear(f"{name}.out", channels * left, width, bias=True)


def _convolution(name: str, shape: tuple[int, ...]) -> Iterator[Part]:
    yield Part(f"{name}.weight", shape)
    yield Part(f"{name}.bias", shape[:1])
