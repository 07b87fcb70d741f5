"""llama.cpp in a child: private, as planned, never destroyed from inside, and refused when a file is damaged."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.engines.conftest import llama, planned, running, session
from tests.engines.damaged_files import NAMES, damaged
from tests.gguf_files import TEMPLATE, write_model
from weighbridge import engines, facts
from weighbridge.engines import Model, Surroundings, log_path
from weighbridge.engines.child_process import ChildProcess, Launch, new_socket
from weighbridge.engines.endpoint import Endpoint
from weighbridge.errors import BadModelFile, EngineFailed
from weighbridge.specialists import bundled

SPECIALIST = next(iter(bundled().values()))


def test_a_child_is_private_and_quiet(surroundings):
    async def scenario():
        async with running(llama(SPECIALIST), surroundings) as engine:
            child = psutil.Process(engine.pid)
            socket = engine.endpoint.socket
            assert socket is not None
            assert stat.S_IMODE(socket.stat().st_mode) == 0o600
            assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
            # No port of any kind: the engine's own door would answer every page of every browser here.
            assert child.net_connections("inet") == []
            environment = child.environ()
            assert environment["OMP_WAIT_POLICY"] == "passive"
            assert environment["GOMP_SPINCOUNT"] == "0"
            assert environment["GGML_NO_BACKTRACE"] == "1"
            # Where memory runs out, the kernel takes the engine and not the gateway.
            assert _read(f"/proc/{engine.pid}/oom_score_adj") == "500"

    asyncio.run(scenario())


def _read(path: str) -> str:
    return Path(path).read_text().strip()


def test_context_and_slots_are_the_plans(surroundings, tiny_gguf):
    path = tiny_gguf(context=4096)

    async def scenario(expected: int, **workload: object):
        async with running(llama(path, **workload), surroundings) as engine, session(engine) as client:
            async with client.get("/props") as answer:
                told = await answer.json()
            assert told["default_generation_settings"]["n_ctx"] == expected
            assert told["total_slots"] == 3

    asyncio.run(scenario(256, context=256, parallel=3))
    # One pool that all sequences share: each may take all of it.
    asyncio.run(scenario(768, context=768, parallel=3, unified_cache=True))


@pytest.mark.parametrize(
    "workload",
    [
        {"cache_type_k": "q8_0", "cache_type_v": "q8_0"},
        {"cache_type_k": "q4_0", "cache_type_v": "q8_0"},
        {"flash_attention": False},
        {"ubatch_tokens": 64},
        {"unified_cache": True},
        {},
    ],
    ids=json.dumps,
)
def test_what_is_planned_is_what_is_taken(surroundings, tiny_gguf, workload):
    # Caches and buffers are much larger than the process.
    path = tiny_gguf(context=16384, width=512, heads=8, kv_heads=8, layers=4)
    model = llama(path, context=8192, parallel=2, **workload)
    assert model.plan is not None

    async def scenario() -> int:
        async with running(model, surroundings) as engine:
            return await engine.memory_bytes()

    measured, plan = asyncio.run(scenario()), model.plan.memory
    assert measured <= plan.total
    # Weights and caches are there once it is ready; what a step computes with is touched when it is first needed.
    assert measured >= (plan.weights + plan.kv_cache) * 0.97


def test_a_projector_is_given_to_the_engine(surroundings, tmp_path):
    (tmp_path / "mmproj.gguf").write_bytes(b"no projector")
    model = llama(SPECIALIST)
    model = Model(model.name, model.engine, plan=model.plan, options={"mmproj": str(tmp_path / "mmproj.gguf")})
    with pytest.raises(EngineFailed, match="invalid magic characters: 'no p'"):
        asyncio.run(engines.start(model, surroundings))


def test_tools_reach_a_model_by_its_template_alone(surroundings, tiny_gguf):
    """So `Manner.tells_tools` is false of this engine, and a template without tools is a hard no for `auto`."""
    tools = [{"type": "function", "function": {"name": "weather_of", "parameters": {"type": "object"}}}]
    told = "{%- if tools -%}<|user|>{{ tools | tojson }}<|end|>{%- endif -%}" + TEMPLATE

    async def prompt(path: Path) -> str:
        async with running(llama(path), surroundings) as engine, session(engine) as client:
            asked = {"messages": [{"role": "user", "content": "hi"}], "tools": tools, "tool_choice": "required"}
            async with client.post("/apply-template", json=asked) as answer:
                return (await answer.json())["prompt"]

    for path, heard in ((tiny_gguf(), False), (tiny_gguf(name="told", template=told), True)):
        assert ("weather_of" in asyncio.run(prompt(path))) == heard
        assert facts.read(path).chat.tools is heard
    assert engines.manner(llama(tiny_gguf())).tells_tools is False


async def _counted(client: aiohttp.ClientSession) -> dict[str, int]:
    """What the engine has counted by the time at which its only slot has answered another."""
    async with client.post("/v1/completions", json={"prompt": "b", "max_tokens": 1}) as answer:
        assert answer.status == 200
    async with client.get("/metrics") as answer:
        return {name: int(count) for name, count in re.findall(r"^llamacpp:(\w+) (\d+)$", await answer.text(), re.M)}


@pytest.mark.parametrize("stream", [True, False])
def test_closing_the_connection_frees_the_slot(surroundings, tiny_gguf, stream):
    path = tiny_gguf(context=8192, width=512, heads=8, kv_heads=8, layers=4, inner=2048)

    async def scenario():
        model = llama(path, context=8192, parallel=1)
        async with running(model, surroundings) as engine, session(engine) as other:
            client = session(engine)
            # The model never ends a text: this would take half a minute.
            request = {"prompt": "a", "max_tokens": 8000, "stream": stream}
            asked = asyncio.create_task(client.post("/v1/completions", json=request))
            if stream:
                await (await asked).content.readline()
            await asyncio.sleep(0.3)
            assert stream or not asked.done()
            asked.cancel()
            await client.close()
            assert 0 < (await _counted(other))["tokens_predicted_total"] < 7000

    asyncio.run(scenario())


def test_closing_the_connection_stops_a_prompt_that_is_still_read(surroundings, tiny_gguf):
    path = tiny_gguf(context=8192, width=512, heads=8, kv_heads=8, layers=8, inner=2048)

    async def scenario():
        model = llama(path, context=8192, parallel=1, ubatch_tokens=64)
        async with running(model, surroundings) as engine, session(engine) as other:
            client = session(engine)
            prompt = [1 + place % 250 for place in range(8000)]
            asked = asyncio.create_task(client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 1}))
            await asyncio.sleep(0.7)
            assert not asked.done()
            asked.cancel()
            await client.close()
            assert (await _counted(other))["prompt_tokens_total"] < 7000

    asyncio.run(scenario())


def test_a_child_is_ended_and_not_destroyed_also_while_it_answers(surroundings, tiny_gguf):
    path = tiny_gguf(context=4096)

    async def scenario():
        for _ in range(4):
            engine = await engines.start(llama(path, context=4096), surroundings)
            async with session(engine) as client:
                request = {"prompt": "a", "max_tokens": 4000, "stream": True}
                answers = [await client.post("/v1/completions", json=request) for _ in range(2)]
                for answer in answers:
                    await answer.content.readline()
                await engine.stop()
                assert engine._process.returncode == 0, "it was killed"
                assert not engine.ended.done()
        # Destroying a server right after it was made can hang for ever; ending its process cannot.
        for _ in range(6):
            engine = await engines.start(llama(path), surroundings)
            await engine.stop()
            assert engine._process.returncode == 0, "it was killed"

    asyncio.run(scenario())


# Damaged files.


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, BaseException | None]]:
    """What comes of starting each damaged file, and what must be told of it; a few at a time."""
    folder = tmp_path_factory.mktemp("damaged")
    folder.chmod(0o700)
    around = Surroundings(folder, folder / "state" / "logs", 20)

    async def refused(path: Path, limit: asyncio.Semaphore) -> BaseException | None:
        arguments = {
            "name": path.stem, "path": str(path), "context_tokens": 256, "parallel": 1, "threads": 1,
            "embeddings": False, "pooled": False,
        }  # fmt: skip
        endpoint = Endpoint("http://engine", socket=new_socket(around))
        child = ChildProcess(path.stem, endpoint, Launch("llama_cpp", arguments), around)
        async with limit:
            try:
                await child.start()
            except EngineFailed as error:
                return error
            await child.stop()
            return None

    async def scenario():
        files, limit = list(damaged(folder)), asyncio.Semaphore(3)
        found = await asyncio.gather(*(refused(path, limit) for _, path, _ in files))
        return {name: (cause, error) for (name, _, cause), error in zip(files, found, strict=True)}

    return asyncio.run(scenario())


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_refused_with_its_cause(refusals, name):
    cause, error = refusals[name]
    assert isinstance(error, EngineFailed), "it was served"
    assert cause in str(error)
    assert "\n" not in str(error)
    assert not re.search(r"\d\.\d\d\.\d{3}\.\d{3} E", str(error)), "the log's times are no news"


def test_every_damage_is_tested(refusals):
    assert set(refusals) == set(NAMES)


def _overwritten(path: Path, out: Path, names: tuple[str, ...], value: bytes) -> Path:
    raw = bytearray(path.read_bytes())
    for tensor in facts.read(str(path)).tensors:
        if tensor.name.startswith(names):
            raw[tensor.offset : tensor.offset + tensor.bytes] = value * (tensor.bytes // len(value))
    out.write_bytes(raw)
    return out


@pytest.mark.parametrize(
    ("names", "value", "told"),
    [
        (("output.weight",), b"\0", "every token is as likely as any other"),
        (("output_norm",), b"\0", "every token is as likely as any other"),
        (("blk.0.ffn_up",), b"\x00\x00\xc0\x7f", "no numbers"),
        (("output.weight",), b"\x00\x00\xc0\x7f", "no numbers"),
    ],
)
def test_weights_that_make_no_sense_are_found_before_ready(surroundings, tiny_gguf, tmp_path, names, value, told):
    path = _overwritten(tiny_gguf(), tmp_path / "bad.gguf", names, value)
    with pytest.raises(EngineFailed, match=told) as caught:
        asyncio.run(engines.start(llama(path), surroundings))
    assert "damaged" in caught.value.hint


def test_an_embedding_model_of_zeros_is_found_before_ready(surroundings, tiny_gguf, tmp_path):
    path = tiny_gguf(metadata={"llama.pooling_type": 1})
    plan = planned(path)
    if "text" in plan.facts.modalities.output:
        pytest.skip("a llama with pooling is not read as an embedding model")
    bad = _overwritten(path, tmp_path / "bad.gguf", ("blk.0.ffn_up",), b"\x00\x00\xc0\x7f")
    with pytest.raises(EngineFailed, match="no numbers"):
        asyncio.run(engines.start(llama(bad), surroundings))


@pytest.mark.parametrize("missing_bytes", [4096, 100_000, 300_000])
def test_a_file_that_ends_in_zeros_is_refused_before_it_is_loaded(surroundings, tiny_gguf, tmp_path, missing_bytes):
    whole = tiny_gguf().read_bytes()
    bad = tmp_path / "broken-off.gguf"
    # As a download leaves it that was given its full size at once.
    bad.write_bytes(whole[:-missing_bytes])
    with bad.open("r+b") as file:
        file.truncate(len(whole))
    with pytest.raises(BadModelFile, match=r"broken-off\.gguf: its last .* are zeros, where blk\..* should be"):
        asyncio.run(engines.start(llama(bad), surroundings))


def test_rows_of_padding_are_no_damage(surroundings, tmp_path):
    # The last tensor is a table of tokens, and its last rows are zeros because no token has them.
    path = write_model(tmp_path / "padded.gguf")
    found = facts.read(str(path))
    from weighbridge.engines.tails import _damaged

    table = next(tensor for tensor in found.tensors if tensor.name == "output.weight")
    row, end = table.bytes // max(table.shape), table.offset + table.bytes
    assert list(_damaged([table], end - 4 * row)) == []
    assert list(_damaged([table], end - 4 * row - row // 2 - 40)) == ["output.weight"]
    assert list(_damaged([table], end - table.bytes // 2)) == ["output.weight"]


def test_bundled_models_are_whole():
    from weighbridge.engines.tails import refuse_zero_tail

    for path in bundled().values():
        refuse_zero_tail(facts.read(str(path)))


def test_the_log_of_a_life_is_kept(surroundings):
    async def scenario():
        async with running(llama(SPECIALIST, name="org/model name"), surroundings):
            pass

    asyncio.run(scenario())
    path = log_path(surroundings.logs, "org/model name")
    assert path.name == "org-model-name.log"
    assert "n_slots = 2" in path.read_text()


def test_a_model_without_a_plan_is_refused(surroundings):
    with pytest.raises(EngineFailed, match="needs a plan"):
        asyncio.run(engines.start(Model("model", "llama_cpp"), surroundings))
