"""Prompts as vectors of a static embedding: how they are read and made, when they count, and what happens without."""

from __future__ import annotations

import importlib.util
import json
import math
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tests.facts.hub_server import running_hub
from weighbridge.cli.learning import is_new
from weighbridge.cli.main import main
from weighbridge.errors import BadSetting
from weighbridge.gateway import PREDICTOR
from weighbridge.routing import Evidence, Outcome, Predictor, excerpt, learn
from weighbridge.routing.embedding import Embedding, load_embedding
from weighbridge.routing.features import look

from .test_command import data  # noqa: F401 - a fixture

needs_tokenizers = pytest.mark.skipif(
    importlib.util.find_spec("tokenizers") is None, reason="needs the extra `embedding`: its package tokenizers"
)
needs_bundled = pytest.mark.skipif(
    importlib.util.find_spec("wordllama") is None, reason="needs the extra `embedding`: its package wordllama"
)
pytestmark = needs_tokenizers

# Two groups of words that nothing but their vectors tells apart.
_LETTERS = random.Random(1)
A_GROUP = 200
GROUPS = {
    group: ["".join(_LETTERS.choices("abdegiklmnorstuv", k=6)) for _ in range(A_GROUP)] for group in ("birds", "stones")
}
WORDS = [word for words in GROUPS.values() for word in words]
COUNT = 1 + len(WORDS)
"""Vectors of a folder."""


def write_folder(folder, vectors: dict[str, np.ndarray], words: list[str] = WORDS):
    """As model2vec writes one."""
    vocabulary = {word: at for at, word in enumerate(["[UNK]", *words])}
    tokenizer = {
        "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": {"type": "Whitespace"},
        "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": None, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "config.json").write_text('{"model_type": "model2vec", "normalize": true}')
    save_file(vectors, folder / "model.safetensors")
    return folder


