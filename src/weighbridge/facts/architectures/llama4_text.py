"""Llama 4's decoder: chunked attention, each fourth layer whole; experts beside a shared one in all or some layers."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Llama4TextConfig`."""
    config = assume(
        config, vocab_size=202048, hidden_size=5120, intermediate_size=8192, intermediate_size_mlp=16384,
        num_hidden_layers=48, num_attention_heads=40, num_key_value_heads=8, head_dim=128, num_local_experts=16,
        num_experts_per_tok=1, interleave_moe_layer_step=1, attention_chunk_size=8192,
    )  # fmt: skip
    layers = range(layer_count(config))
    interval = config.whole("no_rope_layer_interval", default=4, least=1)
    rotates = config.numbers("no_rope_layers") or [(layer + 1) % interval for layer in layers]
    types = ["chunked_attention" if turns else "full_attention" for turns in rotates[: len(layers)]]
    step = config.whole("interleave_moe_layer_step", least=1)
    return assume(config, layer_types=types, moe_layers=list(layers[step - 1 :: step]))


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    width, length = config.whole("hidden_size"), config.whole("head_dim")
    heads, kv_heads = config.whole("num_attention_heads"), config.whole("num_key_value_heads")
    inner, experts = config.whole("intermediate_size"), config.whole("num_local_experts")
    sparse = set(config.numbers("moe_layers") or [])
    tied, bias = config.flag("tie_word_embeddings"), config.flag("attention_bias")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied, prefix=prefix, output=output)
    for layer in range(layer_count(config)):
        block = f"{prefix}.layers.{layer}"
        yield from attention(f"{block}.self_attn", width, heads, kv_heads, length, bias=bias)
        if layer in sparse:
            yield from linear(f"{block}.feed_forward.router", width, experts)
            yield Part(f"{block}.feed_forward.experts.gate_up_proj", (experts, width, 2 * inner))
            yield Part(f"{block}.feed_forward.experts.down_proj", (experts, inner, width))
            yield from gated(f"{block}.feed_forward.shared_expert", width, inner)
        else:
            yield from gated(f"{block}.feed_forward", width, config.whole("intermediate_size_mlp"))
        yield from norm(f"{block}.input_layernorm", width)
        yield from norm(f"{block}.post_attention_layernorm", width)
    yield from norm(f"{prefix}.norm", width)
