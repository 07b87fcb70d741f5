"""GLM-5: DeepSeek-V3.2, where layers may share an indexer; its further layer has no copies of the embedding."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.deepseek_v3 import further, latent, mixture
from weighbridge.facts.architectures.deepseek_v32 import indexer
from weighbridge.facts.architectures.llama import decoder
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `GlmMoeDsaConfig`; a pattern or a frequency says which layers share an indexer."""
    config = assume(config, first_k_dense_replace=3, n_shared_experts=1, index_head_dim=128, index_n_heads=32)
    if config.has("indexer_types"):
        return config
    layers = range(layer_count(config))
    if pattern := config.text("index_topk_pattern"):
        return config.replace(indexer_types=["shared" if word == "S" else "full" for word in pattern[: len(layers)]])
    frequency, offset = config.whole("index_topk_freq", default=1), config.whole("index_skip_topk_offset", default=2)
    types = ["shared" if max(layer - offset + 1, 0) % max(frequency, 1) else "full" for layer in layers]
    return config.replace(indexer_types=types)


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    yield from decoder(config, prefix, output, latent, indexer, mixture)
    yield from further(config, prefix, latent, indexer, mixture)
