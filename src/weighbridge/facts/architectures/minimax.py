"""MiniMax-Text-01: Mixtral's experts, and lightning attention in most layers."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, each, layer_count, layer_types
from weighbridge.facts.architectures.llama import decoder, grouped_query, head_length, with_kinds
from weighbridge.facts.architectures.mixtral import mixture
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `MiniMaxConfig`; the first configs have `attn_type_list`, 1 for full attention."""
    kinds = each(config, 2, "linear_attention", "full_attention")
    if flags := config.numbers("attn_type_list"):
        kinds = ["full_attention" if flag else "linear_attention" for flag in flags[: layer_count(config)]]
    return with_kinds(assume(config, num_key_value_heads=8, num_local_experts=8), kinds)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    kinds = layer_types(config)

    def attention(config: Config, name: str, layer: int) -> Iterator[Part]:
        if kinds[layer] == "linear_attention":
            return _lightning(config, f"{name}.self_attn")
        return grouped_query(config, name, layer, bias=False)

    return decoder(config, prefix, output, attention, mixture)


def _lightning(config: Config, name: str) -> Iterator[Part]:
    width, inner = config.whole("hidden_size"), config.whole("num_attention_heads") * head_length(config)
    yield from linear(f"{name}.qkv_proj", width, 3 * inner)
    yield from linear(f"{name}.output_gate", width, inner)
    yield from linear(f"{name}.out_proj", inner, width)
    yield from norm(f"{name}.norm", inner)
