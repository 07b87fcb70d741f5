"""From the catalogue's entries to what can be ranked: `fit` and `catalogue` know nothing of each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from weighbridge.catalogue import Shape, Variant
from weighbridge.facts import Layer
from weighbridge.fit.ranking import Candidate, Quantized
from weighbridge.fit.touched import touched_by_sums

# What people choose among, from the most bytes to the fewest.
RECIPES = (
    "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q4_0", "MXFP4_MOE", "IQ4_XS",
    "Q3_K_M", "IQ3_XXS", "Q2_K", "IQ2_XXS",
)  # fmt: skip

# Whose windows llama.cpp heeds (llama-model.cpp, swa_type, read 2026-11); of others every layer keeps all tokens.
_WINDOWED = frozenset({
    "afmoe", "cohere2", "exaone4", "exaone-moe", "gemma2", "gemma3", "gemma3n", "gemma4", "gpt-oss", "llama4", "mimo2",
    "olmo2", "plamo3", "smallthinker", "step35",
})  # fmt: skip


def candidates(variants: Iterable[Variant], recipes: Sequence[str] = RECIPES) -> list[tuple[Variant, Candidate]]:
    """Those whose shape and bytes are known, each with its quantizations."""
    found = []
    for variant in variants:
        shape = variant.shape
        if shape is None or shape.network is None or not shape.quantizations:
            continue
        candidate = _candidate(variant, shape, recipes)
        if candidate is not None:
            found.append((variant, candidate))
    return found


def _dimensions(shape: Shape) -> dict[str, int | tuple[int, ...]]:
    """What the catalogue knows of a network's lengths, by GGUF's names."""
    experts = shape.experts
    known = {
        "embedding_length": shape.embedding_length,
        "feed_forward_length": shape.feed_forward_length,
        "attention.head_count": shape.head_count,
        "attention.head_count_kv": shape.head_count_kv,
        "attention.key_length": shape.key_length,
        "attention.value_length": shape.value_length,
        "expert_count": experts.total if experts else None,
        "expert_used_count": experts.used if experts else None,
        "expert_feed_forward_length": shape.expert_feed_forward_length,
    }
    if experts and experts.shared and shape.expert_feed_forward_length:
        known["expert_shared_feed_forward_length"] = experts.shared * shape.expert_feed_forward_length
    return {name: value for name, value in known.items() if value is not None}


def _candidate(variant: Variant, shape: Shape, recipes: Sequence[str]) -> Candidate | None:
    network = shape.network
    # Only mixtures are published in MXFP4.
    left_out = () if shape.experts else ("MXFP4_MOE",)
    listed = [
        shape.quantizations[recipe] for recipe in recipes if recipe in shape.quantizations and recipe not in left_out
    ]
    if network is None or not listed or not shape.embedding_length or not shape.vocabulary_size:
        return None
    middle = listed[len(listed) // 2]
    routed = sum(role.parameters for role in shape.weights if role.role == "routed_experts")
    stored = sum(role.parameters for role in shape.weights) or shape.parameters
    layers = shape.layers
    if network.architecture not in _WINDOWED:
        layers = tuple((count, _without_window(layer)) for count, layer in layers)
    touched = touched_by_sums(
        active_bytes=middle.active_bytes,
        output_bytes=middle.output_bytes,
        expert_bytes=(middle.weights_bytes - middle.embedding_bytes) * routed / stored,
        layers=layers,
        active_parameters=shape.active_parameters or shape.parameters,
        output_parameters=shape.vocabulary_size * shape.embedding_length,
        heads=shape.head_count,
        head_length=shape.key_length,
        vocabulary=shape.vocabulary_size,
        width=shape.embedding_length,
        experts_total=shape.experts.total if shape.experts else 1,
        experts_used=shape.experts.used if shape.experts else 1,
        stored_bytes=middle.weights_bytes,
    )
    return Candidate(
        name=variant.name,
        architecture=network.architecture,
        runs=layers,
        dimensions=_dimensions(shape),
        embedding_length=shape.embedding_length,
        vocabulary_size=shape.vocabulary_size,
        context_length=variant.context_length.value if variant.context_length else 4096,
        experts=shape.experts,
        is_tied=shape.tied_embeddings and not shape.stores_output,
        touched=touched,
        quantizations=tuple(
            Quantized(each.recipe, each.weights_bytes, each.active_bytes, each.embedding_bytes, each.output_bytes)
            for each in listed
        ),
    )


def _without_window(layer: Layer) -> Layer:
    return replace(layer, kind="grouped_query", window_tokens=None) if layer.kind == "sliding_window" else layer