def vectors_of_groups(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(2, 16))
    rows = [centres[at // A_GROUP] + 0.3 * rng.normal(size=16) for at in range(2 * A_GROUP)]
    return {"embeddings": np.array([rng.normal(size=16), *rows], np.float32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("static") / "groups", vectors_of_groups())


def of_groups(words: slice, count: int, seed: int = 3) -> list[Outcome]:
    """Prompts of a word or two of a group; one model knows birds, one knows stones."""
    rng = random.Random(seed)
    rows = []
    for at in range(count):
        group = ("birds", "stones")[at % 2]
        prompt = " ".join(rng.sample(GROUPS[group][words], 2))
        for model, right in (("ornithologist", "birds"), ("geologist", "stones")):
            rows.append(Outcome(model, prompt, float(rng.random() < (0.9 if right == group else 0.3)), group))
    return rows


SEEN, UNSEEN = slice(0, 150), slice(150, A_GROUP)


@pytest.fixture(scope="module")
def learnt(folder) -> Predictor:
    return learn(Evidence.of(of_groups(SEEN, 240)), load_embedding(str(folder)))


def share_right(predictor: Predictor) -> float:
    rng = random.Random(5)
    right = []
    for at in range(100):
        group = ("birds", "stones")[at % 2]
        said = predictor.predict(" ".join(rng.sample(GROUPS[group][UNSEEN], 2))).quality
        best = predictor.models[int(said.argmax())]
        right.append(best == ("ornithologist" if group == "birds" else "geologist"))
    return sum(right) / len(right)


def test_words_that_were_never_seen_are_known_by_their_vectors(learnt):
    assert learnt.embedding is not None
    assert learnt.without is not None
    assert share_right(learnt) > 0.95
    assert share_right(learnt.without) < 0.75


def test_what_was_learnt_without_is_what_would_be_learnt_without_an_embedding(learnt):
    alone = learn(Evidence.of(of_groups(SEEN, 240)))

    for prompt in WORDS[::50]:
        assert (alone.predict(prompt).quality == learnt.without.predict(prompt).quality).all()


def test_an_embedding_that_says_nothing_is_not_used(tmp_path):
    same = {"embeddings": np.ones((COUNT, 16), np.float32)}
    predictor = learn(Evidence.of(of_groups(SEEN, 120)), load_embedding(str(write_folder(tmp_path / "same", same))))

    assert predictor.embedding is None
    predictor.save(tmp_path / "router.npz")
    assert Predictor.load(tmp_path / "router.npz").lacks is None


def test_it_is_kept_with_its_sum_and_read_again(learnt, folder, tmp_path):
    kept = tmp_path / "router.npz"
    learnt.save(kept)
    read = Predictor.load(kept, str(folder))

    assert read.lacks is None
    assert read.embedding is not None
    assert share_right(read) > 0.95
    again = tmp_path / "again.npz"
    read.save(again)
    assert (Predictor.load(again, str(folder)).predict(WORDS[0]).quality == read.predict(WORDS[0]).quality).all()


@pytest.mark.parametrize("which", ["", "other", "gone"])
def test_without_the_embedding_it_says_so_and_what_was_learnt_without_speaks(learnt, tmp_path, which):
    kept = tmp_path / "router.npz"
    learnt.save(kept)
    write_folder(tmp_path / "other", vectors_of_groups(seed=1))
    read = Predictor.load(kept, str(tmp_path / which) if which else "")

    says = {"": "route_embedding names none", "other": "is another (sha256", "gone": "No such file"}[which]
    assert says in read.lacks
    assert learnt.embedding.sha256[:12] in read.lacks
    assert read.embedding is None
    for prompt in WORDS[::50]:
        assert np.abs(read.predict(prompt).quality - learnt.without.predict(prompt).quality).max() < 0.01
    # What it has is what is kept of it.
    read.save(tmp_path / "less.npz")
    assert Predictor.load(tmp_path / "less.npz").lacks is None


def test_a_damaged_part_of_the_embedding_is_refused(learnt, folder, tmp_path):
    kept = tmp_path / "router.npz"
    learnt.save(kept)
    with np.load(kept) as whole:
        arrays = {name: whole[name] for name in whole.files}
    for name, damaged in (("embedded_usual", np.zeros(3)), ("embedded_weights", np.zeros((4, 4), np.float16))):
        with kept.open("wb") as out:
            np.savez(out, **(arrays | {name: damaged}))
        with pytest.raises(BadSetting, match="a damaged one"):
            Predictor.load(kept, str(folder))


def test_thumbs_have_no_vector_and_are_learnt_with_those_that_have(folder):
    rows = of_groups(SEEN, 160)
    thumbs = [Outcome("geologist", look(f"{WORDS[-at]} {at}"), 1.0, source="feedback") for at in range(20)]
    predictor = learn(Evidence.of([*rows, *thumbs]), load_embedding(str(folder)))

    assert predictor.embedding is not None
    assert np.isfinite(predictor.predict(WORDS[-1]).quality).all()


def test_a_vector_is_the_sum_of_distinct_tokens_by_the_logarithm_of_their_counts(folder):
    rows = vectors_of_groups()["embeddings"]
    first, second = WORDS[0], WORDS[240]
    expected = math.log(1 + 5) * rows[1] + math.log(2) * rows[241]
    found = load_embedding(str(folder)).of(f"{first} {first} {second} nobody knows this {first} {first} {first}")

    assert np.abs(found - expected / np.linalg.norm(expected)).max() < 1e-3


def test_a_unigram_tokenizer_says_what_it_does_not_know_in_its_own_way(folder, tmp_path):
    unigram = write_folder(tmp_path / "unigram", vectors_of_groups())
    whole = json.loads((unigram / "tokenizer.json").read_text())
    vocabulary = [[word, -1.0] for word in ["<unk>", *WORDS]]
    whole["model"] = {"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": False}
    (unigram / "tokenizer.json").write_text(json.dumps(whole))
    text = f"{WORDS[0]} ? {WORDS[240]} ??"

    assert np.abs(load_embedding(str(unigram)).of(text) - load_embedding(str(folder)).of(text)).max() < 1e-6


def test_a_mapping_and_weights_by_token_are_followed(folder, tmp_path):
    rows = vectors_of_groups()["embeddings"]
    order = np.random.default_rng(2).permutation(COUNT)
    weights = np.random.default_rng(2).uniform(0.5, 2, COUNT)
    shuffled = np.zeros_like(rows)
    shuffled[order] = rows / weights[:, None].astype(np.float32)
    mapped = write_folder(tmp_path / "mapped", {"embeddings": shuffled, "mapping": order, "weights": weights})
    text = " ".join(WORDS[::25])

    assert np.abs(load_embedding(str(mapped)).of(text) - load_embedding(str(folder)).of(text)).max() < 1e-3


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"other": np.ones((COUNT, 4), np.float32)}, "no embeddings or embedding.weight"),
        ({"embeddings": np.ones(COUNT, np.float32)}, "no embeddings or embedding.weight"),
        ({"embeddings": np.zeros((COUNT, 4), np.float32)}, "all 0"),
        ({"embeddings": np.full((COUNT, 4), np.nan, np.float32)}, "no finite numbers"),
        ({"embeddings": np.ones((COUNT, 4), np.uint8)}, "is of type U8"),
        ({"embeddings": np.ones((COUNT, 2000), np.float32)}, "at most 1,024"),
        ({"embeddings": np.ones((9, 4), np.float32), "mapping": np.arange(COUNT)}, "vectors that are not there"),
        ({"embeddings": np.ones((COUNT, 4), np.float32), "weights": np.ones(9)}, "weights of shape (9,)"),
    ],
)
def test_a_folder_that_holds_no_embedding_is_refused(tmp_path, tensors, says):
    with pytest.raises(BadSetting) as caught:
        load_embedding(str(write_folder(tmp_path / "bad", tensors)))

    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("tokenizer.json", b"{}", "no tokenizer"),
        ("tokenizer.json", b"\xff", "no tokenizer"),
        ("model.safetensors", b"\x80\x04pickle", "expected"),
        ("model.safetensors", b"", "at least 8"),
        ("model.safetensors", None, "No such file"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, content, says):
    bad = write_folder(tmp_path / "bad", vectors_of_groups())
    if content is None:
        (bad / name).unlink()
    else:
        (bad / name).write_bytes(content)

    with pytest.raises(BadSetting) as caught:
        load_embedding(str(bad))
    assert says in str(caught.value)
    assert caught.value.hint


