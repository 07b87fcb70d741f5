"""Mistral Large 4: latent attention with an indexer, some layers without positions, experts, behind Pixtral."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import glm_moe_dsa
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, layer_count, text_of, within
from weighbridge.facts.architectures.deepseek_v3 import is_sparse
from weighbridge.facts.architectures.mistral3 import complete_pixtral, pixtral, projector
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm, routed

_VISION = {
    "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 30, "num_attention_heads": 16,
    "patch_size": 14,
}  # fmt: skip
_GATED = ("w1", "w3", "w2")
# What Mistral's own format calls what transformers has other names for.
_NAMES = {
    "q_proj": "wq", "k_proj": "wk", "v_proj": "wv", "o_proj": "wo", "gate_proj": "w1", "up_proj": "w3",
    "down_proj": "w2", "projector.norm": "pre_mm_projector_norm", "projector.patch_merger": "patch_merger",
    "projector.linear_1": "vision_language_adapter.w_in", "projector.linear_2": "vision_language_adapter.w_out",
}  # fmt: skip


def complete(config: Config) -> Config:
    """The defaults of `MistralLarge4Config`."""
    if not config.has("vision_config"):
        config = config.replace(vision_config=dict(_VISION))
    return within(within(config, "text_config", _text), "vision_config", complete_pixtral)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor, by the names of Mistral's own format."""
    text, vision = text_of(config), config.section("vision_config")
    for part in (*pixtral(vision, "vision_encoder"), *projector(config, "projector")):
        name = part.name
        for word, own in _NAMES.items():
            name = name.replace(word, own)
        yield part._replace(name=name)
    width, vocabulary = text.whole("hidden_size"), text.whole("vocab_size")
    yield Part("tok_embeddings.weight", (vocabulary, width))
    if not text.flag("tie_word_embeddings"):
        yield Part("output.weight", (vocabulary, width))
    for layer in range(layer_count(text)):
        name = f"layers.{layer}"
        yield from _attention(text, f"{name}.attention", layer)
        if is_sparse(text, layer):
            inner = text.whole("moe_intermediate_size")
            yield from routed(name, width, inner, text.whole("n_routed_experts"), names=_GATED)
            yield from _feed_forward(f"{name}.shared_experts", width, inner * text.whole("n_shared_experts"))
        else:
            yield from _feed_forward(f"{name}.feed_forward", width, text.whole("intermediate_size"))
        yield from norm(f"{name}.attention_norm", width)
        yield from norm(f"{name}.ffn_norm", width)
    yield from norm("norm", width)


def _text(config: Config) -> Config:
    config = assume(
        config, vocab_size=204800, hidden_size=6144, intermediate_size=24576, moe_intermediate_size=6144,
        num_hidden_layers=72, num_attention_heads=64, num_key_value_heads=64, n_shared_experts=1,
        n_routed_experts=config.whole("num_experts", default=128), kv_lora_rank=512, qk_rope_head_dim=64,
        v_head_dim=128, qk_nope_head_dim=64, num_experts_per_tok=4, first_k_dense_replace=1,
    )  # fmt: skip
    count, interval = layer_count(config), config.whole("no_rope_layer_interval", default=4, least=1)
    config = assume(
        config, no_rope_layers=[min(1, (layer + 1) % interval) for layer in range(count)],
        kv_source_layers=list(range(count)), layer_types=["indexed_attention"] * count,
    )  # fmt: skip
    for key in ("no_rope_layers", "kv_source_layers"):
        if len(config.numbers(key) or []) != count:
            raise config.wrong(key, config.list(key), f"{count:,} numbers, one a layer")
    return glm_moe_dsa.complete(config)


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    """Layers without positions have as long keys, but all of them from the latent vector."""
    width, heads, bias = config.whole("hidden_size"), config.whole("num_attention_heads"), config.flag("attention_bias")
    rank, values = config.whole("kv_lora_rank"), config.whole("v_head_dim")
    plain, rotary = config.whole("qk_nope_head_dim"), config.whole("qk_rope_head_dim")
    turned = rotary if (config.list("no_rope_layers") or [])[layer] else 0
    yield from linear(f"{name}.wq", width, heads * (plain + rotary))
    if (config.list("kv_source_layers") or [])[layer] == layer:
        yield from linear(f"{name}.wkv_a_with_mqa", width, rank + turned, bias=bias)
        yield from norm(f"{name}.kv_a_norm", rank)
    yield from linear(f"{name}.wkv_b", rank, heads * (plain + rotary - turned + values))
    yield from linear(f"{name}.wo", heads * values, width, bias=bias)
    yield Part(f"{name}.ssmax_scaling.s", (heads,))
    yield Part(f"{name}.ssmax_scaling.b", (heads,))
    if (config.list("indexer_types", most=MOST_LAYERS) or [])[layer : layer + 1] != ["shared"]:
        yield from _indexer(config, f"{name}.indexer")


def _indexer(config: Config, name: str) -> Iterator[Part]:
    width, length, heads = config.whole("hidden_size"), config.whole("index_head_dim"), config.whole("index_n_heads")
    yield from norm(f"{name}.q_input_norm", width, bias=True)
    yield from linear(f"{name}.wq_b", width, heads * length)
    yield from linear(f"{name}.wk", width, length)
    yield from norm(f"{name}.k_norm", length, bias=True)
    yield from linear(f"{name}.weights_proj", width, heads)
    yield Part(f"{name}.ssmax_scaling.s", (heads,))
    yield Part(f"{name}.ssmax_scaling.b", (heads,))


def _feed_forward(name: str, width: int, inner: int) -> Iterator[Part]:
    gate, up, down = _GATED
    yield from linear(f"{name}.{gate}", width, inner)
    yield from linear(f"{name}.{up}", width, inner)
    yield from linear(f"{name}.{down}", inner, width)
