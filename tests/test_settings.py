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


def test_a_named_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(BadSetting, match="there is no such settings file"):
        settings.load(config=str(tmp_path / "none.toml"), environment={})
