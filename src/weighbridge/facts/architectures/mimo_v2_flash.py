"""MiMo-V2-Flash: layers with a window have more KV heads than those without, and a sink for each head."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, layer_count, layer_types
from weighbridge.facts.architectures.deepseek_v3 import mixture
from weighbridge.facts.architectures.llama import decoder, with_kinds
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention


def complete(config: Config) -> Config:
    """The defaults of `MiMoV2FlashConfig`; the published configs mark windows and experts by zeros and ones."""
    count = layer_count(config)
    windows = config.numbers("hybrid_layer_pattern") or [int(layer and (layer + 1) % 6) for layer in range(count)]
    kinds = ["sliding_attention" if flag else "full_attention" for flag in windows[:count]]
    if isinstance(config.data.get("moe_layer_freq"), list):
        experts = (config.list("moe_layer_freq", most=MOST_LAYERS) or [])[:count]
        listed = ["sparse" if flag else "dense" for flag in experts]
        config = config.replace(moe_layer_freq=None, mlp_layer_types=listed)
    config = assume(
        config,
        sliding_window=config.number("sliding_window_size", default=128),
        head_dim=192,
        v_head_dim=128,
        first_k_dense_replace=1,
    )
    return with_kinds(config, kinds)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    kinds = layer_types(config)

    def heads(config: Config, name: str, layer: int) -> Iterator[Part]:
        return _attention(config, name, is_windowed=kinds[layer] == "sliding_attention")

    return decoder(config, prefix, output, heads, mixture)


def _attention(config: Config, name: str, *, is_windowed: bool) -> Iterator[Part]:
    def number(key: str) -> int:
        return config.whole(*((f"swa_{key}", key) if is_windowed else (key,)))

    heads, bias = number("num_attention_heads"), config.flag("attention_bias")
    if config.flag(*(("add_swa_attention_sink_bias",) if is_windowed else ("add_full_attention_sink_bias",)),
                   default=is_windowed):  # fmt: skip
        yield Part(f"{name}.self_attn.attention_sink_bias", (heads,))
    yield from attention(
        f"{name}.self_attn", config.whole("hidden_size"), heads, number("num_key_value_heads"), number("head_dim"),
        value_length=number("v_head_dim"), bias=bias, output_bias=False,
    )  # fmt: skip
