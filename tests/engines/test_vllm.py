"""vLLM's command line against vLLM's own parser, and its life as a program with processes of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.engines.conftest import running, session
from tests.engines.programs import vllm as program
from tests.safetensors_files import write_folder
from weighbridge import engines, facts, fit
from weighbridge.engines import Model, vllm
from weighbridge.engines.endpoint import Endpoint
from weighbridge.errors import BadSetting, EngineFailed
from weighbridge.fit.checkpoints import plan_checkpoint
from weighbridge.fit.vllm import VERSION, Settings, command_arguments
from weighbridge.machine import describe

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 32, "intermediate_size": 512, "vocab_size": 1024,
    "max_position_embeddings": 4096, "torch_dtype": "bfloat16", "tie_word_embeddings": True,
}  # fmt: skip
SOCKET = Endpoint("http://engine", socket=Path("/run/weighbridge/0.sock"))


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    shapes = {"model.embed_tokens.weight": (1024, 256), "model.norm.weight": (256,)}
    for layer in range(2):
        at = f"model.layers.{layer}."
        shapes |= {
            at + "self_attn.q_proj.weight": (256, 256), at + "self_attn.k_proj.weight": (128, 256),
            at + "self_attn.v_proj.weight": (128, 256), at + "self_attn.o_proj.weight": (256, 256),
            at + "mlp.gate_proj.weight": (512, 256), at + "mlp.up_proj.weight": (512, 256),
            at + "mlp.down_proj.weight": (256, 512), at + "input_layernorm.weight": (256,),
            at + "post_attention_layernorm.weight": (256,), at + "self_attn.q_norm.weight": (32,),
            at + "self_attn.k_norm.weight": (32,),
        }  # fmt: skip
    return write_folder(tmp_path / "model", CONFIG, {name: ("BF16", shape) for name, shape in shapes.items()})


@pytest.fixture
def plan(checkpoint) -> fit.Plan:
    return plan_checkpoint(facts.read(str(checkpoint)), describe("2x rtx-3090"), fit.Workload(2048, 2))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, sockets: bool = True) -> None:
    """The program as `vllm` on the PATH, in an environment laid out as pip lays it out."""
    package = folder / "lib" / "python3.12" / "site-packages" / "vllm" / "entrypoints" / "common"
    package.mkdir(parents=True)
    (package / "cli_args.py").write_text("class FrontendArgs:\n" + ("    uds: str | None = None\n" if sockets else ""))
    (package.parents[2] / f"vllm-{VERSION}.dist-info").mkdir()
    (folder / "bin").mkdir()
    # An environment's Python is a link to another, and its console scripts begin with its own path.
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    script = folder / "bin" / "vllm"
    script.write_text(f"#!{python}\nimport runpy\nrunpy.run_path({program.__file__!r}, run_name='__main__')\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")


def test_the_parser_is_that_of_the_release_that_the_plans_are_made_for():
    assert program.OPTIONS["version"] == VERSION
    assert len(program.OPTIONS["options"]) > 400


def test_what_a_plan_says_is_taken_by_vllms_parser(plan):
    words = vllm.command(Model("org/model", "vllm", plan=plan), SOCKET)
    given = program.parser().parse_args(words[1:])
    assert words[0] == "serve"
    assert given.model_tag == str(Path(plan.facts.source.files[0]).parent)
    assert given.max_model_len == "2048"
    assert given.uds == str(SOCKET.socket)
    assert given.served_model_name == ["org/model"]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(max_num_seqs=2, max_num_batched_tokens=2048),
        Settings(tensor_parallel=4, pipeline_parallel=2, expert_parallel=True, max_num_seqs=256, enforce_eager=True,
                 max_num_batched_tokens=8192, gpu_memory_utilization=0.85, block_size=32, dtype="bfloat16",
                 quantization="fp8", prefix_caching=False),
        *(Settings(max_num_seqs=1, max_num_batched_tokens=512, kv_cache_dtype=kind)
          for kind in program.OPTIONS["cache_types"]),
    ],
    ids=lambda settings: f"{settings.kv_cache_dtype}-{settings.tensor_parallel}",
)  # fmt: skip
def test_every_argument_that_a_plan_can_hold_is_vllms(plan, settings):
    words = vllm.command(Model("m", "vllm", plan=replace(plan, arguments=command_arguments(settings, 4096))), SOCKET)
    given = program.parser().parse_args(words[1:])
    if settings.tensor_parallel > 1:
        assert (given.tensor_parallel_size, given.pipeline_parallel_size) == (4, 2)
        assert given.enable_expert_parallel
        assert given.enforce_eager
        assert (given.quantization, given.dtype, given.block_size) == ("fp8", "bfloat16", 32)
    elif settings.kv_cache_dtype != "auto":
        assert given.kv_cache_dtype == settings.kv_cache_dtype


def test_several_machines_are_asked_for_by_ray(plan):
    options = {"executor": "ray", "tensor_parallel": "8", "pipeline_parallel": "2"}
    words = vllm.command(Model("m", "vllm", plan=plan, options=options), SOCKET)
    given = program.parser().parse_args(words[1:])
    assert given.distributed_executor_backend == "ray"
    assert (given.tensor_parallel_size, given.pipeline_parallel_size) == (8, 2)
    assert words.count("--tensor-parallel-size") == 1


def test_options_that_vllm_has_not_are_named(plan):
    with pytest.raises(BadSetting, match="no option 'ray'"):
        vllm.command(Model("m", "vllm", plan=plan, options={"ray": "yes"}), SOCKET)
    with pytest.raises(BadSetting, match="executor is 'many'"):
        vllm.command(Model("m", "vllm", plan=plan, options={"executor": "many"}), SOCKET)


def test_it_starts_serves_and_leaves_nothing_of_its_family(surroundings, plan, tmp_path, monkeypatch):
    install(tmp_path / "env", monkeypatch)
    assert vllm.find() == engines.Found("vllm", VERSION)

    async def scenario():
        async with running(Model("org/model", "vllm", plan=plan), surroundings) as engine, session(engine) as client:
            family = psutil.Process(engine.pid).children(recursive=True)
            assert len(family) >= 2
            assert engine.endpoint.model == "org/model"
            assert engine.endpoint.socket.stat().st_mode & 0o077 == 0
            for process in family:
                assert process.environ()["VLLM_NO_USAGE_STATS"] == "1"
            async with client.post("/v1/completions", json={"prompt": "a"}) as answer:
                assert answer.status == 200
            return family

    family = asyncio.run(scenario())
    assert not [process for process in family if process.is_running()]


def test_a_release_without_sockets_gets_loopback_and_a_key_in_its_environment(
    surroundings, plan, tmp_path, monkeypatch
):
    install(tmp_path / "env", monkeypatch, sockets=False)

    async def scenario():
        async with running(Model("m", "vllm", plan=plan), surroundings) as engine:
            assert engine.endpoint.base_url.startswith("http://127.0.0.1:")
            assert len(engine.endpoint.api_key) > 30
            assert engine.endpoint.api_key not in repr(engine.endpoint)
            for process in psutil.Process(engine.pid).children(recursive=True):
                assert engine.endpoint.api_key not in " ".join(process.cmdline())
                assert process.environ()["VLLM_API_KEY"] == engine.endpoint.api_key

    asyncio.run(scenario())


def test_the_first_error_of_its_log_is_the_cause(surroundings, plan, tmp_path, monkeypatch):
    install(tmp_path / "env", monkeypatch)
    monkeypatch.setenv("PRETEND", "short of memory")
    with pytest.raises(EngineFailed) as caught:
        asyncio.run(engines.start(Model("m", "vllm", plan=plan), surroundings))
    assert str(caught.value) == (
        "m: the engine did not start: ValueError: Free memory on device cuda:0 (1.2/23.6 GiB) on startup is less than "
        "desired GPU memory utilization (0.92, 21.7 GiB). (its process ended with exit code 1)"
    )


def test_without_vllm_a_start_says_how_to_get_it(surroundings, plan, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineFailed, match="vLLM is not installed") as caught:
        asyncio.run(engines.start(Model("m", "vllm", plan=plan), surroundings))
    assert "pip install vllm" in caught.value.hint
