"""Sources: the real clients against servers on this machine that speak the same APIs."""

from __future__ import annotations

import gzip
import json
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts.hub_server import serving
from weighbridge.digest.addresses import is_public, public_addresses
from weighbridge.digest.cleaning import clean, clean_line
from weighbridge.digest.dates import day_of, posted_day
from weighbridge.digest.fetching import Fetcher, Manners
from weighbridge.digest.found import Listing, Sighting
from weighbridge.digest.gathering import gather
from weighbridge.digest.markdown import front_matter, plain
from weighbridge.digest.page import Page
from weighbridge.digest.reading import MOST_BYTES, page_of, read_file
from weighbridge.digest.record import Record
from weighbridge.digest.sources import Endpoints, Reader, kinds, source
from weighbridge.errors import BadPage, BadSetting, RateLimited, SourceUnreachable
from weighbridge.store import Store

DAY = "2026-04-19"
ARTICLE = "<p>" + "Qwen3-8B has 8.2B parameters, and it is a model of which much is told. " * 30 + "</p>"


class Site:
    """A server whose pages are set by a test: path to (status, body, headers), or to a list of those, one a request."""

    def __init__(self, stack: ExitStack) -> None:
        self.pages: dict[str, object] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.times: list[float] = []
        self.url = stack.enter_context(serving(self._answer))
        self.host = self.url.removeprefix("http://")

    def _answer(self, handler) -> None:
        self.times.append(time.monotonic())
        self.asked.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
        found = self.pages.get(handler.path, self.pages.get(urlsplit(handler.path).path, (404, b"", {})))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if callable(found):
            found = found(handler)
            if found is None:
                return
        status, body, headers = found
        handler.send(status, body if isinstance(body, bytes) else body.encode(), headers)

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@pytest.fixture
def site():
    with ExitStack() as stack:
        yield Site(stack)


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def fetcher(site, waits):
    manners = Manners(pause_seconds=0, private_hosts=(site.host,), answer_seconds=5, read_seconds=2)
    with Fetcher(manners, wait=waits.append) as found:
        yield found


@pytest.fixture
def record(tmp_path):
    with Store(tmp_path / "state") as store:
        yield Record(store)


def reader_of(site, fetcher, **more) -> Reader:
    endpoints = Endpoints(
        hub=site.url, github=site.url, arxiv=site.url, hub_token="hf_secret", github_token="gh_secret"
    )
    return Reader(fetcher, DAY, more.pop("since", "2026-04-13"), endpoints, **more)


def items_of(text: str, reader: Reader) -> list[object]:
    return [item for step in source(text).read(reader) for item in step.items]


# Each API


def test_the_hubs_listing_gives_releases_counts_and_the_cards_of_what_is_new(site, fetcher):
    models = [
        {"id": "Qwen/Qwen3.6-35B-A3B", "createdAt": "2026-04-15T08:00:00.000Z", "likes": 831, "downloads": 82000,
         "tags": ["license:apache-2.0", "safetensors", "base_model:Qwen/Qwen3.6-Base"]},
        {"id": "acme/old", "createdAt": "2025-01-01T00:00:00.000Z", "likes": 3, "downloads": 5, "tags": []},
        {"id": "../../etc/passwd", "likes": 1}, "nonsense", {"id": 7},
    ]  # fmt: skip
    site.pages["/api/models"] = (200, json.dumps(models), {"Content-Type": "application/json"})
    card = "---\nlicense: apache-2.0\n---\n# Qwen3.6\n35B in all."
    site.pages["/Qwen/Qwen3.6-35B-A3B/raw/main/README.md"] = (200, card, {})

    found = items_of("hf:trending", reader_of(site, fetcher))

    query = parse_qs(urlsplit(site.asked[0][0]).query)
    assert (query["sort"], query["direction"]) == (["trendingScore"], ["-1"])
    assert [item.name for item in found if isinstance(item, Listing)] == ["Qwen/Qwen3.6-35B-A3B", "acme/old"]
    [card] = [item for item in found if isinstance(item, Page)]
    assert (card.title, card.text.strip()) == ("Qwen3.6", "# Qwen3.6\n35B in all.")
    listing = found[0]
    assert (listing.released, listing.told["licence"], listing.told["base_model"]) == (
        "2026-04-15",
        "apache-2.0",
        "Qwen/Qwen3.6-Base",
    )
    assert Sighting("acme/old", DAY, 3, 5, f"{site.url}/api/models") in found
    assert {headers["authorization"] for _, headers in site.asked} == {"Bearer hf_secret"}


