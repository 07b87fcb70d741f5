"""From bytes to a `Page`: HTML, Markdown (also of an Obsidian vault) or text, as the plain words that claims are read
from. Nothing in a page is executed or fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

from weighbridge.errors import BadPage

from .cleaning import clean, clean_line
from .dates import day_in, day_of, posted_day
from .markdown import front_matter, plain, title_of
from .page import Page

MOST_BYTES = 8 << 20
SUFFIXES = {".html": "html", ".htm": "html", ".xhtml": "html", ".md": "markdown", ".markdown": "markdown",
            ".txt": "text", ".text": "text"}  # fmt: skip
_LOOKS_LIKE_HTML = re.compile(r"\A\s*(?:<!--.{0,1000}?-->\s*)?<(?:!doctype html|html|head|body|article)\b", re.I | re.S)
_CHARSET = re.compile(
    rb"<meta[^>]{0,200}charset=[\"']?([a-zA-Z0-9_-]{2,40})|<\?xml[^>]{0,100}encoding=[\"']([\w-]{2,40})"
)
_MOST_LINKS = 500
# Of articles; a page that is no article is taken whole.
_LEAST_ARTICLE = 200


def read_file(path: Path, fetched: str = "") -> Page:
    """The page in a file. Raises BadPage where it is too large, no text, or cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadPage(f"{path}: {error.strerror or error}", hint="name a file of HTML, Markdown or text") from error
    return page_of(data, str(path), SUFFIXES.get(path.suffix.lower(), ""), fetched=fetched, name=path.stem)


def page_of(
    data: bytes | str, address: str, kind: str = "", *, fetched: str = "", charset: str | None = None, name: str = ""
) -> Page:
    """The page that these bytes are. `kind`: html, markdown or text; empty: by how it begins. `name`: the file's, which
    may tell its day. Raises BadPage for what is no text, or more than `MOST_BYTES`."""
    if len(data) > MOST_BYTES:
        raise BadPage(f"{address}: is larger than {MOST_BYTES:,} bytes", hint="name the article itself")
    text = data if isinstance(data, str) else _decoded(data, address, charset)
    if kind == "html" or (not kind and _LOOKS_LIKE_HTML.match(text[:4000])):
        return _of_html(text, address, fetched)
    if kind == "text":
        cleaned = clean(text)
        first = next((line.strip() for line in cleaned[:2000].split("\n") if line.strip()), "")
        links = plain(cleaned)[1]
        return Page(address, cleaned, clean_line(first), _own_day(cleaned, name, first), fetched, links)
    return _of_markdown(clean(text), address, fetched, name)


def _decoded(data: bytes, address: str, charset: str | None) -> str:
    if data[:3] == b"\xef\xbb\xbf":
        return data[3:].decode("utf-8", "replace")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if b"\x00" in data[:4096]:
        raise BadPage(f"{address}: is no text", hint="HTML, Markdown and text are read; weigh facts reads model files")
    told = _CHARSET.search(data[:4096])
    named = charset or (next(group for group in told.groups() if group).decode() if told else "utf-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return data.decode(
            "cp1252" if named.lower() in ("utf-8", "utf8", "iso-8859-1", "latin-1") else named, "replace"
        )
    except LookupError:
        return data.decode("cp1252", "replace")


def _of_markdown(text: str, address: str, fetched: str, name: str) -> Page:
    front, body = front_matter(text)
    words, links = plain(body)
    title = clean_line(front.get("title")) or clean_line(title_of(body)) or clean_line(name)
    told = next((day for key in ("date", "published", "created") if (day := day_of(front.get(key)))), None)
    return Page(address, words, title, told or _own_day(words, name, title), fetched, links)


def _own_day(text: str, name: str, title: str) -> str | None:
    """The day that the file's name tells, or the page's head, or its title."""
    return day_in(name) or posted_day(text) or day_in(title)


def _of_html(text: str, address: str, fetched: str) -> Page:
    # Takes most of a second to import, and most pages of a machine's own are no HTML.
    import trafilatura

    latest = {"max_date": fetched} if fetched else {}
    try:
        found = trafilatura.bare_extraction(
            text,
            url=address if address.startswith("http") else None,
            include_comments=False,
            include_links=True,
            with_metadata=True,
            date_extraction_params={"original_date": True, "extensive_search": False, **latest},
        )
    except (RecursionError, ValueError, TypeError, AttributeError, LookupError):
        # Of a page that its reader cannot take, the words are still there.
        found = None
    whole = _Words()
    whole.feed(text)
    whole.close()
    if found is None or isinstance(found, dict) or len(found.text or "") < _LEAST_ARTICLE <= len(whole.text):
        words, links = clean(whole.text), _addresses(whole.links, address)
        return Page(address, words, clean_line(whole.title), posted_day(words), fetched, links)
    words, linked = plain(clean(found.text or ""))
    day = day_of(found.date) or posted_day(words)
    return Page(address, words, clean_line(found.title or whole.title), day, fetched, linked)


def _addresses(links: Iterable[str], address: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for link in links:
        try:
            target = urljoin(address, link) if address.startswith("http") else link
        except ValueError:
            continue
        if target.startswith(("http://", "https://")) and target.isprintable():
            found[target[:2000]] = None
    return tuple(found)[:_MOST_LINKS]


class _Words(HTMLParser):
    """All words of a page, in their order, whatever its depth; scripts and styles are none."""

    _SILENT = frozenset({"script", "style", "noscript", "template", "svg", "nav", "footer", "form", "iframe", "head"})
    _BLOCKS = frozenset({
        "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "br", "section", "article", "table", "ul", "ol",
        "blockquote", "pre", "dt", "dd", "header", "main",
    })  # fmt: skip

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._silent = 0
        self._in_title = False
        self.title = ""
        self.links: list[str] = []

    @property
    def text(self) -> str:
        """The words, a block a line."""
        joined = re.sub(r"[ \t\r\f]+", " ", "".join(self._parts))
        return re.sub(r" ?\n[ \n]*", "\n", joined).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A block begins a line; what is silent is skipped."""
        if tag == "title":
            self._in_title = True
        elif tag in self._SILENT:
            self._silent += 1
        elif tag in self._BLOCKS:
            self._parts.append("\n")
        elif tag in ("td", "th"):
            self._parts.append(" | ")
        elif tag == "a" and not self._silent and len(self.links) < _MOST_LINKS:
            self.links += [value for name, value in attrs if name == "href" and value]

    def handle_endtag(self, tag: str) -> None:
        """The end of a block, or of what is silent."""
        if tag == "title":
            self._in_title = False
        elif tag in self._SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in self._BLOCKS:
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        """Words; a line end within them is a blank."""
        if self._in_title:
            self.title += data[:1000]
        elif not self._silent:
            self._parts.append(data.replace("\n", " "))
