"""The process of one llama.cpp model: xllamacpp's own server on a Unix socket; no Python is in a token's path."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import life
import xllamacpp


def main() -> None:
    """Load the model and serve it until the parent closes our input."""
    arguments = life.begin()
    settings = xllamacpp.CommonParams()
    settings.model.path = arguments["path"]
    settings.model_alias = {arguments["name"]}
    settings.hostnames = [arguments["socket"]]
    settings.ui = False
    settings.cors_origins = "http://localhost"
    settings.endpoint_metrics = True
    settings.embedding = arguments["embeddings"]
    if arguments["embeddings"] and not arguments["pooled"]:
        # The file names no pooling, and a vector for each token is not what OpenAI's API returns.
        settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    # The plan decides: llama.cpp's own fit looks at the machine's total memory, and its cache of prompts in main memory
    # would take 8 GiB that no plan knows of.
    settings.fit_params = False
    settings.cache_ram_mib = 0
    settings.n_ctx = arguments["context_tokens"] * arguments["parallel"]
    settings.n_parallel = arguments["parallel"]
    settings.kv_unified = False
    settings.ctx_shift = False
    settings.cpuparams.n_threads = arguments["threads"]
    settings.cpuparams_batch.n_threads = arguments["threads"]
    settings.verbosity = 3
    try:
        server = xllamacpp.Server(settings)
    except Exception as error:
        life.report(arguments, error=str(error))
        os._exit(1)
    Path(arguments["socket"]).chmod(0o600)
    life.report(arguments, ready=True, address=server.listening_address)
    threading.Event().wait()


if __name__ == "__main__":
    main()
