"""Command A and R7B: Command R with a window in three of four layers."""

from weighbridge.facts.architectures import cohere
from weighbridge.facts.architectures._assumed import assume, each
from weighbridge.facts.architectures.cohere import parts as parts
from weighbridge.facts.architectures.llama import with_kinds
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys


def complete(config: Config) -> Config:
    """The defaults of `Cohere2Config`."""
    config = assume(cohere.complete(config), sliding_window=4096)
    period = config.whole("sliding_window_pattern", default=4)
    return with_kinds(config, each(config, period, "full_attention", "sliding_attention"))


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: each fourth layer has no window."""
    return {"attention.sliding_window_pattern": 4}
