"""Nemotron 3 Omni: Nemotron-H with C-RADIO for pictures and Parakeet for sound."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import nemotron_h
from weighbridge.facts.architectures._assumed import assume, layer_count, text_of, within
from weighbridge.facts.architectures._encoder import encoder_layer
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm, plain

_OLDER = {"llm_config": "text_config", "sound_config": "audio_config", "vit_hidden_size": "vision_hidden_size"}


def complete(config: Config) -> Config:
    """The defaults of `NemotronH_Omni_Reasoning_V3_Config`, whose released configs have older keys."""
    newer = {new: config.data[old] for old, new in _OLDER.items() if config.has(old) and not config.has(new)}
    config = assume(config.replace(**newer), projector_hidden_size=4096, vision_hidden_size=1280)
    config = within(within(config, "text_config", nemotron_h.complete), "vision_config", _vision)
    return within(config, "audio_config", _audio) if config.has("audio_config") else config


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text, vision, audio = text_of(config), config.section("vision_config"), config.section("audio_config")
    width, outputs, inner = config.whole("vision_hidden_size"), text.whole("hidden_size"), "projector_hidden_size"
    yield from nemotron_h.parts(text, "language_model.backbone", "language_model.lm_head")
    yield from _tower(vision, "vision_model")
    if text.whole("num_nextn_predict_layers", default=0):
        yield from norm("vision_final_layernorm", width, bias=True)
    yield from _projector("multi_modal_projector", width * _gathered(config), config.whole(inner), outputs)
    if config.has("audio_config"):
        bias, heard = audio.flag("projection_bias"), audio.whole("hidden_size")
        yield from _ear(audio, "audio_tower")
        yield from _projector("embed_audio", heard, audio.whole("projection_hidden_size"), outputs, bias=bias)


def _vision(config: Config) -> Config:
    return assume(
        config, hidden_size=1280, num_hidden_layers=32, mlp_ratio=4, num_channels=3, patch_size=16,
        max_img_size=2048, num_cls_tokens=3, num_registers=7, video_temporal_patch_size=2,
    )  # fmt: skip


def _audio(config: Config) -> Config:
    return assume(
        config, hidden_size=1024, num_hidden_layers=24, num_attention_heads=8, intermediate_size=4096,
        attention_bias=False, convolution_bias=True, conv_kernel_size=9, subsampling_factor=8,
        subsampling_conv_channels=256, num_mel_bins=80, subsampling_conv_kernel_size=3, subsampling_conv_stride=2,
    )  # fmt: skip


def _gathered(config: Config) -> int:
    """How many patches are gathered into one."""
    ratio = config.data.get("downsample_ratio", 0.5)
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 1 / 64 <= ratio <= 1:
        raise config.wrong("downsample_ratio", ratio, "a number from 1/64 to 1")
    return int(1 / ratio) ** 2


def _projector(name: str, inputs: int, inner: int, outputs: int, *, bias: bool = False) -> Iterator[Part]:
    yield from norm(f"{name}.layer_norm", inputs)
    yield from linear(f"{name}.linear_1", inputs, inner, bias=bias)
    yield from linear(f"{name}.linear_2", inner, outputs, bias=bias)


def _tower(config: Config, name: str) -> Iterator[Part]:
    if config.flag("use_swiglu_ffn") or not config.flag("qkv_bias", default=True):
        raise config.wrong("use_swiglu_ffn", config.data.get("use_swiglu_ffn"), "false, and qkv_bias true")
    width, patch = config.whole("hidden_size"), config.whole("patch_size", least=1)
    values, tokens = config.whole("num_channels") * patch**2, config.whole("num_cls_tokens")
    yield Part(f"{name}.embeddings.position_embedding", (1, (config.whole("max_img_size") // patch) ** 2, width))
    yield Part(f"{name}.embeddings.cls_register_token", (tokens + config.whole("num_registers"), width))
    yield from linear(f"{name}.embeddings.patch_projection", values, width)
    if frames := config.number("video_temporal_patch_size"):
        yield from linear(f"{name}.embeddings.video_patch_projection", frames * values, width)
    inner = config.whole("mlp_ratio") * width
    for layer in range(layer_count(config)):
        block, norms = f"{name}.encoder.layer.{layer}", ("norm1", "norm2")
        yield from encoder_layer(block, width, inner, attention="attention", output="o_proj", norms=norms)
        yield Part(f"{block}.layer_scale1.lambda1", (width,))
        yield Part(f"{block}.layer_scale2.lambda1", (width,))


def _ear(config: Config, name: str) -> Iterator[Part]:
    """The audio tower: conformer blocks behind convolutions, each of which halves the frequencies."""
    width, heads = config.whole("hidden_size"), config.whole("num_attention_heads", least=1)
    bias, inner = config.flag("attention_bias"), config.whole("intermediate_size")
    yield from _subsampling(config, f"{name}.subsampling", width)
    for layer in range(layer_count(config)):
        block = f"{name}.layers.{layer}"
        for network in ("feed_forward1", "feed_forward2"):
            yield from plain(f"{block}.{network}", width, inner, "linear1", "linear2", bias=bias)
        for matrix in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield from linear(f"{block}.self_attn.{matrix}", width, width, bias=bias)
        yield from linear(f"{block}.self_attn.relative_k_proj", width, width)
        yield Part(f"{block}.self_attn.bias_u", (heads, width // heads))
        yield Part(f"{block}.self_attn.bias_v", (heads, width // heads))
        yield from _convolution(config, f"{block}.conv", width)
        for kind in ("feed_forward1", "self_att", "conv", "feed_forward2", "out"):
            yield from norm(f"{block}.norm_{kind}", width, bias=True)


def _convolution(config: Config, name: str, width: int) -> Iterator[Part]:
    sizes = {
        "pointwise_conv1": (2 * width, width, 1), "depthwise_conv": (width, 1, config.whole("conv_kernel_size")),
        "pointwise_conv2": (width, width, 1),
    }  # fmt: skip
    for kind, shape in sizes.items():
        yield Part(f"{name}.{kind}.weight", shape)
        if config.flag("convolution_bias"):
            yield Part(f"{name}.{kind}.bias", shape[:1])
    yield from norm(f"{name}.norm", width, bias=True)


def _subsampling(config: Config, name: str, width: int) -> Iterator[Part]:
    channels, kernel = config.whole("subsampling_conv_channels"), config.whole("subsampling_conv_kernel_size")
    stride, factor = config.whole("subsampling_conv_stride", least=1), config.whole("subsampling_factor", least=1)
    steps = factor.bit_length() - 1
    if factor != 1 << steps or steps < 1:
        raise config.wrong("subsampling_factor", factor, "a power of 2")
    shapes = {0: (channels, 1, kernel, kernel)}
    for step in range(1, steps):
        shapes |= {3 * step - 1: (channels, 1, kernel, kernel), 3 * step: (channels, channels, 1, 1)}
    for index, shape in shapes.items():
        yield Part(f"{name}.layers.{index}.weight", shape)
        yield Part(f"{name}.layers.{index}.bias", (channels,))
    left = config.whole("num_mel_bins") // min(stride, 64) ** steps
    yield from linear(f"{name}.linear", channels * left, width, bias=True)
