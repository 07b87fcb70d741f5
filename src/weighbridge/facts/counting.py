"""The sums over tensors: parameters by part, bytes by role and type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .model_facts import Experts, Parameters, Weights

# Roles whose weights are no part of the network that answers.
_APART = frozenset({"mtp", "copy", "buffer"})


class Entry(NamedTuple):
    """A tensor as it counts: what for, in which type, how many weights it stands for (None: not known), how many bytes
    it takes (None: not known)."""

    role: str
    type: str
    weights: int | None
    bytes: int | None


class Sums(NamedTuple):
    """What `ModelFacts` says of weights."""

    parameters: Parameters
    weights: tuple[Weights, ...]
    weights_bytes: int | None
    active_weights_bytes: int | None
    bits_per_weight: float | None
    commonest_type: str | None
    """The type that most of the bytes are in."""


def _active(count: int, role: str, experts: Experts | None) -> int:
    """A routed expert counts at used/total; what is apart counts nothing."""
    if role in _APART:
        return 0
    if role == "routed_experts" and experts:
        return count * experts.used // experts.total
    return count


def add_up(entries: Iterable[tuple[str, str, int | None, int | None]], experts: Experts | None, basis: str) -> Sums:
    """The sums over entries. A weight count that is not known makes the totals unknown, never wrong."""
    table: dict[tuple[str, str], list[int]] = {}
    is_known = sizes_known = True
    for role, kind, weights, size in entries:
        row = table.get((role, kind))
        if row is None:
            row = table[role, kind] = [0, 0]
        if weights is None:
            is_known = is_known and role == "buffer"
        else:
            row[0] += weights
        if size is None:
            sizes_known = False
        else:
            row[1] += size
    by_role: dict[str, int] = {}
    by_type: dict[str, int] = {}
    for (role, kind), (weights, size) in table.items():
        by_role[role] = by_role.get(role, 0) + weights
        if role != "buffer":
            by_type[kind] = by_type.get(kind, 0) + (size if sizes_known else weights)
    counted = bool(table) and is_known
    stored = sum(count for role, count in by_role.items() if role != "buffer")
    sized = bool(table) and sizes_known
    total_bytes = sum(size for _, size in table.values())
    # Without knowing how many experts a token uses, what is active is not known.
    is_active_known = experts is not None or not by_role.get("routed_experts")
    rows = tuple(
        Weights(role, kind, weights, size, _active(size, role, experts))
        for (role, kind), (weights, size) in sorted(table.items(), key=lambda item: (-item[1][1], item[0]))
    )
    return Sums(
        _parameters(by_role, stored, experts, basis) if counted else _unknown(basis),
        rows if sized else (),
        total_bytes if sized else None,
        sum(row.active_bytes for row in rows) if sized and is_active_known else None,
        round(total_bytes * 8 / stored, 4) if sized and counted and stored else None,
        max(by_type, key=lambda kind: by_type[kind]) if by_type else None,
    )


def _parameters(by_role: dict[str, int], stored: int, experts: Experts | None, basis: str) -> Parameters:
    answering = {role: count for role, count in by_role.items() if role not in _APART}
    return Parameters(
        total=sum(answering.values()),
        active=(
            sum(_active(count, role, experts) for role, count in answering.items())
            if experts or not answering.get("routed_experts")
            else None
        ),
        stored=stored,
        embedding=by_role.get("embedding", 0),
        per_layer_embedding=by_role.get("per_layer_embedding", 0),
        output=by_role.get("output", 0),
        routed_experts=by_role.get("routed_experts", 0),
        shared_experts=by_role.get("shared_experts", 0),
        vision=by_role.get("vision", 0),
        audio=by_role.get("audio", 0),
        mtp=by_role.get("mtp", 0),
        basis=basis,
    )


def _unknown(basis: str) -> Parameters:
    return Parameters(None, None, None, None, None, None, None, None, None, None, None, basis)
