"""A projector and a draft are counted as the engine takes them, and change what fits."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from tests.conftest import run_weigh
from tests.engines.conftest import llama, running, session, surroundings  # noqa: F401
from tests.fit.projector_files import write_projector
from tests.gguf_files import write_model
from weighbridge import facts, machine
from weighbridge.engines import Model
from weighbridge.errors import BadModelFile, BadSetting, EngineFailed
from weighbridge.fit import Companions, Plan, Verdict, Workload, companions_of, plan_with

_WORKLOAD = Workload(context_tokens=4096, parallel=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("companions")
    shape = {"context": 131072, "heads": 8, "kv_heads": 8}
    return {
        "model": write_model(folder / "model.gguf", width=512, layers=4, **shape),
        "draft": write_model(folder / "draft.gguf", width=256, layers=2, **shape),
        "mmproj": write_projector(folder / "mmproj.gguf", width=512, inner=2048, layers=6, out=512),
    }


@pytest.fixture(scope="module")
def companions(files) -> Companions:
    return companions_of(facts.read(str(files["mmproj"])), facts.read(str(files["draft"])))


def _plan(files, companions: Companions, described: str | None = None, **workload: int) -> Plan:
    here = machine.describe(described) if described else machine.detect()
    asked = dataclasses.replace(_WORKLOAD, **workload)
    return plan_with(facts.read(str(files["model"])), here, asked, companions, use_devices=described is not None)


def test_what_is_counted_for_companions_is_what_the_engine_takes(files, companions, surroundings):  # noqa: F811
    plan = _plan(files, companions)
    options = {"mmproj": str(files["mmproj"]), "draft": str(files["draft"])}

    async def scenario(model: Model) -> tuple[int, str]:
        async with running(model, surroundings) as engine, session(engine) as client:
            asked = {"prompt": "a b a b a", "max_tokens": 24, "temperature": 0}
            async with client.post("/v1/completions", json=asked) as answer:
                text = (await answer.json())["choices"][0]["text"]
            return await engine.memory_bytes(), text

    alone, text = asyncio.run(scenario(llama(files["model"], context=4096)))
    together, same_text = asyncio.run(scenario(Model("model", "llama_cpp", plan=plan, options=options)))
    assert same_text == text
    assert together <= plan.memory.total
    # Of buffers that are computed with only what was needed so far is taken; weights and the draft's cache are.
    surely = companions.projector.facts.weights_bytes + companions.draft.weights_bytes + 2 * 4096 * 2 * 2 * 256 * 2
    assert surely * 0.97 <= together - alone <= (plan.memory.projector + plan.memory.draft) * 1.03


def test_the_longest_context_is_that_of_the_model_and_its_draft_together(files, companions):
    small = "gpu=48GiB@960GB/s,ram=1700MiB"
    host = dataclasses.replace(machine.describe(small), devices=())
    read = facts.read(str(files["model"]))

    def planned(context: int | None) -> Plan:
        return plan_with(read, host, dataclasses.replace(_WORKLOAD, context_tokens=context), companions)

    largest = planned(4096).largest_context
    assert 4096 < largest < 131072
    assert planned(largest).verdict is not Verdict.NO
    assert planned(largest + 256).verdict is Verdict.NO
    alone = plan_with(read, host, _WORKLOAD, Companions()).largest_context
    assert alone > largest


def test_a_projector_goes_to_the_gpu_and_to_main_memory_where_that_has_no_room(files, companions):
    on_gpu = _plan(files, companions, "rtx 4090")
    assert [need.memory.projector > 0 for need in on_gpu.devices] == [False, True]
    assert on_gpu.memory.projector == companions.projector.bytes
    small = _plan(
        files, dataclasses.replace(companions, draft=None), "gpu=1GiB@100GB/s,ram=64GiB", context_tokens=40960
    )
    held = {need.index: need.memory.projector for need in small.devices}
    assert small.verdict is not Verdict.NO
    assert held[None] + held.get(0, 0) == companions.projector.bytes


def test_weigh_fit_shows_what_is_loaded_beside_the_model(files):
    flags = ("--mmproj", str(files["mmproj"]), "--draft", str(files["draft"]), "--context", "4096")
    data = json.loads(run_weigh("fit", str(files["model"]), *flags, "--json").stdout)
    alone = json.loads(run_weigh("fit", str(files["model"]), "--context", "4096", "--json").stdout)
    memory = data["memory"]
    assert memory["total"] == sum(size for name, size in memory.items() if name != "total")
    assert memory["projector"] > 0 < memory["draft"]
    # A draft has the model score what it proposed.
    more = memory["output"] + memory["compute"] - alone["memory"]["output"] - alone["memory"]["compute"]
    assert memory["total"] == alone["memory"]["total"] + memory["projector"] + memory["draft"] + more
    page = run_weigh("fit", str(files["model"]), *flags).stdout
    assert "turns images or sound" in page
    assert "how many it gets right" in " ".join(page.split())


def test_what_cannot_be_loaded_beside_a_model_is_said(files, tmp_path):
    draft = facts.read(str(files["draft"]))
    with pytest.raises(BadModelFile, match="expected a projector"):
        companions_of(projector=draft)
    elsewhere = dataclasses.replace(
        facts.read(str(files["mmproj"])), source=dataclasses.replace(draft.source, files=("https://hub/x.gguf",))
    )
    with pytest.raises(BadSetting, match="is not here"):
        companions_of(projector=elsewhere)
    # A file that says it is a projector, of a kind that no engine knows.
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(files["mmproj"].read_bytes().replace(b"\x03\0\0\0\0\0\0\0mlp", b"\x03\0\0\0\0\0\0\0xyz"))
    with pytest.raises(EngineFailed, match="refuses it"):
        companions_of(projector=facts.read(str(broken)))
    done = run_weigh("fit", "--mmproj", str(files["mmproj"]))
    assert done.returncode == 1
    assert "--mmproj is loaded with one .gguf file" in done.stderr
