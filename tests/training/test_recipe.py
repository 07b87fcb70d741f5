"""A recipe from generator to served file, in miniature. Needs the training extra: `pip install -e '.[train]'`."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[train]'")
pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install -e '.[train]'")

from weighbridge import facts
from weighbridge.training.card import make_card
from weighbridge.training.export import export
from weighbridge.training.network import Shape
from weighbridge.training.train import Recipe, train


def a_recipe() -> Recipe:
    shape = Shape(vocabulary_size=512, context_length=128, block_count=1, embedding_length=64, feed_forward_length=96)
    return Recipe("arithmetic", cycles=(12, 6), shape=shape, tokens_a_step=512, short_length=64)


def test_a_trained_network_becomes_a_file_that_the_engine_serves(tmp_path, gateway):
    heard = []
    specialist = train(a_recipe(), heard.append)
    path = tmp_path / "small.gguf"
    export(specialist, make_card("arithmetic"), path)
    found = facts.read(path)
    answer = (
        gateway(str(path))
        .client()
        .chat.completions.create(
            model="small", messages=[{"role": "user", "content": "1 + 1"}], max_tokens=4, temperature=0
        )
    )

    assert [progress.step for progress in heard] == [12, 18]
    assert found.parameters.total == sum(p.numel() for p in specialist.network.parameters())
    assert (found.quantization, found.context_length, found.vocabulary_size) == ("Q8_0", 128, 512)
    assert found.chat.thinking
    assert answer.usage.completion_tokens >= 1


def test_the_same_recipe_gives_the_same_weights():
    one, two = train(a_recipe()), train(a_recipe())

    for left, right in zip(one.network.parameters(), two.network.parameters(), strict=True):
        assert left.equal(right)
