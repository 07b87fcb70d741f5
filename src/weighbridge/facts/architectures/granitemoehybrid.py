"""Granite 4: Mamba 2 mixers and attention; a shared feed-forward network, experts beside it where there are any."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count, layer_types
from weighbridge.facts.architectures.bamba import attending
from weighbridge.facts.architectures.mamba2 import complete_hybrid, hybrid_mixer
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, embedding_and_output, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `GraniteMoeHybridConfig`."""
    config = assume(
        config, vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=32, num_local_experts=8, num_experts_per_tok=2, shared_intermediate_size=1024,
    )  # fmt: skip
    words = {"attention": "full_attention", "linear_attention": "mamba"}
    default = config.list("layers_block_type") or ["mamba"] * layer_count(config)
    kinds = layer_types(config if config.has("layer_types") else config.replace(layer_types=default), words)
    return complete_hybrid(config.replace(layer_types=kinds))


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, tied = config.whole("hidden_size"), config.flag("tie_word_embeddings")
    inner, experts = config.whole("intermediate_size"), config.whole("num_local_experts", default=0)
    shared = config.whole("shared_intermediate_size")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied)
    for layer, kind in enumerate(layer_types(config)):
        block = f"model.layers.{layer}"
        if kind == "mamba":
            yield from hybrid_mixer(config).parts(f"{block}.mamba")
        else:
            yield from attending(config, f"{block}.self_attn")
        if experts:
            name = f"{block}.block_sparse_moe"
            yield from linear(f"{name}.router.layer", width, experts)
            yield Part(f"{name}.experts.input_linear.weight", (experts, 2 * inner, width))
            yield Part(f"{name}.experts.output_linear.weight", (experts, width, inner))
        yield from linear(f"{block}.shared_mlp.input_linear", width, 2 * shared)
        yield from linear(f"{block}.shared_mlp.output_linear", shared, width)
        yield from norm(f"{block}.input_layernorm", width)
        yield from norm(f"{block}.post_attention_layernorm", width)
    yield from norm("model.norm", width)
