"""OLMo Hybrid: gated delta nets, each fourth layer attention with queries and keys normed whole."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, each, layer_count, layer_types, recurrent
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `OlmoHybridConfig`."""
    config = assume(
        config, vocab_size=100352, hidden_size=3840, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=30, linear_conv_kernel_dim=4,
    )  # fmt: skip
    heads = config.whole("num_attention_heads", least=1)
    key_heads = config.whole("linear_num_key_heads", default=heads, least=1)
    key = config.whole("linear_key_head_dim", default=3 * config.whole("hidden_size") // 4 // key_heads)
    value, value_heads = (
        config.whole("linear_value_head_dim", default=2 * key),
        config.whole("linear_num_value_heads", default=heads),
    )
    config = config.replace(
        num_key_value_heads=config.whole("num_key_value_heads", default=heads), linear_num_key_heads=key_heads,
        linear_num_value_heads=value_heads, linear_key_head_dim=key, linear_value_head_dim=value,
    )  # fmt: skip
    kinds = each(config, 4, "full_attention", "linear_attention")
    if not config.has("layer_types"):
        config = config.replace(layer_types=kinds if layer_count(config) > 3 else [*kinds[:-1], "full_attention"])
    convolved = 2 * key_heads * key + value_heads * value
    conv = convolved * max(0, config.whole("linear_conv_kernel_dim") - 1)
    return recurrent(config, conv=conv, state=key * value_heads * value)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, tied = config.whole("hidden_size"), config.flag("tie_word_embeddings")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied)
    for layer, kind in enumerate(layer_types(config)):
        block = f"model.layers.{layer}"
        if kind == "linear_attention":
            yield from _delta_net(config, f"{block}.linear_attn")
            norms = ("attention_layer_norm", "feedforward_layer_norm")
        else:
            yield from _attention(config, f"{block}.self_attn")
            norms = ("post_attention_layernorm", "post_feedforward_layernorm")
        yield from gated(f"{block}.mlp", width, config.whole("intermediate_size"))
        for name in norms:
            yield from norm(f"{block}.{name}", width)
    yield from norm("model.norm", width)


def _attention(config: Config, name: str) -> Iterator[Part]:
    width, heads = config.whole("hidden_size"), config.whole("num_attention_heads", least=1)
    kv_heads, length = config.whole("num_key_value_heads"), config.whole("head_dim", default=width // heads)
    yield from attention(name, width, heads, kv_heads, length, bias=config.flag("attention_bias"))
    yield from norm(f"{name}.q_norm", heads * length)
    yield from norm(f"{name}.k_norm", kv_heads * length)


def _delta_net(config: Config, name: str) -> Iterator[Part]:
    width, heads = config.whole("hidden_size"), config.whole("linear_num_value_heads")
    keys = config.whole("linear_num_key_heads") * config.whole("linear_key_head_dim")
    values = heads * config.whole("linear_value_head_dim")
    for vector in ("A_log", "dt_bias"):
        yield Part(f"{name}.{vector}", (heads,))
    for matrix, outputs in (("q", keys), ("k", keys), ("v", values), ("a", heads), ("b", heads), ("g", values)):
        yield from linear(f"{name}.{matrix}_proj", width, outputs)
    for matrix, channels in (("q", keys), ("k", keys), ("v", values)):
        yield Part(f"{name}.{matrix}_conv1d.weight", (channels, 1, config.whole("linear_conv_kernel_dim")))
    yield from linear(f"{name}.o_proj", values, width)
    yield from norm(f"{name}.o_norm", config.whole("linear_value_head_dim"))
