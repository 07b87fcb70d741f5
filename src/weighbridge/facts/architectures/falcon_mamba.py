"""Falcon Mamba: Mamba, whose inner norms have no weights."""

from __future__ import annotations

from weighbridge.facts.architectures.mamba import complete as complete, parts as parts
