"""What a model is, read from its own files; the weights are never read."""

from .model_facts import Card, Chat, Experts, Layer, Modalities, ModelFacts, Parameters, Source, Tensor
from .reading import read

__all__ = ["Card", "Chat", "Experts", "Layer", "Modalities", "ModelFacts", "Parameters", "Source", "Tensor", "read"]
