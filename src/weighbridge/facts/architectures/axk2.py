"""A.X K2: DeepSeek-V3.2 whose queries come with a gate of the output, and whose norms are gated."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.facts.architectures._assumed import assume
from weighbridge.facts.architectures.deepseek_v3 import is_sparse, latent, mixture
from weighbridge.facts.architectures.deepseek_v32 import indexer
from weighbridge.facts.architectures.llama import decoder
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


def complete(config: Config) -> Config:
    """The defaults of `AXK2Config`."""
    return assume(
        config, first_k_dense_replace=1, n_shared_experts=1, q_lora_rank=384, index_head_dim=128, index_n_heads=16,
        gated_norm_rank=16,
    )  # fmt: skip


def parts(config: Config, prefix: str = "model", output: str = "lm_head") -> Iterator[Part]:
    """Every tensor."""
    return decoder(config, prefix, output, _attention, indexer, mixture, _norms, norms=())


def _attention(config: Config, name: str, layer: int) -> Iterator[Part]:
    heads, rank = config.whole("num_attention_heads"), config.whole("q_lora_rank")
    length = config.whole("qk_nope_head_dim") + config.whole("qk_rope_head_dim") + config.whole("v_head_dim")
    for part in latent(config, name, layer):
        is_queries = part.name.endswith(".q_b_proj.weight")
        yield part._replace(shape=(heads * length, 2 * rank)) if is_queries else part


def _norms(config: Config, name: str, layer: int) -> Iterator[Part]:
    width = config.whole("hidden_size")
    yield from _gated_norm(config, f"{name}.input_layernorm")
    if is_sparse(config, layer):
        yield from _gated_norm(config, f"{name}.post_attention_layernorm")
    else:
        yield from norm(f"{name}.post_attention_layernorm", width)


def _gated_norm(config: Config, name: str) -> Iterator[Part]:
    width, rank = config.whole("hidden_size"), config.whole("gated_norm_rank")
    yield from norm(f"{name}.norm", width)
    yield from linear(f"{name}.W_down", width, rank)
    yield from linear(f"{name}.W_up", rank, width)
