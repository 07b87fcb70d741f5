"""DBRX: experts of one layer stacked in three tensors; sizes in two sections of the config."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The usual keys beside those of `DbrxConfig`."""
    experts = config.section("ffn_config")
    return config.replace(
        num_key_value_heads=config.section("attn_config").whole("kv_n_heads", default=1),
        num_local_experts=experts.whole("moe_num_experts", default=4),
        num_experts_per_tok=experts.whole("moe_top_k", default=1),
        moe_intermediate_size=experts.whole("ffn_hidden_size", default=3584),
    )


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, vocabulary = config.whole("d_model"), config.whole("vocab_size")
    yield Part("transformer.wte.weight", (vocabulary, width))
    if not config.flag("tie_word_embeddings"):
        yield Part("lm_head.weight", (vocabulary, width))
    for layer in range(config.whole("n_layers", most=MOST_LAYERS)):
        yield from _layer(config, f"transformer.blocks.{layer}", width)
    yield from norm("transformer.norm_f", width)


def _layer(config: Config, name: str, width: int) -> Iterator[Part]:
    length = width // config.whole("n_heads", least=1)
    experts, inner = config.whole("num_local_experts"), config.whole("moe_intermediate_size")
    block = f"{name}.norm_attn_norm"
    yield from norm(f"{block}.norm_1", width)
    yield from linear(f"{block}.attn.Wqkv", width, width + 2 * config.whole("num_key_value_heads") * length)
    yield from linear(f"{block}.attn.out_proj", width, width)
    yield from norm(f"{block}.norm_2", width)
    yield from linear(f"{name}.ffn.router.layer", width, experts)
    for each in ("w1", "v1", "w2"):
        yield Part(f"{name}.ffn.experts.mlp.{each}", (experts * inner, width))
