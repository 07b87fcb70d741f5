"""The tensors that a GGUF file of a model has, from the names and shapes of its published checkpoint.

What llama.cpp's converter does to them (`conversion/`, `gguf-py/gguf/tensor_mapping.py`, read 2026-11) is told by one
table for all families: experts are stacked, fused matrices are cut in two, a latent's way back becomes a matrix for
keys and one for values. Vectors keep 32 bits at every recipe, so only matrices need their right names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from weighbridge.facts import Experts

from .quantizations import GGUFTensor, Network

# Families by what their configs call them, with the architecture that llama.cpp's converter makes of them. A family
# that is not here has no bytes computed: its file is not known here well enough.
ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "ministral": "llama", "mixtral": "llama", "idefics3": "llama",
    "smolvlm": "llama", "smollm3": "smollm3", "qwen2": "qwen2", "qwen2_vl": "qwen2vl", "qwen2_5_vl": "qwen2vl",
    "qwen2_moe": "qwen2moe", "qwen3": "qwen3", "qwen3_vl": "qwen3vl", "qwen3_moe": "qwen3moe",
    "qwen3_vl_moe": "qwen3vlmoe", "qwen3_next": "qwen3next", "qwen3_5": "qwen35", "qwen3_5_text": "qwen35",
    "qwen3_5_moe": "qwen35moe", "qwen3_5_moe_text": "qwen35moe", "gemma": "gemma", "gemma2": "gemma2",
    "gemma3": "gemma3", "gemma3_text": "gemma3", "gemma3n": "gemma3n", "gemma4": "gemma4", "gemma4_unified": "gemma4",
    "phi": "phi2", "phi3": "phi3", "phimoe": "phimoe", "gpt_oss": "gpt-oss", "deepseek_v2": "deepseek2",
    "deepseek_v3": "deepseek2", "kimi_k2": "deepseek2", "kimi_k25": "deepseek2", "glm4_moe_lite": "deepseek2",
    "glm": "chatglm", "glm4": "glm4", "glm4v": "glm4", "glm46v": "glm4", "glm4_moe": "glm4moe",
    "glm4v_moe": "glm4moe", "granite": "granite", "granitemoe": "granitemoe", "granitemoehybrid": "granitehybrid",
    "olmo": "olmo", "olmo2": "olmo2", "olmo3": "olmo2", "olmoe": "olmoe", "lfm2": "lfm2", "lfm2_moe": "lfm2moe",
    "falcon": "falcon", "falcon_h1": "falcon-h1", "nemotron": "nemotron", "nemotron_h": "nemotron_h",
    "cohere": "command-r", "cohere2": "cohere2", "exaone4": "exaone4", "hunyuan_v1_dense": "hunyuan-dense",
    "hunyuan_v1_moe": "hunyuan-moe", "ernie4_5": "ernie4_5", "ernie4_5_moe": "ernie4_5-moe", "seed_oss": "seed_oss",
    "jamba": "jamba", "internlm2": "internlm2", "starcoder2": "starcoder2", "minimax_m2": "minimax-m2",
    "mistral3": "mistral3", "ministral3": "mistral3", "mistral4": "mistral4", "llama4": "llama4",
    "apertus": "apertus", "stablelm": "stablelm", "gpt2": "gpt2", "gpt_neox": "gptneox", "mimo": "qwen2",
    "solar_open": "glm4moe",
}  # fmt: skip
# Families whose files also hold the layers that predict further tokens.
_KEEPS_FURTHER = frozenset({"glm4_moe", "glm4v_moe", "solar_open"})
# Families whose header tells the heads of each layer apart: the first layer's may be none.
_BY_LAYER = frozenset({"nemotron_h", "granitemoehybrid", "jamba", "lfm2", "lfm2_moe"})
# Fused experts that stay fused, and such as are stored with inputs before outputs.
_STAYS_FUSED = frozenset({"gemma4"})
_INPUTS_FIRST = frozenset({"gpt_oss", "llama4"})

_APART = re.compile(
    r"vision|visual|audio|multi_modal|mm_projector|connector|aligner|image_newline|patch_merger|embed_vision"
    r"|e_score_correction|expert_bias|rotary|embed_audio|vit\."
)
_FURTHER = re.compile(r"(^|\.)mtp|mtp_")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.(.+)$")

_WHOLE = (
    (r"embed_tokens_per_layer\.weight$", "per_layer_token_embd.weight"),
    (r"(embed_tokens|embeddings|word_embeddings|wte|embed_in|tok_embeddings)\.weight$", "token_embd.weight"),
    (r"(lm_head|embed_out|output)\.weight$", "output.weight"),
    (r"per_layer_model_projection\.weight$", "per_layer_model_proj.weight"),
    (r"wpe\.weight$", "position_embd.weight"),
    (r"altup_projections\.\d", "altup_proj.weight"),
    (r"altup_unembed_projections\.\d", "altup_unembd_proj.weight"),
)
# The first that matches counts. What lies under `experts` is told apart before.
_IN_LAYER = (
    (r"altup\.correction_coefs\.weight$", "altup_correct_coef.weight"),
    (r"altup\.prediction_coefs\.weight$", "altup_predict_coef.weight"),
    (r"altup\.modality_router\.weight$", "altup_router.weight"),
    (r"(linear_attn|mamba|mixer)\.conv1d\.weight$", "ssm_conv1d.weight"),
    (r"^conv\.conv\.weight$", "shortconv.conv.weight"),
    (r"linear_attn\.in_proj_qkv\.weight$", "attn_qkv.weight"),
    (r"linear_attn\.in_proj_z\.weight$", "attn_gate.weight"),
    (r"linear_attn\.in_proj_ba\.weight$", "ssm_ba.weight"),
    (r"linear_attn\.in_proj_b\.weight$", "ssm_beta.weight"),
    (r"linear_attn\.in_proj_a\.weight$", "ssm_alpha.weight"),
    (r"(linear_attn|mamba|mixer)\.out_proj\.weight$", "ssm_out.weight"),
    (r"(mamba|mixer)\.in_proj\.weight$", "ssm_in.weight"),
    (r"mamba\.x_proj\.weight$", "ssm_x.weight"),
    (r"mamba\.dt_proj\.weight$", "ssm_dt.weight"),
    (r"mamba\.A_log$", "ssm_a"),
    (r"^conv\.in_proj\.weight$", "shortconv.in_proj.weight"),
    (r"^conv\.out_proj\.weight$", "shortconv.out_proj.weight"),
    (r"indexer\.wq_b\.weight$", "indexer.attn_q_b.weight"),
    (r"indexer\.wk\.weight$", "indexer.attn_k.weight"),
    (r"indexer\.weights_proj\.weight$", "indexer.proj.weight"),
    (r"q_a_proj\.weight$", "attn_q_a.weight"),
    (r"q_b_proj\.weight$", "attn_q_b.weight"),
    (r"kv_a_proj_with_mqa\.weight$", "attn_kv_a_mqa.weight"),
    (r"(qkv_proj|query_key_value|c_attn|Wqkv|wqkv)\.weight$", "attn_qkv.weight"),
    (r"(q_proj|wq)\.weight$", "attn_q.weight"),
    (r"(k_proj|wk)\.weight$", "attn_k.weight"),
    (r"(v_proj|wv)\.weight$", "attn_v.weight"),
    (r"(o_proj|attn\.c_proj|attn\.out_proj|attention\.dense|attn\.dense|attention\.wo)\.weight$",
     "attn_output.weight"),
    (r"fc1_latent_proj\.weight$", "ffn_latent_down.weight"),
    (r"fc2_latent_proj\.weight$", "ffn_latent_up.weight"),
    (r"shared_(expert|experts|mlp)\.gate_proj\.weight$", "ffn_gate_shexp.weight"),
    (r"shared_(expert|experts|mlp)\.up_proj\.weight$", "ffn_up_shexp.weight"),
    (r"shared_(expert|experts|mlp)\.(down_proj|output_linear)\.weight$", "ffn_down_shexp.weight"),
    (r"shared_expert_gate\.weight$", "ffn_gate_inp_shexp.weight"),
    (r"q_norm\.weight$", "attn_q_norm.weight"),
    (r"k_norm\.weight$", "attn_k_norm.weight"),
    (r"(router(\.layer|\.proj)?|\.gate(\.wg)?|^gate)\.weight$", "ffn_gate_inp.weight"),
    (r"(gate_proj|feed_forward\.w1)\.weight$", "ffn_gate.weight"),
    (r"(gate_up_proj|up_proj|fc1|c_fc|dense_h_to_4h|feed_forward\.w3)\.weight$", "ffn_up.weight"),
    (r"(down_proj|fc2|mlp\.c_proj|dense_4h_to_h|feed_forward\.w2)\.weight$", "ffn_down.weight"),
    (r"laurel\.linear_left\.weight$", "laurel_l.weight"),
    (r"laurel\.linear_right\.weight$", "laurel_r.weight"),
    (r"per_layer_input_gate\.weight$", "inp_gate.weight"),
    (r"per_layer_projection\.weight$", "proj.weight"),
    (r"^eh_proj\.weight$", "nextn.eh_proj.weight"),
    (r"^embed_tokens\.weight$", "nextn.embed_tokens.weight"),
    (r"^shared_head\.head\.weight$", "nextn.shared_head_head.weight"),
)  # fmt: skip
_EXPERTS = (
    (r"\*\.(gate_proj|w1)\.weight$", "ffn_gate_exps.weight"),
    (r"\*\.(up_proj|w3)\.weight$", "ffn_up_exps.weight"),
    (r"\*\.(down_proj|w2)\.weight$", "ffn_down_exps.weight"),
)
_STACKED = re.compile(r"(experts|block_sparse_moe)\.(gate_up_proj|down_proj|input_linear|output_linear)(\.weight)?$")
_SHARED_PAIR = re.compile(r"shared_mlp\.input_linear\.weight$")


class Stored(NamedTuple):
    """A tensor of a checkpoint: PyTorch's order, outputs first. `copies`: equal ones, `*` in the name (experts)."""

    name: str
    shape: tuple[int, ...]
    copies: int = 1


