"""What is counted, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from .counting import BriefHistogram, Counter, Family, Gauge, Histogram, as_text
from .pool import Pool
from .recording import Recorder
from .scheduler import Breaker, Phase

NOBODY = "none"
"""The label of what got to no model."""
# Gauges that are set when they are read.
_OF_MODELS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("model_state", "1 for the state that the model is in.", ("model", "state")),
    ("engine_ready", "1 while the engine can answer.", ("model",)),
    ("engine_restarts", "Ends of engines by themselves.", ("model",)),
    ("engine_loads", "Times that the model was loaded.", ("model",)),
    ("engine_memory_bytes", "Main memory that the engine's processes hold, as last measured.", ("model",)),
    ("engine_memory_planned_bytes", "Memory that the model's plan takes.", ("model", "place")),
    ("engine_memory_over_plan", "1 once the engine has held more than its plan says.", ("model",)),
    ("requests_waiting", "Requests in the model's queue.", ("model",)),
    ("breaker_open", "1 while the model is left alone after failures.", ("model",)),
    ("tokens_per_second", "Tokens over the last seconds, of all its answers.", ("model",)),
    ("memory_budget_bytes", "Memory that all models may take together.", ("place",)),
    ("memory_used_bytes", "Memory that is promised to models that are loaded.", ("place",)),
    ("ledger_rows", "Rows written to the ledger since the start.", ()),
    ("ledger_rows_lost", "Rows that found no place in the ledger, since the start.", ()),
    ("traces_dropped", "Requests whose trace could not be sent, since the start.", ()),
)


class Load:
    """What one model has to do."""

    __slots__ = ("elsewhere", "in_flight")

    def __init__(self) -> None:
        self.in_flight = 0
        """Requests that are waiting or being answered."""
        self.elsewhere = 0
        """The same in the gateway's other processes, as they last said."""


class ModelCounts:
    """The counters of one model's requests that were routed in one way, found once for all of them."""

    __slots__ = (
        "_by", "_requests", "between", "cancelled", "first_token", "gap", "load", "model", "queue",
        "route", "routed", "seconds", "tokens",
    )  # fmt: skip

    def __init__(self, metrics: Metrics, model: str, route: str) -> None:
        self.model = model
        self.route = route
        self.load = metrics.load(model)
        self.seconds = metrics.seconds.labels(model, route)
        self.first_token = metrics.first_token.labels(model, route)
        self.between = metrics.between.labels(model, route)
        self.gap = metrics.gap.labels(model, route)
        self.queue = metrics.queue.labels(model, route)
        self.cancelled = metrics.cancelled.labels(model)
        self.tokens = {kind: metrics.tokens.labels(model, kind, route) for kind in ("prompt", "completion", "cached")}
        self.routed = metrics.routed.labels(model, route)
        self._requests = metrics.requests
        self._by: dict[tuple[str, int], Counter] = {}

    def count(self, path: str, status: int, times: int = 1) -> None:
        """One request more was answered, or several."""
        counter = self._by.get((path, status))
        if counter is None:
            counter = self._by[path, status] = self._requests.labels(self.model, path, self.route, status)
        counter.inc(times)


