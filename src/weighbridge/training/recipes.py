"""The recipes by which the bundled specialists were made."""

from __future__ import annotations

from .network import Shape
from .train import Recipe

RECIPES = {
    "arithmetic": Recipe(
        "arithmetic",
        steps=3000,
        short_length=96,
        shape=Shape(
            vocabulary_size=768, embedding_length=192, feed_forward_length=512, head_count=3, head_count_kv=3
        ),
    ),
    "extract": Recipe(
        "extract",
        steps=2000,
        short_length=192,
        shape=Shape(
            vocabulary_size=768, embedding_length=256, feed_forward_length=512, head_count=4, head_count_kv=4
        ),
    ),
}
