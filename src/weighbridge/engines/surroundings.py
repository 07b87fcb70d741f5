"""`Surroundings`: what every engine that starts here shares."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_RECORDS = "engines"


def log_path(logs: Path, name: str) -> Path:
    """The file that keeps what the engine of this model said; older lines are in the same name with `.1` after it."""
    return logs / (re.sub(r"[^A-Za-z0-9._-]", "-", name) + ".log")


def records_path(state: Path) -> Path:
    """The folder of a state folder that says which engine processes were started."""
    return state / _RECORDS


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where engines keep their sockets (a folder only its owner may open) and logs, and how long a start may take.

    `logs` lies in the state folder; beside it is written down which processes were started.
    """

    sockets: Path
    logs: Path
    start_timeout_seconds: float

    @property
    def records(self) -> Path:
        """Where it is written down which engine processes run."""
        return records_path(self.logs.parent)
