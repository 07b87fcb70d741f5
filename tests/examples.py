"""How many inputs hypothesis makes: a few for each run of the suite, many more by `make fuzz`."""

from __future__ import annotations

import os


def examples(usual: int) -> int:
    """So many of a test, times FUZZ_EXAMPLES where that is set."""
    return usual * int(os.environ.get("FUZZ_EXAMPLES", "1"))
