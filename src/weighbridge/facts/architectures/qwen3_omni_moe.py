"""Qwen3-Omni: a thinker (Qwen3-MoE that sees and hears), and, where it speaks, a talker and a vocoder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from weighbridge.facts.architectures import _code2wav, qwen2_moe, qwen3, qwen3_moe, qwen3_vl
from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, text_of, within
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm, plain

# What the published tower calls what Qwen3-VL has other names for.
_MERGER = {"deepstack_merger_list": "merger_list", ".norm.": ".ln_q.", "linear_fc1": "mlp.0", "linear_fc2": "mlp.2"}


def complete(config: Config) -> Config:
    """The defaults of `Qwen3OmniMoeConfig`."""
    config = within(config, "thinker_config", _thinker)
    if not config.flag("enable_audio_output", default=True):
        return config
    return within(within(config, "talker_config", _talker), "code2wav_config", _code2wav.complete)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    thinker = config.section("thinker_config")
    for part in qwen3_vl.tower(thinker.section("vision_config"), "thinker.visual"):
        name = part.name
        for word, own in _MERGER.items() if ".merger." in name or "merger_list" in name else ():
            name = name.replace(word, own)
        yield part._replace(name=name)
    yield from _ear(thinker.section("audio_config"), "thinker.audio_tower")
    yield from qwen3_moe.parts(text_of(thinker), "thinker.model", "thinker.lm_head")
    if config.flag("enable_audio_output", default=True):
        yield from _speech(config.section("talker_config"), "talker")
        yield from _code2wav.parts(config.section("code2wav_config"), "code2wav")


def _thinker(config: Config) -> Config:
    config = within(within(config, "text_config", _thinker_text), "vision_config", qwen3_vl.vision)
    return within(config, "audio_config", _audio)


def _thinker_text(config: Config) -> Config:
    config = assume(
        config, vocab_size=3584, hidden_size=2048, intermediate_size=18944, num_hidden_layers=28,
        num_attention_heads=28, num_key_value_heads=4, moe_intermediate_size=768, num_experts_per_tok=8,
        num_experts=128, decoder_sparse_step=1,
    )  # fmt: skip
    return config.replace(sliding_window=None)


def _audio(config: Config) -> Config:
    return assume(
        config, num_mel_bins=128, encoder_layers=32, encoder_ffn_dim=5120, d_model=1280, output_dim=3584,
        downsample_hidden_size=480,
    )  # fmt: skip


def _talker(config: Config) -> Config:
    config = assume(config, num_code_groups=32, thinker_hidden_size=2048)
    return within(within(config, "text_config", _talker_text), "code_predictor_config", _predictor)


def _talker_text(config: Config) -> Config:
    return assume(
        config, vocab_size=3072, hidden_size=1024, intermediate_size=2048, num_hidden_layers=20,
        num_attention_heads=16, num_key_value_heads=2, moe_intermediate_size=384, num_experts=128,
        decoder_sparse_step=1,
    )  # fmt: skip


def _predictor(config: Config) -> Config:
    return assume(
        config, vocab_size=2048, hidden_size=1024, intermediate_size=3072, num_hidden_layers=5,
        num_attention_heads=16, num_key_value_heads=8, head_dim=128, num_code_groups=32,
    )  # fmt: skip


def _speech(config: Config, name: str) -> Iterator[Part]:
    text, predictor = config.section("text_config"), config.section("code_predictor_config")
    width, inner = text.whole("hidden_size"), text.whole("intermediate_size")
    inputs = config.whole("thinker_hidden_size")
    for projection in ("text_projection", "hidden_projection"):
        yield from linear(f"{name}.{projection}.linear_fc1", inputs, inner, bias=True)
        yield from linear(f"{name}.{projection}.linear_fc2", inner, width, bias=True)
    text = text.replace(tie_word_embeddings=False)
    blocks = partial(grouped_query, head_norms=True), qwen2_moe.mixture
    for part in decoder(text, f"{name}.model", f"{name}.codec_head", *blocks):
        yield part._replace(name=part.name.replace("embed_tokens", "codec_embedding"))
    # Each group of codes after the first has an embedding and an output of its own.
    place, codes = f"{name}.code_predictor", (predictor.whole("vocab_size"), predictor.whole("hidden_size"))
    for part in qwen3.parts(predictor.replace(tie_word_embeddings=True), f"{place}.model"):
        if not part.name.endswith("embed_tokens.weight"):
            yield part
    for group in range(predictor.whole("num_code_groups", least=1, most=1024) - 1):
        yield Part(f"{place}.model.codec_embedding.{group}.weight", codes)
        yield Part(f"{place}.lm_head.{group}.weight", codes)


def _ear(config: Config, name: str) -> Iterator[Part]:
    """The audio tower: three convolutions, each of which halves the frequencies, and layers of attention."""
    width, channels = config.whole("d_model"), config.whole("downsample_hidden_size")
    bins = config.whole("num_mel_bins")
    for index, inputs in ((1, 1), (2, channels), (3, channels)):
        yield Part(f"{name}.conv2d{index}.weight", (channels, inputs, 3, 3))
        yield Part(f"{name}.conv2d{index}.bias", (channels,))
        bins = (bins + 1) // 2
    yield from linear(f"{name}.conv_out", channels * bins, width)
    for layer in range(config.whole("encoder_layers", most=MOST_LAYERS)):
        block = f"{name}.layers.{layer}"
        for matrix in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(f"{block}.self_attn.{matrix}", width, width, bias=True)
        yield from plain(block, width, config.whole("encoder_ffn_dim"), "fc1", "fc2", bias=True)
        yield from norm(f"{block}.self_attn_layer_norm", width, bias=True)
        yield from norm(f"{block}.final_layer_norm", width, bias=True)
    yield from norm(f"{name}.ln_post", width, bias=True)
    yield from linear(f"{name}.proj1", width, width, bias=True)
    yield from linear(f"{name}.proj2", width, config.whole("output_dim"), bias=True)
