"""Gemma 4 without towers: pictures and sound go into the decoder through one projection each."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures import gemma4_text
from weighbridge.facts.architectures._assumed import assume, text_of, within
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Gemma4UnifiedConfig`."""
    config = within(config, "text_config", _text)
    if config.has("vision_config"):
        config = within(config, "vision_config", _vision)
    return within(config, "audio_config", _audio) if config.has("audio_config") else config


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text = text_of(config, tied=True)
    width = text.whole("hidden_size")
    yield from gemma4_text.parts(text, "model.language_model")
    if config.has("vision_config"):
        vision = config.section("vision_config")
        inner = vision.whole("mm_embed_dim")
        values = 3 * (vision.whole("patch_size") * vision.whole("pooling_kernel_size")) ** 2
        yield Part("model.vision_embedder.pos_embedding", (vision.whole("mm_posemb_size"), 2, inner))
        yield from norm("model.vision_embedder.patch_ln1", values, bias=True)
        yield from linear("model.vision_embedder.patch_dense", values, inner, bias=True)
        yield from norm("model.vision_embedder.patch_ln2", inner, bias=True)
        yield from norm("model.vision_embedder.pos_norm", inner, bias=True)
        yield from linear("model.embed_vision.embedding_projection", vision.whole("output_proj_dims"), width)
    if config.has("audio_config"):
        audio = config.section("audio_config")
        yield from linear("model.embed_audio.embedding_projection", audio.whole("audio_embed_dim"), width)


def _text(config: Config) -> Config:
    # Neither experts nor embeddings a layer: the keys are not read.
    config = config.replace(hidden_size_per_layer_input=0, enable_moe_block=False)
    return gemma4_text.complete(assume(config, sliding_window=1024))


def _vision(config: Config) -> Config:
    return assume(
        config, patch_size=16, pooling_kernel_size=3, mm_embed_dim=3840, mm_posemb_size=1120, output_proj_dims=3840,
    )  # fmt: skip


def _audio(config: Config) -> Config:
    return assume(config, audio_embed_dim=config.whole("audio_embed_dim", "output_proj_dims", default=640))
