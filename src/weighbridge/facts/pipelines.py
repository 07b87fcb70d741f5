"""A pipeline of several networks, as diffusers keeps one: its facts are sums over theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from . import checkpoint_facts
from .licences import chosen, of_front_matter
from .model_facts import Chat, Context, LicenceStatement, Modalities, ModelFacts, Parameters, Source, Weights


def _sum(values: Sequence[int | None]) -> int | None:
    return None if any(value is None for value in values) else sum(value for value in values if value is not None)


def assembled(
    name: str, architecture: str, components: Sequence[ModelFacts], licences: Sequence[LicenceStatement],
    front: dict[str, Any], card: str, source: Source,
) -> ModelFacts:  # fmt: skip
    """The facts of a pipeline: sums over its networks; each one's own facts stay with it."""
    statements = [*of_front_matter(front, card), *licences]
    sums: dict[str, Any] = {
        key: _sum([getattr(part.parameters, key) for part in components])
        for key in (field.name for field in dataclasses.fields(Parameters) if field.name != "basis")
    }
    basis = "read" if all(part.parameters.basis == "read" for part in components) else "computed"
    weights = tuple(
        Weights(part.name, row.type, row.parameters, row.bytes, row.active_bytes)
        for part in components
        for row in part.weights
    )
    total = _sum([part.weights_bytes for part in components])
    stored = sums["stored"]
    main = max(components, key=lambda part: part.parameters.total or 0)
    return ModelFacts(
        name=name,
        architecture=architecture,
        source=source,
        parameters=Parameters(**sums, basis=basis),
        weights=weights,
        weights_bytes=total,
        active_weights_bytes=_sum([part.active_weights_bytes for part in components]),
        bits_per_weight=round(total * 8 / stored, 4) if total is not None and stored else None,
        quantization=main.quantization,
        context_length=None,
        context=Context(),
        embedding_length=None,
        feed_forward_length=None,
        head_count=None,
        vocabulary_size=None,
        experts=None,
        expert_feed_forward_length=None,
        layers=(),
        modalities=_pipeline_modalities(architecture),
        tokenizer=None,
        chat=Chat(template=False, tools=None, thinking=None),
        licence=chosen(statements),
        licences=tuple(statements),
        card=checkpoint_facts.card_of(front),
        tensors=tuple(tensor for part in components for tensor in part.tensors),
        components=tuple(components),
        notes=tuple(note for part in components for note in part.notes),
    )


def _pipeline_modalities(architecture: str) -> Modalities:
    """By what the pipeline's class says that it makes."""
    lowered = architecture.lower()
    takes_images = any(word in lowered for word in ("kontext", "img2img", "inpaint", "edit", "image2image", "control"))
    makes = "video" if "video" in lowered else "audio" if "audio" in lowered else "image"
    return Modalities(("text", "image") if takes_images else ("text",), (makes,))