class UnknownLayout(Exception):
    """A tensor that the table has no place for."""


def tensors_of(
    family: str, stored: Iterable[Stored], head_count: int, block_count: int, experts: Experts | None
) -> tuple[tuple[GGUFTensor, ...], Network] | None:
    """The tensors of the GGUF file, and what the rules of quantization ask; None where the family's file is not known
    here well enough."""
    architecture = ARCHITECTURES.get(family)
    if architecture is None:
        return None
    listed = [part for part in stored if _belongs(part.name)]
    further = family in _KEEPS_FURTHER
    latent = _Latent(listed, head_count)
    found: list[GGUFTensor] = []
    last = block_count
    try:
        for part in listed:
            layer = _LAYER.search(part.name)
            if layer and int(layer[1]) >= block_count:
                if not further:
                    continue
                last = max(last, int(layer[1]) + 1)
            found += _translate(part, layer, family, latent)
    except UnknownLayout:
        return None
    if architecture == "nemotron_h" and any(tensor.routed for tensor in found):
        architecture = "nemotron_h_moe"
    network = Network(
        architecture=architecture,
        heads_per_kv_head=_heads_per_kv_head(found, head_count, latent, by_layer=family in _BY_LAYER),
        experts=experts.total if experts else 0,
        experts_used=experts.used if experts else 0,
        block_count=last,
    )
    return tuple(found), network


