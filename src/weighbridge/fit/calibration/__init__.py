"""What an engine's work costs on this machine: trials that are run, rates that explain them, and where those are kept.

`weigh calibrate` runs the trials; nothing here runs an engine, so that all of it can be tested without one.
"""

from .calibration import Calibration, Measured
from .deriving import derive
from .keeping import FILE, digest, identity, load, save, today
from .trials import Run, Trial, touched_by, trials

__all__ = [
    "FILE",
    "Calibration",
    "Measured",
    "Run",
    "Trial",
    "derive",
    "digest",
    "identity",
    "load",
    "save",
    "today",
    "touched_by",
    "trials",
]