@pytest.mark.parametrize(
    ("what", "sort", "author"), [("recent", "lastModified", None), ("org/Qwen", "createdAt", ["Qwen"])]
)
def test_the_hub_is_asked_for_what_is_recent_and_for_one_organisation(site, fetcher, what, sort, author):
    site.pages["/api/models"] = (200, "[]", {})

    assert items_of(f"hf:{what}", reader_of(site, fetcher)) == []

    query = parse_qs(urlsplit(site.asked[0][0]).query)
    assert (query["sort"], query.get("author")) == ([sort], author)


def test_a_listing_goes_on_with_its_next_page_and_only_at_the_hub(site, fetcher):
    models = [{"id": f"acme/m{number}", "likes": number, "createdAt": "2020-01-01"} for number in range(4)]
    site.pages["/api/models"] = [
        (200, json.dumps(models[:2]), {"Link": f'<{site.url}/api/models?cursor=a>; rel="next"'}),
        (200, json.dumps(models[2:]), {"Link": '<http://elsewhere.example/api/models?cursor=b>; rel="next"'}),
    ]

    found = items_of("hf:trending", reader_of(site, fetcher))

    assert [item.name for item in found if isinstance(item, Listing)] == [f"acme/m{number}" for number in range(4)]
    assert site.paths()[1] == "/api/models?cursor=a"


def test_releases_of_a_program_are_read_until_they_are_too_old(site, fetcher):
    def release(tag: str, day: str, **more: object) -> dict[str, object]:
        address = f"https://github.com/acme/engine/releases/tag/{tag}"
        return {
            "tag_name": tag,
            "name": tag,
            "published_at": f"{day}T10:00:00Z",
            "html_url": address,
            "body": f"# {tag}\nruns **Qwen3**",
            **more,
        }

    first = [release("b9", "2026-04-18"), release("b8", "2026-04-17", draft=True)]
    second = [release("b7", "2026-04-14", prerelease=True), release("b6", "2026-03-01")]
    path = "/repos/acme/engine/releases"
    site.pages[path] = [
        (200, json.dumps(first), {"Link": f'<{site.url}{path}?page=2>; rel="next"'}),
        (200, json.dumps(second), {"Link": f'<{site.url}{path}?page=3>; rel="next"'}),
    ]

    found = items_of("github:acme/engine", reader_of(site, fetcher))

    assert [item.name for item in found if isinstance(item, Listing)] == ["acme/engine b9", "acme/engine b7"]
    page = next(item for item in found if isinstance(item, Page))
    assert (page.published, page.text) == ("2026-04-18", "# b9\nruns Qwen3")
    assert found[2].told["status"] == "pre-release"
    assert len(site.asked) == 2
    assert site.asked[0][1]["authorization"] == "Bearer gh_secret"


