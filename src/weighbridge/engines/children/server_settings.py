"""How every child of ours asks xllamacpp's server to run a model."""

from __future__ import annotations

from typing import Any

import xllamacpp


def of(arguments: dict[str, Any]) -> xllamacpp.CommonParams:
    """A model on a Unix socket, with all that its memory was planned for.

    The plan decides: llama.cpp's own fit looks at the machine's total memory, and its cache of prompts in main memory
    would take 8 GiB that no plan knows of.
    """
    settings = xllamacpp.CommonParams()
    settings.model.path = arguments["path"]
    settings.hostnames = [arguments["socket"]]
    settings.ui = False
    settings.fit_params = False
    settings.cache_ram_mib = 0
    settings.n_parallel = arguments["parallel"]
    # A unified cache is one pool that all sequences share; else each has its own part.
    settings.kv_unified = arguments.get("unified_cache", False)
    settings.n_ctx = arguments["context_tokens"] * (1 if settings.kv_unified else arguments["parallel"])
    settings.n_ubatch = arguments.get("ubatch_tokens", settings.n_ubatch)
    settings.embedding = arguments.get("embeddings", False)
    if settings.embedding:
        # Pooling asserts that a step divides evenly among the sequences (512 among 3 does not: 510).
        settings.n_ubatch = max(settings.n_ubatch - settings.n_ubatch % settings.n_parallel, settings.n_parallel)
    settings.n_batch = max(settings.n_batch, settings.n_ubatch)
    settings.swa_full = arguments.get("full_windows", False)
    settings.flash_attn_type = (
        xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
        if arguments.get("flash_attention", True)
        else xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    if arguments.get("cache_type_k"):
        settings.cache_type_k = _cache_type(arguments["cache_type_k"])
    if arguments.get("cache_type_v"):
        settings.cache_type_v = _cache_type(arguments["cache_type_v"])
    if arguments.get("mmproj"):
        settings.mmproj.path = arguments["mmproj"]
    if arguments.get("draft"):
        settings.speculative.draft.mparams.path = arguments["draft"]
        settings.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    settings.ctx_shift = False
    settings.cpuparams.n_threads = arguments["threads"]
    settings.cpuparams_batch.n_threads = arguments["threads"]
    return settings


def _cache_type(name: str) -> Any:
    """llama.cpp's number of a type of the cache: `q8_0` is GGML_TYPE_Q8_0."""
    return getattr(xllamacpp.ggml_type, f"GGML_TYPE_{name.upper()}")
