"""MiniMax-M3: grouped-query attention, sparse in most layers by an indexer, and experts, behind a vision tower."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures._assumed import (
    MOST_LAYERS,
    assume,
    kind_of,
    layer_count,
    layer_types,
    pair,
    text_of,
    within,
)
from weighbridge.facts.architectures._encoder import encoder_layer
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, linear, norm, routed


def complete(config: Config) -> Config:
    """The defaults of `MiniMaxM3VLConfig`."""
    config = assume(config, projector_hidden_size=6144)
    return within(within(config, "text_config", _text), "vision_config", _vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text, vision = text_of(config), config.section("vision_config")
    yield from _tower(vision, "vision_tower.vision_model")
    outputs, inner = text.whole("hidden_size"), config.whole("projector_hidden_size")
    merged = outputs * vision.whole("spatial_merge_size", most=64) ** 2
    for name, inputs in (("multi_modal_projector", vision.whole("hidden_size")), ("patch_merge_mlp", merged)):
        yield from linear(f"{name}.linear_1", inputs, inner, bias=True)
        yield from linear(f"{name}.linear_2", inner, outputs, bias=True)
    blocks = partial(grouped_query, bias=False, head_norms=True), _indexer, _mixture
    yield from decoder(text, "language_model.model", "language_model.lm_head", *blocks)


def _text(config: Config) -> Config:
    config = assume(
        config, vocab_size=200064, hidden_size=6144, intermediate_size=3072, num_hidden_layers=60,
        num_attention_heads=64, num_key_value_heads=4, head_dim=128, num_local_experts=128, num_experts_per_tok=4,
        dense_intermediate_size=12288, shared_intermediate_size=3072,
    )  # fmt: skip
    count, sparse = layer_count(config), config.section("sparse_attention_config")
    experts = config.list("moe_layer_freq", most=MOST_LAYERS) or [1] * count
    indexed = sparse.list("sparse_attention_freq", most=MOST_LAYERS) or [0] * count
    config = config.replace(
        index_n_heads=sparse.whole("sparse_num_index_heads", default=config.whole("index_n_heads", default=4)),
        index_head_dim=sparse.whole("sparse_index_dim", default=config.whole("index_head_dim", default=128)),
    )
    config = assume(
        config, layer_types=["minimax_m3_sparse" if flag else "full_attention" for flag in indexed],
        mlp_layer_types=["sparse" if flag else "dense" for flag in experts],
    )  # fmt: skip
    # Only sparse layers keep keys for an indexer.
    kinds = layer_types(config)
    return config.replace(indexer_types=["full" if kind == "minimax_m3_sparse" else "none" for kind in kinds])


def _vision(config: Config) -> Config:
    return assume(
        config, hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_channels=3, patch_size=14,
        temporal_patch_size=2, spatial_merge_size=2,
    )  # fmt: skip


def _tower(config: Config, name: str) -> Iterator[Part]:
    width, frames = config.whole("hidden_size"), config.whole("temporal_patch_size")
    patch = (frames, *pair(config, "patch_size"))
    yield Part(f"{name}.embeddings.patch_embedding.weight", (width, config.whole("num_channels"), *patch))
    yield from norm(f"{name}.pre_layrnorm", width, bias=True)
    for layer in range(layer_count(config)):
        yield from encoder_layer(f"{name}.encoder.layers.{layer}", width, config.whole("intermediate_size"))


def _indexer(config: Config, name: str, layer: int) -> Iterator[Part]:
    """What chooses the blocks of tokens that a query attends to."""
    if kind_of(config, layer) != "minimax_m3_sparse":
        return
    width, length, place = config.whole("hidden_size"), config.whole("index_head_dim"), f"{name}.self_attn"
    yield from linear(f"{place}.index_q_proj", width, config.whole("index_n_heads") * length)
    yield from linear(f"{place}.index_k_proj", width, length)
    yield from norm(f"{place}.index_q_norm", length)
    yield from norm(f"{place}.index_k_norm", length)


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    width, kinds = config.whole("hidden_size"), config.list("mlp_layer_types", most=MOST_LAYERS) or []
    if kinds[layer : layer + 1] != ["sparse"]:
        yield from gated(f"{name}.mlp", width, config.whole("dense_intermediate_size"))
        return
    inner, experts, place = config.whole("intermediate_size"), config.whole("num_local_experts"), "block_sparse_moe"
    yield from routed(f"{name}.{place}", width, inner, experts, names=("w1", "w3", "w2"))
    yield from gated(f"{name}.{place}.shared_experts", width, config.whole("shared_intermediate_size"))