@pytest.mark.parametrize("form", ["rss", "atom"])
def test_a_feeds_whole_entries_are_taken_and_beginnings_are_followed(site, fetcher, form):
    short = f"{site.url}/posts/short"
    if form == "rss":
        feed = f"""<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>
        <item><title>Long</title><link>{site.url}/posts/long</link><pubDate>Sat, 18 Apr 2026 08:00:00 GMT</pubDate>
        <description><![CDATA[{ARTICLE}<script>alert(1)</script>]]></description></item>
        <item><title>Short</title><link>{short}</link><pubDate>Fri, 17 Apr 2026 08:00:00 GMT</pubDate>
        <description>more inside</description></item>
        <item><title>Old</title><link>{site.url}/old</link><pubDate>Fri, 17 Jan 2025 08:00:00 GMT</pubDate></item>
        <item><title>Evil</title><link>javascript:alert(1)</link></item></channel></rss>"""
    else:
        feed = f"""<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>News</title><id>x</id>
        <updated>2026-04-18T08:00:00Z</updated>
        <entry><title>Long</title><id>1</id><link href="{site.url}/posts/long"/><updated>2026-04-18T08:00:00Z</updated>
        <content type="html"><![CDATA[{ARTICLE}]]></content></entry>
        <entry><title>Short</title><id>2</id><link href="{short}"/><updated>2026-04-17T08:00:00Z</updated></entry>
        </feed>"""
    site.pages["/feed"] = (200, feed, {"Content-Type": "application/xml"})
    site.pages["/posts/short"] = (
        200,
        f"<html><title>S</title><body><article>{ARTICLE}</article></body></html>",
        {"Content-Type": "text/html"},
    )

    pages = items_of(f"feed:{site.url}/feed", reader_of(site, fetcher))

    assert [(page.address, page.published) for page in pages] == [
        (f"{site.url}/posts/long", "2026-04-18"),
        (short, "2026-04-17"),
    ]
    assert pages[0].title == "Long"
    assert all("Qwen3-8B has 8.2B parameters" in page.text and "alert" not in page.text for page in pages)


def test_arxiv_is_asked_page_by_page_newest_first(site, fetcher):
    def entry(number: int, day: str) -> str:
        return f"""<entry><id>http://arxiv.org/abs/2604.0{number}v1</id><published>{day}T00:00:00Z</published>
        <title>On  models\n {number}</title><summary>We train 8B parameters.</summary>
        <author><name>A. Person</name></author></entry>"""

    def answer(handler):
        start = int(parse_qs(urlsplit(handler.path).query)["start"][0])
        entries = "".join(entry(start + at, DAY if start + at < 55 else "2026-01-01") for at in range(50))
        return 200, f'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">{entries}</feed>', {}

    site.pages["/api/query"] = answer

    found = items_of("arxiv:cat:cs.CL", reader_of(site, fetcher, most=200))

    pages = [item for item in found if isinstance(item, Page)]
    assert len(pages) == 55
    assert pages[0].text == "On models 0\n\nWe train 8B parameters."
    assert len(site.asked) == 2
    assert parse_qs(urlsplit(site.asked[0][0]).query)["sortBy"] == ["submittedDate"]


def test_an_article_is_read_with_title_and_day_and_without_what_stands_around_it(site, fetcher):
    html = f"""<!doctype html><html><head><title>Week</title>
    <meta property="article:published_time" content="2026-04-18T10:00:00Z"></head>
    <body><nav><a href="/x">Menu of the site</a></nav><article><h1>Week</h1>{ARTICLE}
    <p>See <a href="https://other.example/post">the source</a> of it.</p></article>
    <script>steal()</script></body></html>"""
    site.pages["/post"] = (200, html, {"Content-Type": "text/html; charset=utf-8"})

    [page] = items_of(f"web:{site.url}/post", reader_of(site, fetcher))

    assert (page.title, page.published, page.fetched) == ("Week", "2026-04-18", DAY)
    assert page.links == ("https://other.example/post",)
    assert "steal" not in page.text
    assert "Menu" not in page.text


def test_a_site_that_forbids_programs_is_not_read(site, fetcher):
    site.pages["/robots.txt"] = (200, "User-agent: *\nDisallow: /private\n", {})
    site.pages["/private/post"] = (200, ARTICLE, {"Content-Type": "text/html"})

    with pytest.raises(SourceUnreachable, match="robots"):
        items_of(f"web:{site.url}/private/post", reader_of(site, fetcher))

    assert site.paths() == ["/robots.txt"]


# Manners


