"""GPT-2: learned positions, matrices stored (in, out)."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, norm


def complete(config: Config) -> Config:
    """The defaults of `GPT2Config`."""
    return assume(config, vocab_size=50257, tie_word_embeddings=True)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, vocabulary = config.whole("n_embd", "hidden_size"), config.whole("vocab_size")
    yield Part("wte.weight", (vocabulary, width))
    yield Part("wpe.weight", (config.whole("n_positions", "max_position_embeddings", default=1024), width))
    if not config.flag("tie_word_embeddings"):
        yield Part("lm_head.weight", (vocabulary, width))
    inner = config.whole("n_inner", default=4 * width)
    for layer in range(config.whole("n_layer", "num_hidden_layers", most=MOST_LAYERS)):
        name = f"h.{layer}"
        yield from norm(f"{name}.ln_1", width, bias=True)
        yield from _turned(f"{name}.attn.c_attn", width, 3 * width)
        yield from _turned(f"{name}.attn.c_proj", width, width)
        yield from norm(f"{name}.ln_2", width, bias=True)
        yield from _turned(f"{name}.mlp.c_fc", width, inner)
        yield from _turned(f"{name}.mlp.c_proj", inner, width)
    yield from norm("ln_f", width, bias=True)


def _turned(name: str, inputs: int, outputs: int) -> Iterator[Part]:
    yield Part(f"{name}.weight", (inputs, outputs))
    yield Part(f"{name}.bias", (outputs,))
