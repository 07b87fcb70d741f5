"""How many bytes a model takes at each of llama.cpp's recipes, computed before any file exists.

A recipe (`Q4_K_M`) mixes types: some tensors get more bits than its name says, by their part in the network, their
layer and the length of their rows. The rules are those of `llama_tensor_get_type` in llama.cpp's `src/llama-quant.cpp`
(read 2026-11, release 0.3.36 of llama-cpp-python); the tests hold them against that very function's answers, tensor
by tensor. Recipes that measure each model first (unsloth's `UD-...`) follow no rule that could be computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from weighbridge.facts import TENSOR_TYPES

# Each recipe with the type that its tensors have unless a rule says otherwise; from the most bytes to the fewest.
RECIPES: dict[str, str] = {
    "BF16": "BF16", "F16": "F16", "Q8_0": "Q8_0", "Q6_K": "Q6_K", "Q5_K_M": "Q5_K", "Q5_K_S": "Q5_K", "Q5_1": "Q5_1",
    "Q5_0": "Q5_0", "Q4_K_M": "Q4_K", "Q4_K_S": "Q4_K", "Q4_1": "Q4_1", "Q4_0": "Q4_0", "IQ4_NL": "IQ4_NL",
    "IQ4_XS": "IQ4_XS", "MXFP4_MOE": "MXFP4", "Q3_K_L": "Q3_K", "Q3_K_M": "Q3_K", "Q3_K_S": "Q3_K", "IQ3_M": "IQ3_S",
    "IQ3_S": "IQ3_S", "IQ3_XS": "IQ3_S", "IQ3_XXS": "IQ3_XXS", "Q2_K": "Q2_K", "Q2_K_S": "Q2_K", "IQ2_M": "IQ2_S",
    "IQ2_S": "IQ2_XS", "IQ2_XS": "IQ2_XS", "IQ2_XXS": "IQ2_XXS", "IQ1_M": "IQ1_M", "IQ1_S": "IQ1_S",
}  # fmt: skip
# Values a block and bytes a block of each type that a recipe may choose.
_CHOSEN = {"F32", *RECIPES.values()}
BLOCKS = {name: (values, size) for name, values, size in TENSOR_TYPES.values() if name in _CHOSEN}
# These cannot be made without an importance matrix: their rules are asked for with one.
NEEDS_MATRIX = frozenset({"IQ3_XXS", "Q2_K_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"})

# Where rows are no whole number of blocks, a type of shorter blocks takes the place.
_INSTEAD = {
    "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
} | dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL")  # fmt: skip
_VERY_LOW = frozenset({"IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ1_S", "IQ1_M"})
_UNQUANTIZED = frozenset({"F32", "F16", "BF16"})

# What a tensor is for, by a part of its name; the first that matches counts.
_CATEGORIES = (
    ("attn_qkv.weight", "qkv"), ("attn_kv_b.weight", "kv_b"), ("attn_v.weight", "v"), ("attn_k.weight", "k"),
    ("attn_q.weight", "q"), ("attn_output.weight", "attention_output"), ("ffn_up", "up"), ("ffn_gate", "gate"),
    ("ffn_down", "down"),
)  # fmt: skip
_LIKE_V = frozenset({"qkv", "kv_b", "v"})
# Parts of names of tensors that keep the type of the file that is quantized.
_KEPT = (
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
    "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", "time_mix_first.weight",
    "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight",
    "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight",
    "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight",
    "attn_rel_b.weight", ".position_embd", ".rel_pos", ".patch_embd", ".patch_merger",
)  # fmt: skip
# Of these, the ones that a converter writes in 32 bits (conversion/base.py, prepare_tensors).
_IN_32_BITS = (
    "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight", "position_embd.weight", "token_types.weight", "ssm_conv1d",
    "shortconv.conv.weight", "altup_correct_coef", "altup_predict_coef", "indexer.proj.weight", "_norm.weight",
)  # fmt: skip


class GGUFTensor(NamedTuple):
    """A tensor as a GGUF file of the model has it; `shape` begins with the length of a row."""

    name: str
    shape: tuple[int, ...]
    routed: bool = False
    """Whether it holds the routed experts of a layer."""

    @property
    def elements(self) -> int:
        """How many weights it holds."""
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True, slots=True)
class Network:
    """What the rules ask of the model beside its tensors."""

    architecture: str
    """In llama.cpp's words: `llama`, `deepseek2`."""
    heads_per_kv_head: int
    """Of the first layer; 0 where that has no attention."""
    experts: int
    """Routed experts a layer; 0 for a dense network."""
    experts_used: int
    block_count: int
    """All layers of the file, those that predict further tokens included."""

    @property
    def is_70b(self) -> bool:
        """Whether llama.cpp takes it for a 70B model, whose `attn_v` is small and so gets more bits."""
        return self.block_count == 80 and (
            (self.architecture == "llama" and self.heads_per_kv_head != 1)
            or self.architecture in ("qwen2", "deci", "olmo")
        )


