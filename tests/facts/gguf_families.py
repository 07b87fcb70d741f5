"""GGUF files of any architecture, for tests: their keys are given, their tensors are those that the engine asks for.

`Engine` is llama.cpp in a process of its own. A file without the right tensors is refused with the name or the shape of
the first that is wrong, so a file is written, refused and mended until it loads; no list of tensors need be kept here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gguf

from tests.gguf_files import header, tensor_entry

Keys = dict[str, Any]
Shapes = dict[str, list[int]]

_MISSING = re.compile(r"tensor '(.+?)' not found|missing tensor '(.+?)'")
_SHAPE = re.compile(r"tensor '(.+?)' has wrong shape; expected\s+([\d, ]+), got")
_LAYER = re.compile(r"blk\.(\d+)\.")
_LOADED = re.compile(r"loading tensor (\S+)")
_BYTES = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 324))][:256]


class Family(NamedTuple):
    """One case: an architecture with its own keys, and tensors that it takes but does not ask for."""

    architecture: str
    keys: Keys
    also: Shapes


def _each(layers: Iterable[int], *names: str, shape: Sequence[int] = (1,)) -> Shapes:
    """These tensors for these layers; the engine tells the shape."""
    return {f"blk.{layer}.{name}": [*shape] for layer in layers for name in names}


# Numbers that are alike in no two places, so that one taken for another shows.
_COMMON: Keys = {
    "context_length": 32768, "embedding_length": 96, "block_count": 6, "feed_forward_length": 80,
    "attention.head_count": 6, "attention.head_count_kv": 2, "attention.layer_norm_rms_epsilon": 1e-5,
    "attention.layer_norm_epsilon": 1e-5,
}  # fmt: skip
_HEADS: Keys = {"attention.key_length": 20, "attention.value_length": 20}
_WINDOW: Keys = {"attention.sliding_window": 5000}
_EXPERTS: Keys = {
    "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 24, "expert_gating_func": 2,
    "expert_shared_count": 1, "expert_shared_feed_forward_length": 32, "leading_dense_block_count": 1,
}  # fmt: skip
_ALL_EXPERTS: Keys = {**_EXPERTS, "leading_dense_block_count": 0}
_LATENT: Keys = {
    "attention.head_count_kv": 1, "attention.q_lora_rank": 36, "attention.kv_lora_rank": 32, "attention.key_length": 48,
    "attention.value_length": 32, "attention.key_length_mla": 28, "attention.value_length_mla": 20,
    "rope.dimension_count": 16,
}  # fmt: skip
_INDEXER: Keys = {
    "attention.indexer.head_count": 3, "attention.indexer.key_length": 64, "attention.indexer.top_k": 64
}  # fmt: skip
_INDEXER_TENSORS = (
    "indexer.k_norm.weight", "indexer.k_norm.bias", "indexer.proj.weight", "indexer.attn_k.weight",
    "indexer.attn_q_b.weight",
)  # fmt: skip
_SSM: Keys = {
    "ssm.conv_kernel": 4, "ssm.inner_size": 96, "ssm.state_size": 16, "ssm.time_step_rank": 6, "ssm.group_count": 2
}  # fmt: skip
_NO_HEADS: Keys = {"attention.head_count": 0, "attention.head_count_kv": None}
_SOME_HEADS: Keys = {"attention.head_count_kv": [0, 0, 2, 0, 2, 0]}
_SECTIONS: Keys = {"rope.dimension_sections": [2, 2, 2, 0]}
_HYPER: Keys = {
    "hyper_connection.count": 4, "hyper_connection.sinkhorn_iterations": 2, "hyper_connection.epsilon": 1e-6,
    "expert_weights_scale": 1.0, "expert_weights_norm": True,
}  # fmt: skip
_DELTA: Keys = {"kda.head_dim": 16, "ssm.conv_kernel": 4}
_PREDICTS: Keys = {"block_count": 7, "nextn_predict_layers": 1}
_WKV6: Keys = {"wkv.head_size": 16, "time_mix_extra_dim": 8, "time_decay_extra_dim": 12}
_WKV7: Keys = {
    "wkv.head_size": 16, "attention.decay_lora_rank": 8, "attention.iclr_lora_rank": 10,
    "attention.value_residual_mix_lora_rank": 12, "attention.gate_lora_rank": 14,
}  # fmt: skip
_DEEPSEEK4: Keys = {
    **_ALL_EXPERTS, **_INDEXER, **_WINDOW, **_HYPER, "embedding_length": 128, "attention.head_count": 8,
    "attention.head_count_kv": 1, "attention.key_length": 16, "attention.value_length": 16, "rope.dimension_count": 8,
    "attention.q_lora_rank": 36, "attention.output_group_count": 8, "attention.output_lora_rank": 12,
    "attention.compress_ratios": [0, 0, 4, 128, 4, 128], "attention.compress_rope_freq_base": 1e5,
    "hash_layer_count": 0, "swiglu_clamp_exp": 10.0, "expert_gating_func": 4,
}  # fmt: skip
_MINIMAX_M3: Keys = {
    **_HEADS, **_EXPERTS, **_INDEXER, "leading_dense_block_count": 2, "attention.indexer.head_count": 2,
    "attention.indexer.block_size": 4, "attention.indexer.local_blocks": 1,
}  # fmt: skip
_GEMMA4: Keys = {
    **_WINDOW, **_HEADS, "attention.key_length_swa": 24, "attention.value_length_swa": 24,
    "attention.sliding_window_pattern": [True, True, False] * 2, "attention.head_count_kv": [2, 2, 1] * 2,
    "embedding_length_per_layer_input": 0,
}  # fmt: skip
_STEP35: Keys = {
    **_ALL_EXPERTS, **_WINDOW, **_HEADS, "attention.sliding_window_pattern": [False, True, True] * 2,
    "attention.head_count": [4, 6, 6] * 2, "rope.dimension_count": 16, "rope.dimension_count_swa": 16,
}  # fmt: skip
_NEMOTRON: Keys = {**_SSM, **_HEADS, "attention.head_count_kv": [0, 2, 0, 0, 2, 0],
                   "feed_forward_length": [0, 0, 80, 0, 0, 80]}  # fmt: skip


_DENSE = ("ffn_gate.weight", "ffn_up.weight", "ffn_down.weight")
_MIXTURE = ("ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight")
_SHARED = ("ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight")
_GATES = ("ffn_gate_exps.weight",)
_FUSED = ("attn_qkv.weight",)
_ENCODER: Keys = {"attention.causal": False, "tokenizer.ggml.token_type_count": 2}
_ONE_USED: Keys = {"expert_used_count": 1}
_GROUPS: Keys = {"expert_count": 8, "expert_group_count": 4, "expert_group_used_count": 2}
_NOTHING_SHARED: Keys = {"expert_shared_count": None, "expert_shared_feed_forward_length": None}
_STREAMS: Keys = {"hyper_connection.count": 4, "hyper_connection.low_rank": 8, "full_attention_interval": 3}
_BUCKETS: Keys = {"attention.head_count_kv": 6, "attention.relative_buckets_count": 8}


def _family(name: str, *groups: Keys, also: Shapes | None = None, **keys: Any) -> tuple[str, Family]:
    """A case by its name: the architecture, and where there are several of it, what is special."""
    every_key = {**_COMMON}
    for group in groups:
        every_key |= group
    every_key |= {key.replace("__", "."): value for key, value in keys.items()}
    present = {key: value for key, value in every_key.items() if value is not None}
    return name, Family(name.partition(",")[0], present, also or {})


# As files are converted now: what a gated delta net mixes is in one matrix, queries, keys and values of the layers that
# attend in three.
_DELTA_NET = ("attn_qkv.weight", "attn_gate.weight")
_APART = ("attn_q.weight", "attn_k.weight", "attn_v.weight")


# All that llama.cpp knows of, but for what is no language model by itself (`clip`, `wavtokenizer-dec`), for what drafts
# from another model's states (`eagle3`, `dflash`, `gemma4-assistant`), and for `gptj`, which is only a name there.
FAMILIES: dict[str, Family] = dict([
    _family("llama"),
    _family("llama, a window that is not heeded", _WINDOW),
    _family("llama, experts", _ALL_EXPERTS, also=_each(range(6), *_GATES)),
    _family("llama, one expert", _ALL_EXPERTS, _ONE_USED, also=_each(range(6), *_GATES)),
    _family("llama, fused", also=_each(range(6), *_FUSED)),
    _family("llama, biased", also=_each(range(6), "attn_q.bias", "attn_k.bias", "attn_v.bias", "attn_output.bias")),
    _family("llama, its own output", also={"output.weight": [1]}),
    _family("qwen3", _HEADS),
    _family("qwen3, fused", _HEADS, also=_each(range(6), *_FUSED)),
    _family("qwen3moe", _HEADS, _ALL_EXPERTS),
    _family("qwen3moe, one expert", _HEADS, _ALL_EXPERTS, _ONE_USED),
    _family("qwen3moe, fused", _HEADS, _ALL_EXPERTS, also=_each(range(6), *_FUSED, "ffn_gate_up_exps.weight")),
    # Windows that the files leave to the engine.
    _family("gemma3", _HEADS, _WINDOW, block_count=8),
    _family("gemma3, listed", _HEADS, _WINDOW, attention__sliding_window_pattern=[True, False, True] * 2),
    _family("gemma3, a period", _HEADS, _WINDOW, attention__sliding_window_pattern=3),
    _family("gemma3, no window", _HEADS),
    _family("gpt-oss", _HEADS, _WINDOW, _ALL_EXPERTS),
    _family("gemma3, fused", _HEADS, _WINDOW, block_count=8, also=_each(range(8), *_FUSED)),
    _family("gemma2", _HEADS),
    _family("gemma2, a window", _HEADS, _WINDOW),
    _family("gemma3n", _HEADS, _WINDOW, block_count=23),
    # As published: the small ones have longer heads where there is no window, and further embeddings; the others have
    # longer values in windows, and elsewhere keys that are values too.
    _family(
        "gemma4", _WINDOW, block_count=8, attention__shared_kv_layers=2, attention__key_length=40,
        attention__value_length=40, attention__key_length_swa=24, attention__value_length_swa=24,
        attention__sliding_window_pattern=[True, True, False] * 2 + [True, False],
        attention__head_count_kv=[2] * 8, embedding_length_per_layer_input=16, feed_forward_length=[80] * 6 + [160] * 2,
        rope__dimension_count=24,
        also=_each(range(6), "attn_v.weight") | _each(range(8), "layer_output_scale.weight"),
    ),
    _family(
        "gemma4, dense", _GEMMA4,
        also=_each((0, 1, 3, 4), "attn_v.weight") | _each(range(6), "layer_output_scale.weight"),
    ),
    _family(
        "gemma4, experts", _GEMMA4, _ALL_EXPERTS,
        also=_each((0, 1, 3, 4), "attn_v.weight")
        | _each(range(6), "layer_output_scale.weight", "ffn_gate_inp.weight", "ffn_gate_up_exps.weight",
                "ffn_down_exps.scale"),
    ),
    _family(
        "gemma4, experts apart", _GEMMA4, _ALL_EXPERTS,
        also=_each((0, 1, 3, 4), "attn_v.weight")
        | _each(range(6), "layer_output_scale.weight", "ffn_gate_inp.weight", "ffn_down_exps.scale"),
    ),
    _family("cohere2", _WINDOW, logit_scale=1.0, block_count=7),
    _family("cohere2moe", _WINDOW, _EXPERTS, logit_scale=1.0, block_count=9),
    _family("cohere2moe, a period", _WINDOW, _EXPERTS, logit_scale=1.0, attention__sliding_window_pattern=3),
    _family("cohere2moe, predicting", _WINDOW, _EXPERTS, _PREDICTS, logit_scale=1.0),
    _family("olmo2"),
    _family("olmo2, a window", _WINDOW),
    _family("exaone4", _WINDOW),
    _family("exaone4, 32B", _WINDOW, block_count=65, nextn_predict_layers=1),
    _family("exaone-moe", _WINDOW, _EXPERTS),
    _family(
        "exaone-moe, predicting", _WINDOW, _EXPERTS, _PREDICTS,
        attention__sliding_window_pattern=[True, True, True, False, True, True],
    ),
    _family("llama4", _ALL_EXPERTS, interleave_moe_layer_step=2),
    _family("llama4, one expert", _ALL_EXPERTS, _ONE_USED, interleave_moe_layer_step=2),
    _family("llama4, one expert in each layer", _ALL_EXPERTS, _ONE_USED, interleave_moe_layer_step=1),
    _family("phi3", _WINDOW, also=_each(range(6), "attn_qkv.weight")),
    _family("plamo3", _WINDOW, block_count=9),
    _family("afmoe", _WINDOW, _EXPERTS),
    _family("smallthinker", _ALL_EXPERTS, attention__sliding_window=4096),
    _family("laguna", _WINDOW, _EXPERTS, also=_each(range(6), "attn_gate.weight", shape=(96, 6))),
    _family("laguna, a gate a value", _HEADS, _WINDOW, _EXPERTS,
            also=_each(range(6), "attn_gate.weight", shape=(96, 120))),
    _family("mellum", _WINDOW, _ALL_EXPERTS),
    _family("muse-glimmer", _WINDOW, logit_scale=1.0),
    # Windows that the files list.
    _family(
        "mimo2", _ALL_EXPERTS, _WINDOW, _HEADS, _PREDICTS, attention__head_count_kv=[1, 2, 2, 1, 2, 2, 2],
        attention__sliding_window_pattern=[False, True, True, False, True, True, True],
        also=_each((0, 6), *_DENSE) | _each(range(1, 6), *_MIXTURE),
    ),
    _family("step35", _STEP35, also=_each((0, 1), *_DENSE) | _each(range(2, 6), *_MIXTURE, *_SHARED)),
    _family(
        "step35, predicting", _STEP35, nextn_predict_layers=1,
        also=_each((0, 1, 5), *_DENSE) | _each(range(2, 5), *_MIXTURE, *_SHARED),
    ),
    _family("granite_swa", _WINDOW, logit_scale=1.0, attention__sliding_window_pattern=[False, True] * 3),
    _family("maple", _WINDOW, _ALL_EXPERTS, swiglu_clamp_exp=7.0, attention__sliding_window_pattern=[False, True] * 3),
    _family("spark2_5", _WINDOW, attention__sliding_window_pattern=[False, True] * 3),
    # Latent attention, and indexers.
    _family("deepseek2", _LATENT, _EXPERTS),
    _family(
        "deepseek2, unfolded", _EXPERTS, attention__head_count_kv=6, attention__q_lora_rank=36,
        attention__kv_lora_rank=32, attention__key_length=28, attention__value_length=20, rope__dimension_count=8,
    ),
    _family("deepseek2, groups", _LATENT, _EXPERTS, _GROUPS, expert_weights_norm=True, expert_weights_scale=2.5,
            also=_each(range(1, 6), "exp_probs_b.bias")),
    _family("deepseek2, one expert", _LATENT, _EXPERTS, _ONE_USED),
    # By its number of layers the engine knows the small one.
    _family("deepseek2, plain queries", _LATENT, _EXPERTS, attention__q_lora_rank=None, block_count=27),
    _family("mistral4", _LATENT, _EXPERTS),
    _family(
        "minicpm3", attention__head_count_kv=6, attention__q_lora_rank=36, attention__kv_lora_rank=32,
        attention__key_length=28, rope__dimension_count=8,
    ),
    _family("deepseek32", _LATENT, _EXPERTS, _INDEXER, _PREDICTS),
    _family("glm-dsa", _LATENT, _EXPERTS, _INDEXER, _PREDICTS, also=_each(range(7), *_INDEXER_TENSORS)),
    _family(
        "glm-dsa, 5.2", _LATENT, _EXPERTS, _INDEXER, context_length=1 << 20, block_count=8, nextn_predict_layers=1,
        also=_each((0, 1, 2, 6), *_INDEXER_TENSORS),
    ),
    _family(
        "glm-dsa, listed", _LATENT, _EXPERTS, _INDEXER, nextn_predict_layers=1,
        attention__indexer__types=[True, False, False, True, False], also=_each((0, 3), *_INDEXER_TENSORS),
    ),
    _family(
        "hy_v4", _LATENT, _EXPERTS, _INDEXER, _HYPER, hyper_connection__magnitude=2.0,
        attention__indexer__types=[True, False, True, True, False, True],
    ),
    _family("hy_v4, no indexer", _LATENT, _EXPERTS, _HYPER, hyper_connection__magnitude=2.0),
    _family(
        "dots3note", _LATENT, _EXPERTS, _INDEXER, _WINDOW, attention__kv_lora_rank_swa=24, attention__key_length_swa=40,
        attention__value_length_swa=24, attention__key_length_mla_swa=32, attention__value_length_mla_swa=20,
        rope__freq_base_swa=1e4, attention__sliding_window_pattern=[False, True, True] * 2,
        attention__indexer__types=[True, False, False] * 2,
    ),
    _family("minimax-m3", _MINIMAX_M3),
    _family("minimax-m3, predicting", _MINIMAX_M3, _PREDICTS),
    _family("deepseek4", _DEEPSEEK4),
    _family("deepseek4, predicting", _DEEPSEEK4, nextn_predict_layers=1,
            attention__compress_ratios=[0, 4, 128, 128, 4, 0]),
    _family("deepseek4, hashed", _DEEPSEEK4, hash_layer_count=3, block_count=8,
            attention__compress_ratios=[0, 0, 4, 128, 4, 128, 4, 128]),
    # Layers that predict further tokens.
    _family("glm4moe", _EXPERTS, _PREDICTS),
    _family("glm4moe, normed", _EXPERTS, also=_each(range(6), "attn_q_norm.weight", "attn_k_norm.weight")),
    _family("bailingmoe2", _EXPERTS, _PREDICTS),
    _family("bailingmoe2, groups", _EXPERTS, _GROUPS, _PREDICTS, also=_each(range(7), *_FUSED)),
    _family("hy_v3", _EXPERTS, _PREDICTS, also=_each((0,), *_DENSE) | _each(range(1, 7), *_MIXTURE, *_SHARED)),
    # States.
    _family("qwen3next", _HEADS, _ALL_EXPERTS, _SSM, also=_each((0, 1, 2, 4, 5), "ssm_in.weight")),
    # As it is converted now: the first of these is how files were made at the beginning.
    _family(
        "qwen3next, apart", _HEADS, _ALL_EXPERTS, _SSM, block_count=8,
        also=_each((0, 1, 2, 4, 5, 6), *_DELTA_NET) | _each((3, 7), *_APART),
    ),
    _family(
        "qwen3next, apart, predicting", _HEADS, _ALL_EXPERTS, _SSM, _PREDICTS, block_count=9,
        also=_each((0, 1, 2, 4, 5, 6), *_DELTA_NET) | _each((3, 7, 8), *_APART),
    ),
    _family(
        "qwen3next, an interval", _HEADS, _ALL_EXPERTS, _SSM, full_attention_interval=3,
        also=_each((0, 1, 3, 4), "ssm_in.weight"),
    ),
    _family("qwen3next, predicting", _HEADS, _ALL_EXPERTS, _SSM, _PREDICTS,
            also=_each((0, 1, 2, 4, 5), "ssm_in.weight")),
    _family("qwen35", _HEADS, _SSM, _SECTIONS, _PREDICTS, block_count=9,
            also=_each((0, 1, 2, 4, 5, 6), *_DELTA_NET) | _each((3, 7, 8), *_APART)),
    _family("qwen35moe", _HEADS, _SSM, _ALL_EXPERTS, _SECTIONS, _PREDICTS, block_count=9,
            also=_each((0, 1, 2, 4, 5, 6), *_DELTA_NET) | _each((3, 7, 8), *_APART)),
    _family(
        "qwen35moe, listed", _HEADS, _SSM, _ALL_EXPERTS, _SECTIONS,
        attention__recurrent_layers=[True, False, True, False, False, True],
        also=_each((0, 2, 5), "attn_qkv.weight", "attn_gate.weight"),
    ),
    _family("nemotron_h", _NEMOTRON, also=_each((0, 3), "ssm_conv1d.bias")),
    _family("nemotron_h_moe", _NEMOTRON, _ALL_EXPERTS, also=_each((0, 3), "ssm_conv1d.bias")),
    _family("nemotron_h_moe, predicting", _NEMOTRON, _ALL_EXPERTS, nextn_predict_layers=2,
            attention__head_count_kv=[0, 2, 0, 0, 2, 2], also=_each((0, 3), "ssm_conv1d.bias")),
    _family("falcon-h1", _SSM, _HEADS, also=_each(range(6), "ssm_conv1d.bias")),
    _family("granitehybrid", _SSM, _SOME_HEADS, ssm__inner_size=192, also=_each((0, 1, 3, 5), "ssm_conv1d.bias")),
    _family("granitehybrid, experts", _SSM, _SOME_HEADS, _ALL_EXPERTS, ssm__inner_size=192,
            also=_each((0, 1, 3, 5), "ssm_conv1d.bias") | _each(range(6), *_GATES)),
    _family("lfm2", _SOME_HEADS, shortconv__l_cache=3),
    _family("lfm2, a window", _SOME_HEADS, _WINDOW, shortconv__l_cache=3),
    _family("lfm2moe", _SOME_HEADS, _EXPERTS, shortconv__l_cache=3),
    _family("kimi-linear", _LATENT, _EXPERTS, _DELTA, attention__head_count_kv=[0, 0, 0, 1, 0, 1]),
    _family("kimi-linear, shared", _LATENT, _EXPERTS, _DELTA, attention__head_count_kv=[0, 0, 0, 1, 0, 1],
            also=_each(range(1, 6), *_SHARED)),
    _family(
        "kimi-k3", _LATENT, _EXPERTS, _DELTA, attention__head_count_kv=[0, 0, 0, 1, 0, 1], attn_res__block_size=3,
        activation__situ_beta=1.0, activation__situ_linear_beta=1.0, expert_latent_length=16,
    ),
    _family(
        "glm5-next", _LATENT, _EXPERTS, _INDEXER, _DELTA, _HYPER, _PREDICTS, attention__indexer__kpool=4,
        attention__head_count_kv=[0, 1, 0, 1, 0, 1, 1], attention__key_length=32, rope__dimension_count=0,
        attention__indexer__types=[0, 1, 0, 0, 0, 1],
    ),
    _family("bailingmoe3", _LATENT, _EXPERTS, _DELTA, _PREDICTS, kda__gate_lower_bound=-5.0,
            attention__head_count_kv=[0, 1, 0, 1, 0, 1, 1]),
    _family("minimax-01", _ALL_EXPERTS, _HEADS, residual_scale=1.0, block_count=9, also=_each(range(9), *_GATES)),
    _family("jamba", _SOME_HEADS, _ALL_EXPERTS, _SSM, ssm__inner_size=192, ssm__group_count=None),
    _family("jamba, experts", _SOME_HEADS, _ALL_EXPERTS, _SSM, ssm__inner_size=192, ssm__group_count=None,
            also=_each((1, 3, 5), "ffn_gate_inp.weight")),
    _family("plamo2", _SOME_HEADS, _SSM, ssm__inner_size=192, ssm__group_count=0, attention__key_length=32,
            attention__value_length=32),
    _family("mamba", _NO_HEADS, _SSM, ssm__inner_size=192, ssm__group_count=None, feed_forward_length=0),
    _family("mamba2", _NO_HEADS, _SSM, ssm__inner_size=192, feed_forward_length=0),
    _family("rwkv6", _NO_HEADS, _WKV6, also=_each(range(6), "time_mix_lerp_fused.weight")),
    _family("rwkv7", _NO_HEADS, _WKV7),
    _family("rwkv6qwen2", _WKV6, attention__head_count=0, token_shift_count=1),
    _family("arwkv7", _NO_HEADS, _WKV7, token_shift_count=1),
    # Nothing is kept.
    _family("bert", _ENCODER),
    _family("nomic-bert", _ENCODER),
    _family("modern-bert", _WINDOW, attention__causal=False),
    _family("gemma-embedding", _HEADS, _WINDOW),
    _family(
        "gemma-embedding, further layers", _HEADS, _WINDOW, dense_2_feat_in=96, dense_2_feat_out=128,
        dense_3_feat_in=128, dense_3_feat_out=96, also={"dense_2.weight": [1], "dense_3.weight": [1]},
    ),
    _family("dream", attention__causal=False),
    # Everything is kept, whatever else is said.
    _family("llama-embed", attention__causal=False),
    _family("qwen2, both ways", attention__causal=False),
    # One rule for all of these; some have their own numbers of heads a layer, or run through their layers again.
    _family("deci", attention__head_count=[6, 0, 6, 6, 0, 6], attention__head_count_kv=[2, 0, 3, 6, 0, 1],
            feed_forward_length=[80, 80, 0, 64, 64, 80]),
    _family("openelm", _HEADS, attention__head_count=[2, 4, 4, 6, 6, 6], attention__head_count_kv=[1, 1, 2, 2, 3, 3]),
    _family("nanbeige", num_loops=2),
    _family("hrm_text", hrm__layers_per_stack=1, hrm__h_cycles=2, hrm__l_cycles=2),
    _family("minimax-m2", _HEADS, _ALL_EXPERTS, block_count=2),
    _family("ernie4_5-moe", _EXPERTS, block_count=2, interleave_moe_layer_step=1, also=_each((1,), *_GATES)),
    _family("dots1", _EXPERTS, block_count=2, attention__head_count_kv=6),
    _family("grok", _ALL_EXPERTS, block_count=2, also=_each(range(2), *_GATES)),
    _family("grok, dense beside experts", _ALL_EXPERTS, block_count=2, also=_each(range(2), *_GATES, *_DENSE)),
    _family("qwen3vl", _HEADS, _SECTIONS, block_count=2),
    _family("seed_oss", _HEADS, block_count=2),
    _family("apertus", block_count=2, xielu__alpha_n=0.1, xielu__alpha_p=0.1, xielu__beta=0.1, xielu__eps=0.1),
    _family("granite", block_count=2, logit_scale=1.0),
    _family("bloom", block_count=2, attention__head_count_kv=None),
    _family("falcon", block_count=2, attention__head_count_kv=1),
    _family("falcon, two norms", block_count=2, also=_each(range(2), "attn_norm_2.weight", "attn_norm_2.bias")),
    *(
        _family(name, block_count=2)
        for name in (
            "arcee", "codeshell", "command-r", "ernie4_5", "exaone", "gemma", "gpt2", "hunyuan-dense",
            "internlm2", "jais", "jais2", "maincoder", "minicpm", "mpt", "nemotron", "olmo", "orion", "pangu-embedded",
            "phi2", "qwen", "refact", "stablelm", "starcoder", "xverse", "baichuan", "bitnet", "qwen2",
        )
    ),
    _family("glm4", block_count=2),
    _family("glm4, sections", _SECTIONS, block_count=2),
    _family("hunyuan_vl", _SECTIONS, block_count=2),
    _family("paddleocr", _SECTIONS, block_count=2),
    _family("qwen2vl", _SECTIONS, block_count=2),
    _family("qwen3tts", _HEADS, _SECTIONS, block_count=2),
    _family("qwen3vl, deepstack", _HEADS, _SECTIONS, block_count=6, n_deepstack_layers=3),
    _family("qwen3vlmoe", _HEADS, _SECTIONS, _ALL_EXPERTS, block_count=2),
    _family("qwen3vlmoe, deepstack", _HEADS, _SECTIONS, _ALL_EXPERTS, block_count=6, n_deepstack_layers=3),
    _family("gptneox", block_count=2, use_parallel_residual=False),
    _family("gptneox, parallel", block_count=2, use_parallel_residual=True),
    _family("talkie", block_count=2, logit_scale=1.0),
    _family("cogvlm", block_count=2, attention__head_count_kv=6),
    # It never answers with a token of a picture, and there are 8192 of them.
    _family("chameleon", block_count=2, vocab_size=8200),
    _family("chameleon, norms after", block_count=2, vocab_size=8200, swin_norm=True),
    _family("plamo", block_count=2, attention__head_count_kv=6),
    _family("arctic", _ALL_EXPERTS, block_count=2),
    _family("bailingmoe", _EXPERTS, block_count=2),
    _family("dbrx", _ALL_EXPERTS, block_count=2, attention__clamp_kqv=8.0),
    _family("deepseek", _EXPERTS, block_count=2, attention__head_count_kv=6),
    _family("deepseek2-ocr", _EXPERTS, attention__head_count_kv=6),
    _family("granitemoe", _ALL_EXPERTS, block_count=2, logit_scale=1.0, also=_each(range(2), *_GATES)),
    _family("granitemoe, nothing shared", _ALL_EXPERTS, _NOTHING_SHARED, block_count=2, logit_scale=1.0,
            also=_each(range(2), *_GATES)),
    *(
        _family(f"{name}, fused", block_count=2, also=_each(range(2), *_FUSED))
        for name in ("phi2", "codeshell", "chatglm", "glm4", "gemma", "qwen2", "stablelm", "command-r")
    ),
    *(
        _family(f"{name}, fused", _ENCODER, keys, also=_each(range(6), *_FUSED))
        for name, keys in (
            ("bert", {}), ("nomic-bert", {}), ("nomic-bert-moe", {**_ALL_EXPERTS, "moe_every_n_layers": 2}),
            ("jina-bert-v3", {}),
        )
    ),
    _family("dots1, nothing dense", _ALL_EXPERTS, attention__head_count_kv=6),
    _family("exaone-moe, nothing dense", _WINDOW, _ALL_EXPERTS),
    _family("afmoe, nothing dense", _WINDOW, _ALL_EXPERTS),
    _family("glm4moe, nothing dense", _ALL_EXPERTS),
    _family("deepseek2, nothing dense", _LATENT, _ALL_EXPERTS),
    _family("ernie4_5-moe, nothing dense", _ALL_EXPERTS, block_count=2, interleave_moe_layer_step=1,
            also=_each(range(2), *_GATES)),
    _family("mistral3, by place", _HEADS, block_count=2, attention__temperature_scale=0.1,
            attention__temperature_length=8192),
    _family("mistral4, by place", _LATENT, _EXPERTS, attention__temperature_scale=0.1,
            attention__temperature_length=8192),
    _family("deepseek, one expert", _EXPERTS, _ONE_USED, block_count=2, attention__head_count_kv=6),
    _family("qwen2moe, one expert", _ALL_EXPERTS, _ONE_USED, block_count=2),
    _family("gpt-oss, one expert", _HEADS, _WINDOW, _ALL_EXPERTS, _ONE_USED),
    _family("graniteswitch", block_count=2, logit_scale=1.0, adapters__count=2, adapters__lora_rank=8,
            adapters__token_ids_activate=[1, 2], adapters__token_ids_substitute=[3, 4]),
    _family("grovemoe", _HEADS, _ALL_EXPERTS, block_count=2, expert_chunk_feed_forward_length=16,
            expert_group_scale=1.0, experts_per_group=2),
    _family("hunyuan-moe", _ALL_EXPERTS, block_count=2),
    _family("llada-moe", _ALL_EXPERTS, block_count=2),
    _family("olmoe", _ALL_EXPERTS, block_count=2, attention__head_count_kv=6),
    _family("phimoe", _ALL_EXPERTS, block_count=2),
    _family("qwen2moe", _ALL_EXPERTS, block_count=2),
    _family("rnd1", _HEADS, _ALL_EXPERTS, block_count=2),
    _family("llada", block_count=2),
    _family("k2-horizon", _HEADS, block_count=2),
    _family("k2-horizon, experts", _HEADS, _EXPERTS, block_count=2),
    _family("k2-horizon, values", _HEADS, _EXPERTS, block_count=2, attention__value_expert_count=6,
            attention__value_expert_used_count=2),
    _family("qwen4exp", _HEADS, _SSM, _ALL_EXPERTS, _SECTIONS, _INDEXER, _STREAMS,
            attention__compress_ratios=[0, 0, 4] * 2, also=_each((2, 5), "attn_q.weight")),
    _family("qwen4exp, nothing pooled", _HEADS, _SSM, _ALL_EXPERTS, _SECTIONS, _INDEXER, _STREAMS,
            also=_each((2, 5), "attn_q.weight")),
    _family("nomic-bert-moe", _ALL_EXPERTS, _ENCODER, moe_every_n_layers=2),
    _family("neo-bert", attention__causal=False),
    _family("eurobert", attention__causal=False),
    _family("jina-bert-v2", _ENCODER,
            also=_each(range(6), "ffn_up.weight", shape=(96, 80))),
    _family("jina-bert-v2, gated", _ENCODER,
            also=_each(range(6), "ffn_up.weight", shape=(96, 160))),
    _family("jina-bert-v3", _ENCODER),
    _family("gemma-embedding2", _HEADS, _WINDOW, embedding_length_per_layer_input=16),
    _family("pockettts", block_count=2, also=_each(range(2), "attn_qkv.weight")),
    *(_family(name, block_count=2) for name in ("mistral3", "starcoder2", "chatglm", "smollm3")),
])  # fmt: skip

# Cases that the engine loads but cannot serve with every setting: PLM goes down with flash attention, T5 asks for text
# that its encoder has read, and its encoder alone goes down with several sequences.
UNSERVED: dict[str, Family] = dict([
    _family(
        "plm", attention__head_count_kv=6, attention__kv_lora_rank=32, attention__key_length=28,
        attention__value_length=20, rope__dimension_count=8,
    ),
    _family("t5", _BUCKETS, also={"enc.blk.0.attn_rel_b.weight": [1], "dec.blk.0.attn_rel_b.weight": [1]}),
    _family("t5encoder", _BUCKETS, also={"enc.blk.0.attn_rel_b.weight": [1]}),
])  # fmt: skip


class Cache(NamedTuple):
    """One cache that the engine has made, as it logs it."""

    cells: int
    layers: tuple[int, ...]
    sequences: int
    keys: str
    """MiB in all, with two decimals; `values` too."""
    values: str


class Log(NamedTuple):
    """What the engine says of the caches of one context."""

    error: str
    text: str

    @property
    def caches(self) -> list[Cache]:
        """Caches of keys and values, in the order in which they are made."""
        found, layers = [], []
        for line in self.text.splitlines():
            if layer := re.search(r"llama_kv_cache: layer +(\d+): dev =", line):
                layers.append(int(layer[1]))
            elif size := re.search(
                r"llama_kv_cache: size = .*\( *(\d+) cells, +\d+ layers, +\d+/(\d+) seqs\), "
                r"K \(f16\): +([\d.]+) MiB, V \(f16\): +([\d.]+) MiB",
                line,
            ):
                found.append(Cache(int(size[1]), tuple(layers), int(size[2]), size[3], size[4]))
                layers = []
        return found

    @property
    def gathered(self) -> int:
        """Values that DeepSeek-V4's compressors gather, for one sequence."""
        found = re.findall(r"state = (\d+) x (\d+), streams = \d+, rs_seq = \d+, layers = (\d+)", self.text)
        return sum(2 * int(rows) * int(width) * int(layers) for rows, width, layers in found)

    @property
    def states(self) -> Cache | None:
        """The recurrent states: convolutions as `keys`, the rest as `values`."""
        layers = tuple(int(layer) for layer in re.findall(r"llama_memory_recurrent, layer +(\d+): dev =", self.text))
        size = re.search(
            r"llama_memory_recurrent: size = .*\( *(\d+) cells,.* (\d+) seqs.*"
            r"R \(f32\): +([\d.]+) MiB, S \(f32\): +([\d.]+) MiB",
            self.text,
        )
        return Cache(int(size[1]), layers, int(size[2]), size[3], size[4]) if size else None


