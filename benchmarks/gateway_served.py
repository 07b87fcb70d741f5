"""The gateway, or its data path alone, as `gateway_speed.py` measures it: in a process that holds nothing else.

python benchmarks/gateway_served.py PORT UPSTREAM_PORT [--whole]
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile


async def serve_whole(port: int, upstream_port: int) -> None:
    """The gateway with all that it does: keys, routing, queue, health, metrics. Its engine's list of models, which the
    mock does not have, stands in for it while the model is loaded."""
    from weighbridge import gateway
    from weighbridge.engines import Model
    from weighbridge.settings import Settings

    names = ("mock", "mock-p20000")

    async def list_models(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listed = json.dumps({"data": [{"id": name, "max_model_len": 4096} for name in names]}).encode()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(listed), listed))
        writer.close()

    listing = await asyncio.start_server(list_models, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listing.sockets[0].getsockname()[1]}"
    models = [Model(name, "remote", options={"url": url, "model": name}) for name in names]
    with tempfile.TemporaryDirectory() as state:
        settings = Settings(port=port, state_dir=state, api_key="sk-bench")
        async with gateway.serve(models, settings) as (running, _):
            await running.pool.preload()
            listing.close()
            for life in running.pool.lives.values():
                life.connection.wire.address = ("127.0.0.1", upstream_port)  # type: ignore[attr-defined]
            gateway.settle()
            await asyncio.Event().wait()


async def serve_bare(port: int, upstream_port: int) -> None:
    """Our data path alone, in this process."""
    from starlette.responses import PlainTextResponse

    from weighbridge.gateway import settle
    from weighbridge.gateway.wire import Relay, Request, Response, Upstream, listen_tcp, serve

    upstream = Upstream(("127.0.0.1", upstream_port), headers=[(b"authorization", b"Bearer engine")])

    def work(request: Request, response: Response) -> None:
        Relay(response).start(upstream, request.target, request.parts, request.passed_on)

    await serve(
        [listen_tcp("127.0.0.1", port)],
        lambda request: work if request.method == b"POST" else None,
        PlainTextResponse("ready"),
    )
    settle()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run((serve_whole if "--whole" in sys.argv else serve_bare)(int(sys.argv[1]), int(sys.argv[2])))
