"""Weighbridge: what an open-weight model is, whether it runs here, and a door to those that do."""

__version__ = "0.1.0"
