"""Which engines are here, and which one runs a model."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.engines.programs import llama_server as program
from tests.engines.test_llama_server import install
from weighbridge import engines, facts
from weighbridge.errors import BadModelFile, EngineFailed
from weighbridge.machine import describe
from weighbridge.specialists import bundled

GGUF = next(iter(bundled().values()))


def test_every_engine_says_whether_it_is_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {engine.name: engine for engine in engines.available()}
    assert set(found) == {"fake", "llama_cpp", "llama_server", "remote", "vllm"}
    assert found["llama_cpp"].is_here
    assert found["llama_cpp"].version
    assert not found["llama_server"].is_here
    assert found["llama_server"].reason == "no llama-server is on the PATH"
    assert "PATH" in found["vllm"].hint


def test_gguf_goes_to_the_program_where_there_are_gpus_and_a_program(tmp_path, monkeypatch):
    model, gpus = facts.read(str(GGUF)), describe("rtx-4090")
    none = replace(gpus, devices=())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engines.choose(model) == "llama_cpp"
    assert engines.choose(model, gpus) == "llama_cpp"
    install(tmp_path / "bin", monkeypatch)
    assert program.__file__ in (tmp_path / "bin" / "llama-server").read_text()
    assert engines.choose(model, gpus) == "llama_server"
    assert engines.choose(model, none) == "llama_cpp"


def test_safetensors_go_to_vllm_or_nowhere(tmp_path, monkeypatch):
    model = facts.read(str(GGUF))
    checkpoint = replace(model, source=replace(model.source, kind="safetensors"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineFailed, match="which vllm runs, and no `vllm` is on the PATH"):
        engines.choose(checkpoint)
    (tmp_path / "vllm").write_text("#!/bin/sh\n")
    os.chmod(tmp_path / "vllm", 0o755)
    assert engines.choose(checkpoint) == "vllm"


def test_what_nothing_runs_is_told():
    model = facts.read(str(GGUF))
    with pytest.raises(BadModelFile, match="is diffusers, which no engine here runs"):
        engines.choose(replace(model, source=replace(model.source, kind="diffusers")))


def test_engines_that_batch_whatever_they_have_are_given_all():
    batching = {found.name for found in engines.available() if engines.queues(found.name)}

    assert batching == {"remote", "vllm"}
