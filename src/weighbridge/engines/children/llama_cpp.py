"""The process of one llama.cpp model: xllamacpp's own server on a Unix socket; no Python is in a token's path."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import life
import server_settings
import xllamacpp


def main() -> None:
    """Load the model and serve it until the parent closes our input."""
    arguments = life.begin()
    settings = server_settings.of(arguments)
    settings.model_alias = {arguments["name"]}
    settings.cors_origins = "http://localhost"
    settings.endpoint_metrics = True
    settings.embedding = arguments["embeddings"]
    if arguments["embeddings"] and not arguments["pooled"]:
        # The file names no pooling, and a vector for each token is not what OpenAI's API returns.
        settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
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
