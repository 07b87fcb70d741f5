"""`python -m weighbridge.ledger FOLDER`: the verdict on a ledger as JSON, from a process that gives way to others."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

from .verifying import verify

os.nice(19)
verdict = verify(Path(sys.argv[1]))
json.dump({"untouched": verdict.is_untouched, **dataclasses.asdict(verdict)}, sys.stdout)
