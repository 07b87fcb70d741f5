"""`Surroundings`: what every engine that starts here shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where engines keep their sockets (a folder only its owner may open) and logs, and how long a start may take."""

    sockets: Path
    logs: Path
    start_timeout_seconds: float
