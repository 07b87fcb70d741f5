"""What models there are: families, releases, variants and repositories, each value with its source and day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.later import later

if TYPE_CHECKING:
    from .catalogue import Catalogue, load, resolve
    from .quantizations import RECIPES, Network, Quantization
    from .refreshing import Refreshed, Refusal, refresh
    from .variant import Evidence, Family, Known, Release, Repository, RoleWeights, Shape, Tag, Variant

__all__ = [
    "RECIPES",
    "Catalogue",
    "Evidence",
    "Family",
    "Known",
    "Network",
    "Quantization",
    "Refreshed",
    "Refusal",
    "Release",
    "Repository",
    "RoleWeights",
    "Shape",
    "Tag",
    "Variant",
    "load",
    "refresh",
    "resolve",
]

# It takes megabytes, and who names files or servers needs none of it.
__getattr__ = later(
    __name__,
    {
        "catalogue": "Catalogue load resolve",
        "quantizations": "RECIPES Network Quantization",
        "refreshing": "Refreshed Refusal refresh",
        "variant": "Evidence Family Known Release Repository RoleWeights Shape Tag Variant",
    },
)
