"""Zamba 2: Mamba 2 mixers; some layers first run one of a few shared transformers, with adapters of their own."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count, layer_types
from weighbridge.facts.architectures.mamba2 import Mixer
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, linear, norm

_DEFAULT = [*["mamba"] * 6, *["hybrid", *["mamba"] * 5] * 6, "hybrid", *["mamba"] * 4, "hybrid", *["mamba"] * 3]


def complete(config: Config) -> Config:
    """The defaults of `Zamba2Config`; attention sees states twice as wide."""
    config = assume(
        config, vocab_size=32000, hidden_size=2560, num_hidden_layers=54, mamba_d_state=64, mamba_d_conv=4,
        mamba_expand=2, mamba_ngroups=1, n_mamba_heads=8, num_attention_heads=32, num_mem_blocks=1, adapter_rank=128,
    )  # fmt: skip
    kinds = config.list("layers_block_type", "layer_types") or [*_DEFAULT, "hybrid", "mamba", "mamba"]
    heads, width = config.whole("num_attention_heads", least=1), config.whole("hidden_size")
    config = config.replace(
        layer_types=kinds, head_dim=2 * width // heads,
        num_key_value_heads=config.whole("num_key_value_heads", default=heads),
        intermediate_size=config.whole("intermediate_size", default=0) or 4 * width,
    )  # fmt: skip
    config = config.replace(layer_types=layer_types(config, {"linear_attention": "mamba"}))
    return _mixer(config).kept_by(config)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    width, mixer, bias = config.whole("hidden_size"), _mixer(config), config.flag("add_bias_linear")
    tied = config.flag("tie_word_embeddings", default=True)
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=tied)
    hybrids = [layer for layer, kind in enumerate(layer_types(config)) if kind == "hybrid"]
    for index, layer in enumerate(hybrids[: config.whole("num_mem_blocks", least=1)]):
        own = range(index, len(hybrids), config.whole("num_mem_blocks", least=1))
        yield from _shared(config, f"model.layers.{layer}.shared_transformer", own, bias=bias)
    for layer in range(layer_count(config)):
        block = f"model.layers.{layer}"
        if layer in hybrids:
            yield from linear(f"{block}.linear", width, width)
            block = f"{block}.mamba_decoder"
        yield from mixer.parts(f"{block}.mamba")
        yield from norm(f"{block}.input_layernorm", width)
    yield from norm("model.final_layernorm", width)


def _mixer(config: Config) -> Mixer:
    width, heads = config.whole("hidden_size"), config.whole("n_mamba_heads", least=1)
    length = config.whole("mamba_expand") * width // heads
    groups, state = config.whole("mamba_ngroups"), config.whole("mamba_d_state")
    return Mixer(width, heads, length, groups, state, config.whole("mamba_d_conv"), bias=config.flag("add_bias_linear"))


def _shared(config: Config, name: str, uses: range, *, bias: bool) -> Iterator[Part]:
    """A shared transformer; `uses` number the layers that run it, each with adapters of its own."""
    width, inner, rank = config.whole("hidden_size"), config.whole("intermediate_size"), config.whole("adapter_rank")
    heads, kv_heads = config.whole("num_attention_heads"), config.whole("num_key_value_heads")
    for part in attention(f"{name}.self_attn", 2 * width, heads, kv_heads, config.whole("head_dim")):
        is_output = part.name.endswith("o_proj.weight")
        yield part._replace(shape=(width, part.shape[1])) if is_output else part
    yield from linear(f"{name}.feed_forward.gate_up_proj", width, 2 * inner, bias=bias)
    yield from linear(f"{name}.feed_forward.down_proj", inner, width, bias=bias)
    for use in uses:
        yield from linear(f"{name}.feed_forward.gate_up_proj_adapter_list.{use}.0", width, rank)
        yield from linear(f"{name}.feed_forward.gate_up_proj_adapter_list.{use}.1", rank, 2 * inner)
        for matrix in "qkv" if config.flag("use_shared_attention_adapter") else "":
            adapter = f"{name}.self_attn.linear_{matrix}_adapter_list.{use}"
            yield from linear(f"{adapter}.0", 2 * width, rank)
            yield from linear(f"{adapter}.1", rank, 2 * width)
    yield from norm(f"{name}.input_layernorm", 2 * width)
    yield from norm(f"{name}.pre_ff_layernorm", width)
