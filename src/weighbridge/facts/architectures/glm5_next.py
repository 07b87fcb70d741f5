"""GLM-5.3-Flash: Kimi Delta Attention, each fourth layer latent with an indexer; several streams between layers."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import glm_moe_dsa
from weighbridge.facts.architectures._assumed import (
    MOST_LAYERS,
    assume,
    each,
    kind_of,
    layer_types,
    text_of,
    within,
    within_text,
)
from weighbridge.facts.architectures.deepseek_v3 import latent, mixture
from weighbridge.facts.architectures.deepseek_v32 import indexer
from weighbridge.facts.architectures.glm4v import gathering
from weighbridge.facts.architectures.kimi_linear import delta
from weighbridge.facts.architectures.llama import decoder
from weighbridge.facts.architectures.qwen3_vl import patches
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Glm5NextConfig`."""
    return within(within_text(config, _text), "vision_config", _vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from _tower(config.section("vision_config"), "model.visual")
    yield from decoder(text_of(config), "model.language_model", "lm_head", _attention, mixture, _streams)


def _text(config: Config) -> Config:
    config = assume(
        config, vocab_size=154880, hidden_size=4096, intermediate_size=12288, moe_intermediate_size=2048,
        num_hidden_layers=45, num_attention_heads=64, num_key_value_heads=64, n_shared_experts=1,
        n_routed_experts=288, kv_lora_rank=512, q_lora_rank=1536, qk_rope_head_dim=0, v_head_dim=256,
        qk_nope_head_dim=256, num_experts_per_tok=8, index_head_dim=128, index_n_heads=32, index_kpool=16, hc_mult=4,
    )  # fmt: skip
    listed = config.list("layer_types", most=MOST_LAYERS) or each(config, 4, "indexed_attention", "linear_attention")
    config = config.replace(layer_types=listed)
    kinds = layer_types(config, {"full_attention": "indexed_attention"})
    shape = config.section("linear_attn_config")
    heads = {
        "num_heads": config.whole("linear_num_heads", default=64),
        "head_dim": config.whole("linear_head_dim", default=128),
        "short_conv_kernel_size": config.whole("linear_conv_kernel_dim", default=4),
    }
    return glm_moe_dsa.complete(config.replace(layer_types=kinds, linear_attn_config=heads | shape.data))


def _vision(config: Config) -> Config:
    return assume(
        config, depth=24, hidden_size=1024, num_heads=16, in_channels=3, patch_size=14, spatial_merge_size=2,
        temporal_patch_size=2, out_hidden_size=1536, intermediate_size=4096, projection_intermediate_size=10240,
        attention_bias=True,
    )  # fmt: skip


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    if kind_of(config, layer) == "linear_attention":
        yield from delta(config, f"{name}.self_attn")
        return
    yield from latent(config, name, layer)
    extra = f"{name}.self_attn.indexer.index_kpool_compress"
    for part in indexer(config, name, layer):
        yield part
        if part.name.endswith("indexer.wk.weight"):
            length, width = part.shape
            yield Part(f"{extra}_ape", (config.whole("index_kpool"), length))
            yield Part(f"{extra}_gate", (length, width))


def _streams(config: Config, name: str, _layer: int) -> Iterator[Part]:
    """How the streams are mixed around attention and experts."""
    streams = config.whole("hc_mult", most=64)
    mixes = (2 + streams) * streams
    for place in ("hc_attn", "hc_ffn"):
        yield Part(f"{name}.{place}_fn", (mixes, streams * config.whole("hidden_size")))
        yield Part(f"{name}.{place}_base", (mixes,))
        yield Part(f"{name}.{place}_scale", (3,))


def _tower(config: Config, name: str) -> Iterator[Part]:
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    bias, length = config.flag("attention_bias"), width // config.whole("num_heads", least=1)
    yield from patches(config, f"{name}.patch_embed.proj", width, bias=True)
    for layer in range(config.whole("depth", most=MOST_LAYERS)):
        block = f"{name}.blocks.{layer}"
        yield from norm(f"{block}.norm1", width)
        yield from norm(f"{block}.norm2", width)
        yield from linear(f"{block}.attn.qkv", width, 3 * width, bias=bias)
        yield from linear(f"{block}.attn.proj", width, width, bias=bias)
        yield from norm(f"{block}.attn.q_norm", length)
        yield from norm(f"{block}.attn.k_norm", length)
        yield from gated(f"{block}.mlp", width, inner, bias=bias)
    yield from norm(f"{name}.post_layernorm", width)
    yield from gathering(config, name, config.whole("projection_intermediate_size"))
