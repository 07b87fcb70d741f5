"""A.X K1: DeepSeek-V3 with a norm after the experts."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.deepseek_v3 import is_sparse, latent, mixture
from weighbridge.facts.architectures.llama import decoder
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, norm


def complete(config: Config) -> Config:
    """The defaults of `AXK1Config`."""
    return assume(config, first_k_dense_replace=1, n_shared_experts=1, q_lora_rank=1536)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, latent, _mixture)


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    yield from mixture(config, name, layer)
    if is_sparse(config, layer):
        yield from norm(f"{name}.post_mlp_layernorm", config.whole("hidden_size"))
