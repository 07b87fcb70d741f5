"""What a GPU holds before the cache is made: weights, the activations of the largest step, graphs, CUDA itself."""

from __future__ import annotations

from collections.abc import Sequence

from weighbridge.facts import ModelFacts
from weighbridge.figures import Basis, Figure
from weighbridge.fit.heads import is_latent, latent_lengths
from weighbridge.fit.memory import MemoryNeed

from .settings import DTYPES, GIB, capture_sizes
from .splitting import Split
from .weights import Part, padding_of, share_of, stage_weights

CONTEXT = Figure(0.5 * GIB, Basis.ASSUMED, "logs: 0.35 GiB (vllm#10517), 0.30 (#15815); 1.8 on one H100 (#10511)")
"""Bytes that CUDA's context, cuBLAS and the kernels take of each GPU, beside torch's own."""
COMMUNICATION = Figure(0.25 * GIB, Basis.ASSUMED, "logs: 0.75 GiB beside the weights at two GPUs (club-3090#1087)")
"""Bytes more where GPUs work together: NCCL's buffers and those of the custom all-reduce."""
GRAPH = Figure(4 << 20, Basis.ASSUMED, "logs: 0.14 GiB for 30 graphs, 0.08 for 102, 0.36 for 16; at least 1 MiB each")
"""Bytes of one captured CUDA graph; gpu_model_runner.py, profile_cudagraph_memory, counts at least 1 MiB."""

ENCODER = Figure(1.6 * GIB, Basis.ASSUMED, "log: 1.59 GiB for Qwen3.8-27B on two GPUs, whose text takes 0.63 "
                 "(club-3090#1087)")  # fmt: skip
"""Least bytes of activations where there is an encoder of images or sound."""
REPACKED = Figure(0.06, Basis.ASSUMED, "logs: 3.3 GiB more than the sum for gpt-oss-120b (vllm#23278, #27508)")
"""What more MXFP4 experts take, of their own size, after they were laid out anew for the kernel at loading."""

# Bytes of one score at the sampler: 16-bit, its 32-bit copy, the probabilities, the noise (v1/sample/sampler.py and
# ops/topk_topp_sampler.py with Triton). 13 to 15 fit two logs of 0.19 (gpt-oss-20b, gemma-4-26B); before that it was
# sorted, and took 27 to 41.
_SCORE_BYTES = 14


def fixed_need(facts: ModelFacts, split: Split, parts: Sequence[Part], stage: int) -> MemoryNeed:
    """Weights, activations and overhead of one GPU of the stage.

    A step's activations are gone when it is sampled from, but for the experts' workspace (v1/worker/workspace.py).
    """
    settings = split.settings
    tokens, sequences = settings.max_num_batched_tokens or 2048, settings.max_num_seqs or 256
    sampled = 0
    if stage == len(split.stages) - 1:
        sampled = _SCORE_BYTES * min(tokens, sequences) * (facts.vocabulary_size or 0)
    overhead = int(CONTEXT.value)
    if len(split.stages) * split.ways > 1:
        overhead += int(COMMUNICATION.value)
    if not settings.enforce_eager:
        overhead += _graphs(facts, split)
    if padding_of(facts, settings):
        experts = (part for part in parts if part.role == "routed_experts")
        here = (part for part in experts if part.layer is None or part.layer in split.stages[stage])
        overhead += int(REPACKED.value * sum(share_of(facts, split, part) for part in here))
    compute = _expert_workspace(facts, split, tokens) + max(_activations(facts, split, tokens), sampled)
    if not stage and has_encoder(facts):
        compute = max(compute, int(ENCODER.value))
    return MemoryNeed(weights=stage_weights(facts, split, parts, stage), compute=compute, overhead=overhead)


def has_encoder(facts: ModelFacts) -> bool:
    """Whether it has an encoder of images or sound, which vLLM runs once with the largest of them."""
    return bool(facts.parameters.vision or facts.parameters.audio)


def _activations(facts: ModelFacts, split: Split, tokens: int) -> int:
    """Bytes that live at once in a step of so many tokens, 16 bits each: three times the width (input, residual,
    output) and the widest of gate, up and their product (models/llama.py, LlamaMLP), or queries, keys, values and
    what is attended.

    Llama-3.1-8B: 2 x (3 x 14336 + 3 x 4096) = 110,592 B a token. Two logs that differ by 9000 tokens differ by 0.92
    GiB (vllm#10517): 109,800.
    """
    width, inner, ways = facts.embedding_length or 0, facts.feed_forward_length or 0, split.ways
    shared = (facts.experts.shared or 0) if facts.experts else 0
    if shared and facts.expert_feed_forward_length:
        inner = max(inner, shared * facts.expert_feed_forward_length)
    attention = 0
    for index, layer in enumerate(facts.layers):
        heads = facts.head_count or 1
        length = max(1, layer.values // split.kv_heads[index]) if layer.values else 0
        queries = heads * length
        if is_latent(layer):
            # mla_attention.py: queries and keys of 192, values of 128 a head (DeepSeek-V3), while a prompt is read.
            queries = heads * sum(latent_lengths(facts)[:2])
        attention = max(attention, 2 * queries // ways + (layer.keys + layer.values) // split.kv_ways(index))
    return DTYPES[split.settings.dtype] * tokens * (3 * width + max(-(-3 * inner // ways), attention))


def _expert_workspace(facts: ModelFacts, split: Split, tokens: int) -> int:
    """Two workspaces of the fused experts, of one row for each expert of each token, and the output
    (fused_moe/experts/triton_moe.py, workspace_shapes): Qwen3-30B-A3B: 2 x 2048 x (8 x (2048 + 2048) + 2048)."""
    if not facts.experts:
        return 0
    width = facts.embedding_length or 0
    inner = facts.expert_feed_forward_length or facts.feed_forward_length or 0
    if not split.settings.expert_parallel:
        inner = -(-inner // split.ways)
    rows = facts.experts.used * (max(inner, width) + max(2 * inner, width)) + width
    return DTYPES[split.settings.dtype] * tokens * rows


def _graphs(facts: ModelFacts, split: Split) -> int:
    """CUDA graphs, which vLLM sets aside since 0.21 (gpu_worker.py): one for each size of mixed steps, one for each
    size of pure decoding, and once the activations of the largest."""
    sizes = capture_sizes(split.settings, split.largest_graph)
    count = len(sizes) + sum(size <= (split.settings.max_num_seqs or 256) for size in sizes)
    largest = max(sizes, default=0)
    shared = _activations(facts, split, largest) + _expert_workspace(facts, split, largest)
    return shared + count * int(GRAPH.value)
