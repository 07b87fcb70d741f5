"""`detect()`: the machine that we run on."""

from __future__ import annotations

from . import nvidia
from .machine import Machine
from .memory import detect_memory
from .processor import detect_processor


def detect() -> Machine:
    """This machine, as it is now: available memory and free GPU memory change from call to call."""
    devices, trouble = nvidia.detect()
    return Machine(detect_processor(), detect_memory(), devices, (trouble,) if trouble else ())
