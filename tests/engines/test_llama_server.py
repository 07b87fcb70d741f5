"""llama-server as a program: asked what it is, started as planned, with llama.cpp's own parser and server behind it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.engines.conftest import llama, planned, running, session
from tests.engines.programs import llama_server as program
from tests.gguf_files import write_model
from weighbridge import engines, facts, fit
from weighbridge.engines import Model, llama_server
from weighbridge.engines.endpoint import Endpoint
from weighbridge.errors import EngineFailed
from weighbridge.machine import describe
from weighbridge.specialists import bundled

SPECIALIST = bundled()["arithmetic"]


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, extra: str = "") -> Path:
    """The program as `llama-server` on the PATH."""
    folder.mkdir()
    path = folder / "llama-server"
    path.write_text(f'#!/bin/sh\n{extra}\nexec {sys.executable} {program.__file__} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return path


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    return install(tmp_path / "bin", monkeypatch)


def test_it_serves_privately_and_as_planned(surroundings, installed):
    model = llama(SPECIALIST, engine="llama_server", context=256, parallel=3, cache_type_k="q8_0", ubatch_tokens=128)

    async def scenario():
        async with running(model, surroundings) as engine, session(engine) as client:
            socket = engine.endpoint.socket
            assert stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0
            for process in [psutil.Process(engine.pid), *psutil.Process(engine.pid).children(recursive=True)]:
                assert process.net_connections("inet") == []
            async with client.get("/props") as answer:
                told = await answer.json()
            assert told["default_generation_settings"]["n_ctx"] == 256
            assert told["total_slots"] == 3
            request = {"messages": [{"role": "user", "content": "What is 37 plus 58?"}], "temperature": 0}
            async with client.post("/v1/chat/completions", json=request) as answer:
                assert "95" in (await answer.json())["choices"][0]["message"]["content"]
            # Guardian and program together.
            assert await engine.memory_bytes() > psutil.Process(engine.pid).memory_info().rss // 2

    asyncio.run(scenario())


def test_what_the_program_is_comes_from_itself(installed):
    build = asyncio.run(llama_server.build_of(str(installed)))
    assert build.has_sockets
    assert build.flash_attention_takes_value
    assert {"--ctx-size", "--cache-type-k", "--no-kv-unified", "--override-tensor", "--fit"} <= build.options
    assert build.version.startswith("0.6.0")
    assert llama_server.find().is_here


def test_a_start_that_fails_tells_the_programs_own_cause(surroundings, installed, tmp_path):
    model = llama(SPECIALIST, engine="llama_server")
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"hello world" * 100)
    source = replace(model.plan.facts.source, files=(str(bad),))
    plan = replace(model.plan, facts=replace(model.plan.facts, source=source, tensors=()))
    with pytest.raises(EngineFailed, match="invalid magic characters: 'hell'"):
        asyncio.run(engines.start(Model("model", "llama_server", plan=plan), surroundings))


def test_a_program_that_knows_an_option_no_more_says_so(surroundings, tmp_path, monkeypatch):
    extra = 'case "$1" in --help|--version|--list-devices) ;; *) set -- --no-such-option "$@" ;; esac'
    install(tmp_path / "bin", monkeypatch, extra)
    with pytest.raises(EngineFailed, match="invalid argument: --no-such-option"):
        asyncio.run(engines.start(llama(SPECIALIST, engine="llama_server"), surroundings))


def test_zeros_are_found_by_its_first_token(surroundings, installed, tiny_gguf, tmp_path):
    path = tiny_gguf()
    raw = bytearray(path.read_bytes())
    table = next(tensor for tensor in facts.read(str(path)).tensors if tensor.name == "output.weight")
    raw[table.offset : table.offset + table.bytes] = bytes(table.bytes)
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(raw)
    with pytest.raises(EngineFailed, match="every token is as likely as any other"):
        asyncio.run(engines.start(llama(bad, engine="llama_server"), surroundings))


def test_without_sockets_it_is_loopback_with_a_key_that_no_command_line_shows(surroundings, tmp_path, monkeypatch):
    # As releases before the spring of 2025 describe --host.
    extra = (
        'if [ "$1" = --help ]; then '
        f'{sys.executable} {program.__file__} --help | sed "s/, or UNIX socket paths//; s/ending in .sock;//"; exit; fi'
    )
    install(tmp_path / "bin", monkeypatch, extra)

    async def scenario():
        async with running(llama(SPECIALIST, engine="llama_server"), surroundings) as engine:
            endpoint = engine.endpoint
            assert endpoint.socket is None
            assert endpoint.base_url.startswith("http://127.0.0.1:")
            family = [psutil.Process(engine.pid), *psutil.Process(engine.pid).children(recursive=True)]
            assert not any(endpoint.api_key in " ".join(process.cmdline()) for process in family)
            addresses = {found.laddr.ip for process in family for found in process.net_connections("inet")}
            assert addresses == {"127.0.0.1"}
            async with aiohttp.ClientSession() as client:
                for key, status in (("", 401), (endpoint.api_key, 200)):
                    headers = {"Authorization": f"Bearer {key}"}
                    body = {"prompt": "a", "max_tokens": 1}
                    async with client.post(f"{endpoint.base_url}/v1/completions", json=body, headers=headers) as answer:
                        assert answer.status == status

    asyncio.run(scenario())


# Devices. No GPU is here: what is held is the command line, by a program's own list of options.

TWO_CARDS = (("CUDA0", "NVIDIA GeForce RTX 4090"), ("CUDA1", "NVIDIA GeForce RTX 3090"))


def build(devices: tuple[tuple[str, str], ...], **changes: object) -> llama_server.Build:
    described = subprocess.run(
        [sys.executable, program.__file__, "--help"], capture_output=True, text=True, check=True
    ).stdout
    found = llama_server.Build(
        "llama-server", "1", frozenset(llama_server._OPTION.findall(described)), described, devices
    )
    return replace(found, **changes)


@pytest.fixture(scope="module")
def cuda() -> llama_server.Build:
    return build(TWO_CARDS)


def words_for(plan: fit.Plan, made: llama_server.Build) -> list[str]:
    model = Model("model", "llama_server", plan=plan)
    return llama_server.command(model, plan, made, Endpoint("http://engine", socket=Path("/run/e.sock")))


def value(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def on_gpus(path: Path, machine: str, **placement: object) -> fit.Plan:
    plan = fit.make_plan(facts.read(str(path)), describe(machine), fit.Workload(512, 2))
    return replace(plan, placement=replace(plan.placement, **placement)) if placement else plan


def test_a_plan_on_one_gpu_names_that_gpu(tiny_gguf, cuda):
    plan = on_gpus(tiny_gguf(), "2x rtx-3090", layers=(1, 1), output=1)
    plan = replace(plan, devices=tuple(replace(plan.devices[0], name=name, index=index) for index, name in enumerate(
        ("NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3090"))))  # fmt: skip
    words = words_for(plan, cuda)
    assert value(words, "--device") == "CUDA1"
    assert value(words, "--n-gpu-layers") == "3"
    assert "--tensor-split" not in words


def test_a_plan_on_two_gpus_splits_as_planned(tiny_gguf, cuda):
    plan = on_gpus(tiny_gguf(layers=4), "2x rtx-3090", layers=(0, 0, 0, 1), output=1)
    alike = replace(cuda, devices=(("CUDA0", "NVIDIA GeForce RTX 3090"), ("CUDA1", "NVIDIA GeForce RTX 3090")))
    words = words_for(plan, alike)
    assert value(words, "--device") == "CUDA0,CUDA1"
    assert value(words, "--tensor-split") == "3,2"
    assert value(words, "--n-gpu-layers") == "5"


def test_experts_that_stay_in_main_memory_are_named(tmp_path, cuda):
    path = write_model(tmp_path / "moe.gguf", experts=4, experts_used=2, layers=3)
    plan = on_gpus(path, "2x rtx-3090", layers=(0, 0, 0), output=0, experts_on_host=2)
    words = words_for(plan, replace(cuda, devices=(("Vulkan0", "NVIDIA GeForce RTX 3090 (RADV)"),)))
    assert value(words, "--override-tensor") == r"blk\.(0|1)\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU"
    assert value(words, "--device") == "Vulkan0"


def test_a_plan_without_gpus_keeps_everything_off_them(tiny_gguf, cuda):
    words = words_for(planned(tiny_gguf()), cuda)
    assert value(words, "--n-gpu-layers") == "0"
    assert value(words, "--device") == "none"


def test_a_gpu_that_the_program_does_not_see_is_named(tiny_gguf, cuda):
    plan = on_gpus(tiny_gguf(), "2x rtx-3090")
    with pytest.raises(EngineFailed, match=r"the plan uses .*3090.*sees no device"):
        words_for(plan, replace(cuda, devices=()))


def test_an_option_that_a_build_lacks_is_an_error_where_the_plan_needs_it(tiny_gguf, cuda):
    old = replace(cuda, options=cuda.options - {"--cache-type-k", "--fit", "--cache-ram"})
    words = words_for(planned(tiny_gguf()), old)
    assert "--fit" not in words
    with pytest.raises(EngineFailed, match="needs --cache-type-k"):
        words_for(planned(tiny_gguf(), cache_type_k="q8_0", cache_type_v="q8_0"), old)


@pytest.mark.parametrize(
    "workload",
    [
        {},
        {"unified_cache": True},
        {"full_windows": True, "flash_attention": False},
        {"cache_type_k": "q4_0", "cache_type_v": "q8_0", "ubatch_tokens": 4096},
    ],
)
def test_the_real_parser_takes_what_we_say_as_we_mean_it(tiny_gguf, workload):
    plan = planned(tiny_gguf(), parallel=3, **workload)
    words = words_for(plan, build(()))
    # In a process of its own, which the parser may end.
    code = (
        "import sys, json; from tests.engines.programs.llama_server import parsed; s = parsed(sys.argv[1:]);"
        "print(json.dumps([s.n_ctx, s.n_parallel, s.kv_unified, s.n_ubatch, s.n_batch, s.cache_type_k, s.cache_type_v,"
        " s.flash_attn_type, s.swa_full, s.ui, s.fit_params, s.cache_ram_mib, list(s.hostnames), s.n_gpu_layers]),"
        " flush=True); import os; os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    types = {None: 1, "q8_0": 8, "q4_0": 2}
    asked = plan.workload
    assert json.loads(done.stdout) == [
        256 * (1 if asked.unified_cache else 3), 3, asked.unified_cache, asked.ubatch_tokens,
        max(2048, asked.ubatch_tokens), types[asked.cache_type_k], types[asked.cache_type_v],
        int(asked.flash_attention), asked.full_windows, False, False, 0, ["/run/e.sock"], 0,
    ]  # fmt: skip
