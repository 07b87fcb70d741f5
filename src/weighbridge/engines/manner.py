"""`Manner`: what an engine's server understands, and what it passes over without a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MESSAGES, COUNT_TOKENS, RESPONSES = "messages", "count_tokens", "responses"
APIS = frozenset({MESSAGES, COUNT_TOKENS, RESPONSES})
"""What a server may speak beside OpenAI's chat completions: Anthropic's messages and their counting, OpenAI's
responses."""


@dataclass(frozen=True, slots=True)
class Manner:
    """Of one model at one engine. As it is without arguments, nothing is known of it, and all is passed on."""

    speaks: frozenset[str] | None = None
    """Which of `APIS` it speaks as they are written; None: it is found out by asking."""
    heeds_named_tool: bool = True
    """Whether a `tool_choice` that names a function brings the call of that function and nothing else."""
    gives_choices: bool = True
    """Whether `n` choices come, each whole and rightly counted."""
    tells_tools: bool | None = None
    """Whether a model hears of a request's tools where its chat template has no place for them; None: unknown."""
    sees_images: bool | None = None
    """Whether it takes images; None: unknown."""
    tells_stop_word: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a request by which it says at which stop word it stopped."""
