"""The encoder of CLIP and SigLIP, which many vision towers are, and its layers, which more are made of."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import MOST_LAYERS, assume, pair
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm, plain


def complete_siglip(config: Config) -> Config:
    """The defaults of `SiglipVisionConfig`."""
    return assume(
        config, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_channels=3, image_size=224,
        patch_size=16, vision_use_head=True,
    )  # fmt: skip


def siglip(config: Config, name: str) -> Iterator[Part]:
    """SigLIP's vision tower, its pooling head included where the config wants it."""
    width, inner = config.whole("hidden_size"), config.whole("intermediate_size")
    patch, image = pair(config, "patch_size"), pair(config, "image_size")
    yield Part(f"{name}.embeddings.patch_embedding.weight", (width, config.whole("num_channels"), *patch))
    yield Part(f"{name}.embeddings.patch_embedding.bias", (width,))
    places = (image[0] // patch[0]) * (image[1] // patch[1])
    yield Part(f"{name}.embeddings.position_embedding.weight", (places, width))
    for layer in range(config.whole("num_hidden_layers", most=MOST_LAYERS)):
        yield from encoder_layer(f"{name}.encoder.layers.{layer}", width, inner)
    yield from norm(f"{name}.post_layernorm", width, bias=True)
    if config.flag("vision_use_head"):
        yield Part(f"{name}.head.probe", (1, 1, width))
        yield Part(f"{name}.head.attention.in_proj_weight", (3 * width, width))
        yield Part(f"{name}.head.attention.in_proj_bias", (3 * width,))
        yield from linear(f"{name}.head.attention.out_proj", width, width, bias=True)
        yield from norm(f"{name}.head.layernorm", width, bias=True)
        yield from plain(f"{name}.head.mlp", width, inner, "fc1", "fc2", bias=True)


def encoder_layer(
    name: str, width: int, inner: int, *, attention: str = "self_attn", output: str = "out_proj",
    norms: tuple[str, str] = ("layer_norm1", "layer_norm2"),
) -> Iterator[Part]:  # fmt: skip
    """Attention and a feed-forward network, each behind a layer norm, all with biases."""
    for matrix in ("q_proj", "k_proj", "v_proj", output):
        yield from linear(f"{name}.{attention}.{matrix}", width, width, bias=True)
    yield from plain(f"{name}.mlp", width, inner, "fc1", "fc2", bias=True)
    yield from norm(f"{name}.{norms[0]}", width, bias=True)
    yield from norm(f"{name}.{norms[1]}", width, bias=True)
