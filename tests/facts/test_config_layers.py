"""What each layer keeps, read from configs: the sums are those of the families' own papers and engines."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.facts.test_families import TRUTH
from weighbridge import facts

# The layers of a family's truth config: how many of which kind, with keys, values, index keys, window, convolution
# memory, state and tokens an entry.
EXPECTED = {
    # 8 KV heads x 128
    "qwen3": {("grouped_query", 1024, 1024, 0, None, 0, 0, 1): 36},
    # every other layer sees 128 tokens; 8 x 64
    "gpt_oss": {("sliding_window", 512, 512, 0, 128, 0, 0, 1): 12, ("grouped_query", 512, 512, 0, None, 0, 0, 1): 12},
    # a latent of 512 and 64 rotary values
    "deepseek_v3": {("latent", 576, 0, 0, None, 0, 0, 1): 61},
    # and an indexer's key of 128
    "deepseek_v32": {("sparse_index", 576, 0, 128, None, 0, 0, 1): 61},
    # one head of 512 serves as key and value; windows of 128 beside an entry for 4 or 128 tokens
    "deepseek_v4": {
        ("compressed", 512, 0, 0, 128, 0, 0, 128): 20,
        ("compressed", 512, 0, 128, 128, 0, 0, 4): 21,
        ("sliding_window", 512, 0, 0, 128, 0, 0, 1): 2,
    },
    # 3 x (2 x 16 x 128 + 32 x 128) convolved, 32 x 128 x 128 of state
    "qwen3_5_moe": {
        ("recurrent", 0, 0, 0, None, 24576, 524288, 1): 30, ("grouped_query", 512, 512, 0, None, 0, 0, 1): 10,
    },
    # 3 x (4096 + 2 x 8 x 128) convolved, 64 x 64 x 128 of state
    "nemotron_h": {
        ("recurrent", 0, 0, 0, None, 18432, 524288, 1): 23, ("none", 0, 0, 0, None, 0, 0, 1): 23,
        ("grouped_query", 256, 256, 0, None, 0, 0, 1): 6,
    },
    # 8 x 256 in windows, 2 x 512 elsewhere
    "gemma4": {
        ("sliding_window", 2048, 2048, 0, 1024, 0, 0, 1): 25, ("grouped_query", 1024, 1024, 0, None, 0, 0, 1): 5,
    },
    # three layers of four see chunks of 8192
    "llama4": {
        ("chunked", 1024, 1024, 0, 8192, 0, 0, 1): 36, ("grouped_query", 1024, 1024, 0, None, 0, 0, 1): 12,
    },
    # layers with a window have more heads; values are shorter than keys
    "mimo_v2_flash": {
        ("sliding_window", 1536, 1024, 0, 128, 0, 0, 1): 39, ("grouped_query", 768, 512, 0, None, 0, 0, 1): 9,
    },
    # two columns of 2048 remembered
    "lfm2": {("recurrent", 0, 0, 0, None, 4096, 0, 1): 10, ("grouped_query", 512, 512, 0, None, 0, 0, 1): 6},
}  # fmt: skip


@pytest.mark.parametrize("family", EXPECTED)
def test_layers_are_those_of_the_family(tmp_path, family):
    config = json.loads((TRUTH / f"{family}.json").read_text())["config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = Counter(
        (x.kind, x.keys, x.values, x.index_keys, x.window_tokens, x.convolution_state, x.recurrent_state,
         x.tokens_per_entry)
        for x in facts.read(tmp_path).layers
    )  # fmt: skip

    assert dict(found) == EXPECTED[family]


def test_layers_that_share_keep_nothing_and_both_kinds_keep_both(tmp_path):
    for family, kinds in (("gemma3n", {"shared_kv", "sliding_window", "grouped_query"}), ("falcon_h1", None)):
        config = json.loads((TRUTH / f"{family}.json").read_text())["config"]
        (tmp_path / "config.json").write_text(json.dumps(config))
        layers = facts.read(tmp_path).layers
        if kinds:
            assert {layer.kind for layer in layers} == kinds
            assert all(layer.cache_bytes(9999) == 0 for layer in layers if layer.kind == "shared_kv")
        else:
            assert all(layer.keys and layer.recurrent_state for layer in layers)


def test_every_family_says_what_its_layers_keep(tmp_path):
    silent = []
    for path in sorted(TRUTH.glob("*.json")):
        config = json.loads(path.read_text())["config"]
        (tmp_path / "config.json").write_text(json.dumps(config))
        found = facts.read(tmp_path)
        if (
            not found.layers
            and "_class_name" not in config
            and config.get("model_type") not in ("t5", "clip_text_model")
        ):
            silent.append(path.stem)

    assert silent == []


def test_a_compressed_layer_keeps_its_window_and_an_entry_for_several_tokens(tmp_path):
    config = json.loads((TRUTH / "deepseek_v4.json").read_text())["config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    fine = next(layer for layer in facts.read(tmp_path).layers if layer.tokens_per_entry == 4)

    assert fine.cache_bytes(8192) == 2 * (128 * 512 + 8192 // 4 * (512 + 128))
    assert fine.kv_bytes_per_token == 2 * (512 + 128) // 4
