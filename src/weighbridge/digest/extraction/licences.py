"""Licences by the names that people give them, as identifiers: SPDX where there is one, else as the hub tags them."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAMES = re.compile(
    r"(?<![\w/])(?:"
    r"(?P<apache>apache(?:[\s-]?(?:license|licence|software license),?)?(?:[\s-]?(?:version"
    r"|v)?[\s-]?2(?:\.0)?)?(?![\w-]*/)(?=\W|$)(?!\s(?:spark|arrow|kafka|foundation|airflow|iceberg)))"
    r"|(?P<modmit>(?:modified|mod\.?|custom)[\s_-]mit(?:[\s-]licen[sc]e)?)"
    r"|(?P<mit>mit(?=[\s-]?licen[sc]|['’]?s? licen[sc]| terms|[),.;|/\s\"'”*]|$)(?! (?:researchers|technology"
    r"|csail|study|press|professor|and harvard)))"
    r"|(?P<bsd>bsd[\s-](?P<bsdn>[23])(?:[\s-]clause)?)"
    r"|(?P<cc>cc[\s-]by(?:[\s-](?P<ccx>nc[\s-]nd|nc[\s-]sa|nc|sa|nd))?(?:[\s-](?P<ccv>\d\.\d))?|cc0(?:[\s-]1\.0)?)"
    r"|(?P<gpl>(?P<gplk>agpl|lgpl|gpl)[\s-]?v?(?P<gplv>[23](?:\.\d)?)?)"
    r"|(?P<mpl>mpl[\s-]2\.0|mozilla public licen[sc]e)"
    r"|(?P<openmdw>openmdw(?:[\s-](?P<openmdwv>\d\.\d))?)"
    r"|(?P<rail>bigcode[\s-]openrail[\s-]?m|bigcode open rail[\w-]*|bigscience[\s-]\w*rail\S{0,8}"
    r"|(?:creativeml[\s-])?open[\s-]?rail(?:\+\+)?(?:[\s-]?m)?)"
    r"|(?P<llama>llama(?:[\s-]?(?P<llamav>\d(?:\.\d)?))?(?:['’]s)?[\s-](?:community[\s-])?(?:licen[sc]e"
    r"|community agreement|community(?=\s*(?:\||\)|$|\n)))(?:[\s-]agreement)?)"
    r"|(?P<gemma>gemma(?:[\s-]?\d)?(?:['’]s)?[\s-](?:licen[sc]e|terms(?: of use)?))"
    r"|(?P<nvidia>nvidia(?:['’]s)?[\s-](?:own[\s-])?(?:nemotron[\s-])?open[\s-]model(?:[\s-]licen[sc]e)?(?:[\s-]agreement)?)"
    r"|(?P<mrl>mistral[\s-](?:ai[\s-])?research[\s-]licen[sc]e|mrl(?:-0\.1)?|(?P<mnpl>mnpl(?:-0\.1)?"
    r"|mistral[\s-](?:ai[\s-])?non-production[\s-]licen[sc]e))"
    r"|(?P<deepseek>deepseek[\s-](?:model[\s-])?licen[sc]e)"
    r"|(?P<qwen>(?:tongyi[\s-])?qwen[\s-](?P<qwenr>research[\s-])?(?:licen[sc]e|community licen[sc]e))"
    r"|(?P<openweight>(?:falcon|tii)[\s-](?:falcon[\s-])?(?:llm[\s-])?licen[sc]e)"
    r"|(?P<noncommercial>(?:non[\s-]?commercial|nicht[\s-]kommerzielle\w*|research[\s-]and[\s-]non[\s-]?commercial)"
    r"[\s-](?:use[\s-])?(?:only[\s-])?(?:research[\s-])?(?:licen[sc]\w*|lizenz|terms)"
    r"|(?:for )?non[\s-]?commercial use only|(?<=is )non[\s-]?commercial\b"
    r"|(?:(?<=\. )|(?<=— )|(?<=– ))non[\s-]?commercial(?= (?:unless|except|only)\b|[.;,]|$))"
    r"|(?P<research>research(?:[\s-]only)?[\s-](?:use[\s-])?(?:only[\s-])?licen[sc]e|research[\s-]only"
    r"|research use\b)"
    r"|(?P<custom>(?:custom|bespoke|proprietary|own|community)[\s-](?:(?:commercial|open|model"
    r"|community)[\s-])?licen[sc]e)"
    r"|(?P<unlicense>unlicense)"
    r"|(?P<wtfpl>wtfpl)"
    r")",
)
# Where one may begin; words in lower case are asked for.
_HINT = re.compile(
    r"\b(?:apache|modif|mod|custom|mit|bsd|cc|agpl|lgpl|gpl|mpl|mozilla|openmdw|bigcode|bigscience|creativeml"
    r"|open|llama|gemma|nvidia|mistral|mrl|mnpl|"
    r"deepseek|tongyi|qwen|falcon|tii|non|nicht|research|bespoke|proprietary|own|community|unlicense|wtfpl)"
)
_FIXED = {
    "apache": "Apache-2.0", "modmit": "modified-mit", "mit": "MIT", "mpl": "MPL-2.0", "gemma": "gemma",
    "nvidia": "nvidia-open-model-license", "deepseek": "deepseek", "openweight": "falcon-llm-license",
    "noncommercial": "non-commercial", "research": "research-only", "custom": "custom", "unlicense": "Unlicense",
    "wtfpl": "WTFPL",
}  # fmt: skip
_WHOLE = re.compile(r"[\w.+-]{2,60}\Z")


def licences(words: str, start: int, end: int) -> Iterator[tuple[int, int, str, str]]:
    """Each licence named in a stretch: its place, identifier, and the kind of its name (`mit`, `apache`, ...)."""
    # Cut out, so that what stands before, glued to it perhaps, is no part of a word.
    words = words[start:end]
    past = 0
    for hint in _HINT.finditer(words):
        match = _NAMES.match(words, hint.start()) if hint.start() >= past else None
        if match is None:
            continue
        past = match.end()
        kind = next(name for name, text in match.groupdict().items() if text and name in _KINDS)
        yield start + match.start(), start + match.end(), _identifier(match, kind), kind


_KINDS = frozenset(_FIXED) | {"bsd", "cc", "gpl", "openmdw", "rail", "llama", "mrl", "qwen"}


def _identifier(match: re.Match[str], kind: str) -> str:
    if kind == "bsd":
        return f"BSD-{match['bsdn']}-Clause"
    if kind == "cc":
        if match["cc"].lower().startswith("cc0"):
            return "CC0-1.0"
        more = f"-{re.sub(r'[ -]', '-', match['ccx']).upper()}" if match["ccx"] else ""
        return f"CC-BY{more}-{match['ccv'] or '4.0'}"
    if kind == "gpl":
        version = match["gplv"] or "3"
        return f"{match['gplk'].upper()}-{version if '.' in version else version + '.0'}"
    if kind == "openmdw":
        return f"openmdw-{match['openmdwv']}" if match["openmdwv"] else "openmdw"
    if kind == "rail":
        name = match["rail"].lower()
        return (
            "bigcode-openrail-m"
            if name.startswith("bigcode")
            else "bigscience-bloom-rail-1.0"
            if "bigscience" in name
            else "openrail"
        )
    if kind == "llama":
        return f"llama{match['llamav'] or ''}"
    if kind == "mrl":
        return "mnpl-0.1" if match["mnpl"] else "mrl"
    if kind == "qwen":
        return "qwen-research" if match["qwenr"] else "qwen"
    return _FIXED[kind]


def identifier(value: str) -> str | None:
    """The identifier of a card's `license:`; None where it is none."""
    value = value.strip().strip("\"'")
    for _, _, found, _ in licences(value.lower(), 0, len(value)):
        return found
    return (
        value.lower() if _WHOLE.match(value) and value.lower() not in ("other", "unknown", "tbd", "none", "n") else None
    )
