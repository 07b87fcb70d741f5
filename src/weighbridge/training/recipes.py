"""The recipes by which the bundled specialists were made."""

from __future__ import annotations

from .network import Shape
from .train import Recipe

RECIPES = {
    "arithmetic": Recipe(
        "arithmetic",
        cycles=(5000, 1500),
        shape=Shape(vocabulary_size=768, embedding_length=128, feed_forward_length=384, head_count=4, head_count_kv=4),
    ),
    "extract": Recipe(
        "extract",
        cycles=(2400, 1200),
        tokens_a_step=3072,
        short_length=192,
        shape=Shape(vocabulary_size=768, embedding_length=192, feed_forward_length=512, head_count=6, head_count_kv=6),
    ),
}