def test_what_did_not_change_is_not_sent_again(site, record, tmp_path):
    def answer(handler):
        if handler.headers.get("If-None-Match") == '"one"':
            return 304, b"", {}
        return (
            200,
            f"<html><body><article>{ARTICLE}</article></body></html>",
            {"ETag": '"one"', "Content-Type": "text/html"},
        )

    site.pages["/post"] = answer
    texts = [source(f"web:{site.url}/post")]
    manners = Manners(pause_seconds=0, private_hosts=(site.host,))
    with Fetcher(manners, record) as fetcher:
        [first] = gather(record, texts, reader_of(site, fetcher), f"{DAY}T08:00:00")
        for page in record.unread():
            record.keep_claims(page, ())
        [second] = gather(record, texts, reader_of(site, fetcher), f"{DAY}T09:00:00")

    assert (first.new_pages, second.new_pages, second.failed) == (1, 0, False)
    assert [headers.get("if-none-match") for path, headers in site.asked if path == "/post"] == [None, '"one"']


def test_a_host_is_left_a_pause_between_requests(site):
    site.pages["/a"] = (200, "x", {})
    with Fetcher(Manners(pause_seconds=0.15, private_hosts=(site.host,))) as fetcher:
        for _ in range(3):
            fetcher.get(f"{site.url}/a")

    assert site.times[2] - site.times[0] >= 0.3


def test_trouble_that_passes_is_waited_out_as_the_server_asks(site, fetcher, waits):
    site.pages["/a"] = [(429, b"", {"Retry-After": "7"}), (503, b"", {}), (200, b"fine", {})]

    answer = fetcher.get(f"{site.url}/a")

    assert answer is not None
    assert answer.body == b"fine"
    assert waits == [7.0, 2.0]


def test_a_server_that_wants_a_long_pause_is_left_for_the_next_time(site, fetcher, waits):
    site.pages["/a"] = (429, b"", {"Retry-After": "3600"})

    with pytest.raises(RateLimited) as caught:
        fetcher.get(f"{site.url}/a")

    assert caught.value.wait_seconds == 3600
    assert waits == []


def test_a_server_that_trickles_is_given_up(site):
    def trickle(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.1)

    site.pages["/a"] = trickle
    manners = Manners(pause_seconds=0, private_hosts=(site.host,), answer_seconds=0.4, retries=0, connect_seconds=0.3)
    begun = time.monotonic()
    with Fetcher(manners) as fetcher, pytest.raises(SourceUnreachable):
        fetcher.get(f"{site.url}/a")

    assert time.monotonic() - begun < 60, "the whole page takes a hundred"


@pytest.mark.parametrize("packed", [False, True])
def test_a_page_is_not_taken_beyond_its_bound(site, packed):
    body = b"0" * 30_000_000
    headers = {"Content-Encoding": "gzip"} if packed else {}
    site.pages["/a"] = (200, gzip.compress(body) if packed else body, headers)
    manners = Manners(pause_seconds=0, private_hosts=(site.host,), most_bytes=100_000)
    with Fetcher(manners) as fetcher, pytest.raises(SourceUnreachable, match="more than 100,000 bytes"):
        fetcher.get(f"{site.url}/a")


# Where strangers' links must not lead


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fe80::1%eth0",
     "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "224.0.0.1", "ff02::1", "255.255.255.255"],
)  # fmt: skip
def test_addresses_that_only_this_machine_reaches_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_addresses_of_the_open_internet_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.0.0.1", "[::1]"])
def test_a_private_host_is_refused_however_it_is_written(host):
    with pytest.raises((SourceUnreachable, OSError)):
        public_addresses(host, 80)
    with Fetcher(Manners(pause_seconds=0, retries=0)) as fetcher, pytest.raises(SourceUnreachable):
        fetcher.get(f"http://{host}:9/")


def test_a_redirect_to_a_private_server_is_refused_before_it_is_asked(site, fetcher):
    with ExitStack() as stack:
        secret = Site(stack)
        secret.pages["/"] = (200, "secret", {})
        site.pages["/a"] = (302, b"", {"Location": f"{secret.url}/"})
        with pytest.raises(SourceUnreachable, match="no public address"):
            fetcher.get(f"{site.url}/a")

        assert secret.asked == []


