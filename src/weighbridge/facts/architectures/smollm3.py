"""SmolLM3: Llama, without rotation in every fourth layer."""

from weighbridge.facts.architectures._assumed import assume, layer_count
from weighbridge.facts.architectures.llama import parts as parts
from weighbridge.facts.architectures.llama import with_kinds
from weighbridge.facts.config import Config


def complete(config: Config) -> Config:
    """The defaults of `SmolLM3Config`: a window counts only in layers without rotation."""
    config = assume(config, num_key_value_heads=4, tie_word_embeddings=True)
    if not config.flag("use_sliding_window") or not config.has("sliding_window"):
        return config.replace(sliding_window=None)
    interval, count = config.whole("no_rope_layer_interval", default=4, least=1), layer_count(config)
    rotates = config.numbers("no_rope_layers") or [(layer + 1) % interval for layer in range(count)]
    return with_kinds(config, ["full_attention" if flag else "sliding_attention" for flag in rotates[:count]])
