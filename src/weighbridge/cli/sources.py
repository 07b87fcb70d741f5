"""From what a user names to models with plans: a bundled name, a file, a repository, a URL, the catalogue, the fake."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from weighbridge import engines, facts, fit, hub, machine
from weighbridge.cli import output
from weighbridge.cli.model_names import source_of
from weighbridge.cli.progress import fetch
from weighbridge.cli.progress import introduce as introduce_files
from weighbridge.cli.this_machine import within_budget
from weighbridge.engines import Model
from weighbridge.errors import BadModelFile, BadSetting, DoesNotFit, WeighbridgeError
from weighbridge.machine import Machine
from weighbridge.settings import TAKEN_NAMES, ModelSettings, Settings
from weighbridge.sizes import show_bytes, show_count
from weighbridge.specialists import bundled

if TYPE_CHECKING:
    # Where only servers elsewhere are served, nothing that reads files and plans is loaded, and stays.
    from weighbridge.facts import ModelFacts
    from weighbridge.fit import Companions, Plan

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})=(.+)", re.DOTALL)
_PART = re.compile(r"-\d{5}-of-\d{5}$")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def wanted_sources(sources: Sequence[str], settings: Settings) -> list[str]:
    """What is served: what was named, else the tables of the settings, else the bundled models."""
    return list(sources) or list(settings.models) or list(bundled())


def find_models(
    sources: Sequence[str],
    settings: Settings,
    kept: Mapping[str, Model] = MappingProxyType({}),
    free: Mapping[str, int] | None = None,
) -> list[Model]:
    """A model for each source; for none those of the settings, and where it names none the bundled ones.

    What is not on this machine is planned by its header first, and fetched only if it fits. Each plan is for the model
    beside the others where there is room for all, else for the model alone: the gateway then loads them in turns.
    `kept` are models that were found before, by their sources, and are taken as they are; `free` is the memory by place
    that all may take together, where models run already. Raises BadModelFile, DoesNotFit or BadSetting before anything
    is started.
    """
    here = machine.detect(settings.state_path)
    finding = _Finding(settings, within_budget(here if free is None else _as_if_idle(here, free), settings))
    wanted = wanted_sources(sources, settings)
    if not wanted:
        raise BadModelFile("no model is named, and none is bundled", hint="name a .gguf file: weigh up FILE.gguf")
    models: dict[int, Model] = {}
    # What is pinned never goes: all others are planned beside it.
    for number in sorted(range(len(wanted)), key=lambda number: not finding.is_pinned(wanted[number])):
        try:
            known = kept.get(wanted[number])
            model = finding.model(wanted[number]) if known is None else finding.take(known)
        except WeighbridgeError as error:
            if wanted[number] in settings.models:
                # Whose table it is that is wrong.
                error.args = (f"[models.{wanted[number]}]: {error}",)
            raise
        if model.name in (other.name for other in models.values()):
            raise BadSetting(f"the name {model.name!r} is taken already", hint=_renamed(wanted[number]))
        models[number] = model
    return [models[number] for number in range(len(wanted))]


def introduce(model: Model) -> str:
    """What is known of a model before it is loaded, in a line."""
    plan = model.plan
    if plan is None:
        return f"{model.name}: {model.engine}" + (f" at {model.options['url']}" if "url" in model.options else "")
    return (
        f"{model.name}: {show_count(plan.facts.parameters.total or 0)} {plan.facts.quantization}, {plan.verdict}: "
        f"{show_bytes(plan.memory.total)} of {show_bytes(plan.available_bytes)} at "
        f"{plan.context_tokens:,} tokens x {plan.workload.parallel}"
    )


def _as_if_idle(here: Machine, free: Mapping[str, int]) -> Machine:
    """The machine as it was before the gateway's models were loaded."""
    memory = here.memory
    if memory is not None and "memory" in free:
        memory = dataclasses.replace(memory, available_bytes=max(memory.available_bytes, free["memory"]))
    devices = tuple(
        dataclasses.replace(device, memory_free_bytes=free.get(f"gpu{index}", device.memory_free_bytes))
        for index, device in enumerate(here.devices)
    )
    return dataclasses.replace(here, memory=memory, devices=devices)


