"""What is published: every figure has its record, strangers' words steer nothing, equal records give equal bytes."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.digest.editions import HOSTILE, SINCE, UNTIL, edition_of, fill, texts_of
from weighbridge.digest import Claim, tracing
from weighbridge.digest.edition import Span, Trace
from weighbridge.digest.licence_terms import terms_of
from weighbridge.digest.prose import with_prose
from weighbridge.digest.publishing import atom, html, json_feed, markdown, write_vault
from weighbridge.digest.publishing.markdown import escape
from weighbridge.digest.publishing.vault import BEGIN, END, file_name
from weighbridge.digest.record import Record
from weighbridge.digest.tracing import Untraceable
from weighbridge.digest.wording import cut, statement
from weighbridge.errors import BadPage
from weighbridge.store import Store


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A record that tests only read, and publish from."""
    with Store(tmp_path_factory.mktemp("state")) as store:
        record = Record(store)
        fill(record)
        yield record


@pytest.fixture(scope="module")
def edition(state):
    return edition_of(state)


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    reader = _Elements()
    reader.feed(page)
    return reader.tags


def published(edition, folder) -> dict[str, str]:
    write_vault(edition, folder)
    return {
        "md": markdown(edition),
        "html": html(edition),
        "atom": atom(edition),
        "json": json_feed(edition),
        **texts_of(folder),
    }


def test_the_same_record_gives_the_same_bytes(tmp_path, edition):
    with Store(tmp_path / "state") as store:
        record = Record(store)
        fill(record)
        again = published(edition_of(record), tmp_path / "a")
        once_more = published(edition_of(record), tmp_path / "b")

    assert once_more == again == published(edition, tmp_path / "c")


def test_every_section_that_has_something_to_say_is_there(edition):
    page = markdown(edition)

    for said in (
        "What it means for the models that you run", "could replace your chat model helper",
        "not yet measured on your data", "## What you can try here", "`weigh get ", "`weigh eval TASK --model ",
        "**DeepSeek-V3**: 400B parameters", "8 of 256 experts: 654B + 17B = 671B", "## Released", "acme/engine b9",
        "Sources contradict each other", "To watch", "released 2026-05", "What changed",
        "licence was mit, is apache-2.0 now",
        "150 to 190 (+40)", "9 to 7 (-2)", "fits this machine at Q4\\_K\\_M: 7 GiB", "Not read",
        "any use, also commercial",
    ):  # fmt: skip
        assert said in page, said


def test_every_figure_of_every_output_is_traced(edition, tmp_path):
    outputs = published(edition, tmp_path)

    assert tracing.of_edition(edition) == []
    for name, text in outputs.items():
        if name.endswith("md"):
            assert tracing.of_markdown(text, edition.traces) == [], name
    assert tracing.of_html(outputs["html"], edition.traces) == []


@pytest.mark.parametrize("output", [markdown, html, atom, json_feed])
def test_a_figure_without_a_record_is_not_published(edition, output):
    invented = (Span("It has 4242 parameters"),)
    borrowed = (Span("It has 4242 parameters", edition.head[0].record),)
    for line in (invented, borrowed):
        with pytest.raises(Untraceable, match="4242"):
            output(dataclasses.replace(edition, mine=(line,)))


def test_a_vault_with_a_figure_without_a_record_is_not_begun(edition, tmp_path):
    with pytest.raises(Untraceable):
        write_vault(dataclasses.replace(edition, mine=((Span("nine of ten hold"),),)), tmp_path / "v")

    assert not (tmp_path / "v").exists()


def test_a_title_of_ones_own_may_hold_figures(tmp_path, state):
    edition = edition_of(state, title="Models of 7 teams")

    outputs = published(edition, tmp_path)

    assert outputs["md"].startswith("# Models of 7 teams: ")
    assert "Models of 7 teams.md" in outputs


