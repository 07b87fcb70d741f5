"""What the ledger is told of requests and engines, and who else hears of it: the page, and traces."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from weighbridge import __version__
from weighbridge.engines import Model
from weighbridge.ledger import Fields, Keep, Ledger, Served, served_of
from weighbridge.openai_api import ApiError
from weighbridge.settings import Settings

from .identities import Identities
from .pool import Lease
from .transcripts import MOST_KEPT_BYTES, answer_text, prompt_text
from .watching import Life
from .wire import Request

if TYPE_CHECKING:
    from .tracing import Trace, Tracer

# Strangers without a key could fill the disk with refusals: so many a second are told one by one.
_REFUSALS_A_SECOND = 50
_RECENT = 50
_MOST_TEXTS_WAITING_BYTES = 64 << 20


class Recorder:
    """Makes rows of what the door tells. With the ledger off it does nothing."""

    def __init__(self, models: Sequence[Model], settings: Settings) -> None:
        self.ledger: Ledger | None = None
        self.listeners: list[Callable[[Served], None]] = []
        """Who else hears of each request."""
        self.recent: deque[Served] = deque(maxlen=_RECENT)
        """The last requests."""
        self.keeps_text = settings.ledger and settings.ledger_text
        """Whether prompts and answers are kept too."""
        self.settle: Callable[[], None] = lambda: None
        """Has told what was over before: `answered_plainly`."""
        self._refused = (0, 0)
        # What was told in this round of the event loop, and becomes rows after it.
        self._told: list[Served] = []
        self._texts: ThreadPoolExecutor | None = None
        self._texts_bytes = 0
        self._identities: Identities | None = None
        self.tracer = _tracer(settings)
        """Where requests are traced."""
        if not settings.ledger:
            return
        keep = Keep(settings.ledger_days, settings.ledger_bytes)
        self.ledger = Ledger.open(settings.state_path, keep, written_by=f"weighbridge {__version__}")
        self.ledger.record("gateway", {"event": "started", "version": __version__, "url": settings.url})
        if self.keeps_text:
            self._texts = ThreadPoolExecutor(1, thread_name_prefix="texts")
        self._files = {model.name: _files_of(model) for model in models}
        self._identities = self._identify(settings)

    def know(self, models: Sequence[Model], settings: Settings) -> None:
        """Hear of other models; the sums of their files are taken in the background."""
        before = self._identities
        if before is None:
            return
        files = {model.name: _files_of(model) for model in models}
        if files != self._files:
            self._files = files
            self._identities = self._identify(settings)
            # It ends once the sum that it takes is given up.
            asyncio.get_running_loop().run_in_executor(None, before.close)

    def _identify(self, settings: Settings) -> Identities:
        return Identities(self._files, settings.state_path, takes_sums=settings.ledger_sums)

    @property
    def identities(self) -> Identities | None:
        """What is known of the models' files; None with the ledger off."""
        return self._identities

    @property
    def files_begun(self) -> int:
        """How many files of the ledger were begun; 0 without a ledger."""
        return 0 if self.ledger is None else self.ledger.files_begun

    @property
    def tallies(self) -> dict[str, int]:
        """What was counted since the start, by the names of its gauges."""
        found: dict[str, int] = {}
        if self.ledger is not None:
            found |= {"ledger_rows": self.ledger.rows, "ledger_rows_lost": self.ledger.lost}
        if self.tracer is not None:
            found["traces_dropped"] = self.tracer.dropped
        return found

    def engine_of(self, lease: Lease[Any] | None) -> str | None:
        """The hash of the row that says what answers a request; it is written where it is not there yet."""
        ledger = self.ledger
        if ledger is None or lease is None:
            return None
        known = lease.life.recorded
        if known is None or known[0] != ledger.files_begun:
            known = self._introduce(ledger, lease.life)
        return known[1]

    def answered(
        self,
        served: Served,
        lease: Lease[Any] | None,
        parts: Sequence[bytes],
        answer: list[bytes] | None,
        trace: Trace | None,
    ) -> None:
        """A request is over; `parts` are its body, `answer` what was kept of the answer's."""
        ledger = self.ledger
        self.tell(served)
        if trace is not None and self.tracer is not None:
            self.tracer.end(trace, served, None if lease is None else lease.life.model.engine)
        if ledger is None:
            return
        if answer is None or self._texts is None:
            self._put_down(ledger, served)
        else:
            self._with_text(ledger, served, parts, answer)

    def answered_plainly(self, told: Iterable[Fields]) -> None:
        """Requests were over a moment ago, of which no more is kept than this."""
        every = [*map(served_of, told)]
        self.recent.extend(every[-_RECENT:])
        for listener in self.listeners:
            for served in every:
                listener(served)
        if self.ledger is not None:
            self._told[:0] = every
            self._make_rows(self.ledger)

    def refused(self, name: str, path: str, error: ApiError, request: Request | None) -> None:
        """A request got no further than the door."""
        ledger = self.ledger
        now = time.time()
        second, count = self._refused
        self._refused = (int(now), count + 1 if second == int(now) else 1)
        if self._refused[1] > _REFUSALS_A_SECOND:
            if ledger is not None:
                ledger.pass_over()
            return
        code = error.code or error.kind
        asked = None if request is None else request.asked
        key = None if request is None or request.caller is None else request.caller.name
        served = Served(
            now, name, path, asked, None, None, None, None, key, error.status, "error", code, False, None, None, None,
            None, None, 0,
        )  # fmt: skip
        self.tell(served)
        if ledger is not None:
            self._put_down(ledger, served)

    def left(self, name: str, request: Request) -> None:
        """The client of a request has left while nobody was asked."""
        key = None if request.caller is None else request.caller.name
        served = Served(
            time.time(), name, request.path.decode(), request.asked, None, None, None, None, key, None, "gone", None,
            False, None, None, None, None, None, 0,
        )  # fmt: skip
        self.tell(served)
        if self.ledger is not None:
            self._put_down(self.ledger, served)

    def _put_down(self, ledger: Ledger, served: Served) -> None:
        """Have a row made of it, with those of all other requests that are over in this round of the event loop."""
        self._told.append(served)
        if len(self._told) == 1:
            asyncio.get_running_loop().call_soon(self._make_rows, ledger)

    def _make_rows(self, ledger: Ledger) -> None:
        self.settle()
        told, self._told = self._told, []
        if told:
            ledger.served_together(told)

    def tell(self, served: Served) -> None:
        """A request is over, here or in another process of the gateway: whoever listens hears of it."""
        if self.listeners:
            self.settle()
        self.recent.append(served)
        for listener in self.listeners:
            listener(served)

    def keep(self, answer: list[bytes], body: bytes) -> None:
        """A piece of an answer whose text is kept, up to a bound."""
        if answer and len(answer[0]) >= MOST_KEPT_BYTES:
            return
        answer.append(body)
        if len(answer) > 256:
            answer[:] = [b"".join(answer)]

    async def close(self) -> None:
        """Write what waits; returns when it is on disk."""
        if self.tracer is not None:
            await asyncio.to_thread(self.tracer.close)
        ledger = self.ledger
        if ledger is None:
            return
        if self._identities is not None:
            await asyncio.to_thread(self._identities.close)
        if self._texts is not None:
            await asyncio.to_thread(self._texts.shutdown)
            await asyncio.sleep(0)  # what it made is put down
        self._make_rows(ledger)
        ledger.record("gateway", {"event": "stopped", "rows": ledger.rows, "lost": ledger.lost})
        await asyncio.to_thread(ledger.close)

    def _introduce(self, ledger: Ledger, life: Life) -> tuple[int, str]:
        """Put down what answers: once for each of the ledger's files, and anew once its files' sums are known."""
        assert self._identities is not None
        files, is_final = self._identities.of(life.model.name)
        named = ledger.record("engine", {**_engine(life), "files": files})
        known = ledger.files_begun, named
        # Until all sums are known, the next request asks again; it finds the same row or a better one.
        life.recorded = known if is_final else None
        return known

    def _with_text(self, ledger: Ledger, served: Served, parts: Sequence[bytes], answer: list[bytes]) -> None:
        """Have its text made ready on a thread; where too much waits, the row goes without."""
        size = sum(map(len, parts)) + sum(map(len, answer))
        if self._texts_bytes + size > _MOST_TEXTS_WAITING_BYTES:
            self._put_down(ledger, served)
            return
        assert self._texts is not None
        self._texts_bytes += size
        loop = asyncio.get_running_loop()

        def put_down(prompt: str | None, text: str | None) -> None:
            self._texts_bytes -= size
            self._put_down(ledger, served._replace(prompt=prompt, answer=text))

        def work() -> None:
            prompt, text = prompt_text(served.path, parts), answer_text(answer, is_stream=served.stream)
            loop.call_soon_threadsafe(put_down, prompt, text)

        self._texts.submit(work)


