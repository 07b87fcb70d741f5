"""Gemma 4's decoder: longer heads where attention is global, shared caches in late layers, embeddings a layer."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, each, layer_count, layer_types
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, fused_experts, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Gemma4TextConfig`; `global_*` say what full-attention layers have."""
    config = assume(config, hidden_size_per_layer_input=256, sliding_window=512)
    config = assume(
        config, vocab_size=262144, hidden_size=2304, intermediate_size=9216, num_hidden_layers=30,
        num_attention_heads=8, num_key_value_heads=4, head_dim=256, global_head_dim=512, num_kv_shared_layers=0,
        vocab_size_per_layer_input=262144, tie_word_embeddings=True,
    )  # fmt: skip
    kv_heads = config.whole("num_key_value_heads")
    if config.flag("attention_k_eq_v"):
        kv_heads = config.whole("num_global_key_value_heads", default=kv_heads)
    types = each(config, 6, "full_attention", "sliding_attention")
    types = layer_types(assume(config, layer_types=types))
    return config.replace(
        num_global_key_value_heads=kv_heads, layer_types=[*types[:-1], *["full_attention"][: len(types)]]
    )


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    width, count = config.whole("hidden_size"), layer_count(config)
    own = config.whole("hidden_size_per_layer_input", default=0)
    tied = config.flag("tie_word_embeddings")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied, prefix=prefix, output=output)
    if own:
        yield Part(f"{prefix}.embed_tokens_per_layer.weight", (config.whole("vocab_size_per_layer_input"), count * own))
        yield from linear(f"{prefix}.per_layer_model_projection", width, count * own)
        yield from norm(f"{prefix}.per_layer_projection_norm", own)
    first_shared = count - config.whole("num_kv_shared_layers", most=count)
    for layer, kind in enumerate(layer_types(config)):
        block, shares = f"{prefix}.layers.{layer}", layer >= first_shared
        yield from _attention(config, f"{block}.self_attn", is_global=kind == "full_attention", shares=shares)
        wide = 2 if shares and config.flag("use_double_wide_mlp") else 1
        yield from gated(f"{block}.mlp", width, config.whole("intermediate_size") * wide)
        for name in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            yield from norm(f"{block}.{name}_layernorm", width)
        if own:
            yield from linear(f"{block}.per_layer_input_gate", width, own)
            yield from linear(f"{block}.per_layer_projection", own, width)
            yield from norm(f"{block}.post_per_layer_input_norm", width)
        if config.flag("enable_moe_block"):
            yield from _experts(config, block)
    yield from norm(f"{prefix}.norm", width)


def _attention(config: Config, name: str, *, is_global: bool, shares: bool) -> Iterator[Part]:
    """`shares`: keys and values are those of an earlier layer."""
    start = "global_" if is_global else ""
    length = config.whole(f"{start}head_dim")
    kv_heads = config.whole("num_global_key_value_heads" if is_global else "num_key_value_heads")
    left_out = {"k_proj", "v_proj", "k_norm"} if shares else set()
    if is_global and config.flag("attention_k_eq_v"):
        left_out.add("v_proj")
    heads, bias = config.whole("num_attention_heads"), config.flag("attention_bias")
    for part in attention(name, config.whole("hidden_size"), heads, kv_heads, length, bias=bias, head_norms=True):
        if part.name.split(".")[-2] not in left_out:
            yield part


def _experts(config: Config, block: str) -> Iterator[Part]:
    width, experts = config.whole("hidden_size"), config.whole("num_experts")
    yield from linear(f"{block}.router.proj", width, experts)
    yield Part(f"{block}.router.scale", (width,))
    yield Part(f"{block}.router.per_expert_scale", (experts,))
    yield from fused_experts(f"{block}.experts", width, config.whole("moe_intermediate_size"), experts)
    for name in ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2", "pre_feedforward_layernorm_2"):
        yield from norm(f"{block}.{name}", width)
