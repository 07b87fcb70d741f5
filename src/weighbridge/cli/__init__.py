"""The command line: one file a command; the only place that prints."""

from .main import main

__all__ = ["main"]
