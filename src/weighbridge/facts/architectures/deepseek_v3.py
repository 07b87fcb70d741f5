"""DeepSeek-V3: latent attention, and experts beside shared ones after a few dense layers."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, layer_count
from weighbridge.facts.architectures.llama import Block, decoder, feed_forward, one_layer
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, linear, norm, routed


def complete(config: Config) -> Config:
    """The defaults of `DeepseekV3Config`."""
    return assume(config, first_k_dense_replace=3, n_shared_experts=1)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor; the layers that predict further tokens come with copies of the embedding and the output."""
    yield from decoder(config, prefix, output, latent, mixture)
    yield from further(config, prefix, latent, mixture, has_copies=True)


def further(config: Config, prefix: str, *blocks: Block, has_copies: bool = False) -> Iterator[Part]:
    """The layers that predict further tokens, numbered on after the others."""
    width, vocabulary, count = config.whole("hidden_size"), config.whole("vocab_size"), layer_count(config)
    for layer in range(count, count + config.whole("num_nextn_predict_layers", default=0, most=64)):
        name = f"{prefix}.layers.{layer}"
        if has_copies:
            yield Part(f"{name}.embed_tokens.weight", (vocabulary, width))
            yield Part(f"{name}.shared_head.head.weight", (vocabulary, width))
        yield from norm(f"{name}.enorm", width)
        yield from norm(f"{name}.hnorm", width)
        yield from linear(f"{name}.eh_proj", 2 * width, width)
        yield from one_layer(config, name, layer, *blocks)
        yield from norm(f"{name}.shared_head.norm", width)


def latent(config: Config, name: str, _layer: int) -> Iterator[Part]:
    """Latent attention: keys and values from one short vector, queries from another where `q_lora_rank` is given."""
    width, heads, bias = config.whole("hidden_size"), config.whole("num_attention_heads"), config.flag("attention_bias")
    plain, rotary = config.whole("qk_nope_head_dim"), config.whole("qk_rope_head_dim")
    rank, values, queries = config.whole("kv_lora_rank"), config.whole("v_head_dim"), config.number("q_lora_rank")
    place = f"{name}.self_attn"
    if queries:
        yield from linear(f"{place}.q_a_proj", width, queries, bias=bias)
        yield from norm(f"{place}.q_a_layernorm", queries)
        yield from linear(f"{place}.q_b_proj", queries, heads * (plain + rotary))
    else:
        yield from linear(f"{place}.q_proj", width, heads * (plain + rotary))
    yield from linear(f"{place}.kv_a_proj_with_mqa", width, rank + rotary, bias=bias)
    yield from norm(f"{place}.kv_a_layernorm", rank)
    yield from linear(f"{place}.kv_b_proj", rank, heads * (plain + values))
    yield from linear(f"{place}.o_proj", heads * values, width, bias=bias)


def mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    """Routed experts, and shared ones stored as one; dense in the first layers."""
    if not is_sparse(config, layer):
        yield from feed_forward(config, name, layer)
        return
    width, inner = config.whole("hidden_size"), config.whole("moe_intermediate_size")
    shared = config.whole("n_shared_experts", "num_shared_experts", default=0)
    yield from routed(f"{name}.mlp", width, inner, config.whole("n_routed_experts", "num_experts"))
    if shared:
        yield from gated(f"{name}.mlp.shared_experts", width, shared * inner)


def is_sparse(config: Config, layer: int) -> bool:
    """Whether the layer has experts, by its kind where kinds are listed."""
    listed = config.list("mlp_layer_types", most=MOST_LAYERS) or []
    if layer < len(listed):
        return bool(listed[layer] == "sparse")
    frequency = config.whole("moe_layer_freq", default=1, least=1)
    return layer >= config.whole("first_k_dense_replace", default=0) and layer % frequency == 0
