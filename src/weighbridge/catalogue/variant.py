"""`Family`, `Release`, `Variant`, `Repository`: what models there are, each value with its source and day.

A family (Qwen) has releases (Qwen3), a release has variants (Qwen3-8B: one set of weights), and a variant lies in
repositories (the maker's own, and others' quantizations of it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from weighbridge.facts import Experts, Layer, Modalities
from weighbridge.figures import Basis

from .quantizations import Network, Quantization

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """A value, how it was come by, from where, and from which day the source is (a day, or a month)."""

    value: T
    basis: Basis
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class RoleWeights:
    """How many weights serve one role, and how many of them one token uses."""

    role: str
    parameters: int
    active_parameters: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What a planner needs of a network: lengths, layers, weights by role, and bytes at each quantization.

    It follows from a config.json by the rules of `facts`; `basis` and `source` say where the config is from, and
    against what its count of weights was checked.
    """

    architecture: str
    """As configs call it (`qwen3_moe`)."""
    layers: tuple[tuple[int, Layer], ...]
    """What layers keep of the tokens, in order: (how many alike follow each other, the layer)."""
    embedding_length: int | None
    feed_forward_length: int | None
    head_count: int | None
    head_count_kv: int | None
    """Of the first layer that attends; None where it is not told, or where a latent stands for all heads."""
    key_length: int | None
    value_length: int | None
    vocabulary_size: int | None
    tied_embeddings: bool
    """Whether the embedding makes the scores too."""
    stores_output: bool
    """Whether the maker's files hold the output matrix though it is the embedding: then a GGUF file made from them
    holds it twice. One made from a copy that was saved anew does not, and takes `output_bytes` less."""
    experts: Experts | None
    expert_feed_forward_length: int | None
    parameters: int
    """All weights of the network that answers (`facts.Parameters.total`)."""
    active_parameters: int | None
    weights: tuple[RoleWeights, ...]
    basis: Basis
    source: str
    date: str
    network: Network | None
    """What llama.cpp's quantizer asks; None where no GGUF file of the family is known here well enough."""
    quantizations: Mapping[str, Quantization]
    """Bytes of a GGUF file's tensors, by recipe: `Q4_K_M`. `IQ4_XS+matrix` is the same made with an importance matrix,
    where that makes a difference. Empty where `network` is None."""

    @property
    def is_sparse(self) -> bool:
        """Whether a token uses some of the experts alone."""
        return self.experts is not None and bool(self.experts.total)

    @property
    def block_count(self) -> int:
        """How many layers answer."""
        return sum(count for count, _ in self.layers)

    @property
    def flat_layers(self) -> tuple[Layer, ...]:
        """One entry a layer."""
        return tuple(layer for count, layer in self.layers for _ in range(count))

    def cache_bytes(self, context_tokens: int, parallel: int = 1) -> int:
        """Bytes of cache for `parallel` sequences of that length, keys and values as 16-bit floats."""
        return parallel * sum(count * layer.cache_bytes(context_tokens) for count, layer in self.layers)


@dataclass(frozen=True, slots=True)
class Tag:
    """What a model is for (`chat`, `code`, `reasoning`, `tools`, `vision`, `audio`, `embedding`, `reranking`), and who
    says so."""

    name: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A measured quality: whose measurement, of what, on how many samples, and when."""

    benchmark: str
    value: float
    unit: str
    samples: int | None
    by: str
    """Who measured."""
    basis: Basis
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A place that holds a variant's files: `org/name` on the hub."""

    name: str
    format: str
    """`safetensors`, `gguf` or `mlx`."""
    quantizations: tuple[str, ...]
    """As the repository calls them; empty where it holds the weights as published, or where it is not known."""
    downloads: int | None
    """Of the last thirty days before `date`."""
    likes: int | None
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Variant:
    """One set of weights. What is None is not known: a model without a `shape` gets no exact figure."""

    name: str
    family: str
    release: str
    maker: str
    repository: str
    """The maker's own."""
    parameters: Known[int] | None
    active_parameters: Known[int] | None
    shape: Shape | None
    context_length: Known[int] | None
    modalities: Known[Modalities] | None
    licence: Known[str] | None
    """An SPDX identifier where there is one, else the name that the hub's tag gives."""
    released: Known[str] | None
    """The day on which its repository was made, or that a catalogue tells."""
    downloads: Known[int] | None
    likes: Known[int] | None
    tags: tuple[Tag, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    repositories: tuple[Repository, ...] = ()
    notes: tuple[str, ...] = ()
    """Where sources contradict each other."""

    def has(self, tag: str) -> bool:
        """Whether some source states this tag."""
        return any(entry.name == tag for entry in self.tags)


@dataclass(frozen=True, slots=True)
class Release:
    """Variants that came out together."""

    name: str
    family: str
    variants: tuple[Variant, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Family:
    """Releases of one lineage."""

    name: str
    maker: str
    releases: tuple[Release, ...] = field(repr=False)
