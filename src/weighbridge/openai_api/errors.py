"""OpenAI's error object, and one field more: `source` says who failed, the gateway, the router or the engine."""

from __future__ import annotations

import json
import re
from typing import Literal

Source = Literal["gateway", "router", "engine"]
Dialect = Literal["openai", "anthropic"]
_ANTHROPIC_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
# What llama.cpp's JSON library puts before its own messages.
_LIBRARY = re.compile(r"\[json\.exception\.[\w.]+\] ")
_CONVERSATIONS = ("/chat/completions", "/messages", "/count_tokens")


class ApiError(Exception):
    """An answer that is an error: its HTTP status, and what OpenAI's error object holds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        source: Source = "gateway",
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.source = source
        self.retry_after_seconds = retry_after_seconds
        self.dialect: Dialect = "openai"
        """In whose words it is said."""
        self.request_id: str | None = None
        """The request's name; Anthropic's error objects hold it."""

    def body(self) -> bytes:
        """The error object as JSON."""
        if self.dialect == "anthropic":
            kind = _ANTHROPIC_KINDS.get(self.status, "api_error" if self.status >= 500 else "invalid_request_error")
            said = {"type": kind, "message": self.message, "code": self.code, "source": self.source}
            named = {} if self.request_id is None else {"request_id": self.request_id}
            return json.dumps({"type": "error", "error": said, **named}).encode()
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
            "source": self.source,
        }
        return json.dumps({"error": error}).encode()

    def event(self) -> bytes:
        """The error object as a server-sent event, for a stream that has begun."""
        name = b"event: error\n" if self.dialect == "anthropic" else b""
        return name + b"data: " + self.body() + b"\n\n"


def from_engine(status: int, raw: bytes, path: str) -> ApiError | None:
    """An engine's error put into OpenAI's words; None where it speaks them already and may pass unchanged.

    llama.cpp says {"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 700, "n_ctx": 512}}.
    """
    try:
        error = json.loads(raw)["error"]
        message = str(error["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ApiError(
            status if status >= 400 else 502,
            f"the engine answered {status} with no error object: {raw[:200].decode(errors='replace')!r}",
            kind="server_error" if status >= 500 else "invalid_request_error",
            source="engine",
        )
    if status in (401, 403):
        # Not the client's key was refused, but ours.
        return ApiError(502, f"the engine refused the gateway: {message}", kind="server_error", source="engine")
    if error.get("type") == "exceed_context_size_error":
        return too_long(error.get("n_ctx"), error.get("n_prompt_tokens"), path, "engine")
    if path.endswith("/embeddings") and "is too large to process" in message:
        return ApiError(400, message, code="context_length_exceeded", param="input", source="engine")
    if isinstance(error.get("code"), int):
        # llama.cpp puts the HTTP status where OpenAI has a word.
        kind = "server_error" if status >= 500 else "invalid_request_error"
        said = _LIBRARY.sub("", message)
        return ApiError(status, said, kind=kind, code=str(error.get("type")), source="engine")
    return None


def said_by_engine(status: int, raw: bytes) -> ApiError:
    """An engine's error that is in OpenAI's words, for a client that wants others; `from_engine` has found it good."""
    error = json.loads(raw)["error"]
    kind, code, param = error.get("type"), error.get("code"), error.get("param")
    return ApiError(
        status,
        str(error["message"]),
        kind=str(kind) if kind else "invalid_request_error",
        code=None if code is None else str(code),
        param=None if param is None else str(param),
        source="engine",
    )


def too_long(context_tokens: object, tokens: object, path: str, source: Source) -> ApiError:
    """The refusal of a prompt that a model can't take, with both numbers, in OpenAI's words."""
    what = "messages" if path.endswith(_CONVERSATIONS) else "input" if path.endswith("/responses") else "prompt"
    return ApiError(
        400,
        f"This model's maximum context length is {context_tokens} tokens. However, your {what} resulted in {tokens} "
        f"tokens. Please reduce the length of the {what}.",
        code="context_length_exceeded",
        param=what,
        source=source,
    )


def gateway_fault() -> ApiError:
    """What a client is told where the gateway itself failed; what happened stands in the gateway's log."""
    return ApiError(500, "the gateway has a fault; its log tells more", kind="server_error")
