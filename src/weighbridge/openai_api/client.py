"""A small asynchronous client of the OpenAI API, for our own commands."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from weighbridge.errors import GatewayUnreachable, UnknownModel, WeighbridgeError

from .exchange import Unreachable, ask

_PAGE_SECONDS = 10
# A long prompt takes its time before the first word.
_SILENCE_SECONDS = 600
_UNIX = "unix:"


@dataclass(frozen=True, slots=True)
class Reply:
    """A piece of an answer, with the model that gives it and the router's reason."""

    text: str
    reasoning: str
    model: str
    reason: str


class Client:
    """Speaks to one server; `base_url` is like http://127.0.0.1:8642, or unix:/PATH of a socket. Use it as an
    asynchronous context. An https server must show the certificate of one of the files `trusted`, if there are some."""

    def __init__(self, base_url: str, api_key: str = "", trusted: Sequence[Path] = ()) -> None:
        self.base_url = base_url.rstrip("/")
        is_socket = self.base_url.startswith(_UNIX)
        self._root = "http://localhost" if is_socket else self.base_url
        self._way: dict[str, Any] = {"trusted": trusted}
        if is_socket:
            self._way["socket"] = Path(self.base_url.removeprefix(_UNIX))
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open between two requests."""

    async def get(self, path: str) -> Any:
        """The JSON object at a path. GatewayUnreachable where nothing answers."""
        return await self._page("GET", path, _PAGE_SECONDS)

    async def post(self, path: str, content: object = None) -> Any:
        """The JSON object that a POST brings, `content` sent as JSON if there is some, however long it takes.
        GatewayUnreachable where nothing answers."""
        return await self._page("POST", path, None, content)

    async def _page(self, method: str, path: str, seconds: float | None, content: object = None) -> Any:
        try:
            url = self._root + path
            async with ask(method, url, content, headers=self.headers, seconds=seconds, **self._way) as answer:
                raw = await answer.read()
                if answer.status != 200:
                    raise _failure(answer.status, raw)
                found = json.loads(raw)
                if not isinstance(found, dict):
                    raise ValueError(f"{path} is no object")
                return found
        except (OSError, ValueError) as error:
            raise self._unreachable(error) from error

    async def chat(self, messages: list[dict[str, str]], model: str = "auto", **options: Any) -> AsyncIterator[Reply]:
        """The answer to a conversation, piece by piece as it comes."""
        body = {"model": model, "messages": messages, "stream": True, **options}
        try:
            url = self._root + "/v1/chat/completions"
            bounds: dict[str, Any] = {"headers": self.headers, "silence_seconds": _SILENCE_SECONDS}
            async with ask("POST", url, body, **bounds, **self._way) as answer:
                if answer.status != 200:
                    raise _failure(answer.status, await answer.read())
                chosen = answer.headers.get("x-weighbridge-model", model)
                reason = answer.headers.get("x-weighbridge-reason", "")
                async for line in answer.lines():
                    # An engine may leave out the blank after the colon.
                    data = line[5:].strip() if line.startswith(b"data:") else b""
                    if not data or data == b"[DONE]":
                        continue
                    event = json.loads(data)
                    if "error" in event:
                        raise WeighbridgeError(event["error"]["message"], hint="ask again")
                    for choice in event.get("choices", ()):
                        delta = choice.get("delta") or {}
                        yield Reply(delta.get("content") or "", delta.get("reasoning_content") or "", chosen, reason)
        except Unreachable as error:
            raise self._unreachable(error) from error
        except (OSError, ValueError) as error:
            raise WeighbridgeError(
                f"the connection to {self.base_url} broke in the midst of an answer: {error}", hint="ask again"
            ) from error

    def _unreachable(self, error: Exception) -> GatewayUnreachable:
        if isinstance(error.__cause__, ssl.SSLError):
            return GatewayUnreachable(
                f"no gateway that is trusted answers at {self.base_url}: {error}",
                hint="set WEIGHBRIDGE_TLS_CERTIFICATE to the file of its certificate",
            )
        number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
        # A name that is not known has a number of another kind, and a text that says so.
        said = os.strerror(number) if number and number > 0 else str(error) or type(error).__name__
        return GatewayUnreachable(f"no gateway answers at {self.base_url}: {said}", hint="start one with: weigh up")


def _failure(status: int, raw: bytes) -> WeighbridgeError:
    try:
        error = json.loads(raw)["error"]
        message = error["message"]
    except (ValueError, KeyError, TypeError):
        return WeighbridgeError(f"the server answered {status}: {raw[:200]!r}", hint="is this a weighbridge gateway?")
    if status == 404:
        return UnknownModel(message, hint="weigh ps lists what is served")
    if status == 401:
        return WeighbridgeError(
            message, hint="set WEIGHBRIDGE_API_KEY to its key, or to one of: weigh key create NAME --admin"
        )
    return WeighbridgeError(message, hint=f"the server answered {status}, source: {error.get('source', 'unknown')}")
