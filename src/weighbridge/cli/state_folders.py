"""Folders of the state folder that several commands know."""

from __future__ import annotations

EVALS = "evals"
"""Logs of evaluations."""
ADDED = "outcomes"
"""Outcomes that were added for the router to learn from."""
