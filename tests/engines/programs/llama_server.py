"""A llama-server for tests: llama.cpp's own argument parser and its own server, both out of the wheel.

The wheel holds the whole of llama.cpp's server but its `main`. This is that `main`: it gives the command line to
`common_params_parse` (common/arg.cpp), which refuses what it does not know and answers --help and --version, and starts
the server with what came of it. So an option that llama-server has not is an error here too.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from pathlib import Path

import xllamacpp

# common/common.h, enum llama_example: the one whose options include --host.
_SERVER = 12
_HEAD_BYTES = 16
"""Where the wheel's object keeps its common_params: behind the head of every Python object."""


def parsed(words: list[str]) -> xllamacpp.CommonParams:
    """The settings that these words make, by llama.cpp's own parser; it ends the process at what it does not know."""
    library = ctypes.CDLL(str(next(Path(xllamacpp.__file__).parent.glob("*.so"))))
    parse = library._Z19common_params_parseiPPcR13common_params13llama_examplePFviS0_E
    parse.restype = ctypes.c_bool
    parse.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    settings = xllamacpp.CommonParams()
    # Its first three numbers tell that it lies there: n_predict -1, n_ctx 0, n_batch 2048.
    first = (ctypes.c_int32 * 3).from_address(id(settings) + _HEAD_BYTES)
    assert list(first) == [-1, 0, 2048], list(first)
    raw = [b"llama-server", *(word.encode() for word in words)]
    argv = (ctypes.c_char_p * (len(raw) + 1))(*raw, None)
    if not parse(len(raw), ctypes.addressof(argv), id(settings) + _HEAD_BYTES, _SERVER, None):
        os._exit(1)
    return settings


def main() -> None:
    """Serve until somebody ends us."""
    settings = parsed(sys.argv[1:])
    try:
        server = xllamacpp.Server(settings)
    except Exception as error:
        print(error, file=sys.stderr, flush=True)
        threading.Event().wait(0.2)
        os._exit(1)
    threading.Event().wait()
    del server


if __name__ == "__main__":
    main()
