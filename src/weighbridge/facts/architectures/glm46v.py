"""GLM-4.6V-Flash: GLM-4.1V."""

from weighbridge.facts.architectures.glm4v import complete as complete
from weighbridge.facts.architectures.glm4v import parts as parts
