"""`ModelFacts`: what is known of a model from its files, in the field's words. Unknown is None."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

_F16_BYTES, _F32_BYTES = 2, 4


class Tensor(NamedTuple):
    """One tensor as a header lists it: shape as that format writes it (GGUF: rows' length first)."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    """From the beginning of its file."""
    bytes: int
    file: int = 0
    """Which of `Source.files` holds it."""

    @property
    def elements(self) -> int:
        """How many values it holds, as stored: several weights may be packed in one."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer keeps of the tokens it has seen, for one sequence.

    `kind` names the mechanism: `full` (a key and a value for each head), `grouped_query`, `sliding_window`, `chunked`,
    `latent` (MLA), `sparse_index` (latent or grouped, with an indexer's keys beside), `compressed` (an entry for
    several tokens, with a window of whole ones), `shared_kv` (another layer's), `recurrent` (a fixed state),
    `none`. What is kept follows from the numbers alone.
    """

    kind: str
    keys: int = 0
    """Values kept a token as keys, all heads together; a latent vector counts here, once."""
    values: int = 0
    """Values kept a token as values."""
    index_keys: int = 0
    """Values kept a token for a sparse indexer."""
    window_tokens: int | None = None
    """How many of the last tokens it attends to; None: all."""
    convolution_state: int = 0
    """Values of a short convolution's memory, a sequence."""
    recurrent_state: int = 0
    """Values of a recurrent state, a sequence."""
    tokens_per_entry: int = 1
    """Over 1: beside the window, one entry is kept for so many tokens."""
    kv_bytes_per_token: int = field(init=False)
    """Bytes that one more token adds, 16-bit values, rounded up; up to the window where there is one."""
    state_bytes: int = field(init=False)
    """Bytes of fixed state a sequence, 32-bit values."""

    def __post_init__(self) -> None:
        """Sum up."""
        entry = _F16_BYTES * (self.keys + self.values + self.index_keys)
        object.__setattr__(self, "kv_bytes_per_token", -(-entry // self.tokens_per_entry))
        object.__setattr__(self, "state_bytes", _F32_BYTES * (self.convolution_state + self.recurrent_state))

    def cache_bytes(
        self,
        context_tokens: int,
        key_bytes: float = _F16_BYTES,
        value_bytes: float = _F16_BYTES,
        index_bytes: float = _F16_BYTES,
    ) -> int:
        """Bytes kept for one sequence of that length, with so many bytes a value kept: 34/32 for q8_0, say."""
        kept = min(context_tokens, self.window_tokens or context_tokens)
        whole = self.keys * key_bytes + self.values * value_bytes
        index = self.index_keys * index_bytes
        if self.tokens_per_entry > 1:
            entries = context_tokens // self.tokens_per_entry
            return self.state_bytes + round(kept * whole + entries * (whole + index))
        return self.state_bytes + round(kept * (whole + index))


@dataclass(frozen=True, slots=True)
class Parameters:
    """Counts of weights. The parts but `mtp` are contained in `total`, so that any convention can be recomputed.

    `total` is the network that answers: without multi-token-prediction heads (`mtp`, beside it) and without second
    copies of one matrix. `active` counts a routed expert tensor at used/total experts, all else whole; minus
    `embedding` it is what most makers publish. `stored` is all that the files hold: total + mtp + copies. None: cannot
    be known from what is at hand.
    """

    total: int | None
    active: int | None
    stored: int | None
    embedding: int | None
    per_layer_embedding: int | None
    output: int | None
    routed_experts: int | None
    shared_experts: int | None
    vision: int | None
    audio: int | None
    mtp: int | None
    basis: str = "read"
    """`read`: summed over tensor shapes in the files; `computed`: from the shapes that a config implies."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of one role in one type: `active_bytes` are those that one token makes an engine read."""

    role: str
    type: str
    parameters: int
    bytes: int
    active_bytes: int


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture's experts a layer; `shared` is None where the files do not say."""

    total: int
    used: int
    shared: int | None


@dataclass(frozen=True, slots=True)
class Context:
    """Lengths in tokens: `native` was trained on, `extended` is what scaled positions reach, `served` is what the
    files ask an engine to serve (an Ollama parameter, a tokenizer's limit). `scaling` names the method."""

    native: int | None = None
    extended: int | None = None
    served: int | None = None
    scaling: str | None = None
    factor: float | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """What the chat template can do, found by reading it; None where there is no template."""

    template: bool
    tools: bool | None
    thinking: bool | None
    """It marks reasoning as such, or can ask for it."""
    thinking_switch: str | None = None
    """The variable that turns reasoning on and off, or sets its effort."""
    system_role: bool | None = None
    """Whether a system message is taken; False: refused."""


@dataclass(frozen=True, slots=True)
class LicenceStatement:
    """One place in the files that speaks of a licence: what it says, and of what (`weights`, `code`, `use`)."""

    covers: str
    text: str
    file: str
    place: str


@dataclass(frozen=True, slots=True)
class Card:
    """What the file says the model is for: requests that it was made to answer, and such as it was made to decline."""

    description: str | None = None
    tags: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    counter_examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where the facts were read.

    `kind` is the format: `gguf`, `safetensors`, `config` or `diffusers`; `place` is `file`, `folder`, `hf_cache`,
    `ollama`, `hub` or `url`.
    """

    kind: str
    files: tuple[str, ...]
    bytes_read: int
    """How many bytes of the files were looked at."""
    place: str = "file"
    bytes_transferred: int = 0
    """How many of them came over the network."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value was found: the file, the key or the sum, and the bytes that hold it."""

    file: str
    at: str
    first_byte: int | None = None
    end_byte: int | None = None


@dataclass(frozen=True, slots=True)
class Modalities:
    """What goes in and what comes out: `text`, `image`, `audio`, `video`, `embedding`, or `score`: how well a document
    answers a query."""

    input: tuple[str, ...] = ("text",)
    output: tuple[str, ...] = ("text",)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model is. Sizes are bytes, lengths are tokens; a value that the files do not tell is None."""

    name: str
    architecture: str
    source: Source
    parameters: Parameters
    weights: tuple[Weights, ...]
    weights_bytes: int | None
    active_weights_bytes: int | None
    bits_per_weight: float | None
    quantization: str | None
    context_length: int | None
    """The longest context that the files state."""
    context: Context
    embedding_length: int | None
    feed_forward_length: int | None
    head_count: int | None
    vocabulary_size: int | None
    experts: Experts | None
    expert_feed_forward_length: int | None
    layers: tuple[Layer, ...]
    modalities: Modalities
    tokenizer: str | None
    chat: Chat
    licence: str | None
    licences: tuple[LicenceStatement, ...]
    card: Card
    tensors: tuple[Tensor, ...]
    dimensions: dict[str, int | tuple[int, ...]] = field(default_factory=dict)
    """The lengths and counts of the network by GGUF's names, one number or one a layer: `attention.key_length`."""
    components: tuple[ModelFacts, ...] = ()
    """The parts of a pipeline of several networks (diffusers): each with facts of its own."""
    origins: dict[str, Origin] = field(default_factory=dict)
    """Where each value was found, by its name here: `context_length`, `experts.total`."""
    notes: tuple[str, ...] = ()
    """What was not understood, and what is assumed in its place."""

    def cache_bytes(self, context_tokens: int, parallel: int = 1) -> int:
        """Bytes of cache for `parallel` sequences of that length, keys and values as 16-bit floats."""
        return parallel * sum(layer.cache_bytes(context_tokens) for layer in self.layers)
