"""From what a user names to models with plans: a bundled name, a file, a URL, or the fake."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from weighbridge import facts, fit, machine
from weighbridge.engines import Model
from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.settings import Settings
from weighbridge.specialists import bundled

from .locate import locate

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})=(.+)", re.DOTALL)


def find_models(sources: Sequence[str], settings: Settings) -> list[Model]:
    """A model for each source, or the bundled ones for none; all planned to be held at once.

    Raises BadModelFile, DoesNotFit or BadSetting before anything is started.
    """
    here = machine.detect()
    workload = fit.Workload(settings.context_tokens or None, settings.parallel)
    models: dict[str, Model] = {}
    reserved = 0
    for source in sources or list(bundled()):
        named = _NAMED.fullmatch(source)
        model = _model(named[2] if named else source, named[1] if named else None)
        if model.engine == "remote" and settings.remote_api_key:
            model = dataclasses.replace(model, options={**model.options, "api_key": settings.remote_api_key})
        if model.engine == "llama_cpp":
            # The embedded engine computes on the processor alone.
            plan = fit.make_plan(
                facts.read(model.options["path"]), here, workload, reserved_bytes=reserved, use_devices=False
            )
            plan.ensure_fits()
            reserved += plan.memory.total
            plan = dataclasses.replace(plan, threads=settings.threads or plan.threads)
            model = dataclasses.replace(model, plan=plan, card=plan.facts.card)
        if model.name in models or model.name == "auto":
            raise BadSetting(f"the name {model.name!r} is taken already", hint=f"give another: NAME={source}")
        models[model.name] = model
    if not models:
        raise BadModelFile("no model is named, and none is bundled", hint="name a .gguf file: weigh up FILE.gguf")
    return list(models.values())


def _model(source: str, name: str | None) -> Model:
    if source.startswith(("http://", "https://")):
        url, _, wanted = source.partition("#")
        if "@" in url.split("//", 1)[1].split("/", 1)[0]:
            raise BadSetting(
                "a password in a URL would show in lists and logs", hint="give the key in WEIGHBRIDGE_REMOTE_API_KEY"
            )
        host = re.sub(r"[^A-Za-z0-9._-]", "-", url.split("//", 1)[1].removesuffix("/v1").rstrip("/"))
        return Model(name or wanted or host, "remote", options={"url": url} | ({"model": wanted} if wanted else {}))
    if source == "fake" or source.startswith("fake:"):
        pairs = [pair.partition("=") for pair in source[5:].split(",") if pair]
        return Model(name or "fake", "fake", options={key: value for key, _, value in pairs})
    path = locate(source)
    return Model(name or re.sub(r"[^A-Za-z0-9._-]", "-", path.stem), "llama_cpp", options={"path": str(path)})
