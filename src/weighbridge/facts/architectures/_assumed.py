"""What several families' `complete` share: the reference implementation's values where a config leaves keys out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weighbridge.facts.config import Config

MOST_LAYERS = 4096


def assume(config: Config, **values: Any) -> Config:
    """The config with these values where a key is missing; a null that is written out stays."""
    return config.replace(**{key: value for key, value in values.items() if key not in config.data})


def within(config: Config, name: str, change: Callable[[Config], Config]) -> Config:
    """The config with one of its sections changed."""
    return config.replace(**{name: change(config.section(name)).data})


def text_of(config: Config, *, tied: bool = False) -> Config:
    """The text decoder's section, with the output tied as the whole says, or else as the section does."""
    text = config.section("text_config") if config.has("text_config") else config
    tied = config.flag("tie_word_embeddings", default=text.flag("tie_word_embeddings", default=tied))
    return text.replace(tie_word_embeddings=tied)


def layer_count(config: Config) -> int:
    """How many layers, within bounds."""
    return config.whole("num_hidden_layers", most=MOST_LAYERS)


def layer_types(config: Config, words: dict[str, str] | None = None) -> list[str]:
    """One word a layer; `words` are older ones with what they mean."""
    found = config.list("layer_types", most=MOST_LAYERS)
    if found is None or len(found) != layer_count(config) or not all(isinstance(word, str) for word in found):
        raise config.wrong("layer_types", found, f"{layer_count(config):,} words, one a layer")
    return [(words or {}).get(word, word) for word in found]


def kind_of(config: Config, layer: int) -> str:
    """The word for one layer."""
    found = config.list("layer_types", most=MOST_LAYERS) or []
    if layer >= len(found) or not isinstance(found[layer], str):
        raise config.wrong("layer_types", found, f"{layer_count(config):,} words, one a layer")
    return str(found[layer])


def each(config: Config, interval: int, word: str, otherwise: str) -> list[str]:
    """Layer types: `word` at each `interval`th layer."""
    return [otherwise if interval < 1 or (layer + 1) % interval else word for layer in range(layer_count(config))]


def pair(config: Config, key: str) -> tuple[int, int]:
    """Height and width: two numbers, or one for both."""
    if isinstance(config.data.get(key), list):
        sides = config.numbers(key) or []
        if len(sides) != 2 or not all(sides):
            raise config.wrong(key, sides, "two whole numbers from 1")
        return sides[0], sides[1]
    side = config.whole(key, least=1)
    return side, side


def within_text(config: Config, change: Callable[[Config], Config]) -> Config:
    """The config with its text section changed, or all of it where the text has none of its own."""
    return within(config, "text_config", change) if config.has("text_config") else change(config)


def recurrent(config: Config, *, conv: int, state: int) -> Config:
    """The config with what each recurrent layer keeps a sequence: values of convolutions, and of the state."""
    return config.replace(conv_state_values=conv, recurrent_state_values=state)
