"""What this machine is: processor, memory within the limits set on us, and GPUs."""

from .detection import detect
from .machine import Device, Machine, Memory, Processor

__all__ = ["Device", "Machine", "Memory", "Processor", "detect"]
