"""`Form`: what the form of a model's graph depends on, the order of allocations and releases in it, but for sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from weighbridge.facts import Layer, ModelFacts

from .steps import compress_ratios
from .tensor_names import block_of

DEEPSTACK = "+deepstack"
POOLED = "+pooled"
# Beside a layer's kind: its values are shorter than the longest, so that they are lengthened where the cache keeps them
# transposed, without flash attention (llama-kv-cache.cpp, TAG_V_CACHE_VARIABLE); its keys serve as values too.
_PADDED, _KEYS_ONLY, _HASHED = " padded", " keys only", " hashed"
# What makes a rank of the one vector of a sequence: the engine reserves as much with it as without.
_HEAD = "cls."
# Kinds of layers whose graph is the same but for its sizes.
_ALIKE = {"full": "attention", "grouped_query": "attention", "sliding_window": "attention", "chunked": "attention"}


@dataclass(frozen=True, slots=True)
class Form:
    """What the form of a model's graph depends on."""

    architecture: str
    layers: tuple[str, ...]
    """The kinds of its layers, in their order."""
    tensors: frozenset[str]
    """The names of its tensors, with the layers' numbers left out; empty where no file is at hand."""
    used_experts: int
    """0, 1, or 2 for more than one."""
    grouped_experts: bool

    def kinds(self, flash: bool, of: Form) -> tuple[str, ...]:
        """The kinds of layers as far as they make a difference with or without flash attention, and as far as they can
        be known of a model that has this form."""
        return _kinds(self.layers, (_PADDED,) * flash if of.tensors else (_PADDED, _KEYS_ONLY, _HASHED))


@lru_cache(maxsize=4096)
def _kinds(layers: tuple[str, ...], ignored: tuple[str, ...]) -> tuple[str, ...]:
    for suffix in ignored:
        layers = tuple(label.replace(suffix, "") for label in layers)
    return layers


def label_of(layer: Layer, has_experts: bool, special: str = "") -> str:
    """The kind of a layer, as far as the form of its graph goes; `special` is what only a file tells."""
    kind = _ALIKE.get(layer.kind, layer.kind)
    if layer.tokens_per_entry > 1:
        kind += f" {layer.tokens_per_entry}"
    return f"{kind}{' window' if layer.window_tokens else ''}{special}{' experts' if has_experts else ''}"


def _labels(layers: Sequence[Layer], tensors: Mapping[int, set[str]]) -> Iterator[str]:
    """The kinds of layers, whose tensors are given by the layer's number."""
    widest = max((layer.values for layer in layers), default=0)
    for number, layer in enumerate(layers):
        names = tensors.get(number, set())
        # A token's experts are looked up.
        special = _HASHED * ("ffn_gate_tid2eid.weight" in names)
        has_keys_only = "attn_k.weight" in names and "attn_v.weight" not in names
        special += _PADDED * (0 < layer.values < widest) + _KEYS_ONLY * has_keys_only
        yield label_of(layer, any("_exps" in name for name in names), special)


def answering(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Without the last layers that keep nothing: those that predict further tokens are not in the graph."""
    count = len(labels)
    while count > 1 and labels[count - 1].startswith("none"):
        count -= 1
    return labels[:count]


def form_of(facts: ModelFacts) -> Form:
    """The form of a model's graph."""
    names: set[str] = set()
    by_layer: dict[int, set[str]] = {}
    for tensor in facts.tensors:
        if tensor.name.startswith(_HEAD):
            continue
        if found := block_of(tensor.name):
            number, name = found
            by_layer.setdefault(number, set()).add(name)
            # `blk.17.attn_q.weight` is `.attn_q.weight` of any layer.
            names.add(f".{name}")
        else:
            names.add(tensor.name)
    tensors = frozenset(names)
    labels = tuple(_labels(facts.layers, by_layer))
    groups = facts.dimensions.get("expert_group_count", 0)
    if facts.dimensions.get("n_deepstack_layers"):
        # Pictures come in at several layers, whatever tensors there are.
        tensors |= {DEEPSTACK}
    if any(compress_ratios(facts)) and any(layer.index_keys for layer in facts.layers):
        # What attention chooses among stands for several tokens.
        tensors |= {POOLED}
    return Form(
        facts.architecture, answering(labels), tensors, min(facts.experts.used, 2) if facts.experts else 0,
        isinstance(groups, int) and groups > 1,
    )  # fmt: skip
