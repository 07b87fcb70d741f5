"""Gemma 3n: its decoder with MobileNet V5 for pictures and a conformer for sound."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import _mobilenet_v5, gemma3n_text
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, text_of, within
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Gemma3nConfig`."""
    config = within(config, "text_config", gemma3n_text.complete)
    return within(within(config, "vision_config", _vision), "audio_config", _audio)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text, vision, audio = text_of(config, tied=True), config.section("vision_config"), config.section("audio_config")
    if vision.text("architecture") != "mobilenetv5_300m_enc":
        raise vision.wrong("architecture", vision.text("architecture"), "mobilenetv5_300m_enc")
    yield from _mobilenet_v5.parts("model.vision_tower.timm_model")
    yield from _ear(audio, "model.audio_tower")
    for name, section in (("model.embed_vision", vision), ("model.embed_audio", audio)):
        width = section.whole("hidden_size")
        yield Part(f"{name}.embedding.weight", (section.whole("vocab_size"), width))
        yield from norm(f"{name}.hard_embedding_norm", width)
        yield from norm(f"{name}.soft_embedding_norm", width)
        yield from linear(f"{name}.embedding_projection", width, text.whole("hidden_size"))
    yield from gemma3n_text.parts(text, "model.language_model")


def _vision(config: Config) -> Config:
    return assume(config, architecture="mobilenetv5_300m_enc", hidden_size=2048, vocab_size=128)


def _audio(config: Config) -> Config:
    return assume(
        config, vocab_size=128, input_feat_size=128, hidden_size=1536, conf_num_attention_heads=8,
        conf_num_hidden_layers=12, conf_conv_kernel_size=5, sscp_conv_channel_size=[128, 32],
        sscp_conv_kernel_size=[[3, 3], [3, 3]], sscp_conv_stride_size=[[2, 2], [2, 2]],
    )  # fmt: skip


def _ear(config: Config, name: str) -> Iterator[Part]:
    """The audio tower: conformer blocks behind two convolutions, each of which halves the frequencies."""
    width, heads = config.whole("hidden_size"), config.whole("conf_num_attention_heads", least=1)
    for key, expected in (("sscp_conv_kernel_size", [[3, 3], [3, 3]]), ("sscp_conv_stride_size", [[2, 2], [2, 2]])):
        if config.list(key) != expected:
            raise config.wrong(key, config.list(key), str(expected))
    channels = config.numbers("sscp_conv_channel_size") or []
    if len(channels) != 2:
        raise config.wrong("sscp_conv_channel_size", channels, "two whole numbers")
    for index, (inputs, outputs) in enumerate(((1, channels[0]), (channels[0], channels[1]))):
        yield Part(f"{name}.subsample_conv_projection.conv_{index}.conv.weight", (outputs, inputs, 3, 3))
        yield from norm(f"{name}.subsample_conv_projection.conv_{index}.norm", outputs)
    frequencies = ((config.whole("input_feat_size") + 1) // 2 + 1) // 2
    yield from linear(f"{name}.subsample_conv_projection.input_proj_linear", frequencies * channels[1], width)
    for layer in range(config.whole("conf_num_hidden_layers", most=MOST_LAYERS)):
        block = f"{name}.conformer.{layer}"
        for network in ("ffw_layer_start", "ffw_layer_end"):
            yield from norm(f"{block}.{network}.pre_layer_norm", width)
            yield from linear(f"{block}.{network}.ffw_layer_1", width, 4 * width)
            yield from linear(f"{block}.{network}.ffw_layer_2", 4 * width, width)
            yield from norm(f"{block}.{network}.post_layer_norm", width)
        for matrix in (
            "attn.q_proj",
            "attn.k_proj",
            "attn.v_proj",
            "attn.relative_position_embedding.pos_proj",
            "post",
        ):
            yield from linear(f"{block}.attention.{matrix}", width, width)
        yield Part(f"{block}.attention.attn.per_dim_scale", (width // heads,))
        yield from linear(f"{block}.lconv1d.linear_start", width, 2 * width)
        yield from linear(f"{block}.lconv1d.linear_end", width, width)
        yield Part(f"{block}.lconv1d.depthwise_conv1d.weight", (width, 1, config.whole("conf_conv_kernel_size")))
        norms = (
            "attention.pre_attn_norm",
            "attention.post_norm",
            "lconv1d.pre_layer_norm",
            "lconv1d.conv_norm",
            "norm",
        )
        for kind in norms:
            yield from norm(f"{block}.{kind}", width)


def complete_header(keys: Keys) -> dict[str, Value]:
    """llama.cpp's: each fifth layer has no window, and those from the 21st on keep nothing of their own."""
    shared = max(0, keys.whole("block_count") - 20)
    return {"attention.sliding_window_pattern": 5, "attention.shared_kv_layers": shared}
