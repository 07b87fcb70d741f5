"""`rank()`: which of many models fit a machine, at which quantization and context, and how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weighbridge.fit.data_sheets import EFFICIENCIES, efficiency_of
from weighbridge.fit.fleet import fleet
from weighbridge.fit.plan import COMFORTABLE
from weighbridge.fit.workload import Workload
from weighbridge.machine import Device, Machine

from .places import Places, fastest_first, places_of
from .table import Candidate, Table, tabulate


@dataclass(frozen=True, slots=True)
class Ranking:
    """Arrays by [row, context]: a row is one quantization of one candidate."""

    rows: tuple[tuple[int, int], ...]
    """For each row the candidate's number and the quantization's."""
    contexts: tuple[int, ...]
    need_bytes: Any
    share: Any
    """The largest share of a budget that is taken; over 1 it does not fit; infinite past a model's own context."""
    on_device: Any
    """Which share of what a token reads is on GPUs; the rest is in main memory: layers, or experts."""
    decode_low: Any
    """Tokens a second of one sequence, half of the context full; NaN where bandwidth is not known."""
    decode_high: Any

    def verdict(self, row: int, column: int) -> str:
        """`fits`, `tight` or `no`."""
        share = self.share[row, column]
        return "fits" if share <= COMFORTABLE else "tight" if share <= 1 else "no"


def rank(
    candidates: Sequence[Candidate] | Table,
    machine: Machine,
    contexts: Sequence[int] = (),
    workload: Workload | None = None,
) -> Ranking:
    """Every quantization of every candidate at every context on one machine.

    Places are looked for as `make_plan` does: on as few GPUs as hold everything, else with experts or layers in main
    memory. All layers are taken to be alike, and one more than counted to lie wherever that takes more. Speeds are
    those of `fleet`, parts added by their bytes.
    """
    import numpy as np

    table = candidates if isinstance(candidates, Table) else tabulate(candidates, contexts, workload)
    found = places_of(table, machine)
    share = np.where(table.allowed[table.owner], found.share, np.inf)
    low, high = _speeds(table, machine, found)
    return Ranking(table.rows, table.contexts, found.need, share, found.read, low, high)


def _speeds(table: Table, machine: Machine, found: Places) -> tuple[Any, Any]:
    """Tokens a second so placed: low and high."""
    import numpy as np

    common = {
        "active_bytes": table.active,
        "is_mixture": table.mixtures[table.owner][:, None],
        "cache_bytes": table.depths[table.owner],
        "attended": table.attended[table.owner],
        "block_count": table.blocks[table.owner][:, None],
        "vocabulary": table.vocabulary[table.owner][:, None],
    }
    cores = machine.processor.cores or 1
    thread = table.thread_seconds[table.owner][:, None] * table.active
    speeds = list(_fleet(machine, None, common, cores=cores, thread_seconds=thread))
    devices = fastest_first(machine)
    of_device = {id(device): _fleet(machine, device, common) for device in devices}
    with np.errstate(divide="ignore", invalid="ignore"):
        for end in (0, 1):
            on_host = 1 / speeds[end]
            seconds = on_host
            for count in range(1, len(devices) + 1):
                taken = devices[:count]
                room = sum(device.memory_free_bytes for device in taken) or 1
                # Each computes its part of the layers, one after the other.
                on_devices = sum(device.memory_free_bytes / room / of_device[id(device)][end] for device in taken)
                mixed = np.where(found.read >= 1, on_devices, found.read * on_devices + (1 - found.read) * on_host)
                seconds = np.where(found.devices == count, mixed, seconds)
            speeds[end] = 1 / seconds
    return speeds[0], speeds[1]


def _fleet(machine: Machine, device: Device | None, common: Mapping[str, Any], **more: Any) -> tuple[Any, Any]:
    memory = machine.memory
    figure = device.bandwidth if device else memory.bandwidth if memory else None
    kind = list(EFFICIENCIES).index(efficiency_of(device))
    return fleet(**common, bandwidth=figure.value if figure else float("nan"), kind=kind, **more)
