"""Which of a repository's files make the model that is meant, and what to call it in short."""

from __future__ import annotations

import re
from collections.abc import Sequence

from weighbridge.errors import BadModelFile
from weighbridge.facts.licences import covered_by
from weighbridge.facts.shelves.references import Reference, first_parts, is_gguf_model, parts_of

# The one that people mean who name none; llama.cpp takes the same.
USUAL = "Q4_K_M"

_QUANTIZATION = re.compile(
    r"(?<![A-Za-z0-9])((?:UD-)?(?:I?Q\d\w*|TQ\d_\d|MXFP4\w*|NVFP4\w*|BF16|F16|F32|FP16|FP32|FP8))(?![A-Za-z0-9])", re.I
)
# What a checkpoint in safetensors needs beside its weights: configs, tokenizers, templates, code of its own, texts.
_BESIDE = (".json", ".txt", ".model", ".tiktoken", ".jinja", ".md", ".py", ".safetensors")
_NOT_LOADED = re.compile(r"(^|/)(original|onnx|openvino|coreml|runs|\.[^/]+)/")
_OTHER_LAYOUT = re.compile(r"consolidated[\w.-]*\.safetensors")


def choose(names: Sequence[str], reference: Reference) -> tuple[str | None, list[str]]:
    """The file to load (None: the folder) and all files that belong to it.

    Weights in safetensors come before GGUF; of several GGUF files that are not told apart, the one named Q4_K_M.
    BadModelFile where nothing fits, several do, or a part is missing.
    """
    wanted = reference.choose(names)
    if wanted is None:
        if any(name.endswith(".safetensors") and not _NOT_LOADED.search(name) for name in names):
            return None, _checkpoint(names)
        wanted = _gguf(names, reference)
    parts = parts_of(wanted)
    if missing := sorted(set(parts) - set(names)):
        raise BadModelFile(
            f"{reference.repository}: {wanted} has {len(parts)} parts, and {len(missing)} are not there: {missing[0]}",
            hint="fetch it again, or choose another one",
        )
    # A selector may name any file; what is no weights has no licence beside it either.
    return wanted, [*parts, *_texts(names, parts)]


def short_name(wanted: str, names: Sequence[str], reference: Reference) -> str:
    """What tells the file from others: its quantization where that is enough, else its name."""
    for found in reversed(_QUANTIZATION.findall(wanted)):
        try:
            if Reference(reference.repository, None, found).choose(names) == wanted:
                return str(found)
        except BadModelFile:
            continue
    return wanted


def _gguf(names: Sequence[str], reference: Reference) -> str:
    models = first_parts(name for name in names if is_gguf_model(name))
    if len(models) == 1:
        return models[0]
    if not models:
        raise _no_weights(names, reference)
    try:
        usual = Reference(reference.repository, reference.revision, USUAL).choose(names)
    except BadModelFile:
        usual = None
    if usual:
        return usual
    shown = ", ".join(short_name(name, names, reference) for name in models[:12])
    raise BadModelFile(
        f"{reference.repository}: has {len(models)} GGUF models, and none is {USUAL}: {shown}"
        + (" and others" if len(models) > 12 else ""),
        hint=f"name one: {reference.repository}:{short_name(models[0], names, reference)}",
    )


def _no_weights(names: Sequence[str], reference: Reference) -> BadModelFile:
    if any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names):
        return BadModelFile(
            f"{reference.repository}: its weights are pickles, which can run code when they are loaded",
            hint="look for a repository with safetensors or GGUF files",
        )
    return BadModelFile(
        f"{reference.repository}: has no weights in GGUF or safetensors: {', '.join(names[:6]) or 'no files'}",
        hint="check the name",
    )


def _checkpoint(names: Sequence[str]) -> list[str]:
    kept = [name for name in names if name.endswith(_BESIDE) and not _NOT_LOADED.search(name)]
    kept += [name for name in names if "/" not in name and covered_by(name) and name not in kept]
    if any(name.startswith("model") and name.endswith(".safetensors") for name in kept):
        # Some publish the same weights once more, in their own library's layout.
        kept = [name for name in kept if not _OTHER_LAYOUT.fullmatch(name)]
    return sorted(kept)


def _texts(names: Sequence[str], parts: Sequence[str]) -> list[str]:
    """The card and the licences, which travel with a model."""
    found = [name for name in names if "/" not in name and (name == "README.md" or covered_by(name))]
    return [name for name in found if name not in parts]