def test_one_of_the_hub_is_fetched_by_weigh_get_and_read_where_that_says(folder, tmp_path, monkeypatch, capsys):
    with running_hub({"acme/static": {path.name: path.read_bytes() for path in folder.iterdir()}}) as server:
        for name, value in (("HF_ENDPOINT", server.url), ("HF_HOME", str(tmp_path)), ("HOME", str(tmp_path))):
            monkeypatch.setenv(name, value)
        assert main(["get", "acme/static"]) == 0
    place = capsys.readouterr().out.strip()

    assert load_embedding(place).sha256 == load_embedding(str(folder)).sha256


@given(st.text())
def test_any_text_has_a_vector_of_length_one_or_none(folder, text):
    embedding = load_once(str(folder))
    for asked in (text, f"{text}\ud800 {WORDS[3]}"):
        length = float(np.linalg.norm(embedding.of(asked)))
        assert length == pytest.approx(1, abs=1e-5) or length == 0


_LOADED: dict[str, Embedding] = {}


def load_once(setting: str) -> Embedding:
    if setting not in _LOADED:
        found = load_embedding(setting)
        assert found is not None
        _LOADED[setting] = found
    return _LOADED[setting]


@needs_bundled
def test_the_bundled_one_knows_words_of_a_kind():
    vectors = load_once("bundled").embed(
        ["Sort a list of numbers in Python.", "Write a function in Java that orders an array.",
         "Which wine goes with roast lamb?"]
    )  # fmt: skip

    assert vectors.shape == (3, 256)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


@needs_bundled
def test_a_prompt_of_a_megabyte_is_looked_at_in_its_excerpt_alone():
    embedding, text = load_once("bundled"), "Translate the following into French. " * 28_000

    assert len(text) > 1_000_000
    assert (embedding.of(text) == embedding.of(excerpt(text))).all()


@needs_bundled
def test_any_number_of_threads_may_ask_at_once():
    embedding, texts = load_once("bundled"), [f"Question {at} on {WORDS[at]}?" for at in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(embedding.of, texts))

    assert (np.array(found) == embedding.embed(texts)).all()


@needs_bundled
def test_it_runs_without_network_and_without_the_code_of_wordllama():
    program = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith('socket.'): raise RuntimeError(event)\n"
        "sys.addaudithook(refuse)\n"
        "from weighbridge.routing.embedding import load_embedding\n"
        "assert 'tokenizers' not in sys.modules, 'imported before it is asked for'\n"
        "assert load_embedding('bundled').of('hello').any()\n"
        "print(sorted(sys.modules.keys() & {'wordllama', 'requests', 'pydantic', 'huggingface_hub', 'torch'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_commands_take_it_and_say_what_came_of_it(data, folder, tmp_path, monkeypatch, capsys):  # noqa: F811
    kept = tmp_path / PREDICTOR
    monkeypatch.setenv("WEIGHBRIDGE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("WEIGHBRIDGE_PORT", "1")
    rows = tmp_path / "groups.jsonl"
    rows.write_text(
        "".join(
            json.dumps({"model": each.model, "prompt": each.prompt, "score": each.score, "task": each.task}) + "\n"
            for each in of_groups(SEEN, 160)
        )
    )
    assert main(["route", "learn", str(rows), "--embedding", str(folder)]) == 0
    assert "is looked at too" in capsys.readouterr().err
    ask = ["route", GROUPS["stones"][190], "--predictor", str(kept), "--policy", "auto:best", "--json"]
    assert main([*ask, "--embedding", str(folder)]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["model"] == "geologist"
    assert "no embedding" not in shown.err
    assert main(ask) == 0
    assert "no embedding is looked at, what was learnt without one decides" in capsys.readouterr().err
    assert main([*ask[:-1], "--embedding", str(folder)]) == 0
    assert f"the prompt's embedding was looked at too: {folder}" in capsys.readouterr().out
    assert main(ask[:-1]) == 0
    assert "no embedding is looked at" in capsys.readouterr().out
    monkeypatch.setenv("WEIGHBRIDGE_ROUTE_EMBEDDING", str(folder))
    assert main(["route", "eval", str(data), "--folds", "2"]) == 0
    assert "the embedding was of no use" in capsys.readouterr().err, "it holds no word of these prompts"
    assert main(["route", "learn", str(data), "--embedding", str(tmp_path / "none")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_another_embedding_in_the_settings_is_a_reason_to_learn_anew(learnt, folder, tmp_path):
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "old.jsonl").write_text("{}\n")
    learnt.save(tmp_path / PREDICTOR)

    assert not is_new(tmp_path, str(folder))
    assert is_new(tmp_path, "")
    assert is_new(tmp_path, "bundled")
