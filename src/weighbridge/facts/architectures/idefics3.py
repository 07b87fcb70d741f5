"""Idefics 3: Llama behind SigLIP, whose patches a connector gathers."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import llama
from weighbridge.facts.architectures._assumed import assume, text_of, within
from weighbridge.facts.architectures._encoder import siglip
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear


def complete(config: Config) -> Config:
    """The defaults of `Idefics3Config`."""
    return within(within(config, "text_config", _text), "vision_config", _vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text, vision = text_of(config), config.section("vision_config")
    gathered = vision.whole("hidden_size") * config.whole("scale_factor", default=2, most=64) ** 2
    yield from siglip(vision, "model.vision_model")
    yield from linear("model.connector.modality_projection.proj", gathered, text.whole("hidden_size"))
    yield from llama.parts(text, "model.text_model")


def _text(config: Config) -> Config:
    config = assume(
        config, model_type="llama", vocab_size=32000, hidden_size=4096, intermediate_size=11008,
        num_hidden_layers=32, num_attention_heads=32,
    )  # fmt: skip
    if config.text("model_type") != "llama":
        raise config.wrong("model_type", config.data["model_type"], "llama")
    return config


def _vision(config: Config) -> Config:
    return assume(
        config, hidden_size=1152, intermediate_size=3072, num_hidden_layers=12, num_channels=3, image_size=224,
        patch_size=32,
    )  # fmt: skip
