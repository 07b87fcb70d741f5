"""Why an engine failed, found in what it said last."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONGEST = 300
# A process that aborts may write its stack of calls after the reason.
_LAST_LINES, _VERY_LAST_LINES = 100, 3
# What llama.cpp and vLLM write before what they say: times, levels, process names, files.
_BEFORE = re.compile(
    r"^(\([^)]*pid=\d+\)\s*)?"
    r"((ERROR|WARNING|INFO|CRITICAL)\s+\d\d-\d\d\s+\d\d:\d\d:\d\d\s+(\[[^\]]*\]\s*)?)?"
    r"(\d+\.\d\d\.\d{3}\.\d{3}\s+[A-Z]\s+)?"
)
# What is certain, where there is any of it: the reason of llama.cpp's loader, a failed assertion, memory that ran out.
_CERTAIN = re.compile(
    r"error loading model: (?!llama_model_loader: failed to load)|GGML_ASSERT|out of memory|failed to allocate|"
    r"unable to allocate|OutOfMemoryError",
    re.IGNORECASE,
)
# An error of llama.cpp by its level, the last line of a traceback, and a command line that was not understood.
_ERROR = re.compile(
    r"^\d+\.\d\d\.\d{3}\.\d{3} E |"
    r"(?:^|\s)(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Interrupt)\b: \S|"
    r"^[\w .-]*error: (?:invalid argument|unrecognized arguments|argument |the following)"
)
# It says that there was an error, not which.
_EMPTY = re.compile(r"See root cause above|Engine core initialization failed|WorkerProc initialization failed")
_TELLING = re.compile(r"error|assert|failed|exception|invalid|unable|cannot|mismatch", re.IGNORECASE)


def cause_of(lines: Sequence[str]) -> str | None:
    """The line that best tells the cause, without its time and level; None where no line tells of an error.

    The first error is the cause and what follows are its consequences: `failed to load model` comes after the reason.
    """
    said = [line for line in lines if line.strip() and not _EMPTY.search(line)]
    for pattern in (_CERTAIN, _ERROR):
        for line in said:
            if pattern.search(line):
                return _short(line)
    telling = [line for line in said if _TELLING.search(line)]
    return _short(telling[-1]) if telling else None


def last_words(lines: Sequence[str]) -> str | None:
    """The line that best tells why an engine that was ready ended; None where none does.

    While it serves, an engine writes errors of requests too, which harmed nobody but those who sent them: so a failed
    assertion or memory that ran out counts, and else only what came at the very end, from the first error on.
    """
    said = [line for line in lines if line.strip()]
    certain = [line for line in said[-_LAST_LINES:] if _CERTAIN.search(line)]
    if certain:
        return _short(certain[0])
    return cause_of(said[-_VERY_LAST_LINES:])


def _short(line: str) -> str:
    text = _BEFORE.sub("", line).strip()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
