"""`Plain`: which requests are plain, so that plain.c takes them from end to end; all others go through the door.

What plain.c counts and tells is taken in together a little later (`settle`): there it costs a request next to nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from weighbridge.ledger import Fields
from weighbridge.openai_api import AUTO, ApiError
from weighbridge.routing import Route

from . import scheduler
from .counting import Histogram
from .feedback import PATHS as REMEMBERED
from .feedback import Kept
from .guard import Caller, Spending, guessed
from .metrics import ModelCounts
from .pool import Lease, Pool
from .rates import RATE_LINES, Refused
from .upstream import Upstream
from .watching import Life
from .wire import Body, read_plain_request
from .wire.quick import compiled

if TYPE_CHECKING:
    from .door import Decided, Door

_CHAT = b"/v1/chat/completions"
PATHS = frozenset({_CHAT, *b"/v1/completions /v1/embeddings /v1/rerank /tokenize /detokenize".split()})
"""Where engines are asked as clients ask. What they may lack, or say in other words, is the door's."""
_SETTLE_SECONDS = 0.05
_MOST_LANES = 1024
# Above it the door says how large a context is, and how long the request.
_MOST_BYTES, _SHORT_BYTES = 64 << 10, 511
_KINDS = ("prompt", "completion", "cached")


@dataclass(frozen=True, slots=True)
class Way:
    """How requests for one model at one path go; where the model is chosen for each, `route` is one of many."""

    path: str
    route: Route
    life: Life
    upstream: Upstream
    counts: ModelCounts
    engine: str | None
    """Of the ledger's row of its engine, the hash."""


Choice = tuple[Any, bytes, tuple[Any, ...], str | None, Route]
"""A lane, what the answer's head says of the choice, what the row has of it, the prompt's task, and all of it."""


def _row(path: str, asked: str, route: Route, engine: str | None) -> tuple[Any, ...]:
    """What rows of plain requests have in common; the rest is plain.c's."""
    known = None, None, path, asked, route.model, route.layer, route.reason, engine, None, 200, "done", None, False
    return known + (None,) * 8


