"""`MachineFile`: a small JSON file in the folder of state, with an entry for each machine that the folder was on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.locks import locked
from weighbridge.whole_files import write_whole

# Larger than any that we wrote.
_LARGEST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class MachineFile:
    """One such file: its name, the number of its format, and of how many machines entries are kept."""

    name: str
    format: int
    most_machines: int

    def read(self, folder: Path) -> tuple[dict[str, Any], str | None]:
        """Entries by machine, the newest last, and why a file that is there is left aside; what an entry holds is not
        checked. One that is not there is just empty."""
        entries, _, trouble = self._read(folder)
        return entries, trouble

    def keep(self, folder: Path, machine: str, entry: dict[str, Any], *, waits: bool = True) -> Path:
        """Write the machine's entry in one step, beside those of others; the file that holds it.

        OSError where the folder cannot be written, or a later release wrote the file, which is not written over.
        BlockingIOError, which is one, where another process writes there and `waits` is not asked for.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        with locked(folder, waits=waits):
            entries, is_later, trouble = self._read(folder)
            if is_later:
                raise OSError(0, trouble)
            entries.pop(machine, None)
            entries[machine] = entry
            kept = dict(list(entries.items())[-self.most_machines :])
            write_whole(path, json.dumps({"format": self.format, "machines": kept}, indent=1) + "\n")
        return path

    def _read(self, folder: Path) -> tuple[dict[str, Any], bool, str | None]:
        """The same, and whether a later release wrote the file."""
        path = folder / self.name
        try:
            with path.open("rb") as file:
                text = file.read(_LARGEST_BYTES + 1)
            if len(text) > _LARGEST_BYTES:
                return {}, False, f"{path} is larger than {_LARGEST_BYTES:,} bytes and is left aside"
            data = json.loads(text)
        except FileNotFoundError:
            return {}, False, None
        except (OSError, ValueError, RecursionError) as error:
            return {}, False, f"{path} cannot be read and is left aside: {error}"
        if not isinstance(data, dict) or not isinstance(data.get("machines"), dict):
            return {}, False, f"{path} holds no entries by machine and is left aside"
        found = data.get("format")
        if found != self.format:
            is_later = isinstance(found, int) and found > self.format
            return {}, is_later, f"{path} has format {found}, expected {self.format}, and is left aside"
        return dict(data["machines"]), False, None
