"""Llama: grouped-query attention and a gated feed-forward network; the blocks that most later families vary."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from weighbridge.facts.architectures._assumed import layer_count
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, embedding_and_output, gated, norm

# One part of a layer: given the config, the layer's name (`model.layers.3`) and its number.
Block = Callable[[Config, str, int], Iterator[Part]]

NORMS = ("input_layernorm", "post_attention_layernorm")


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, grouped_query, feed_forward)


def decoder(
    config: Config, prefix: str, output: str, *blocks: Block, norms: tuple[str, ...] = NORMS, shift: bool = False,
    last: str = "norm",
) -> Iterator[Part]:  # fmt: skip
    """Embedding, layers made of these blocks, each with these norms, a last norm, and the output matrix."""
    width, vocabulary = config.whole("hidden_size"), config.whole("vocab_size")
    tied = config.flag("tie_word_embeddings")
    yield from embedding_and_output(width, vocabulary, tied=tied, prefix=prefix, output=output)
    for layer in range(layer_count(config)):
        yield from one_layer(config, f"{prefix}.layers.{layer}", layer, *blocks, norms=norms, shift=shift)
    if last:
        yield from norm(f"{prefix}.{last}", width, bias=shift)


def one_layer(
    config: Config, name: str, layer: int, *blocks: Block, norms: tuple[str, ...] = NORMS, shift: bool = False
) -> Iterator[Part]:
    """The blocks of one layer and its norms; `shift`: layer norms, which have a bias."""
    for block in blocks:
        yield from block(config, name, layer)
    for each in norms:
        yield from norm(f"{name}.{each}", config.whole("hidden_size"), bias=shift)


def grouped_query(
    config: Config, name: str, _layer: int, *, heads: int | None = None, bias: bool | None = None,
    output_bias: bool | None = None, head_norms: bool = False, wide_norms: bool = False, output: str = "o_proj",
    norms: tuple[str, str] = ("q_norm", "k_norm"),
) -> Iterator[Part]:  # fmt: skip
    """Attention by the usual keys; `wide_norms`: queries and keys are normed over all heads at once."""
    width, length = config.whole("hidden_size"), head_length(config)
    heads = config.whole("num_attention_heads") if heads is None else heads
    kv_heads = config.whole("num_key_value_heads", default=heads)
    bias = config.flag("attention_bias") if bias is None else bias
    yield from attention(
        f"{name}.self_attn", width, heads, kv_heads, length, bias=bias, output_bias=output_bias,
        head_norms=head_norms, output=output, norms=norms,
    )  # fmt: skip
    if wide_norms:
        yield from norm(f"{name}.self_attn.{norms[0]}", heads * length)
        yield from norm(f"{name}.self_attn.{norms[1]}", kv_heads * length)


def head_length(config: Config) -> int:
    """The length of one head's key."""
    heads = config.whole("num_attention_heads", least=1)
    return config.whole("head_dim", default=config.whole("hidden_size") // heads)


def feed_forward(config: Config, name: str, _layer: int, *, bias: bool | None = None) -> Iterator[Part]:
    """Gate, up and down."""
    bias = config.flag("mlp_bias") if bias is None else bias
    yield from gated(f"{name}.mlp", config.whole("hidden_size"), config.whole("intermediate_size"), bias=bias)


def with_kinds(config: Config, listed: list[str]) -> Config:
    """The config with these kinds of layers, where it lists none."""
    return config if config.has("layer_types") else config.replace(layer_types=listed)
