"""`Touched`: what an engine touches of a model to compute tokens, by a file's facts or a catalogue's sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from weighbridge.facts import Layer, ModelFacts

from .rates import thread_seconds_a_byte

# Roles that a text token does not read: parts for pictures and sound, what lies beside the network, and embeddings, of
# which one row is looked up.
_NOT_READ = frozenset({"vision", "audio", "mtp", "copy", "buffer", "embedding", "per_layer_embedding"})


@dataclass(frozen=True, slots=True)
class Touched:
    """What an engine touches of a model to compute tokens; from a file's facts, or from a catalogue's entry."""

    weights: Mapping[str, float]
    """Bytes by ggml type that every step reads whole: all but routed experts, the output and looked-up embeddings."""
    output: Mapping[str, float]
    """Bytes by type of the matrix that makes scores, read once a step, for the rows that are asked for."""
    experts: Mapping[str, float]
    """Bytes by type of all routed experts of all layers."""
    layers: tuple[tuple[int, Layer], ...]
    """What layers keep of the tokens: (how many alike follow each other, the layer)."""
    parameters: float
    """Weights that one token is multiplied with, the output apart."""
    output_parameters: float
    heads: int | None
    head_length: int | None
    """Length of a head's key; with `heads`, what attention computes. None: as many heads as keys are kept for."""
    vocabulary: int
    width: int
    experts_total: int = 1
    experts_used: int = 1
    stored_bytes: float = 0.0
    """Of the whole file, which is what loading reads."""
    name: str = ""
    """What tells it from others, for what its own answers taught."""

    @property
    def block_count(self) -> int:
        """How many layers there are."""
        return sum(count for count, _ in self.layers)

    def active_bytes(self, tokens: float = 1) -> float:
        """Bytes of weights that one step of so many tokens reads, each once."""
        dense = sum(self.weights.values()) + sum(self.output.values())
        return dense + sum(self.experts.values()) * distinct_share(self.experts_total, self.experts_used, tokens)

    def thread_seconds(self) -> float:
        """Seconds that one thread would take for one token's weights, by `THREAD_NANOSECONDS`: what a processor of slow
        arithmetic is held back by."""
        routed = self.experts_used / self.experts_total
        total = 0.0
        for table, share in ((self.weights, 1.0), (self.output, 1.0), (self.experts, routed)):
            for name, size in table.items():
                total += share * size * thread_seconds_a_byte(name)
        return total

    def cache_bytes(self, depth_tokens: int, key_bytes: float = 2.0, value_bytes: float = 2.0) -> float:
        """Bytes that one token reads of its sequence's cache when that holds so many tokens."""
        return float(sum(n * layer.cache_bytes(depth_tokens, key_bytes, value_bytes) for n, layer in self.layers))

    def attention_values(self, layer: Layer) -> float:
        """Values that one token compares and mixes with for each earlier token it attends to: heads x (key + value).

        A latent (MLA) serves every head whole, so each head computes with the latent's length, twice.
        """
        if not self.heads:
            return float(layer.keys + layer.values)
        if layer.kind in ("latent", "sparse_index") and not layer.values:
            return 2.0 * self.heads * layer.keys
        if not layer.keys:
            return 0.0
        length = self.head_length or self.width / self.heads
        return self.heads * length * (1 + layer.values / layer.keys)

    @property
    def rows(self) -> float:
        """Rows of the matrices that one token is multiplied with, as if all were as long as the network is wide."""
        return self.parameters / self.width if self.width else 0.0

    def looks(self, depth_tokens: float) -> float:
        """How often heads look at earlier tokens for one token at that depth: heads x tokens attended to, summed."""
        return sum(
            n * (self.heads or 1) * min(depth_tokens, layer.window_tokens or depth_tokens)
            for n, layer in self.layers
            if layer.keys
        )

    def pieces(self, depth_tokens: float) -> float:
        """How many heads' keys and values are fetched for one token at that depth: kept heads x tokens attended to,
        summed. A latent is one for all heads."""
        length = self.head_length or (self.width / self.heads if self.heads else 0.0)
        return sum(
            n
            * (layer.keys / length if layer.values and length else 1.0)
            * min(depth_tokens, layer.window_tokens or depth_tokens)
            for n, layer in self.layers
            if layer.keys
        )

    def attended(self, depth_tokens: float) -> float:
        """Values of attention for one token at that depth, all layers together."""
        return sum(
            n * self.attention_values(layer) * min(depth_tokens, layer.window_tokens or depth_tokens)
            for n, layer in self.layers
        )

    def attended_by_prompt(self, tokens: float) -> float:
        """The same for all tokens of a prompt together: t^2 / 2, and past a window w: w^2 / 2 + (t - w) w."""
        total = 0.0
        for count, layer in self.layers:
            seen = min(tokens, layer.window_tokens or tokens)
            total += count * self.attention_values(layer) * (seen * seen / 2 + (tokens - seen) * seen)
        return total


