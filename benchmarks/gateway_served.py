"""The gateway, or its data path alone, as `gateway_speed.py` measures it: in a process that holds nothing else.

python benchmarks/gateway_served.py PORT UPSTREAM_PORT [--whole]
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from typing import Any


async def serve_whole(port: int, upstream_port: int, workers: int = 1) -> None:
    """The gateway with all that it does: keys, routing, queue, health, metrics."""
    from weighbridge import gateway
    from weighbridge.engines import Model
    from weighbridge.settings import Settings

    url = f"http://127.0.0.1:{upstream_port}"
    names = ("mock", "mock-p20000")
    models = [Model(name, "remote", options={"url": url, "model": name}) for name in names]
    if workers > 1:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with tempfile.TemporaryDirectory() as state:
        settings = Settings(port=port, state_dir=state, api_key="sk-bench", workers=workers)
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
    several = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    uvloop.run(serve_whole(*ports, several) if "--whole" in sys.argv else serve_bare(*ports))
