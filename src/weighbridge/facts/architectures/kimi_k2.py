"""Kimi K2: DeepSeek-V3 with more experts and fewer heads."""

from weighbridge.facts.architectures.deepseek_v3 import complete as complete
from weighbridge.facts.architectures.deepseek_v3 import parts as parts
