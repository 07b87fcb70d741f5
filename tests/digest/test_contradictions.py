"""Claims that cannot all hold are set against each other; copies are no further witnesses."""

from __future__ import annotations

from weighbridge.digest import Claim, Page
from weighbridge.digest.checks import check
from weighbridge.digest.contradictions import contradictions


def claim(address, subject, field, value, quote, told=None, qualifier=""):
    return Claim(subject, field, value, quote, 0, len(quote), "", qualifier, address, told, "2026-04-19", "2026-04-20")


def test_two_sizes_of_one_model_contradict_and_what_settles_it_is_told():
    verdicts = check([
        claim("a", "DeepSeek V3", "parameters_total", 671e9, "DeepSeek V3 with 671B in all"),
        claim("b", "DeepSeek-V3", "parameters_total", 400e9, "DeepSeek-V3 with 400B in all"),
        claim("c", "DeepSeek V3", "parameters_total", 670e9, "some 670B"),
    ])  # fmt: skip

    [found] = contradictions(verdicts)

    assert [side.value for side in found.sides] == [671e9, 400e9]
    assert [side.witnesses for side in found.sides] == [2, 1]
    assert found.known is not None
    assert "671,026,404,352" in found.known.text
    assert not found.is_within_one_page


def test_roundings_and_bounds_do_not_contradict():
    verdicts = check([
        claim("a", "Qwen3-8B", "parameters_total", 8e9, "8B"),
        claim("b", "Qwen3-8B", "parameters_total", 8.2e9, "8.2B"),
        claim("b", "Qwen3-8B", "parameters_total", 70e9, "under 70B", qualifier="at most"),
    ])  # fmt: skip

    assert contradictions(verdicts) == ()


def test_sizes_of_one_release_do_not_contradict():
    verdicts = check([
        claim("a", "Qwen 3", "parameters_total", 4e9, "Qwen 3 has 4B parameters"),
        claim("b", "Qwen 3", "parameters_total", 235e9, "Qwen 3 with 235B"),
    ])  # fmt: skip

    assert contradictions(verdicts) == ()


def test_copies_and_pages_that_link_to_each_other_are_one_witness():
    words = "the new Qwen3-8B was published by its makers on the 3rd of May"
    verdicts = check([
        claim("a", "Qwen3-8B", "release_date", "2025-05-03", words),
        claim("b", "Qwen3-8B", "release_date", "2025-05-03", words),
        claim("c", "Qwen3-8B", "release_date", "2025-05-03", "out on May 3"),
        claim("d", "Qwen3-8B", "release_date", "2025-04-28", "out on April 28"),
    ])  # fmt: skip

    [found] = contradictions(verdicts, [Page("c", "", links=("a",))])

    assert {side.value: side.witnesses for side in found.sides} == {"2025-05-03": 1, "2025-04-28": 1}


def test_one_page_may_contradict_itself():
    verdicts = check([
        claim("a", "Muse Spark", "release_date", "2026-04-09", "Muse Spark launched on April 9"),
        claim("a", "Muse Spark", "release_date", "2026-04-11", "Muse Spark shipped on April 11"),
        claim("a", "Muse Spark", "openness", "closed", "closed"),
        claim("b", "Muse Spark", "openness", "open-weights", "open"),
    ])  # fmt: skip

    dates, states = contradictions(verdicts)

    assert dates.is_within_one_page
    assert states.field == "status"


def test_expected_before_it_was_out_is_no_contradiction():
    before = claim("a", "DeepSeek V4", "status", "expected", "soon", told="2026-04-01")
    after = claim("b", "DeepSeek V4", "status", "released", "out", told="2026-04-24")
    late = claim("c", "DeepSeek V4", "status", "expected", "soon", told="2026-06-01")

    assert contradictions(check([before, after])) == ()
    assert len(contradictions(check([before, after, late]))) == 1
