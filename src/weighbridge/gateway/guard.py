"""`Guard`: who calls, what they may ask for, and how much of it: one look into a dictionary for each request."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from weighbridge.errors import BadSetting, StateDamaged
from weighbridge.openai_api import ApiError
from weighbridge.settings import Settings

from . import keys
from .keys import Key, digest
from .rates import Limiter, Refused
from .wire import Body, Form, Request

# How often the file of keys is looked at, while requests come: a key that is revoked is refused so soon.
_LOOK_SECONDS = 0.2
# A prompt has about a token for every four bytes. What an image takes has nothing to do with its bytes.
_BYTES_A_TOKEN = 4
_MOST_GUESSED_TOKENS = 32_768
_MOST_STATED_TOKENS = 10_000_000
# Ways in which keys that are good are written in a header: about one for each.
_MOST_HEADERS = 1024
_ANSWER_LENGTHS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class Caller:
    """Who calls: the operator, somebody on this machine where no key is asked for, or whoever has a key."""

    __slots__ = ("_policies", "allowed", "expires", "id", "is_admin", "is_limited", "models", "name", "used_at")

    def __init__(
        self,
        name: str,
        *,
        is_admin: bool = False,
        key: Key | None = None,
        policies: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        """Of the key; `operator` or `anyone` without one."""
        self.is_admin = is_admin
        self.id = key.id if key else ""
        self.is_limited = key is not None and key.is_limited
        self.used_at = 0.0
        """When it called last, in seconds since 1970."""
        self.expires = math.inf if key is None or key.expires is None else key.expires
        self.models: frozenset[str] | None = None
        """What it may ask for; None: everything."""
        self.allowed: frozenset[str] | None = None
        """Models that a policy may choose among for it; None: all."""
        self._policies = policies
        if key is not None and key.models is not None:
            self.models = frozenset(key.models)
            listed = self.models & policies
            self.allowed = None if listed and listed == self.models else self.models - listed
            # A list that names policies allows these alone; one that names none allows all of them.
            self._policies = listed or policies

    def may_ask(self, model: str) -> bool:
        """Whether the name of a model or a policy is one for it."""
        return self.models is None or model in self.models or model in self._policies

    def names(self, models: Iterable[str]) -> list[str]:
        """What it may ask for."""
        return [*sorted(self._policies), *(model for model in models if self.may_ask(model))]


ANYONE = Caller("anyone")
OPERATOR = Caller("operator", is_admin=True)


class Spending:
    """What one request has set aside of its key's limits; `settle` once it is over, however."""

    __slots__ = ("_caller", "_held", "_is_anthropic", "_limiter", "_reserved")

    def __init__(self, limiter: Limiter, caller: Caller, reserved: int | None, *, is_anthropic: bool) -> None:
        self._limiter = limiter
        self._caller = caller
        self._reserved = reserved
        """None where nothing was, or is any more."""
        self._is_anthropic = is_anthropic
        self._held = 0

    def hold(self, usage: Mapping[str, int], pieces: int, size: int) -> None:
        """An answer that the client does not get was computed all the same: it is charged with the one that follows."""
        self._held += _stated(usage) or _prompt_tokens(size) + pieces

    def settle(self, usage: Mapping[str, int], status: int, passed: int, size: int) -> None:
        """Charge what the answer says that it used; where it does not say, the prompt by the body's bytes and the
        pieces of a stream that passed. An error costs nothing."""
        if self._reserved is None:
            return
        used = _stated(usage)
        if not used and 200 <= status < 300:
            used = _prompt_tokens(size) + passed
        self._end(used + self._held)

    def drop(self) -> None:
        """It came to nothing."""
        if self._reserved is not None:
            self._end(self._held)

    def _end(self, used: int) -> None:
        reserved, self._reserved = self._reserved or 0, None
        self._limiter.settle(self._caller.id, reserved, used, time.time())

    def lines(self) -> bytes:
        """The headers that tell what is left."""
        return self._limiter.lines(self._caller.id, time.time(), anthropic=self._is_anthropic)


def _stated(usage: Mapping[str, int]) -> int:
    return usage.get("prompt", 0) + usage.get("completion", 0)


