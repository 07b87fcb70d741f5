"""How many tokens a request has, asked of the engine that will answer it: each kind of server has its own question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .upstream import Upstream

_SECONDS = 10.0
# What is asked of the prompt alone.
_PROMPT = ("model", "messages", "tools", "tool_choice", "chat_template_kwargs", "reasoning_effort", "response_format")


class Tokens:
    """Counts, by what it has learnt of each server; `None` where nobody can say."""

    def __init__(self) -> None:
        self._silent: set[tuple[str, str]] = set()
        """Questions that a model's server does not know."""

    async def of_chat(self, upstream: Upstream, name: str, fields: Mapping[str, Any]) -> int | None:
        """Of the prompt of a chat completion, as the model's template writes it."""
        asked = {key: fields[key] for key in _PROMPT if key in fields} | {"model": upstream.endpoint.model or name}
        # llama.cpp's question, and vLLM's.
        found = await self._ask(upstream, name, "/v1/chat/completions/input_tokens", asked)
        if found is not None and isinstance(found.get("input_tokens"), int):
            return int(found["input_tokens"])
        found = await self._ask(upstream, name, "/tokenize", asked)
        return int(found["count"]) if found is not None and isinstance(found.get("count"), int) else None

    async def of_prompt(self, upstream: Upstream, name: str, prompt: object) -> int | None:
        """Of a completion's prompt; of several the longest."""
        if isinstance(prompt, list):
            if all(isinstance(each, int) for each in prompt):
                return len(prompt)
            counts = [await self.of_prompt(upstream, name, each) for each in prompt[:64]]
            return max((count for count in counts if count is not None), default=None)
        if not isinstance(prompt, str):
            return None
        # llama.cpp calls it content, vLLM prompt; each passes over the other's.
        asked = {"model": upstream.endpoint.model or name, "content": prompt, "prompt": prompt, "add_special": True}
        found = await self._ask(upstream, name, "/tokenize", asked)
        tokens = None if found is None else found.get("tokens")
        return len(tokens) if isinstance(tokens, list) else None

    async def _ask(self, upstream: Upstream, name: str, path: str, content: object) -> dict[str, Any] | None:
        if (name, path) in self._silent:
            return None
        try:
            status, found = await upstream.json(path, content, _SECONDS)
        except OSError:
            return None
        if status in (404, 405, 501):
            self._silent.add((name, path))
        return found if status == 200 else None
