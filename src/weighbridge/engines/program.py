"""Programs that serve HTTP themselves: where they listen, and when they are ready."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping

from .child_process import ChildProcess, Launch, new_socket
from .endpoint import Endpoint
from .self_test import self_test, until_healthy
from .surroundings import Surroundings


def private_endpoint(surroundings: Surroundings, *, over_socket: bool, model: str | None = None) -> Endpoint:
    """Where a program shall listen: a Unix socket that only its owner may open, or where it has no such option, a free
    port of loopback with a random key."""
    if over_socket:
        return Endpoint("http://engine", socket=new_socket(surroundings), model=model)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return Endpoint(f"http://127.0.0.1:{port}", api_key=secrets.token_urlsafe(32), model=model)


async def start_program(
    name: str,
    command: list[str],
    endpoint: Endpoint,
    environment: Mapping[str, str],
    surroundings: Surroundings,
    *,
    gives: str,
) -> ChildProcess:
    """The program once it says that it is healthy and has passed its test. EngineFailed quotes its log."""

    async def check(endpoint: Endpoint) -> None:
        await until_healthy(endpoint)
        await self_test(endpoint, name, gives=gives)

    child = ChildProcess(name, endpoint, Launch.program(command, environment, check), surroundings)
    await child.start()
    return child
