"""Gemma 3 with eyes: its decoder behind SigLIP."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import gemma3_text
from weighbridge.facts.architectures._assumed import text_of, within
from weighbridge.facts.architectures._encoder import complete_siglip, siglip
from weighbridge.facts.config import Config
from weighbridge.facts.gguf import Value
from weighbridge.facts.keys import Keys
from weighbridge.facts.parts import Part, norm


def complete(config: Config) -> Config:
    """The defaults of `Gemma3Config`."""
    return within(within(config, "text_config", gemma3_text.complete), "vision_config", complete_siglip)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text, vision = text_of(config, tied=True), config.section("vision_config")
    width = vision.whole("hidden_size")
    yield from siglip(vision, "vision_tower.vision_model")
    yield Part("multi_modal_projector.mm_input_projection_weight", (width, text.whole("hidden_size")))
    yield from norm("multi_modal_projector.mm_soft_emb_norm", width)
    yield from gemma3_text.parts(text, "language_model.model", "language_model.lm_head")


def complete_header(_keys: Keys) -> dict[str, Value]:
    """llama.cpp's: each sixth layer has no window."""
    return {"attention.sliding_window_pattern": 6}
