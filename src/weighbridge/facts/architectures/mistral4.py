"""Mistral 4: DeepSeek-V3's attention, and experts stacked in two tensors beside a shared one."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.deepseek_v3 import is_sparse, latent
from weighbridge.facts.architectures.llama import decoder, feed_forward
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, fused_experts, gated, linear


def complete(config: Config) -> Config:
    """The defaults of `Mistral4Config`."""
    return assume(config, first_k_dense_replace=0, n_shared_experts=1, q_lora_rank=1024)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, latent, _mixture)


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    if not is_sparse(config, layer):
        yield from feed_forward(config, name, layer, bias=False)
        return
    width, inner = config.whole("hidden_size"), config.whole("moe_intermediate_size")
    experts = config.whole("n_routed_experts")
    yield from linear(f"{name}.mlp.gate", width, experts)
    yield from fused_experts(f"{name}.mlp.experts", width, inner, experts)
    if shared := config.whole("n_shared_experts", default=0):
        yield from gated(f"{name}.mlp.shared_experts", width, shared * inner)
