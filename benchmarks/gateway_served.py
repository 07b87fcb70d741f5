"""The gateway, or its data path alone, as `gateway_speed.py` measures it: in a process that holds nothing else.

python benchmarks/gateway_served.py PORT UPSTREAM_PORT [--whole [--lean] [WORKERS]]
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from typing import Any


async def serve_whole(port: int, upstream_port: int, workers: int = 1, *, lean: bool = False) -> None:
    """The gateway with all that it does: keys, routing, queue, health, ledger, metrics; `lean` without what can be
    turned off, the key and the ledger."""
    from weighbridge import gateway
    from weighbridge.engines import Model
    from weighbridge.settings import Settings

    url = f"http://127.0.0.1:{upstream_port}"
    names = ("mock", "mock-p20000")
    models = [Model(name, "remote", options={"url": url, "model": name}) for name in names]
    if workers > 1:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with tempfile.TemporaryDirectory() as state:
        key = "" if lean else "sk-bench"
        settings = Settings(port=port, state_dir=state, api_key=key, workers=workers, ledger=not lean)
        async with gateway.serve(models, settings) as (running, _):
            await running.pool.preload()
            gateway.settle()
            await asyncio.Event().wait()


async def no_pages(scope: Any, receive: Any, send: Any) -> None:
    """What the data path has beside it: nothing."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def serve_bare(port: int, upstream_port: int) -> None:
    """Our data path alone, in this process."""
    from weighbridge.gateway import settle
    from weighbridge.gateway.wire import Relay, Request, Response, Upstream, listen_tcp, serve

    upstream = Upstream(("127.0.0.1", upstream_port), headers=[(b"authorization", b"Bearer engine")])

    def work(request: Request, response: Response) -> None:
        Relay(response).start(upstream, request.target, request.parts, request.passed_on)

    await serve(
        [listen_tcp("127.0.0.1", port)],
        lambda request: work if request.method == b"POST" else None,
        no_pages,
    )
    settle()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    ports = int(sys.argv[1]), int(sys.argv[2])
    several = next((int(given) for given in sys.argv[3:] if given.isdecimal()), 1)
    whole = serve_whole(*ports, several, lean="--lean" in sys.argv) if "--whole" in sys.argv else None
    uvloop.run(whole or serve_bare(*ports))