def test_a_token_does_not_travel_with_a_redirect(site, waits):
    with ExitStack() as stack:
        other = Site(stack)
        other.pages["/b"] = (200, "fine", {})
        site.pages["/a"] = (302, b"", {"Location": f"{other.url}/b"})
        with Fetcher(Manners(pause_seconds=0, private_hosts=(site.host, other.host)), wait=waits.append) as fetcher:
            fetcher.get(f"{site.url}/a", headers={"Authorization": "Bearer secret"})

        assert "authorization" not in other.asked[0][1]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://example.org/x", "http://user:word@example.org/"])
def test_a_redirect_leads_to_web_addresses_alone(site, fetcher, location):
    site.pages["/a"] = (302, b"", {"Location": location})

    with pytest.raises(SourceUnreachable):
        fetcher.get(f"{site.url}/a")


# Files


def test_a_vault_is_read_without_its_settings_and_our_own_notes(site, fetcher, tmp_path):
    (tmp_path / "v" / ".obsidian").mkdir(parents=True)
    (tmp_path / "v" / ".obsidian" / "app.md").write_text("hidden 1B parameters")
    (tmp_path / "v" / "2026-04-18 Qwen.md").write_text(
        "---\ntags: [x]\n---\n# Qwen3\n[[Qwen3-8B|The model]] has **8.2B** parameters, "
        "says [a post](https://a.example/p).\n"
    )
    (tmp_path / "v" / "own.md").write_text("---\nweighbridge: digest\n---\nwhat we wrote")
    (tmp_path / "v" / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "secret.md").write_text("outside")
    (tmp_path / "v" / "link.md").symlink_to(tmp_path / "secret.md")

    [page] = items_of(f"file:{tmp_path / 'v'}", reader_of(site, fetcher))

    assert page.text.strip() == "# Qwen3\nThe model has 8.2B parameters, says a post."
    assert (page.published, page.title, page.links) == ("2026-04-18", "Qwen3", ("https://a.example/p",))


def test_a_series_is_read_with_its_counts_and_a_wrong_line_is_named(site, fetcher, tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("date,model_id,likes,downloads\n2026-04-03,a/b,10,\n2026-04-04,a/b,12,7\n")

    assert items_of(f"file:{path}", reader_of(site, fetcher)) == [
        Sighting("a/b", "2026-04-03", 10, None, "s.csv"), Sighting("a/b", "2026-04-04", 12, 7, "s.csv"),
    ]  # fmt: skip
    path.write_text("date,model_id,likes,downloads\n2026-04-03,a/b,ten,1\n")
    with pytest.raises(BadPage, match="line 2: 'ten' is no count"):
        items_of(f"file:{path}", reader_of(site, fetcher))


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [("a.txt", b"\x00\x01binary", "no text"), ("b.html", b"<p>" * (MOST_BYTES // 3 + 1), "larger")],
)
def test_what_is_no_page_is_refused(tmp_path, name, data, what):
    (tmp_path / name).write_bytes(data)

    with pytest.raises(BadPage, match=what):
        read_file(tmp_path / name)


def test_a_page_keeps_no_signs_that_hide_or_reorder_words():
    text = "a\x1b[31mb\u202ec\u200bd\U000e0041e\x00f\r\ng\u00a0h"

    assert clean(text) == "a[31mbcdef\ng h"
    assert clean_line(f"{text}\nmore") == "a[31mbcdef g h more"


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=300) | st.binary(max_size=300))
def test_any_page_becomes_text_of_plain_signs(data):
    for kind in ("markdown", "text", ""):
        try:
            page = page_of(data, "x", kind)
        except BadPage:
            continue
        assert clean(page.text) == page.text
        assert page.title == " ".join(page.title.split())


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="[]()!*_`<>-%=~#|\\ab \n", max_size=400))
def test_markdown_of_any_marks_is_read_to_its_end(text):
    plain(text)
    front_matter(f"---\n{text}\n---\nx")


