"""Qwen3.5, dense: Qwen3-Next's layers with feed-forward networks, behind Qwen3-VL's vision tower."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import qwen3_next, qwen3_vl
from weighbridge.facts.architectures._assumed import assume, text_of, within
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part


def complete(config: Config) -> Config:
    """The defaults of `Qwen3_5Config`."""
    return within(within(config, "text_config", complete_text), "vision_config", vision)


def vision(config: Config) -> Config:
    """The vision tower adds nothing to deeper layers here."""
    return qwen3_vl.vision(assume(config, deepstack_visual_indexes=[]))


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    yield from qwen3_vl.tower(config.section("vision_config"), "model.visual")
    yield from qwen3_next.decoder(text_of(config), "model.language_model", "lm_head", is_split=True, is_fused=True)


def complete_text(config: Config) -> Config:
    """The defaults of the decoder."""
    config = assume(config, vocab_size=248320, hidden_size=4096, intermediate_size=12288, num_hidden_layers=32)
    return qwen3_next.complete_layers(config, kv_heads=4)
