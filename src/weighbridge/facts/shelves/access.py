"""`HubAccess`: where models are looked for beyond the named path, and as whom; `cli` makes it from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from weighbridge.errors import BadSetting

HUB = "https://huggingface.co"
_YES = {"1", "ON", "YES", "TRUE"}
_MOST_LINE_BYTES = 4096
# Where Ollama's installer for Linux puts the store of its service.
_OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the network may take."""

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    """How long a server may send nothing."""
    least_bytes_per_second: int = 64 << 10
    """A server that sends, but slower than this, is given up after twice `read_seconds`."""
    retries: int = 3
    pause_seconds: float = 0.5
    """The wait before the first retry; it doubles."""

    most_asked_bytes: int = 16 << 30
    """How much of a weights file is asked for at once: content networks refuse to send 50 GB in one answer."""

    def longest_seconds(self, count: int) -> float:
        """How long one request for `count` bytes may take: 1 MiB within 76 seconds."""
        return 2 * self.read_seconds + count / self.least_bytes_per_second


@dataclass(frozen=True, slots=True)
class HubAccess:
    """The hub and the local stores. Without arguments: the public hub, nobody's token, the usual folders."""

    endpoint: str = HUB
    token: str | None = field(default=None, repr=False)
    """Sent to the endpoint only, never to where it redirects."""
    offline: bool = False
    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "huggingface" / "hub")
    ollama: Path = field(default_factory=lambda: Path.home() / ".ollama" / "models")
    lmstudio: tuple[Path, ...] = field(default_factory=lambda: _lmstudio_folders(Path.home()))
    """LM Studio's folders of models, the newer place first."""
    patience: Patience = Patience()

    def __post_init__(self) -> None:
        object.__setattr__(self, "endpoint", self.endpoint.rstrip("/"))

    def check(self) -> None:
        """BadSetting if the hub cannot be asked with this; said only when it is to be asked."""
        try:
            parts = urlsplit(self.endpoint)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or not self.endpoint.isascii() or not self.endpoint.isprintable():
            raise BadSetting(
                f"HF_ENDPOINT is {self.endpoint[:200]!r}, expected the address of a hub", hint=f"the default is {HUB}"
            )
        if self.token and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise BadSetting(
                "the Hugging Face token holds a space, a control character or a letter beyond ASCII",
                hint="set HF_TOKEN to the token alone; it begins with hf_",
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> HubAccess:
        """What HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and OLLAMA_MODELS say."""

        def folder(variable: str, usual: Path) -> Path:
            text = Template(environment.get(variable, "")).safe_substitute(environment)
            return home / text[2:] if text.startswith("~/") else Path(text) if text else usual

        home = Path(environment.get("HOME") or Path.home())
        hf_home = folder("HF_HOME", folder("XDG_CACHE_HOME", home / ".cache") / "huggingface")
        token = environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN")
        if not token and environment.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() not in _YES:
            token = _line_in(folder("HF_TOKEN_PATH", hf_home / "token"))
        offline = environment.get("HF_HUB_OFFLINE") or environment.get("TRANSFORMERS_OFFLINE") or ""
        own = home / ".ollama" / "models"
        is_service = not (own / "manifests").is_dir() and (_OLLAMA_SERVICE / "manifests").is_dir()
        return cls(
            endpoint=environment.get("HF_ENDPOINT") or HUB,
            token=(token or "").strip() or None,
            offline=offline.upper() in _YES,
            cache=folder("HF_HUB_CACHE", folder("HUGGINGFACE_HUB_CACHE", hf_home / "hub")),
            ollama=folder("OLLAMA_MODELS", _OLLAMA_SERVICE if is_service else own),
            lmstudio=_lmstudio_folders(home),
        )


def _lmstudio_folders(home: Path) -> tuple[Path, ...]:
    """Where LM Studio keeps models, now and formerly; a file in the home folder tells if its own folder was moved."""
    pointed = _line_in(home / ".lmstudio-home-pointer")
    own = [Path(pointed.strip())] if pointed and pointed.strip().startswith("/") else []
    return tuple(folder / "models" for folder in (*own, home / ".lmstudio", home / ".cache" / "lm-studio"))


def _line_in(path: Path) -> str | None:
    """What another program wrote in a small file: a token, a path. None where there is none that can be read."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MOST_LINE_BYTES)
    except (OSError, UnicodeDecodeError):
        return None
