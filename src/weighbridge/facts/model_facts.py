"""`ModelFacts`: what is known of a model from its files, in the field's words. Unknown is None."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer keeps of the tokens it has seen, for one sequence.

    `kind` is `full`, `sliding_window`, `latent` (MLA) or `recurrent`; what it keeps follows from the numbers alone.
    """

    kind: str
    kv_bytes_per_token: int
    """Bytes of keys and values a token, both held as 16-bit floats; 0 for a recurrent layer."""
    state_bytes: int = 0
    """Bytes of fixed state a sequence."""
    window_tokens: int | None = None
    """How many of the last tokens it attends to; None: all."""

    def cache_bytes(self, context_tokens: int) -> int:
        """Bytes kept for one sequence of that length."""
        kept = min(context_tokens, self.window_tokens or context_tokens)
        return self.state_bytes + kept * self.kv_bytes_per_token


@dataclass(frozen=True, slots=True)
class Parameters:
    """Counts of weights, from tensor shapes; the parts are contained in `total`.

    `active` counts a routed expert tensor at used/total experts. A matrix that is stored twice counts twice.
    """

    total: int
    active: int
    embedding: int
    output: int
    routed_experts: int
    vision: int
    mtp: int
    basis: str = "read"


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture's experts a layer; `shared` is None where the file does not say."""

    total: int
    used: int
    shared: int | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as the header lists it: shape in GGUF's order, rows' length first."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    """From the beginning of the file."""
    bytes: int

    @property
    def elements(self) -> int:
        """How many weights it holds."""
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True, slots=True)
class Chat:
    """What the chat template can do, found by looking for the names it uses; None where there is no template."""

    template: bool
    tools: bool | None
    thinking: bool | None


@dataclass(frozen=True, slots=True)
class Card:
    """What the file says the model is for: requests that it was made to answer, and such as it was made to decline."""

    description: str | None = None
    tags: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    counter_examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Where the facts were read: kind `gguf`, the files, and how many bytes of them were looked at."""

    kind: str
    files: tuple[str, ...]
    bytes_read: int


@dataclass(frozen=True, slots=True)
class Modalities:
    """What goes in and what comes out: `text`, `image`, `audio`, `embedding`."""

    input: tuple[str, ...] = ("text",)
    output: tuple[str, ...] = ("text",)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model is. Sizes are bytes, lengths are tokens; a value that the files do not tell is None."""

    name: str
    architecture: str
    source: Source
    parameters: Parameters
    weights_bytes: int
    active_weights_bytes: int
    bits_per_weight: float
    quantization: str
    context_length: int | None
    embedding_length: int
    feed_forward_length: int
    head_count: int
    vocabulary_size: int
    experts: Experts | None
    expert_feed_forward_length: int | None
    layers: tuple[Layer, ...]
    modalities: Modalities
    tokenizer: str | None
    chat: Chat
    licence: str | None
    card: Card
    tensors: tuple[Tensor, ...]
    notes: tuple[str, ...] = ()
    """What was not understood, and what is assumed in its place."""

    def cache_bytes(self, context_tokens: int, parallel: int = 1) -> int:
        """Bytes of cache for `parallel` sequences of that length, keys and values as 16-bit floats."""
        return parallel * sum(layer.cache_bytes(context_tokens) for layer in self.layers)
