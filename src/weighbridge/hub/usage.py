"""When a model was last used: whoever loads one says so, and `weigh ls` shows it."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

from weighbridge.store import Store

from .finding import state_folder
from .model_files import ModelFiles


def touch(model: str | ModelFiles, state_dir: Path | None = None) -> None:
    """Note that the model, by its `source`, is used now. Raises StateDamaged."""
    names = {model} if isinstance(model, str) else {model.source}
    if isinstance(model, ModelFiles) and model.is_here:
        # The same file may be named in several ways.
        names.add(str(model.first.resolve()))
    with Store(state_folder(state_dir)) as store:
        for name in names:
            store.write("INSERT OR REPLACE INTO models_used VALUES (?, ?)", (name, time.time()))


def last_used(state_dir: Path | None = None) -> dict[str, datetime.datetime]:
    """When each model was last used, by its `source`, and by the path of what was loaded."""
    with Store(state_folder(state_dir)) as store:
        rows = store.rows("SELECT source, used_at FROM models_used")
    return {source: datetime.datetime.fromtimestamp(used_at, datetime.UTC) for source, used_at in rows}
