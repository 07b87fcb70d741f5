"""RWKV 4: no attention; each layer keeps a few vectors."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count, recurrent
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `RwkvConfig`; a layer keeps the last two inputs, and a sum, a weight and a maximum."""
    config = assume(config, vocab_size=50277, hidden_size=4096, num_hidden_layers=32)
    width = config.whole("hidden_size")
    config = config.replace(
        attention_hidden_size=config.whole("attention_hidden_size", default=width),
        intermediate_size=config.whole("intermediate_size", default=4 * width),
        layer_types=["recurrent"] * layer_count(config),
    )
    return recurrent(config, conv=2 * width, state=3 * config.whole("attention_hidden_size"))


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, inner, size = (config.whole(key) for key in ("hidden_size", "intermediate_size", "attention_hidden_size"))
    yield Part("rwkv.embeddings.weight", (config.whole("vocab_size"), width))
    yield from norm("rwkv.blocks.0.pre_ln", width, bias=True)
    for layer in range(layer_count(config)):
        block = f"rwkv.blocks.{layer}"
        yield from norm(f"{block}.ln1", width, bias=True)
        yield from norm(f"{block}.ln2", width, bias=True)
        for vector in ("time_decay", "time_first"):
            yield Part(f"{block}.attention.{vector}", (size,))
        for vector in ("key", "value", "receptance"):
            yield Part(f"{block}.attention.time_mix_{vector}", (1, 1, width))
            yield from linear(f"{block}.attention.{vector}", width, size)
        yield from linear(f"{block}.attention.output", size, width)
        for vector in ("key", "receptance"):
            yield Part(f"{block}.feed_forward.time_mix_{vector}", (1, 1, width))
        yield from linear(f"{block}.feed_forward.key", width, inner)
        yield from linear(f"{block}.feed_forward.receptance", width, width)
        yield from linear(f"{block}.feed_forward.value", inner, width)
    yield from norm("rwkv.ln_out", width, bias=True)
    if not config.flag("tie_word_embeddings"):
        yield from linear("head", width, config.whole("vocab_size"))
