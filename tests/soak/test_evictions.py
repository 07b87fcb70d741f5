"""Ten minutes of traffic for five models in the room of two: everyone is answered in full, and nothing leaks."""

from __future__ import annotations

import os
import random
import threading
import time

import httpx2 as httpx
import openai
import psutil
import pytest

from weighbridge.training import lanes

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
FAKES = ("one", "two", "three")
# A specialist takes 40 to 50 MiB by its plan, a fake 40: two or three of the five at a time.
BUDGET_MIB = 110


@pytest.mark.soak
def test_five_models_in_the_room_of_two_fail_no_request_and_leak_nothing(gateway):
    running = gateway(
        *(f"{name}=fake:memory_bytes=40MiB,tokens_per_second=200,tokens=30,reply={name}" for name in FAKES),
        "arithmetic",
        "extract",
        WEIGHBRIDGE_MEMORY_BUDGET_BYTES=f"{BUDGET_MIB}MiB",
        WEIGHBRIDGE_TURN_SECONDS="1",
    )
    process = psutil.Process(running.process.pid)
    items = {lane: list(lanes.held_out_items(lane, 300)) for lane in lanes.names()}
    until = time.monotonic() + SECONDS
    answered: dict[str, int] = dict.fromkeys((*FAKES, *items), 0)
    right = 0
    failed: list[str] = []
    longest = 0.0
    lock = threading.Lock()

    def one(rng: random.Random, client: openai.OpenAI) -> tuple[str, bool]:
        name = rng.choice(list(answered))
        if name in items:
            item = rng.choice(items[name])
            said = client.chat.completions.create(
                model=name, temperature=0, messages=[{"role": "user", "content": item.prompt}]
            )
            return name, said.choices[0].message.content == item.answer
        stream = client.chat.completions.create(
            model=name, stream=True, messages=[{"role": "user", "content": "go on"}]
        )
        events = list(stream)
        words = "".join(event.choices[0].delta.content for event in events).split()
        return name, words == [name] * 30 and events[-1].choices[0].finish_reason == "stop"

    def talk(seed: int) -> None:
        nonlocal right, longest
        rng, client = random.Random(seed), running.client(timeout=120)
        while time.monotonic() < until:
            begun = time.monotonic()
            try:
                name, is_right = one(rng, client)
            except Exception as error:
                with lock:
                    failed.append(f"{type(error).__name__}: {error}")
                continue
            with lock:
                answered[name] += 1
                right += is_right
                longest = max(longest, time.monotonic() - begun)
            # Now and then all are silent at once, so that models are idle too.
            time.sleep(rng.choice((0, 0, 0.05, 0.5)))

    threads = [threading.Thread(target=talk, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(min(20.0, SECONDS / 4))
    files, memory = process.num_fds(), process.memory_full_info().uss
    most = 0
    while time.monotonic() < until - 2:
        time.sleep(1)
        models = httpx.get(f"{running.url}/ps", timeout=30).json()["models"]
        loaded = [model for model in models if model["state"] not in ("stopped", "failed")]
        promised = sum(model["memory_planned_bytes"] for model in loaded)
        most = max(most, promised)
        assert promised <= BUDGET_MIB << 20
    for thread in threads:
        thread.join()
    time.sleep(1)
    found = running.ps()
    loads = sum(model["loads"] for model in found.values())
    grown = process.memory_full_info().uss - memory
    print(
        f"{SECONDS:.0f} s: answered {answered}, failed {len(failed)}, loads {loads}, longest wait {longest:.1f} s, "
        f"most promised {most >> 20} of {BUDGET_MIB} MiB, files {files} -> {process.num_fds()}, grown {grown >> 10} KiB"
    )

    assert failed == []
    assert all(answered.values())
    assert right >= 0.95 * sum(answered.values())
    assert sum(model["restarts"] for model in found.values()) == 0
    assert loads >= SECONDS / 4
    assert longest < 60
    assert sum(model["requests_in_flight"] + model["requests_waiting"] for model in found.values()) == 0
    assert len(process.children(recursive=True)) <= 3
    assert process.num_fds() <= files + 10
    assert grown < 16 << 20