class Quantization(NamedTuple):
    """Bytes of one recipe. They are the tensors' alone: a file has its header beside them, mostly the vocabulary
    (some 1 MB for 32,000 tokens, 6 to 10 MB for 150,000 to 260,000)."""

    recipe: str
    weights_bytes: int
    active_bytes: int
    """What an engine reads for one token: routed experts at used/total, and of an embedding that is not the output too
    only a row, which is not counted."""
    embedding_bytes: int
    """The token embedding, and embeddings a layer (Gemma 3n), which engines leave in main memory."""
    output_bytes: int
    """The matrix that makes the scores: the embedding itself where they are one."""


class _State:
    """The counters that the rules go by; tensors come layer by layer, in each by name."""

    def __init__(self, network: Network, recipe: str, *, matrix: bool, v_count: int, tied: bool) -> None:
        self.network, self.recipe, self.matrix = network, recipe, matrix
        self.v_count, self.tied = v_count, tied
        self.seen = {"v": 0, "down": 0, "gate": 0, "up": 0}

    def layer(self, category: str, own: int) -> int:
        """The layer that a feed-forward tensor counts as: its own where there are experts, else by counting."""
        return own if self.network.experts > 1 else self.seen[category]


def _more_bits(layer: int, count: int) -> bool:
    """The first and the last eighth of the layers, and every third between."""
    return layer < count // 8 or layer >= 7 * count // 8 or (layer - count // 8) % 3 == 2


@lru_cache(maxsize=4096)
def _category(name: str) -> str:
    """What the rules take a tensor for, by its name without its layer."""
    if name == "output.weight":
        return "output"
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return "embedding"
    return next((category for part, category in _CATEGORIES if part in name), "other")


@lru_cache(maxsize=4096)
def _may_change(name: str) -> bool:
    """Whether a recipe changes the type of matrices of this name; norms and small ones stay."""
    if not name.endswith("weight") or name in ("position_embd.weight", "token_types.weight"):
        return False
    return not any(part in name for part in _KEPT)


@lru_cache(maxsize=4096)
def _in_32_bits(name: str) -> bool:
    """Whether a converter writes matrices of this name in 32 bits."""
    return not name.endswith(".weight") or any(part in name for part in _IN_32_BITS)


class _Prepared(NamedTuple):
    """What the rules look at, found out once for all recipes."""

    name: str
    layer: int
    """-1: of no layer."""
    row: int
    elements: int
    is_stack: bool
    category: str
    changes: bool
    in_32_bits: bool
    share: tuple[int, int]
    """Which part of it one token uses."""


