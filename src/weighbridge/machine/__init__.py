"""What a machine is: processor, memory within the limits set on us, GPUs and disk."""

from .detection import detect
from .machine import Cache, Device, Disk, Link, Machine, Memory, Processor

__all__ = ["Cache", "Device", "Disk", "Link", "Machine", "Memory", "Processor", "detect"]
