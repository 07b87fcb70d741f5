"""What a model is, read from its own files; the weights are never read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.later import later

if TYPE_CHECKING:
    from .gguf_types import TENSOR_TYPES
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

# A model elsewhere has no files: nothing that reads them is needed.
__getattr__ = later(
    __name__,
    {
        "gguf_types": "TENSOR_TYPES",
        "model_facts": "Card Chat Context Experts Layer LicenceStatement Modalities ModelFacts Origin Parameters "
        "Source Tensor Weights",
        "reading": "read",
        "shelves": "HubAccess",
    },
)
