"""`Settings`: how vLLM is started, and its command line."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "0.33.0"
"""The release whose source was read."""
GIB = 1 << 30
# Bytes of a value, by what vLLM calls the types of caches and of weights.
CACHE_BYTES = {"auto": 2, "float16": 2, "bfloat16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
DTYPES = {"auto": 2, "float16": 2, "half": 2, "bfloat16": 2, "float32": 4, "float": 4}


@dataclass(frozen=True, slots=True)
class Settings:
    """How vLLM is started; None is vLLM's own default for the GPU (engine/arg_utils.py, get_batch_defaults)."""

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    expert_parallel: bool = False
    """Whether each GPU holds whole experts instead of a slice of each."""
    gpu_memory_utilization: float = 0.92
    max_num_batched_tokens: int | None = None
    """Tokens of one step: 2048 below 70 GiB and on an A100, 8192 from there, 16384 from 160 GiB."""
    max_num_seqs: int | None = None
    """Sequences at once: 256, or 1024 from 70 GiB (but an A100)."""
    block_size: int = 16
    """Tokens of a block, where the layers allow it."""
    kv_cache_dtype: str = "auto"
    dtype: str = "auto"
    quantization: str | None = None
    """`fp8` makes 8-bit weights of 16-bit ones at loading; what a checkpoint has quantized stays so."""
    enforce_eager: bool = False
    """Whether to do without CUDA graphs."""
    prefix_caching: bool = True
    states_per_sequence: int | None = None
    """Blocks of recurrent state that a sequence holds. None: 3 with prefix caching (mamba_mixer2.py: two, and a
    checkpoint within a prompt), 1 without. Releases before 0.30 and kernels that export no checkpoint have 2."""


def capture_sizes(settings: Settings, largest: int = 512) -> tuple[int, ...]:
    """Batch sizes that vLLM records as CUDA graphs: 1, 2, 4, by 8 up to 256, by 16 up to 2 x max_num_seqs, at most
    512, and 1024 on data-centre Blackwell (config/vllm.py, _set_cudagraph_sizes)."""
    tokens = settings.max_num_batched_tokens or 2048
    most = min((settings.max_num_seqs or 256) * 2, largest, tokens)
    sizes = [size for size in (1, 2, 4) if size <= most]
    sizes += [*range(8, min(most + 1, 256), 8), *range(256, most + 1, 16)]
    return tuple(sorted({*sizes, tokens} if tokens <= most else sizes))


def command_arguments(settings: Settings, context: int) -> tuple[str, ...]:
    """The words of `vllm serve` after the model's name, for contexts of so many tokens; defaults are left out."""
    found = [
        "--max-model-len", str(context),
        "--gpu-memory-utilization", f"{settings.gpu_memory_utilization:g}",
        "--max-num-seqs", str(settings.max_num_seqs),
        "--max-num-batched-tokens", str(settings.max_num_batched_tokens),
    ]  # fmt: skip
    for flag, value, default in (
        ("--tensor-parallel-size", settings.tensor_parallel, 1),
        ("--pipeline-parallel-size", settings.pipeline_parallel, 1),
        ("--block-size", settings.block_size, 16),
        ("--kv-cache-dtype", settings.kv_cache_dtype, "auto"),
        ("--dtype", settings.dtype, "auto"),
        ("--quantization", settings.quantization, None),
    ):
        if value != default:
            found += [flag, str(value)]
    for flag, wanted in (
        ("--enable-expert-parallel", settings.expert_parallel),
        ("--enforce-eager", settings.enforce_eager),
        ("--no-enable-prefix-caching", not settings.prefix_caching),
    ):
        if wanted:
            found.append(flag)
    return tuple(found)
