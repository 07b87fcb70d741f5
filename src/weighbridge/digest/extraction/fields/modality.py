"""What a model takes in and gives out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..scene import Found, Scene

NEEDS_NUMBER = False
STEMS = (
    "any-to-any lyrics music accept handl img image2 process take taking text2 understand ingest voice asr audio "
    "automatic embedding "
    "feature image in-context multi multi-modal multimodal sentence speech text "
    "tts video vision visual vlm"
)
_THING = (
    r"(?:models?|llms?|moe|assistant|variants?|version|checkpoints?|capabilit\w+|architecture|transformer"
    r"|support|family|release|language|chatbot|reasoner|"
    r"foundation|reasoning|flagship)"
)
_WORDS = re.compile(
    r"\b(?:natively |native |fully |also |is |are )?(?P<multimodal>multi-?modal(?:ity)?|any-to-any"
    r"|handles? vision, (?:video|audio|text)[\w, ]{0,24})\b"
    r"|\b(?P<vision>vision(?:[- ]|\+| and | \+ )language|vision (?:reasoning )?(?:models?|lms?|llms?)\b|vlm\b"
    r"|image[- ]text[- ]to[- ]text|visual language"
    r"|(?:image|vision|visual)(?: and video)? understanding|(?:takes?|accepts?|understands?|sees|reads) images?\b"
    r"|(?:process\w*|handl\w+|accept\w*|understand\w*|tak(?:es|ing)|ingests?) (?:both )?text(?:,| and| or) images?\b"
    r"|images? as (?:an )?inputs?)"
    r"|\b(?P<text>text[- ]only|text[- ]to[- ]text)\b"
    r"|\b(?P<image>text[- ]to[- ]image|image[- ](?:generation|editing|generator)|image models?|in-context "
    r"image editing)\b"
    r"|\b(?P<video>text[- ]to[- ]video|video[- ](?:generation|model|models|generator)|image[- ]to[- ]video"
    r"|im(?:g|age)2vid(?:eo)?|text2video)\b"
    r"|\b(?P<speech>text[- ]to[- ]speech|tts|speech[- ]recognition|asr|automatic-speech-recognition|speech[- "
    r"]to[- ](?:text|speech)|(?:speech|voice)(?: chat)? models?)\b"
    r"|\b(?P<audio>text[- ]to[- ](?:audio|music)|music[- ]generation|lyrics[- ]to[- ]song|audio[- ](?:model"
    r"|language|generation|understanding))\b"
    r"|\b(?P<embedding>(?:text[- ])?embedding model|sentence-similarity|feature-extraction)\b"
)
_VALUES = {
    "multimodal": "multimodal", "vision": "vision-language", "text": "text", "image": "image", "video": "video",
    "speech": "speech", "audio": "audio", "embedding": "embedding",
}  # fmt: skip
_LABEL = re.compile(r"\b(?:modalit\w+|inputs?|input modalities|input types?|pipeline_tag)\b")
_NOT_SAID = re.compile(
    r"[\s,/-]*(?:applications?|tasks?|benchmarks?|workflows?|domains?|breakthroughs?|tools?|apps?|use cases?"
    r"|data|training|reasoning benchmark|market|long-context|expands|is becoming|inputs?\b(?= are))"
)
_SAID_BEFORE = re.compile(
    r"(?:\b(?:is|are|was|natively|native|a|an|fully|new|open|open-weights?|first|brings?|adds?|gains?|with"
    r"|supports?|its|and|\d+b|\d+b-parameter|parameter|dense|moe|sparse|\d+t)|[,(–—|:/])[\s*]*$|^[\s*]*$"
)
_TEXT_LABEL = re.compile(r"\btext\b")


def find(scene: Scene) -> Iterator[Found]:
    """`modality`."""
    labelled = bool(_LABEL.search(scene.label)) and "output" not in scene.label and "$" not in scene.label
    seen = set()
    for match in _WORDS.finditer(scene.low, scene.start, scene.end):
        kind = match.lastgroup or ""
        value = _VALUES[kind]
        inside = any(mention.start <= match.start(kind) < mention.end for mention in scene.mentions)
        if value in seen or inside or scene.is_negated(match.start()):
            continue
        if kind == "vision" and "multimodal" in seen:
            continue
        if not labelled and not _says(scene, match, kind):
            continue
        seen.add(value)
        yield Found("modality", value, match.start(kind), match.end(kind), needs_name=not labelled)
    if labelled and not seen and len(scene.words) < 60 and _TEXT_LABEL.search(scene.words):
        value = "multimodal" if re.search(r"\b(?:image|audio|video)s?\b", scene.words) else "text"
        if not any(each.unit for each in scene.quantities):
            yield Found("modality", value, scene.start, scene.end)


def _says(scene: Scene, match: re.Match[str], kind: str) -> bool:
    after, before = scene.after(match.end(), 40), scene.before(match.start(kind), 40)
    if _NOT_SAID.match(after) or re.search(
        r"\b(?:for|on|wins on|in|of|default for|versus|expands|to|best)\s(?:\w+, )?$", before
    ):
        return False
    if kind == "multimodal":
        if match[kind].startswith("handle"):
            return True
        if match[0].startswith(("native", "fully")) and match[0].endswith("ity"):
            return True
        if re.match(r"[\s,-]*(?:moe|mixture[ -]of[ -]experts|input|agentic|llama|gemma|qwen|mistral)\b", after):
            return True
        if scene.end - scene.start < 40 and not after.strip(" .*_"):
            # `Native video multimodal.`
            return True
        return bool(re.match(rf"[\s-]*(?:\w+ )?{_THING}\b|[\s]*[,.);|(:]|$", after)) and bool(
            _SAID_BEFORE.search(before) or re.match(rf"[\s-]*{_THING}", after)
        )
    if kind == "vision" and re.match(r"[\s-]*models like", after):
        return True
    return True
