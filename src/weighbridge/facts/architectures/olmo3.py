"""OLMo 3: OLMo 2 with a window in three of four layers."""

from weighbridge.facts.architectures._assumed import assume, each
from weighbridge.facts.architectures.llama import with_kinds
from weighbridge.facts.architectures.olmo2 import parts as parts
from weighbridge.facts.config import Config


def complete(config: Config) -> Config:
    """The defaults of `Olmo3Config`."""
    return with_kinds(assume(config, sliding_window=4096), each(config, 4, "full_attention", "sliding_attention"))
