"""In which file formats a model is to be had."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..scene import Found, Scene

NEEDS_NUMBER = False
STEMS = "awq exl2 exl3 fp8 gguf gptq mlx mxfp4 nvfp4 onnx safetensors"
_FORMATS = re.compile(
    r"(?<![\w.-])(?:(gguf(?=s?\b)|safetensors|gptq|awq|exl2|exl3|mlx|onnx|nvfp4|mxfp4|fp8)s?(?!\w)(?!-\d)(?! "
    r"(?:format "
    r")?support in))"
)
_CUE = re.compile(
    r"\b(?:quant\w*|formats?|files?|weights?|versions?|releas\w+|ship\w*|availab\w+|builds?|checkpoints?"
    r"|download\w*|variants?|conver\w+|publish\w*|uploaded|provid\w+|day[- ]one|fits?)\b"
)
_IS_FORMAT = re.compile(
    r"\b(?:mlx|onnx)['’]?[- ](?:[\w-]+ )?(?:versions?|quant\w*|formats?|weights|builds?|conver\w+|checkpoints?"
    r"|files?|variants?"
    r"|ports?|\d-bit|models?)\b|\b(?:gguf|awq|gptq|safetensors|exl2|fp8|onnx|mlx)s?(?:,| and| &| or|/"
    r"|, and) ?(?:mlx|onnx)\b"
    r"|\b(?:mlx|onnx)(?:,| and| &| or|/|, and) ?(?:gguf|awq|gptq|safetensors|exl2|fp8|onnx|mlx)\b"
    r"|\b(?:formats?|versions?|quants?|in|as|to)[: ]+(?:mlx|onnx)(?= format)"
)
_LABEL = re.compile(r"\b(?:formats?|files?|quantizations?|library_name|tags)\b")


def find(scene: Scene) -> Iterator[Found]:
    """`file_formats`, one claim a format."""
    labelled = bool(_LABEL.search(scene.label))
    seen = set()
    for match in _FORMATS.finditer(scene.low, scene.start, scene.end):
        if match[1] in seen or any(mention.start <= match.start() < mention.end for mention in scene.mentions):
            continue
        if match[1] in ("mlx", "onnx") and not (
            labelled or _IS_FORMAT.search(scene.low, match.start() - 24, match.end() + 28)
        ):
            # A program as well: `they run in llama.cpp and MLX`.
            continue
        if (labelled or _CUE.search(scene.words)) and not scene.is_negated(match.start()):
            seen.add(match[1])
            carried = labelled or re.search(
                r"\b(?:versions?|quant\w*|files?|builds?|weights|conversions?)\b", scene.words
            )
            yield Found("file_formats", match[1], match.start(), match.end(), needs_name=not carried)
        elif scene.words.strip(" .") == match[1] or scene.low[match.start() - 1 : match.end() + 1].strip(" ") in (
            f"\n{match[1]}",
            f"\n{match[1]}\n",
        ):
            yield Found("file_formats", match[1], match.start(), match.end())
