"""`weigh fit FILE --ask-engine`: the engine itself tells the buffers of a file, without loading it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import run_weigh
from tests.facts.gguf_families import FAMILIES
from tests.fit.asking import Died, Engine
from tests.fit.test_exactness import NOT_RECORDED
from weighbridge import facts, machine
from weighbridge.errors import BadModelFile, BadSetting, EngineFailed
from weighbridge.figures import Basis
from weighbridge.fit import Verdict, Workload, make_plan
from weighbridge.fit.asking import plan_by_asking
from weighbridge.fit.synthetic import Shape, write_model
from weighbridge.specialists import bundled_file

MIB = 1 << 20
HERE = machine.describe("ram=8GiB@20GB/s,cores=4")


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    shape = Shape(8, 512, 1408, 8, 2, vocabulary=32000, type="Q8_0")
    return write_model(tmp_path_factory.mktemp("models") / "m.gguf", shape)


@pytest.mark.parametrize(
    "workload",
    [
        Workload(2048, 1),
        Workload(4096, 3, ubatch_tokens=256),
        Workload(4096, 2, flash_attention=False),
        Workload(8192, 4, unified_cache=True),
        Workload(4096, 2, cache_type_k="q8_0", cache_type_v="q8_0"),
    ],
    ids=["one", "three", "no flash", "unified", "quantized"],
)
def test_what_the_engine_tells_is_what_is_computed_where_that_is_known(path, workload):
    model = facts.read(path)
    asked, computed = (plan(model, HERE, workload) for plan in (plan_by_asking, make_plan))

    assert asked.basis is Basis.MEASURED
    assert asked.engine_version.startswith("xllamacpp ")
    for part in ("weights", "repack", "kv_cache", "recurrent_state", "compute", "output", "overhead"):
        assert getattr(asked.memory, part) == pytest.approx(getattr(computed.memory, part), abs=0.011 * MIB), part
    assert asked.verdict is computed.verdict
    assert asked.speed
    assert computed.speed
    assert asked.speed.decode == computed.speed.decode


def test_rows_of_scores_that_come_with_later_steps_are_counted():
    model, work = facts.read(bundled_file("arithmetic")), Workload(512, 2)
    asked, computed = (plan(model, HERE, work) for plan in (plan_by_asking, make_plan))

    # With so few tokens each row of a step may be asked for, with its embedding.
    assert asked.memory.output == computed.memory.output == 512 * (768 + 128) * 4


def test_the_largest_context_is_found_by_asking(path):
    model, work = facts.read(path), Workload(2048, 2)
    little = replace(HERE, memory=replace(HERE.memory, available_bytes=190 * MIB))
    asked, computed = (plan(model, little, work) for plan in (plan_by_asking, make_plan))

    assert asked.largest_context
    assert asked.largest_context < model.context_length
    # The log rounds to 0.01 MiB, so one step of 256 may be too many by it.
    assert asked.largest_context == pytest.approx(computed.largest_context, abs=256)


def test_a_form_without_an_estimate_hints_at_asking_and_is_told_so(tmp_path):
    engine, path = Engine(), tmp_path / "model.gguf"
    try:
        for name in NOT_RECORDED:
            family = FAMILIES[name]
            try:
                engine.make(path, family.architecture, family.keys, family.also)
                model = facts.read(path)
                make_plan(model, HERE, Workload(1024, 2))
            except (Died, ValueError):
                continue
            except BadModelFile as error:
                assert "--ask-engine" in error.hint
                try:
                    plan = plan_by_asking(model, HERE, Workload(1024, 2))
                except EngineFailed:
                    continue  # it ends when its graph is asked for
                assert plan.verdict is Verdict.FITS
                assert plan.memory.compute > 0
                return
    finally:
        engine.close()
    pytest.skip("every form that the engine takes has an estimate")


def test_weigh_fit_prints_what_was_told(path):
    flags = ("--context", "2048", "--machine", "ram=8GiB@20GB/s,cores=4")
    page = run_weigh("fit", str(path), "--ask-engine", *flags)
    said = json.loads(run_weigh("fit", str(path), "--ask-engine", "--json", *flags).stdout)

    assert page.returncode == 0, page.stderr
    assert "as the engine told them" in page.stdout.replace("\n      ", " ")
    assert said["basis"] == "measured"
    assert said["memory"]["total"] == sum(size for name, size in said["memory"].items() if name != "total")


@pytest.mark.parametrize(
    ("sources", "says"), [([], "asks about a file"), (["{path}", "{path}"], "one .gguf file")], ids=["none", "two"]
)
def test_what_cannot_be_asked_is_said(path, sources, says):
    done = run_weigh("fit", "--ask-engine", *(source.format(path=path) for source in sources))

    assert done.returncode == 1
    assert says in done.stderr


def test_a_file_that_the_engine_refuses_quotes_it(path, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(path.read_bytes())
    model = facts.read(cut)
    cut.write_bytes(path.read_bytes()[: 1 << 20])

    with pytest.raises(EngineFailed, match="engine refuses it") as refused:
        plan_by_asking(model, HERE, Workload(1024, 1))
    assert refused.value.hint
    assert refused.value.log


def test_a_file_that_is_elsewhere_is_not_asked_about(path):
    model = facts.read(path)
    remote = replace(model, source=replace(model.source, place="hub", files=("org/name/m.gguf",)))

    with pytest.raises(BadSetting, match="not here"):
        plan_by_asking(remote, HERE, Workload(1024, 1))
