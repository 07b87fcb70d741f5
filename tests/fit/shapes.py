"""Shapes that models of an architecture might have: a case of `FAMILIES` in sizes of real models, drawn at random.

What is special in a case stays as it is: which layers are of which kind, which keys and tensors there are, and how its
numbers hang together where the engine insists on it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from tests.facts.gguf_families import Family, Keys, Shapes

_CONTEXT = 1 << 18
_LARGEST_EMBEDDING = 8192
_TRIES = 200
_EMBEDDINGS = (512, 768, 1024, 1536, 2048, 2560, 2880, 3072, 3584, 4096, 5120, 6144, 7168, _LARGEST_EMBEDDING)
_HEAD_COUNTS = (8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128)
_HEAD_LENGTHS = (64, 80, 96, 112, 128, 160, 192, 256)
_SHARINGS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16)
_FEED_FORWARDS = (
    512, 1024, 1536, 2048, 3072, 4864, 6144, 8192, 9728, 11008, 12288, 14336, 18944, 25600, 28672,
)  # fmt: skip
_RANKS = (32, 64, 96, 128)
# Keys whose numbers hang together with no others.
_ALONE = {
    "attention.q_lora_rank": (256, 512, 768, 1024, 1536, 2048),
    "attention.output_lora_rank": (256, 512, 1024),
    "attention.sliding_window": (128, 512, 1024, 2048, 4096),
    "attention.indexer.head_count": (4, 8, 16, 32, 64),
    "attention.indexer.top_k": (512, 1024, 2048),
    "attention.indexer.kpool": (2, 4, 8),
    "expert_feed_forward_length": (256, 512, 768, 1024, 1408, 1536, 2048, 2880, 4096, 8192),
    "expert_shared_feed_forward_length": (512, 1024, 2048, 4096, 8192),
    "expert_chunk_feed_forward_length": (128, 256),
    "expert_latent_length": (512, 1024, 2048),
    "kda.head_dim": (64, 128),
    "embedding_length_per_layer_input": (128, 256, 512),
    "hyper_connection.low_rank": (16, 32, 64),
    "shortconv.l_cache": (3, 4),
    "time_mix_extra_dim": _RANKS,
    "time_decay_extra_dim": _RANKS,
    "attention.decay_lora_rank": _RANKS,
    "attention.iclr_lora_rank": _RANKS,
    "attention.value_residual_mix_lora_rank": _RANKS,
    "attention.gate_lora_rank": _RANKS,
}  # fmt: skip


def vary(family: Family, chance: random.Random, *, used_experts: int | None = None) -> Family:
    """This case in a random shape; `used_experts` is how many experts a token gets, otherwise random too.

    One used expert stays one, and several stay several: the graph differs. So it does by which layers have shorter
    values than others.
    """
    for _ in range(_TRIES):
        shaped = _varied(family, chance, used_experts)
        if shorter(shaped.keys) == shorter(family.keys):
            return shaped
    raise AssertionError(f"no shape of {family.architecture} has values like these")


def shorter(keys: Keys) -> list[bool]:
    """For each layer whether its values are shorter than the longest ones."""
    count, heads = keys["block_count"], keys.get("attention.head_count_kv")
    windows = keys.get("attention.sliding_window_pattern")
    length = keys.get("attention.value_length", 1)
    in_window = keys.get("attention.value_length_swa", length)
    kv_heads = heads if isinstance(heads, list) else [heads or 1] * count
    pattern = windows if isinstance(windows, list) else [False] * count
    values = [
        number * (in_window if has_window else length) for number, has_window in zip(kv_heads, pattern, strict=False)
    ]
    return [0 < each < max(values) for each in values]


def _varied(family: Family, chance: random.Random, used_experts: int | None) -> Family:
    keys = dict(family.keys)
    head_length = _vary_heads(keys, chance)
    keys["embedding_length"] = chance.choice(_EMBEDDINGS)
    if not _vary_lengths(keys, chance, head_length) and keys.get("attention.head_count"):
        # The engine divides the embedding among the heads.
        keys["embedding_length"] = head_length * _most(keys["attention.head_count"])
    if "wkv.head_size" in keys:
        keys["wkv.head_size"] = 64
        keys["embedding_length"] = chance.choice((512, 1024, 2048, 2560, 4096))
    _vary_feed_forward(keys, chance)
    _vary_experts(keys, chance, used_experts)
    keys |= {key: chance.choice(numbers) for key, numbers in _ALONE.items() if keys.get(key)}
    _vary_choosing(keys, chance)
    _vary_state_space(keys, chance, family)
    if "dense_2_feat_out" in keys:
        # Two further layers: the embedding becomes longer, and as long as before.
        embedding, inner = keys["embedding_length"], 4 * keys["embedding_length"]
        keys |= {"dense_2_feat_in": embedding, "dense_2_feat_out": inner}
        keys |= {"dense_3_feat_in": inner, "dense_3_feat_out": embedding}
    if family.architecture == "smallthinker":
        # The engine takes its window to be this, whatever a file says.
        keys["attention.sliding_window"] = 4096
    keys["context_length"] = _CONTEXT
    return Family(family.architecture, keys, told(family, keys))


def _vary_heads(keys: Keys, chance: random.Random) -> int:
    """New numbers of heads, for queries and for keys; the result is a length of one that goes with them."""
    before, kv_before = keys.get("attention.head_count"), keys.get("attention.head_count_kv")
    is_latent = "attention.kv_lora_rank" in keys
    counts = (16, 24, 32, 40, 64, 128) if is_latent and "kda.head_dim" not in keys else _HEAD_COUNTS
    heads = chance.choice(counts)
    if isinstance(before, list):
        # Several numbers of heads keep their proportions.
        factor = max(1, heads // max(before))
        keys["attention.head_count"] = [count * factor for count in before]
        if isinstance(kv_before, list):
            keys["attention.head_count_kv"] = [count * factor for count in kv_before]
        elif kv_before:
            shared = math.gcd(*keys["attention.head_count"])
            keys["attention.head_count_kv"] = chance.choice(_divisors(shared, (1, 2, 4, 8, shared)))
        heads = max(keys["attention.head_count"])
    elif before and "attention.key_length_mla" in keys:
        # One latent vector serves all heads.
        keys["attention.head_count"] = heads
    elif before == 0 and kv_before:
        # RWKV's heads have their own length; keys are repeated for several of them.
        keys["attention.head_count_kv"] = chance.choice((2, 4))
    elif before:
        keys["attention.head_count"] = heads
        kv_heads = heads // chance.choice(_divisors(heads, _SHARINGS))
        if isinstance(kv_before, list):
            keys["attention.head_count_kv"] = _scaled_kv_heads(kv_before, kv_heads, heads)
        elif kv_before == before:
            keys["attention.head_count_kv"] = heads
        elif kv_before and kv_before != 1:
            keys["attention.head_count_kv"] = kv_heads
    return chance.choice([length for length in _HEAD_LENGTHS if heads * length <= _LARGEST_EMBEDDING])


def _scaled_kv_heads(before: list[int], kv_heads: int, heads: int) -> list[int]:
    """One number a layer, in the proportions that there were, all of them divisors of `heads`."""
    scaled = [count * max(1, kv_heads // max(before)) for count in before]
    if any(heads % count for count in scaled if count):
        scaled = [count and (kv_heads if count == max(before) else max(1, kv_heads // 2)) for count in before]
    if any(heads % count for count in scaled if count):
        scaled = [min(count, 1) for count in before]
    return scaled


def _vary_lengths(keys: Keys, chance: random.Random, head_length: int) -> bool:
    """New lengths of heads; false where the keys have none, so that the embedding follows from `head_length`."""
    rotary = chance.choice((32, 64))
    lengths = {}
    has_lengths = True
    if "attention.key_length_mla" in keys:
        rotary = rotary if keys.get("rope.dimension_count", 1) else 0
        latent = chance.choice((128, 192, 256, 384, 512))
        lengths = {
            "attention.kv_lora_rank": latent,
            "attention.key_length": latent + rotary,
            "attention.value_length": latent,
            "attention.key_length_mla": chance.choice((64, 96, 128, 192)) + rotary,
            "attention.value_length_mla": chance.choice((64, 128, 192, 256)),
            "rope.dimension_count": rotary,
        }
        latent = chance.choice((128, 256, 384))
        lengths |= {
            "attention.kv_lora_rank_swa": latent,
            "attention.key_length_swa": latent + rotary,
            "attention.value_length_swa": latent,
            "attention.key_length_mla_swa": chance.choice((64, 96)) + rotary,
            "attention.value_length_mla_swa": chance.choice((64, 128)),
        }
    elif "attention.kv_lora_rank" in keys:
        lengths = {
            "attention.kv_lora_rank": chance.choice((128, 256, 512)),
            "attention.key_length": chance.choice((64, 128)) + rotary,
            "attention.value_length": chance.choice((64, 128)),
            "rope.dimension_count": rotary,
        }
    elif "attention.key_length" in keys:
        is_same = keys["attention.key_length"] == keys["attention.value_length"]
        beside_window = chance.choice((64, 96, 128, 256))
        lengths = {
            "attention.key_length": head_length,
            "attention.value_length": head_length if is_same else chance.choice((64, 128, 192)),
            "attention.key_length_swa": beside_window,
            "attention.value_length_swa": beside_window,
            "rope.dimension_count": chance.choice((32, 64, head_length // 2)),
        }
    else:
        has_lengths = False
        if "rope.dimension_count" in keys:
            lengths["rope.dimension_count"] = chance.choice((32, 64, head_length // 2))
    if "rope.dimension_sections" in keys:
        lengths["rope.dimension_sections"] = [head_length // 8] * 3 + [0]
    keys |= {key: length for key, length in lengths.items() if key in keys}
    if "rope.dimension_count_swa" in keys:
        keys["rope.dimension_count_swa"] = keys["rope.dimension_count"]
    return has_lengths


def _vary_feed_forward(keys: Keys, chance: random.Random) -> None:
    before, length = keys.get("feed_forward_length"), chance.choice(_FEED_FORWARDS)
    if isinstance(before, list):
        keys["feed_forward_length"] = [count * length // max(before) // 16 * 16 for count in before]
    elif before:
        keys["feed_forward_length"] = length


def _vary_experts(keys: Keys, chance: random.Random, used: int | None) -> None:
    if not keys.get("expert_count"):
        return
    numbers = (1,) if keys["expert_used_count"] == 1 else (2, 4, 6, 8, 10, 12)
    used = used or chance.choice(numbers)
    # Where only some groups of experts are asked, all of the chosen ones are in those; groups may be chosen too.
    share = keys.get("expert_group_used_count", 1) / keys.get("expert_group_count", 1)
    share /= keys.get("experts_per_group", 1)
    counts = (8, 16, 32, 64, 128, 256, 512)
    keys["expert_count"] = chance.choice([count for count in counts if share * count >= used])
    keys["expert_used_count"] = used


def _vary_choosing(keys: Keys, chance: random.Random) -> None:
    """Numbers that the engine insists on where attention is to chosen tokens or blocks, or put out by groups."""
    if keys.get("attention.indexer.key_length"):
        # A rotation in powers of two, and a rotary part that leaves something over.
        rotary = keys.get("rope.dimension_count", 0)
        lengths = [length for length in (64, 128, 256) if length > rotary]
        if "attention.compress_ratios" in keys and keys["attention.key_length"] in lengths:
            # DeepSeek-V4 goes down where both are as long.
            lengths.remove(keys["attention.key_length"])
        if not lengths:
            keys["rope.dimension_count"], lengths = 64, [128]
        keys["attention.indexer.key_length"] = chance.choice(lengths)
    if "attention.indexer.block_size" in keys:
        keys["attention.indexer.head_count"] = keys["attention.head_count_kv"]
        keys["attention.indexer.top_k"] = chance.choice((8, 16, 32))
        keys["attention.indexer.block_size"] = chance.choice((64, 128))
    if "attention.output_group_count" in keys:
        keys["attention.output_group_count"] = chance.choice(_divisors(keys["attention.head_count"], (2, 4, 8, 16)))


def _vary_state_space(keys: Keys, chance: random.Random, family: Family) -> None:
    """New numbers for Mamba's layers and for gated delta nets, which share its keys."""
    if "ssm.inner_size" not in keys:
        return
    before = family.keys
    state = chance.choice((16, 64, 128, 256))
    head = chance.choice((32, 64, 128))
    if before["ssm.inner_size"] == 2 * before["embedding_length"]:
        inner = 2 * keys["embedding_length"]
        # Mamba's first version has no heads, but a rank of the embedding's sixteenth.
        heads = inner // head if before.get("ssm.group_count") is not None else inner // 32
    else:
        heads = chance.choice((16, 32, 48, 64, 80, 128))
        if family.architecture.startswith("qwen"):
            # Delta nets: a state is as wide as a head is long.
            head = state
        inner = heads * head
    keys |= {"ssm.state_size": state, "ssm.time_step_rank": heads, "ssm.inner_size": inner}
    if before.get("ssm.group_count"):
        keys["ssm.group_count"] = chance.choice(_divisors(heads, (1, 2, 4, 8, 16)))


def told(family: Family, keys: Keys) -> Shapes:
    """The further tensors in the new shape, where the engine takes a width from them."""
    told = {}
    for name, shape in family.also.items():
        if len(shape) == 2:
            layer = int(name.split(".")[1])
            places = [place for place, width in _widths(family.keys, layer).items() if width == shape[1]]
            told[name] = [keys["embedding_length"], _widths(keys, layer)[places[0]]]
    return {**family.also, **told}


def _widths(keys: Keys, layer: int) -> dict[str, int]:
    heads, feed_forward = _of(keys["attention.head_count"], layer), _of(keys["feed_forward_length"], layer)
    values = keys.get("attention.key_length") or keys["embedding_length"] // heads
    return {"heads": heads, "values": heads * values, "feed-forward": feed_forward, "gated": 2 * feed_forward}


def _divisors(number: int, choices: Sequence[int]) -> list[int]:
    return [choice for choice in choices if number % choice == 0]


def _most(number: Any) -> int:
    return max(number) if isinstance(number, list) else number


def _of(number: Any, layer: int) -> int:
    return number[layer] if isinstance(number, list) else number
