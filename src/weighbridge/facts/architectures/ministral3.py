"""Ministral 3: Mistral that attends to everything, unless it says otherwise."""

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.mistral import parts as parts
from weighbridge.facts.config import Config


def complete(config: Config) -> Config:
    """The defaults of `Ministral3Config`."""
    return assume(config, head_dim=128, num_key_value_heads=8)
