"""The process in which llama.cpp's speed is measured: loads one model, runs what it is asked for, and reports once.

It is the engine as it serves: xllamacpp's own server in this process, asked in its own words, so that sampling counts
as it does when a user waits. Each run tells wall-clock seconds and processor seconds of the prompt and of the answer.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import life
import server_settings
import xllamacpp


def _ask(server: Any, prompt: list[int], tokens: int) -> dict[str, Any]:
    answer: dict[str, Any] = server.handle_completions(
        {"prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "cache_prompt": True, "seed": 1}
    )
    if "timings" not in answer:
        raise RuntimeError(str(answer.get("error", answer))[:300])
    return answer


def _prompt(tokens: int, seed: int) -> list[int]:
    """Tokens of the byte alphabet, so that they are in any vocabulary; another seed shares no beginning."""
    return [(seed * 101 + place * 7 + place // 97) % 250 + 1 for place in range(tokens)]


def _run(server: Any, run: dict[str, int], number: int) -> dict[str, Any]:
    """One prompt of `prompt` tokens for each of `parallel` sequences, then `generate` tokens after it, `repeats` times.

    The prompt stays in the cache: a second request computes one token of it and then the answer.
    """
    parallel, generate = run.get("parallel", 1), run["generate"]
    prompts = [_prompt(run["prompt"], number * 16 + sequence) for sequence in range(parallel)]
    begun, used = time.perf_counter(), time.process_time()
    for prompt in prompts:
        timings = _ask(server, prompt, 1)["timings"]
    prefill = {
        "tokens": timings["prompt_n"],
        "seconds": timings["prompt_ms"] / 1000,
        "cpu_seconds": (time.process_time() - used) / parallel,
        "wall_seconds": (time.perf_counter() - begun) / parallel,
    }
    steps = []
    for _ in range(run.get("repeats", 1)):
        steps.append(_decode(server, prompts, generate))
    return {"run": run, "prefill": prefill, "decode": steps}


def _decode(server: Any, prompts: list[list[int]], generate: int) -> dict[str, float]:
    """Seconds of one step, in which every sequence gets one token."""
    answers: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda p=prompt: answers.append(_ask(server, p, generate))) for prompt in prompts
    ]
    used = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = time.process_time() - used
    # The first token comes of the prompt's last one, which is computed again: as many steps as tokens.
    seconds = max(answer["timings"]["predicted_ms"] for answer in answers) / 1000 / max(1, generate - 1)
    return {"seconds": seconds, "cpu_seconds": used / generate}


def main() -> None:
    """Load, measure, report, end."""
    arguments = life.begin()
    settings = server_settings.of(arguments)
    begun = time.perf_counter()
    try:
        server = xllamacpp.Server(settings)
        load_seconds = time.perf_counter() - begun
        results = [_run(server, run, number) for number, run in enumerate(arguments["runs"])]
    except Exception as error:
        life.report(arguments, error=str(error))
        os._exit(1)
    life.report(arguments, ready=True, load_seconds=load_seconds, version=xllamacpp.__version__, results=results)
    # Never through the engine's destructor, which can hang.
    os._exit(0)


if __name__ == "__main__":
    main()
