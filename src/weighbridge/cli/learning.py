"""Learning to route beside a gateway: in a child, whenever evals, outcomes or thumbs are newer than what was learnt.

Apart from `evidence`, which reads them: the gateway's process need not hold what only the child uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path

from weighbridge.cli import output
from weighbridge.cli.state_folders import ADDED, EVALS
from weighbridge.errors import WeighbridgeError
from weighbridge.gateway import PREDICTOR
from weighbridge.routing import newest_thumb
from weighbridge.routing.version import VERSION, embedding_of, version_of
from weighbridge.settings import PREFIX, Settings

# A child that learns takes the cores that nobody else wants.
_NICE = 10


def newest(state: Path) -> float:
    """When the newest evidence came, in seconds since 1970; 0 where there is none."""
    files = [*(state / EVALS).glob("*.jsonl"), *(state / ADDED).glob("*.jsonl.gz")]
    return max([newest_thumb(state) or 0.0, *(path.stat().st_mtime for path in files)])


def is_new(state: Path, embedding: str = "") -> bool:
    """Whether there is evidence that was not learnt from, or only with another embedding, or by another version, whose
    file cannot be read."""
    kept = state / PREDICTOR
    is_as_now = version_of(kept) == VERSION and embedding_of(kept) == embedding
    return newest(state) > (kept.stat().st_mtime if is_as_now else 0.0)


async def keep_learning(settings: Settings) -> None:
    """Learn in a child whenever there is something new, looking every so often, the first time at once; a gateway reads
    what was learnt by itself. What a child has to complain of is told."""
    while settings.route_learn_seconds:
        try:
            if await asyncio.to_thread(is_new, settings.state_path, settings.route_embedding):
                await _learn_in_child(settings)
        except (OSError, WeighbridgeError) as error:
            output.tell(f"learning to route failed: {error}")
        await asyncio.sleep(settings.route_learn_seconds)


async def _learn_in_child(settings: Settings) -> None:
    begun = time.monotonic()
    place = settings.state_path / PREDICTOR
    child = await asyncio.create_subprocess_exec(
        "nice", "-n", str(_NICE), sys.executable, "-m", "weighbridge", "route", "learn", "--predictor", str(place),
        env={
            **os.environ, f"{PREFIX}STATE_DIR": str(settings.state_path),
            f"{PREFIX}ROUTE_EMBEDDING": settings.route_embedding,
        },
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, complaint = await child.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        raise
    if child.returncode:
        output.tell(f"learning to route failed: {complaint.decode(errors='replace').strip()[:500]}")
    else:
        output.tell(f"learnt to route by new evidence in {time.monotonic() - begun:.1f} s")
