"""Nemotron-H: layers of one block each, a Mamba 2 mixer, attention, a feed-forward network or experts."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, layer_types
from weighbridge.facts.architectures.mamba2 import Mixer
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, attention, linear, norm, plain

_LETTERS = {"M": "mamba", "E": "moe", "*": "full_attention", "-": "mlp"}
_WORDS = {"attention": "full_attention", "linear_attention": "mamba"}


def complete(config: Config) -> Config:
    """The defaults of `NemotronHConfig`; which block a layer is, its older configs say by letters."""
    config = assume(
        config, vocab_size=131072, hidden_size=4096, num_attention_heads=32, num_key_value_heads=8, head_dim=128,
        intermediate_size=21504, ssm_state_size=128, mamba_num_heads=128, mamba_head_dim=64, n_groups=8,
        conv_kernel=4, n_routed_experts=8, moe_intermediate_size=7688, moe_shared_expert_intermediate_size=7688,
    )  # fmt: skip
    kinds = _kinds(config, "layers_block_type", "hybrid_override_pattern")
    kinds = kinds or _kinds(config, "layer_types", "") or ["mamba", "moe", "full_attention", "mlp"]
    later = _kinds(config, "mtp_layers_block_type", "mtp_hybrid_override_pattern") or ["full_attention", "moe"]
    config = config.replace(layer_types=kinds, num_hidden_layers=len(kinds), mtp_layers_block_type=later)
    return _mixer(config).kept_by(config)


def parts(config: Config, prefix: str = "backbone", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    width, vocabulary = config.whole("hidden_size"), config.whole("vocab_size")
    yield Part(f"{prefix}.embeddings.weight", (vocabulary, width))
    for layer, kind in enumerate(layer_types(config)):
        yield from _layer(config, f"{prefix}.layers.{layer}", kind)
    yield from norm(f"{prefix}.norm_f", width)
    yield from linear(output, width, vocabulary)
    steps = config.whole("num_nextn_predict_layers", default=0, most=64)
    kinds = (config.list("mtp_layers_block_type", most=MOST_LAYERS) or []) * steps
    for layer, kind in enumerate(kinds):
        yield from _layer(config, f"mtp.layers.{layer}", kind)
    if kinds:
        yield from norm("mtp.layers.0.enorm", width)
        yield from norm("mtp.layers.0.hnorm", width)
        yield from linear("mtp.layers.0.eh_proj", 2 * width, width)
        yield from norm(f"mtp.layers.{len(kinds) - 1}.final_layernorm", width)


def _kinds(config: Config, words: str, letters: str) -> list[str]:
    """One word a layer, from a list of words or a string of letters."""
    listed = config.list(words, most=MOST_LAYERS)
    pattern = config.text(letters) or ""
    kinds = (
        [_LETTERS.get(letter, "") for letter in pattern]
        if listed is None
        else [_WORDS.get(str(word), str(word)) for word in listed]
    )
    if len(kinds) > MOST_LAYERS or not all(kind in _LETTERS.values() for kind in kinds):
        raise config.wrong(letters if listed is None else words, listed or pattern, "mamba, moe, attention and mlp")
    return kinds


def _mixer(config: Config) -> Mixer:
    return Mixer(
        config.whole("hidden_size"), config.whole("mamba_num_heads"), config.whole("mamba_head_dim"),
        config.whole("n_groups"), config.whole("ssm_state_size"), config.whole("conv_kernel"),
        bias=config.flag("use_bias"), conv_bias=config.flag("use_conv_bias", default=True),
    )  # fmt: skip


def _layer(config: Config, block: str, kind: str) -> Iterator[Part]:
    width, name, bias = config.whole("hidden_size"), f"{block}.mixer", config.flag("mlp_bias")
    yield from norm(f"{block}.norm", width)
    if kind == "mamba":
        yield from _mixer(config).parts(name)
    elif kind == "full_attention":
        heads = config.whole("num_attention_heads")
        kv_heads, length = config.whole("num_key_value_heads", default=heads), config.whole("head_dim")
        yield from attention(name, width, heads, kv_heads, length)
    elif kind == "mlp":
        yield from plain(name, width, config.whole("intermediate_size"), bias=bias)
    else:
        experts, latent = config.whole("n_routed_experts"), config.whole("moe_latent_size", default=0)
        yield from linear(f"{name}.gate", width, experts)
        yield from plain(f"{name}.experts.*", latent or width, config.whole("moe_intermediate_size"), copies=experts)
        shared = config.whole("moe_shared_expert_intermediate_size")
        yield from plain(f"{name}.shared_experts", width, shared, bias=bias)
        if latent:
            yield from linear(f"{name}.fc1_latent_proj", width, latent, bias=bias)
            yield from linear(f"{name}.fc2_latent_proj", latent, width, bias=bias)
