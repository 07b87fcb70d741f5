"""`Limiter`: how much each key may still ask for: requests, tokens and answers at once.

Its door is two calls with plain values, `admit` before a request and `settle` after it, so that what it knows may as
well lie in another process. It does not look at a clock: `now` is seconds since 1970, since a day is one of the limits.

Per minute is a bucket: it holds a minute's worth, and fills evenly. What an answer will take is not known when it
begins: a guess is taken out then, and put right in the end. So a bucket may be overdrawn, and then the next request
waits longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .keys import Key, Use, day_ends, today

_MINUTE_SECONDS = 60.0
# How long one that has too many answers at once is told to wait: when one ends, nobody knows.
_BUSY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that is too much: by which limit, in words, and after how many seconds it would not be."""

    what: str
    limit: int
    wait_seconds: float


class _Bucket:
    """A minute's worth of something, filled evenly. In a clock that went back it does not fill."""

    __slots__ = ("_level", "_stamp", "capacity")

    def __init__(self, capacity: int, now: float) -> None:
        self.capacity = capacity
        self._level = float(capacity)
        self._stamp = now

    def level(self, now: float) -> float:
        """What is in it now; below zero where too little was guessed."""
        elapsed = now - self._stamp
        if elapsed > 0:
            self._level = min(self.capacity, self._level + elapsed * self.capacity / _MINUTE_SECONDS)
        self._stamp = now
        return self._level

    def take(self, count: float) -> None:
        """Take so much out, or with less than zero put it back."""
        self._level = min(self.capacity, self._level - count)

    def resize(self, capacity: int) -> None:
        """Another size; what was taken stays taken."""
        self._level += capacity - self.capacity
        self.capacity = capacity

    def wait_seconds(self, count: float) -> float:
        """Until so much is in it; without end where it holds nothing."""
        return max(0.0, count - self._level) * _MINUTE_SECONDS / self.capacity if self.capacity else math.inf


class _Meter:
    """What one key has used."""

    __slots__ = ("day", "day_tokens", "has_changed", "in_flight", "key", "requests", "tokens")

    def __init__(self, key: Key, now: float, use: Use | None) -> None:
        self.key = key
        self.requests: _Bucket | None = None
        self.tokens: _Bucket | None = None
        self.in_flight = 0
        self.day = use.day if use else 0
        self.day_tokens = use.tokens if use else 0
        self.has_changed = False
        self.fit(key, now)

    def fit(self, key: Key, now: float) -> None:
        """Take the key's limits as they are now."""
        self.key = key
        self.requests = _fitted(self.requests, key.requests_per_minute, now)
        self.tokens = _fitted(self.tokens, key.tokens_per_minute, now)

    def of_today(self, now: float) -> int:
        """Tokens since the day began."""
        day = today(now)
        if day != self.day:
            self.day, self.day_tokens = day, 0
        return self.day_tokens


def _fitted(bucket: _Bucket | None, capacity: int | None, now: float) -> _Bucket | None:
    if capacity is None:
        return None
    if bucket is None:
        return _Bucket(capacity, now)
    bucket.resize(capacity)
    return bucket


