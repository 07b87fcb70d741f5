"""From a config, or from facts that were read, to a `Shape`: what a planner needs without any file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from weighbridge.facts import Layer, ModelFacts, architectures, read
from weighbridge.facts.config import Config
from weighbridge.facts.roles import role_of
from weighbridge.figures import Basis

from .gguf_tensors import Stored, tensors_of
from .quantizations import NEEDS_MATRIX, RECIPES, GGUFTensor, Network, Quantization, quantize
from .variant import RoleWeights, Shape

# Recipes whose rules differ with an importance matrix at hand; the others are the same, or cannot be made without.
WITH_MATRIX = ("IQ4_XS", "IQ4_NL", "Q4_0", "Q5_0")
_ATTENDS = frozenset({"full", "grouped_query", "sliding_window", "chunked", "sparse_index"})
_LATENT = "kv_a_proj_with_mqa"


def facts_of_config(config: Mapping[str, Any], name: str) -> ModelFacts:
    """The facts that a config tells, with weights counted as 16-bit whatever they are stored in."""
    plain = {key: value for key, value in config.items() if key not in ("quantization_config", "compression_config")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name.rpartition("/")[2] or "model", "config.json")
        path.parent.mkdir()
        path.write_text(json.dumps(plain | {"torch_dtype": "bfloat16", "dtype": "bfloat16"}), encoding="utf-8")
        return read(path)


def parts_of_config(config: Mapping[str, Any], name: str) -> list[Stored]:
    """Every tensor that a config implies; none where its family's tensors are not known here."""
    whole = Config(dict(config), name)
    family = architectures.find(whole.text("model_type"))
    listing = getattr(family, "parts", None)
    if listing is None:
        return []
    complete = getattr(family, "complete", None)
    completed = complete(whole) if complete else whole
    return [Stored(part.name, part.shape, part.copies) for part in listing(completed)]


def parts_of_facts(facts: ModelFacts) -> list[Stored]:
    """The tensors that safetensors headers list, with a layer's experts taken together."""
    found: dict[tuple[str, tuple[int, ...]], int] = {}
    for tensor in facts.tensors:
        before, experts, after = tensor.name.partition(".experts.")
        number, _, rest = after.partition(".")
        name = f"{before}{experts}*.{rest}" if experts and number.isdecimal() else tensor.name
        found[name, tensor.shape] = found.get((name, tensor.shape), 0) + 1
    return [Stored(name, shape, copies) for (name, shape), copies in found.items()]


def shape_of(
    facts: ModelFacts,
    parts: Iterable[Stored],
    *,
    source: str,
    date: str,
    basis: Basis,
    stores_output: bool = False,
    unused: Iterable[Stored] = (),
) -> Shape | None:
    """The shape; None where the weights cannot be counted or the layers are not known.

    `stores_output`: the files hold the output matrix though it is the embedding, so a GGUF file holds both. `unused`:
    tensors that the files hold, and a GGUF file too, though no token uses them.
    """
    counted = facts.parameters
    if counted.total is None or not facts.layers:
        return None
    listed = list(parts)
    network, tensors = _as_gguf(facts, [*listed, *unused], stores_output=stores_output)
    key_length, value_length, kv_heads = _heads(facts, listed)
    return Shape(
        architecture=facts.architecture,
        layers=run_length(facts.layers),
        embedding_length=facts.embedding_length,
        feed_forward_length=facts.feed_forward_length,
        head_count=facts.head_count,
        head_count_kv=kv_heads,
        key_length=key_length,
        value_length=value_length,
        vocabulary_size=facts.vocabulary_size,
        tied_embeddings=not counted.output,
        stores_output=stores_output,
        experts=facts.experts,
        expert_feed_forward_length=facts.expert_feed_forward_length,
        parameters=counted.total,
        active_parameters=counted.active,
        weights=_roles(listed, facts),
        basis=basis,
        source=source,
        date=date,
        network=network,
        quantizations=all_quantizations(tensors, network) if network else {},
    )


def run_length(layers: Iterable[Layer]) -> tuple[tuple[int, Layer], ...]:
    """Equal neighbours taken together."""
    return tuple((len(list(same)), layer) for layer, same in groupby(layers))


def all_quantizations(tensors: tuple[GGUFTensor, ...], network: Network) -> dict[str, Quantization]:
    """The bytes at each recipe; equal networks are reckoned once."""
    return dict(_all_quantizations(tensors, network))


@lru_cache(maxsize=512)
def _all_quantizations(tensors: tuple[GGUFTensor, ...], network: Network) -> dict[str, Quantization]:
    found = {recipe: quantize(tensors, network, recipe) for recipe in RECIPES}
    for recipe in WITH_MATRIX:
        assert recipe not in NEEDS_MATRIX
        with_matrix = quantize(tensors, network, recipe, matrix=True)
        if with_matrix != found[recipe]:
            found[f"{recipe}+matrix"] = with_matrix._replace(recipe=f"{recipe}+matrix")
    return found


def _as_gguf(
    facts: ModelFacts, parts: list[Stored], *, stores_output: bool
) -> tuple[Network | None, tuple[GGUFTensor, ...]]:
    found = tensors_of(facts.architecture, parts, facts.head_count or 0, len(facts.layers), facts.experts)
    if found is None:
        return None, ()
    tensors, network = found
    if stores_output and all(tensor.name != "output.weight" for tensor in tensors):
        embedding = next(tensor for tensor in tensors if tensor.name == "token_embd.weight")
        tensors = (*tensors, embedding._replace(name="output.weight"))
    return network, tensors


def _roles(parts: list[Stored], facts: ModelFacts) -> tuple[RoleWeights, ...]:
    """Weights by role; what is no part of the network that answers is left out."""
    sums: dict[str, int] = {}
    for part in parts:
        role = role_of(part.name.replace("*", "0"), len(facts.layers))
        count = part.copies
        for length in part.shape:
            count *= length
        sums[role] = sums.get(role, 0) + count
    experts = facts.experts
    return tuple(
        RoleWeights(
            role, count, count * experts.used // experts.total if experts and role == "routed_experts" else count
        )
        for role, count in sorted(sums.items())
        if role not in ("mtp", "copy", "buffer") and not (role == "output" and not facts.parameters.output)
    )


def _heads(facts: ModelFacts, parts: list[Stored]) -> tuple[int | None, int | None, int | None]:
    """Lengths of a key and a value of one head, and how many heads have their own; None where a latent serves all."""
    layer = next((each for each in facts.layers if each.kind in _ATTENDS and each.keys), None)
    if layer is None or not facts.head_count or any(_LATENT in part.name for part in parts):
        return None, None, None
    outputs = next((part.shape for part in parts if part.name.endswith(_OUTPUTS)), None)
    if outputs is None:
        return None, None, None
    value_length = max(1, max(outputs) if outputs[0] != facts.embedding_length else outputs[1]) // facts.head_count
    if not value_length or layer.values % value_length:
        return None, None, None
    kv_heads = layer.values // value_length
    return layer.keys // kv_heads if kv_heads else None, value_length, kv_heads


_OUTPUTS = tuple(
    f"{name}.weight"
    for name in ("self_attn.o_proj", "self_attn.out_proj", "self_attn.dense", "mixer.o_proj", "attention.wo",
                 "attention.dense", "self_attention.dense", "norm_attn_norm.attn.out_proj", "attn.c_proj")
)  # fmt: skip
