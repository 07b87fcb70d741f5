"""`pcie()`: a PCI Express link by generation and lanes."""

from __future__ import annotations

from weighbridge.figures import Basis, Figure

from .machine import Link

# Bytes a second and lane in one direction after line coding: 2.5 and 5 GT/s at 8b/10b, 8 to 32 GT/s at 128b/130b,
# 64 GT/s in flits of 242 bytes of 256 (PCI-SIG, PCI Express base specification).
_LANE = {1: 250e6, 2: 500e6, 3: 984.6e6, 4: 1969.2e6, 5: 3938.5e6, 6: 7562.5e6}


def pcie(generation: int, lanes: int) -> Link:
    """The link, with the rate that its wires give: PCIe 4.0 x16 carries 31.5 GB/s in one direction."""
    name = f"PCIe {generation}.0 x{lanes}"
    if generation not in _LANE:
        return Link(name)
    return Link(name, Figure(_LANE[generation] * lanes, Basis.COMPUTED, "lanes x line rate after coding"))
