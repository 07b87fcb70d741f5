"""Mistral 3.1 and later with eyes: a Mistral decoder behind Pixtral."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from weighbridge.facts.architectures import find
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, pair, text_of, within
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, gated, linear, norm

_DECODERS = ("mistral", "ministral", "ministral3", "mistral4")
_TEXT = {
    "model_type": "mistral", "head_dim": 128, "hidden_size": 5120, "intermediate_size": 32768,
    "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8, "sliding_window": None,
    "vocab_size": 131072,
}  # fmt: skip


def complete(config: Config) -> Config:
    """The defaults of `Mistral3Config`, which are others where a whole section is missing."""
    if not config.has("text_config"):
        config = config.replace(text_config=dict(_TEXT))
    if not config.has("vision_config"):
        config = config.replace(vision_config={"patch_size": 14})
    return within(within(config, "text_config", _text), "vision_config", complete_pixtral)


def complete_pixtral(config: Config) -> Config:
    """The defaults of `PixtralVisionConfig`."""
    return assume(
        config, hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_channels=3, patch_size=16,
    )  # fmt: skip


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text, vision = text_of(config), config.section("vision_config")
    yield from pixtral(vision, "vision_tower")
    yield from projector(config, "multi_modal_projector")
    yield from _family(text).parts(text, "language_model.model", "language_model.lm_head")


def pixtral(config: Config, name: str) -> Iterator[Part]:
    """Pixtral: a vision tower like a decoder, without biases."""
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    yield Part(f"{name}.patch_conv.weight", (width, config.whole("num_channels"), *pair(config, "patch_size")))
    yield from norm(f"{name}.ln_pre", width)
    for layer in range(config.whole("num_hidden_layers", most=MOST_LAYERS)):
        block = f"{name}.transformer.layers.{layer}"
        for matrix in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield from linear(f"{block}.attention.{matrix}", width, width)
        yield from gated(f"{block}.feed_forward", width, inner)
        yield from norm(f"{block}.attention_norm", width)
        yield from norm(f"{block}.ffn_norm", width)


def projector(config: Config, name: str) -> Iterator[Part]:
    """Neighbouring patches merged and made as wide as the decoder."""
    width = config.section("vision_config").whole("hidden_size")
    outputs, bias = config.section("text_config").whole("hidden_size"), config.flag("multimodal_projector_bias")
    merged = width * config.whole("spatial_merge_size", default=2, most=64) ** 2
    features = config.data.get("vision_feature_layer")
    levels = len(features) if isinstance(features, list) else 1
    yield from norm(f"{name}.norm", width)
    yield from linear(f"{name}.patch_merger.merging_layer", merged, width)
    yield from linear(f"{name}.linear_1", width * levels, outputs, bias=bias)
    yield from linear(f"{name}.linear_2", outputs, outputs, bias=bias)


def _text(config: Config) -> Config:
    config = assume(config, model_type="mistral")
    completed: Config = _family(config).complete(config)
    return completed


def _family(text: Config) -> ModuleType:
    name = text.text("model_type")
    family = find(name) if name in _DECODERS else None
    if family is None:
        raise text.wrong("model_type", name, f"one of {', '.join(_DECODERS)}")
    return family
