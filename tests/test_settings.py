"""Settings: where they come from, which wins, and what a typo costs."""

from __future__ import annotations

import pytest

from tests.conftest import run_weigh
from weighbridge import settings
from weighbridge.errors import BadSetting


def test_flags_win_over_environment_over_file_over_defaults(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text('port = 1\nparallel = 2\nhost = "127.0.0.2"\n')
    chosen = settings.load(
        {"port": 3, "threads": None},
        config=str(path),
        environment={"WEIGHBRIDGE_PORT": "2", "WEIGHBRIDGE_PARALLEL": "9"},
    )

    assert (chosen.port, chosen.parallel, chosen.host, chosen.threads) == (3, 9, "127.0.0.2", 0)


def test_sizes_may_have_units():
    assert settings.load(environment={"WEIGHBRIDGE_MAX_BODY_BYTES": "2MiB"}).max_body_bytes == 2 << 20


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        ("prot = 1", "no setting is named 'prot'", "did you mean 'port'?"),
        ("port = 'high'", "port is 'high', expected a whole number", "the default is 8642"),
        ("port = 99999", "port is 99,999, expected 0 to 65,535", "the default is 8642"),
        ("port = 3.7", "port is 3.7, expected a whole number", "the default is 8642"),
        ("threads = inf", "threads is inf, expected a whole number", "the default is 0"),
        ("port = = 1", "Invalid value", "write one setting a line"),
        ("api_key = 7", "api_key is 7, expected text", "the default is ''"),
        ('host = "0.0.0.0"', "host is 0.0.0.0, which others can reach, and there is no api_key", "WEIGHBRIDGE_API_KEY"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_a_hint(tmp_path, content, what, hint):
    path = tmp_path / "w.toml"
    path.write_text(content)

    with pytest.raises(BadSetting, match=what) as caught:
        settings.load(config=str(path), environment={})

    assert hint in caught.value.hint


def test_a_typo_in_the_environment_stops_the_program():
    done = run_weigh("up", "fake", WEIGHBRIDGE_PROT="1")

    assert done.returncode == 1
    assert done.stderr == (
        "weigh: environment variable WEIGHBRIDGE_PROT: no setting is named 'prot'\n  did you mean 'port'?\n"
    )


def test_beyond_loopback_a_key_is_needed():
    chosen = settings.load({"host": "0.0.0.0", "api_key": "secret"}, environment={})

    assert not chosen.is_loopback
    with pytest.raises(BadSetting):
        settings.load({"host": "0.0.0.0"}, environment={})


MODELS = """
parallel = 3
keep_alive_seconds = 60
memory_budget_bytes = "12GiB"

[models.coder]
source = "coder.gguf"
context_tokens = 32768
keep_alive_seconds = inf
pinned = true

[models.small]
parallel = 8
preload = false
"""


def test_a_model_is_as_its_table_says_and_else_as_all_are(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text(MODELS)
    chosen = settings.load(config=str(path), environment={})
    coder, small, other = chosen.of("coder"), chosen.of("small"), chosen.of("other")

    assert list(chosen.models) == ["coder", "small"]
    assert (coder.source, coder.context_tokens, coder.parallel, coder.keep_alive_seconds, coder.pinned) == (
        "coder.gguf", 32768, 3, float("inf"), True
    )  # fmt: skip
    assert (small.context_tokens, small.parallel, small.keep_alive_seconds, small.preload) == (0, 8, 60.0, False)
    assert (other.parallel, other.preload, other.pinned, other.source) == (3, True, False, "")
    assert chosen.memory_budget_bytes == 12 << 30


def test_flags_and_environment_win_over_a_models_table(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text(MODELS)
    chosen = settings.load({"context_tokens": 4096}, config=str(path), environment={"WEIGHBRIDGE_PRELOAD": "yes"})

    assert chosen.of("coder").context_tokens == 4096
    assert chosen.of("small").preload is True
    assert chosen.of("small").parallel == 8


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        ("[models.a]\npined = true", r"\[models.a\]: no setting is named 'pined'", "did you mean 'pinned'?"),
        ("[model.a]\npinned = true", "no setting is named 'model'", "did you mean 'models'?"),
        ("[models.a]\nparallel = 0", r"\[models.a\]: parallel is 0, expected 1 to 256", "as for all models"),
        ("[models.a]\npinned = 1.5", "pinned is 1.5, expected true or false", "the default is False"),
        ("[models.a]\nkeep_alive_seconds = -1", "keep_alive_seconds is -1.0, expected 0 to inf", "as for all"),
        ("keep_alive_seconds = nan", "keep_alive_seconds is nan, expected a number", "the default is inf"),
        ("[models.auto]", "no model can be named so", "not auto or gateway"),
        ('[models."a b"]', "no model can be named so", "letters, digits"),
        ("models = 7", "models is 7, expected tables", "[models.coder]"),
        ("models.a = 7", "models.a is 7, expected a table", "[models.coder]"),
        ("preload = 'perhaps'", "preload is 'perhaps', expected true or false", "the default is True"),
    ],
)
def test_what_is_wrong_in_a_models_table_is_named_with_a_hint(tmp_path, content, what, hint):
    path = tmp_path / "w.toml"
    path.write_text(content)

    with pytest.raises(BadSetting, match=what) as caught:
        settings.load(config=str(path), environment={})

    assert hint in caught.value.hint


def test_a_named_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(BadSetting, match="there is no such settings file"):
        settings.load(config=str(tmp_path / "none.toml"), environment={})


def test_the_digests_table_is_read_and_its_typos_are_told(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text('[digest]\nsources = ["hf:trending", "feed:https://a.example/x"]\npause_seconds = 2\n')

    digest = settings.load(config=str(path), environment={}).digest

    assert (digest.sources, digest.pause_seconds) == (("hf:trending", "feed:https://a.example/x"), 2.0)
    for text, told in (('source = ["x"]', "'sources'"), ("pause_seconds = -1", "expected"), ("sources = 7", "list")):
        path.write_text(f"[digest]\n{text}\n")
        with pytest.raises(BadSetting) as caught:
            settings.load(config=str(path), environment={})
        assert told in f"{caught.value} {caught.value.hint}"
