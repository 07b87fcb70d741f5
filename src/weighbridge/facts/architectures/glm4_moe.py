"""GLM-4.5 to 4.7: grouped-query attention with DeepSeek-V3's experts."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.deepseek_v3 import further, mixture
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `Glm4MoeConfig`."""
    return assume(config, num_key_value_heads=8, first_k_dense_replace=1, n_shared_experts=1)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    yield from decoder(config, prefix, output, _attention, mixture)
    # GLM-4.5 has copies of the embedding and the output there too; 4.6 and 4.7, whose configs look the same, have not.
    yield from further(config, prefix, _attention, mixture)


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    return grouped_query(config, name, layer, output_bias=False, head_norms=config.flag("use_qk_norm"))
