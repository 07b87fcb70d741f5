"""What quality costs: energy by counters, times only where they mean something, prices, fronts, drawings."""

from __future__ import annotations

import asyncio
import json
import struct
import time
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.conftest import run_weigh
from weighbridge.cli import drawing
from weighbridge.evals import Footprint, Manner, Price, Target, read_log, read_task, report, run
from weighbridge.evals.cost import cost_of
from weighbridge.evals.energy import Energy, EnergyMeter
from weighbridge.evals.log import Outcomes, Row
from weighbridge.evals.running import Pace
from weighbridge.evals.score import State


def zone(folder, name, label, microjoules, most=262_143_328_850):
    path = folder / name
    path.mkdir(parents=True)
    (path / "name").write_text(label + "\n")
    (path / "energy_uj").write_text(str(microjoules))
    (path / "max_energy_range_uj").write_text(str(most))
    return path / "energy_uj"


def test_energy_is_that_of_the_packages_and_their_memory_also_when_a_counter_runs_over(tmp_path):
    package = zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000, most=9_999_999)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 1_000_000)
    for name, label in (("intel-rapl:0:0", "core"), ("intel-rapl:1", "psys")):
        zone(tmp_path, name, label, 5_000_000).write_text("50000000")
    with EnergyMeter(tmp_path) as meter:
        begun, before = time.monotonic() - 2, meter.joules()
        package.write_text("2000000")
        memory.write_text("1500000")
        found = meter.since(begun, before, idle_watts=1.0)

    assert found is not None
    assert found.joules == pytest.approx(3.0 + 0.5)
    assert found.counters == ("package-0", "dram")
    assert found.idle_joules == pytest.approx(2, abs=0.5)
    assert found.above_idle_joules == pytest.approx(1.5, abs=0.5)


def test_without_a_counter_energy_is_unknown_and_says_why(tmp_path):
    with EnergyMeter(tmp_path / "nowhere") as meter:
        known, why = meter.is_known, meter.why_unknown
        watts = asyncio.run(meter.idle_watts(0.01)) if not known else None

    assert watts is None
    assert known or "no RAPL counter" in why


def test_a_counter_that_stops_telling_makes_the_energy_unknown(tmp_path):
    path = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    with EnergyMeter(tmp_path) as meter:
        path.write_text("no number")

        assert meter.since(time.monotonic(), meter.joules(), None) is None


def outcomes(*rows):
    found = Outcomes()
    for at, values in enumerate(rows):
        found.put(Row(at, str(at), State.SCORED, 1.0, **values))
    return found


def test_the_price_is_by_the_tokens_that_the_server_counted():
    asked = outcomes(*({"prompt_tokens": 100, "completion_tokens": 200},) * 3, {})

    assert cost_of(asked, None, Price(1, 4)).dollars_per_answer == pytest.approx(0.0009)
    assert cost_of(outcomes({}), None, Price(1, 4)).dollars_per_answer is None


def test_a_time_is_told_only_where_our_own_lateness_is_small_against_it():
    row = {"seconds": 1.0, "first_token_seconds": 0.05, "completion_tokens": 20, "lag_seconds": 0.02}
    cost = cost_of(outcomes(*[row] * 5), None, None)

    assert cost.seconds_median == 1.0
    assert cost.token_seconds_median == pytest.approx(0.05, abs=1e-6)
    assert cost.first_token_seconds_median is None
    assert cost.speed_refused == ("first token (50 ms), for this program itself was 20 ms late")


@pytest.mark.parametrize("lag", [None, 0.0, 0.02])
def test_a_token_that_came_with_the_first_one_has_no_time(lag):
    row = {"seconds": 1.0, "first_token_seconds": 1.0, "completion_tokens": 20, "lag_seconds": lag}
    cost = cost_of(outcomes(*[row] * 5), None, None)

    assert cost.first_token_seconds_median == 1.0
    assert cost.token_seconds_median is None
    assert cost.speed_refused.startswith("per token (0 ms), for ")


def test_a_run_of_one_answer_knows_how_late_it_was(server, task_file, tmp_path):
    ran = asyncio.run(run(read_task(task_file(1)), server().target, tmp_path))

    assert ran.pace.lag_p99_seconds > 0


def test_energy_is_told_by_answers_above_idle():
    footprint = Footprint(energy=Energy(10.0, 500.0, 20.0, ("package-0",)))
    cost = cost_of(outcomes({}, {}), Pace(10, 30, (), 1, 0.0, footprint), None)

    assert (cost.joules_per_answer, cost.watts, cost.idle_watts) == (pytest.approx(10), 50, 20)


def test_one_answer_in_eight_is_streamed_unless_all_or_none_shall_be(server, task_file, tmp_path):
    mock, task = server(delay=0.01), read_task(task_file(32))
    firsts = {}
    for stream in (None, True, False):
        ran = asyncio.run(run(task, mock.target, tmp_path / str(stream), Manner(8, stream=stream)))
        rows = list(read_log(ran.log.path).rows())
        firsts[stream] = sum(row.first_token_seconds is not None for row in rows)
        assert [row.state for row in rows] == [State.SCORED] * 32
        assert len({row.answer for row in rows if row.input == rows[0].input}) == 1

    assert firsts == {None: 4, True: 32, False: 0}