class Engine:
    """llama.cpp in a process of its own, which is started again where a file has brought it down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._written: dict[str, Shapes] = {}
        self._shapes: Shapes = {}

    def load(self, path: Path, context: int, parallel: int) -> Log:
        """The log of loading this file with a context of `context` tokens for each of `parallel` sequences."""
        log = self.folder / "engine.log"
        if self._process is None or self._process.poll() is not None:
            with log.open("wb") as file:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    text=True,
                    env=os.environ | {"GGML_NO_BACKTRACE": "1"},
                    cwd=Path(__file__).parents[2],
                )
        start = log.stat().st_size
        self._process.stdin.write(json.dumps([str(path), context * parallel, parallel]) + "\n")
        self._process.stdin.flush()
        timer = threading.Timer(20, self._process.kill)
        timer.start()
        answer = self._process.stdout.readline()
        timer.cancel()
        if not answer:
            self._process.wait()
        error = answer.strip() or ("" if answer else "the process ended")
        # The engine writes its log from a thread of its own.
        last = b"exiting due to model loading error" if error else b"init: model loaded"
        deadline = time.monotonic() + 60
        with log.open("rb") as file:
            file.seek(start)
            text = file.read()
            while last not in text and answer and time.monotonic() < deadline:
                time.sleep(0.001)
                text += file.read()
        return Log(error, text.decode(errors="replace"))

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.stdin.close()
            self._process.wait(60)
            self._process.stdout.close()

    def write(self, path: Path, family: Family) -> Path:
        """A file of this family, with the tensors without which it is refused."""
        keys, count = family.keys, family.keys["block_count"]
        # By the second and the third the engine tells whether a file has the model and the layers that predict further.
        tensors: Shapes = {"token_embd.weight": [1], "blk.0.attn_norm.weight": [1]}
        for layer in range(count - keys.get("nextn_predict_layers", 0), count):
            tensors[f"blk.{layer}.nextn.eh_proj.weight"] = [1]
        tensors = self._written.get(family.architecture, tensors) | family.also
        metadata = _metadata(path, family)
        for _ in range(400):
            _write(path, metadata, tensors)
            log = self.load(path, 256, 1)
            if not log.error:
                self._written[family.architecture] = tensors
                self._shapes |= tensors
                return path
            if not _mend(tensors, log.text, self._shapes):
                reasons = re.findall(r"^\S+ E .*|^.*ASSERT.*", log.text, re.MULTILINE) or log.text.splitlines()[-3:]
                raise AssertionError(f"{family.architecture}: {log.error}\n" + "\n".join(reasons))
        raise AssertionError(f"{family.architecture}: still refused")


def _mend(tensors: Shapes, log: str, seen: Shapes) -> bool:
    """Add or change what the engine has refused the file for; `seen` are shapes in other files, a first guess."""
    if found := _SHAPE.search(log):
        # Its like in later layers most often have the same shape; the engine goes through layers in their order.
        wrong, shape = [*tensors[found[1]]], [int(length) for length in found[2].split(",")]
        number, suffix = _number(found[1]), _LAYER.sub("", found[1])
        for name, like in tensors.items():
            is_later = _LAYER.sub("", name) == suffix and like == wrong and _number(name) > number
            if name == found[1] or is_later:
                tensors[name] = shape
    elif found := _MISSING.search(log):
        missing = found[1] or found[2]
        if layer := _LAYER.match(missing):
            # A layer is most often like the last one that had such a tensor.
            for before in range(int(layer[1]) - 1, -1, -1):
                if f"blk.{before}.{missing.removeprefix(layer[0])}" in tensors:
                    like = [(name, shape) for name, shape in tensors.items() if name.startswith(f"blk.{before}.")]
                    for name, shape in like:
                        # Queries, keys and values are in one tensor, or each in its own.
                        if not (name.endswith("attn_qkv.weight") and f"{layer[0]}attn_q.weight" in tensors):
                            tensors.setdefault(_LAYER.sub(layer[0], name), shape)
                    break
        tensors.setdefault(missing, seen.get(missing, [1]))
    elif "wrong number of tensors" in log:
        for name in set(tensors) - set(_LOADED.findall(log)):
            del tensors[name]
    else:
        return False
    return True


def _number(name: str) -> int:
    """The layer of this tensor, -1 where it belongs to none."""
    found = _LAYER.search(name)
    return int(found[1]) if found else -1


def _metadata(path: Path, family: Family) -> bytes:
    """The keys of this family and of a tokenizer of single bytes, as they stand in a file."""
    writer = gguf.GGUFWriter(path, family.architecture)
    for key, value in family.keys.items():
        name = key if key.startswith(("tokenizer.", "xielu.")) else f"{family.architecture}.{key}"
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        else:
            writer.add_array(name, value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    further = [f"<|{number}|>" for number in range(len(_BYTES) + 1, family.keys.get("vocab_size", 0))]
    writer.add_token_list([*_BYTES, "<|end|>", *further])
    writer.add_token_types([1] * len(_BYTES) + [3] * (1 + len(further)))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(256)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path.read_bytes()


def _write(path: Path, metadata: bytes, tensors: Shapes) -> None:
    """The file with these tensors, all zeros, which take no room."""
    (entries,) = struct.unpack_from("<Q", metadata, 16)
    table, size = b"", 0
    for name, shape in tensors.items():
        # All are 32-bit floats, but for numbers of experts.
        table += tensor_entry(name, tuple(shape), 26 if name.endswith("tid2eid.weight") else 0, size)
        size += _aligned(4 * math.prod(shape))
    head = header(len(tensors), entries, metadata[24:] + table)
    path.write_bytes(head)
    os.truncate(path, _aligned(len(head)) + size)


def _aligned(size: int) -> int:
    return -(-size // 32) * 32


def _serve() -> None:
    """The engine's process: for each line with a file and its settings, load it and say how that went."""
    import xllamacpp

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # To end a server takes long, and may never come to pass.
    servers = []
    for line in sys.stdin:
        settings = xllamacpp.CommonParams()
        settings.model.path, settings.n_ctx, settings.n_parallel = json.loads(line)
        settings.verbosity = 5
        settings.warmup = settings.fit_params = settings.kv_unified = settings.ui = settings.use_jinja = False
        settings.cache_ram_mib = settings.port = 0
        settings.embedding = "bert" in settings.model.path
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = settings.n_threads_http = 1
        answer = ""
        try:
            servers.append(xllamacpp.Server(settings))
        except Exception as error:
            answer = repr(error)
        print(answer, file=answers, flush=True)
    # The engine's own way out has crashed.
    os._exit(0)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _serve()
