"""Gemma 4: its decoder with a vision tower and an audio tower, each where the config has one."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import gemma4_text
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, text_of, within
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm

_NORMS = ("input", "post_attention", "pre_feedforward", "post_feedforward")


def complete(config: Config) -> Config:
    """The defaults of `Gemma4Config`."""
    config = within(config, "text_config", gemma4_text.complete)
    if config.has("vision_config"):
        config = within(config, "vision_config", _vision)
    return within(config, "audio_config", _audio) if config.has("audio_config") else config


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text = text_of(config, tied=True)
    yield from gemma4_text.parts(text, "model.language_model")
    if config.has("vision_config"):
        vision = config.section("vision_config")
        yield from _tower(vision, "model.vision_tower")
        width = vision.whole("hidden_size")
        yield from linear("model.embed_vision.embedding_projection", width, text.whole("hidden_size"))
    if config.has("audio_config"):
        audio = config.section("audio_config")
        yield from _ear(audio, "model.audio_tower")
        outputs = audio.whole("output_proj_dims")
        yield from linear("model.embed_audio.embedding_projection", outputs, text.whole("hidden_size"))


def _vision(config: Config) -> Config:
    return assume(
        config, hidden_size=768, intermediate_size=3072, num_hidden_layers=16, num_attention_heads=12,
        num_key_value_heads=12, head_dim=64, patch_size=16, position_embedding_size=10240,
    )  # fmt: skip


def _audio(config: Config) -> Config:
    return assume(
        config, hidden_size=1024, num_hidden_layers=12, num_attention_heads=8, subsampling_conv_channels=[128, 32],
        conv_kernel_size=5, output_proj_dims=1536,
    )  # fmt: skip


def _tower(config: Config, name: str) -> Iterator[Part]:
    width, inner, length = (config.whole(key) for key in ("hidden_size", "intermediate_size", "head_dim"))
    heads = config.whole("num_attention_heads") * length
    kv_heads = config.whole("num_key_value_heads") * length
    yield from linear(f"{name}.patch_embedder.input_proj", 3 * config.whole("patch_size") ** 2, width)
    yield Part(f"{name}.patch_embedder.position_embedding_table", (2, config.whole("position_embedding_size"), width))
    for layer in range(config.whole("num_hidden_layers", most=MOST_LAYERS)):
        block = f"{name}.encoder.layers.{layer}"
        yield from linear(f"{block}.self_attn.q_proj.linear", width, heads)
        yield from linear(f"{block}.self_attn.k_proj.linear", width, kv_heads)
        yield from linear(f"{block}.self_attn.v_proj.linear", width, kv_heads)
        yield from linear(f"{block}.self_attn.o_proj.linear", heads, width)
        yield from norm(f"{block}.self_attn.q_norm", length)
        yield from norm(f"{block}.self_attn.k_norm", length)
        yield from linear(f"{block}.mlp.gate_proj.linear", width, inner)
        yield from linear(f"{block}.mlp.up_proj.linear", width, inner)
        yield from linear(f"{block}.mlp.down_proj.linear", inner, width)
        for kind in _NORMS:
            yield from norm(f"{block}.{kind}_layernorm", width)


def _ear(config: Config, name: str) -> Iterator[Part]:
    """The audio tower: conformer blocks behind two convolutions."""
    width, heads = config.whole("hidden_size"), config.whole("num_attention_heads", least=1)
    channels = config.numbers("subsampling_conv_channels") or []
    if len(channels) != 2:
        raise config.wrong("subsampling_conv_channels", channels, "two whole numbers")
    first, second = channels
    for index, (inputs, outputs) in enumerate(((1, first), (first, second))):
        yield Part(f"{name}.subsample_conv_projection.layer{index}.conv.weight", (outputs, inputs, 3, 3))
        yield from norm(f"{name}.subsample_conv_projection.layer{index}.norm", outputs)
    yield from linear(f"{name}.subsample_conv_projection.input_proj_linear", first // 4 * second, width)
    for layer in range(config.whole("num_hidden_layers", most=MOST_LAYERS)):
        block = f"{name}.layers.{layer}"
        for network in ("feed_forward1", "feed_forward2"):
            yield from linear(f"{block}.{network}.ffw_layer_1.linear", width, 4 * width)
            yield from linear(f"{block}.{network}.ffw_layer_2.linear", 4 * width, width)
            yield from norm(f"{block}.{network}.pre_layer_norm", width)
            yield from norm(f"{block}.{network}.post_layer_norm", width)
        for matrix in ("q_proj", "k_proj", "v_proj", "post"):
            yield from linear(f"{block}.self_attn.{matrix}.linear", width, width)
        yield from linear(f"{block}.self_attn.relative_k_proj", width, width)
        yield Part(f"{block}.self_attn.per_dim_scale", (width // heads,))
        yield from linear(f"{block}.lconv1d.linear_start.linear", width, 2 * width)
        yield from linear(f"{block}.lconv1d.linear_end.linear", width, width)
        yield Part(f"{block}.lconv1d.depthwise_conv1d.weight", (width, 1, config.whole("conv_kernel_size")))
        for kind in ("lconv1d.pre_layer_norm", "lconv1d.conv_norm", "norm_pre_attn", "norm_post_attn", "norm_out"):
            yield from norm(f"{block}.{kind}", width)
    yield from linear(f"{name}.output_proj", width, config.whole("output_proj_dims"), bias=True)
