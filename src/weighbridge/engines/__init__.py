"""Engines: other people's programs that answer requests, each in a process of its own, behind one small door."""

from .endpoint import Endpoint, Running
from .model import Model
from .start import start
from .surroundings import Surroundings

__all__ = ["Endpoint", "Model", "Running", "Surroundings", "start"]