def _prompt_tokens(size: int) -> int:
    return min(size // _BYTES_A_TOKEN + 1, _MOST_GUESSED_TOKENS)


def guessed(size: int, stated: int) -> int:
    """What a request with a body of so many bytes may take, whose answer may have as many tokens as it has stated."""
    return _prompt_tokens(size) + min(stated, _MOST_STATED_TOKENS)


def guessed_tokens(body: Body | Form) -> int:
    """What a request may take: its prompt by its length, and as many tokens of an answer as it allows."""
    size = len(body.bytes)
    if isinstance(body, Form) or body.is_large:
        return guessed(size, 0)
    for name in _ANSWER_LENGTHS:
        stated = body.value(name)
        if type(stated) is int and stated > 0:
            return guessed(size, stated)
    return guessed(size, 0)


class Guard:
    """Lets callers in. Keys are read from their file when it changes; `tell` hears of trouble with it, once.

    Without any key only this machine is served, and then ApiError 403 keeps out pages in a browser: those of other
    origins than the settings allow, and those that reach us by a name of their own that they made point here (DNS
    rebinding). Once there is a key, every request needs one.
    """

    def __init__(self, settings: Settings, tell: Callable[[str], None]) -> None:
        self.limiter = Limiter()
        self._tell = tell
        self._callers: dict[bytes, Caller] = {}
        self.known: dict[bytes, Caller] = {}
        """Who was let in by a value of Authorization, so that its sum is taken once; without keys, of Host."""
        self.is_open = False
        """Whether whoever is on this machine needs no key."""
        self._keys: tuple[Key, ...] = ()
        self._mark: tuple[int, int, int] | None = None
        self.looked_at = -math.inf
        """When the file of keys was looked at last."""
        self._noted_at = 0.0
        self._policies: frozenset[str] = frozenset()
        self.configure(settings, at_start=True)

    def configure(self, settings: Settings, *, at_start: bool = False) -> None:
        """Take settings as they are now. StateDamaged where the file of keys can't be read."""
        path = settings.keys_path
        mark, found = keys.mark(path), keys.read(path)
        if at_start:
            _check_reach(settings, found)
        self._settings = settings
        self._path: Path = path
        self._origins = frozenset(settings.cors_origins)
        self._take(mark, found)

    def know(self, policies: Iterable[str]) -> None:
        """Hear by which names a request may ask for a choice of the router's."""
        self._policies = frozenset(policies)
        self._take(self._mark, self._keys)

    def _take(self, mark: tuple[int, int, int] | None, found: tuple[Key, ...]) -> None:
        settings = self._settings
        self._mark, self._keys = mark, found
        callers = {
            bytes.fromhex(key.sha256): Caller(key.name, is_admin=key.admin, key=key, policies=self._policies)
            for key in found
        }
        before = {caller.id: caller.used_at for caller in self._callers.values()}
        for caller in callers.values():
            caller.used_at = before.get(caller.id, 0.0)
        if settings.api_key:
            callers[digest(settings.api_key.encode())] = OPERATOR
        self._callers = callers
        self.known.clear()
        # Beyond this machine nobody comes in without a key, also when the last one was revoked.
        self.is_open = not callers and settings.is_loopback
        uses: Mapping[str, keys.Use] = {}
        if found and any(key.tokens_per_day is not None for key in found):
            # What is not kept counts anew; nobody is locked out for it.
            with contextlib.suppress(StateDamaged):
                uses = keys.uses(settings.state_path)
        self.limiter.fit({key.id: key for key in found}, uses, time.time())

    def _look(self, now: float) -> None:
        """Read the keys again if their file has changed."""
        self.looked_at = now
        mark = keys.mark(self._path)
        if mark == self._mark:
            return
        try:
            self._take(mark, keys.read(self._path))
        except StateDamaged as error:
            # The keys as they were before hold on; it is read again once it changes again.
            self._mark = mark
            self._tell(f"{error}; the keys stay as they were ({error.hint})")

    def caller(self, values: Mapping[bytes, bytes]) -> Caller:
        """Who sent a request, by its headers with names in lower case: `Authorization: Bearer`, or Anthropic's
        `x-api-key`. ApiError 401 or 403 for whoever may not."""
        now = time.monotonic()
        if now - self.looked_at > _LOOK_SECONDS:
            self._look(now)
        if self.is_open:
            return self._neighbour(values)
        header = values.get(b"authorization")
        caller = None if header is None else self.known.get(header)
        if caller is None:
            caller = self._holder(header, values)
        wall = time.time()
        if caller.expires < wall:
            raise ApiError(401, f"The API key {caller.name!r} has expired.", kind="authentication_error",
                           code="invalid_api_key")  # fmt: skip
        caller.used_at = wall
        return caller

    def _holder(self, header: bytes | None, values: Mapping[bytes, bytes]) -> Caller:
        """Whose key a request shows. ApiError 401 where it is nobody's."""
        given = values.get(b"x-api-key", b"")
        if header is not None:
            kind, _, given = header.partition(b" ")
            if kind.lower() != b"bearer":
                raise _unknown(given)
        # The sum is looked up, not the secret: how long that takes tells nothing of any key.
        caller = self._callers.get(digest(given.strip()))
        if caller is None:
            raise _unknown(given)
        if header is not None:
            self._know(header, caller)
        return caller

    def _know(self, shown: bytes, caller: Caller) -> None:
        if len(self.known) >= _MOST_HEADERS:
            self.known.clear()
        self.known[shown] = caller

    def operator(self, values: Mapping[bytes, bytes]) -> Caller:
        """The same for what concerns the gateway itself. ApiError 403 for a key that is not an operator's."""
        caller = self.caller(values)
        if not caller.is_admin:
            raise ApiError(
                403,
                "This is for the gateway's operator: the key in api_key, or one made by `weigh key create --admin`.",
                kind="permission_error",
                code="not_the_operator",
            )
        return caller

    def _neighbour(self, values: Mapping[bytes, bytes]) -> Caller:
        """Somebody without a key, on this machine: whoever is at it, or a page that the settings allow."""
        host, origin = values.get(b"host"), values.get(b"origin")
        if host and not _is_here(host):
            raise _foreign("host", host)
        if not origin or _is_here(origin):
            if host:
                self._know(host, OPERATOR)
            return OPERATOR
        if "*" in self._origins or origin.decode("latin-1") in self._origins:
            return ANYONE
        raise _foreign("origin", origin)

    def admit(self, request: Request, body: Body | Form) -> None:
        """Set aside, as its `spending`, what a request may take of its key's limits. ApiError 429 where that is too
        much."""
        spend(request, self.limiter, self.limiter.admit(request.caller.id, guessed_tokens(body), time.time()))

    def look_for(self, key: str) -> None:
        """Know a key by its `id` as its file has it now: another process of the gateway may have read that before."""
        now = time.monotonic()
        if now - self.looked_at > _LOOK_SECONDS or not self.limiter.knows(key):
            self._look(now)

    def note_uses(self, used_at: Mapping[str, float]) -> None:
        """Hear when keys were used in another process of the gateway, by their `id`, in seconds since 1970."""
        for caller in self._callers.values():
            caller.used_at = max(caller.used_at, used_at.get(caller.id, 0.0))

    def used_since(self, since: float) -> dict[str, float]:
        """When each key was used last that was used since then."""
        return {caller.id: caller.used_at for caller in self._callers.values() if caller.id and caller.used_at > since}

    def uses(self) -> dict[str, keys.Use]:
        """How keys were used since the last call."""
        since, self._noted_at = self._noted_at, time.time()
        counted = self.limiter.changed()
        return {
            caller.id: keys.Use(caller.used_at, *counted.get(caller.id, (0, 0)))
            for caller in self._callers.values()
            if caller.id and (caller.used_at > since or caller.id in counted)
        }


def speaks_anthropic(request: Request) -> bool:
    """Whether its client reads of limits in Anthropic's headers."""
    return request.path.startswith(b"/v1/messages")


def spend(request: Request, limiter: Limiter, admitted: Refused | int) -> None:
    """Give a request its `spending`, as a limiter has said. ApiError 429 where it refused."""
    caller, is_anthropic = request.caller, speaks_anthropic(request)
    if not isinstance(admitted, Refused):
        request.spending = Spending(limiter, caller, admitted, is_anthropic=is_anthropic)
        return
    request.spending = Spending(limiter, caller, None, is_anthropic=is_anthropic)
    wait = admitted.wait_seconds
    again = f"Please try again in {math.ceil(wait)} s." if math.isfinite(wait) else "It allows none."
    raise ApiError(
        429,
        f"Rate limit reached for the key {caller.name!r} on {admitted.what}: limit {admitted.limit}. {again}",
        kind="rate_limit_error",
        code="rate_limit_exceeded",
        retry_after_seconds=max(1, math.ceil(wait)) if math.isfinite(wait) else None,
    )


def check_model(caller: Caller, model: str, served: Mapping[str, object]) -> None:
    """ApiError 404 where the key may not ask for it: in the words for a model that is not there, so that what others
    use is nobody's to find out. `served` are those that may answer."""
    if not caller.may_ask(model):
        there = caller.names(served)
        raise ApiError(
            404,
            f"The model {model[:100]!r} does not exist or you do not have access to it. There are: {', '.join(there)}.",
            code="model_not_found",
            param="model",
        )


def _check_reach(settings: Settings, found: tuple[Key, ...]) -> None:
    """BadSetting where others could come in without a key."""
    now = time.time()
    if settings.is_loopback or settings.api_key or any(key.expires is None or key.expires > now for key in found):
        return
    raise BadSetting(
        f"host is {settings.host}, which others can reach, and there is no key that is good",
        hint="make one: weigh key create NAME, or set WEIGHBRIDGE_API_KEY, or listen at 127.0.0.1",
    )


def _unknown(given: bytes) -> ApiError:
    return ApiError(
        401,
        "Incorrect API key provided." if given else "No API key provided: send it as a bearer token.",
        kind="authentication_error",
        code="invalid_api_key",
    )


def _foreign(header: str, named: bytes) -> ApiError:
    return ApiError(
        403,
        f"The {header} {named[:100].decode('latin-1')!r} is not this machine, and the gateway has no API key.",
        kind="permission_error",
        code="foreign_caller",
    )


@functools.lru_cache(maxsize=256)
def _is_here(named: bytes) -> bool:
    """Whether a Host or Origin header names this machine."""
    text = named.decode("latin-1")
    try:
        host = urlsplit(text if "//" in text else f"//{text}").hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
