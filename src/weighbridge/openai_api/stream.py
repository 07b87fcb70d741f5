"""What must be known of an answer that passes through: whether its last event came, and what it used."""

from __future__ import annotations

import re

_USAGE = re.compile(rb'"(?:(prompt|input)|(cached|cache_read_input)|completion|output)_tokens"\s*:\s*(\d{1,12})')
# OpenAI's completions end with a reason and `[DONE]`, its responses and Anthropic's messages with an event of a name.
_FINISHED = re.compile(
    rb'"finish_reason"\s*:\s*"|^data: ?\{"(?:error|type":\s*"error)"'
    rb'|"type"\s*:\s*"(?:response\.(?:completed|incomplete|failed)|message_stop)"',
    re.MULTILINE,
)
_DONE = b"[DONE]"
_BEFORE_DONE = tuple(end + field for end in (b"\n", b"\r") for field in (b"data: ", b"data:"))


def is_done(tail: bytes) -> bool:
    """Whether a stream that ends so said that it is done: by its last event, a reason to finish, or an error."""
    at = tail.rfind(_DONE)
    if at >= 0 and (tail.endswith(_BEFORE_DONE, 0, at) or (at < 7 and tail.startswith(b"data:"))):
        return True
    return _FINISHED.search(tail) is not None


def usage_of(tail: bytes) -> dict[str, int]:
    """Tokens by kind (`prompt`, `completion`, and of the prompt those that were `cached`), read from the end of an
    answer; the last mention counts.

    Anthropic and OpenAI's responses call them input and output; with Anthropic what was cached is no part of the input.
    """
    at = tail.rfind(b'"usage"')
    found = _USAGE.findall(tail, max(at, 0)) or (_USAGE.findall(tail) if at > 0 else ())
    usage = {
        "prompt" if prompt else "cached" if cached else "completion": int(count) for prompt, cached, count in found
    }
    if usage.get("cached") and any(cached == b"cache_read_input" for _, cached, _ in found):
        usage["prompt"] = usage.get("prompt", 0) + usage["cached"]
    return usage
