"""`Part`: equal tensors that a config implies, named as the published checkpoints name them.

A family's file in `architectures/` lists its parts with the blocks below; they are the shapes that recur. All names
and shapes are in the order of PyTorch: a linear layer's weight is (out, in).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Part(NamedTuple):
    """A tensor, or `copies` of it that differ in one number of their names, written `*` (experts)."""

    name: str
    shape: tuple[int, ...]
    copies: int = 1

    @property
    def elements(self) -> int:
        """How many weights these are."""
        count = self.copies
        for length in self.shape:
            count *= length
        return count


def linear(name: str, inputs: int, outputs: int, *, bias: bool = False, copies: int = 1) -> Iterator[Part]:
    """A matrix, and a bias where there is one."""
    yield Part(f"{name}.weight", (outputs, inputs), copies)
    if bias:
        yield Part(f"{name}.bias", (outputs,), copies)


def norm(name: str, width: int, *, bias: bool = False) -> Iterator[Part]:
    """A scale for each value, and a shift where it is a layer norm."""
    yield Part(f"{name}.weight", (width,))
    if bias:
        yield Part(f"{name}.bias", (width,))


def gated(name: str, width: int, inner: int, *, bias: bool = False, copies: int = 1) -> Iterator[Part]:
    """A gated feed-forward network: gate, up and down (SwiGLU and its kin)."""
    yield from linear(f"{name}.gate_proj", width, inner, bias=bias, copies=copies)
    yield from linear(f"{name}.up_proj", width, inner, bias=bias, copies=copies)
    yield from linear(f"{name}.down_proj", inner, width, bias=bias, copies=copies)


def plain(
    name: str, width: int, inner: int, up: str = "up_proj", down: str = "down_proj", *, bias: bool = False,
    copies: int = 1,
) -> Iterator[Part]:  # fmt: skip
    """A feed-forward network without a gate: up and down."""
    yield from linear(f"{name}.{up}", width, inner, bias=bias, copies=copies)
    yield from linear(f"{name}.{down}", inner, width, bias=bias, copies=copies)


def fused_experts(name: str, width: int, inner: int, experts: int) -> Iterator[Part]:
    """Gated experts stacked in two tensors, gate and up as one."""
    yield Part(f"{name}.gate_up_proj", (experts, 2 * inner, width))
    yield Part(f"{name}.down_proj", (experts, width, inner))


def attention(
    name: str, width: int, heads: int, kv_heads: int, head_length: int, *, value_length: int | None = None,
    bias: bool = False, output_bias: bool | None = None, head_norms: bool = False, queries: int = 1,
    output: str = "o_proj", norms: tuple[str, str] = ("q_norm", "k_norm"),
) -> Iterator[Part]:  # fmt: skip
    """Grouped-query attention; `head_norms`: queries and keys are normed a head; `queries` 2: a gate beside them."""
    value_length = value_length or head_length
    yield from linear(f"{name}.q_proj", width, heads * head_length * queries, bias=bias)
    yield from linear(f"{name}.k_proj", width, kv_heads * head_length, bias=bias)
    yield from linear(f"{name}.v_proj", width, kv_heads * value_length, bias=bias)
    yield from linear(
        f"{name}.{output}", heads * value_length, width, bias=bias if output_bias is None else output_bias
    )
    if head_norms:
        yield from norm(f"{name}.{norms[0]}", head_length)
        yield from norm(f"{name}.{norms[1]}", head_length)


def embedding_and_output(
    width: int, vocabulary: int, *, tied: bool, prefix: str = "model", output: str = "lm_head",
) -> Iterator[Part]:  # fmt: skip
    """The token embedding, and the output matrix where it is one of its own."""
    yield Part(f"{prefix}.embed_tokens.weight", (vocabulary, width))
    if not tied:
        yield Part(f"{output}.weight", (vocabulary, width))


def routed(
    name: str, width: int, inner: int, count: int, *, router: str = "gate",
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj"),
) -> Iterator[Part]:  # fmt: skip
    """A mixture of gated experts, each stored by itself, and the matrix that chooses among them."""
    gate, up, down = names
    yield from linear(f"{name}.{router}", width, count)
    yield from linear(f"{name}.experts.*.{gate}", width, inner, copies=count)
    yield from linear(f"{name}.experts.*.{up}", width, inner, copies=count)
    yield from linear(f"{name}.experts.*.{down}", inner, width, copies=count)
