"""An edition as Markdown, as one HTML page, as Atom and JSON feeds, and as a vault of linked notes.

Each output is held to `tracing`: what states a figure without its record is not published, but raises Untraceable.
"""

from .feed import atom, json_feed
from .html import html
from .markdown import markdown
from .vault import Written, write_vault

__all__ = ["Written", "atom", "html", "json_feed", "markdown", "write_vault"]
