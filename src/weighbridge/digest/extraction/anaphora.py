"""Words by which a sentence speaks of whom the text spoke of before, and of models in general."""

from __future__ import annotations

import re

ANAPHOR = re.compile(
    r"(?:\b(?:it|its|it['’‘]s|itself|they|their|them|this (?:model|release|one|version|checkpoint|variant)|the "
    r"(?:new |full |resulting |same |larger |smaller |latest |original |base |open |flagship |dense |moe )?"
    r"(?:models?(?! (?:most|you|we|people|that|which|to)\b)|release|weights|checkpoints?|variant|result|result:"
    r"|network|license|licence|architecture|context(?: window| length)?|pricing|price"
    r"|lineup|series|family|version|system|llm)|these models|both|each|es|sie|das modell|dessen|seine?)\b"
    r"|^\s*(?:weights|models?|with|at|at just|the result|licensed|released|trained|supports|available)\b)"
)

# The subject of a sentence, before any name: whoever was spoken of.
PRONOUN = re.compile(
    r"(?:^|[,;:—–(] )\W*(?:(?:and|but|while|so) )?(?:it|it['’‘]s|its|they|their|this (?:model|one|release|version)"
    r"|the model|the (?:company|team|lab|maker|authors?|vendor) (?:reports?|claims?|says|states?|cites|gives))\b"
)

# `Self-hostable open-weight models top out at 72 %`: of none that is named.
GENERAL = re.compile(
    r"\W*(?!both|all|these|the |two|three|beide|its|their)(?:\d\d )?(?:[\w-]+ ){0,3}?(?:models|llms|coders"
    r"|systems)\b(?! (?:are released|were released))"
)
