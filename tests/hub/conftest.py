"""A hub with a few repositories, and somebody who asks it."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.facts.hub_server import Hub, running_hub
from tests.gguf_files import write_model
from weighbridge.facts import HubAccess
from weighbridge.facts.shelves import Patience

MIB = 1 << 20
CARD = b"---\nlicense: apache-2.0\n---\n# A model\n"
QUICK = Patience(connect_seconds=30, read_seconds=30, pause_seconds=0.01)


def noise(count: int, seed: int = 0) -> bytes:
    """Bytes that no two places share."""
    return random.Random(seed).randbytes(count)


@pytest.fixture(scope="session")
def model_bytes(tmp_path_factory) -> bytes:
    """A GGUF file that can be read."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny.gguf", width=128, inner=512).read_bytes()


@pytest.fixture
def server(model_bytes) -> Iterator[Hub]:
    """A hub over real sockets."""
    shards = [f"big-Q8_0-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]
    repositories = {
        "acme/tiny-GGUF": {
            "tiny-Q4_K_M.gguf": model_bytes,
            "tiny-Q8_0.gguf": model_bytes + b"8",
            "mmproj-tiny.gguf": b"GGUF eyes",
            "README.md": CARD,
            "LICENSE": b"MIT License\n",
        },
        "acme/big-GGUF": {
            "big-Q4_K_M.gguf": noise(4 * MIB, 1),
            **{name: noise(MIB // 2, number) for number, name in enumerate(shards, 2)},
            "README.md": CARD,
        },
    }
    with running_hub(repositories) as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def access(server: Hub, tmp_path: Path) -> HubAccess:
    """Who asks the hub, with a cache and stores of their own."""
    return HubAccess(
        endpoint=server.url, token=None, cache=tmp_path / "hf" / "hub", ollama=tmp_path / "ollama",
        lmstudio=(tmp_path / "lmstudio" / "models",), patience=QUICK,
    )  # fmt: skip


@pytest.fixture
def offline(access: HubAccess) -> HubAccess:
    return dataclasses.replace(access, offline=True)


@pytest.fixture
def environment(server: Hub, tmp_path: Path) -> dict[str, str]:
    """The same for a process."""
    return {
        "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf"), "HOME": str(tmp_path / "home"),
        "WEIGHBRIDGE_STATE_DIR": str(tmp_path / "state"), "COLUMNS": "80", "HF_TOKEN": "",
        "PYTHONPATH": os.pathsep.join(filter(None, ["src", os.environ.get("PYTHONPATH", "")])),
    }  # fmt: skip


@pytest.fixture
def part_of(access: HubAccess) -> Callable[[], Path]:
    """The one part that a fetch which was cut off left."""

    def find() -> Path:
        (part,) = access.cache.glob("models--*/blobs/*.part")
        return part

    return find
