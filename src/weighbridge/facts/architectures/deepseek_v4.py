"""DeepSeek-V4: one KV head, older tokens compressed, several residual streams; named as DeepSeek names it."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, layer_count, layer_types
from weighbridge.facts.architectures.llama import with_kinds
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm, routed

_KINDS = {0: "sliding_attention", 4: "compressed_sparse_attention", 128: "heavily_compressed_attention"}
_RATES = {kind: rate for rate, kind in _KINDS.items() if rate}


def complete(config: Config) -> Config:
    """The defaults of `DeepseekV4Config`; the kinds of layers by `compress_ratios`, which may go on."""
    count = layer_count(config)
    ratios = config.numbers("compress_ratios")
    if ratios is None:
        kinds = [_KINDS[4 if layer > 2 and layer % 2 else 128] for layer in range(count)]
    elif all(ratio in _KINDS for ratio in ratios):
        kinds = [_KINDS[ratio] for ratio in ratios[:count]]
    else:
        raise config.wrong("compress_ratios", ratios, "only 0, 4 and 128")
    config = assume(
        config, head_dim=512, num_key_value_heads=1, sliding_window=128, hc_mult=4, n_shared_experts=1,
        index_n_heads=64, index_head_dim=128, o_lora_rank=1024, compress_rates=_RATES,
    )  # fmt: skip
    return with_kinds(config, kinds)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor, but for the tables that choose experts by token, which are no weights."""
    width, vocabulary = config.whole("hidden_size"), config.whole("vocab_size")
    yield Part("embed.weight", (vocabulary, width))
    if not config.flag("tie_word_embeddings"):
        yield Part("head.weight", (vocabulary, width))
    for layer, kind in enumerate(layer_types(config)):
        yield from _layer(config, f"layers.{layer}", kind)
    yield from norm("norm", width)
    yield from _join("hc_head", width, config.whole("hc_mult"))
    for layer in range(config.whole("num_nextn_predict_layers", default=0, most=64)):
        name = f"mtp.{layer}"
        yield from linear(f"{name}.e_proj", width, width)
        yield from linear(f"{name}.h_proj", width, width)
        for each in ("enorm", "hnorm", "norm"):
            yield from norm(f"{name}.{each}", width)
        yield from _layer(config, name, _further_kind(config, layer))
        yield from _join(f"{name}.hc_head", width, config.whole("hc_mult"))


def _further_kind(config: Config, layer: int) -> str:
    ratios = (config.list("compress_ratios", most=MOST_LAYERS) or [])[layer_count(config) :]
    return _KINDS.get(ratios[layer], _KINDS[0]) if layer < len(ratios) else _KINDS[0]


def _layer(config: Config, name: str, kind: str) -> Iterator[Part]:
    width, streams, inner = config.whole("hidden_size"), config.whole("hc_mult"), config.whole("moe_intermediate_size")
    yield from _attention(config, f"{name}.attn")
    if kind != "sliding_attention":
        sparse = kind == "compressed_sparse_attention"
        rate = config.section("compress_rates").whole(kind, default=_RATES[kind])
        # The sparse kind compresses twice: for the entry at hand, and for the next one.
        yield from _compressor(f"{name}.attn.compressor", width, config.whole("head_dim"), rate, 2 if sparse else 1)
        if sparse:
            yield from _indexer(config, f"{name}.attn.indexer", rate)
    yield from norm(f"{name}.attn_norm", width)
    yield from norm(f"{name}.ffn_norm", width)
    experts = config.whole("n_routed_experts")
    yield from routed(f"{name}.ffn", width, inner, experts, names=("w1", "w3", "w2"))
    if shared := config.whole("n_shared_experts"):
        for each in ("w1", "w3"):
            yield from linear(f"{name}.ffn.shared_experts.{each}", width, shared * inner)
        yield from linear(f"{name}.ffn.shared_experts.w2", shared * inner, width)
    for each in ("attn", "ffn"):
        yield from _mix(f"{name}.hc_{each}", width, streams)


def _attention(config: Config, name: str) -> Iterator[Part]:
    width, length, heads = config.whole("hidden_size"), config.whole("head_dim"), config.whole("num_attention_heads")
    queries, groups, rank = config.whole("q_lora_rank"), config.whole("o_groups", least=1), config.whole("o_lora_rank")
    yield Part(f"{name}.attn_sink", (heads,))
    yield from linear(f"{name}.wq_a", width, queries)
    yield from norm(f"{name}.q_norm", queries)
    yield from linear(f"{name}.wq_b", queries, heads * length)
    yield from linear(f"{name}.wkv", width, length)
    yield from norm(f"{name}.kv_norm", length)
    yield from linear(f"{name}.wo_a", heads * length // groups, groups * rank)
    yield from linear(f"{name}.wo_b", groups * rank, width)


def _compressor(name: str, width: int, length: int, rate: int, series: int) -> Iterator[Part]:
    yield Part(f"{name}.ape", (rate, series * length))
    yield from linear(f"{name}.wkv", width, series * length)
    yield from linear(f"{name}.wgate", width, series * length)
    yield from norm(f"{name}.norm", length)


def _indexer(config: Config, name: str, rate: int) -> Iterator[Part]:
    width, heads, length = config.whole("hidden_size"), config.whole("index_n_heads"), config.whole("index_head_dim")
    yield from linear(f"{name}.wq_b", config.whole("q_lora_rank"), heads * length)
    yield from linear(f"{name}.weights_proj", width, heads)
    yield from _compressor(f"{name}.compressor", width, length, rate, 2)


def _mix(name: str, width: int, streams: int) -> Iterator[Part]:
    """What joins the streams before a block and spreads its answer over them after it."""
    weights = (2 + streams) * streams
    yield Part(f"{name}_fn", (weights, streams * width))
    yield Part(f"{name}_base", (weights,))
    yield Part(f"{name}_scale", (3,))


def _join(name: str, width: int, streams: int) -> Iterator[Part]:
    yield Part(f"{name}_fn", (streams, streams * width))
    yield Part(f"{name}_base", (streams,))
    yield Part(f"{name}_scale", (1,))
