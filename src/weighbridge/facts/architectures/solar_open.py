"""Solar Open: GLM-4.5 with experts in every layer."""

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.glm4_moe import parts as parts
from weighbridge.facts.config import Config


def complete(config: Config) -> Config:
    """The defaults of `SolarOpenConfig`."""
    return assume(config, num_key_value_heads=8, head_dim=128, n_shared_experts=1)
