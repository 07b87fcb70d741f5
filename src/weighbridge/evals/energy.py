"""`EnergyMeter`: joules that processors and GPUs have used, from the counters that they have, and from nothing else.

A counter measures all that runs on its device, whoever asked for it. Where there is none, the energy is not known: it
is never made up from a load or a rated power.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

POWERCAP = Path("/sys/class/powercap")
# What the driver makes, on Linux and within Windows.
_NVIDIA = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
# The counter of a package runs over after 262,144 J (Linux, power/powercap/powercap.rst: max_energy_range_uj), which at
# 300 W is a quarter of an hour: it is read well within that.
_READ_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Energy:
    """What was used between two moments."""

    seconds: float
    joules: float
    """Of all the counters together."""
    idle_watts: float | None
    """What the same counters showed while nothing was asked; None: that was not measured."""
    counters: tuple[str, ...]
    """Their names: `package-0`, `dram`, `NVIDIA H200 0`."""

    @property
    def idle_joules(self) -> float | None:
        """What the machine would have used in that time without the work; None where it was not measured."""
        return None if self.idle_watts is None else self.idle_watts * self.seconds

    @property
    def above_idle_joules(self) -> float | None:
        """What the work added; at least 0."""
        return None if self.idle_joules is None else max(0.0, self.joules - self.idle_joules)


@dataclass(slots=True)
class _Counter:
    """One counter, and what it has counted since it was first read."""

    name: str
    last: int
    """Microjoules or millijoules, as it tells them."""
    unit_joules: float
    range: int | None = None
    """After which it begins from 0 again; None: it does not."""
    path: Path | None = None
    handle: Any = None
    joules: float = 0.0
    is_lost: bool = False
    """It stopped telling: its energy is not known any more."""

    def read(self, nvml: Any) -> None:
        """Take up what it counted since the last time."""
        try:
            now = (
                int(self.path.read_text()) if self.path else int(nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle))
            )
        except Exception:  # a driver's own errors, a file that is gone: the counter tells no more
            self.is_lost = True
            return
        gone = now - self.last
        if gone < 0:
            gone += self.range or 0
        self.is_lost = self.is_lost or gone < 0
        self.joules += max(0, gone) * self.unit_joules
        self.last = now


@dataclass(slots=True)
class EnergyMeter:
    """The counters of this machine that may be read: Intel's and AMD's RAPL by powercap, NVIDIA's by NVML.

    Enter it to open them; `why_unknown` then says why there are none, where there are none.
    """

    powercap: Path = POWERCAP
    why_unknown: str = ""
    _counters: list[_Counter] = field(default_factory=list)
    _nvml: Any = None

    def __enter__(self) -> Self:
        why = [*self._open_rapl(), *self._open_nvml()]
        if not self._counters:
            self.why_unknown = "; ".join(why)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._nvml is not None:
            with contextlib.suppress(Exception):
                self._nvml.nvmlShutdown()
        self._counters.clear()

    @property
    def is_known(self) -> bool:
        """Whether there is a counter that tells."""
        return bool(self._counters) and not any(counter.is_lost for counter in self._counters)

    def joules(self) -> float:
        """Since the meter was opened; call it at least every minute or two, as counters run over."""
        for counter in self._counters:
            counter.read(self._nvml)
        return sum(counter.joules for counter in self._counters)

    async def idle_watts(self, seconds: float) -> float | None:
        """The power while nothing is asked of the machine by us: the mean over so many seconds. None: not known."""
        if not self.is_known:
            return None
        begun, before = time.monotonic(), self.joules()
        await asyncio.sleep(seconds)
        used = self.joules() - before
        return used / (time.monotonic() - begun) if self.is_known else None

    async def keep_reading(self) -> None:
        """Read on until cancelled, so that no counter runs over unseen."""
        while self.is_known:
            await asyncio.sleep(_READ_SECONDS)
            self.joules()

    def since(self, begun: float, joules_before: float, idle_watts: float | None) -> Energy | None:
        """What was used since a moment of `time.monotonic()`; None where a counter was lost."""
        used = self.joules() - joules_before
        if not self.is_known:
            return None
        return Energy(time.monotonic() - begun, used, idle_watts, tuple(counter.name for counter in self._counters))

    def _open_rapl(self) -> list[str]:
        """Packages, and memory beside them. A package counts its cores; `psys` counts packages again: both are left."""
        found, refused = 0, 0
        for zone in sorted(self.powercap.glob("*-rapl:*")):
            try:
                name = (zone / "name").read_text().strip()
                if not name.startswith("package") and name != "dram":
                    continue
                found += 1
                path = zone / "energy_uj"
                most = int((zone / "max_energy_range_uj").read_text())
                # Its last value is the range itself.
                self._counters.append(_Counter(name, int(path.read_text()), 1e-6, most + 1, path))
            except PermissionError:
                refused += 1
            except (OSError, ValueError):
                continue
        if refused:
            return [f"the {refused} RAPL counters may only be read by root (chmod a+r {self.powercap}/*/energy_uj)"]
        return [] if found else [f"no RAPL counter under {self.powercap}"]

    def _open_nvml(self) -> list[str]:
        if not any(path.exists() for path in _NVIDIA):
            return ["no NVIDIA driver"]
        # Imported here because a machine without the driver should not wait for it.
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError_LibraryNotFound:
            return ["no NVIDIA driver"]
        except pynvml.NVMLError as error:
            return [f"the NVIDIA driver does not answer: {error}"]
        self._nvml = pynvml
        why = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                name = f"{pynvml.nvmlDeviceGetName(handle)} {index}"
                now = int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            except pynvml.NVMLError as error:
                why.append(f"GPU {index} tells no energy: {error}")
                continue
            self._counters.append(_Counter(name, now, 1e-3, None, None, handle))
        return why
