"""Qwen3-Next: gated delta nets, each fourth layer gated attention; experts beside a shared one."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, each, layer_count, layer_types, recurrent
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, fused_experts, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Qwen3NextConfig`."""
    config = assume(
        config, vocab_size=151936, hidden_size=2048, intermediate_size=5632, num_hidden_layers=48,
        num_experts=512, moe_intermediate_size=512, shared_expert_intermediate_size=512, num_experts_per_tok=10,
        decoder_sparse_step=1,
    )  # fmt: skip
    return complete_layers(config, kv_heads=2)


def complete_layers(config: Config, *, kv_heads: int) -> Config:
    """What all of this design assume about their layers."""
    interval = config.whole("full_attention_interval", default=4)
    config = assume(
        config, num_attention_heads=16, num_key_value_heads=kv_heads, head_dim=256, linear_conv_kernel_dim=4,
        linear_key_head_dim=128, linear_value_head_dim=128, linear_num_key_heads=16, linear_num_value_heads=32,
        layer_types=each(config, interval, "full_attention", "linear_attention"),
    )  # fmt: skip
    keys, values = _lengths(config)
    conv = (2 * keys + values) * (config.whole("linear_conv_kernel_dim", least=1) - 1)
    return recurrent(config, conv=conv, state=config.whole("linear_key_head_dim") * values)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor; experts one by one, as they are published."""
    return decoder(config, prefix, output, is_split=False, is_fused=False)


def decoder(config: Config, prefix: str, output: str, *, is_split: bool, is_fused: bool) -> Iterator[Part]:
    """The decoder: `is_split`: the delta nets' inputs are four matrices; `is_fused`: all experts in one tensor."""
    width = config.whole("hidden_size")
    tied = config.flag("tie_word_embeddings")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied, prefix=prefix, output=output)
    for layer, kind in enumerate(layer_types(config)):
        yield from _layer(config, f"{prefix}.layers.{layer}", kind, layer, is_split=is_split, is_fused=is_fused)
    yield from norm(f"{prefix}.norm", width)
    mtp_layers = config.whole("mtp_num_hidden_layers", "num_nextn_predict_layers", default=0, most=64)
    if mtp_layers:
        yield from linear("mtp.fc", 2 * width, width)
        for name in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"):
            yield from norm(f"mtp.{name}", width)
    for layer in range(mtp_layers):
        index = layer_count(config) + layer
        yield from _layer(config, f"mtp.layers.{layer}", "full_attention", index, is_split=is_split, is_fused=is_fused)


def _layer(config: Config, block: str, kind: str, index: int, *, is_split: bool, is_fused: bool) -> Iterator[Part]:
    width = config.whole("hidden_size")
    if kind == "linear_attention":
        yield from _delta_net(config, f"{block}.linear_attn", is_split=is_split)
    else:
        heads, kv_heads = config.whole("num_attention_heads"), config.whole("num_key_value_heads")
        length, bias = config.whole("head_dim"), config.flag("attention_bias")
        yield from attention(
            f"{block}.self_attn", width, heads, kv_heads, length, bias=bias, head_norms=True, queries=2
        )
    experts = config.whole("num_experts", default=0)
    dense = config.numbers("mlp_only_layers") or []
    if experts and index not in dense and (index + 1) % config.whole("decoder_sparse_step", default=1, least=1) == 0:
        inner = config.whole("moe_intermediate_size")
        yield from linear(f"{block}.mlp.gate", width, experts)
        if is_fused:
            yield from fused_experts(f"{block}.mlp.experts", width, inner, experts)
        else:
            yield from gated(f"{block}.mlp.experts.*", width, inner, copies=experts)
        yield from gated(f"{block}.mlp.shared_expert", width, config.whole("shared_expert_intermediate_size"))
        yield from linear(f"{block}.mlp.shared_expert_gate", width, 1)
    else:
        yield from gated(f"{block}.mlp", width, config.whole("intermediate_size"))
    yield from norm(f"{block}.input_layernorm", width)
    yield from norm(f"{block}.post_attention_layernorm", width)


def _delta_net(config: Config, name: str, *, is_split: bool) -> Iterator[Part]:
    width, value_heads = config.whole("hidden_size"), config.whole("linear_num_value_heads")
    keys, values = _lengths(config)
    yield Part(f"{name}.dt_bias", (value_heads,))
    yield Part(f"{name}.A_log", (value_heads,))
    yield Part(f"{name}.conv1d.weight", (2 * keys + values, 1, config.whole("linear_conv_kernel_dim")))
    if is_split:
        yield from linear(f"{name}.in_proj_qkv", width, 2 * keys + values)
        yield from linear(f"{name}.in_proj_z", width, values)
        yield from linear(f"{name}.in_proj_b", width, value_heads)
        yield from linear(f"{name}.in_proj_a", width, value_heads)
    else:
        yield from linear(f"{name}.in_proj_qkvz", width, 2 * keys + 2 * values)
        yield from linear(f"{name}.in_proj_ba", width, 2 * value_heads)
    yield from norm(f"{name}.norm", config.whole("linear_value_head_dim"))
    yield from linear(f"{name}.out_proj", values, width)


def _lengths(config: Config) -> tuple[int, int]:
    """All heads' keys, and all heads' values."""
    keys = config.whole("linear_num_key_heads") * config.whole("linear_key_head_dim")
    return keys, config.whole("linear_num_value_heads") * config.whole("linear_value_head_dim")
