"""Which model another was made from."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..scene import Found, Scene

NEEDS_NUMBER = False
STEMS = (
    "abliterated adapted based basiert built continual continued converted derivative derived distil fine "
    "fine-tun finetun fork initialis initializ merge post-trained pruned quantis quantiz starts top trained "
    "tuned uncensored"
)
_FROM = re.compile(
    r"\b(?:(?:based|built|trained|tuned|fine-?tuned|post-trained|continued)(?:\s(?:on top of|up?on|on|from|off))|"
    r"(?:fine-?tun(?:e|ed|ing)|quanti[sz](?:ed|ation)|distill(?:ed|ation)|pruned|abliterated|uncensored|merged?"
    r"|derivative|adapted|converted|finetunes?)"
    r"(?:\s(?:version|variant|checkpoint|release|quant|model|copy))?(?:\s(?:of|from|on))|derived from"
    r"|initiali[sz]ed from|starts? from|distill(?:ed|s) from|"
    r"continual(?:ly)? pre-?train\w*(?: of| on| from)?|continued pre-?training (?:of|on|from)|basiert auf"
    r"|merge of|on top of|a fork of)"
    r"\s(?:the |its |meta['’]s |google['’]s |alibaba['’]s |open |base |of |a |an |microsoft['’]s |nvidia['’]s "
    r"|mistral['’]s |frozen |pretrained |smaller |original ){0,4}\**`?$"
)
_STACK = re.compile(r"['’]?s? (?:research|technology|tech|stack|architecture|design|recipe|ideas|paper)\b")
_LABEL = re.compile(
    r"\b(?:base[ _]models?|finetuned from|fine-tuned from|derived from|parent|based on|backbone|basis)\b"
)


def find(scene: Scene) -> Iterator[Found]:
    """`base_model`: the name as the page gives it in full."""
    labelled = bool(_LABEL.search(scene.label))
    for mention in scene.mentions:
        if labelled:
            yield Found("base_model", mention.name, mention.start, mention.end, subject="")
            return
        if _STACK.match(scene.after(mention.end, 24)):
            continue
        if _FROM.search(scene.before(mention.start, 80)) and not scene.is_negated(mention.start):
            yield Found("base_model", mention.name, mention.start, mention.end, subject="")
