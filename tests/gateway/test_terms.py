"""On what terms models are served, by what their engines do with requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.gateway.test_lifecycle import settings_of, specialist
from weighbridge import machine
from weighbridge.engines import Model
from weighbridge.gateway import terms


@pytest.mark.parametrize(
    ("engine", "at_once"), [("llama_cpp", 2), ("llama_server", 2), ("fake", 2), ("vllm", 66), ("remote", 66)]
)
def test_an_engine_that_batches_is_given_all_requests_and_one_with_slots_as_many_as_these(tmp_path, engine, at_once):
    model = replace(specialist("arithmetic"), name="m", engine=engine)
    state = terms.initial_state([model], settings_of(tmp_path, queue_limit=64), machine.detect())

    assert state.models["m"].terms.at_once == at_once


def test_what_no_plan_is_known_of_gets_any_number(tmp_path):
    state = terms.initial_state([Model("m", "remote")], settings_of(tmp_path), machine.detect())

    assert state.models["m"].terms.at_once is None