@given(st.text(alphabet="0123456789., ab", max_size=80), st.integers(0, 60))
def test_a_quote_that_is_cut_holds_no_figure_that_the_whole_does_not(text, most):
    assert set(tracing.figures(cut(text, most))) <= set(tracing.figures(text))


@pytest.mark.parametrize(
    ("field", "value", "unit", "qualifier", "said"),
    [
        ("parameters_active", 37e9, "parameters", "about, expected", "about 37B active parameters, expected"),
        ("context_length", 1e6, "tokens", "at least", "context at least 1,000,000 tokens"),
        ("architecture", "moe", "", "", "MoE architecture"),
        ("status", "expected", "", "reportedly, expected", "expected, reportedly"),
        ("release_date", "2026-04-20", "date", "from, expected", "released 2026-04-20, expected"),
        ("memory_needed", 24e9, "bytes", "at 4-bit", "memory needed 24 GB, at 4-bit"),
    ],
)
def test_a_claim_is_said_as_people_say_it(field, value, unit, qualifier, said):
    assert statement(Claim("Model", field, value, "quote", 0, 5, unit, qualifier)) == said


@pytest.mark.parametrize(
    ("text", "told"),
    [("671B and 1,147.50", ["671", "1147.5"]), ("v0.19 of Qwen3", ["0.19", "3"]),
     ("twice as fast, half the size", ["twice", "half"]),
     ("one model", []), ("none", [])],
)  # fmt: skip
def test_figures_are_found_in_digits_and_in_words(text, told):
    assert tracing.figures(text) == told


def test_a_page_numbers_its_footnotes_and_each_names_its_record(edition):
    page = markdown(edition)
    text, _, notes = page.partition("\n[^1]: ")

    told = re.findall(r"(?<!\\)\[\^(\d+)\]", text)
    named = re.findall(r"^\[\^(\d+)\]: `([cf][0-9a-f]{10})` ", f"[^1]: {notes}", re.MULTILINE)
    assert {number for number, _ in named} == set(told)
    assert {known for _, known in named} <= edition.traces.keys()
    assert "; by config.json, n\\_routed\\_experts" in notes


def test_a_number_that_names_no_record_holds_no_figure():
    traces = {"f0123456789": Trace("f0123456789", "", "", "it is 7")}

    assert not tracing.of_markdown("7 of them[^1]\n\n[^1]: `f0123456789` it is 7", traces)
    assert tracing.of_markdown("8 of them[^1]\n\n[^1]: `f0123456789` it is 7", traces)
    assert tracing.of_markdown("7 of them[^2]\n\n[^1]: `f0123456789` it is 7", traces)


@settings(max_examples=100)
@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_figure_counts_as_recorded_only_where_its_record_holds_it(told, held):
    traces = {"f0123456789": Trace("f0123456789", "", "", f"it is {held:,} in all")}
    line = f"it has {told} of them[^f0123456789]"

    assert bool(tracing.of_markdown(line, traces)) is (told != held)
    assert tracing.of_markdown(f"it has {held} of them", traces)


def test_strangers_words_are_words(edition, tmp_path):
    page = html(edition)
    tags = elements(page)

    assert "alert(" in page
    assert not [tag for tag, _ in tags if tag in ("script", "img", "iframe", "object", "link")]
    assert all(not name.startswith("on") for _, attributes in tags for name in attributes)
    for tag, attributes in tags:
        if tag == "a":
            assert re.match(r"https?://|#", attributes["href"] or ""), attributes
    for name, text in published(edition, tmp_path).items():
        assert not name.endswith("md") or "[[Secret]]" not in text, name
    assert HOSTILE not in markdown(edition)


def test_a_page_needs_nothing_beside_it(edition):
    tags = elements(html(edition))

    assert not [1 for _, attributes in tags if "src" in attributes or attributes.get("rel") == "stylesheet"]
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in tags
    assert "prefers-color-scheme: dark" in html(edition)


