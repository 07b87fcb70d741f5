"""An engine somewhere else: any URL that speaks the OpenAI API (Ollama, vLLM, SGLang, LM Studio, a company's own)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
from dataclasses import dataclass, field
from typing import Any

from weighbridge import __version__
from weighbridge.errors import BadSetting, EngineFailed

from .endpoint import Endpoint, Running
from .finding import Found
from .manner import APIS, Manner
from .model import Model
from .self_test import ask_endpoint
from .surroundings import Surroundings

IS_ENGINE = True
QUEUES = True
formats: frozenset[str] = frozenset()

OPTIONS = frozenset({"url", "model", "api_key", "api_key_variable", "verify_tls", "context_tokens", "speaks"})
"""`api_key_variable` names the environment variable that holds the key, so that no list or file shows the key itself;
`verify_tls=no` trusts any certificate; `context_tokens` says how long a sequence may be where the server does not;
`speaks` which APIs it has beside chat completions (`messages`, `count_tokens`, `responses`, with spaces between, or
`chat` for none), which is else found out by asking."""
_ASK_SECONDS = 10.0
_LARGEST_LIST_BYTES = 8 << 20
_NO = frozenset({"no", "false", "0", "off"})
_YES = frozenset({"yes", "true", "1", "on"})


@dataclass
class RemoteEngine:
    """A server that others run: it can't be stopped from here, and it is only known to be there."""

    endpoint: Endpoint
    pid: int | None = None
    ended: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def stop(self) -> None:
        """Nothing of it is ours."""

    async def memory_bytes(self) -> int | None:
        """Nobody can say from here."""
        return None

    async def is_healthy(self) -> bool:
        """Whether it still lists its models, within ten seconds; every server of this kind has that, not all a
        `/health`."""
        try:
            await _models(self.endpoint, self.endpoint.base_url, _ASK_SECONDS)
        except EngineFailed:
            return False
        return True


def find() -> Found:
    """It needs nothing but a URL."""
    return Found("remote", __version__)


def manner(model: Model) -> Manner:
    """What the user says of it. BadSetting for an API that there is not."""
    told = model.options.get("speaks")
    if told is None:
        return Manner()
    named = frozenset(told.replace(",", " ").split()) - {"chat"}
    if named - APIS:
        raise BadSetting(f"{model.name}: speaks is {told!r}", hint=f"there are: chat, {', '.join(sorted(APIS))}")
    return Manner(speaks=named)


async def start(model: Model, surroundings: Surroundings) -> Running:
    """Ask the server at `options["url"]` for its models, and take the one in `options["model"]` or its only one."""
    endpoint = _endpoint(model)
    seconds = min(_ASK_SECONDS, surroundings.start_timeout_seconds)
    listed = await _models(endpoint, model.name, seconds)
    entry = _choose(model, endpoint.base_url, listed)
    name = str(entry["id"])
    context = _stated_context(entry) or await _ollama_context(endpoint, name, seconds)
    told = model.options.get("context_tokens")
    return RemoteEngine(
        Endpoint(
            endpoint.base_url,
            api_key=endpoint.api_key,
            model=name,
            context_tokens=int(told) if told else context,
            verify_tls=endpoint.verify_tls,
        )
    )


def _endpoint(model: Model) -> Endpoint:
    """Where to ask, by the model's options. BadSetting names the one that is wrong."""
    options = model.options
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise BadSetting(
            f"{model.name}: remote has no option {unknown[0]!r}", hint=f"there are: {', '.join(sorted(OPTIONS))}"
        )
    key, variable = options.get("api_key", ""), options.get("api_key_variable")
    if variable:
        key = os.environ.get(variable, "")
        if not key:
            raise BadSetting(
                f"{model.name}: the environment variable {variable} is not set",
                hint="set it to the key of that server, or leave api_key_variable away",
            )
    verify = options.get("verify_tls", "yes").lower()
    if verify not in _YES | _NO:
        raise BadSetting(f"{model.name}: verify_tls is {verify!r}", hint="write yes or no")
    context = options.get("context_tokens")
    if context is not None and not context.isdecimal():
        raise BadSetting(f"{model.name}: context_tokens is {context!r}, expected a whole number")
    # Whatever the user copied out of the server's documentation.
    url = re.sub(r"/v1(/(chat/completions|completions|models|embeddings))?$", "", options["url"].rstrip("/"))
    return Endpoint(url, api_key=key, verify_tls=verify in _YES)


