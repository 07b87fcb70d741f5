"""DeepSeek-V2: what DeepSeek-V3 kept, without layers that predict further tokens."""

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.deepseek_v3 import parts as parts
from weighbridge.facts.config import Config


def complete(config: Config) -> Config:
    """The defaults of `DeepseekV2Config`."""
    return assume(config, first_k_dense_replace=0, n_shared_experts=2, q_lora_rank=1536)
