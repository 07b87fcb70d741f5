"""Editions put together from the record, and what others hand over for that."""

from .assembling import assemble
from .making import Dispute, Mine, Place, Surroundings

__all__ = ["Dispute", "Mine", "Place", "Surroundings", "assemble"]
