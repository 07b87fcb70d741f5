"""What the gateway writes down: a row for each request, whatever became of it, and of its words only if asked."""

from __future__ import annotations

import asyncio
import hashlib
import json

from tests.gateway.test_door import Elsewhere, says_so
from tests.gateway.test_lifecycle import Served, fake, play
from weighbridge import facts, fit, ledger, machine
from weighbridge.engines import Model
from weighbridge.ledger import folder_of
from weighbridge.specialists import bundled

ASKED = {"model": "one", "messages": [{"role": "user", "content": "hello"}]}


def rows_of(state, kind: str = "request") -> list[dict]:
    return [dict(row.fields) for row in ledger.rows(folder_of(state)) if row.kind == kind]


def sums() -> Model:
    """A real engine with a small model."""
    read = facts.read(bundled()["arithmetic"])
    return Model("sums", "llama_cpp", plan=fit.make_plan(read, machine.detect(), fit.Workload(context_tokens=256)))


def test_every_request_is_a_row_and_the_chain_is_sound(tmp_path):
    async def story(served: Served) -> None:
        await served.ask("one", "a secret question")
        await served.stream("one", [], stream_options={"include_usage": False})
        body = {"model": "auto", "messages": [{"role": "user", "content": "a secret question"}]}
        await served.http.post("/v1/chat/completions", json=body)
        await served.http.post("/v1/chat/completions", json=body | {"model": "nobody"})
        await served.http.post("/v1/chat/completions", content=b"{")
        await served.http.get("/v1/chat/completions")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
        raw = json.dumps(body | {"model": "one", "stream": True}).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(raw))
        writer.write(raw)
        await reader.readuntil(b"data: ")
        writer.close()
        await served.until("one", lambda model: not model["requests_in_flight"])

    play(tmp_path, [fake("one", tokens=20, tokens_per_second=200)], story)
    rows = rows_of(tmp_path)

    assert [(row["status"], row["outcome"], row["model"], row["layer"]) for row in rows] == [
        (200, "done", "one", "name"),
        (200, "done", "one", "name"),
        (200, "done", "one", "only"),
        (404, "error", None, None),
        (400, "error", None, None),
        (405, "error", None, None),
        (200, "gone", "one", "name"),
    ]
    assert [row["stream"] for row in rows] == [False, True, False, False, False, False, True]
    assert [row["error"] for row in rows[3:6]] == ["model_not_found", rows[4]["error"], "method_not_allowed"]
    assert rows[0]["completion_tokens"] > 0
    assert rows[0]["asked"] == "one"
    assert rows[2]["asked"] == "auto"
    assert len({row["id"] for row in rows}) == 7
    assert 0 <= rows[1]["queue_us"] <= rows[1]["first_us"] <= rows[1]["total_us"]
    events = [row["event"] for row in rows_of(tmp_path, "gateway")]
    assert events == ["started", "stopped"]
    assert ledger.verify(folder_of(tmp_path)).is_untouched
    written = b"".join(path.read_bytes() for path in folder_of(tmp_path).rglob("*.*"))
    assert b"secret" not in written


def test_an_engines_row_names_its_files_by_their_sums_once_they_are_known(tmp_path):
    path = bundled()["arithmetic"]

    async def story(served: Served) -> None:
        await served.ask("sums", "What is 1 plus 2?")
        until = asyncio.get_running_loop().time() + 10
        while not served.gateway.recorder._identities.of("sums")[1]:
            assert asyncio.get_running_loop().time() < until
            await asyncio.sleep(0.01)
        for _ in range(2):
            await served.ask("sums", "What is 1 plus 2?")

    play(tmp_path, [sums()], story, memory_budget_bytes=1 << 30)
    engines = {row["number"]: row for row in rows_of(tmp_path, "engine")}
    requests = rows_of(tmp_path)

    newest = engines[max(engines)]
    (file,) = newest["files"]
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert file["name"] == path.name
    assert newest["plan"]["context_tokens"] == 256
    assert len(engines) <= 2, "one before the sum was known, one after it, however many requests there are"
    assert requests[-1]["engine"] == requests[-2]["engine"] == named(newest)
    assert requests[-1]["prompt_tokens"] > 0


