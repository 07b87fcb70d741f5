"""The OpenAI-compatible door to the models that run here."""

from .choosing import PREDICTOR
from .running import run_loop, settle
from .serving import Gateway, serve

__all__ = ["PREDICTOR", "Gateway", "run_loop", "serve", "settle"]
