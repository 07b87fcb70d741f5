"""Fetching: bytes sent again after a kill at 50 %, and speed beside curl and huggingface_hub's own, from a hub here.

    .venv/bin/python benchmarks/hub_resume.py

A hub on this machine serves one file over loopback, so the figures are those of the client: how fast it takes bytes,
writes them and takes their sum. All three ask the same hub; curl takes no sum, and neither does huggingface_hub. What
the killed process had asked for but not written yet lies in the kernel's buffers between the two: that is what is sent
again, and how much there is depends on the sizes of those, not on the file.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")]

from tests.facts.hub_server import Fault, running_hub  # noqa: E402

MIB = 1 << 20
REPOSITORY, NAME = "acme/bench-GGUF", "bench-Q4_K_M.gguf"


def serve(pipe: multiprocessing.connection.Connection, size: int) -> None:
    """The hub, in a process of its own: its work is not the client's."""
    content = os.urandom(size)
    with running_hub({REPOSITORY: {NAME: content}}) as hub:
        pipe.send((hub.url, hashlib.sha256(content).hexdigest()))
        while (asked := pipe.recv()) is not None:
            if isinstance(asked, int):
                hub.faults = {NAME: Fault(bytes_per_second=asked)} if asked else {}
                hub.sent = 0
            pipe.send(hub.sent)


@contextlib.contextmanager
def hub_process(size: int) -> Iterator[tuple[multiprocessing.connection.Connection, str, str]]:
    """A pipe to the hub, its address, and the sum of its file."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, size), daemon=True)
    process.start()
    url, total = ours.recv()
    try:
        yield ours, url, total
    finally:
        ours.send(None)
        process.join()


def asked(pipe: multiprocessing.connection.Connection, what: int | str) -> int:
    """Set the hub's speed (0: as fast as it can), or ask how many bytes it has sent since."""
    pipe.send(what)
    return int(pipe.recv())


def environment(url: str, folder: Path) -> dict[str, str]:
    """What the clients read: this hub, and folders of their own."""
    return os.environ | {
        "HF_ENDPOINT": url, "HF_HOME": str(folder), "WEIGHBRIDGE_STATE_DIR": str(folder / "state"),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_TOKEN": "",
        "PYTHONPATH": str(Path(__file__).parents[1] / "src"),
    }  # fmt: skip


def sent_again(pipe: multiprocessing.connection.Connection, url: str, size: int, folder: Path) -> dict[str, Any]:
    """Kill `weigh get` when half of the file is on disk, run it again, and count what the hub sent in all."""
    asked(pipe, size // 6)
    command = [sys.executable, "-m", "weighbridge", "get", REPOSITORY]
    first = subprocess.Popen(command, env=environment(url, folder), stderr=subprocess.DEVNULL)
    parts = folder.glob("hub/*/blobs/*.part")
    while not (part := next(parts, None)):
        parts = folder.glob("hub/*/blobs/*.part")
        time.sleep(0.01)
    while part.stat().st_size < size // 2:
        time.sleep(0.002)
    first.kill()
    first.wait()
    held = part.stat().st_size
    time.sleep(0.5)
    before = asked(pipe, "sent")
    asked(pipe, 0)
    subprocess.run(command, env=environment(url, folder), check=True, capture_output=True)
    after = asked(pipe, "sent")
    return {
        "size_bytes": size, "on_disk_at_kill_bytes": held, "sent_before_bytes": before, "sent_after_bytes": after,
        "written_and_sent_again_bytes": held + after - size, "sent_again_bytes": before + after - size,
        "sent_again_share": (before + after - size) / size,
    }  # fmt: skip


def speeds(url: str, size: int, folder: Path, rounds: int) -> dict[str, list[float]]:
    """MB/s of each client, in turn, so that what else the machine does falls on all alike."""
    address = f"{url}/{REPOSITORY}/resolve/main/{NAME}"
    theirs = "import sys, huggingface_hub as h; h.hf_hub_download(sys.argv[1], sys.argv[2])"
    ours = "import sys, os; from weighbridge import hub; from weighbridge.facts import HubAccess; " \
           "hub.fetch(sys.argv[1], HubAccess.from_environment(os.environ))"  # fmt: skip
    nothing = [sys.executable, "-c", "import huggingface_hub"]
    clients = {
        "curl": ["curl", "-sSL", "-o", "OUT", address],
        "curl, then sha256sum": ["sh", "-c", f"curl -sSL -o OUT '{address}' && sha256sum OUT"],
        "huggingface_hub": [sys.executable, "-c", theirs, REPOSITORY, NAME],
        "weighbridge": [sys.executable, "-c", ours, REPOSITORY],
    }
    found: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(rounds):
        for name, command in clients.items():
            here = folder / f"{number}-{len(found[name])}-{name.replace(' ', '')}"
            here.mkdir()
            started = time.monotonic()
            subprocess.run(nothing, check=True)
            start_up = time.monotonic() - started if name in ("huggingface_hub", "weighbridge") else 0.0
            started = time.monotonic()
            subprocess.run(command, env=environment(url, here), cwd=here, check=True, capture_output=True)
            found[name].append(size / (time.monotonic() - started - start_up) / 1e6)
            shutil.rmtree(here)
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="size of the file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    size = arguments.mib * MIB
    with tempfile.TemporaryDirectory() as name, hub_process(size) as (pipe, url, total):
        folder = Path(name)
        (folder / "kill").mkdir()
        resumed = sent_again(pipe, url, size, folder / "kill")
        (blob,) = (folder / "kill").glob(f"hub/*/blobs/{total}")
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == total
        shutil.rmtree(folder / "kill")
        measured = speeds(url, size, folder, arguments.rounds)
    if arguments.json:
        print(json.dumps({"resume": resumed, "megabytes_per_second": measured}, indent=2))
        return
    print(f"killed (SIGKILL) with {resumed['on_disk_at_kill_bytes']:,} of {size:,} bytes on disk")
    print(f"  of those sent again:      {resumed['written_and_sent_again_bytes']:,} bytes")
    print(
        f"  sent again in all:        {resumed['sent_again_bytes']:,} bytes, {resumed['sent_again_share']:.3%} of the "
        "file: what was under way in the kernel's buffers"
    )
    print(f"MB/s over loopback, median of {arguments.rounds} (lowest to highest), {arguments.mib} MiB:")
    for client, rates in measured.items():
        print(f"  {client:<22} {statistics.median(rates):6.0f}  ({min(rates):.0f} to {max(rates):.0f})")


if __name__ == "__main__":
    main()
