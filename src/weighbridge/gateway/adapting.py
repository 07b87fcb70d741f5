"""What must be done for a request because its engine differs from what the client speaks: decided once, by its body.

Most requests need nothing, and must not pay for those that do.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from weighbridge import engines
from weighbridge.engines import COUNT_TOKENS, MESSAGES, RESPONSES, Manner, Model
from weighbridge.openai_api import ApiError

from .translation import InTurn, Messages, NamedTool, Responses, Translation, force, force_any, named_tool, one_choice
from .translation.anthropic_request import to_chat as messages_to_chat
from .translation.responses_request import to_chat as responses_to_chat
from .wire import Body

CHAT, COMPLETIONS = b"/v1/chat/completions", b"/v1/completions"
# By path: the API that an engine may lack.
_APIS = {b"/v1/messages": MESSAGES, b"/v1/messages/count_tokens": COUNT_TOKENS, b"/v1/responses": RESPONSES}
_TEXTS = frozenset({CHAT, COMPLETIONS})
# How a server says that it does not have a path.
UNKNOWN_PATH = frozenset({404, 405, 501})
_PICTURE_KINDS = frozenset({"image_url", "input_image", "image"})
_PICTURES = (b'"image_url"', b'"input_image"', b'"image"')
_MOST_CHOICES = 128
# Of a longer body the letters are not told from the rest: that would hold up others.
_LONG_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Prepared:
    """How an engine is asked: where, with which bodies, and what becomes of its answers."""

    path: bytes
    bodies: tuple[Body, ...]
    """One for each choice of each prompt: all of the first prompt come first."""
    translate: Callable[[], Translation] | None = None
    is_checked: bool = False
    """Whether it may be too long for the model, so that its tokens are counted before the engine is asked."""
    is_count: bool = False
    """Whether only the number of its tokens is asked for, and the gateway answers."""
    choices: int = 1
    """How many of the bodies have the same prompt."""
    tells_usage: bool = True
    """Whether a stream's client wants a last chunk with what all of it used."""


class ChatForm(Body):
    """A request in the form of a chat completion, by whatever path it came: its answer stays one."""

    __slots__ = ()


class Adapting:
    """What each model's engine understands, as far as it is known; what was found out by asking is remembered."""

    def __init__(self, models: Mapping[str, Model], context_of: Callable[[str], int | None]) -> None:
        self._models = models
        self._context_of = context_of
        self._manners: dict[str, Manner] = {}
        self._lacks: set[tuple[str, bytes]] = set()

    def manner(self, name: str) -> Manner:
        """Of a model's engine."""
        found = self._manners.get(name)
        if found is None:
            found = self._manners[name] = engines.manner(self._models[name])
        return found

    def prepare(self, name: str, path: bytes, body: Body) -> Prepared | None:
        """What must be done for a request to a model; None: it passes as it is. ApiError for what can't be."""
        if type(body) is ChatForm:
            return self._checked(name, CHAT, body) or Prepared(CHAT, (body,))
        api = _APIS.get(path)
        if api is None:
            return self._checked(name, path, body) if path in _TEXTS else None
        manner = self.manner(name)
        lacks = (manner.speaks is not None and api not in manner.speaks) or (name, path) in self._lacks
        if manner.sees_images is False:
            _refuse_pictures(name, body)
        return self.translated(name, path, body) if lacks else None

    def may_lack(self, path: bytes, status: int) -> bool:
        """Whether such an answer may mean that the engine does not have the path, so that it is asked in other words.

        An older build may lack what its kind is known to speak.
        """
        return status in UNKNOWN_PATH and path in _APIS

    def learn(self, name: str, path: bytes) -> None:
        """The engine does not have the path, and was asked in another way, which it has."""
        self._lacks.add((name, path))

    def translated(self, name: str, path: bytes, body: Body) -> Prepared:
        """A request in other words than OpenAI's chat completions, put into these."""
        inner, translate = self.in_chat(name, path, body)
        if path == b"/v1/messages/count_tokens":
            return Prepared(CHAT, (inner,), is_count=True)
        prepared = self._checked(name, CHAT, inner) or Prepared(CHAT, (inner,))
        first = prepared.translate
        if first is None:
            return replace(prepared, translate=translate)
        return replace(prepared, translate=lambda: InTurn(first(), translate()))

    def in_chat(self, name: str, path: bytes, body: Body) -> tuple[ChatForm, Callable[[], Translation]]:
        """Such a request as a chat completion, and what makes that one's answer its own."""
        if path == b"/v1/responses":
            body = body.unfolded(but="input")  # the response repeats all else
        fields, model = body.fields, body.model or name
        mine = uuid.uuid4().hex[:24]
        translate: Callable[[], Translation]
        if path == b"/v1/responses":
            chat = responses_to_chat(fields)

            def translate() -> Translation:
                return Responses(mine, model, fields)
        else:
            chat = messages_to_chat(fields)
            if "stop" in chat:
                chat |= self.manner(name).tells_stop_word

            def translate() -> Translation:
                return Messages(mine, model)

        return ChatForm(json.dumps(chat).encode(), body.folding), translate

    def _checked(self, name: str, path: bytes, body: Body) -> Prepared | None:
        """What OpenAI's own chat and completions need."""
        manner = self.manner(name)
        is_checked = self._may_be_too_long(name, body)
        if manner.sees_images is False and path == CHAT:
            _refuse_pictures(name, body)
        copies, prompts = (1, None) if manner.gives_choices else (_copies(body), _prompts(path, body))
        forced, tool = None, None
        if not manner.heeds_named_tool and path == CHAT and _may_name(body.value("tool_choice")):
            tool = named_tool(body.fields)
            forced = force_any(body.fields) if tool is None else force(body.fields, tool)
        if forced is None and copies == 1 and prompts is None:
            return Prepared(path, (body,), is_checked=True) if is_checked else None
        fields: Mapping[str, Any] = forced or body.fields
        alone = [fields]
        if prompts is not None and len(prompts) * copies <= _MOST_CHOICES:
            alone = [{**fields, "prompt": prompt} for prompt in prompts]
        bodies = alone if copies == 1 else [one_choice(each, place) for each in alone for place in range(copies)]
        return Prepared(
            path,
            tuple(Body(json.dumps(each).encode(), body.folding) for each in bodies),
            None if forced is None else _calling(tool),
            is_checked,
            choices=copies,
            tells_usage=_wants_usage(fields),
        )

    def _may_be_too_long(self, name: str, body: Body) -> bool:
        """Whether it could have more tokens than the model takes, by its bytes alone.

        No token is shorter than a byte; and of letters and spaces one has seldom fewer than two, so that texts of usual
        kinds are counted from about half the context on, and shorter ones never.
        """
        size = len(body.bytes)
        if size < 512:
            return False
        context = self._context_of(name)
        if context is None or size <= context:
            return False
        # What a picture or a sound takes, no text tells. Looked for first: their bodies are the long ones.
        if _may_show(body.bytes) or b'"input_audio"' in body.bytes:
            return False
        if size > _LONG_BYTES:
            return True
        others = len(body.bytes.translate(None, _LETTERS))
        return others + (size - others) // 2 > context


