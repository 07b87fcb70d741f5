"""JSON in an answer."""

from __future__ import annotations

import json
import re
from typing import Any

from weighbridge.evals.score import ScoringFailed

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def found_json(text: str) -> tuple[bool, Any]:
    """Whether the text is JSON, is in a code block, or begins with `{` or `[` somewhere; and the value."""
    candidates = [text, *reversed(_FENCE.findall(text))]
    candidates += [text[at:] for at in (text.find("{"), text.find("[")) if at >= 0]
    decoder = json.JSONDecoder()
    for candidate in candidates:
        try:
            return True, decoder.raw_decode(candidate.strip())[0] if candidate is not text else json.loads(candidate)
        except ValueError:
            continue
        except RecursionError as error:
            raise ScoringFailed("the answer's JSON is nested too deeply") from error
    return False, None


def same(said: Any, wanted: Any) -> bool:
    """Whether two values mean the same: 1 and 1.0 do, and texts but for spaces around them; true and 1 do not."""
    if isinstance(wanted, bool) or isinstance(said, bool):
        return said is wanted
    if isinstance(wanted, int | float) and isinstance(said, int | float):
        return abs(said - wanted) <= 1e-9 * max(1.0, abs(wanted))
    if isinstance(wanted, str) and isinstance(said, str):
        return said.strip() == wanted.strip()
    if isinstance(wanted, list) and isinstance(said, list):
        return len(said) == len(wanted) and all(map(same, said, wanted))
    if isinstance(wanted, dict) and isinstance(said, dict):
        return said.keys() == wanted.keys() and all(same(said[key], value) for key, value in wanted.items())
    return bool(said == wanted)
