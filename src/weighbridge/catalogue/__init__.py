"""What models there are: families, releases, variants and repositories, each value with its source and day."""

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
