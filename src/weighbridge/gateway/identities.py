"""Which bytes a model is: the sha256 of its files, taken once and in the background: no request waits for it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weighbridge import hub
from weighbridge.errors import StateDamaged

_LOG = logging.getLogger("weighbridge")
_MOST_FILES = 512


class Identities:
    """What is known of each model's files: `sha256` with `basis` "sum", or without it `basis` "size and time"."""

    def __init__(self, files: Mapping[str, Sequence[Path]], state_path: Path, *, takes_sums: bool) -> None:
        self._files = files
        self._state_path = state_path
        self._takes_sums = takes_sums
        self._said: dict[str, tuple[list[dict[str, Any]], bool]] = {}
        self._is_stopped = False
        self._thread = threading.Thread(target=self._work, name="sums", daemon=True)
        if any(files.values()):
            self._thread.start()

    @property
    def said(self) -> Mapping[str, tuple[list[dict[str, Any]], bool]]:
        """What `of` says of models of which something became known."""
        return self._said

    def of(self, model: str) -> tuple[list[dict[str, Any]], bool]:
        """The model's files, and whether no more will become known of them."""
        said = self._said.get(model)
        return said if said is not None else (self._described(model, {}), not self._files.get(model))

    def close(self) -> None:
        """Take no more sums; one that is being taken is given up."""
        self._is_stopped = True
        if self._thread.is_alive():
            self._thread.join()

    def _described(self, model: str, sums: Mapping[Path, str]) -> list[dict[str, Any]]:
        described = []
        for path in self._files.get(model, ())[:_MOST_FILES]:
            entry: dict[str, Any] = {"name": path.name, "basis": "size and time"}
            with contextlib.suppress(OSError):
                status = path.stat()
                entry |= {"size_bytes": status.st_size, "modified_ns": status.st_mtime_ns}
            if path in sums:
                entry |= {"sha256": sums[path], "basis": "sum"}
            described.append(entry)
        return described

    def _work(self) -> None:
        """What was known before first, for all models; then what must be read."""
        try:
            sums = {
                path: known
                for paths in self._files.values()
                for path in paths
                if (known := self._known(path)) is not None
            }
            for model in self._files:
                self._tell(model, sums, is_final=not self._takes_sums)
            if self._takes_sums:
                _give_way()
                self._take(sums)
        except StateDamaged as error:
            _LOG.warning("sums of models' files are not known: %s", error)
            for model in self._files:
                self._tell(model, {}, is_final=True)

    def _take(self, sums: dict[Path, str]) -> None:
        for model, paths in self._files.items():
            for path in paths[:_MOST_FILES]:
                if path not in sums and path.is_file():
                    taken = hub.take_sha256(path, self._state_path, goes_on=lambda: not self._is_stopped)
                    if self._is_stopped:
                        return
                    if taken is not None:
                        sums[path] = taken
            self._tell(model, sums, is_final=True)

    def _tell(self, model: str, sums: Mapping[Path, str], *, is_final: bool) -> None:
        paths = self._files[model]
        self._said[model] = self._described(model, sums), is_final or all(path in sums for path in paths)

    def _known(self, path: Path) -> str | None:
        return hub.known_sha256(path, self._state_path) if path.is_file() else None


def _give_way() -> None:
    """Let this thread have only what nobody else wants of the processor, where the system can."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