def named(row: dict) -> str:
    said = {name: value for name, value in row.items() if name not in ("kind", "number", "time")}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def test_a_server_elsewhere_is_named_without_its_key(tmp_path):
    far = Elsewhere(says_so)

    async def story(served: Served) -> None:
        async with far:
            await served.http.post("/v1/chat/completions", json=ASKED | {"model": "far"})

    play(tmp_path, [far.model(api_key="s3cret")], story)
    (engine,) = rows_of(tmp_path, "engine")

    assert engine["server"] == f"http://127.0.0.1:{far.port}"
    assert "s3cret" not in json.dumps(engine)


def test_words_are_kept_where_the_settings_say_so(tmp_path):
    image = "data:image/png;base64," + "A" * 5000

    async def story(served: Served) -> None:
        answer = await served.ask("one", "what is kept?")
        pieces: list[str] = []
        await served.stream("one", pieces)
        parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": image}}]
        body = {"model": "one", "messages": [{"role": "user", "content": parts}]}
        await served.http.post("/v1/chat/completions", json=body)
        story.said = answer, "".join(filter(None, pieces))

    play(tmp_path, [fake("one", tokens=5)], story, ledger_text=True)
    rows = rows_of(tmp_path)

    assert json.loads(rows[0]["prompt"])["messages"][0]["content"] == "what is kept?"
    assert (rows[0]["answer"], rows[1]["answer"]) == story.said
    assert "see" in rows[2]["prompt"]
    assert "AAAA" * 100 not in rows[2]["prompt"]
    assert ledger.verify(folder_of(tmp_path)).is_untouched


def test_nothing_is_written_where_the_ledger_is_off(tmp_path):
    async def story(served: Served) -> None:
        await served.ask("one")

    play(tmp_path, [fake("one")], story, ledger=False)

    assert not folder_of(tmp_path).exists()


def test_refusals_by_the_hundred_are_counted_and_do_not_fill_the_disk(tmp_path):
    async def story(served: Served) -> None:
        for _ in range(150):
            assert (await served.http.post("/v1/chat/completions", json={})).status_code == 401
        await served.http.post("/v1/completions", json={"model": "one"}, headers={"authorization": "Bearer k"})

    play(tmp_path, [fake("one")], story, api_key="k")
    refused = [row for row in rows_of(tmp_path) if row["status"] == 401]

    assert 50 <= len(refused) < 150
    assert sum(row["count"] for row in rows_of(tmp_path, "lost")) == 150 - len(refused)
    assert {row["error"] for row in refused} == {"invalid_api_key"}


def test_several_prompts_and_choices_are_one_request_of_which_each_prompt_counts_once(tmp_path):
    prompts = ["1+1=", "2+2222222=", ""]
    told, names, counted = [], [], ""

    async def story(served: Served) -> None:
        nonlocal counted
        asked = {"model": "sums", "max_tokens": 4, "temperature": 0}
        lone = [(await served.openai.completions.create(prompt=prompt, **asked)).usage for prompt in prompts]
        told.append((sum(usage.prompt_tokens for usage in lone), 2 * sum(usage.completion_tokens for usage in lone)))
        before = (await served.http.get("/metrics")).text
        for options in ({}, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}):
            body = {"prompt": prompts, "n": 2, **asked, **options}
            answer = await served.http.post("/v1/completions", json=body)
            names.append(answer.headers["x-request-id"])
            if not options:
                events = [answer.json()]
                assert [choice["index"] for choice in events[0]["choices"]] == list(range(6))
            else:
                events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
                assert {choice["index"] for event in events for choice in event["choices"]} == set(range(6))
            usages = [event["usage"] for event in events if event.get("usage")]
            assert len(usages) == (options != {"stream": True})
            assert all((usage["prompt_tokens"], usage["completion_tokens"]) == told[0] for usage in usages)
        counted = before + "\n--\n" + (await served.http.get("/metrics")).text

    play(tmp_path, [sums()], story, memory_budget_bytes=1 << 30)

    rows = {row["id"]: row for row in rows_of(tmp_path)}
    assert [(rows[name]["prompt_tokens"], rows[name]["completion_tokens"]) for name in names] == told * 3
    line = 'weighbridge_tokens_total{kind="completion",model="sums",route="name"} '
    before, after = (float(text.partition(line)[2].split()[0]) for text in counted.split("--"))
    assert after - before == 3 * told[0][1] > 0
