"""A locked-down child in which a stranger's Python runs: no network, no writing, no other process, little memory.

On Linux a seccomp filter, which needs no privilege and cannot be taken off again, forbids the system calls; resource
limits bound memory and time. Elsewhere nothing of the kind is at hand, and running is refused unless told otherwise.
"""

from .running import Ended, is_locked, run_locked

__all__ = ["Ended", "is_locked", "run_locked"]
