"""Heads that keep keys and values, layer by layer, and the lengths of those that latents are made into."""

from __future__ import annotations

from weighbridge.errors import BadModelFile
from weighbridge.facts import Layer, ModelFacts

_LATENT = frozenset({"latent", "sparse_index"})


def kv_heads(facts: ModelFacts) -> tuple[int | None, ...]:
    """Heads that keep keys and values, by layer; 0 where none are kept by heads, None where it is not known."""
    return tuple(
        0 if is_latent(layer) or not layer.keys else _of_layer(facts, "attention.head_count_kv", index) or None
        for index, layer in enumerate(facts.layers)
    )


def is_latent(layer: Layer) -> bool:
    """Whether a layer keeps one vector for all its heads."""
    return layer.kind in _LATENT and not layer.values


def _of_layer(facts: ModelFacts, name: str, index: int) -> int | None:
    """A dimension as this layer has it; None where the files do not tell it."""
    value = facts.dimensions.get(name)
    if isinstance(value, tuple):
        return value[index] if index < len(value) else None
    return value


def latent_lengths(facts: ModelFacts) -> tuple[int, int, int]:
    """Lengths of a query's and a value's head that latents are made into, and of the rotated part: 192, 128 and 64 of
    DeepSeek-V3, 256, 256 and 64 of GLM-5. BadModelFile where the files do not tell them."""
    names = ("attention.key_length_mla", "attention.value_length_mla", "rope.dimension_count")
    query, value, rotated = (_of_layer(facts, name, 0) for name in names)
    if query is None or value is None or rotated is None:
        raise BadModelFile(
            f"{facts.name}: how long the heads are that its latents are made into is not told by its config",
            hint="fetch the config again: qk_nope_head_dim, qk_rope_head_dim and v_head_dim tell it",
        )
    return query, value, rotated
