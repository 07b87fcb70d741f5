"""Nemotron Super and Ultra (DeciLM): Llama whose layers a search made unlike; some lack attention or more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from weighbridge.facts.architectures._assumed import MOST_LAYERS, layer_count
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, gated, linear, norm


def complete(config: Config) -> Config:
    """What each block's section says, as lists with one entry a layer."""
    heads, blocks = config.whole("num_attention_heads", least=1), _blocks(config)
    attending = [block.section("attention") for block in blocks]
    kv_heads = [heads // part.whole("n_heads_in_group", least=1) if _is_whole(part) else 0 for part in attending]
    kinds = ["full_attention" if count else "none" for count in kv_heads]
    return config.replace(num_key_value_heads=kv_heads, layer_types=kinds, num_hidden_layers=len(blocks))


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, tied = config.whole("hidden_size"), config.flag("tie_word_embeddings")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied)
    kv_heads = config.numbers("num_key_value_heads") or []
    for layer, block in enumerate(_blocks(config)):
        yield from _attention(config, block.section("attention"), f"model.layers.{layer}", kv_heads[layer])
        yield from _feed_forward(config, block.section("ffn"), f"model.layers.{layer}")
    yield from norm("model.norm", width)


def _blocks(config: Config) -> list[Config]:
    found: list[Any] | None = config.list("block_configs", most=MOST_LAYERS)
    count = layer_count(config)
    if found is None or len(found) != count or not all(isinstance(block, dict) for block in found):
        raise config.wrong("block_configs", found, f"{count:,} objects, one a layer")
    return [Config(block, config.label, f"block_configs[{index}].") for index, block in enumerate(found)]


def _is_whole(part: Config) -> bool:
    return not part.flag("no_op") and not part.flag("replace_with_linear")


def _attention(config: Config, part: Config, block: str, kv_heads: int) -> Iterator[Part]:
    if part.flag("no_op"):
        return
    width, heads, bias = config.whole("hidden_size"), config.whole("num_attention_heads"), config.flag("attention_bias")
    yield from norm(f"{block}.input_layernorm", width)
    if _is_whole(part):
        length = config.whole("head_dim", default=width // max(1, heads))
        yield from attention(f"{block}.self_attn", width, heads, kv_heads, length, bias=bias)
    else:
        yield from linear(f"{block}.self_attn.linear_attn", width, width, bias=bias)


def _feed_forward(config: Config, part: Config, block: str) -> Iterator[Part]:
    if part.flag("no_op"):
        return
    width, bias = config.whole("hidden_size"), config.flag("mlp_bias")
    yield from norm(f"{block}.post_attention_layernorm", width)
    if not _is_whole(part):
        yield from linear(f"{block}.mlp.linear_mlp", width, width, bias=bias)
        return
    times = part.data.get("ffn_mult")
    if isinstance(times, bool) or not isinstance(times, int | float) or not 0 < times <= 64:
        raise part.wrong("ffn_mult", times, "a number from 0 to 64")
    yield from gated(f"{block}.mlp", width, -(-int(2 * times * width / 3) // 256) * 256, bias=bias)
