"""Falcon Mamba: Mamba, whose inner norms have no weights."""

from weighbridge.facts.architectures.mamba import complete as complete
from weighbridge.facts.architectures.mamba import parts as parts
