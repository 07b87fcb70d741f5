"""`engine_environment()`: what processes that run an engine find in their environment."""

from __future__ import annotations

from collections.abc import Mapping

# Two threads of OpenMP that spin while they wait run a hundred times slower on a busy machine; and an assertion of
# ggml would start a debugger for 12 s.
_ADDED = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "GGML_NO_BACKTRACE": "1"}
# Our settings, keys among them, are no business of an engine.
_OURS = "WEIGHBRIDGE_"


def engine_environment(given: Mapping[str, str], **more: str) -> dict[str, str]:
    """The variables that are given (`os.environ`) but for our settings, with those that every engine needs, and
    more."""
    return {name: value for name, value in given.items() if not name.startswith(_OURS)} | _ADDED | more
