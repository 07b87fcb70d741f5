"""What packed tensors stand for: quantized checkpoints keep several weights in one element, and scales beside them.

Layouts: GPTQ and AWQ (AutoGPTQ, AutoAWQ: `qweight` 32-bit), compressed-tensors (`weight_packed`), ModelOpt's NVFP4 and
Quark's MXFP4 (bytes with two weights, `weight_scale`), gpt-oss' MXFP4 (`_blocks`, `_scales`), bitsandbytes (bytes with
`absmax`), BitNet (bytes with four), DeepSeek-V4's FP4 (bytes with `scale`), MLX (32-bit with `scales` and `biases`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from .config import Config
from .model_facts import Tensor

# What is kept beside packed or scaled weights; it stands for no weight of its own.
_BESIDE = re.compile(
    r"(.*?)(\.weight_scale(_inv|_2)?|\.weight_global_scale|\.input_scale|\.input_global_scale|\.output_scale"
    r"|\.[qkv]_scale|\.qzeros|\.scales|\.g_idx|\.weight_zero_point|\.weight_shape|\.weight_g_idx|\.SCB"
    r"|\.weight_format|\.qscale_(weight|act)|\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..*)|\.pre_quant_scale"
    r"|_scales|_scale_inv|_weight_scale(_2)?|_input_scale|\.scale_inv)"
)
# The commonest of them, without a search.
_LASTS = frozenset({"weight_scale", "weight_scale_inv", "weight_scale_2", "input_scale"})
# Only beside a tensor of the same name: elsewhere these words name real weights.
_BESIDE_IF_PACKED = re.compile(r"(.*)\.(scale|biases|zeros)")
_INTEGERS = frozenset({"U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64"})
_PLAIN = {"F8_E4M3": "FP8", "F8_E5M2": "FP8", "I8": "INT8"}
# A tensor of whole numbers smaller than this is a table or an index, whatever it is called.
_SMALL = 1 << 12


class Packed(NamedTuple):
    """One stored tensor: what type its weights are, and how many they are; None: packed in a way not known here."""

    type: str
    weights: int | None


def unpack(tensors: Iterable[Tensor], quantization: Config) -> dict[str, Packed]:
    """For each tensor the weights that it stands for; scales and their like stand for none and have their type."""
    tensors = tuple(tensors)
    by_name = {tensor.name: tensor for tensor in tensors}
    found: dict[str, Packed] = {}
    beside: list[tuple[str, str]] = []
    for tensor in tensors:
        base = _base_of(tensor.name, by_name)
        if base is not None:
            beside.append((tensor.name, base))
        else:
            found[tensor.name] = _weights(tensor, by_name, quantization)
    for name, base in beside:
        owner = next((own for own in _owners(base) if own in found), None)
        found[name] = Packed(found[owner].type if owner else by_name[name].type, 0)
    return found


def _owners(base: str) -> tuple[str, ...]:
    return (f"{base}.weight", base, f"{base}.qweight", f"{base}.weight_packed", f"{base}_blocks", f"{base}.weights")


def _base_of(name: str, by_name: dict[str, Tensor]) -> str | None:
    front, _, last = name.rpartition(".")
    if last in ("weight", "bias", "qweight"):
        return None
    if last in _LASTS and f"{front}.weight" in by_name:
        return front
    found = _BESIDE.fullmatch(name)
    if found:
        return found[1] if any(own in by_name for own in _owners(found[1])) or name.endswith("_scale") else None
    found = _BESIDE_IF_PACKED.fullmatch(name)
    if found and f"{found[1]}.weight" in by_name:
        packed = by_name[f"{found[1]}.weight"].type
        if packed in _INTEGERS or packed.startswith(("F8", "F4")):
            return found[1]
    return None


def _weights(tensor: Tensor, by_name: dict[str, Tensor], quantization: Config) -> Packed:
    name, kind, stored = tensor.name, tensor.type, tensor.elements
    if kind not in _INTEGERS:
        return Packed(_PLAIN.get(kind, kind), stored)
    base = name.removesuffix(".weight")
    if name.endswith(".qweight"):
        return _gptq(tensor, name.removesuffix(".qweight"), by_name, quantization)
    if name.endswith(".weight_packed"):
        if kind == "U8":
            return Packed(_four_bit(quantization), stored * 2)
        bits = _group_bits(quantization)
        return Packed(f"INT{bits}", stored * (32 // bits))
    if name.endswith("_blocks") and kind == "U8" and f"{name.removesuffix('_blocks')}_scales" in by_name:
        return Packed("MXFP4", stored * 2)
    if kind in ("U8", "I8", "U32", "I32") and name.endswith(".weight"):
        return _packed_weight(tensor, base, by_name, quantization)
    if kind in _INTEGERS and stored >= _SMALL and len(tensor.shape) > 1:
        return Packed(kind, None)
    return Packed(kind, stored)


def _gptq(tensor: Tensor, base: str, by_name: dict[str, Tensor], quantization: Config) -> Packed:
    """`qweight` packs inputs (GPTQ) or outputs (AWQ). GPTQ's `g_idx` has one entry an input, so that modules with bits
    of their own are counted right; without it the config's bits count."""
    inputs = by_name.get(f"{base}.g_idx")
    if inputs is not None and len(tensor.shape) == 2 and tensor.elements:
        weights = inputs.elements * tensor.shape[1]
        return Packed(f"INT{max(1, tensor.elements * 32 // max(1, weights))}", weights)
    bits = quantization.number("bits", "w_bit") or 4
    return Packed(f"INT{bits}", tensor.elements * 32 // max(1, bits))


def _packed_weight(tensor: Tensor, base: str, by_name: dict[str, Tensor], quantization: Config) -> Packed:
    kind, stored = tensor.type, tensor.elements
    scales = by_name.get(f"{base}.scales")
    if kind == "U32" and scales is not None and tensor.shape and scales.shape:
        # MLX: a row holds width x bits / 32 numbers, and width / group_size scales.
        own = quantization.data.get(base)
        group = (own.get("group_size") if isinstance(own, dict) else None) or quantization.number("group_size") or 64
        if not isinstance(group, int):
            return Packed(kind, None)
        weights = math.prod(scales.shape) * group
        return Packed(f"INT{max(1, stored * 32 // max(1, weights))}", weights)
    if kind == "U8":
        if any(f"{base}.weight.{key}" in by_name for key in ("absmax", "quant_map")):
            return Packed("FP4" if quantization.text("bnb_4bit_quant_type") == "fp4" else "NF4", stored * 2)
        if quantization.text("quant_method") == "bitnet":
            return Packed("TERNARY", stored * 4)
        if f"{base}.weight_scale" in by_name or f"{base}.scale" in by_name:
            return Packed(_four_bit(quantization), stored * 2)
    if kind == "I8":
        scale = by_name.get(f"{base}.scale")
        if scale is not None and scale.type.startswith("F8"):
            return Packed("FP4", stored * 2)
        return Packed("INT8", stored)
    return Packed(kind, None if stored >= _SMALL else stored)


def _four_bit(quantization: Config) -> str:
    """Which of the four-bit floats: a config says so in many ways, all of which contain the name."""
    said = str(quantization.data).lower()
    return "MXFP4" if "mxfp4" in said or "mx_fp4" in said else "NVFP4" if "nvfp4" in said else "FP4"


def _group_bits(quantization: Config) -> int:
    """compressed-tensors says the bits in each group of its config."""
    bits = [bits for weights in _groups(quantization) if (bits := weights.number("num_bits")) and bits <= 16]
    return bits[0] if bits else 4


def _groups(quantization: Config) -> list[Config]:
    """What each group of a compressed-tensors config says of its weights."""
    if not isinstance(quantization.data.get("config_groups"), dict):
        return []
    groups = quantization.section("config_groups")
    return [groups.section(key).section("weights") for key, value in groups.data.items() if isinstance(value, dict)]


def scheme(quantization: Config) -> str | None:
    """What a config calls its quantization, in the field's words: NVFP4, FP8, GPTQ INT4; None where there is none."""
    algorithm = quantization.text("quant_algo")
    if algorithm:
        return algorithm.upper().removeprefix("W4A16_").removeprefix("W8A8_")
    method = quantization.text("quant_method") or quantization.text("quant_type")
    if method in ("gptq", "awq", "auto-round", "autoround", "gptqmodel"):
        return f"{method.upper()} INT{quantization.number('bits', 'w_bit') or 4}"
    if method in ("compressed-tensors", "compressed_tensors"):
        return _compressed(quantization)
    if method == "bitsandbytes":
        if quantization.flag("load_in_4bit", "_load_in_4bit"):
            return (quantization.text("bnb_4bit_quant_type") or "nf4").upper()
        return "INT8"
    if method is None and quantization.number("bits") and quantization.number("group_size"):
        mode = quantization.text("mode")
        return f"MLX {mode.upper()}" if mode and "fp" in mode else f"MLX INT{quantization.number('bits')}"
    return method.upper() if method else None


def _compressed(quantization: Config) -> str:
    form = quantization.text("format") or ""
    if "nvfp4" in form or "mxfp4" in form:
        return form.split("-")[0].upper()
    for weights in _groups(quantization):
        bits = weights.number("num_bits")
        if bits:
            return f"FP{bits}" if weights.text("type") == "float" else f"INT{bits}"
    return "COMPRESSED-TENSORS"
