"""The page at `/`: one file with all that it needs, and rules by which a browser runs nothing else in it."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

_PAGE = Path(__file__).with_name("page.html")


@cache
def page() -> tuple[bytes, dict[str, str]]:
    """The page, and the headers to send with it."""
    html = _PAGE.read_bytes()
    script, style = _sum_of(html, b"script"), _sum_of(html, b"style")
    policy = (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    return html, {
        "content-security-policy": policy,
        "cache-control": "no-cache",
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def _sum_of(html: bytes, element: bytes) -> str:
    """By which a browser knows the one script or style that may take effect."""
    (content,) = re.findall(rb"<%b>(.*?)</%b>" % (element, element), html, re.DOTALL)
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