@lru_cache(maxsize=64)
def _prepare(tensors: tuple[GGUFTensor, ...], network: Network) -> tuple[_Prepared, ...]:
    """The tensors as the quantizer meets them: layer by layer, in each by name."""
    further = {tensor.name.split(".", 2)[1] for tensor in tensors if ".nextn." in tensor.name}
    found = []
    for tensor in tensors:
        number, rest = -1, tensor.name
        used = (1, 1)
        if rest.startswith("blk."):
            layer, rest = rest[4:].split(".", 1)
            number = int(layer)
            rest = f".{rest}"
            used = (0, 1) if layer in further else used
        if tensor.routed and network.experts and used[0]:
            used = (network.experts_used, network.experts)
        elif rest in ("token_embd.weight", "per_layer_token_embd.weight"):
            used = (0, 1)
        is_matrix = len(tensor.shape) > 1
        found.append(
            _Prepared(
                tensor.name, number, tensor.shape[0], tensor.elements, len(tensor.shape) > 2 and tensor.shape[2] > 1,
                _category(rest), is_matrix and _may_change(rest), not is_matrix or _in_32_bits(rest), used,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda each: (each.layer, each.name)))


def _output(state: _State, kind: str, row: int) -> str:
    if state.recipe == "MXFP4_MOE" or state.network.architecture == "falcon" or row % BLOCKS[kind][0]:
        return "Q8_0"
    if state.recipe in _VERY_LOW or state.recipe == "IQ3_XXS":
        return "Q5_K"
    return kind if kind == "Q8_0" else "Q6_K"


_EMBEDDING = {
    "IQ2_XXS": "Q2_K", "IQ2_XS": "Q2_K", "IQ1_S": "Q2_K", "IQ1_M": "Q2_K", "IQ2_S": "IQ3_S", "IQ2_M": "IQ3_S",
    "IQ3_XXS": "IQ3_S",
}  # fmt: skip


def _very_low(state: _State, kind: str, category: str) -> str:
    """The rules of IQ1 and IQ2."""
    network, is_s = state.network, state.recipe in ("IQ2_S", "IQ2_M")
    low = "IQ3_S" if is_s else "Q2_K"
    if category in _LIKE_V:
        state.seen["v"] += 1
        return "Q4_K" if network.heads_per_kv_head >= 4 or network.experts >= 4 else low
    if network.experts == 8 and category == "k":
        return "Q4_K"
    if category == "down":
        early = state.seen["down"] < network.block_count // 8
        state.seen["down"] += 1
        return low if early else kind
    if category == "attention_output":
        if network.experts == 8:
            return "Q5_K"
        return "IQ3_S" if is_s else "IQ2_XXS" if state.recipe in ("IQ1_S", "IQ1_M") else kind
    return kind


def _by_v(state: _State, kind: str) -> str:
    """Attention's values, which suffer most from few bits, and matrices that hold them."""
    recipe, grouped, index = state.recipe, state.network.heads_per_kv_head >= 4, state.seen["v"]
    chosen = kind
    if recipe in _V_BY_GROUPS:
        with_groups, without = _V_BY_GROUPS[recipe]
        chosen = with_groups if grouped else without or kind
        if recipe == "IQ3_XXS" and not grouped:
            chosen = "IQ3_XXS" if state.matrix else "IQ3_S"
    elif recipe in _V_ALWAYS:
        chosen = _V_ALWAYS[recipe]
    elif recipe == "Q3_K_M":
        chosen = "Q5_K" if index < 2 else "Q4_K"
    elif recipe in ("Q4_K_M", "Q5_K_M") and _more_bits(index, state.v_count):
        chosen = "Q6_K"
    elif recipe == "Q4_K_S" and index < 4:
        chosen = "Q5_K"
    if state.network.is_70b and chosen in ("Q3_K", "Q4_K"):
        chosen = "Q5_K"
    if state.network.experts == 8:
        chosen = "Q8_0"
    state.seen["v"] += 1
    return chosen


