"""`Workers`: the processes beside the first one that answer clients too, at the same address. They are started, told
what they must know, started anew when they end by themselves, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import wire
from .channel import Message
from .feedback import Answered
from .lending import Party, Setup, outline
from .listening import Place
from .scheduler import State, back_off_seconds
from .watching import Life

if TYPE_CHECKING:
    from .serving import Gateway

# How often what changes all the time is told: requests under way, counts.
BEAT_SECONDS = 0.25
_ANSWER_SECONDS = 2.0
_STEADY_SECONDS = 60.0
# How long a gateway is not called ready for want of a worker: without it, it answers as well.
_COME_SECONDS = 30.0
# How long a worker may take to end, beyond what its clients are given.
_END_SECONDS = 3.0
_LAST_WORDS_SECONDS = 1.0


class _Slot:
    """The place of one worker: its listening socket stays when it ends, and so do connections that nobody took yet."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.cover: asyncio.Server | None = None
        """Takes its connections while it is not there."""
        self.process: asyncio.subprocess.Process | None = None
        self.party: Party | None = None
        self.restarts = 0


class Workers:
    """All workers of a gateway; none until `begin`, and then nothing here costs anything."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._slots: list[_Slot] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False
        self._is_looking = False
        self._seen: object = None
        self._outline: State | None = None
        self._server: wire.Server | None = None
        self._place: Place | None = None
        self._pages = Path()
        self._covering: asyncio.Task[None] | None = None
        self._are_there = asyncio.Event()

    @property
    def are_coming(self) -> bool:
        """Whether some have not answered yet since the start."""
        return bool(self._slots) and not self._are_there.is_set()

    async def come(self) -> None:
        """Wait until all are there, and not for ever: whoever connects before that has the first process as long as he
        keeps his connection, and the others have nothing to do."""
        if self.are_coming:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._are_there.wait(), _COME_SECONDS)
        self._are_there.set()

    @property
    def _parties(self) -> list[Party]:
        return [slot.party for slot in self._slots if slot.party is not None]

    async def begin(self, count: int, server: wire.Server, place: Place, sockets: Path) -> None:
        """Have so many processes answer, this one included. Returns at once: until a worker is there, this process
        takes its connections. BadSetting where the system can't."""
        if count < 2:
            return
        self._server, self._place = server, place
        listeners = place.beside(count - 1)
        self._slots = [_Slot(listener) for listener in listeners]
        self._pages = sockets / "pages.sock"
        pages = wire.listen_unix(self._pages)
        await server.listen(pages, None)
        loop = asyncio.get_running_loop()
        self._gateway.pool.on_change = self._changed
        self._gateway.feedback.elsewhere = self._remembered
        self._gateway.chooser.share_warm = lambda *warm: self._share(None, ("warm", *warm))
        self._look()
        self._tasks = [loop.create_task(self._keep(slot)) for slot in self._slots]
        self._tasks += [loop.create_task(self._beat()), loop.create_task(self.come())]

    async def close(self, grace_seconds: float) -> None:
        """Let them end their answers for so long; returns when none is left."""
        self._is_closing = True
        self._gateway.pool.on_change = None
        for party in self._parties:
            party.channel.send("drain", grace_seconds)
        # Those that are not there need not be waited for.
        keeping = [task for task, slot in zip(self._tasks, self._slots, strict=False) if slot.process is not None]
        if keeping:
            await asyncio.wait(keeping, timeout=grace_seconds + _END_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for slot in self._slots:
            slot.listener.close()
        self._slots = []

    # Processes.

    async def _keep(self, slot: _Slot) -> None:
        failures = 0
        try:
            while not self._is_closing:
                await self._cover(slot)
                began = time.monotonic()
                cause = await self._run(slot)
                if self._is_closing:
                    return
                slot.restarts += 1
                failures = 1 if time.monotonic() - began > _STEADY_SECONDS else failures + 1
                pause = back_off_seconds(failures)
                when = f" in {pause:g} s" if pause else ""
                self._gateway.tell(f"a worker ended: {cause}; it is started again{when}")
                await self._cover(slot)
                await asyncio.sleep(pause)
        finally:
            self._uncover(slot)

    async def _run(self, slot: _Slot) -> str:
        """One worker, from its start to its end; how it ended."""
        ours, theirs = socket.socketpair()
        party = Party(self._gateway, self._lost, self._share)
        with theirs:
            given = theirs.fileno(), slot.listener.fileno()
            process = slot.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "weighbridge.gateway.worker", *map(str, given),
                pass_fds=given, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        try:
            ours.setblocking(False)
            await asyncio.get_running_loop().create_unix_connection(lambda: party.channel, sock=ours)
            slot.party = party
            party.on_ready = lambda is_ready: self._heed(slot, is_ready=is_ready)
            gateway = self._gateway
            assert self._outline is not None
            models = tuple(gateway.pool.models.values())
            party.channel.send("begin", Setup(gateway.settings, models, self._outline, self._pages))
            party.told["state"] = self._outline
            party.look(self._outline)
            self._tell_files()
            code = await process.wait()
            # What it said last is here, or on its way.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(party.gone.wait(), _LAST_WORDS_SECONDS)
            return f"signal {-code}" if code < 0 else f"exit code {code}"
        finally:
            _kill(process)
            await asyncio.shield(process.wait())
            party.channel.close()
            party.forget()
            slot.party = slot.process = None

    def _lost(self, party: Party) -> None:
        """It does not speak any more: what it had is free, and it is ended if it has not."""
        party.forget()
        process = next((slot.process for slot in self._slots if slot.party is party), None)
        if process is not None:
            # One that ends in order is about to.
            asyncio.get_running_loop().call_later(_END_SECONDS, _kill, process)

    def _heed(self, slot: _Slot, *, is_ready: bool) -> None:
        """It takes connections from now on, or no more."""
        if is_ready:
            self._uncover(slot)
            if all(each.party is not None and each.party.is_ready for each in self._slots):
                self._are_there.set()
        elif not self._is_closing:
            self._covering = asyncio.get_running_loop().create_task(self._cover(slot))

    async def _cover(self, slot: _Slot) -> None:
        """Take the connections of a worker that is not there; a Unix socket is one for all."""
        if slot.cover is None and slot.listener.family != socket.AF_UNIX:
            assert self._server is not None
            assert self._place is not None
            slot.cover = await self._server.listen(slot.listener.dup(), self._place.tls)

    def _uncover(self, slot: _Slot) -> None:
        cover, slot.cover = slot.cover, None
        if cover is not None:
            cover.close()

    # What they are told.

    def _changed(self) -> None:
        if not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Tell all how models are, where that has changed; what they keep is called back where somebody waits."""
        self._is_looking = False
        state = self._gateway.pool.glance
        if not state.is_calm or state.is_closing:
            for party in self._parties:
                party.call_back()
        models = [
            (name, model.phase, model.failures, model.cause, model.not_before, model.load_seconds, model.terms)
            for name, model in state.models.items()
        ]
        seen = (state.is_closing, state.limits, state.budget, models)
        if seen != self._seen or self._outline is None:
            self._seen, self._outline = seen, outline(state)
        for party in self._parties:
            party.look(self._outline)

    def _share(self, sender: Party | None, message: Message) -> None:
        for party in self._parties:
            if party is not sender:
                party.channel.send(*message)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self._tell_loads()
            self._tell_files()
            for party in self._parties:
                party.tell("listens", bool(self._gateway.recorder.listeners))

    def _tell_files(self) -> None:
        """What is known of the models' files."""
        identities = self._gateway.recorder.identities
        if identities is None:
            return
        found = {name: identities.of(name) for name in self._gateway.pool.models}
        known = {name: said for name, said in found.items() if said[1] or name in identities.said}
        for party in self._parties:
            party.tell("files", known)

    def _tell_loads(self) -> None:
        """What each model has to do in the other processes."""
        metrics, parties = self._gateway.metrics, self._parties
        here = metrics.in_flight
        for name in self._gateway.pool.models:
            metrics.load(name).elsewhere = sum(party.in_flight.get(name, 0) for party in parties)
        for party in parties:
            others = [here, *(each.in_flight for each in parties if each is not party)]
            names = {name for other in others for name in other}
            party.tell("loads", {name: sum(other.get(name, 0) for other in others) for name in sorted(names)})

    async def take_anew(self) -> None:
        """Have all go by the settings and models as they are now; returns when they do."""
        if not self._slots:
            return
        self._gateway.chooser.share_warm = lambda *warm: self._share(None, ("warm", *warm))
        self._look()
        gateway = self._gateway
        models = tuple(gateway.pool.models.values())
        for party in self._parties:
            if not party.is_ready:  # it hears of it once it is
                party.channel.send("settings", gateway.settings, models, 0)
        await self._ask_all("settings", gateway.settings, models)

    async def gather(self) -> None:
        """Have all that they counted counted here."""
        await self._ask_all("count")

    async def _remembered(self, name: str) -> Answered | None:
        """What one of them remembers of a request."""
        found = next((said for said in await self._ask_all("remembered", name) if said is not None), None)
        return None if found is None else Answered(*found)

    async def _ask_all(self, *message: Any) -> list[Any]:
        ready = [party for party in self._parties if party.is_ready]
        return await asyncio.gather(*(party.ask(*message, seconds=_ANSWER_SECONDS) for party in ready))

    # What is told of them.

    def describe(self) -> list[dict[str, Any]]:
        """Each worker: its process, `starting` or `ready`, how often it ended by itself, and its requests."""
        return [
            {
                "pid": slot.process.pid if slot.process is not None else None,
                "state": "ready" if slot.party is not None and slot.party.is_ready else "starting",
                "restarts": slot.restarts,
                "requests_in_flight": sum(slot.party.in_flight.values()) if slot.party is not None else 0,
            }
            for slot in self._slots
        ]

    def uncounted(self, name: str, life: Life | None) -> int:
        """Requests that an engine has from workers, beyond the leases that these hold; less than none where some are
        kept for later."""
        if life is None or not life.lent:
            return 0
        found = 0
        is_bounded = self._gateway.pool.glance.models[name].terms.at_once is not None
        for party in self._parties:
            lent, told = party.lent(life), party.serving.get(name, 0)
            # What it told is a moment old: no more can be under way by now than it has leases for.
            found += (min(told, lent) if is_bounded else told) - lent
        return found


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
