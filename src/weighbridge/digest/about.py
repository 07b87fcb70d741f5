"""What is known of a model, as facts: from the catalogue, and from the place that lists it."""

from __future__ import annotations

from typing import Any

from weighbridge.catalogue import Known, Variant
from weighbridge.figures import Basis
from weighbridge.sizes import show_count

from .found import Listing
from .kept import Fact


def of_variant(variant: Variant) -> list[Fact]:
    """What the catalogue knows of a model, each value with its source and day."""

    def fact(field: str, known: Known[Any], text: str) -> Fact:
        value = known.value if isinstance(known.value, int | str) else text
        return Fact(variant.name, field, value, text, known.basis, known.source, f"{variant.name}.{field}", known.date)

    found = []
    if variant.parameters:
        found.append(fact("parameters_total", variant.parameters, f"{show_count(variant.parameters.value)} parameters"))
    active = variant.active_parameters
    if active and variant.parameters and active.value < variant.parameters.value:
        found.append(fact("parameters_active", active, f"{show_count(active.value)} active"))
    shape = variant.shape
    if shape and shape.experts:
        text = f"{shape.experts.used} of {shape.experts.total} experts a token"
        value = {"total": shape.experts.total, "used": shape.experts.used}
        found.append(
            Fact(variant.name, "experts", value, text, shape.basis, shape.source, f"{variant.name}.experts", shape.date)
        )
    if variant.context_length:
        found.append(
            fact("context_length", variant.context_length, f"{variant.context_length.value:,} tokens of context")
        )
    if variant.modalities:
        found.append(fact("modality", variant.modalities, f"takes {', '.join(variant.modalities.value.input)}"))
    if variant.licence:
        found.append(fact("licence", variant.licence, variant.licence.value))
    if variant.released:
        found.append(fact("release_date", variant.released, f"repository of {variant.released.value}"))
    if variant.downloads:
        found.append(
            fact(
                "downloads",
                variant.downloads,
                f"{show_count(variant.downloads.value)} downloads a month, as of {variant.downloads.date}",
            )
        )
    return found


def of_listing(listing: Listing) -> list[Fact]:
    """What a place says of a release that it lists: stated, not checked."""
    texts = dict(listing.told)
    found = []
    if listing.released:
        found.append(("release_date", listing.released, f"published {listing.released}"))
    for field in ("licence", "base_model", "modality", "file_formats", "gated", "version", "status", "title"):
        if value := texts.get(field):
            found.append((field, value, f"from {value}" if field == "base_model" else value))
    return [
        Fact(listing.name, field, value, text, Basis.STATED, listing.source, field, listing.seen)
        for field, value, text in found
    ]
