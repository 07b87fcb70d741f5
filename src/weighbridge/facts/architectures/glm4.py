"""GLM-4-0414 and GLM-Z1: GLM-4 with norms after each block too."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures.glm import attention
from weighbridge.facts.architectures.glm import complete as complete
from weighbridge.facts.architectures.llama import NORMS, decoder
from weighbridge.facts.architectures.phi3 import joined_feed_forward
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part

_NORMS = (*NORMS, "post_self_attn_layernorm", "post_mlp_layernorm")


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, attention, joined_feed_forward, norms=_NORMS)
