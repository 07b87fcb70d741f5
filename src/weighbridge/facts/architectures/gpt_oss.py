"""gpt-oss: every other layer attends to a window, heads have a sink, experts are stacked and have biases."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, each
from weighbridge.facts.architectures.llama import decoder, grouped_query, with_kinds
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part, linear


def complete(config: Config) -> Config:
    """The defaults of `GptOssConfig`."""
    config = assume(config, sliding_window=128, head_dim=64, num_key_value_heads=8, attention_bias=True)
    return with_kinds(config, each(config, 2, "full_attention", "sliding_attention"))


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, _attention, _mixture)


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    yield Part(f"{name}.self_attn.sinks", (config.whole("num_attention_heads"),))
    yield from grouped_query(config, name, layer, bias=config.flag("attention_bias", default=True))


def _mixture(config: Config, name: str, _layer: int) -> Iterator[Part]:
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    experts, place = config.whole("num_local_experts", "num_experts"), f"{name}.mlp.experts"
    yield from linear(f"{name}.mlp.router", width, experts, bias=True)
    yield Part(f"{place}.gate_up_proj", (experts, width, 2 * inner))
    yield Part(f"{place}.gate_up_proj_bias", (experts, 2 * inner))
    yield Part(f"{place}.down_proj", (experts, inner, width))
    yield Part(f"{place}.down_proj_bias", (experts, width))


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: every other layer has a window."""
    return {"attention.sliding_window_pattern": 2}
