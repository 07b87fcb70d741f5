"""The OpenAI-compatible door to the models that run here."""

from .running import run_loop, settle
from .serving import Gateway, serve

__all__ = ["Gateway", "run_loop", "serve", "settle"]
