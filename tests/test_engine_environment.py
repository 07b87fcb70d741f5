"""What a process that runs an engine finds in its environment."""

from __future__ import annotations

from weighbridge.engine_environment import engine_environment


def test_an_engine_is_told_neither_our_keys_nor_our_settings_and_no_thread_of_it_spins():
    given = {"HOME": "/home/anna", "WEIGHBRIDGE_API_KEY": "secret", "OMP_WAIT_POLICY": "active"}
    found = engine_environment(given, OMP_NUM_THREADS="1")

    assert found["HOME"] == "/home/anna"
    assert "secret" not in found.values()
    assert (found["OMP_WAIT_POLICY"], found["OMP_NUM_THREADS"], found["GGML_NO_BACKTRACE"]) == ("passive", "1", "1")