class Plain:
    """Makes a lane for each model and path, as long as nothing changes by which its requests would go otherwise.

    A request has a lane where its model is named and ready, without a plan for its failure, a second answer or words to
    be changed; `ways` are then asked before the door is.
    """

    def __init__(self, door: Door) -> None:
        loop = asyncio.get_running_loop()
        pool, self._door, self._later = door.pool, door, loop.call_later
        self._lanes: dict[bytes, Any] = {}
        self._chosen: dict[tuple[bytes, str, str], Any] = {}
        self._decided: Decided | None = None
        self._told: list[Fields] = []
        self._remembered: list[Kept] = []
        self._noted: list[Any] = []
        self._timer: asyncio.TimerHandle | None = None
        self._files_begun = 0
        door.recorder.settle = self.settle
        self.ways = compiled.Ways(
            owner=self,
            guard=door.guard,
            callers=door.guard.known,
            pool=pool,
            lanes=self._lanes,
            numbers=door.numbers,
            tickets=pool.tickets,
            run=door.run.encode(),
            clock=loop.time,
            monotonic=time.monotonic,
            time=time.time,
            told=self._told,
            remembered=self._remembered,
            noted=self._noted,
            limit_lines=RATE_LINES,
        )

    @classmethod
    def of(cls, door: Door) -> Plain | None:
        """For a door through which requests may pass so: None where it has not what that takes, or where more is made
        of each request than a row in the ledger."""
        recorder = door.recorder
        is_more = recorder.keeps_text or recorder.tracer is not None or type(door.pool) is not Pool
        return None if compiled is None or is_more else cls(door)

    def forget(self) -> None:
        """Models, policies or what is known of engines may be others now."""
        self._lanes.clear()
        self._chosen.clear()

    # What plain.c asks.

    def find(self, key: bytes) -> None:
        """Make a lane, by its path and its model, if there is one."""
        path, _, raw = key.partition(b" ")
        name = raw.decode(errors="replace")
        if len(self._lanes) >= _MOST_LANES:
            self._lanes.clear()
        if path in PATHS and name not in self._door.pool.models and name in self._door.chooser.names:
            self._lanes[key] = True
            return
        route = self._route(path, name)
        if route is None:
            self._lanes[key] = None
            return
        life = self._door.pool.lives.get(route.model)
        if life is not None and self._is_recorded(life):
            self._lanes[key] = self._lane(path, route, life)

    def renew(self, lane: Any) -> None:
        """The pool has decided something: see how many requests the engine may have now."""
        pool, name, life = self._door.pool, lane.way.route.model, lane.way.life
        state, room = pool.glance, 0
        if pool.lives.get(name) is not life:
            self.forget()
        elif scheduler.is_passed_by(state, name, 0):
            model = state.models[name]
            at_once = model.terms.at_once
            room = sys.maxsize if at_once is None else at_once - len(model.serving)
        lane.fit(state, room)

    def leave(self, lane: Any, ticket: int) -> None:
        """A request is over of which the scheduler was told meanwhile."""
        self._door.pool.left(lane.way.route.model, ticket)

    def rest(self, lane: Any) -> None:
        """An engine that goes when nobody asks it has nothing to do."""
        self._door.pool.rest(lane.way.route.model)

    def choose(self, caller: Caller, path: bytes, raw: bytes) -> Choice | None:
        """Choose the model of a request; None where the door goes on with that, or says what is wrong with it."""
        door = self._door
        try:
            body = Body(raw)
            route = door.choose(path.decode(), body, caller)
        except ApiError:
            return None
        self._decided = raw, caller, route
        life = door.pool.lives.get(route.model)
        if life is None or route.escalation is not None or route.model in door.fallbacks.plans:
            self.unused()
            return None
        lane = self._chosen.get((path, route.model, route.layer))
        if lane is None or lane.way.life is not life:
            if not self._is_recorded(life):
                self.unused()
                return None
            lane = self._lane(path, route, life, is_chosen=True)
            self._chosen[(path, route.model, route.layer)] = lane
        row = _row(lane.way.path, AUTO if body.model is None else body.model, route, lane.way.engine)
        return lane, door.lines_of(route), row, route.category, route

    def unused(self) -> None:
        """The request that was decided last goes to the door all the same, which need not decide again."""
        self._door.decided = self._decided

    def admit(self, caller: Caller, size: int, stated: int) -> Spending | None:
        """Set aside what a request may take of its key's limits; None where that is too much. Its body has so many
        bytes, and its answer as many tokens at most as it has stated."""
        limiter = self._door.guard.limiter
        admitted = limiter.admit(caller.id, guessed(size, stated), time.time())
        return None if isinstance(admitted, Refused) else Spending(limiter, caller, admitted, is_anthropic=False)

    def spent(self, spending: Spending, prompt: int, completion: int, size: int) -> bytes:
        """Charge what a request has used; the lines of its answer's head that tell what was left before."""
        lines = spending.lines()
        spending.settle({"prompt": prompt, "completion": completion}, 200, 0, size)
        return lines

    def take_over(self, line: Any) -> None:
        """Something odd comes to a request on its way: from here on it goes as all others do."""
        client, lane, caller, data, sent, ticket, spending, choice, asked_at = line.hand_over()
        way: Way = lane.way
        plain = read_plain_request(data)
        assert plain is not None
        at, request = plain
        request.caller, request.spending = caller, spending
        request.parts.append(data[at:])
        body, route = Body(request.body), way.route if choice is None else choice[-1]
        request.asked = AUTO if body.model is None else body.model
        lease = Lease(way.route.model, ticket, way.upstream, way.life)
        self._door.go_on(request, client.go_on(request), body, route, lease, asked_at, line, sent)

    def settle_soon(self) -> None:
        """Something is to be counted."""
        if self._timer is None:
            self._timer = self._later(_SETTLE_SECONDS, self.settle)

    def settle(self) -> None:
        """Take in all that was counted and told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._noted:
            return
        for lane in self._noted:
            _count(lane)
        self._noted.clear()
        recorder, told = self._door.recorder, self._told.copy()
        self._told.clear()
        recorder.answered_plainly(told)
        self._door.feedback.remember_bodies(self._remembered)
        self._remembered.clear()
        if recorder.files_begun != self._files_begun:
            # What rows refer to is written anew in each file, by the door.
            self._files_begun = recorder.files_begun
            self.forget()

    # Lanes.

    def _route(self, path: bytes, model: str) -> Route | None:
        """The decision for all that ask so; None where each request is looked at."""
        door = self._door
        if path not in PATHS or model not in door.pool.models:
            return None
        try:
            route = door.chooser.by_name(model)
        except ApiError:
            return None
        return None if route.escalation is not None or route.model in door.fallbacks.plans else route

    def _is_recorded(self, life: Life) -> bool:
        """Whether rows may refer to what the ledger says of the engine."""
        files = self._door.recorder.files_begun
        return not files or (life.recorded is not None and life.recorded[0] == files)

    def _lane(self, path: bytes, route: Route, life: Life, *, is_chosen: bool = False) -> Any:
        door, name, upstream = self._door, route.model, life.connection
        assert isinstance(upstream, Upstream)
        counts = door.metrics.of(name, route.layer)
        theirs = upstream.endpoint.model
        context = door.context_of(name)
        engine = None if life.recorded is None else life.recorded[1]
        return compiled.Lane(
            way=Way(path.decode(), route, life, upstream, counts, engine),
            model=name,
            category=route.category,
            head=b"POST %b HTTP/1.1\r\n%b" % (upstream.target(path), upstream.wire.headers),
            name=None if theirs is None or (theirs == name and not is_chosen) else json.dumps(theirs).encode(),
            lines=door.lines_of(route),
            kept=upstream.wire.kept,
            passing=door.pool.passing[name],
            passed=door.pool.passed,
            load=counts.load,
            health=life.health,
            row=_row(path.decode(), name, route, engine),
            bounds=tuple(map(float, Histogram.bounds)),
            most_bytes=_MOST_BYTES if context is None else max(_SHORT_BYTES, context),
            most_kept=upstream.wire.limits.kept_connections,
            has_messages=path == _CHAT,
            is_blind=path == _CHAT and door.adapting.manner(name).sees_images is False,
            is_remembered=path in REMEMBERED,
            goes_when_idle=door.pool.glance.models[name].terms.keep_alive_seconds != inf,
        )


def _count(lane: Any) -> None:
    """Count what has passed in a lane since the last time."""
    begun, answered, tokens, seconds = lane.take()
    way: Way = lane.way
    counts, life = way.counts, way.life
    counts.routed.inc(begun)
    if not answered:
        return
    for kind, count in zip(_KINDS, tokens, strict=True):
        counts.tokens[kind].inc(count)
    counts.seconds.add(seconds)
    counts.queue.observe(0.0, answered)
    counts.count(way.path, 200, answered)
    life.health.hear()
    if tokens[1]:
        life.rate.add(tokens[1], life.health.heard)
