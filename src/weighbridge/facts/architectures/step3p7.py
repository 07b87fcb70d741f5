"""Step 3.7: attention with gated heads, more heads where there is a window, experts, behind a vision tower."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, kind_of, layer_count, text_of, within
from weighbridge.facts.architectures._encoder import encoder_layer
from weighbridge.facts.architectures.llama import decoder, grouped_query
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, fused_experts, gated, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `Step3p7Config`, whose published configs have older keys."""
    return within(within(config, "text_config", _text), "vision_config", _vision)


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    text, vision = text_of(config), config.section("vision_config")
    inputs, bias = 4 * vision.whole("hidden_size"), config.flag("projector_bias")
    yield from _tower(vision, "model.vision_model")
    yield from linear("model.multi_modal_projector", inputs, text.whole("hidden_size"), bias=bias)
    yield from decoder(text, "model.language_model", "lm_head", _attention, _mixture)


def _text(config: Config) -> Config:
    kv_heads = config.whole("num_key_value_heads", "num_attention_groups", default=8)
    config = assume(
        config, vocab_size=128815, hidden_size=4096, intermediate_size=11264, num_hidden_layers=45,
        num_attention_heads=64, num_key_value_heads=kv_heads, head_dim=128, moe_intermediate_size=1280,
        n_routed_experts=config.whole("num_local_experts", "moe_num_experts", default=288),
        share_expert_dim=config.whole("share_expert_dims", default=1280),
        num_experts_per_tok=config.whole("moe_top_k", default=8),
    )  # fmt: skip
    count, other = layer_count(config), config.section("attention_other_setting")
    heads = other.whole("num_attention_heads", default=config.whole("num_attention_heads"))
    listed = config.list("layer_types", most=MOST_LAYERS) or ["full_attention"] * count
    config = assume(config.replace(layer_types=listed[:count]), num_sliding_attention_heads=heads)
    return config if config.has("mlp_layer_types") else config.replace(mlp_layer_types=_experts(config, count))


def _experts(config: Config, count: int) -> list[str]:
    """Which layers have experts, by a list of numbers or a string of them."""
    found = config.data.get("moe_layers_enum")
    if found is None:
        return ["dense" if layer < 3 else "sparse" for layer in range(count)]
    listed = found.split(",") if isinstance(found, str) else config.list("moe_layers_enum", most=MOST_LAYERS) or []
    numbers = {str(entry).strip() for entry in listed}
    return ["sparse" if str(layer) in numbers else "dense" for layer in range(count)]


def _vision(config: Config) -> Config:
    width = config.whole("width", "hidden_size", default=1536)
    layers = config.whole("layers", "num_hidden_layers", default=47)
    ratio = config.data.get("mlp_ratio", 8960 / 1536)
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio <= 64:
        raise config.wrong("mlp_ratio", ratio, "a number from 0 to 64")
    config = config.replace(hidden_size=width, num_hidden_layers=layers, intermediate_size=int(width * ratio))
    return assume(config, num_channels=3, image_size=728, patch_size=14)


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    is_windowed = kind_of(config, layer) == "sliding_attention"
    heads = config.whole("num_sliding_attention_heads" if is_windowed else "num_attention_heads")
    yield from grouped_query(config, name, layer, heads=heads, head_norms=True)
    yield from linear(f"{name}.self_attn.g_proj", config.whole("hidden_size"), heads)


def _mixture(config: Config, name: str, layer: int) -> Iterator[Part]:
    width, bias = config.whole("hidden_size"), config.flag("mlp_bias")
    if (config.list("mlp_layer_types", most=MOST_LAYERS) or [])[layer : layer + 1] != ["sparse"]:
        yield from gated(f"{name}.mlp", width, config.whole("intermediate_size"), bias=bias)
        return
    experts = config.whole("n_routed_experts")
    yield from linear(f"{name}.mlp.gate", width, experts)
    yield from fused_experts(f"{name}.mlp.experts", width, config.whole("moe_intermediate_size"), experts)
    yield from gated(f"{name}.mlp.shared_experts", width, config.whole("share_expert_dim"), bias=bias)


def _tower(config: Config, name: str) -> Iterator[Part]:
    width, patch = config.whole("hidden_size"), config.whole("patch_size", least=1)
    places = (config.whole("image_size") // patch) ** 2
    yield Part(f"{name}.embeddings.patch_embedding.weight", (width, config.whole("num_channels"), patch, patch))
    yield Part(f"{name}.embeddings.position_embedding.weight", (places, width))
    yield from norm(f"{name}.pre_layernorm", width, bias=True)
    for layer in range(layer_count(config)):
        block, norms = f"{name}.layers.{layer}", ("layernorm_before", "layernorm_after")
        yield from encoder_layer(block, width, config.whole("intermediate_size"), norms=norms)
        yield Part(f"{block}.lambda_1", (width,))
        yield Part(f"{block}.lambda_2", (width,))
    for index, inputs in ((1, width), (2, 2 * width)):
        yield Part(f"{name}.downsampler{index}.weight", (2 * inputs, inputs, 3, 3))
        yield Part(f"{name}.downsampler{index}.bias", (2 * inputs,))
