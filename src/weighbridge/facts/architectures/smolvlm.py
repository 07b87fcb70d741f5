"""SmolVLM: Idefics 3, smaller."""

from weighbridge.facts.architectures.idefics3 import complete as complete
from weighbridge.facts.architectures.idefics3 import parts as parts