async def _models(endpoint: Endpoint, name: str, seconds: float) -> list[dict[str, Any]]:
    """The server's list of models. EngineFailed tells what came instead."""
    url = f"{endpoint.base_url}/v1/models"
    try:
        async with ask_endpoint(endpoint, "GET", "/v1/models", seconds=seconds) as answer:
            if 300 <= answer.status < 400:
                # A key must not go to where somebody else says.
                raise EngineFailed(
                    f"{name}: {url} sends elsewhere: {answer.headers.get('location', '?')}",
                    hint="give that address yourself, if it is the right one",
                )
            if answer.status in (401, 403):
                raise EngineFailed(
                    f"{name}: {url} answered {answer.status}: "
                    + ("the key is not taken" if endpoint.api_key else "a key is needed"),
                    hint="set WEIGHBRIDGE_REMOTE_API_KEY, or write in the model's table of the settings file: "
                    'options = { api_key_variable = "NAME" }',
                )
            if answer.status != 200:
                raise EngineFailed(f"{name}: {url} answered {answer.status}", hint="check the URL")
            raw = await answer.read(_LARGEST_LIST_BYTES)
        return _list(raw, name, url)
    except OSError as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise EngineFailed(
                f"{name}: the certificate of {endpoint.base_url} is not trusted: {error.__cause__.verify_message}",
                hint="trust its authority (SSL_CERT_FILE), or on a network of your own write in the model's table of "
                "the settings file: options = { verify_tls = false }",
            ) from error
        said = str(error) or f"no answer within {seconds:g} s"
        raise EngineFailed(
            f"{name}: nothing answers at {endpoint.base_url}: {said}", hint="is the server running?"
        ) from error


def _list(raw: bytes, name: str, url: str) -> list[dict[str, Any]]:
    try:
        entries = json.loads(raw)["data"] or []
        for entry in entries:
            entry["id"].strip()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineFailed(
            f"{name}: {url} is no OpenAI list of models: {raw[:60].decode(errors='replace')!r}", hint="check the URL"
        ) from error
    return list(entries)


def _choose(model: Model, url: str, listed: list[dict[str, Any]]) -> dict[str, Any]:
    by_name = {str(entry["id"]): entry for entry in listed}
    wanted = model.options.get("model")
    names = ", ".join(list(by_name)[:8]) + (f" and {len(by_name) - 8} more" if len(by_name) > 8 else "")
    if wanted is None and len(by_name) == 1:
        return next(iter(by_name.values()))
    if wanted is None:
        raise EngineFailed(f"{model.name}: {url} has {len(by_name)} models: {names}", hint="name one: NAME=URL#MODEL")
    # Ollama lists `qwen3:latest` for what everybody calls `qwen3`.
    for name in (wanted, f"{wanted}:latest"):
        if name in by_name:
            return by_name[name]
    raise EngineFailed(f"{model.name}: {url} has no model {wanted!r}", hint=f"it has: {names}")


def _stated_context(entry: dict[str, Any]) -> int | None:
    """What a list of models says of the context: vLLM and SGLang `max_model_len`, llama.cpp `meta.n_ctx`, others
    `context_length` or `context_window`. What a model was trained on (`n_ctx_train`) is not what the server takes."""
    meta = entry.get("meta")
    places = [
        entry.get("max_model_len"),
        meta.get("n_ctx") if isinstance(meta, dict) else None,
        entry.get("loaded_context_length"),
        entry.get("context_length"),
        entry.get("context_window"),
    ]
    return next((value for value in places if isinstance(value, int) and value > 0), None)


async def _ollama_context(endpoint: Endpoint, name: str, seconds: float) -> int | None:
    """Ollama's own context of a model, which its list does not say; None for other servers, and where it is left to
    Ollama, which then decides by its GPU when it loads.

    It cuts what is longer without a word, so a model that is loaded is asked for its real length (`/api/ps`), else for
    the `num_ctx` that its file sets (`/api/show`).
    """
    try:
        running = await _json(endpoint, "GET", "/api/ps", seconds)
        if running is None:
            return None
        for entry in running.get("models") or ():
            if entry.get("name") == name and isinstance(entry.get("context_length"), int):
                return int(entry["context_length"])
        shown = await _json(endpoint, "POST", "/api/show", seconds, {"model": name})
        found = re.search(r"^num_ctx\s+(\d+)", str((shown or {}).get("parameters", "")), re.MULTILINE)
        return int(found[1]) if found else None
    except (OSError, AttributeError, TypeError):
        return None


async def _json(
    endpoint: Endpoint, method: str, path: str, seconds: float, content: dict[str, str] | None = None
) -> dict[str, Any] | None:
    """The JSON object at a path, None for anything else."""
    async with ask_endpoint(endpoint, method, path, content, seconds=seconds) as answer:
        if answer.status != 200:
            return None
        try:
            found = json.loads(await answer.read(_LARGEST_LIST_BYTES))
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None
