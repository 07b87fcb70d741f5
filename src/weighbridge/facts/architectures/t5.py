"""T5's encoder, as pipelines of diffusers use it to read prompts; of the whole model there is no count."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `T5Config`."""
    return assume(
        config, vocab_size=32128, d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8,
        relative_attention_num_buckets=32, feed_forward_proj="relu",
    )  # fmt: skip


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    if config.list("architectures") != ["T5EncoderModel"]:
        raise config.wrong("architectures", config.list("architectures"), "T5EncoderModel")
    width, inner, heads = config.whole("d_model"), config.whole("d_ff"), config.whole("num_heads")
    is_gated = (config.text("feed_forward_proj") or "").startswith("gated")
    yield Part("shared.weight", (config.whole("vocab_size"), width))
    for layer in range(config.whole("num_layers", most=MOST_LAYERS)):
        block, values = f"encoder.block.{layer}.layer", heads * config.whole("d_kv")
        for matrix in "qkv":
            yield from linear(f"{block}.0.SelfAttention.{matrix}", width, values)
        yield from linear(f"{block}.0.SelfAttention.o", values, width)
        if layer == 0:
            buckets = config.whole("relative_attention_num_buckets")
            yield Part(f"{block}.0.SelfAttention.relative_attention_bias.weight", (buckets, heads))
        for matrix in ("wi_0", "wi_1") if is_gated else ("wi",):
            yield from linear(f"{block}.1.DenseReluDense.{matrix}", width, inner)
        yield from linear(f"{block}.1.DenseReluDense.wo", inner, width)
        yield from norm(f"{block}.0.layer_norm", width)
        yield from norm(f"{block}.1.layer_norm", width)
    yield from norm("encoder.final_layer_norm", width)
