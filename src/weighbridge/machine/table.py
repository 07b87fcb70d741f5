"""The table of known devices, devices.json: figures that makers state, each with its source; and names found in it.

Rates of 16-bit arithmetic are dense, and with 32-bit accumulation where the maker tells them apart.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weighbridge.figures import Basis, Figure

from .links import pcie
from .machine import Device, Link

_FILE = Path(__file__).with_name("devices.json")
# Words that say who made it or that it is a GPU, and no more.
_NOISE = frozenset(
    "nvidia amd intel apple geforce tesla gpu graphics generation edition corporation inc series accelerator".split()
)
# Words that people leave out. Tried only where the name with them is unknown.
_BRANDS = frozenset("rtx gtx rx radeon quadro instinct arc jetson".split())
_SAME = {"mobile": "laptop", "notebook": "laptop"}
_SIZE = re.compile(r"(?<![\w.])(\d{1,7}(?:\.\d{1,3})?)\s*g(?:i?b)?\b", re.ASCII)
# A driver reports less than the nominal size by what firmware and error correction take: up to an eighth (Tesla T4).
_SIZE_TOLERANCE = 0.15
# A driver's clock x width and the data sheet differ by a few percent; beyond a quarter one of them is wrong.
_DISAGREEMENT = 1.25


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A row of the table. Unknown is None, or no size."""

    name: str
    vendor: str
    kind: str
    """`gpu`, or `processor`: a computer without a GPU of note, whose main memory the row is about."""
    memory_gib: tuple[float, ...]
    """The sizes in GiB that it is sold with, for each GPU; none where any may be built in."""
    bandwidth: Figure | None
    half_flops: Figure | None
    target: str | None
    """NVIDIA's compute capability or AMD's gfx target."""
    power_watts: Figure | None
    link: Link | None
    peer_link: Link | None
    unified: bool
    gpus: int
    """How many devices one board shows."""
    cores: int | None
    aliases: tuple[str, ...]
    products: tuple[str, ...]
    """Computers that it is built into."""
    pci: tuple[str, ...]
    """Vendor and device on the PCI bus, in hexadecimal."""
    year: int | None
    source: str


def _stated(value: float | None, scale: float, source: str) -> Figure | None:
    return None if value is None else Figure(float(round(value * scale)), Basis.STATED, source)


def _half(row: dict[str, Any], sources: dict[str, str]) -> Figure | None:
    value = row.get("half_tflops")
    if value is None:
        return None
    derived = row.get("half_source")
    basis = Basis.COMPUTED if derived else Basis.STATED
    return Figure(float(round(value * 1e12)), basis, sources[derived or row["source"]])


def _link(row: dict[str, Any]) -> Link | None:
    found = re.fullmatch(r"PCIe (\d)\.0 x(\d+)", row.get("link", ""))
    return pcie(int(found[1]), int(found[2])) if found else None


def _row(row: dict[str, Any], sources: dict[str, str]) -> KnownDevice:
    source = sources[row["source"]]
    peer = Link(row["peer_link"], _stated(row["peer_gb_s"], 1e9, source)) if "peer_link" in row else None
    return KnownDevice(
        name=row["name"],
        vendor=row["vendor"],
        kind=row["kind"],
        memory_gib=tuple(row["memory_gib"]),
        bandwidth=_stated(row["bandwidth_gb_s"], 1e9, source),
        half_flops=_half(row, sources),
        target=row.get("target"),
        power_watts=_stated(row.get("power_w"), 1, source),
        link=_link(row),
        peer_link=peer,
        unified=row.get("unified", False),
        gpus=row.get("gpus", 1),
        cores=row.get("cores"),
        aliases=tuple(row.get("aliases", ())),
        products=tuple(row.get("products", ())),
        pci=tuple(row.get("pci", ())),
        year=row.get("year"),
        source=source,
    )


@functools.cache
def known() -> tuple[KnownDevice, ...]:
    """Every row of the table."""
    data = json.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(_row(row, data["sources"]) for row in data["rows"])


def _words(text: str) -> list[str]:
    # What stands in brackets is a chip's code name or a sign: "(RADV NAVI31)", "(TM)".
    plain = re.sub(r"\([^()]*\)", " ", text.lower())
    words = [_SAME.get(word, word) for word in re.findall(r"[a-z]+|[0-9]+", plain)]
    return [word for word in words if word not in _NOISE]


def _key(words: Iterable[str]) -> str:
    return "".join(words)


def _short(words: Iterable[str]) -> str:
    return _key(word for word in words if word not in _BRANDS)


