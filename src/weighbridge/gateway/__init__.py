"""The OpenAI-compatible door to the models that run here."""

from .serving import Gateway, serve

__all__ = ["Gateway", "serve"]