@dataclass(slots=True)
class _Finding:
    """The models found so far, by what they hold of each device."""

    settings: Settings
    machine: Machine
    held: dict[int | None, int] = field(default_factory=dict)
    pinned: dict[int | None, int] = field(default_factory=dict)

    def is_pinned(self, text: str) -> bool:
        """Whether its table says so."""
        named = _NAMED.fullmatch(text)
        return self.settings.of(named[1] if named else text).pinned

    def model(self, text: str) -> Model:
        """The model that one source names: NAME=SOURCE, a table of the settings, or a source alone."""
        named = _NAMED.fullmatch(text)
        name, source = (named[1], named[2]) if named else (None, text)
        if name is None and text in self.settings.models:
            name, source = text, self.settings.models[text].source or text
        if name is not None:
            _check_name(name, source)
        if source == "fake" or source.startswith("fake:"):
            return self._fake(name or "fake", source)
        if source.startswith(("http://", "https://")) and not _is_of_files(source):
            return self._remote(name, source)
        return self._local(name, source)

    def _fake(self, name: str, source: str) -> Model:
        pairs = [pair.partition("=") for pair in source[5:].split(",") if pair]
        return Model(name, "fake", options={key: value for key, _, value in pairs} | dict(self._options(name)))

    def _remote(self, name: str | None, source: str) -> Model:
        url, _, wanted = source.partition("#")
        if "@" in url.split("//", 1)[1].split("/", 1)[0]:
            raise BadSetting(
                "a password in a URL would show in lists and logs", hint="give the key in WEIGHBRIDGE_REMOTE_API_KEY"
            )
        host = url.split("//", 1)[1].removesuffix("/v1").rstrip("/")
        name = name or _check_name(_name_of(wanted or host), source)
        options = {"url": url} | ({"model": wanted} if wanted else {})
        if self.settings.remote_api_key:
            options["api_key"] = self.settings.remote_api_key
        # Only what is said of this one: what holds for all is for those that are planned here.
        own = self.settings.models.get(name)
        if own and own.context_tokens:
            options["context_tokens"] = str(own.context_tokens)
        return Model(name, "remote", options=options | dict(self._options(name)))

    def _options(self, name: str) -> Mapping[str, str]:
        """What the model's table says to its engine alone."""
        return self.settings.of(name).options

    def _local(self, name: str | None, source: str) -> Model:
        access, state = facts.HubAccess.from_environment(os.environ), self.settings.state_path
        files = hub.find(source_of(source, access, state), access, state)
        if name is None:
            name = _check_name(_name_of(files.wanted or files.repository or files.name), source)
        own = self.settings.of(name)
        # On Ray it takes GPUs of several machines, of which nobody here knows how much is free.
        is_planned = own.options.get("executor") != "ray"
        if not files.is_here:
            if is_planned:
                # Its header is read over the network: what does not fit is refused before the first byte of weights.
                self._ensure_fits(self._plan(name, facts.read(files.source, access)))
            output.tell(introduce_files(files))
        files = fetch(files, access, state)
        if files.place not in ("file", "folder"):
            hub.touch(files, state)
        read = facts.read(files.first)
        if not is_planned:
            context = {"max_model_len": str(own.context_tokens)} if own.context_tokens else {}
            options = {"path": str(files.first), **context, **own.options}
            return Model(name, self._engine(own, read), card=read.card, options=options)
        plan = self._plan(name, read)
        self._ensure_fits(plan)
        plan = dataclasses.replace(plan, threads=own.threads or plan.threads)
        return self.take(Model(name, self._engine(own, read), card=read.card, plan=plan, options=own.options))

    def take(self, model: Model) -> Model:
        """The model, whose memory is held from now on."""
        taken = self.pinned if self.settings.of(model.name).pinned else {}
        for need in model.plan.devices if model.plan else ():
            self.held[need.index] = self.held.get(need.index, 0) + need.memory.total
            taken[need.index] = taken.get(need.index, 0) + need.memory.total
        return model

    def _ensure_fits(self, plan: Plan) -> None:
        """DoesNotFit with the sum, and with what the settings leave of the memory."""
        try:
            plan.ensure_fits()
        except DoesNotFit as error:
            why, hint = [], error.hint
            if budget := self.settings.memory_budget_bytes:
                why.append(f"memory_budget_bytes is {show_bytes(budget)}")
                hint += "; or a larger memory_budget_bytes"
            if pinned := self.pinned.get(None):
                why.append(f"pinned models hold {show_bytes(pinned)}")
                hint += "; or pin fewer models"
            raise DoesNotFit(f"{error}" + (f": {', '.join(why)}" if why else ""), hint=hint) from error

    def _engine(self, own: ModelSettings, read: ModelFacts) -> str:
        """BadSetting for one that does not run such files, or does not exist."""
        if not own.engine:
            return engines.choose(read, self.machine)
        kind = read.source.kind
        if own.engine not in (names := engines.able(kind)):
            raise BadSetting(
                f"{read.name} is {kind}, and no engine for that is named {own.engine!r}",
                hint=f"there are: {', '.join(names)}; without a row `engine` the one that suits is taken",
            )
        return own.engine

    def _plan(self, name: str, read: ModelFacts) -> Plan:
        """Beside all others if that fits, else beside those that never go."""
        own = self.settings.of(name)
        engine = self._engine(own, read)
        workload = fit.Workload(
            context_tokens=own.context_tokens or None,
            parallel=own.parallel or self.settings.parallel,
            ubatch_tokens=own.ubatch_tokens or self.settings.ubatch_tokens,
            cache_type_k=own.cache_type_k or None,
            cache_type_v=own.cache_type_v or None,
        )

        companions = _companions(own.options) if read.source.kind == "gguf" else fit.Companions()

        def planned(reserved: Mapping[int | None, int]) -> Plan:
            if read.source.kind != "gguf":
                from weighbridge.fit.checkpoints import plan_checkpoint

                return plan_checkpoint(read, self.machine, workload, reserved=reserved)
            # The embedded engine computes on the processor alone.
            return fit.plan_with(
                read, self.machine, workload, companions, reserved=reserved, use_devices=engine != "llama_cpp"
            )

        plan = planned(self.held)
        return planned(self.pinned) if plan.verdict is fit.Verdict.NO and self.held != self.pinned else plan


