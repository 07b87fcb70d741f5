"""MiniMax-M1: MiniMax-Text-01, trained further."""

from weighbridge.facts.architectures.minimax import complete as complete
from weighbridge.facts.architectures.minimax import parts as parts
