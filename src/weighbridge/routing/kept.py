"""What was learnt in one file: numbers and names, no code and no prompt."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from weighbridge.errors import BadSetting
from weighbridge.whole_files import write_whole

from .version import VERSION

Arrays = dict[str, NDArray[Any]]
Made = TypeVar("Made")

_MOST_FILE_BYTES = 256 << 20
EMBEDDED = "embedded_"
"""What names begin with of that which was learnt with an embedding too."""
# Kept in two bytes each.
_SHORT = ("rare_words", "rare_pieces", "weights", "told_weights", f"{EMBEDDED}weights", f"{EMBEDDED}told_weights")
_UNKNOWN_MAY_BE = ("costs", "seconds")
_AGAIN = "make it anew: weigh route learn DATA"


def write(path: Path, about: dict[str, Any], arrays: Arrays) -> None:
    """Replaced in one step. BadSetting where it cannot be written."""
    kept = {name: array.astype(np.float16) if name in _SHORT else array for name, array in arrays.items()}
    text = np.frombuffer(json.dumps({**about, "version": VERSION}, ensure_ascii=False).encode(), np.uint8)
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, about=text, **kept)
    try:
        write_whole(path, packed.getvalue())
    except OSError as error:
        raise BadSetting(f"{path}: cannot be written: {error.strerror}", hint="choose another folder") from error


def read(path: Path, make: Callable[[dict[str, Any], Arrays], Made]) -> Made:
    """What is made of `write`'s file; no code in it runs. BadSetting for one that is damaged, foreign or of another
    version, and where `make` finds that it does not fit together (ValueError and its like)."""
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > _MOST_FILE_BYTES:
            raise BadSetting(
                f"{path}: {size:,} bytes, at most {_MOST_FILE_BYTES:,} are read", hint="this is no predictor's file"
            )
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        about = json.loads(arrays.pop("about").tobytes())
        if about.get("version") != VERSION:
            raise BadSetting(f"a predictor of version {about.get('version')!r}, expected {VERSION}", hint=_AGAIN)
        for name, array in arrays.items():
            if array.dtype.kind != "f" or (name not in _UNKNOWN_MAY_BE and not np.isfinite(array).all()):
                raise ValueError(f"{name} holds no finite numbers")
        return make(about, {name: each.astype(np.float32) if name in _SHORT else each for name, each in arrays.items()})
    except BadSetting:
        raise
    except FileNotFoundError:
        raise BadSetting(f"{path}: there is no such file", hint="weigh route learn DATA makes one") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile, EOFError,
            RecursionError, OverflowError, NotImplementedError, RuntimeError) as error:  # fmt: skip
        raise BadSetting(f"{path}: no file of a predictor, or a damaged one: {error}", hint=_AGAIN) from error
