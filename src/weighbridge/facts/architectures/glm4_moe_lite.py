"""GLM-4.7-Flash: DeepSeek-V3 with one dense layer."""

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.deepseek_v3 import parts as parts
from weighbridge.facts.config import Config


def complete(config: Config) -> Config:
    """The defaults of `Glm4MoeLiteConfig`."""
    return assume(config, first_k_dense_replace=1, n_shared_experts=1, q_lora_rank=768)
