"""Where a model's files are, on this machine or elsewhere; fetched, verified, and kept in order."""

from .fetching import fetch
from .finding import find
from .listing import Stored, stored
from .model_files import File, ModelFiles, Progress
from .packing import Packed, pack, unpack
from .removal import Removal, choose_stored, plan_removal, remove
from .sums import known_sha256, take_sha256
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
