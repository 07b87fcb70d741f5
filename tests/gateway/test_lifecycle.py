"""The lifecycle with real processes: memory is never overdrawn, nobody is cut off, and what fails is started again."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import os
import random
import signal
import time

import httpx2 as httpx
import openai
import psutil
import pytest

from tests.patience import comes_true
from weighbridge import facts, fit, machine, settings
from weighbridge.engines import Model
from weighbridge.errors import DoesNotFit
from weighbridge.gateway import serve
from weighbridge.gateway.scheduler import Phase
from weighbridge.specialists import bundled

BUDGET = 60 << 20


def fake(name: str, **options: object) -> Model:
    return Model(name, "fake", options={key: str(value) for key, value in options.items()})


def two_models(**options: object) -> list[Model]:
    """Two that do not fit side by side."""
    return [fake(name, memory_bytes="40MiB", **options) for name in ("one", "two")]


def settings_of(tmp_path, text: str = "", **rows: object) -> settings.Settings:
    (tmp_path / "w.toml").write_text(text)
    given = {"port": 0, "state_dir": str(tmp_path), "memory_budget_bytes": BUDGET} | rows
    return settings.load(given, config=str(tmp_path / "w.toml"), environment={})


class Served:
    """A gateway in this process, and clients of it."""

    def __init__(self, gateway, url: str, told: list[str]) -> None:
        self.gateway, self.url, self.told = gateway, url, told
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30)
        self.http = httpx.AsyncClient(base_url=url, timeout=30)

    async def ask(self, model: str, text: str = "hello", **options):
        messages = [{"role": "user", "content": text}]
        answer = await self.openai.chat.completions.create(model=model, messages=messages, **options)
        return answer.choices[0].message.content

    async def stream(self, model: str, seen: list[str], **options) -> None:
        messages = [{"role": "user", "content": "go on"}]
        async for event in await self.openai.chat.completions.create(
            model=model, messages=messages, stream=True, **options
        ):
            seen.append(event.choices[0].delta.content)

    async def ps(self) -> dict:
        return (await self.http.get("/ps")).json()

    async def model(self, name: str) -> dict:
        return next(model for model in (await self.ps())["models"] if model["name"] == name)

    async def until(self, name: str, condition, seconds: float = 60) -> dict:
        end = time.monotonic() + seconds
        while not condition(found := await self.model(name)):
            assert time.monotonic() < end, f"not seen within {seconds} s: {found}"
            await asyncio.sleep(0.03)
        return found


def play(tmp_path, models: list[Model], story, text: str = "", tell=None, **rows: object) -> list[str]:
    """Serve the models while the story runs; what was told to the operator. Nothing may be left of any engine."""
    told: list[str] = []

    async def whole() -> None:
        async with serve(models, settings_of(tmp_path, text, **rows), tell or told.append) as (gateway, url):
            served = Served(gateway, url, told)
            async with served.openai, served.http:
                await story(served)

    before = set(psutil.Process().children(recursive=True))
    asyncio.run(whole())
    left = set(psutil.Process().children(recursive=True)) - before
    assert not left, f"left behind: {left}"
    return told


def test_two_models_in_the_room_of_one_both_answer_and_no_answer_is_cut(tmp_path):
    async def story(served: Served) -> None:
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                memory = (await served.ps())["memory"]["memory"]
                assert memory["used_bytes"] <= memory["budget_bytes"] == BUDGET
                held = [life.measured_bytes or 0 for life in served.gateway.pool.lives.values()]
                most = max(most, sum(held))
                await asyncio.sleep(0.02)

        watching = asyncio.create_task(watch())
        words: list[str] = []
        streaming = asyncio.create_task(served.stream("one", words))
        await served.until("one", lambda model: model["requests_in_flight"] == 1)
        assert await served.ask("two", max_tokens=2)
        assert len(words) == 41, "the answer of one was cut off"
        await streaming
        await asyncio.gather(*(served.ask(name, max_tokens=1) for name in ("one", "two") * 10))
        watching.cancel()
        assert 40 << 20 < most < 2 * (40 << 20)

    told = play(
        tmp_path, two_models(tokens_per_second=60, tokens=40), story, memory_budget_bytes=BUDGET, turn_seconds=0.2
    )
    assert "one: unloaded, its memory is needed" in told


def test_the_specialists_take_turns_in_the_room_of_one_and_stay_right(tmp_path):
    models = [specialist(name) for name in bundled()]
    budget = max(model.need["memory"] for model in models) + (1 << 20)

    async def story(served: Served) -> None:
        for _ in range(2):
            assert await served.ask("auto", "What is 37 plus 58?", temperature=0) == "95"
            said = await served.ask("auto", "Anna Keller paid 45 euros on 3 March 2024.", temperature=0)
            assert '"Anna Keller"' in said
            assert sum(model["state"] == "ready" for model in (await served.ps())["models"]) == 1
        assert [model["loads"] for model in (await served.ps())["models"]] == [2, 2]

    play(tmp_path, models, story, memory_budget_bytes=budget)


def test_a_model_goes_when_nobody_asks_and_comes_back_when_someone_does(tmp_path):
    async def story(served: Served) -> None:
        assert await served.ask("one")
        found = await served.model("one")
        assert 0 <= found["keep_alive_left_seconds"] <= 2
        pid = found["pid"]
        await served.until("one", lambda model: model["state"] == "stopped")
        assert not psutil.pid_exists(pid)
        assert await served.ask("one")
        assert (await served.model("two"))["keep_alive_seconds"] is None

    text = "[models.one]\nkeep_alive_seconds = 2\n"
    told = play(tmp_path, two_models(), story, text)
    assert "one: unloaded, nobody asked for it for 2 s" in told


def test_a_model_that_is_not_kept_goes_at_once(tmp_path):
    async def story(served: Served) -> None:
        await served.gateway.pool.preload()
        assert served.gateway.pool.phase("one") is Phase.STOPPED
        assert await served.ask("one")
        await served.until("one", lambda model: model["state"] == "stopped")

    play(tmp_path, [fake("one")], story, keep_alive_seconds=0)


def test_a_pinned_model_stays_and_what_cannot_fit_beside_it_is_told_the_sum(tmp_path):
    async def story(served: Served) -> None:
        await served.gateway.pool.preload()
        assert (await served.model("one"))["state"] == "ready"
        answer = await served.http.post(
            "/v1/chat/completions", json={"model": "two", "messages": [{"role": "user", "content": "x"}]}
        )
        assert answer.status_code == 507
        error = answer.json()["error"]
        assert error["code"] == "does_not_fit"
        assert error["message"] == (
            "two needs 40.0 MiB of main memory; the budget is 60.0 MiB, of which 40.0 MiB are pinned for other models"
        )
        assert (await served.model("one"))["state"] == "ready"
        assert (await served.ask("auto")).startswith("one ")

    models = [fake("one", memory_bytes="40MiB", reply="one"), fake("two", memory_bytes="40MiB", reply="two")]
    play(tmp_path, models, story, "[models.one]\npinned = true\n[models.two]\npreload = false\n")


def test_an_operator_who_hears_nothing_any_more_stops_no_model(tmp_path):
    def broken(_line: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    async def story(served: Served) -> None:
        for name in ("one", "two", "one"):
            assert await asyncio.wait_for(served.ask(name), 60)

    play(tmp_path, two_models(), story, tell=broken)


def test_pinned_models_that_do_not_fit_together_are_refused_before_anything_starts(tmp_path):
    with pytest.raises(DoesNotFit, match=r"of which 40\.0 MiB are pinned for other models"):
        play(tmp_path, two_models(), None, "[models.one]\npinned = true\n[models.two]\npinned = true\n")


def test_at_the_start_as_many_are_loaded_as_there_is_room_for(tmp_path):
    async def story(served: Served) -> None:
        await served.gateway.pool.preload()
        assert [model["state"] for model in (await served.ps())["models"]] == ["ready", "stopped"]
        assert await served.ask("two")

    play(tmp_path, two_models(), story)


def test_a_queue_has_an_end_in_length(tmp_path):
    async def story(served: Served) -> None:
        waits = [asyncio.create_task(served.ask("one")) for _ in range(2)]
        await served.until("one", lambda model: model["requests_waiting"] == 2)
        with pytest.raises(openai.InternalServerError) as full:
            await served.ask("one")
        assert (full.value.status_code, full.value.code) == (503, "queue_full")
        assert int(full.value.response.headers["retry-after"]) >= 1
        for wait in waits:
            wait.cancel()

    play(tmp_path, [fake("one", load_seconds=100)], story, queue_limit=2)


def test_a_queue_has_an_end_in_time(tmp_path):
    async def story(served: Served) -> None:
        with pytest.raises(openai.InternalServerError) as late:
            await served.ask("one")
        assert (late.value.status_code, late.value.code) == (503, "queue_timeout")
        assert int(late.value.response.headers["retry-after"]) >= 1

    play(tmp_path, [fake("one", load_seconds=100)], story, queue_timeout_seconds=0.3)


def test_a_client_that_leaves_the_queue_is_forgotten(tmp_path):
    async def story(served: Served) -> None:
        waiting = asyncio.create_task(served.ask("one"))
        await served.until("one", lambda model: model["requests_waiting"] == 1)
        waiting.cancel()
        found = await served.until("one", lambda model: model["requests_waiting"] == 0)
        assert found["state"] == "starting"

    play(tmp_path, [fake("one", load_seconds=100)], story)


def test_models_are_loaded_and_unloaded_by_hand(tmp_path):
    async def story(served: Served) -> None:
        loaded = await served.http.post("/admin/models/one/load")
        assert (loaded.status_code, loaded.json()) == (200, {"name": "one", "state": "ready"})
        words: list[str] = []
        streaming = asyncio.create_task(served.stream("one", words))
        await served.until("one", lambda model: model["requests_in_flight"] == 1)
        unloading = asyncio.create_task(served.http.post("/admin/models/one/unload"))
        await served.until("one", lambda model: model["state"] == "draining")
        late = asyncio.create_task(served.ask("one", max_tokens=1))
        unloaded = await unloading
        assert (unloaded.status_code, len(words)) == (200, 31)
        await streaming
        assert await late, "who comes while it drains gets the next life"
        assert (await served.model("one"))["loads"] == 2

        assert (await served.http.post("/admin/models/nobody/load")).json()["error"]["code"] == "model_not_found"
        elsewhere = await served.http.post("/admin/models/one/unload", headers={"origin": "https://evil.example"})
        assert elsewhere.status_code == 403
        assert (await served.http.get("/admin/models/one/unload")).status_code == 405

    play(tmp_path, [fake("one", tokens_per_second=60, tokens=30)], story)


def test_a_model_that_is_ready_and_busy_is_loaded_at_once(tmp_path):
    plan = dataclasses.replace(specialist("arithmetic").plan, workload=fit.Workload(256, 1))

    async def story(served: Served) -> None:
        streaming = asyncio.create_task(served.stream("one", []))
        await served.until("one", lambda model: model["requests_in_flight"] == 1)
        await served.gateway.pool.load("one")
        assert not streaming.done()
        streaming.cancel()

    model = dataclasses.replace(fake("one", tokens_per_second=20, tokens=10_000), plan=plan)
    play(tmp_path, [model], story)


def test_the_admin_doors_ask_for_the_key(tmp_path):
    async def story(served: Served) -> None:
        assert (await served.http.post("/admin/models/one/load")).status_code == 401
        with_key = await served.http.post("/admin/models/one/load", headers={"authorization": "Bearer s3cret"})
        assert with_key.status_code == 200

    play(tmp_path, [fake("one")], story, api_key="s3cret")


def test_memory_over_the_plan_is_told_once_and_shown(tmp_path):
    async def story(served: Served) -> None:
        await served.ask("one", max_tokens=60)
        found = await served.until("one", lambda model: model["memory_over_plan"])
        assert found["memory_measured_bytes"] > found["memory_planned_bytes"] + (32 << 20)
        await served.ps()
        assert "weighbridge_engine_memory_over_plan" in (metrics := (await served.http.get("/metrics")).text)
        assert 'weighbridge_engine_memory_over_plan{model="one"} 1.0' in metrics
        assert 'weighbridge_memory_budget_bytes{place="memory"}' in metrics

    told = play(tmp_path, [fake("one", memory_bytes="16MiB", leak_bytes_per_token="1MiB")], story)
    assert len([line for line in told if "planned were 16.0 MiB" in line]) == 1


def test_where_the_machine_runs_out_of_memory_the_longest_idle_goes_and_one_at_work_stays(tmp_path):
    async def story(served: Served) -> None:
        await served.gateway.pool.preload()
        words: list[str] = []
        streaming = asyncio.create_task(served.stream("one", words))
        await served.until("two", lambda model: model["state"] == "stopped")
        assert (await served.model("one"))["state"] == "ready"
        await streaming
        assert len(words) == 161

    models = [fake("one", memory_bytes="20MiB", tokens=160, tokens_per_second=40), fake("two", memory_bytes="20MiB")]
    told = play(tmp_path, models, story, memory_margin_bytes=1 << 50)
    assert any("of memory are available: the longest idle model goes" in line for line in told)


def specialist(name: str) -> Model:
    plan = fit.make_plan(facts.read(bundled()[name]), machine.detect(), fit.Workload(), use_devices=False)
    return Model(name, "llama_cpp", card=plan.facts.card, plan=plan)


@pytest.mark.parametrize("engine", ["fake", "llama_cpp"])
def test_who_waits_for_an_engine_that_hangs_is_answered_by_a_fresh_one(tmp_path, engine):
    model = fake("arithmetic", reply="95") if engine == "fake" else specialist("arithmetic")

    async def story(served: Served) -> None:
        assert await served.ask("arithmetic", "What is 37 plus 58?")
        pid = (await served.model("arithmetic"))["pid"]
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        questions = [served.ask("arithmetic", "What is 37 plus 58?", temperature=0) for _ in range(4)]
        assert [said.strip() for said in await asyncio.gather(*questions)] == ["95"] * 4
        assert time.monotonic() - begun < 60, "before the read timeout"
        assert not psutil.pid_exists(pid)
        assert (await served.model("arithmetic"))["restarts"] == 1

    play(tmp_path, [model], story, health_interval_seconds=0.3, read_timeout_seconds=100)


def test_an_engine_that_hangs_while_it_streams_is_ended_and_the_stream_says_so(tmp_path):
    async def story(served: Served) -> None:
        words: list[str] = []
        with pytest.raises(openai.APIError, match="the engine of one ended while it answered"):
            await served.stream("one", words, max_tokens=10)
        assert len(words) == 3
        assert (await served.until("one", lambda model: model["cause"]))["restarts"] == 1
        assert await served.ask("one", max_tokens=1)

    told = play(tmp_path, [fake("one", stop_after_tokens=3)], story, health_interval_seconds=0.3)
    assert "one: it did not answer 2 health checks in a row; it will be started again when it is asked for" in told


def test_a_slow_engine_that_says_that_it_is_well_is_left_alone(tmp_path):
    async def story(served: Served) -> None:
        assert await served.ask("one", max_tokens=2)
        assert (await served.model("one"))["restarts"] == 0

    play(tmp_path, [fake("one", tokens_per_second=0.8)], story, health_interval_seconds=0.2)


def test_an_engine_whose_answers_hang_is_found_by_asking_it_for_a_token(tmp_path):
    async def story(served: Served) -> None:
        with pytest.raises(openai.InternalServerError) as caught:
            await served.ask("one")
        assert caught.value.code == "engine_timeout"
        await served.until("one", lambda model: model["restarts"] == 1)

    told = play(tmp_path, [fake("one", hang_after_tokens=0)], story, read_timeout_seconds=0.5)
    assert any("it was asked for a token, and gave none within 0.5 s" in line for line in told)


def test_an_engine_that_dies_before_it_answers_is_tried_once_more(tmp_path):
    async def story(served: Served) -> None:
        with pytest.raises(openai.InternalServerError) as caught:
            await served.ask("one")
        assert (caught.value.status_code, caught.value.code) == (502, "engine_died")
        assert (await served.until("one", lambda model: model["restarts"] == 2))["loads"] == 2

    play(tmp_path, [fake("one", die_after_tokens=0)], story)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"abort_after_tokens": 3}, "its process was ended by SIGABRT: fake: error: told to abort"),
        (
            {"leak_bytes_per_token": "8MiB", "memory_limit_bytes": "160MiB"},
            "its process ended with exit code 12: fake: error: out of memory: 8388608 bytes could not be had",
        ),
    ],
)
def test_an_engine_that_ends_while_it_streams_says_why_and_the_next_request_has_a_new_one(tmp_path, options, cause):
    async def story(served: Served) -> None:
        words: list[str] = []
        with pytest.raises(openai.APIError, match=f"the engine of one ended while it answered: {cause}"):
            await served.stream("one", words, max_tokens=100)
        assert 1 <= len(words) < 100
        found = await served.until("one", lambda model: model["cause"])
        assert found["cause"] == f"one: {cause}"
        assert found["restarts"] == 1
        assert await served.ask("one", max_tokens=1)
        found = await served.model("one")
        assert (found["cause"], found["last_end"]) == (None, cause)

    play(tmp_path, [fake("one", tokens_per_second=100, **options)], story)


def test_a_crash_loop_opens_the_breaker_which_ps_shows_and_an_operator_closes(tmp_path):
    async def story(served: Served) -> None:
        # The pauses double up to 30 s, so that also on a slow machine there is one in which all of this is seen.
        for _ in range(12):
            with pytest.raises(openai.InternalServerError) as refused:
                await served.ask("one")
            found = await served.model("one")
            metrics = (await served.http.get("/metrics")).text
            if refused.value.status_code == 503 and found["breaker"] == "open":
                break
        assert (found["state"], found["breaker"]) == ("failed", "open")
        assert 0 < found["retry_seconds"] <= 30
        assert refused.value.code == "engine_unavailable"
        assert "exit code 9" in refused.value.message
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 30
        assert 'weighbridge_breaker_open{model="one"} 1.0' in metrics
        await served.http.post("/admin/models/one/unload")
        found = await served.model("one")
        assert (found["state"], found["breaker"]) == ("stopped", "closed")

    play(tmp_path, [fake("one", die_after_tokens=0)], story)


def test_an_engine_that_starts_for_ever_is_ended_and_its_room_is_free_again(tmp_path):
    async def story(served: Served) -> None:
        with pytest.raises(openai.InternalServerError) as caught:
            await served.ask("one")
        assert caught.value.code == "engine_unavailable"
        assert "one: not ready after 4 s" in caught.value.message
        assert (await served.ps())["memory"]["memory"]["used_bytes"] == 0
        assert await served.ask("two")

    models = [fake("one", memory_bytes="40MiB", load_seconds=60), fake("two", memory_bytes="40MiB")]
    play(tmp_path, models, story, start_timeout_seconds=4)


def test_a_load_that_nobody_waits_for_any_more_makes_room(tmp_path):
    async def story(served: Served) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(served.ask("one"), 0.3)
        begun = time.monotonic()
        assert await served.ask("two")
        assert time.monotonic() - begun < 60

    models = [fake("one", memory_bytes="40MiB", load_seconds=100), fake("two", memory_bytes="40MiB")]
    play(tmp_path, models, story)


def test_speed_is_shown_while_a_model_answers(tmp_path):
    async def story(served: Served) -> None:
        words: list[str] = []
        streaming = asyncio.create_task(served.stream("one", words))
        found = await served.until("one", lambda model: model["tokens_per_second"] > 5)
        assert found["tokens_per_second"] < 200
        assert found["idle_seconds"] is None
        await streaming
        assert (await served.model("one"))["idle_seconds"] < 60

    play(tmp_path, [fake("one", tokens_per_second=50, tokens=150)], story)


def test_dozens_of_loads_of_two_models_with_traffic_leak_nothing(gateway, tmp_path):
    models = [f"{name}=fake:memory_bytes=40MiB,tokens_per_second=400,tokens=20" for name in ("one", "two")]
    running = gateway(*models, WEIGHBRIDGE_MEMORY_BUDGET_BYTES="60MiB", WEIGHBRIDGE_TURN_SECONDS="0")
    process = psutil.Process(running.process.pid)

    async def rounds(count: int) -> None:
        async with openai.AsyncOpenAI(
            base_url=f"{running.url}/v1", api_key="none", max_retries=0, timeout=30
        ) as client:

            async def ask(name: str, stream: bool) -> None:
                answer = await client.chat.completions.create(
                    model=name, stream=stream, messages=[{"role": "user", "content": "hello"}]
                )
                if stream:
                    assert len([event async for event in answer]) == 21
                else:
                    assert answer.usage.completion_tokens == 20

            for _ in range(count):
                for name in ("one", "two"):
                    await asyncio.gather(ask(name, True), ask(name, False), ask(name, True))

    asyncio.run(rounds(4))
    running.ps()  # what pages need is loaded now
    files, memory = process.num_fds(), process.memory_full_info().uss
    asyncio.run(rounds(8))
    assert comes_true(lambda: len(process.children(recursive=True)) == 1)
    found = running.ps()

    assert sum(model["loads"] for model in found.values()) >= 24
    assert [model["restarts"] for model in found.values()] == [0, 0]
    assert comes_true(lambda: process.num_fds() <= files + 3)
    assert process.memory_full_info().uss - memory < 4 << 20
    (socket,) = {each.laddr for each in process.children()[0].net_connections("unix") if each.laddr}
    assert len(os.listdir(os.path.dirname(socket))) == 1


def test_whatever_happens_in_whatever_order_everyone_is_answered_once_and_nothing_stays_promised(tmp_path):
    """Requests of which some leave, unloads, loads and kills, at random, for three models in the room of two."""
    rng = random.Random(20260731)
    outcomes: collections.Counter[str] = collections.Counter()

    async def story(served: Served) -> None:
        pool = served.gateway.pool
        names = list(pool.models)

        async def ask() -> None:
            asking = asyncio.create_task(served.ask(rng.choice(names), max_tokens=rng.choice((1, 20))))
            try:
                await asyncio.wait_for(asking, rng.choice((0.05, 0.3, 25, 25, 25)))
                outcomes["answered"] += 1
            except TimeoutError:
                outcomes["left"] += 1
            except openai.APIStatusError as error:
                outcomes[str(error.code)] += 1
            except openai.APIConnectionError:
                outcomes["cut"] += 1

        async def operate() -> None:
            door = rng.choice(("unload", "unload", "load"))
            await served.http.post(f"/admin/models/{rng.choice(names)}/{door}")

        async def kill() -> None:
            lives = list(pool.lives.values())
            if lives:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(lives).running.pid, rng.choice((signal.SIGKILL, signal.SIGSTOP)))

        tasks = []
        for _ in range(160):
            doing = rng.choices((ask, operate, kill), (12, 2, 1))[0]
            tasks.append(asyncio.create_task(doing()))
            assert pool.state.used().get("memory", 0) <= pool.state.budget["memory"]
            await asyncio.sleep(rng.choice((0, 0, 0.01, 0.05)))
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        for name in names:
            await served.http.post(f"/admin/models/{name}/unload")
        for name in names:
            await served.until(name, lambda model: model["state"] in ("stopped", "failed"))
        assert not pool.state.used().get("memory")
        assert not pool.lives
        assert not pool._answers
        for model in pool.state.models.values():
            assert not model.serving
            assert not model.waiting

    models = [fake(name, memory_bytes="30MiB", tokens_per_second=100, load_seconds=0.05) for name in ("a", "b", "c")]
    play(tmp_path, models, story, health_interval_seconds=0.3, turn_seconds=0.2, breaker_failures=50)

    refused = {"engine_died", "engine_unavailable"}
    assert set(outcomes) <= {"answered", "left", "cut"} | refused
    assert outcomes["answered"] > 40


def test_after_a_gateway_was_killed_outright_the_next_one_starts_clean(gateway, tmp_path):
    first = gateway("fake")
    (child,) = psutil.Process(first.process.pid).children()
    first.process.kill()
    first.process.wait()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running()
    second = gateway("fake")

    assert second.client().chat.completions.create(model="fake", messages=[{"role": "user", "content": "x"}]).choices
    left = [path for path in (tmp_path / "engines").glob("*.json") if f'"pid": {child.pid},' in path.read_text()]
    assert not left


def test_requests_that_pass_by_the_scheduler_are_known_to_it_when_somebody_looks(tmp_path):
    async def story(served: Served) -> None:
        pool = served.gateway.pool
        await pool.preload()
        for looks in (False, True):
            begun = time.monotonic()
            held = [pool.lease_now("arithmetic"), pool.lease_now("arithmetic")]
            if looks:
                assert len(pool.state.models["arithmetic"].serving) == 2
            assert all(held)
            assert pool.lease_now("arithmetic") is None, "it was planned for two at once"
            pool.give_back(held.pop())
            held.append(pool.lease_now("arithmetic"))
            assert len(pool.state.models["arithmetic"].serving) == 2
            waiting = asyncio.create_task(pool.obtain("arithmetic"))
            await asyncio.sleep(0)
            assert len(pool.state.models["arithmetic"].waiting) == 1
            for lease in held:
                pool.give_back(lease)
            pool.give_back(await waiting)
            model = pool.state.models["arithmetic"]
            assert model.is_idle
            assert begun <= model.idle_since <= time.monotonic()
            assert pool.lives["arithmetic"].health.serving == 0

    play(tmp_path, [specialist("arithmetic")], story, memory_budget_bytes=1 << 30)


def test_a_model_that_nobody_asks_for_goes_also_after_requests_that_passed_by(tmp_path):
    async def story(served: Served) -> None:
        await served.gateway.pool.preload()
        assert await served.ask("one", max_tokens=2)
        await served.until("one", lambda model: model["state"] == "stopped")

    told = play(tmp_path, [fake("one")], story, keep_alive_seconds=0.5)
    assert "one: unloaded, nobody asked for it for 0.5 s" in told
