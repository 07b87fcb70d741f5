"""The OpenAI-compatible door to the models that run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.later import later

if TYPE_CHECKING:
    from .choosing import PREDICTOR
    from .running import run_loop, settle
    from .serving import Gateway, serve

__all__ = ["PREDICTOR", "Gateway", "run_loop", "serve", "settle"]

# A command that lists keys needs no gateway that serves.
__getattr__ = later(__name__, {"choosing": "PREDICTOR", "running": "run_loop settle", "serving": "Gateway serve"})
