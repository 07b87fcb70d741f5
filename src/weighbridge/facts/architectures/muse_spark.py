"""Muse Spark: Muse Glimmer with experts in a space of their own and gates on what is added, and with ears."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, layer_count, text_of, within
from weighbridge.facts.architectures.llama import decoder, feed_forward, grouped_query
from weighbridge.facts.architectures.muse_glimmer import gate, kinds, tower, vision
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, fused_experts, linear, norm, plain

_NORMS = ("input_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")


def complete(config: Config) -> Config:
    """The defaults of `MuseSparkConfig`."""
    config = assume(config, out_hidden_size=6144, projector_hidden_size=4096)
    config = within(within(config, "text_config", _text), "vision_config", vision)
    return within(config, "audio_config", _audio)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from tower(config)
    yield from _ear(config.section("audio_config"), "model.audio_tower")
    blocks = grouped_query, gate, _mixture, _gates
    yield from decoder(text_of(config), "model.language_model", "lm_head", *blocks, norms=_NORMS)


def _text(config: Config) -> Config:
    config = assume(
        config, vocab_size=202048, hidden_size=8192, intermediate_size=16384, num_hidden_layers=62,
        num_attention_heads=128, num_key_value_heads=16, head_dim=64, sliding_window=2048,
        moe_intermediate_size=4096, num_local_experts=256, num_experts_per_tok=8, moe_hidden_size=4096,
    )  # fmt: skip
    return assume(config, layer_types=kinds(config), mlp_layer_types=["sparse"] * layer_count(config))


def _audio(config: Config) -> Config:
    return assume(
        config, patch_sizes=[16, 6, 5, 4], hidden_sizes=[256, 512, 1024, 2048], depths=[2, 2, 2, 2], mlp_ratio=4,
        conv_kernel_size=7, out_hidden_size=8192,
    )  # fmt: skip


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    kinds = config.list("mlp_layer_types", most=MOST_LAYERS) or []
    if kinds[layer : layer + 1] != ["sparse"]:
        yield from feed_forward(config, name, layer, bias=False)
        return
    width, inner = config.whole("hidden_size"), config.whole("moe_hidden_size")
    experts, size = config.whole("num_local_experts"), config.whole("moe_intermediate_size")
    yield from linear(f"{name}.mlp.gate", width, experts)
    yield from linear(f"{name}.mlp.pre_expert_proj", width, inner)
    yield from norm(f"{name}.mlp.pre_expert_norm", inner)
    yield from fused_experts(f"{name}.mlp.experts", inner, size, experts)
    yield from norm(f"{name}.mlp.experts.post_expert_norm", inner)
    yield from linear(f"{name}.mlp.post_expert_proj", inner, width)


def _gates(config: Config, name: str, _layer: int) -> Iterator[Part]:
    yield Part(f"{name}.post_attention_residual_gate.gate", (config.whole("hidden_size"),))
    yield Part(f"{name}.post_feedforward_residual_gate.gate", (config.whole("hidden_size"),))


def _ear(config: Config, name: str) -> Iterator[Part]:
    """The audio tower: samples gathered into ever longer vectors, convolutions between."""
    patches, widths, depths = (config.numbers(key) or [] for key in ("patch_sizes", "hidden_sizes", "depths"))
    if not len(patches) == len(widths) == len(depths) or not 1 <= len(widths) <= 64 or max(depths) > MOST_LAYERS:
        raise config.wrong("hidden_sizes", widths, "as many numbers as patch_sizes and depths")
    for stage, (patch, inputs, width, depth) in enumerate(zip(patches, [1, *widths], widths, depths, strict=False)):
        place = f"{name}.layers.{stage}"
        yield from linear(f"{place}.patch_embedder.proj", inputs * patch, width, bias=True)
        yield from norm(f"{place}.patch_embedder.norm", width)
        for layer in range(depth):
            block = f"{place}.conv_blocks.{layer}"
            yield Part(f"{block}.conv.weight", (width, 1, config.whole("conv_kernel_size")))
            yield Part(f"{block}.conv.bias", (width,))
            yield from norm(f"{block}.norm", width)
            yield from plain(f"{block}.mlp", width, width * config.whole("mlp_ratio"), "fc1", "fc2", bias=True)
    outputs = config.whole("out_hidden_size")
    yield from norm(f"{name}.norm", widths[-1])
    yield from linear(f"{name}.proj", widths[-1], outputs, bias=True)
    yield from norm(f"{name}.post_proj_norm", outputs)