class Limiter:
    """The meters of all keys, by their `id`."""

    def __init__(self) -> None:
        self._meters: dict[str, _Meter] = {}

    def fit(self, keys: Mapping[str, Key], uses: Mapping[str, Use], now: float) -> None:
        """Count for these keys from now on. What was counted of those that were there already stays."""
        meters = self._meters
        self._meters = {}
        for id_, key in keys.items():
            meter = meters.get(id_)
            if meter is None:
                meter = _Meter(key, now, uses.get(id_))
            else:
                meter.fit(key, now)
            self._meters[id_] = meter

    def knows(self, id_: str) -> bool:
        """Whether a key is counted for."""
        return id_ in self._meters

    def admit(self, id_: str, tokens: int, now: float) -> Refused | int:
        """Take one request that may need so many tokens: how many are set aside for it, to be given to `settle`; or why
        it must wait. A key that is not known (any more) has no limit."""
        meter = self._meters.get(id_)
        if meter is None:
            return 0
        key = meter.key
        if key.concurrency is not None and meter.in_flight >= key.concurrency:
            return Refused("answers at once", key.concurrency, _BUSY_SECONDS)
        requests, bucket = meter.requests, meter.tokens
        if requests is not None and requests.level(now) < 1:
            return Refused("requests per minute (RPM)", requests.capacity, requests.wait_seconds(1))
        if bucket is not None:
            # A full bucket lets one through, however much was guessed.
            tokens = min(tokens, bucket.capacity)
            if bucket.level(now) < max(tokens, 1):
                return Refused("tokens per minute (TPM)", bucket.capacity, bucket.wait_seconds(max(tokens, 1)))
        if key.tokens_per_day is not None and meter.of_today(now) >= key.tokens_per_day:
            return Refused("tokens per day (TPD)", key.tokens_per_day, day_ends(now))
        if requests is not None:
            requests.take(1)
        if bucket is not None:
            bucket.take(tokens)
        meter.of_today(now)
        meter.day_tokens += tokens
        meter.in_flight += 1
        return tokens

    def settle(self, id_: str, reserved: int, used: int, now: float) -> None:
        """The request is over: it used so many tokens, in place of what was set aside."""
        meter = self._meters.get(id_)
        if meter is None:
            return
        if meter.in_flight:
            meter.in_flight -= 1
        if meter.tokens is not None:
            meter.tokens.take(used - reserved)
        meter.of_today(now)
        meter.day_tokens = max(0, meter.day_tokens + used - reserved)
        meter.has_changed = True

    def lines(self, id_: str, now: float, *, anthropic: bool = False) -> bytes:
        """The headers of what is left, for a head: OpenAI's, or Anthropic's."""
        meter = self._meters.get(id_)
        if meter is None:
            return b""
        found = b""
        if meter.requests is not None:
            found = _bucket_lines(b"requests", meter.requests, now, anthropic=anthropic)
        if meter.tokens is not None:
            found += _bucket_lines(b"tokens", meter.tokens, now, anthropic=anthropic)
        elif meter.key.tokens_per_day is not None:
            most = meter.key.tokens_per_day
            left = max(0, most - meter.of_today(now))
            found += _lines(b"tokens", most, left, day_ends(now), now, anthropic=anthropic)
        return found

    def changed(self) -> dict[str, tuple[int, int]]:
        """The day and its tokens of the keys that were used since the last call."""
        found = {}
        for id_, meter in self._meters.items():
            if meter.has_changed:
                meter.has_changed = False
                found[id_] = (meter.day, meter.day_tokens)
        return found


_KINDS = (b"limit", b"remaining", b"reset")
RATE_LINES = frozenset(
    name
    for kind in _KINDS
    for what in (b"requests", b"tokens")
    for name in (b"x-ratelimit-%b-%b" % (kind, what), b"anthropic-ratelimit-%b-%b" % (what, kind))
)
"""Their names."""
_OPENAI_LINES = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %b\r\n"
_ANTHROPIC_LINES = (
    b"anthropic-ratelimit-%b-limit: %d\r\nanthropic-ratelimit-%b-remaining: %d\r\nanthropic-ratelimit-%b-reset: %b\r\n"
)
# A bucket that holds nothing never fills; a time must be told all the same.
_LONGEST_TOLD_SECONDS = 366 * 86_400.0


def _bucket_lines(what: bytes, bucket: _Bucket, now: float, *, anthropic: bool) -> bytes:
    left = max(0, int(bucket.level(now)))
    return _lines(what, bucket.capacity, left, bucket.wait_seconds(bucket.capacity), now, anthropic=anthropic)


def _lines(what: bytes, limit: int, left: int, wait_seconds: float, now: float, *, anthropic: bool) -> bytes:
    form, until = (
        (_ANTHROPIC_LINES, _moment(now, wait_seconds)) if anthropic else (_OPENAI_LINES, _duration(wait_seconds))
    )
    return form % (what, limit, what, left, what, until)


def _moment(now: float, wait_seconds: float) -> bytes:
    """A time as Anthropic writes it, RFC 3339: 2026-11-21T18:52:03Z."""
    at = datetime.fromtimestamp(math.ceil(now + min(wait_seconds, _LONGEST_TOLD_SECONDS)), UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def _duration(seconds: float) -> bytes:
    """A time as OpenAI writes it: 17ms, 1.5s, 6m0s, 2h30m0s."""
    if not math.isfinite(seconds):
        return b"never"
    if seconds < 1:
        return b"%dms" % math.ceil(seconds * 1000)
    if seconds < _MINUTE_SECONDS:
        return (f"{seconds:.3f}".rstrip("0").rstrip(".") + "s").encode()
    whole = math.ceil(seconds)
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "").encode() + b"%dm%ds" % (minutes, left)
