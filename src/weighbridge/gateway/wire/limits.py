"""What one connection may cost: sizes, counts and times, each with its own answer when it is passed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the server's side. Sizes are bytes, times are seconds."""

    head_bytes: int = 32_768
    """Request line and headers together; 431 above it."""
    headers: int = 100
    """Header lines; 431 above it."""
    target_bytes: int = 8_192
    """The request's target (URL); 414 above it."""
    body_bytes: int = 32 << 20
    """The body, declared or chunked; 413 above it, without reading the rest."""
    bodies_bytes: int = 1 << 30
    """Bodies of all connections together, but for what came with its head; 503 above it."""
    pipelined_bytes: int = 256 << 10
    """Bytes taken while a request is at work; a client that sends more is answered once more, then let go."""
    write_buffer_bytes: int = 256 << 10
    """Unsent bytes at which whoever writes is told to pause; it may go on at a quarter of it."""
    connections: int = 10_000
    """Open connections; one more is answered 503."""
    head_seconds: float = 10.0
    """From a head's first byte (or the connection's start) to its last; 408 after it."""
    idle_seconds: float = 75.0
    """Silence between two requests."""
    body_bytes_per_second: int = 512
    """The slowest body, over any `body_window_seconds`; 408 below it."""
    body_window_seconds: float = 10.0
    write_stalled_seconds: float = 60.0
    """A client that takes no byte for so long, while bytes wait for it, is cut off."""
    linger_seconds: float = 2.0
    """After a refusal, the rest of the request is thrown away for so long, so that the client reads the answer."""
    linger_bytes: int = 8 << 20
    sweep_seconds: float = 0.5
    """How often times are looked at: no request sets a timer of its own."""


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Bounds of the engine's side. Sizes are bytes, times are seconds."""

    connect_seconds: float = 10.0
    first_byte_seconds: float = 600.0
    """From the request to the answer's first byte: a long prompt takes its time."""
    silence_seconds: float = 600.0
    """Between two pieces of an answer."""
    keep_seconds: float = 3.0
    """Engines close kept connections after 5 s of silence or more; a request must not meet that moment."""
    kept_connections: int = 256
    head_bytes: int = 65_536
    sweep_seconds: float = 0.5