def test_a_server_that_does_not_stream_is_read_all_the_same(server, task_file, tmp_path):
    mock, task = server(streams="no"), read_task(task_file(4))
    ran = asyncio.run(run(task, mock.target, tmp_path / "logs", Manner(1, stream=True)))

    assert [(row.state, row.first_token_seconds) for row in ran.log.rows()] == [(State.SCORED, None)] * 4


@pytest.fixture(scope="module")
def sheet():
    marks = (
        drawing.Line(10, 10, 90, 10, "mark", 3.0), drawing.Line(10, 30, 90, 30, dashed=True),
        drawing.Dot(50, 50), drawing.Dot(70, 50, filled=False), drawing.Words(10, 80, "Qwen3-8B <é>"),
    )  # fmt: skip
    return drawing.Drawing(100, 100, marks, 'a "sheet"')


def test_a_drawing_is_a_png_that_others_can_read(sheet):
    data = drawing.png(sheet, scale=2)
    chunks, at = {}, 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (200, 200, 8, 2, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(200, 601)
    assert not rows[:, 0].any()
    pixels = rows[:, 1:].reshape(200, 200, 3)

    assert tuple(pixels[100, 100]) == tuple(pixels[20, 100]) == (0x0B, 0x62, 0xC4)
    assert tuple(pixels[100, 140]) == (255, 255, 255)
    assert (pixels[145:162, 20:180] < 100).any()


def test_a_drawing_is_an_svg_that_others_can_read(sheet):
    found = ElementTree.fromstring(drawing.svg(sheet))

    assert found.attrib["aria-label"] == 'a "sheet"'
    assert [each.text for each in found if each.tag.endswith("text")] == ["Qwen3-8B <é>"]


def test_the_report_has_costs_fronts_drawings_and_prices(server, task_file, tmp_path):
    good, bad = server(delay=0.02), server(reply="#### 1")
    files = {name: tmp_path / name for name in ("report.html", "costs.svg", "costs.png")}
    done = run_weigh(
        "eval", str(task_file(60)), "--url", f"{good.url}#good", "--url", f"{bad.url}#bad", "--concurrency", "4",
        "--url", f"{bad.url}#free", "--price", "good=1/4", "--price", "bad=0.5/1", "--html", str(files["report.html"]),
        "--plot", str(files["costs.svg"]), WEIGHBRIDGE_STATE_DIR=str(tmp_path / "state"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    assert "$/1,000" in done.stdout
    assert "score against" in done.stdout
    assert "A good" in done.stdout
    front = "nothing beats in both score and dollars for 1,000 answers: good, bad (of the 2 of 3 models"
    assert front in done.stdout.replace("\n", " ")
    assert max(map(len, done.stdout.splitlines())) <= 80
    drawn = ElementTree.fromstring(files["costs.svg"].read_text())
    assert any("dollars for 1,000 answers" in (each.text or "") for each in drawn.iter())
    assert "dollars for 1,000 answers" in files["report.html"].read_text()

    logs = sorted(map(str, (tmp_path / "state" / "evals").glob("*.jsonl")))
    again = run_weigh("eval", "report", *logs, "--plot", str(files["costs.png"]), "--json")
    assert again.returncode == 0, again.stderr
    assert files["costs.png"].read_bytes().startswith(b"\x89PNG")
    [found] = json.loads(again.stdout)
    assert found["advice"] == {
        "use": ["good"], "sure": "better than each other one beyond chance (p < 0.0001, corrected)",
        "is_sure": True, "cheapest": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--price", "mock=cheap"), "is no price"),
        (("--price", "other=1/2"), "no such model is asked"),
        (("--plot", "costs.gif"), "neither .svg nor .png"),
    ],
)
def test_what_cannot_be_priced_or_drawn_is_said(server, task_file, tmp_path, words, says):
    done = run_weigh("eval", str(task_file(2)), "--url", server().url, *words, WEIGHBRIDGE_STATE_DIR=str(tmp_path))

    assert done.returncode == 1
    assert says in done.stderr


def test_of_models_that_are_not_told_apart_the_cheapest_is_named(server, task_file, tmp_path):
    one, task = server(), read_task(task_file(40))
    logs, prices = [], {"a": Price(5, 5), "b": Price(1, 1)}
    for name in prices:
        logs.append(asyncio.run(run(task, Target(one.url, "mock", name=name), tmp_path / "logs", Manner(4))).log)
    [found] = report(logs, prices=prices)

    assert found.advice.use == ("a", "b")
    assert not found.advice.is_sure
    assert found.advice.cheapest["price"] == "b"
    assert found.advice.sure.startswith("the data do not tell them apart")
