"""DeepSeek-V4 as SGLang's FP8 edition names it."""

from weighbridge.facts.architectures.deepseek_v4 import complete as complete
from weighbridge.facts.architectures.deepseek_v4 import parts as parts
