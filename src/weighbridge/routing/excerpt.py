"""What of a prompt is looked at: its head and its tail. Apart, so that who only keeps prompts needs no arrays."""

from __future__ import annotations

HEAD_LETTERS = TAIL_LETTERS = 1200


def excerpt(prompt: str) -> str:
    """The prompt, or of a long one its head and tail in two lines: the task stands in one of them."""
    if len(prompt) <= HEAD_LETTERS + TAIL_LETTERS:
        return prompt
    return f"{prompt[:HEAD_LETTERS]}\n{prompt[-TAIL_LETTERS:]}"
