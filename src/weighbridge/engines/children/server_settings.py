"""How every child of ours asks xllamacpp's server to run a model."""

from __future__ import annotations

from typing import Any

import xllamacpp


def of(arguments: dict[str, Any]) -> xllamacpp.CommonParams:
    """A model on a Unix socket, with context, slots and threads as planned.

    The plan decides: llama.cpp's own fit looks at the machine's total memory, and its cache of prompts in main memory
    would take 8 GiB that no plan knows of.
    """
    settings = xllamacpp.CommonParams()
    settings.model.path = arguments["path"]
    settings.hostnames = [arguments["socket"]]
    settings.ui = False
    settings.fit_params = False
    settings.cache_ram_mib = 0
    settings.n_ctx = arguments["context_tokens"] * arguments["parallel"]
    settings.n_parallel = arguments["parallel"]
    settings.kv_unified = False
    settings.ctx_shift = False
    settings.cpuparams.n_threads = arguments["threads"]
    settings.cpuparams_batch.n_threads = arguments["threads"]
    return settings
