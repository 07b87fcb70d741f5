"""What is counted is said in Prometheus' own format: its official reader finds the same numbers."""

from __future__ import annotations

import json
import math

import httpx2 as httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from weighbridge.gateway.counting import Counter, Family, Gauge, Histogram, as_text


def read(text: bytes) -> dict[tuple, float]:
    """Every sample: name and labels, and its value."""
    families = text_string_to_metric_families(text.decode())
    return {(each.name, *sorted(each.labels.items())): each.value for family in families for each in family.samples}


LABELS = st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4, unique=True)


@settings(deadline=None)
@given(LABELS, st.floats(0, 1e300), st.floats())
def test_the_official_reader_finds_what_was_counted_whatever_the_labels_hold(labels, count, level):
    counters = Family(Counter, "asked", "Asked.", ("model", "by"))
    gauges = Family(Gauge, "level", "Level.")
    for values in labels:
        counters.labels(*values).inc(count)
        counters.labels(*values).inc()
    gauges.labels().set(level)
    found = read(as_text([counters, gauges]))

    for model, by in labels:
        assert found["asked_total", ("by", by), ("model", model)] == count + 1
    assert found["level",] == level or math.isnan(level)
    assert len(found) == len(labels) + 1


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6)))
def test_a_histogram_counts_each_observation_at_every_bound_above_it(seconds):
    family = Family(Histogram, "took_seconds", "Took.", ("model",))
    for each in seconds:
        family.labels("m").observe(each)
    family.labels("m")
    found = read(as_text([family]))

    for bound in Histogram.bounds:
        shown = "+Inf" if bound == math.inf else repr(float(bound))
        assert found["took_seconds_bucket", ("le", shown), ("model", "m")] == sum(each <= bound for each in seconds)
    assert found["took_seconds_count", ("model", "m")] == len(seconds)
    assert math.isclose(found["took_seconds_sum", ("model", "m")], math.fsum(seconds), rel_tol=1e-9)


def test_the_gateways_own_page_is_read_and_knows_its_models(bundled_gateway):
    asked = {"model": "extract", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
    assert httpx.post(bundled_gateway.url + "/v1/chat/completions", json=asked).status_code == 200
    found = read(httpx.get(bundled_gateway.url + "/metrics").content)

    path = ("path", "/v1/chat/completions")
    route = ("route", "name")
    assert found["weighbridge_requests_total", ("model", "extract"), path, route, ("status", "200")] >= 1
    assert found["weighbridge_request_seconds_count", ("model", "extract"), route] >= 1
    assert found["weighbridge_model_state", ("model", "extract"), ("state", "ready")] == 1
    assert found["weighbridge_requests_in_flight",] == 0


def test_a_streams_times_are_counted_by_model_and_route(fake_gateway):
    def counted() -> dict:
        found = read(httpx.get(fake_gateway.url + "/metrics").content)
        names = ("time_to_first_token", "inter_token", "longest_gap", "queue", "request")
        return {
            (name, what): found.get((f"weighbridge_{name}_seconds_{what}", ("model", "fake"), ("route", "name")), 0)
            for name in names
            for what in ("count", "sum")
        }

    before = counted()
    asked = {"model": "fake", "stream": True, "stream_options": {"include_usage": True}}
    body = asked | {"messages": [{"role": "user", "content": "go on"}]}
    text = httpx.post(fake_gateway.url + "/v1/chat/completions", json=body, timeout=30).text
    tokens = json.loads(text.split("data: ")[-2])["usage"]["completion_tokens"]
    more = {name: value - before[name] for name, value in counted().items()}

    assert more["time_to_first_token", "count"] == more["queue", "count"] == more["request", "count"] == 1
    assert more["inter_token", "count"] == tokens - 1
    assert more["longest_gap", "count"] == 1
    pauses = text.count("data: ") - 1
    assert 0 <= more["inter_token", "sum"] <= more["longest_gap", "sum"] * pauses + 1e-9
    assert more["time_to_first_token", "sum"] + more["inter_token", "sum"] <= more["request", "sum"] + 1e-9