def test_every_mark_of_evidence_leads_to_it(edition):
    tags = elements(html(edition))
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    targets = {
        attributes["href"][1:] for tag, attributes in tags if tag == "a" and (attributes["href"] or "").startswith("#")
    }

    assert targets <= ids
    page = markdown(edition)
    marks = set(re.findall(r"(?<!^)\[\^([cf]\w+)\]", page, re.MULTILINE))
    assert marks == set(re.findall(r"^\[\^([cf]\w+)\]:", page, re.MULTILINE))


@given(st.text(alphabet="`*_[]<>|#$^~\\%ab !()\n", max_size=60))
def test_words_that_look_like_marks_stay_words(text):
    shown = escape(text)

    assert "\n" not in shown
    assert "%%" not in shown
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(text.split())
    assert not re.search(r"(?<!\\)(?:\\\\)*[\[\]<`|]", shown)


# Feeds


def test_a_feed_goes_on_and_holds_each_edition_once(edition):
    later = dataclasses.replace(edition, until="2026-04-26", since="2026-04-20")
    first = atom(edition)
    both = atom(later, atom(edition, first.encode()).encode())

    entries = ElementTree.fromstring(both).findall("{http://www.w3.org/2005/Atom}entry")
    assert [each.findtext("{http://www.w3.org/2005/Atom}updated") for each in entries] == [
        "2026-04-26T00:00:00Z",
        "2026-04-19T00:00:00Z",
    ]
    feed = json.loads(json_feed(later, json_feed(edition).encode()))
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert [item["date_published"] for item in feed["items"]] == ["2026-04-26T00:00:00Z", "2026-04-19T00:00:00Z"]


def test_a_feed_is_what_readers_of_feeds_read(edition):
    import feedparser

    found = feedparser.parse(atom(edition))

    assert not found.bozo
    assert found.entries[0].title == f"Open-weight models: {SINCE} to {UNTIL}"
    assert "400B parameters" in found.entries[0].content[0].value


@pytest.mark.parametrize(
    "before", [b"not a feed", b"{}", b'<!DOCTYPE x [<!ENTITY a "b">]><feed/>', b"<html></html>", b"[" * 9000]
)
def test_a_file_that_is_no_feed_is_not_written_over(edition, before):
    for make in (atom, json_feed):
        with pytest.raises(BadPage):
            make(edition, before)


# The vault


def test_a_vault_is_a_map_with_a_note_for_each_family_day_and_digest(edition, tmp_path):
    written = write_vault(edition, tmp_path)

    notes = texts_of(tmp_path)
    assert set(written.made) == {name.removesuffix(".md") for name in notes}
    assert {
        "Open-weight models.md",
        "Families/DeepSeek.md",
        "Days/2026-04-18.md",
        f"Digests/{SINCE} to {UNTIL}.md",
    } <= set(notes)
    assert all(note.startswith("---\nweighbridge: ") for note in notes.values())
    names = {name.removesuffix(".md") for name in notes} | {
        name.removesuffix(".md").rpartition("/")[2] for name in notes
    }
    for name, note in notes.items():
        for target in re.findall(r"(?<!\\)\[\[([^\]|]+)", note):
            assert target in names, (name, target)


def test_what_a_reader_wrote_outside_the_region_stays(edition, tmp_path):
    write_vault(edition, tmp_path)
    note = tmp_path / "Families" / "DeepSeek.md"
    mine = (
        note.read_text()
        .replace("---\nweighbridge", "---\nmood: good\nweighbridge")
        .replace(BEGIN, f"my words\r\n\n{BEGIN}")
        + "\nafter\n"
    )
    note.write_bytes(mine.encode())

    again = write_vault(edition, tmp_path)
    assert again.changed == again.made == again.left == ()
    assert note.read_bytes() == mine.encode()

    changed = write_vault(dataclasses.replace(edition, entries=edition.entries[:1]), tmp_path)
    assert "Families/DeepSeek" in changed.changed
    kept = note.read_bytes().decode()
    assert kept.split(BEGIN)[0] == mine.split(BEGIN)[0]
    assert kept.split(END)[1] == mine.split(END)[1]


