"""What `weigh fit` says is what `weigh up` does: it loads what was said to fit, and refuses the rest."""

from __future__ import annotations

import json

import pytest

from tests.conftest import run_weigh


@pytest.fixture
def model(tiny_gguf):
    # Wide enough that caches and buffers are larger than the process.
    return tiny_gguf(context=16384, width=512, heads=16, kv_heads=16, layers=6)


def planned(model, *flags: str) -> dict:
    return json.loads(run_weigh("fit", str(model), *flags, "--json").stdout)


def test_what_fits_is_loaded_at_the_largest_context_and_stays_within_the_sum(model, gateway):
    largest = planned(model)["largest_context"]
    assert largest == 16384
    plan = planned(model, "--context", str(largest))
    running = gateway(str(model), flags=("--context", str(largest)))
    (measured,) = (shown["memory_measured_bytes"] for shown in running.ps().values())

    assert plan["verdict"] == "fits"
    assert measured <= plan["memory"]["total"]
    # Caches are cleared when they are made, so they are there.
    assert measured >= plan["memory"]["kv_cache"]


def test_what_does_not_fit_is_refused_with_the_sum(tiny_gguf):
    huge = tiny_gguf(context=1 << 22, width=1024, heads=16, kv_heads=16, layers=8)
    done = run_weigh("up", str(huge), "--context", str(1 << 22), "--once", "hi")

    assert done.returncode == 1
    assert "weights" in done.stderr
    assert "cache" in done.stderr
    assert "--context" in done.stderr
