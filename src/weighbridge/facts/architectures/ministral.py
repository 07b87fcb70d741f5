"""Ministral: Mistral under a new name."""

from weighbridge.facts.architectures.mistral import complete as complete
from weighbridge.facts.architectures.mistral import parts as parts
