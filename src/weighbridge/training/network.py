"""The network of the specialists: the Llama architecture as llama.cpp runs it, small enough to train on a laptop."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a network, by GGUF's names."""

    vocabulary_size: int = 512
    context_length: int = 512
    block_count: int = 4
    embedding_length: int = 256
    feed_forward_length: int = 512
    head_count: int = 4
    head_count_kv: int = 4
    rope_freq_base: float = 10_000.0
    rms_epsilon: float = 1e-5

    @property
    def head_length(self) -> int:
        """Values of one attention head."""
        return self.embedding_length // self.head_count


class RMSNorm(nn.Module):
    """x / rms(x) * weight (Zhang & Sennrich 2019)."""

    def __init__(self, length: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(length))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """(..., length) -> (..., length)."""
        return functional.rms_norm(x, (x.shape[-1],), self.weight, self.epsilon)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions on neighbouring pairs (x0, x1), (x2, x3): the order of llama.cpp's `llama` architecture.

    `x` is (batch, heads, tokens, head_length); `cosine` and `sine` are (tokens, head_length / 2).
    """
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1).flatten(-2)


class Block(nn.Module):
    """Attention, then a SwiGLU feed-forward, each behind its norm and added to the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, kv_width = shape.embedding_length, shape.head_count_kv * shape.head_length
        self.attn_norm = RMSNorm(width, shape.rms_epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, kv_width, bias=False)
        self.attn_v = nn.Linear(width, kv_width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = RMSNorm(width, shape.rms_epsilon)
        self.ffn_gate = nn.Linear(width, shape.feed_forward_length, bias=False)
        self.ffn_up = nn.Linear(width, shape.feed_forward_length, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward_length, width, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """(batch, tokens, embedding_length) -> the same."""
        batch, tokens, width = x.shape
        h = self.attn_norm(x)

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, tokens, -1, self.shape.head_length).transpose(1, 2)

        q, k, v = heads(self.attn_q(h)), heads(self.attn_k(h)), heads(self.attn_v(h))
        attended = functional.scaled_dot_product_attention(
            rotate(q, cosine, sine),
            rotate(k, cosine, sine),
            v,
            is_causal=True,
            enable_gqa=self.shape.head_count != self.shape.head_count_kv,
        )
        x = x + self.attn_output(attended.transpose(1, 2).reshape(batch, tokens, width))
        h = self.ffn_norm(x)
        feed: Tensor = self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))
        return x + feed


class Network(nn.Module):
    """Token ids to hidden states; the embedding table is the output matrix too."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary_size, shape.embedding_length)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.block_count))
        self.output_norm = RMSNorm(shape.embedding_length, shape.rms_epsilon)
        angles = torch.outer(
            torch.arange(shape.context_length, dtype=torch.float64),
            shape.rope_freq_base ** -(torch.arange(0, shape.head_length, 2, dtype=torch.float64) / shape.head_length),
        )
        self.register_buffer("cosine", angles.cos().float(), persistent=False)
        self.register_buffer("sine", angles.sin().float(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # The two matrices that write into the stream start smaller (GPT-2, section 2.3).
                writes = name.endswith(("attn_output.weight", "ffn_down.weight"))
                scale = (2 * shape.block_count) ** -0.5 if writes else 1.0
                nn.init.normal_(parameter, std=scale * shape.embedding_length**-0.5 * 0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, tokens) ids -> (batch, tokens, embedding_length) normed states; `logits` turns those into scores."""
        x = self.token_embd(ids)
        tokens = ids.shape[1]
        cosine, sine = self.get_buffer("cosine")[:tokens], self.get_buffer("sine")[:tokens]
        for block in self.blk:
            x = block(x, cosine, sine)
        normed: Tensor = self.output_norm(x)
        return normed

    def logits(self, states: Tensor) -> Tensor:
        """(..., embedding_length) -> (..., vocabulary_size)."""
        return functional.linear(states, self.token_embd.weight)