_LETTERS = b" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _calling(tool: str | None) -> Callable[[], Translation]:
    return lambda: NamedTool(f"call_{uuid.uuid4().hex[:24]}", tool)


def _may_name(choice: object) -> bool:
    return type(choice) is dict or choice == "required"


def _copies(body: Body) -> int:
    count = body.value("n")
    if count is None:
        return 1
    if type(count) is not int or not 1 <= count <= _MOST_CHOICES:
        raise ApiError(400, f"n is {str(count)[:40]}, expected a whole number from 1 to {_MOST_CHOICES}", param="n")
    return count


def _prompts(path: bytes, body: Body) -> list[Any] | None:
    """The prompts of a completion that has several, texts or lists of tokens. llama.cpp answers them all, and counts
    what one of them used."""
    if path != COMPLETIONS or not body.is_list("prompt"):
        return None
    prompts = body.value("prompt")
    several = len(prompts) > 1 and (all(type(each) is str for each in prompts) or all(map(_is_tokens, prompts)))
    return prompts if several else None


def _is_tokens(prompt: object) -> bool:
    return isinstance(prompt, list) and all(type(each) is int for each in prompt)


def _wants_usage(fields: Mapping[str, Any]) -> bool:
    options = fields.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _may_show(raw: bytes) -> bool:
    """Whether a body may hold a picture: one search for nearly all that do not."""
    return b"image" in raw and any(sign in raw for sign in _PICTURES)


def _refuse_pictures(name: str, body: Body) -> None:
    """ApiError 400 where a request shows something to a model that is blind."""
    if not _may_show(body.bytes):
        return
    for key in ("messages", "input"):
        turns = body.value(key)
        for place, turn in enumerate(turns if isinstance(turns, list) else ()):
            if isinstance(turn, dict) and _shows(turn.get("content")):
                raise ApiError(
                    400,
                    f"{name} does not take images: {key}[{place}] holds one. Choose one that sees, or leave it away.",
                    code="image_not_supported",
                    param=key,
                )


def _shows(content: object, depth: int = 3) -> bool:
    if not isinstance(content, list) or not depth:
        return False
    return any(
        isinstance(part, dict) and (part.get("type") in _PICTURE_KINDS or _shows(part.get("content"), depth - 1))
        for part in content
    )