def test_pages_that_are_nested_without_end_cost_little():
    begun = time.process_time()
    page = page_of("<html><body>" + "<div>" * 20000 + "Qwen3" + "</div>" * 20000, "https://a.example/")
    for bad in ("<!--" * 50000, "[" * 50000, "**a" * 50000, "%%" * 50001, "[[a" * 50000):
        page_of(bad, "x", "markdown")

    assert page.text == "Qwen3"
    assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    ("told", "day"),
    [("2026-04-19T23:30:00-05:00", "2026-04-20"), ("Sat, 18 Apr 2026 08:00:00 GMT", "2026-04-18"),
     ("April 9, 2026", "2026-04-09"), ("19th Apr 2026", "2026-04-19"), ("2026-13-01", None), ("soon", None),
     (None, None)],
)  # fmt: skip
def test_days_are_read_as_servers_and_people_write_them(told, day):
    assert day_of(told) == day


def test_only_a_page_that_says_so_was_posted_on_a_day():
    assert posted_day("Weekly\n\nPosted on April 19, 2026 at 06:36 PM") == "2026-04-19"
    assert posted_day("On April 11, 2026 Meta shipped a model.") is None


# What goes on


def test_a_gathering_that_was_stopped_goes_on_where_it_was(site, record):
    day = "<updated>2026-04-18T08:00:00Z</updated>"
    feed = f"""<feed xmlns="http://www.w3.org/2005/Atom"><title>N</title>{
        "".join(f'<entry><title>{n}</title><id>{n}</id><link href="{site.url}/{n}"/>{day}</entry>' for n in range(3))
    }</feed>"""
    site.pages["/feed"] = (200, feed, {})
    site.pages |= {f"/{n}": (200, f"<article>{ARTICLE}{n}</article>", {"Content-Type": "text/html"}) for n in (0, 2)}
    site.pages["/empty"] = (200, '<feed xmlns="http://www.w3.org/2005/Atom"><title>E</title></feed>', {})

    sources = [source(f"feed:{site.url}/empty"), source(f"feed:{site.url}/feed")]
    with Fetcher(Manners(pause_seconds=0, private_hosts=(site.host,)), record) as fetcher:
        reader = reader_of(site, fetcher)
        steps = sources[1].read(reader)
        record.begin([each.text for each in sources], f"{DAY}T08:00:00")
        record.end(sources[0].text, DAY)
        # The feed and one article came, then the machine went down.
        record.keep(next(steps), sources[1].text)
        record.keep(next(steps), sources[1].text)
        del steps
        before = len(site.asked)
        outcomes = gather(record, sources, reader, f"{DAY}T10:00:00")

    asked = site.paths()[before:]
    assert [outcome.source for outcome in outcomes] == [sources[1].text]
    assert "/feed" not in asked
    assert "/empty" not in asked
    assert "/0" not in asked
    assert asked[-1] == "/2"
    # One article is gone: the others are read, and it is said.
    assert len(outcomes[0].notes) == 1
    assert {page.page.address for page in record.unread()} == {f"{site.url}/0", f"{site.url}/2"}


def test_a_source_that_fails_stops_no_other(site, record):
    site.pages["/post"] = (200, f"<article>{ARTICLE}</article>", {"Content-Type": "text/html"})
    sources = [source("web:http://127.0.0.1:9/x"), source(f"web:{site.url}/post")]
    with Fetcher(Manners(pause_seconds=0, private_hosts=(site.host,), retries=0), record) as fetcher:
        outcomes = gather(record, sources, reader_of(site, fetcher), f"{DAY}T10:00:00")

    assert [(outcome.failed, outcome.new_pages) for outcome in outcomes] == [(True, 0), (False, 1)]


def test_there_is_a_source_for_each_file_of_the_folder():
    folder = Path(__file__).parents[2] / "src" / "weighbridge" / "digest" / "sources"

    assert set(kinds()) == {path.stem for path in folder.glob("*.py")} - {"__init__", "reader"}


@pytest.mark.parametrize(
    "text", ["", "hf", "hf:", "hf:popular", "hf:org/", "hf:org/a b", "github:acme", "github:a/..", "feed:file:///x",
             "web:ftp://x", "file:/not/there", "mail:x", "reader:x", "web:http://x\n"],
)  # fmt: skip
def test_a_text_that_is_no_source_is_told_what_there_is(text):
    with pytest.raises(BadSetting) as caught:
        source(text)

    assert caught.value.hint