def _belongs(name: str) -> bool:
    return not (_APART.search(name) or _FURTHER.search(name))


class _Latent:
    """The lengths that latent attention's matrices imply."""

    def __init__(self, listed: list[Stored], heads: int) -> None:
        shapes = {match[2]: part.shape for part in listed if (match := _LAYER.search(part.name)) and match[1] == "0"}
        down = shapes.get("self_attn.kv_a_proj_with_mqa.weight")
        self.is_used = down is not None and heads > 0
        self.heads = heads
        if down is None or not heads:
            return
        up = shapes["self_attn.kv_b_proj.weight"]
        query = shapes.get("self_attn.q_b_proj.weight") or shapes["self_attn.q_proj.weight"]
        self.rank = up[1]
        rotary = down[0] - self.rank
        self.plain = query[0] // heads - rotary
        self.values = up[0] // heads - self.plain


def _translate(part: Stored, layer: re.Match[str] | None, family: str, latent: _Latent) -> Iterator[GGUFTensor]:
    shape = tuple(length for length in part.shape if length != 1)
    rows = tuple(reversed(shape))
    if layer is None:
        name = _named(_WHOLE, part.name)
        if len(rows) < 2:
            yield GGUFTensor(name or f"{part.name}.vector", rows or (1,))
        elif name is None:
            raise UnknownLayout(part.name)
        elif not name.startswith("altup"):
            yield GGUFTensor(name, rows)
        elif ".0." in part.name:
            # Three equal matrices are stacked (Gemma 3n).
            yield GGUFTensor(name, (*rows, 3))
        return
    number, rest = layer[1], layer[2]
    block = f"blk.{number}."
    if ("experts." in rest and "shared" not in rest) or "block_sparse_moe." in rest:
        inputs_first = family in _INPUTS_FIRST
        yield from _experts(part, block, rest, inputs_first=inputs_first, fused=family in _STAYS_FUSED)
    elif len(rows) < 2 or rest.endswith("bias"):
        yield GGUFTensor(f"{block}{rest}.vector", rows or (1,))
    elif rest.endswith("kv_b_proj.weight") and latent.is_used:
        yield GGUFTensor(f"{block}attn_k_b.weight", (latent.plain, latent.rank, latent.heads))
        yield GGUFTensor(f"{block}attn_v_b.weight", (latent.rank, latent.values, latent.heads))
    elif rest.endswith("in_proj_qkvz.weight"):
        yield from _queries_and_gate(block, rows)
    elif _SHARED_PAIR.search(rest):
        yield GGUFTensor(f"{block}ffn_gate_shexp.weight", (rows[0], rows[1] // 2))
        yield GGUFTensor(f"{block}ffn_up_shexp.weight", (rows[0], rows[1] // 2))
    else:
        yield GGUFTensor(block + _matrix(rest), rows)


def _queries_and_gate(block: str, rows: tuple[int, ...]) -> Iterator[GGUFTensor]:
    """Qwen3-Next: queries, keys, values and the gate of a linear layer in one. Values and gate are two thirds: there
    are twice as many heads of values as of keys, of one length."""
    width, outputs = rows
    yield GGUFTensor(f"{block}attn_qkv.weight", (width, outputs * 2 // 3))
    yield GGUFTensor(f"{block}attn_gate.weight", (width, outputs // 3))


def _experts(part: Stored, block: str, rest: str, *, inputs_first: bool, fused: bool) -> Iterator[GGUFTensor]:
    name = _named(_EXPERTS, rest)
    if name:
        yield GGUFTensor(block + name, (*reversed(part.shape), part.copies), routed=True)
        return
    stacked = _STACKED.search(rest)
    if stacked is None or len(part.shape) != 3:
        if len(part.shape) < 2 or "bias" in rest:
            # A bias for each expert is a matrix, and stays in 32 bits.
            yield GGUFTensor(f"{block}{rest}.vector", tuple(reversed(part.shape)), routed="experts" in rest)
        else:
            yield GGUFTensor(block + _matrix(rest), tuple(reversed(part.shape)))
        return
    count, outputs, inputs = part.shape
    if inputs_first:
        outputs, inputs = inputs, outputs
    if stacked[2] in ("down_proj", "output_linear"):
        yield GGUFTensor(f"{block}ffn_down_exps.weight", (inputs, outputs, count), routed=True)
    elif fused:
        yield GGUFTensor(f"{block}ffn_gate_up_exps.weight", (inputs, outputs, count), routed=True)
    else:
        for half in ("gate", "up"):
            yield GGUFTensor(f"{block}ffn_{half}_exps.weight", (inputs, outputs // 2, count), routed=True)


def _named(table: tuple[tuple[str, str], ...], text: str) -> str | None:
    for pattern, name in table:
        if re.search(pattern, text):
            return name
    return None


def _matrix(rest: str) -> str:
    name = _named(_IN_LAYER, rest)
    if name is None:
        raise UnknownLayout(rest)
    return name


def _heads_per_kv_head(tensors: list[GGUFTensor], heads: int, latent: _Latent, *, by_layer: bool) -> int:
    """Query heads for each head of keys, as the header tells it of the first layer."""
    if latent.is_used:
        return heads  # the latent counts as the one head of keys
    rows: dict[str, int] = {}
    width = 0
    for tensor in tensors:
        if tensor.name == "token_embd.weight":
            width = tensor.shape[0]
        for part in ("attn_q", "attn_k", "attn_output", "attn_qkv"):
            if tensor.name.endswith(f".{part}.weight") and (not by_layer or tensor.name.startswith("blk.0.")):
                rows.setdefault(part, tensor.shape[0] if part == "attn_output" else tensor.shape[1])
    return _ratio(rows, heads, width)


def _ratio(rows: dict[str, int], heads: int, width: int) -> int:
    inputs = rows.get("attn_output")
    if not heads or not inputs or not width:
        return 0
    length = inputs // heads
    if "attn_k" in rows:
        return heads // max(1, rows["attn_k"] // length)
    if "attn_qkv" in rows and rows["attn_qkv"] > inputs:
        return heads // max(1, (rows["attn_qkv"] - inputs) // 2 // length)
    return 0
