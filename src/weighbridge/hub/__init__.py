"""Where a model's files are, on this machine or elsewhere; fetched, verified, and kept in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.later import later

if TYPE_CHECKING:
    from .fetching import fetch
    from .finding import find
    from .listing import Stored, stored
    from .model_files import File, ModelFiles, Progress
    from .pack_format import Packed
    from .packing import pack
    from .removal import Removal, choose_stored, plan_removal, remove
    from .sums import known_sha256, take_sha256
    from .unpacking import unpack
    from .updates import Update, newer
    from .usage import last_used, touch

__all__ = [
    "File",
    "ModelFiles",
    "Packed",
    "Progress",
    "Removal",
    "Stored",
    "Update",
    "choose_stored",
    "fetch",
    "find",
    "known_sha256",
    "last_used",
    "newer",
    "pack",
    "plan_removal",
    "remove",
    "stored",
    "take_sha256",
    "touch",
    "unpack",
]

# A gateway needs the sums of files, and nothing that fetches or packs.
__getattr__ = later(
    __name__,
    {
        "fetching": "fetch",
        "finding": "find",
        "listing": "Stored stored",
        "model_files": "File ModelFiles Progress",
        "pack_format": "Packed",
        "packing": "pack",
        "unpacking": "unpack",
        "removal": "Removal choose_stored plan_removal remove",
        "sums": "known_sha256 take_sha256",
        "updates": "Update newer",
        "usage": "last_used touch",
    },
)
