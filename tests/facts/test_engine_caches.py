"""Layers read from a GGUF header keep what llama.cpp allocates: files of many architectures, and the engine's own log.

The log gives MiB with two decimals, so contexts are long, and sequences many where states are kept: one value a token
more or less shows in it, and of a state a handful, where any other length would make it differ by far more.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.facts.gguf_families import FAMILIES, Cache, Engine, Keys, Log
from weighbridge import facts
from weighbridge.facts.model_facts import Layer

CONTEXT = 16384
UBATCH = 512
MANY = 256


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Iterator[Engine]:
    engine = Engine(tmp_path_factory.mktemp("engine"))
    yield engine
    engine.close()


@pytest.mark.parametrize("name", FAMILIES)
def test_layers_keep_what_the_engine_allocates(engine, tmp_path, name):
    family = FAMILIES[name]
    path = engine.write(tmp_path / f"{family.architecture}.gguf", family)
    layers = facts.read(path).layers
    has_states = any(layer.state_bytes for layer in layers)
    # MiniMax-M3's indexers have room for values, which we count with their keys.
    index_values = family.keys["attention.value_length"] if family.architecture == "minimax-m3" else 0

    for context, parallel in [(CONTEXT, 1), (CONTEXT, 2)] + [(256, MANY)] * has_states:
        log = engine.load(path, context, parallel)
        assert not log.error, log.error
        assert kept(log, family.keys) == expected(layers, context, parallel, index_values)
        assert log.states == expected_states(layers, parallel)
        assert log.gathered == sum(layer.recurrent_state for layer in layers if layer.tokens_per_entry > 1)


def kept(log: Log, keys: Keys) -> list[Cache]:
    """The engine's caches; it makes empty ones for layers without heads."""
    heads = keys.get("attention.head_count_kv")
    empty = {layer for layer, count in enumerate(heads) if count == 0} if isinstance(heads, list) else set()
    caches = [
        cache._replace(layers=tuple(layer for layer in cache.layers if layer not in empty)) for cache in log.caches
    ]
    return sorted(cache for cache in caches if cache.layers)


def expected(layers: tuple[Layer, ...], context: int, parallel: int, index_values: int) -> list[Cache]:
    """The caches that our layers amount to: the engine makes one for each kind, and one for indexers."""
    cells = {}
    for layer in layers:
        # Beside a window the engine holds what one step computes; it rounds such cells up to 256.
        window = min(context, layer.window_tokens + UBATCH) if layer.window_tokens else None
        cells[layer] = (_round_up(window) if window else context, _round_up(-(-context // layer.tokens_per_entry)))
    caches = []
    for count in {whole for whole, _ in cells.values()}:
        chosen = {number: layer for number, layer in enumerate(layers) if cells[layer][0] == count}
        caches.append(_cache(chosen, count, parallel))
    for ratio in {layer.tokens_per_entry for layer in layers}:
        chosen = {number: layer for number, layer in enumerate(layers) if layer.tokens_per_entry == ratio}
        entries = _round_up(-(-context // ratio))
        if ratio > 1:
            caches.append(_cache(chosen, entries, parallel))
        indexed = {
            number: Layer("", layer.index_keys - index_values, index_values)
            for number, layer in chosen.items()
            if layer.index_keys
        }
        caches.append(_cache(indexed, entries, parallel))
    return sorted(cache for cache in caches if cache.layers)


def expected_states(layers: tuple[Layer, ...], parallel: int) -> Cache | None:
    """The recurrent states that our layers amount to."""
    chosen = {number: layer for number, layer in enumerate(layers) if layer.state_bytes and layer.tokens_per_entry == 1}
    convolutions = 4 * parallel * sum(layer.convolution_state for layer in chosen.values())
    states = 4 * parallel * sum(layer.recurrent_state for layer in chosen.values())
    return Cache(parallel, tuple(chosen), parallel, _mib(convolutions), _mib(states)) if chosen else None


def _cache(layers: dict[int, Layer], cells: int, parallel: int) -> Cache:
    """One cache of 16-bit values for those of these layers that keep any."""
    keeping = {number: layer for number, layer in layers.items() if layer.keys or layer.values}
    keys = 2 * cells * parallel * sum(layer.keys for layer in keeping.values())
    values = 2 * cells * parallel * sum(layer.values for layer in keeping.values())
    return Cache(cells, tuple(keeping), parallel, _mib(keys), _mib(values))


def _round_up(cells: int) -> int:
    return -(-cells // 256) * 256


def _mib(count: int) -> str:
    return f"{count / 2**20:.2f}"