def _names(row: KnownDevice) -> Iterable[str]:
    yield row.name
    yield from row.aliases
    yield from row.products
    for product in row.products:
        yield f"{product} {row.name}"
        yield f"{row.name} {product}"
        yield product.split()[0]


@functools.cache
def _index() -> tuple[dict[str, tuple[KnownDevice, ...]], dict[str, tuple[KnownDevice, ...]]]:
    full: dict[str, dict[int, KnownDevice]] = {}
    short: dict[str, dict[int, KnownDevice]] = {}
    for number, row in enumerate(known()):
        for name in _names(row):
            words = _words(name)
            full.setdefault(_key(words), {})[number] = row
            short.setdefault(_short(words), {})[number] = row
    return (
        {key: tuple(rows.values()) for key, rows in full.items()},
        {key: tuple(rows.values()) for key, rows in short.items() if key},
    )


def nearest(text: str) -> list[str]:
    """The names of a few rows that look most like what somebody typed; maker, brand and size do not count."""
    short = _index()[1]
    wanted = _short(_words(_SIZE.sub(" ", text.lower())))
    keys = difflib.get_close_matches(wanted, short, n=4, cutoff=0.6)
    return list(dict.fromkeys(short[key][0].name for key in keys))


def named(text: str) -> tuple[tuple[KnownDevice, ...], float | None]:
    """The rows that a name may mean, and the size in GiB that the name tells (by custom its `GB` are GiB).

    The words of the name in their order, whatever the spaces, with or without maker and brand; a size narrows the rows
    to those sold with it. No rows if it is unknown, or not sold with that size.
    """
    found = _find(text)
    if found:
        return found, None
    sizes = [float(size) for size in _SIZE.findall(text.lower())]
    if len(set(sizes)) != 1:
        return (), None
    rows = _find(_SIZE.sub(" ", text.lower()))
    return tuple(row for row in rows if not row.memory_gib or sizes[0] in row.memory_gib), sizes[0]


def without_size(text: str) -> tuple[KnownDevice, ...]:
    """The rows that a name may mean, whatever size it tells."""
    return _find(_SIZE.sub(" ", text.lower()))


def _find(text: str) -> tuple[KnownDevice, ...]:
    full, short = _index()
    words = _words(text)
    return full.get(_key(words), ()) or short.get(_short(words), ())


def slowness(row: KnownDevice) -> tuple[float, float, float]:
    """What orders rows from the slowest and smallest up."""
    return (
        row.bandwidth.value if row.bandwidth else 0.0,
        min(row.memory_gib, default=0.0),
        row.half_flops.value if row.half_flops else 0.0,
    )


def _fits(row: KnownDevice, memory_gib: float) -> bool:
    return any(abs(memory_gib - size) <= _SIZE_TOLERANCE * size for size in row.memory_gib)


def recognise(name: str, vendor: str, memory_bytes: int) -> KnownDevice | None:
    """The row of a device that a driver named so; the slowest of those with its size, if the name leaves it open."""
    rows = [row for row in (_find(name) or without_size(name)) if row.kind == "gpu" and row.vendor == vendor]
    sized = [row for row in rows if _fits(row, memory_bytes / 2**30)]
    # A size that nobody sells (a rebuilt card, a part of main memory) tells nothing, where there is but one row or
    # any may be built in.
    candidates = sized or [row for row in rows if row.unified or len(rows) == 1]
    return min(candidates, key=slowness, default=None)


def by_pci(identity: str) -> tuple[KnownDevice, ...]:
    """The rows with this vendor and device on the PCI bus: `8086:56a0`."""
    return tuple(row for row in known() if identity in row.pci)


def surer(computed: Figure | None, stated: Figure | None) -> Figure | None:
    """The computed figure, unless the stated one contradicts it by more than a quarter: then the lower of both."""
    if computed is None or stated is None:
        return computed or stated
    low, high = sorted((computed, stated), key=lambda figure: figure.value)
    if high.value <= _DISAGREEMENT * low.value:
        return computed
    return replace(low, source=f"{low.source}; {high.source} would be {high.value:.4g}")


def complete(device: Device, row: KnownDevice | None) -> Device:
    """The device, with what its driver did not say taken from its row."""
    if row is None:
        return device
    return replace(
        device,
        compute_capability=device.compute_capability or row.target,
        bandwidth=surer(device.bandwidth, row.bandwidth),
        half_flops=device.half_flops or row.half_flops,
        link=device.link or row.link,
        power_watts=device.power_watts or row.power_watts,
        unified=device.unified or row.unified,
    )
