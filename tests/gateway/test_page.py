"""The page and what feeds it: one file that runs nothing foreign, and events for as many as can keep up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html.parser
import json
import re
import shutil
import subprocess
import time

import httpx2 as httpx
import pytest

from tests.gateway.test_ledger import ASKED
from tests.gateway.test_lifecycle import Served, fake, play
from tests.patience import LONGEST_SECONDS
from weighbridge import ledger
from weighbridge.gateway.latency import quantile
from weighbridge.gateway.page import page
from weighbridge.ledger import folder_of


class Elements(html.parser.HTMLParser):
    """What the page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_is_one_file_and_its_policy_lets_only_its_own_script_run():
    text, headers = page()
    read = Elements()
    read.feed(text.decode())
    (script,) = re.findall(rb"<script>(.*?)</script>", text, re.DOTALL)

    given = [(name, value) for _, attributes in read.found for name, value in attributes.items()]
    assert not [name for name, _ in given if name in ("src", "style") or name.startswith("on")]
    assert [value for name, value in given if name == "href"] == ["data:,"]
    assert b"://" not in text.replace(b"http://www.w3.org/2000/svg", b"")
    for way in (b"innerHTML", b"outerHTML", b"insertAdjacent", b"document.write", b"eval(", b"Function("):
        assert way not in script
    policy = headers["content-security-policy"]
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}';" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    ids = [given["id"] for _, given in read.found if "id" in given]
    assert set(re.findall(rb'\$\("(\w+)"\)', script)) == {name.encode() for name in ids}


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")
def test_the_pages_script_is_sound(tmp_path):
    (script,) = re.findall(rb"<script>(.*?)</script>", page()[0], re.DOTALL)
    (tmp_path / "page.js").write_bytes(script)

    subprocess.run(["node", "--check", tmp_path / "page.js"], check=True)


async def read_events(served: Served, count: int) -> list[tuple[str, dict]]:
    found = []
    async with served.http.stream("GET", "/admin/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                found.append((name, json.loads(line[6:])))
                if len(found) == count:
                    break
    return found


def test_events_tell_the_state_then_each_request_without_its_words(tmp_path):
    async def story(served: Served) -> None:
        await served.ask("one", "before")
        reading = asyncio.create_task(read_events(served, 4))
        while not served.gateway.recorder.listeners:
            await asyncio.sleep(0.01)
        await served.ask("one", "a secret question")
        await served.http.post("/v1/chat/completions", json=ASKED | {"model": "<b>"})
        (first, state), (_, before), (_, done), (_, refused) = await reading
        assert first == "state"
        assert [(model["name"], model["state"]) for model in state["models"]] == [("one", "ready")]
        assert state["status"] == "ok"
        assert state["latency"][-1]["count"] == 1
        assert state["ledger"]["number"] >= 3
        assert before["id"] != done["id"]
        assert (done["model"], done["layer"], done["status"]) == ("one", "name", 200)
        assert (refused["asked"], refused["status"], refused["error"]) == ("<b>", 404, "model_not_found")
        assert not {"prompt", "answer"} & done.keys()
        while served.gateway.recorder.listeners:
            await asyncio.sleep(0.01)

    play(tmp_path, [fake("one")], story)


def test_a_page_that_does_not_read_is_left_behind_and_holds_nobody_up(tmp_path):
    async def story(served: Served) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rsplit(":", 1)[1]), limit=1024)
        writer.write(b"GET /admin/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not served.gateway.recorder.listeners:
            await asyncio.sleep(0.01)
        row = served.gateway.recorder.recent
        await served.ask("one")
        until = time.monotonic() + 60
        while served.gateway.recorder.listeners:
            for _ in range(500):
                served.gateway.recorder.tell(row[-1]._replace(reason="x" * 1000))
            await asyncio.sleep(0.005)
            assert time.monotonic() < until
        assert await served.ask("one")
        writer.close()

    play(tmp_path, [fake("one")], story)


def test_an_open_page_does_not_hold_up_the_end(tmp_path):
    async def story(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
        writer.write(b"GET /admin/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"event: state")
        story.reader, story.writer, story.at = reader, writer, time.monotonic()

    play(tmp_path, [fake("one")], story, drain_timeout_seconds=100)

    assert time.monotonic() - story.at < LONGEST_SECONDS


def test_only_the_operator_sees_and_verifies_and_the_page_itself_asks_for_the_key(tmp_path):
    async def story(served: Served) -> None:
        key = {"authorization": "Bearer k"}
        shown = await served.http.get("/")
        assert (shown.status_code, shown.content) == (200, page()[0])
        assert shown.headers["content-security-policy"] == page()[1]["content-security-policy"]
        assert (await served.http.get("/admin/events")).status_code == 401
        assert (await served.http.post("/admin/ledger/verify")).status_code == 401
        await served.http.post("/v1/chat/completions", json=ASKED, headers=key)
        while not ledger.heads(folder_of(tmp_path)):
            await asyncio.sleep(0.05)
        verdict = (await served.http.post("/admin/ledger/verify", headers=key)).json()
        assert (verdict["untouched"], verdict["problems"]) == (True, [])
        (file,) = folder_of(tmp_path).glob("0/*.jsonl")
        file.write_bytes(file.read_bytes().replace(b"started", b"stopped", 1))
        verdict = (await served.http.post("/admin/ledger/verify", headers=key)).json()
        assert (verdict["untouched"], verdict["problems"][0]["kind"]) == (False, "changed")

    play(tmp_path, [fake("one")], story, api_key="k")


def test_a_page_of_elsewhere_that_points_here_gets_nothing(tmp_path):
    async def story(served: Served) -> None:
        assert (await served.http.get("/", headers={"host": "evil.example"})).status_code == 403

    play(tmp_path, [fake("one")], story)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium here")
def test_a_browser_shows_models_and_requests_and_takes_no_name_for_html(tmp_path):
    async def story(served: Served) -> None:
        await served.ask("one")
        await served.http.post("/v1/chat/completions", json=ASKED | {"model": "<img src=x onerror=document.title=1>"})
        browser = await asyncio.create_subprocess_exec(
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/browser",
            "--virtual-time-budget=3000", "--dump-dom", served.url + "/", stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(60):
            shown, _ = await browser.communicate()
        story.shown = shown.decode()

    play(tmp_path, [fake("one")], story)

    assert '<td class="name" title="' in story.shown
    assert ">one</td>" in story.shown
    assert 'class="pill ready">ready<' in story.shown
    assert "(&lt;img src=x onerror=document.title=1&gt;)" in story.shown
    assert "<title>weighbridge</title>" in story.shown


@pytest.mark.parametrize(
    ("counts", "share", "found"),
    [([0, 0, 0], 0.5, None), ([4, 0, 0], 0.5, 0.5), ([1, 1, 0], 0.75, 1.5), ([0, 0, 3], 0.5, 2)],
)
def test_quantiles_of_buckets_are_as_prometheus_has_them(counts, share, found):
    assert quantile((1, 2, float("inf")), counts, share) == found


def test_a_page_takes_no_more_than_it_can_use(fake_gateway):
    body = json.dumps({"prompt": "word " * 300_000}).encode()
    refused = httpx.post(f"{fake_gateway.url}/admin/route", content=body, timeout=30)

    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
    assert httpx.post(f"{fake_gateway.url}/admin/route", json={"prompt": "word"}, timeout=30).status_code == 200