def _companions(options: Mapping[str, str]) -> Companions:
    """What the engine loads with the model, by its options; what cannot be read is refused before it is fetched."""
    named = {option: facts.read(options[option]) for option in ("mmproj", "draft") if options.get(option)}
    return fit.companions_of(named.get("mmproj"), named.get("draft"))


def _is_of_files(url: str) -> bool:
    """Whether the address is that of a model's file or repository, and not of a server that answers requests."""
    path = url.partition("?")[0].partition("#")[0]
    return path.endswith((".gguf", ".safetensors")) or bool(
        re.match(r"https?://(www\.)?(hf\.co|huggingface\.co)/", url)
    )


def _renamed(text: str) -> str:
    """How to give it another name."""
    named = _NAMED.fullmatch(text)
    return f"give another: NAME={named[2] if named else text}"


def _check_name(name: str, source: str) -> str:
    """The name, if a model can have it; before anything of it is fetched."""
    if name in TAKEN_NAMES:
        raise BadSetting(
            f"no model can be named {name!r}: `auto` means whichever suits, `weigh logs gateway` the gateway itself",
            hint=_renamed(source),
        )
    return name


def _name_of(text: str) -> str:
    """A name to be served under: of a file without its folder and ending, of a repository without its maker."""
    last = _PART.sub("", text.rsplit("/", 1)[-1].removesuffix(".gguf"))
    return _NOT_IN_NAMES.sub("-", last).strip("-.")[:64] or "model"