_V_BY_GROUPS: dict[str, tuple[str, str | None]] = {
    "Q2_K": ("Q4_K", "Q3_K"), "Q2_K_S": ("Q4_K", None), "IQ3_XXS": ("Q4_K", None), "IQ3_XS": ("Q4_K", None),
    "IQ3_S": ("Q4_K", None), "IQ4_NL": ("Q5_K", None), "IQ4_XS": ("Q5_K", None),
}  # fmt: skip
_V_ALWAYS = {"IQ3_M": "Q4_K", "Q3_K_L": "Q5_K"}


def _by_q_or_k(state: _State, kind: str, category: str) -> str:
    if category == "k" and state.network.experts == 8:
        return "Q8_0"
    return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(state.recipe, kind)


def _by_down(state: _State, kind: str, layer: int) -> str:
    """The feed-forward network's way back, which suffers next."""
    layer = state.layer("down", layer)
    state.seen["down"] += 1
    rules = _DOWN_IN_FALCON if state.network.architecture == "falcon" else _DOWN
    rule = rules.get(state.recipe)
    return (rule(state, layer, state.network.block_count) if rule else None) or kind


_Rule = Callable[[_State, int, int], str | None]
"""The type by state, layer and how many layers there are; None: the recipe's own."""


def _always(kind: str) -> _Rule:
    return lambda _state, _layer, _count: kind


def _early(kind: str, part: int = 8, otherwise: str | None = None) -> _Rule:
    return lambda _state, layer, count: kind if layer < count // part else otherwise


def _with_more_bits(kind: str) -> _Rule:
    return lambda _state, layer, count: kind if _more_bits(layer, count) else None


def _by_matrix(rule: _Rule, *, there: bool) -> _Rule:
    """The rule, only where there is, or is not, an importance matrix."""
    return lambda state, layer, count: rule(state, layer, count) if state.matrix == there else None


def _early_or_eight(state: _State, layer: int, count: int) -> str | None:
    return "Q4_K" if layer < count // 8 or (state.network.experts == 8 and _more_bits(layer, count)) else None


_DOWN: dict[str, _Rule] = {
    "Q2_K": _always("Q3_K"), "Q2_K_S": _early("Q4_K"), "Q3_K_M": _early("Q5_K", 16, "Q4_K"), "Q3_K_L": _always("Q5_K"),
    "Q4_K_S": _early("Q5_K"), "Q4_K_M": _with_more_bits("Q6_K"), "Q5_K_M": _with_more_bits("Q6_K"),
    "IQ3_M": _early_or_eight, "IQ3_XXS": _by_matrix(_early("Q4_K", 8, "Q3_K"), there=False),
    "IQ4_NL": _by_matrix(_early("Q5_K"), there=False), "IQ4_XS": _by_matrix(_early("Q5_K"), there=False),
    "Q4_0": _by_matrix(_early("Q4_1"), there=True), "Q5_0": _by_matrix(_early("Q5_1"), there=True),
}  # fmt: skip


def _falcon_q3_k_m(_state: _State, layer: int, count: int) -> str | None:
    return "Q5_K" if layer < count // 16 else "Q4_K" if _more_bits(layer, count) else None


def _falcon_q4_k_m(_state: _State, layer: int, count: int) -> str | None:
    return "Q6_K" if layer < count // 16 else "Q5_K" if _more_bits(layer, count) else None


_DOWN_IN_FALCON = {key: rule for key, rule in _DOWN.items() if key != "Q4_K_S"} | {
    "Q3_K_L": _always("Q4_K"), "Q3_K_M": _falcon_q3_k_m, "Q4_K_M": _falcon_q4_k_m,
}  # fmt: skip


_ATTENTION_OUTPUT = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}
_ATTENTION_OUTPUT_OF_EIGHT = frozenset(
    "Q2_K IQ3_XS IQ3_XXS Q3_K_S Q3_K_M IQ4_NL Q4_K_S Q4_K_M IQ3_S IQ3_M IQ4_XS".split()
)


