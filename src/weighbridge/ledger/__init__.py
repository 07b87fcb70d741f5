"""The record of what was asked and answered: append-only, each row chained to the one before it by a hash.

`Ledger.open()` writes, `rows()` and `last()` read, `verify()` proves that nothing was changed since.
"""

from .following import follow
from .reading import folder_of, heads, last, rows
from .row import Head, Row
from .served import Fields, Served, served_of
from .verifying import Problem, Verdict, verify
from .writing import Keep, Ledger

__all__ = [
    "Fields",
    "Head",
    "Keep",
    "Ledger",
    "Problem",
    "Row",
    "Served",
    "Verdict",
    "folder_of",
    "follow",
    "heads",
    "last",
    "rows",
    "served_of",
    "verify",
]
