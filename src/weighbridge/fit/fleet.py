"""`fleet()`: decode speed of many pairs of a model and a device at once, in arrays."""

from __future__ import annotations

from typing import Any

from .data_sheets import ATTENTION_ON_A_THREAD, EFFICIENCIES, VOCABULARY_SECONDS


def fleet(
    *,
    active_bytes: Any,
    is_mixture: Any,
    cache_bytes: Any,
    attended: Any,
    block_count: Any,
    vocabulary: Any,
    bandwidth: Any,
    kind: Any,
    cores: Any = 1,
    thread_seconds: Any = 0.0,
) -> tuple[Any, Any]:
    """Decode speed of one sequence, for many pairs of a model and a device known by its data sheet: low and high.

    Arguments are NumPy arrays that broadcast. `active_bytes` are the weights that one token reads
    (`Touched.active_bytes()`), `cache_bytes` what it reads of the cache at the depth asked about, and `kind` is each
    device's row of `EFFICIENCIES` by its number. On processors alone count `cores`, `thread_seconds`
    (`Touched.thread_seconds()`) and `attended` (`Touched.attended()` at that depth). Where bandwidth is NaN or 0, the
    answer is NaN. The same as `estimate` for a model whole on one device, which the tests hold it to.
    """
    # Imported here: single plans do without.
    import numpy as np

    rows = list(EFFICIENCIES.values())
    kind = np.asarray(kind)
    share = np.array([row.bandwidth for row in rows])[kind]
    layer = np.array([row.layer for row in rows])[kind]
    mixture = np.array([row.mixture for row in rows])[kind]
    low = np.array([row.spread[0] for row in rows])[kind]
    high = np.array([row.spread[1] for row in rows])[kind]
    on_processor = kind == list(EFFICIENCIES).index("processor")
    peak = np.where(np.asarray(bandwidth) > 0, bandwidth, np.nan)
    read = np.asarray(active_bytes) + cache_bytes
    computing = np.where(on_processor, np.asarray(thread_seconds) / cores, 0.0)
    seconds = np.maximum(active_bytes / (peak * share), computing) + cache_bytes / (peak * share)
    seconds = seconds + block_count * layer * np.where(is_mixture, mixture, 1.0)
    seconds = seconds + np.asarray(vocabulary) * VOCABULARY_SECONDS
    seconds = seconds + np.where(on_processor, np.asarray(attended) * ATTENTION_ON_A_THREAD[0] / cores, 0.0)
    roof = peak / read
    return np.minimum(low / seconds, roof), np.minimum(high / seconds, roof)
