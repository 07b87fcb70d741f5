"""A `vllm` for tests: it takes the options that vLLM 0.33.0's own parser takes, and serves what the fake serves.

No GPU and no vLLM are needed: what is tested is how its server is started, found ready, watched and ended. Like vLLM it
starts processes of its own, which do not listen to polite signals.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from weighbridge.engines import children

sys.path.insert(0, str(Path(children.__file__).parent))

OPTIONS = json.loads(Path(__file__).parents[1].joinpath("vllm_options.json").read_text())

# As vLLM 0.33.0 writes it where memory is short (v1/worker/utils.py, request_memory; v1/engine/core_client.py).
SHORT_OF_MEMORY = """\
(APIServer pid={pid}) INFO 11-21 12:00:00 [api_server.py:100] vLLM API server version 0.33.0
(EngineCore pid={pid}) ERROR 11-21 12:00:05 [core.py:700] EngineCore failed to start.
(EngineCore pid={pid}) ERROR 11-21 12:00:05 [core.py:700] Traceback (most recent call last):
(EngineCore pid={pid}) ERROR 11-21 12:00:05 [core.py:700]   File "core.py", line 691, in run_engine_core
(EngineCore pid={pid}) ERROR 11-21 12:00:05 [core.py:700] ValueError: Free memory on device cuda:0 (1.2/23.6 GiB) on \
startup is less than desired GPU memory utilization (0.92, 21.7 GiB).
Traceback (most recent call last):
  File "api_server.py", line 10, in <module>
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}
"""


def parser() -> argparse.ArgumentParser:
    """vLLM's options, strictly: nothing abbreviated, nothing unknown."""
    made = argparse.ArgumentParser(prog="vllm serve", allow_abbrev=False)
    made.add_argument("model_tag")
    for flag, option in OPTIONS["options"].items():
        if flag in ("-h", "--help"):
            continue
        if option["values"] == 0:
            made.add_argument(flag, action="store_true")
            continue
        kinds: dict[str, Any] = {"int": int, "float": float}
        values = None if option["values"] == 1 else option["values"]
        made.add_argument(flag, nargs=values, choices=option.get("choices"), type=kinds.get(option.get("type"), str))
    return made


def main() -> None:
    """`vllm serve FOLDER ...`."""
    assert sys.argv[1] == "serve"
    given = parser().parse_args(sys.argv[2:])
    if os.environ.get("PRETEND") == "short of memory":
        print(SHORT_OF_MEMORY.format(pid=os.getpid()), flush=True)
        sys.exit(1)
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)
        os._exit(0)
    import fake

    async def serve() -> None:
        serving = fake.Fake({"name": given.served_model_name[0]})
        if given.uds:
            server = await asyncio.start_unix_server(serving.handle, given.uds)
        else:
            server = await asyncio.start_server(serving.handle, given.host, given.port)
        await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
