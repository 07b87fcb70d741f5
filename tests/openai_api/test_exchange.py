"""Our own small HTTP client: an answer is read whole however it is cut, and what breaks off is never whole."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.openai_api import AnswerParser, Client, HttpAnswer, Unreachable, ask

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
BODY = b"one\ntwo\nthree"
WHOLE = {
    "length": HEAD + b"Content-Length: 13\r\n\r\n" + BODY,
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n9;x=y\r\ntwo\nthree\r\n0\r\n\r\n",
    "until the end": HEAD + b"\r\n" + BODY,
    "after a provisional one": b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 13\r\n\r\n" + BODY,
}


def fed(data: bytes, cuts: list[int], take) -> object:
    """What `take` makes of an answer that comes in these pieces, and then ends."""

    async def scenario() -> object:
        reader = asyncio.StreamReader()
        answer = HttpAnswer(reader, None)

        async def feed() -> None:
            at = 0
            for cut in [*sorted({min(cut, len(data)) for cut in cuts}), len(data)]:
                if data[at:cut]:
                    reader.feed_data(data[at:cut])
                    await asyncio.sleep(0)
                at = cut
            reader.feed_eof()

        feeding = asyncio.create_task(feed())
        try:
            await answer.until_head()
            return await take(answer)
        finally:
            await feeding

    return asyncio.run(scenario())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(WHOLE)), st.lists(st.integers(0, 120)))
def test_an_answer_is_read_alike_however_it_is_framed_and_cut(form, cuts):
    async def lines(answer: HttpAnswer) -> list[bytes]:
        return [line async for line in answer.lines()]

    assert fed(WHOLE[form], cuts, HttpAnswer.read) == BODY
    assert fed(WHOLE[form], cuts, lines) == [b"one\n", b"two\n", b"three"]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["length", "chunks", "after a provisional one"]), st.integers(1, 20), st.lists(st.integers(0, 99))
)
def test_one_that_breaks_off_is_never_whole(form, missing, cuts):
    with pytest.raises(ConnectionError):
        fed(WHOLE[form][:-missing], cuts, HttpAnswer.read)


@pytest.mark.parametrize("garbage", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_what_is_no_http_is_a_connection_that_failed(garbage):
    with pytest.raises(ConnectionError):
        fed(garbage, [], HttpAnswer.read)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * (1 << 20), "head is larger"),
        (WHOLE["until the end"] + b"a" * (9 << 20), "line of its answer is longer"),
    ],
)
def test_neither_a_head_nor_a_line_may_fill_the_memory(data, said):
    async def lines(answer: HttpAnswer) -> list[bytes]:
        return [line async for line in answer.lines()]

    with pytest.raises(ConnectionError, match=said):
        fed(data, list(range(0, len(data), 65_536)), lines)


def test_what_follows_the_answer_is_no_part_of_it():
    more = WHOLE["length"] + b"HTTP/1.1 500 Fault\r\nX-More: 1\r\nContent-Length: 1\r\n\r\nx"
    parts: list[bytes] = []
    parser = AnswerParser(parts.append)
    parser.feed(more)

    assert (parser.status, b"".join(parts), parser.is_whole) == (200, BODY, True)
    assert "x-more" not in parser.headers


def test_what_the_reader_of_a_piece_raises_is_raised_as_it_is():
    def read(piece: bytes) -> None:
        raise ValueError("no such event")

    with pytest.raises(ValueError, match="no such event"):
        AnswerParser(read).feed(WHOLE["length"])


def test_of_a_body_no_more_is_taken_than_was_asked_for():
    assert fed(WHOLE["until the end"], [], lambda answer: answer.read(10)) == BODY[:10]


def test_what_is_asked_is_sent_as_json_and_silence_has_an_end(tmp_path: Path):
    seen = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line.split(": ")[1]) for line in head.split("\r\n") if line.startswith("Content-Length")), 0)
        seen.append((head.split("\r\n")[0], json.loads(await reader.readexactly(length) or b"null")))
        if "silent" not in head:
            writer.write(WHOLE["length"])

    async def scenario():
        async with await asyncio.start_unix_server(serve, tmp_path / "s"):
            async with ask("POST", "http://engine/a?b=c", {"d": [1]}, socket=tmp_path / "s") as answer:
                assert (answer.status, answer.headers["content-type"]) == (200, "text/plain")
                assert await answer.read() == BODY
            begun = time.monotonic()
            for limit in ({"seconds": 0.2}, {"silence_seconds": 0.2}):
                with pytest.raises(TimeoutError):
                    async with ask("GET", "http://engine/silent", socket=tmp_path / "s", **limit):
                        pass
            assert time.monotonic() - begun < 30
            with pytest.raises(ValueError, match="one line only"):
                async with ask("GET", "http://engine/", socket=tmp_path / "s", headers={"Authorization": "a\r\nb: c"}):
                    pass
        with pytest.raises(Unreachable):
            async with ask("GET", "http://engine/", socket=tmp_path / "nobody"):
                pass

    asyncio.run(scenario())
    assert seen[:2] == [("POST /a?b=c HTTP/1.1", {"d": [1]}), ("GET /silent HTTP/1.1", None)]


@pytest.mark.parametrize("blank", [b" ", b""])
def test_a_conversation_is_read_whether_or_not_a_blank_follows_the_colon(tmp_path: Path, blank):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        words = [json.dumps({"choices": [{"delta": {"content": word}}]}).encode() for word in ("one ", "two")]
        writer.write(HEAD + b"\r\n" + b"".join(b"data:" + blank + each + b"\n\n" for each in [*words, b"[DONE]"]))
        writer.close()

    async def scenario() -> str:
        async with await asyncio.start_unix_server(serve, tmp_path / "s"), Client(f"unix:{tmp_path / 's'}") as client:
            return "".join([piece.text async for piece in client.chat([{"role": "user", "content": "count"}])])

    assert asyncio.run(scenario()) == "one two"