def _tracer(settings: Settings) -> Tracer | None:
    """Imported only where it is wanted: what it needs takes megabytes."""
    if not settings.otel_endpoint:
        return None
    from .tracing import Tracer

    return Tracer(settings.otel_endpoint)


def _files_of(model: Model) -> tuple[Path, ...]:
    """The files that hold the model's weights, as far as they lie here."""
    if model.facts is not None:
        return tuple(map(Path, model.facts.source.files))
    path = model.options.get("path")
    return (Path(path),) if path else ()


def _engine(life: Life) -> Mapping[str, Any]:
    """What answers, and how it is run."""
    model, plan, endpoint = life.model, life.model.plan, life.running.endpoint
    said: dict[str, Any] = {"model": model.name, "engine": model.engine}
    if life.running.pid is None:
        base = urlsplit(endpoint.base_url)
        said["server"] = f"{base.scheme}://{base.hostname}" + (f":{base.port}" if base.port else "") + base.path
        said["server_model"] = endpoint.model
    if plan is not None:
        work = plan.workload
        said["plan"] = {
            "context_tokens": plan.context_tokens,
            "parallel": work.parallel,
            "cache_type_k": work.cache_type_k or "f16",
            "cache_type_v": work.cache_type_v or "f16",
            "ubatch_tokens": work.ubatch_tokens,
            "threads": plan.threads,
            "engine_version": plan.engine_version,
            "arguments": list(plan.arguments),
            "memory_bytes": dict(model.need),
            "name": plan.facts.name,
        }
    return said