def _by_attention_output(state: _State, kind: str) -> str:
    if state.network.architecture == "falcon":
        return "Q4_K" if state.recipe == "Q3_K_L" else kind
    if state.network.experts == 8:
        return "Q5_K" if state.recipe in _ATTENTION_OUTPUT_OF_EIGHT else kind
    return _ATTENTION_OUTPUT.get(state.recipe, kind)


def _by_gate_or_up(state: _State, kind: str, category: str, layer: int) -> str:
    layer, count = state.layer(category, layer), state.network.block_count
    state.seen[category] += 1
    return "IQ3_XXS" if state.recipe == "IQ3_XS" and count // 8 <= layer < 7 * count // 8 else kind


def _mixed(state: _State, kind: str, tensor: _Prepared) -> str:
    """The type by the recipe's rules, before the length of rows is looked at."""
    category = tensor.category
    if category == "output" or (state.tied and category == "embedding"):
        return _output(state, kind, tensor.row)
    if state.recipe == "MXFP4_MOE":
        return "MXFP4" if tensor.is_stack else "Q8_0"
    if category == "embedding":
        return _EMBEDDING.get(state.recipe, kind)
    if state.recipe in _VERY_LOW:
        return _very_low(state, kind, category)
    if category in _LIKE_V:
        return _by_v(state, kind)
    if category in ("q", "k"):
        return _by_q_or_k(state, kind, category)
    if category == "down":
        return _by_down(state, kind, tensor.layer)
    if category == "attention_output":
        return _by_attention_output(state, kind)
    if category in ("gate", "up"):
        return _by_gate_or_up(state, kind, category, tensor.layer)
    return kind


def _fitted(kind: str, row: int) -> str:
    """The type, or the one that takes its place where rows are no whole number of its blocks."""
    if row % BLOCKS[kind][0] == 0:
        return kind
    instead = _INSTEAD.get(kind, kind)
    return instead if row % BLOCKS[instead][0] == 0 else "F16"


def _chosen(prepared: Sequence[_Prepared], network: Network, recipe: str, *, matrix: bool) -> list[str]:
    default = RECIPES[recipe]
    if default in _UNQUANTIZED:
        return [default if each.changes or not each.in_32_bits else "F32" for each in prepared]
    state = _State(
        network, recipe, matrix=matrix, v_count=sum(each.category in _LIKE_V for each in prepared),
        tied=all(each.name != "output.weight" for each in prepared),
    )  # fmt: skip
    return [
        _fitted(_mixed(state, default, each), each.row) if each.changes else "F32" if each.in_32_bits else "F16"
        for each in prepared
    ]


def choose_types(
    tensors: Iterable[GGUFTensor], network: Network, recipe: str, *, matrix: bool = False
) -> dict[str, str]:
    """For each tensor its type in a file of this recipe; `matrix`: made with an importance matrix."""
    prepared = _prepare(tuple(tensors), network)
    kinds = _chosen(prepared, network, recipe, matrix=matrix)
    return {each.name: kind for each, kind in zip(prepared, kinds, strict=True)}


def quantize(
    tensors: Iterable[GGUFTensor], network: Network, recipe: str, *, matrix: bool | None = None
) -> Quantization:
    """The bytes of a file of this recipe. `matrix`: made with an importance matrix; None: only where it must be."""
    prepared = _prepare(tuple(tensors), network)
    kinds = _chosen(prepared, network, recipe, matrix=recipe in NEEDS_MATRIX if matrix is None else matrix)
    total = active = embedding = output = token_embedding = 0
    for each, kind in zip(prepared, kinds, strict=True):
        values, block_bytes = BLOCKS[kind]
        size = each.elements // values * block_bytes
        total += size
        used, of = each.share
        active += size * used // of
        if each.category == "output":
            output = size
        elif each.category == "embedding":
            embedding += size
            token_embedding += size if each.name == "token_embd.weight" else 0
    if not output:
        # The embedding makes the scores too: then all of it is read.
        output = token_embedding
        active += token_embedding
    return Quantization(recipe, total, active, embedding, output)
