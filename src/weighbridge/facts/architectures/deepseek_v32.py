"""DeepSeek-V3.2: DeepSeek-V3 with an indexer that chooses the tokens that a query attends to."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS
from weighbridge.facts.architectures.deepseek_v3 import complete as complete
from weighbridge.facts.architectures.deepseek_v3 import further, latent, mixture
from weighbridge.facts.architectures.llama import decoder
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    yield from decoder(config, prefix, output, latent, indexer, mixture)
    yield from further(config, prefix, latent, indexer, mixture, has_copies=True)


def indexer(config: Config, name: str, layer: int) -> Iterator[Part]:
    """The indexer, but for a `shared` layer, which uses that of one before it."""
    types = config.list("indexer_types", most=MOST_LAYERS) or []
    if layer < len(types) and types[layer] == "shared":
        return
    width, length, heads = config.whole("hidden_size"), config.whole("index_head_dim"), config.whole("index_n_heads")
    place = f"{name}.self_attn.indexer"
    yield from linear(f"{place}.wq_b", config.whole("q_lora_rank"), heads * length)
    yield from linear(f"{place}.wk", width, length)
    yield from norm(f"{place}.k_norm", length, bias=True)
    yield from linear(f"{place}.weights_proj", width, heads)
