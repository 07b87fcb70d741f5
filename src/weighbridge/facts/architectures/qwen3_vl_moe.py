"""Qwen3-VL with experts: Qwen3-MoE behind Qwen3-VL's vision tower."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures import qwen3_vl
from weighbridge.facts.architectures._assumed import assume, text_of, within
from weighbridge.facts.architectures.llama import Block, decoder, grouped_query
from weighbridge.facts.architectures.qwen2_moe import mixture
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `Qwen3VLMoeConfig`."""
    return within(within(config, "text_config", _text), "vision_config", qwen3_vl.vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from qwen3_vl.tower(config.section("vision_config"), "model.visual")
    text = text_of(config).replace(shared_expert_intermediate_size=0)
    blocks = partial(grouped_query, head_norms=True), partial(fused, mixture)
    yield from decoder(text, "model.language_model", "lm_head", *blocks)


def fused(block: Block, config: Config, name: str, layer: int) -> Iterator[Part]:
    """The block with its experts stacked in two tensors, transposed."""
    for part in block(config, name, layer):
        outputs, inputs = part.shape[0], part.shape[-1]
        if ".experts.*.gate_proj" in part.name:
            yield Part(f"{name}.mlp.experts.gate_up_proj", (part.copies, inputs, 2 * outputs))
        elif ".experts.*.down_proj" in part.name:
            yield Part(f"{name}.mlp.experts.down_proj", (part.copies, inputs, outputs))
        elif ".experts.*" not in part.name:
            yield part


def _text(config: Config) -> Config:
    config = assume(
        config, vocab_size=151936, hidden_size=2048, intermediate_size=5632, num_hidden_layers=24,
        num_attention_heads=16, num_key_value_heads=16, decoder_sparse_step=1,
        moe_intermediate_size=1408, num_experts_per_tok=4, num_experts=60,
    )  # fmt: skip
    return assume(config, head_dim=config.whole("hidden_size") // config.whole("num_attention_heads", least=1))