def test_a_familys_note_holds_a_part_for_each_edition(edition, tmp_path, state):
    write_vault(edition, tmp_path)
    later = dataclasses.replace(edition, since="2026-04-20", until="2026-04-26", head=(Span("later"),))
    note = tmp_path / "Families" / "DeepSeek.md"
    first = note.read_text()
    traced = {**edition.traces, "f000000000a": Trace("f000000000a", "", "", "2026-04-20 to 2026-04-26")}
    later = dataclasses.replace(later, traces=traced, head=(Span("2026-04-20 to 2026-04-26", "f000000000a"),))

    write_vault(later, tmp_path)
    write_vault(edition, tmp_path)

    text = note.read_text()
    assert text.index("%% weighbridge:2026-04-20..2026-04-26 %%") < text.index(f"%% weighbridge:{SINCE}..{UNTIL} %%")
    assert first.split(f"%% weighbridge:{SINCE}..{UNTIL} %%")[1].split(END)[0].strip() in text


@pytest.mark.parametrize(
    "content", ["my own note of this name\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n", "\xff"]
)
def test_a_note_that_is_not_ours_is_left_as_it_is(edition, tmp_path, content):
    (tmp_path / "Families").mkdir()
    note = tmp_path / "Families" / "DeepSeek.md"
    note.write_bytes(content.encode("latin-1"))

    written = write_vault(edition, tmp_path)

    assert written.left == ("Families/DeepSeek",)
    assert note.read_bytes() == content.encode("latin-1")


def test_links_out_of_the_vault_are_not_written_through(edition, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "Families").symlink_to(tmp_path / "outside")

    written = write_vault(edition, tmp_path / "v")

    assert "Families/DeepSeek" in written.left
    assert list((tmp_path / "outside").iterdir()) == []


@given(st.text(max_size=120))
def test_any_name_becomes_a_files_name(name):
    found = file_name(name)

    assert found == found.strip()
    assert 0 < len(found) < 120
    assert not re.search(r'[\x00-\x1f\\/:*?"<>|#^\[\]]', found)
    assert not found.startswith(".")


# Prose


def test_prose_of_a_model_is_published_where_its_figures_are_recorded(edition, state):
    refuted = edition.entries[0].id
    prompts = []

    def write(prompt: str) -> str:
        prompts.append(prompt)
        return f"DeepSeek-V3 was told to have 400B parameters, and has 671B [{refuted}]. Nothing else stands out."

    told = with_prose(state, edition, write, "fake")

    assert refuted in prompts[0]
    assert "DeepSeek-V3 was told to have 400B parameters, and has 671B" in markdown(told)
    assert "was told to have 400B" in html(told)

    def no_more(prompt: str) -> str:
        raise AssertionError("what is recorded is not asked for again")

    assert markdown(with_prose(state, edition, no_more, "fake")) == markdown(told)


@pytest.mark.parametrize(
    "sentence",
    ["It has 672B parameters [{id}].", "It has 671B parameters.", "Twice as many fit [{id}].",
     "It has 671B parameters [c0000000000].",
     "All is well [{id}]. But 9 do not hold."],
)  # fmt: skip
def test_prose_with_a_figure_that_no_record_holds_is_refused(edition, state, sentence):
    with pytest.raises(Untraceable):
        with_prose(state, edition, lambda _: sentence.format(id=edition.entries[0].id), "liar")


def test_terms_of_licences_are_told_for_each_spelling():
    assert terms_of("apache-2.0") == [
        dataclasses.replace(fact, subject="licence apache-2.0") for fact in terms_of("Apache-2.0")
    ]
    assert any("700 million" in fact.text for fact in terms_of("llama4"))
    assert terms_of("my-own-licence") == []
