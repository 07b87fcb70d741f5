"""The process of one llama.cpp model: xllamacpp's own server on a Unix socket; no Python is in a token's path."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import life
import server_settings
import xllamacpp


def _write_log() -> None:
    """Have llama.cpp write what its log still holds: a thread of its own does that, which would end unheard with us."""
    with contextlib.suppress(OSError, AttributeError, StopIteration):
        library = ctypes.CDLL(str(next(Path(xllamacpp.__file__).parent.glob("*.so"))))
        # common/log.h: common_log_pause(common_log_main()) returns when all is written.
        library._Z15common_log_mainv.restype = ctypes.c_void_p
        library._Z16common_log_pauseP10common_log.argtypes = [ctypes.c_void_p]
        library._Z16common_log_pauseP10common_log(library._Z15common_log_mainv())
        return
    time.sleep(0.2)


def main() -> None:
    """Load the model and serve it until the parent closes our input."""
    arguments = life.begin(last=_write_log)
    settings = server_settings.of(arguments)
    settings.model_alias = {arguments["name"]}
    # A page of any origin could else ask it, where a browser can reach a socket through a proxy.
    settings.cors_origins = "http://localhost"
    settings.endpoint_metrics = True
    if arguments["embeddings"] and not arguments["pooled"]:
        # The file names no pooling, and a vector for each token is not what OpenAI's API returns.
        settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if arguments.get("ranks"):
        # Though the file says so, the server answers /v1/rerank only where it is told.
        settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    settings.verbosity = 3
    begun = time.perf_counter()
    try:
        server = xllamacpp.Server(settings)
    except Exception as error:
        _write_log()
        life.report(arguments, error=str(error))
        os._exit(1)
    Path(arguments["socket"]).chmod(0o600)
    loading = time.perf_counter() - begun
    life.report(arguments, ready=True, address=server.listening_address, load_seconds=loading)
    threading.Event().wait()


if __name__ == "__main__":
    main()
