"""What a model is, read from its own files; the weights are never read."""

from .gguf import TENSOR_TYPES
from .model_facts import (
    Card,
    Chat,
    Context,
    Experts,
    Layer,
    LicenceStatement,
    Modalities,
    ModelFacts,
    Origin,
    Parameters,
    Source,
    Tensor,
    Weights,
)
from .reading import read
from .shelves import HubAccess

__all__ = [
    "TENSOR_TYPES",
    "Card",
    "Chat",
    "Context",
    "Experts",
    "HubAccess",
    "Layer",
    "LicenceStatement",
    "Modalities",
    "ModelFacts",
    "Origin",
    "Parameters",
    "Source",
    "Tensor",
    "Weights",
    "read",
]
