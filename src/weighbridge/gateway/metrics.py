"""What is counted, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The gateway's own counters; engines keep theirs."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "weighbridge_requests", "Requests answered.", ("model", "path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "weighbridge_request_seconds", "From the request's last byte to the answer's.", ("model",),
            registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self.first_byte = Histogram(
            "weighbridge_time_to_first_byte_seconds", "From the request's last byte to the answer's first.", ("model",),
            registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self.tokens = Counter(
            "weighbridge_tokens", "Tokens by kind, as engines report them.", ("model", "kind"), registry=self.registry
        )
        self.cancelled = Counter(
            "weighbridge_cancelled", "Requests whose client left before the end.", ("model",), registry=self.registry
        )
        self.routed = Counter(
            "weighbridge_routed", "Requests by how they were routed.", ("model", "by"), registry=self.registry
        )
        self.in_flight = Gauge("weighbridge_requests_in_flight", "Requests being answered.", registry=self.registry)
        self.restarts = Gauge(
            "weighbridge_engine_restarts", "Ends of engines by themselves.", ("model",), registry=self.registry
        )
        self.ready = Gauge(
            "weighbridge_engine_ready", "1 while the engine can answer.", ("model",), registry=self.registry
        )

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)
