"""What is counted, for Prometheus."""

from __future__ import annotations

import time
from typing import Any

from .counting import Counter, Family, Gauge, Histogram, as_text
from .pool import Pool
from .scheduler import Breaker, Phase

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
)


class ModelCounts:
    """One model's counters, found once for all of its requests."""

    __slots__ = ("_by", "_routed", "cancelled", "first_byte", "in_flight", "model", "seconds", "tokens")

    def __init__(self, metrics: Metrics, model: str) -> None:
        self.model = model
        self.in_flight = 0
        """Requests that are waiting or being answered."""
        self.seconds = metrics.seconds.labels(model)
        self.first_byte = metrics.first_byte.labels(model)
        self.cancelled = metrics.cancelled.labels(model)
        self.tokens = {kind: metrics.tokens.labels(model, kind) for kind in ("prompt", "completion")}
        self._routed = metrics.routed
        self._by: dict[str, Counter] = {}

    def count_route(self, by: str) -> None:
        """One request more came here by its model's name, or by another's choice."""
        counter = self._by.get(by)
        if counter is None:
            counter = self._by[by] = self._routed.labels(self.model, by)
        counter.inc()


class Metrics:
    """The gateway's own counters; engines keep theirs."""

    def __init__(self) -> None:
        self._of_model: dict[str, ModelCounts] = {}
        self._answered: dict[tuple[str, str, int], Counter] = {}
        self.requests = Family(Counter, "weighbridge_requests", "Requests answered.", ("model", "path", "status"))
        self.seconds = Family(
            Histogram, "weighbridge_request_seconds", "From the request's last byte to the answer's.", ("model",)
        )
        self.first_byte = Family(
            Histogram,
            "weighbridge_time_to_first_byte_seconds",
            "From the request's last byte to the answer's first.",
            ("model",),
        )
        self.tokens = Family(
            Counter, "weighbridge_tokens", "Tokens by kind, as engines report them.", ("model", "kind")
        )
        self.cancelled = Family(
            Counter, "weighbridge_cancelled", "Requests whose client left before the end.", ("model",)
        )
        self.routed = Family(Counter, "weighbridge_routed", "Requests by how they were routed.", ("model", "by"))
        self._in_flight = Family(Gauge, "weighbridge_requests_in_flight", "Requests being answered.")
        self._gauges = {
            name: Family(Gauge, f"weighbridge_{name}", meaning, labels) for name, meaning, labels in _OF_MODELS
        }

    def of(self, model: str) -> ModelCounts:
        """What is counted of one model's answers."""
        counts = self._of_model.get(model)
        if counts is None:
            counts = self._of_model[model] = ModelCounts(self, model)
        return counts

    def count(self, model: str, path: str, status: int) -> None:
        """One request more was answered; `model` is `none` where it got to none."""
        key = (model, path, status)
        counter = self._answered.get(key)
        if counter is None:
            counter = self._answered[key] = self.requests.labels(*key)
        counter.inc()

    def look_at(self, pool: Pool[Any]) -> None:
        """Take down how the models are now."""
        now = time.monotonic()
        self._in_flight.labels().set(sum(counts.in_flight for counts in self._of_model.values()))
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
        used = pool.state.used()
        for place, size in pool.state.budget.items():
            self._gauges["memory_budget_bytes"].labels(place).set(size)
            self._gauges["memory_used_bytes"].labels(place).set(used.get(place, 0))

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        counted = (self.requests, self.tokens, self.cancelled, self.routed)
        return as_text([*counted, self.seconds, self.first_byte, self._in_flight, *self._gauges.values()])
