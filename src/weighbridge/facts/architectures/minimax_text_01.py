"""MiniMax-Text-01 under the name of its own code."""

from weighbridge.facts.architectures.minimax import complete as complete
from weighbridge.facts.architectures.minimax import parts as parts
