"""What plain.c does with bytes that are damaged in any way, with connections that fail within a call, and with Python
code that takes a request from it meanwhile: whatever it takes is whole, and whatever it holds comes back, once."""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from types import SimpleNamespace

import pytest

from tests.examples import examples
from tests.gateway.wire.kit import whole
from weighbridge.gateway.guard import guessed, guessed_tokens
from weighbridge.gateway.wire import Body
from weighbridge.gateway.wire.heads import Limits, read_answer, read_request
from weighbridge.gateway.wire.quick import Client, Line, compiled

pytestmark = pytest.mark.skipif(compiled is None, reason="plain.c was not compiled: no headers of Python here")

PATH = b"/v1/chat/completions"
BODY = b'{"model": "far", "messages": [{"role": "user", "content": "h\\u00e9 \xc3\xa9"}], "max_tokens": 5}'
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nUser-Agent: t/1\r\nAccept: */*\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
REQUEST = HEAD % len(BODY) + BODY
ANSWER = whole(
    b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "details": {"cached_tokens": 1}}}',
    extra=b"Server: x\r\nX-More:1\r\n",
)
# What damages most: bytes with a meaning, and pieces that are long, deep or repeated.
PIECES = [
    *(bytes([byte]) for byte in b'"{}[],:\\\x00\xff\r\n tn0-9eE.+AZ\x7f\x80\xc3'),
    *(b"\r\n", b"\r\n\r\n", b"x" * 70, b"x" * 40_000, b"[" * 70, b'{"a":' * 70, b"9" * 400, b"\\u00e9", b"\\", b"1e9"),
    *(b'"model": "far",', b'"stream": true,', b'"n": 2,', b'"usage"', b'"cached_tokens": 999999999999', b'"timings"'),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Origin: x\r\n"),
    *(b"Content-Type: text/event-stream\r\n", b"x:\r\n" * 101, b"POST ", b" HTTP/1.1\r\n", b'"input_tokens":'),
]  # fmt: skip


class Transport:
    """Keeps what is written; `acts` are done within the next calls of a name, before they return or fail."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.acts: dict[str, object] = {}

    def _act(self, name: str) -> None:
        act = self.acts.pop(name, None)
        if act is not None:
            act()

    def write(self, data: bytes) -> None:
        self._act("write")
        self.written.append(data)

    def is_closing(self) -> bool:
        self._act("is_closing")
        return False

    def get_write_buffer_size(self) -> int:
        self._act("get_write_buffer_size")
        return 0


class Ends:
    """What comes to a connection that plain.c does not take, as wire/connection.py and wire/upstream.py have it."""

    def received(self, data: bytes) -> None:
        self.left.append(data)
        self.gate.take_over(self)


class AClient(Ends, Client):
    def __init__(self, gate: Gate) -> None:
        self.gate, self.left, self.ways = gate, [], gate.ways
        self._at, self._pending, self._deadline, self.is_write_paused = 0, b"", 0.0, False
        self.transport = Transport()


class ALine(Ends, Line):
    def __init__(self, gate: Gate) -> None:
        self.gate, self.left, self.is_used, self.idle_since = gate, [], False, 0.0
        self.transport = Transport()


class Gate:
    """All that plain.c asks of the gateway, with one client and one connection to an engine."""

    def __init__(self, name: bytes | None = None) -> None:
        self.caller = SimpleNamespace(is_limited=False, expires=1e12, used_at=0.0, models=None, name="anna")
        self.guard = SimpleNamespace(looked_at=time.monotonic() + 1e6, is_open=True)
        self.pool = SimpleNamespace(glance=object())
        self.health, self.load = SimpleNamespace(serving=0), SimpleNamespace(in_flight=0)
        self.told, self.remembered, self.noted, self.kept, self.passing, self.passed = [], [], [], [], set(), {}
        self.lanes: dict[bytes, object] = {}
        self.settled = self.handed_over = self.set_aside = self.unused_choices = 0
        self.room = 4
        self.name = name
        self.ways = compiled.Ways(
            owner=self, guard=self.guard, callers={b"here": self.caller}, pool=self.pool, lanes=self.lanes,
            numbers=itertools.count(), tickets=itertools.count(), run=b"req_", clock=time.monotonic,
            monotonic=time.monotonic, time=time.time, told=self.told, remembered=self.remembered, noted=self.noted,
            limit_lines=frozenset({b"x-left"}),
        )  # fmt: skip
        self.ways.open(1 << 20, 60.0)
        self.client, self.line = AClient(self), ALine(self)
        self.kept.append(self.line)

    def find(self, key: bytes) -> None:
        path, _, model = key.partition(b" ")
        self.lanes[key] = None if path != PATH or model != b"far" else self.lane(path)

    def lane(self, path: bytes) -> object:
        row = (None, None, path.decode(), *(["far"] * 5), None, 200, "done", None, False, *([None] * 8))
        return compiled.Lane(
            way=self, model="far", category=None, head=b"POST /x HTTP/1.1\r\nhost: there\r\n", name=self.name,
            lines=b"x-model: far\r\n", kept=self.kept, passing=self.passing, passed=self.passed, load=self.load,
            health=self.health, row=row, bounds=(0.1, 1.0), most_bytes=65536, most_kept=8, has_messages=True,
            is_blind=False, is_remembered=True, goes_when_idle=True,
        )  # fmt: skip

    def renew(self, lane) -> None:
        lane.fit(self.pool.glance, self.room)

    def unused(self) -> None:
        self.unused_choices += 1

    def admit(self, caller, size: int, stated: int) -> object:
        self.guessed = guessed(size, stated)
        if stated == 7:
            return None
        self.set_aside += 1
        return size, stated

    def spend(self, spending: tuple[int, int] | None) -> None:
        self.set_aside -= spending is not None

    def spent(self, spending: tuple[int, int], prompt: int, completion: int, size: int) -> bytes:
        assert spending[0] == size
        self.spend(spending)
        return b"x-left: 5\r\n"

    def leave(self, lane, ticket: int) -> None:
        self.passing.discard(ticket)

    def rest(self, lane) -> None:
        pass

    def settle_soon(self) -> None:
        pass

    def settle(self) -> None:
        self.settled += 1
        for lane in self.noted:
            lane.take()
        self.noted.clear(), self.told.clear(), self.remembered.clear()

    def take_over(self, end: AClient | ALine) -> None:
        """The request goes on in full, and ends there."""
        line = end if isinstance(end, ALine) else end.line
        if line is None or line.client is None:
            return
        client, lane, caller, *_, ticket, spending, choice, asked_at = line.hand_over()
        assert choice is None
        self.spend(spending)
        assert (client, caller, client.line) == (self.client, self.caller, None)
        assert (lane.way, asked_at > 0) == (self, True)
        self.handed_over += 1
        self.passing.discard(ticket)
        self.health.serving -= 1
        self.load.in_flight -= 1
        client._at = 0
        self.kept.append(line)

    def is_free(self) -> bool:
        nobody = self.line.client is None and self.client.line is None
        return nobody and not (self.passing or self.health.serving or self.load.in_flight or self.set_aside)


def damaged(draw: random.Random, raw: bytes) -> bytes:
    for _ in range(draw.choice([0, 1, 1, 2, 4])):
        at = draw.randrange(len(raw) + 1)
        raw = raw[:at] + draw.choice([b"", draw.choice(PIECES)]) + raw[at + draw.choice([0, 0, 1, 1, 9]) :]
    if draw.random() < 0.5:
        # The length is put right again, or nearly all that is damaged were refused for it.
        head, found, body = raw.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
        raw = b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + found + body
    return raw


def play(gate: Gate, request: bytes, answer: bytes) -> None:
    """One request and one answer: what passes is whole and says the same, what does not is left as it came."""
    client, line = gate.client, gate.line
    client.left, line.left = [], []
    client.transport.written, line.transport.written = [], []
    client.data_received(request)
    if client.line is None:
        assert client.left == [request]
        assert line.transport.written == []
    else:
        assert client.left == []
        (sent,) = line.transport.written
        asked, passed_on = read_whole(request), read_whole(sent)
        assert json.loads(passed_on[1]) == json.loads(asked[1]) | ({"model": "deep"} if gate.name else {})
        assert passed_on[0].values[b"host"] == b"there"
        line.data_received(answer)
        if line.left:
            assert line.left == [answer]
            assert client.transport.written == []
        else:
            (told,) = client.transport.written
            head, body = told[: told.index(b"\r\n\r\n") + 4], told[told.index(b"\r\n\r\n") + 4 :]
            known = read_answer(head, to_head=False)
            assert (known.status, known.length, known.values[b"x-model"]) == (200, len(body), b"far")
            assert answer.endswith(body)
    assert gate.is_free()
    client._at, client._pending = 0, b""


def read_whole(raw: bytes) -> tuple:
    end = raw.index(b"\r\n\r\n") + 4
    request = read_request(raw[:end], Limits())
    assert request.length == len(raw) - end
    return request, raw[end:]


@pytest.mark.parametrize(("name", "is_limited"), [(None, False), (b'"deep"', True)])
def test_damaged_bytes_are_taken_whole_or_left_as_they_came(name, is_limited):
    draw, gate = random.Random(11), Gate(name)
    gate.caller.is_limited = is_limited
    for _ in range(examples(1500)):
        play(gate, damaged(draw, REQUEST), damaged(draw, ANSWER))
    assert gate.handed_over > 100, "answers that are not plain were handed over"
    assert gate.settled + gate.passed["far"] > 0, "and others passed"


@pytest.mark.parametrize(
    "lengths",
    [
        '"max_tokens": 90', '"max_tokens": 1, "max_completion_tokens": 33', '"max_tokens": 4, "max_tokens": 5',
        '"max_output_tokens": 6, "max_completion_tokens": null', '"max_tokens": 0, "max_output_tokens": 8',
        '"max_tokens": -5', '"max_tokens": 5.0', '"max_tokens": 1e3', '"max_tokens": "9"', '"max_tokens": [9]',
        '"max_tokens": 99999999999999999999999999', '"x": {"max_tokens": 5}', '"Max_tokens": 5', '"max_tokens": true',
    ],
)  # fmt: skip
def test_what_a_key_with_limits_is_to_set_aside_is_guessed_as_on_the_full_way(lengths):
    gate = Gate()
    gate.caller.is_limited = True
    body = b'{"model": "far", "messages": [{"role": "user", "content": "hi"}], %b}' % lengths.encode()
    play(gate, HEAD % len(body) + body, ANSWER)

    assert gate.guessed == guessed_tokens(Body(body))


def test_a_request_that_is_too_much_for_its_key_is_left_and_the_next_one_has_its_connection():
    gate = Gate()
    gate.caller.is_limited = True
    gate.client.data_received(REQUEST.replace(b'"max_tokens": 5', b'"max_tokens": 7'))
    assert (len(gate.client.left), gate.kept, gate.line.transport.written) == (1, [gate.line], [])
    assert gate.is_free()
    play(gate, REQUEST, ANSWER)
    assert gate.client.left == []


@pytest.mark.parametrize("call", ["is_closing", "get_write_buffer_size"])
def test_a_request_that_is_taken_over_while_its_answer_is_looked_at_is_left_to_whom_took_it(call):
    gate = Gate()
    gate.client.data_received(REQUEST)
    assert gate.client.line is gate.line
    gate.line.transport.acts[call] = lambda: gate.take_over(gate.line)
    gate.line.data_received(ANSWER)

    assert (gate.handed_over, gate.line.left, gate.client.transport.written) == (1, [ANSWER], [])
    assert gate.is_free()


def test_a_client_that_is_at_work_meanwhile_or_an_engine_that_is_busy_gets_no_request():
    gate = Gate()

    def is_at_work() -> None:
        gate.client._at = 2

    gate.line.transport.acts["is_closing"] = is_at_work
    gate.client.data_received(REQUEST)
    assert (gate.client.left, gate.line.transport.written) == ([REQUEST], [])
    gate = Gate()
    gate.client.data_received(REQUEST)
    gate.kept.append(gate.line)  # by mistake
    second = AClient(gate)
    second.data_received(REQUEST)
    assert (second.left, len(gate.line.transport.written)) == ([REQUEST], 1)


def broken() -> None:
    raise RuntimeError("the connection is closed")


def test_what_fails_while_a_request_begins_or_ends_keeps_no_place_and_is_told(monkeypatch):
    heard: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: heard.append(unraisable.exc_type))
    gate = Gate()
    gate.client.data_received(REQUEST)
    gate.client.transport.acts["write"] = broken
    gate.line.data_received(ANSWER)
    assert gate.is_free()
    gate.client.data_received(REQUEST)
    del gate.caller.name
    gate.line.data_received(ANSWER)
    assert gate.is_free()
    gate.caller.name = "anna"
    gate.line.transport.acts["write"] = broken
    gate.client.data_received(REQUEST)
    assert gate.client.line is gate.line, "its loss will be heard of, and then it is taken over"
    gate.take_over(gate.line)
    assert gate.is_free()
    assert heard == [RuntimeError, AttributeError, RuntimeError]


def test_a_fault_before_anything_has_happened_is_raised_and_holds_nothing():
    for where, name in (("guard", "looked_at"), ("caller", "expires"), ("pool", "glance")):
        gate = Gate()
        delattr(getattr(gate, where), name)
        with pytest.raises(AttributeError, match=name):
            gate.client.data_received(REQUEST)
        assert gate.is_free()
        assert gate.kept == [gate.line]


def test_nothing_is_held_longer_than_a_request():
    gate = Gate()

    def both_ways() -> None:
        for answer in (ANSWER, ANSWER[:-1], whole(b"{}", 500)):
            play(gate, REQUEST, answer)
        play(gate, REQUEST[:-1], ANSWER)
        gate.settle()

    def references() -> list[int]:
        (lane,) = gate.lanes.values()
        held = (gate.caller, gate.client, gate.line, lane, gate.ways, gate.health, REQUEST, ANSWER, None, 0)
        return [sys.getrefcount(each) for each in held]

    for _ in range(200):  # what is kept for all of them is there then
        both_ways()
    before, blocks = references(), sys.getallocatedblocks()
    for _ in range(200):
        both_ways()
    grown = sys.getallocatedblocks() - blocks
    assert max(after - had for after, had in zip(references(), before, strict=True)) < 20
    assert grown < 100


def test_a_model_that_is_chosen_for_a_request_is_told_as_it_was_chosen():
    gate = Gate(b'"far"')
    chosen: list[tuple] = []

    def choose(caller, path: bytes, body: bytes):
        lane = gate.lane(PATH)
        row = (None, None, path.decode(), "auto", "far", "card", f"reason {len(chosen)}", *([None] * 14))
        chosen.append((lane, b"x-reason: %d\r\n" % len(chosen), row, "sums", object()))
        return chosen[-1]

    gate.choose, gate.lanes[b"/v1/chat/completions auto"] = choose, True
    body = BODY.replace(b'"far"', b'"auto"')
    request = HEAD % len(body) + body
    gate.client.data_received(request)
    assert json.loads(read_whole(gate.line.transport.written[0])[1])["model"] == "far"
    gate.line.data_received(ANSWER)
    assert b"x-reason: 0\r\n" in gate.client.transport.written[0]
    assert gate.told[-1][3:7] == ("auto", "far", "card", "reason 0")
    assert gate.remembered[-1][3:5] == ("far", "sums")
    assert gate.is_free()

    gate.pool.glance = object()
    gate.room = 0
    gate.client.data_received(request)
    assert (gate.client.left, gate.unused_choices) == ([request], 1)
    gate.choose = lambda *_: (1, 2, 3)
    with pytest.raises(TypeError, match="no choice"):
        gate.client.data_received(request)
    assert gate.is_free()
