"""How many requests at once: as many as still bring more answers a second, found while the run goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST = 256
_GAIN = 1.1
_LEAST_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Level:
    """What so many requests at once brought."""

    concurrency: int
    per_second: float
    """Of answers."""
    tokens_per_second: float | None
    """Of completion tokens; None where the server does not count them."""
    seconds: float
    """What one answer took, in the mean."""


@dataclass
class Knee:
    """Doubles the requests at once while that brings a tenth more, and goes back to the last that did.

    A pure function of what finished when: `finished` takes the time and needs no clock. With `fixed`, the number stays.
    """

    fixed: int | None = None
    levels: list[Level] = field(default_factory=list)
    is_found: bool = False
    concurrency: int = 1
    _skip: int = 0
    _count: int = 0
    _tokens: int | None = 0
    _busy_seconds: float = 0.0
    _since: float | None = None

    def __post_init__(self) -> None:
        if self.fixed is not None:
            self.concurrency, self.is_found = self.fixed, True

    def finished(self, now: float, seconds: float, tokens: int | None) -> None:
        """An answer came at `now` (seconds on any clock), having taken so long, with so many tokens."""
        if self._skip > 0 or self._since is None:
            # Answers that began at the level before say nothing about this one.
            self._skip -= 1
            if self._skip <= 0:
                self._since = now
            return
        self._count += 1
        self._busy_seconds += seconds
        self._tokens = None if tokens is None or self._tokens is None else self._tokens + tokens
        enough = self._count >= max(8, 2 * self.concurrency) and now - self._since >= _LEAST_SECONDS
        if enough and now > self._since and (not self.is_found or not self.levels):
            self._judge(now - self._since)

    def _judge(self, passed: float) -> None:
        tokens = self._tokens / passed if self._tokens else None
        self.levels.append(Level(self.concurrency, self._count / passed, tokens, self._busy_seconds / self._count))
        if self.is_found:
            return
        if len(self.levels) > 1 and not _is_worth_it(*self.levels[-2:]):
            self._settle(self.levels[-2].concurrency)
        elif self.concurrency >= MOST:
            self._settle(MOST)
        else:
            self._go(self.concurrency * 2)

    def busy(self) -> None:
        """The server said that it has too much to do."""
        # All workers are told at once: that is one word, not many.
        if self.fixed is None and not (self.is_found and self._skip > 0):
            self._settle(max(1, self.concurrency // 2))

    def _settle(self, concurrency: int) -> None:
        self.is_found = True
        self._go(concurrency)

    def _go(self, concurrency: int) -> None:
        self._skip = max(self.concurrency, concurrency)
        self.concurrency = concurrency
        self._count, self._tokens, self._busy_seconds, self._since = 0, 0, 0.0, None


def _is_worth_it(fewer: Level, more: Level) -> bool:
    """Whether more requests at once bring a tenth more: of tokens where they are counted, else of answers."""
    if fewer.tokens_per_second and more.tokens_per_second:
        return more.tokens_per_second >= _GAIN * fewer.tokens_per_second
    return more.per_second >= _GAIN * fewer.per_second
