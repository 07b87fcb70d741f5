"""What a machine is: processor, memory within the limits set on us, GPUs and disk; here, or as it is described."""

from .description import describe
from .detection import detect, is_due, measure
from .machine import Cache, Device, Disk, Link, Machine, Memory, Processor
from .memory import detect_memory
from .remembering import identity_of_processor
from .table import KnownDevice, known

__all__ = [
    "Cache",
    "Device",
    "Disk",
    "KnownDevice",
    "Link",
    "Machine",
    "Memory",
    "Processor",
    "describe",
    "detect",
    "detect_memory",
    "identity_of_processor",
    "is_due",
    "known",
    "measure",
]
