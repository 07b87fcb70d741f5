"""LongCat-Flash: a layer has two attentions and dense networks beside one mixture, some of whose experts are none."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.deepseek_v3 import latent
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, embedding_and_output, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `LongcatFlashConfig`; caches are kept for twice as many layers as are numbered."""
    config = assume(config, num_layers=28, zero_expert_num=256, q_lora_rank=1536)
    return config.replace(num_hidden_layers=2 * config.whole("num_layers", most=2048))


def parts(config: Config) -> Iterator[Part]:
    """Every tensor; an expert that passes its input on has none."""
    width, inner = config.whole("hidden_size"), config.whole("ffn_hidden_size", "intermediate_size")
    yield from embedding_and_output(width, config.whole("vocab_size"), tied=config.flag("tie_word_embeddings"))
    experts, expert = config.whole("n_routed_experts"), config.whole("expert_ffn_hidden_size", "moe_intermediate_size")
    choices = experts + config.whole("zero_expert_num", default=0)
    for layer in range(config.whole("num_layers", most=2048)):
        name = f"model.layers.{layer}"
        yield from linear(f"{name}.mlp.router.classifier", width, choices, bias=config.flag("router_bias"))
        yield from gated(f"{name}.mlp.experts.*", width, expert, copies=experts)
        for half in (0, 1):
            for part in latent(config, name, layer):
                yield part._replace(name=part.name.replace(".self_attn.", f".self_attn.{half}."))
            yield from gated(f"{name}.mlps.{half}", width, inner)
            yield from norm(f"{name}.input_layernorm.{half}", width)
            yield from norm(f"{name}.post_attention_layernorm.{half}", width)
    yield from norm("model.norm", width)
