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
    source = model.source if isinstance(model, ModelFiles) else model
    with Store(state_folder(state_dir)) as store:
        store.write("INSERT OR REPLACE INTO models_used VALUES (?, ?)", (source, time.time()))


def last_used(state_dir: Path | None = None) -> dict[str, datetime.datetime]:
    """When each model was last used, by its `source`."""
    with Store(state_folder(state_dir)) as store:
        rows = store.rows("SELECT source, used_at FROM models_used")
    return {source: datetime.datetime.fromtimestamp(used_at, datetime.UTC) for source, used_at in rows}