def distinct_share(total: int, used: int, tokens: float) -> float:
    """The share of a layer's experts that so many tokens touch: 1 - (1 - k/E)^n; 0.0625 for 8 of 128 and one token."""
    return float(1.0 - (1.0 - used / total) ** tokens)


def _grouped(layers: Iterable[Layer]) -> tuple[tuple[int, Layer], ...]:
    """Runs of like layers. One that attends to another's keys reads them too: the last ones kept with its window."""
    kept: dict[bool, Layer] = {}
    runs: list[tuple[int, Layer]] = []
    for layer in layers:
        read = layer
        if layer.kind == "shared_kv":
            read = kept.get(layer.window_tokens is not None, layer)
        elif layer.keys:
            kept[layer.window_tokens is not None] = layer
        if runs and runs[-1][1] == read:
            runs[-1] = runs[-1][0] + 1, read
        else:
            runs.append((1, read))
    return tuple(runs)


def touched(facts: ModelFacts) -> Touched | None:
    """What a file's facts say of it; None where they do not tell bytes or layers."""
    if not facts.weights or not facts.layers:
        return None
    tied = not facts.parameters.output
    weights: dict[str, float] = {}
    output: dict[str, float] = {}
    experts: dict[str, float] = {}
    parameters = output_parameters = 0.0
    used, total = (facts.experts.used, facts.experts.total) if facts.experts else (1, 1)
    for row in facts.weights:
        if row.role == "output" or (row.role == "embedding" and tied):
            output[row.type] = output.get(row.type, 0.0) + row.bytes
            output_parameters += row.parameters
        elif row.role == "routed_experts":
            experts[row.type] = experts.get(row.type, 0.0) + row.bytes
            parameters += row.parameters * used / total
        elif row.role not in _NOT_READ:
            weights[row.type] = weights.get(row.type, 0.0) + row.bytes
            parameters += row.parameters
    length = facts.dimensions.get("attention.key_length")
    if isinstance(length, tuple):
        length = max(length, default=None)
    return Touched(
        weights=weights,
        output=output,
        experts=experts,
        layers=_grouped(facts.layers),
        parameters=parameters,
        output_parameters=output_parameters,
        heads=facts.head_count,
        head_length=length,
        vocabulary=facts.vocabulary_size or 0,
        width=facts.embedding_length or 0,
        experts_total=total,
        experts_used=used,
        stored_bytes=facts.weights_bytes or 0,
        name=f"{facts.name}, {facts.weights_bytes or 0} B",
    )


def touched_by_sums(
    *,
    active_bytes: float,
    output_bytes: float,
    expert_bytes: float,
    layers: Sequence[tuple[int, Layer]],
    active_parameters: float,
    output_parameters: float,
    heads: int | None,
    head_length: int | None,
    vocabulary: int,
    width: int,
    experts_total: int = 1,
    experts_used: int = 1,
    stored_bytes: float = 0.0,
    type_name: str = "Q4_K",
) -> Touched:
    """The same from sums, as a catalogue has them: bytes that one token makes an engine read, looked-up embeddings left
    out, with the output and the used share of `expert_bytes` (all routed experts) among them. The type is taken to be
    one for all."""
    routed = expert_bytes * experts_used / experts_total
    return Touched(
        weights={type_name: max(0.0, active_bytes - output_bytes - routed)},
        output={type_name: output_bytes},
        experts={type_name: expert_bytes} if expert_bytes else {},
        layers=_grouped(layer for count, layer in layers for _ in range(count)),
        parameters=active_parameters - output_parameters,
        output_parameters=output_parameters,
        heads=heads,
        head_length=head_length,
        vocabulary=vocabulary,
        width=width,
        experts_total=experts_total,
        experts_used=experts_used,
        stored_bytes=stored_bytes,
    )
