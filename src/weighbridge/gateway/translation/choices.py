"""Several choices (`n`) for engines that lack them: asked for one by one, and put together as one answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .events import BadAnswer, Events, read_object, write


def one_choice(fields: Mapping[str, Any], place: int) -> dict[str, Any]:
    """The request for one of the choices; a seed that would make all alike is another one for each."""
    single = {name: value for name, value in fields.items() if name != "n"}
    seed = fields.get("seed")
    if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0:
        single["seed"] = seed + place
    return single


class Choices:
    """The answers to `count` requests for one choice each, as one answer: either `whole` of all, or `feed` and `end`
    of each by its place, by turns as they come.

    `choices` of them have the same prompt, all by default. A stream ends with what all used if `tells_usage`.
    """

    def __init__(self, count: int, choices: int | None = None, *, tells_usage: bool = True) -> None:
        self._count = choices or count
        self._tells_usage = tells_usage
        self._events = [Events() for _ in range(count)]
        self._left = set(range(count))
        self._unnamed = set(range(count))
        self._usages: dict[int, Mapping[str, Any]] = {}
        self._head: dict[str, Any] = {}

    def whole(self, bodies: list[bytes]) -> bytes:
        """Plain answers, in the order of their places."""
        answers = [read_object(body) for body in bodies]
        choices = []
        for place, answer in enumerate(answers):
            choices += self._placed(answer, place)
            self._note_usage(place, answer)
        choices.sort(key=lambda choice: int(choice["index"]))
        usage = {"usage": self._usage()} if self._usages else {}
        return write({**answers[0], "choices": choices, **usage})

    def feed(self, place: int, piece: bytes) -> bytes:
        """What a piece of one of the streams becomes."""
        return b"".join([self._turned(place, data) for data in self._events[place].feed(piece)])

    def end(self, place: int) -> bytes:
        """One of the streams has ended: with the last one, the usage of all and the end."""
        said = [self._turned(place, data) for data in self._events[place].end()]
        self._left.discard(place)
        if not self._left:
            if self._usages and self._tells_usage:
                said.append(b"data: %b\n\n" % write({**self._head, "choices": [], "usage": self._usage()}))
            said.append(b"data: [DONE]\n\n")
        return b"".join(said)

    def _turned(self, place: int, data: bytes) -> bytes:
        if not data:
            return b": ping\n\n"
        # llama.cpp says null of a prompt, one of several, that is empty.
        if data in (b"[DONE]", b"null"):
            return b""
        content = read_object(data)
        if content.get("error"):
            return b"data: %b\n\n" % data
        if not self._head:
            self._head = {key: content[key] for key in ("id", "object", "created", "model") if key in content}
        if self._note_usage(place, content):
            content.pop("usage")
        choices = self._placed(content, place)
        for choice in choices if place in self._unnamed else ():
            delta = choice.get("delta")
            if isinstance(delta, dict):
                # Each choice begins with who speaks, which llama.cpp forgets now and then.
                choice["delta"] = {"role": "assistant", **delta}
                self._unnamed.discard(place)
        # A chunk for the usage alone waits for the others.
        return b"data: %b\n\n" % write({**content, **self._head, "choices": choices}) if choices else b""

    def _note_usage(self, place: int, content: Mapping[str, Any]) -> bool:
        usage = content.get("usage")
        if isinstance(usage, dict):
            self._usages[place] = usage
            return True
        return False

    def _usage(self) -> dict[str, Any]:
        """Each prompt counts once, what was said for every choice."""
        first = {place // self._count: usage for place, usage in sorted(self._usages.items(), reverse=True)}
        made = sum(_count(usage, "completion_tokens") for usage in self._usages.values())
        given = sum(_count(usage, "prompt_tokens") for usage in first.values())
        whole = {**first[min(first)], "prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
        details = [found for usage in first.values() if isinstance(found := usage.get("prompt_tokens_details"), dict)]
        if details:
            cached = sum(_count(each, "cached_tokens") for each in details)
            whole["prompt_tokens_details"] = {**details[0], "cached_tokens": cached}
        return whole

    def _placed(self, content: Mapping[str, Any], place: int) -> list[dict[str, Any]]:
        """Its choices: of several prompts, those of the first come first, as OpenAI numbers them."""
        choices = content.get("choices") or []
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise BadAnswer("its choices are no list of objects")
        prompts = [index if type(index := choice.get("index")) is int and index > 0 else 0 for choice in choices]
        return [
            {**choice, "index": prompt * self._count + place} for choice, prompt in zip(choices, prompts, strict=True)
        ]


def _count(usage: Mapping[str, Any], name: str) -> int:
    count = usage.get(name)
    return count if type(count) is int else 0
