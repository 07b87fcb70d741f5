"""The record: what is kept of what was read, and what is reckoned from counts."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import SHARED
from tests.digest.editions import RIGHT, SINCE, UNTIL, VERDICTS, fill
from tests.facts.hub_server import running_hub
from weighbridge import facts
from weighbridge.digest.claim import Claim
from weighbridge.digest.found import Listing, Sighting, Step
from weighbridge.digest.kept import Fact
from weighbridge.digest.knowledge.own import recall
from weighbridge.digest.movers import movers
from weighbridge.digest.page import Page
from weighbridge.digest.record import AROUND, Record
from weighbridge.digest.sources.file import series
from weighbridge.digest.verdict import Ruling, Verdict
from weighbridge.digest.verifying import read_files
from weighbridge.facts import HubAccess
from weighbridge.figures import Basis
from weighbridge.store import FILE_NAME, Store


@pytest.fixture
def record(tmp_path):
    with Store(tmp_path) as store:
        yield Record(store)


def test_claims_and_verdicts_come_back_as_they_were_kept(record):
    fill(record)

    rows = record.claims(record.pages(SINCE, UNTIL))

    assert {row.verdict for row in rows} == {verdict for found in VERDICTS.values() for verdict in found}
    assert all(row.checked == UNTIL for row in rows)


def test_a_pages_text_goes_with_the_reading_of_its_claims_but_for_the_words_around(tmp_path):
    secret, far = "a sentence that nobody quoted", "x " * AROUND
    text = f"{secret} {far} Qwen3-8B has 8.2B parameters. {far} {secret}"
    page = Page("https://a.example/", text, "T", "2026-04-18", UNTIL)
    start = text.index("8.2B")
    claim = Claim("Qwen3-8B", "parameters_total", 8.2e9, "8.2B", start, start + 4)
    with Store(tmp_path) as store:
        record = Record(store)
        record.keep(Step((page,)), "web:x")
        assert record.unread()[0].page == page
        record.keep_claims(record.unread()[0], [claim])

        assert record.unread() == []
        [left] = record.around(record.pages(SINCE, UNTIL)).values()
        assert len(left) == len(text)
        assert left[start - 13 : start + 15] == text[start - 13 : start + 15]
        store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        store.write("VACUUM")
    assert secret not in left
    assert secret.encode() not in (tmp_path / FILE_NAME).read_bytes()


def test_a_verdict_is_kept_anew_only_where_it_changed(record):
    fill(record)
    [row] = [row for row in record.claims(record.pages(SINCE, UNTIL)) if row.claim.value == 671e9]
    assert row.verdict is not None
    record.keep_verdicts([(row.id, row.verdict)], "2026-05-01")
    assert record.verdict_changes("2026-04-20", "2026-06-01") == []

    record.keep_verdicts([(row.id, Verdict(row.claim, Ruling.EXPIRED, (), "DeepSeek-V3"))], "2026-05-02")

    assert record.verdict_changes("2026-04-20", "2026-06-01") == [(row.id, "2026-05-02", "supported", "expired")]
    assert record.verdict_changes("2026-04-20", "2026-05-01") == []


def test_of_a_page_that_was_changed_the_newest_words_count(record):
    fill(record)
    changed = Page(RIGHT.address, "DeepSeek V3 has 685B parameters.", RIGHT.title, RIGHT.published, "2026-04-25")
    record.keep(Step((changed,)), "feed:https://a.example/feed")

    pages = [kept.page for kept in record.pages(SINCE, UNTIL) if kept.page.address == RIGHT.address]

    assert [page.fetched for page in pages] == ["2026-04-25"]


def test_what_a_step_brought_is_kept_whole_or_not_at_all(record):
    with pytest.raises(AttributeError):
        record.keep(Step((RIGHT, object())), "web:x")  # type: ignore[arg-type]

    assert record.unread() == []


def test_a_listing_that_changed_is_told_with_what_it_was(record):
    fill(record)

    [(before, now)] = record.listing_changes(SINCE, UNTIL)

    assert (before.told["licence"], now.told["licence"], now.seen) == ("mit", "apache-2.0", "2026-04-17")
    assert [each.told["licence"] for each in record.listings(SINCE, UNTIL) if each.kind == "model"] == ["apache-2.0"]


def test_what_was_recorded_first_stays(record):
    def fact(text: str) -> Fact:
        return Fact("m", "fit", None, text, Basis.COMPUTED, "weigh fit", "Q4", UNTIL)

    assert [each.text for each in record.keep_facts([fact("7 GiB")])] == ["7 GiB"]
    assert [each.text for each in record.keep_facts([fact("8 GiB")])] == ["7 GiB"]


def test_pages_that_an_older_grammar_read_are_read_anew(record):
    fill(record)
    record._store.write("UPDATE pages SET grammar = 'older'")
    record._store.write("INSERT INTO validators VALUES (?, 'tag', '')", (RIGHT.address,))

    # Asked for without what the server could answer with "as it was"; and its text counts as new.
    assert record.of(RIGHT.address) is None
    record.keep(Step((RIGHT,)), "feed:https://a.example/feed")
    assert [kept.page.address for kept in record.unread()] == [RIGHT.address]


def test_movers_of_the_published_series_are_exact():
    path = SHARED / "data" / "series" / "hf_trending_timeseries.csv"
    if not path.exists():
        pytest.skip("the series lies in ../shared, which is not here")
    since, until = "2026-04-13", "2026-04-19"
    by_model = defaultdict(dict)
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            by_model[row["model_id"]][row["date"]] = (int(row["likes"]), int(row["downloads"]))
    expected = {}
    for model, days in by_model.items():
        inside = sorted(day for day in days if since <= day <= until)
        if len(inside) > 1:
            first, last = days[inside[0]], days[inside[-1]]
            passed = (date.fromisoformat(inside[-1]) - date.fromisoformat(inside[0])).days
            is_new = min(days) >= since
            expected[model] = (last[0] - first[0], last[1] - first[1], passed, is_new)

    found = movers(series(path), since, until)

    told = {each.model: (each.likes_gain, each.downloads_gain, each.days, each.is_new) for each in found if each.days}
    assert len(expected) == 42
    assert told == expected
    gains = [each.likes_gain for each in found if each.days]
    assert gains == sorted(gains, reverse=True)


DAYS = st.integers(1, 28).map("2026-04-{:02}".format)
COUNTS = st.none() | st.integers(0, 9)
POINTS = st.builds(Sighting, st.sampled_from("abc"), DAYS, COUNTS, COUNTS, st.just("s"))


@given(st.lists(POINTS, max_size=20, unique_by=lambda each: (each.model, each.date)))
def test_a_gain_is_never_told_of_one_day_or_of_a_count_that_is_not_known(points):
    for mover in movers(points, "2026-04-05", "2026-04-20"):
        known = [point for point in points if point.model == mover.model and "2026-04-05" <= point.date <= "2026-04-20"]
        assert len(known) == len(mover.points)
        first, last = mover.first.likes, mover.last.likes
        is_known = len(known) > 1 and first is not None and last is not None
        assert mover.likes_gain == (last - first if is_known else None)  # type: ignore[operator]


def test_new_models_are_weighed_by_their_own_files_and_settle_claims(tmp_path, tiny_gguf):
    content = tiny_gguf(name="new-7b").read_bytes()
    listed = [Listing(f"acme/{name}", "model", "", day, "hub", {}, UNTIL) for name, day in
              (("new", "2026-04-15"), ("gone", "2026-04-16"), ("old", "2025-01-01"))]  # fmt: skip
    told: list[str] = []
    with Store(tmp_path / "state") as store, running_hub({"acme/new": {"model.gguf": content}}) as hub:
        record = Record(store)
        record.keep(Step((*listed, Sighting("acme/new", UNTIL, 5, 5, "hub"))), "hf:trending")
        access = HubAccess(hub.url, cache=tmp_path / "cache")

        assert read_files(record, SINCE, UNTIL, access, 8, told.append) == 1
        asked = len(hub.asked)
        assert read_files(record, SINCE, UNTIL, access, 1, told.append) == 0

        assert len(hub.asked) == asked
        [fact] = record.facts("acme/new", "parameters_total")
        expected = facts.read(tiny_gguf(name="same")).parameters.total
        assert (fact.value, fact.date) == (expected, UNTIL)
        assert fact.value in [known.value for known in recall(record)]
        assert len(told) == 1
        assert told[0].startswith("acme/gone: its files were not read")
