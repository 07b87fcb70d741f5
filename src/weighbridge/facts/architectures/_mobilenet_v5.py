"""MobileNet V5 as Gemma 3n has it (`mobilenetv5_300m_enc` of timm): one shape, which no config spells out."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.parts import Part, norm

# Stages 1 to 3 by block. Convolutions: (kernel before, kernel between, times wider inside); attention: (heads, length,
# kernel by which keys and values are made smaller).
_CONV, _ATTENTION = "conv", "attention"
_LATE = (_CONV, 0, 0, 2)
_STAGES: tuple[tuple[int, tuple[tuple[str, int, int, int], ...]], ...] = (
    (256, ((_CONV, 3, 5, 6), *((_CONV, 5, 0, 4), (_CONV, 3, 0, 4)) * 2)),
    (640, ((_CONV, 5, 5, 6), *((_CONV, 5, 0, 4),) * 7, (_CONV, 0, 0, 1), *((_ATTENTION, 12, 64, 3), _LATE) * 14)),
    (1280, ((_CONV, 5, 5, 6), *((_ATTENTION, 16, 96, 0), _LATE) * 19)),
)


def parts(name: str) -> Iterator[Part]:
    """Every tensor."""
    yield from _convolution(f"{name}.conv_stem.conv", 3, 64, 3)
    yield Part(f"{name}.conv_stem.conv.bias", (64,))
    yield from norm(f"{name}.conv_stem.bn", 64)
    width = 64
    for block in range(3):
        place, inner = f"{name}.blocks.0.{block}", 4 * width
        yield from _convolution(f"{place}.conv_exp", width, inner, 3)
        yield from norm(f"{place}.bn1", inner)
        yield from _convolution(f"{place}.conv_pwl", inner, 128)
        yield from norm(f"{place}.bn2", 128)
        width = 128
    for stage, (outputs, blocks) in enumerate(_STAGES, start=1):
        for block, (kind, *sizes) in enumerate(blocks):
            place = f"{name}.blocks.{stage}.{block}"
            yield from (_attention if kind == _ATTENTION else _inverted)(place, width, outputs, *sizes)
            yield Part(f"{place}.layer_scale.gamma", (outputs,))
            width = outputs
    yield from _inverted(f"{name}.msfa.ffn", 640 + 1280, 2048, 0, 0, 2)
    yield from norm(f"{name}.msfa.norm", 2048)


def _convolution(name: str, inputs: int, outputs: int, size: int = 1) -> Iterator[Part]:
    yield Part(f"{name}.weight", (outputs, inputs, size, size))


def _inverted(name: str, width: int, outputs: int, before: int, between: int, times: int) -> Iterator[Part]:
    inner = width * times
    if before:
        yield from _convolution(f"{name}.dw_start.conv", 1, width, before)
        yield from norm(f"{name}.dw_start.bn", width)
    yield from _convolution(f"{name}.pw_exp.conv", width, inner)
    yield from norm(f"{name}.pw_exp.bn", inner)
    if between:
        yield from _convolution(f"{name}.dw_mid.conv", 1, inner, between)
        yield from norm(f"{name}.dw_mid.bn", inner)
    yield from _convolution(f"{name}.pw_proj.conv", inner, outputs)
    yield from norm(f"{name}.pw_proj.bn", outputs)


def _attention(name: str, width: int, outputs: int, heads: int, length: int, kernel: int) -> Iterator[Part]:
    yield from norm(f"{name}.norm", width)
    yield from _convolution(f"{name}.attn.query.proj", width, heads * length)
    for side in ("key", "value"):
        if kernel:
            yield from _convolution(f"{name}.attn.{side}.down_conv", 1, width, kernel)
            yield from norm(f"{name}.attn.{side}.norm", width)
        yield from _convolution(f"{name}.attn.{side}.proj", width, length)
    yield from _convolution(f"{name}.attn.output.proj", heads * length, outputs)
