"""A server that speaks the OpenAI API and adds two numbers, mostly rightly: `mock_server.py PORT_FILE [KEY=VALUE...]`.

It is right unless (31 a + 17 b) % 100 >= 80. `fault` is what it does to every sum that 33 divides: err (HTTP 500),
null (no content, cut off), refuse, empty, html. `flaky=N` answers each question's first N attempts with `status` (503),
with `retry_after` seconds. `delay` is in seconds, `gap` that between the words of a stream (`streams=no`: none has
any); `answers=FILE` has a question's answer by model and question; `parallel` is how many it works on at once, the
others wait. It counts what it was asked in `/stats`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path

OPTIONS = dict(pair.split("=", 1) for pair in sys.argv[2:])
FAULT, DELAY = OPTIONS.get("fault", ""), float(OPTIONS.get("delay", "0"))
GAP = float(OPTIONS.get("gap", "0.01"))
FLAKY, STATUS = int(OPTIONS.get("flaky", "0")), int(OPTIONS.get("status", "503"))
ROOM = asyncio.Semaphore(int(OPTIONS.get("parallel", "100000")))
ANSWERS = json.loads(Path(OPTIONS["answers"]).read_text()) if "answers" in OPTIONS else {}
SEEN: Counter[str] = Counter()


def reply(content, finish="stop", **more):
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": finish, **more}
    usage = {"prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18}
    return 200, {"object": "chat.completion", "model": "mock", "choices": [choice], "usage": usage}


def answer(request):
    question = request["messages"][-1]["content"]
    if "[[A]]" in question:
        return reply(f"Verdict: [[{judged(question)}]]")
    SEEN[question] += 1
    if ANSWERS:
        found = ANSWERS[request["model"]].get(question)
        if isinstance(found, list):
            return reply(None, "tool_calls", message={"tool_calls": found})
        return reply(found or "I cannot say.")
    if SEEN[question] <= FLAKY:
        return STATUS, {"error": {"message": "try later"}}
    if OPTIONS.get("reply"):
        return reply(OPTIONS["reply"])
    if request.get("tools"):
        call = {"function": {"name": "add", "arguments": json.dumps({"a": 1, "b": 2.0})}}
        return reply(None, "tool_calls", message={"tool_calls": [call]})
    if request.get("top_logprobs"):
        top = [{"token": " B", "logprob": -0.2}, {"token": "A", "logprob": -2.0}, {"token": "the", "logprob": -0.1}]
        return reply("B", "length", logprobs={"content": [{"token": " B", "logprob": -0.2, "top_logprobs": top}]})
    found = re.findall(r"(\d+) \+ (\d+)", question)
    if not found:
        return reply("I cannot say.")
    a, b = map(int, found[-1])
    if FAULT and (a + b) % 33 == 0:
        return {
            "err": (500, {"error": {"message": "boom"}}),
            "null": reply(None, "length"),
            "refuse": reply(None, "content_filter"),
            "empty": reply("  "),
            "html": (200, "<html>a proxy</html>"),
        }[FAULT]
    right = a + b if (31 * a + 17 * b) % 100 < 80 else a + b + 1
    return reply(f"I carry where needed.\n#### {right}")


def judged(question):
    first, second = re.search(r"\[Answer A\]\n(.*)\n\n\[Answer B\]\n(.*)", question, re.DOTALL).groups()
    if "always first" in question:
        return "A"
    return "A" if len(first) > len(second) else "B" if len(second) > len(first) else "C"


def is_streamed(request):
    return request.get("stream") and OPTIONS.get("streams") != "no"


async def handle(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ", 2)[1].decode()
            length = re.search(rb"content-length: (\d+)", head.lower())
            body = await reader.readexactly(int(length[1])) if length else b""
            if path == "/stats":
                status, found = 200, {"asked": sum(SEEN.values()), "most": max(SEEN.values(), default=0)}
            elif path == "/v1/models":
                status, found = 200, {"data": [{"id": "mock"}]}
            elif path == "/v1/embeddings":
                words = [re.findall(r"\w+", text.lower()) for text in json.loads(body)["input"]]
                vectors = [
                    [word.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for word in map("".join, words)
                ]
                status, found = 200, {"data": [{"index": at, "embedding": each} for at, each in enumerate(vectors)]}
            elif path == "/v1/chat/completions":
                async with ROOM:
                    await asyncio.sleep(DELAY)
                    request = json.loads(body)
                    status, found = answer(request)
                    if is_streamed(request) and status == 200 and not isinstance(found, str):
                        await stream(writer, found)
                        continue
            else:
                status, found = 404, {"error": {"message": f"no {path}"}}
            content = found.encode() if isinstance(found, str) else json.dumps(found).encode()
            more = f"retry-after: {OPTIONS['retry_after']}\r\n" if status != 200 and "retry_after" in OPTIONS else ""
            kind = "text/html" if isinstance(found, str) else "application/json"
            more += f"content-type: {kind}\r\n"
            writer.write(f"HTTP/1.1 {status} X\r\n{more}content-length: {len(content)}\r\n\r\n".encode() + content)
            await writer.drain()
            if "closes" in OPTIONS:
                # As servers do with a connection that nobody uses, without a word in the answer before.
                return
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def stream(writer, found):
    choice = found["choices"][0]
    message = choice["message"]
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n")
    events = [{"choices": [{"delta": {"content": word}}]} for word in re.findall(r"\S*\s*", message["content"] or "")]
    calls = [{"index": index, **call} for index, call in enumerate(message.get("tool_calls", ()))]
    events += [{"choices": [{"delta": {"tool_calls": calls}}]}] if calls else []
    events.append({"choices": [{"delta": {}, "finish_reason": choice["finish_reason"]}], "usage": found["usage"]})
    for event in [*map(json.dumps, events), "[DONE]"]:
        data = f"data: {event}\n\n".encode()
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await asyncio.sleep(GAP)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1 << 22)
    Path(sys.argv[1]).write_text(str(server.sockets[0].getsockname()[1]))  # noqa: ASYNC240
    await server.serve_forever()


asyncio.run(main())