class Metrics:
    """The gateway's own counters; engines keep theirs."""

    def __init__(self) -> None:
        self._of_model: dict[tuple[str, str], ModelCounts] = {}
        self._loads: dict[str, Load] = {}
        by_route = ("model", "route")
        self.requests = Family(
            Counter, "weighbridge_requests", "Requests answered.", ("model", "path", "route", "status")
        )
        self.seconds = Family(
            Histogram, "weighbridge_request_seconds", "From the request's last byte to the answer's.", by_route
        )
        self.first_token = Family(
            Histogram,
            "weighbridge_time_to_first_token_seconds",
            "From the request's last byte to a stream's first event.",
            by_route,
        )
        self.between: Family[Histogram] = Family(
            BriefHistogram,
            "weighbridge_inter_token_seconds",
            "Between two tokens of a stream: each stream's mean, counted once for each of its tokens.",
            by_route,
        )
        self.gap: Family[Histogram] = Family(
            BriefHistogram, "weighbridge_longest_gap_seconds", "A stream's longest silence after its start.", by_route
        )
        self.queue = Family(
            Histogram, "weighbridge_queue_seconds", "Until an engine was asked, loading included.", by_route
        )
        self.tokens = Family(
            Counter,
            "weighbridge_tokens",
            "Tokens by kind, as engines report them; cached ones are contained in those of the prompt.",
            ("model", "kind", "route"),
        )
        self.cancelled = Family(
            Counter, "weighbridge_cancelled", "Requests whose client left before the end.", ("model",)
        )
        self.routed = Family(Counter, "weighbridge_routed", "Requests by how they were routed.", ("model", "by"))
        self._counted = (self.requests, self.tokens, self.cancelled, self.routed)
        self._times = (self.seconds, self.first_token, self.between, self.gap, self.queue)
        self._in_flight = Family(Gauge, "weighbridge_requests_in_flight", "Requests being answered.")
        self._gauges = {
            name: Family(Gauge, f"weighbridge_{name}", meaning, labels) for name, meaning, labels in _OF_MODELS
        }
        self.elsewhere: dict[str, float] = {}
        """What other processes of the gateway add to the gauges that count since the start."""

    def load(self, model: str) -> Load:
        """What the model has to do now, however it came to it."""
        return self._loads.setdefault(model, Load())

    def of(self, model: str, route: str) -> ModelCounts:
        """What is counted of one model's answers; `route` is what decided for it (`Route.layer`)."""
        counts = self._of_model.get((model, route))
        if counts is None:
            counts = self._of_model[model, route] = ModelCounts(self, model, route)
        return counts

    def count_refused(self, path: str, status: int) -> None:
        """One request more was refused before it got to a model."""
        self.requests.labels(NOBODY, path, NOBODY, status).inc()

    @property
    def all_counts(self) -> Iterable[ModelCounts]:
        """All that is counted, by model and route."""
        return self._of_model.values()

    def look_at(self, pool: Pool[Any], recorder: Recorder) -> None:
        """Take down how the models are now."""
        now = time.monotonic()
        for gauge in self._gauges.values():
            gauge.clear()  # a model may be gone
        self._in_flight.labels().set(sum(load.in_flight + load.elsewhere for load in self._loads.values()))
        for name, model in pool.state.models.items():
            life = pool.lives.get(name)
            phase = self._gauges["model_state"]
            for each in Phase:
                phase.labels(name, each).set(model.phase is each)
            self._gauges["engine_ready"].labels(name).set(model.phase is Phase.READY)
            self._gauges["engine_restarts"].labels(name).set(pool.restarts[name])
            self._gauges["engine_loads"].labels(name).set(pool.loads[name])
            self._gauges["requests_waiting"].labels(name).set(len(model.waiting))
            self._gauges["breaker_open"].labels(name).set(model.breaker(now, pool.state.limits) is Breaker.OPEN)
            self._gauges["tokens_per_second"].labels(name).set(life.rate.per_second(now) if life else 0)
            measured = (life.measured_bytes if life else 0) or 0
            self._gauges["engine_memory_bytes"].labels(name).set(measured)
            self._gauges["engine_memory_over_plan"].labels(name).set(life.has_drifted if life else False)
            for place, size in model.terms.need.items():
                self._gauges["engine_memory_planned_bytes"].labels(name, place).set(size)
        for gauged, count in recorder.tallies.items():
            self._gauges[gauged].labels().set(count + self.elsewhere.get(gauged, 0))
        used = pool.state.used()
        for place, size in pool.state.budget.items():
            self._gauges["memory_budget_bytes"].labels(place).set(size)
            self._gauges["memory_used_bytes"].labels(place).set(used.get(place, 0))

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return as_text([*self._counted, *self._times, self._in_flight, *self._gauges.values()])

    @property
    def in_flight(self) -> dict[str, int]:
        """Requests that are waiting or being answered here, by model."""
        return {model: load.in_flight for model, load in self._loads.items() if load.in_flight}

    def take(self) -> dict[str, list[Any]]:
        """What was counted since the last call, by family: labels and numbers, for another process to `add`. Counts
        begin from nothing again."""
        taken: dict[str, list[Any]] = {}
        for family in (*self._counted, *self._times):
            rows = [[labels, counted] for labels, member in family.members.items() if (counted := member.take())]
            if rows:
                taken[family.name] = rows
        return taken

    def add(self, taken: Mapping[str, Iterable[Any]]) -> None:
        """Count what another process has taken of its own."""
        for counter in self._counted:
            for labels, count in taken.get(counter.name, ()):
                counter.labels(*labels).add(count)
        for times in self._times:
            for labels, counts in taken.get(times.name, ()):
                self.of(*labels)  # so that it is among `all_counts`
                times.labels(*labels).add(counts)
