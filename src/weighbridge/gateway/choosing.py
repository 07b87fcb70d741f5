"""`Chooser`: asks routing with what the gateway knows: its models as they are now, its policies, what was learnt."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from weighbridge import routing
from weighbridge.engines import Model, manner
from weighbridge.errors import BadSetting, WeighbridgeError
from weighbridge.figures import Basis, Figure, Range
from weighbridge.openai_api import AUTO, Request
from weighbridge.routing import Candidate, Needs, Policies, Route, explain, needs_of, read_policies, route
from weighbridge.routing.needs import forbidden
from weighbridge.settings import Settings

from .metrics import Load, Metrics
from .pool import Pool
from .scheduler import ModelState, Phase, shortage
from .upstream import Upstream

if TYPE_CHECKING:
    from weighbridge.routing import Predictor

_LOG = logging.getLogger("weighbridge")
PREDICTOR = "router.npz"
"""What was learnt, in the state folder."""
_LOOK_SECONDS = 2.0
_MANY = 256
_MOST_CONVERSATIONS = 4096
# Engines that hold any model to a schema by its grammar.
_KEEP_TO_SCHEMA = frozenset({"llama_cpp", "llama_server", "vllm"})
# A speed that changed by less changes no decision; and how much of it the last answer is.
_NEW_SPEED, _LAST_SHARE = 0.1, 0.2
# Of a speed there must be so many tokens, else the clock's own grain is measured.
_FEWEST_TOKENS = 8


def known_of(model: Model, settings: Settings) -> Candidate:
    """What is known of a model before it runs: by its card, its files, its plan and its table of settings."""
    own, plan, facts = settings.of(model.name), model.plan, model.facts
    speed = plan.speed if plan else None
    told = model.options.get("context_tokens", "")
    return Candidate(
        model.name,
        model.card,
        context_tokens=plan.context_tokens if plan else int(told) if told.isdecimal() else None,
        vision="image" in facts.modalities.input if facts else None,
        tools=_calls_tools(model),
        json_schema=True if model.engine in _KEEP_TO_SCHEMA else None,
        licence=own.licence or (facts.licence if facts else None),
        place=own.place or _host(model),
        loaded=False,
        load_seconds=_middle(speed.load_seconds) if speed else None,
        parallel=plan.workload.parallel if plan else _parallel(model, settings),
        cost_per_token=_price(own.price_output, model),
        cost_per_prompt_token=_price(own.price_input, model),
        tokens_per_second=_middle(speed.decode) if speed else None,
        joules_per_token=_inverse(_middle(speed.tokens_per_joule)) if speed else None,
    )


def _calls_tools(model: Model) -> bool | None:
    """Whether the model hears of a request's tools: by its chat template, or by an engine that tells it in words of its
    own, as llama.cpp's server did until its generic format went. Of an engine that may, it is unknown: such a model is
    asked where no other can."""
    chat = model.facts.chat if model.facts else None
    if chat is None or chat.tools:
        return chat.tools if chat else None
    return manner(model).tells_tools


def _parallel(model: Model, settings: Settings) -> int:
    """Of a server elsewhere only what its table says: how many others ask it is not known here."""
    own = settings.models.get(model.name)
    if model.engine == "remote":
        return (own.parallel if own else None) or _MANY
    return settings.of(model.name).parallel or 1


def _host(model: Model) -> str:
    url = model.options.get("url") if model.engine == "remote" else None
    return urlsplit(url).hostname or url if url else "here"


def _price(of_a_million: float | None, model: Model) -> Figure | None:
    if of_a_million is not None:
        return Figure(of_a_million / 1e6, Basis.STATED, "settings")
    return None if model.engine == "remote" else Figure(0.0, Basis.ASSUMED, "it runs here: no price a token")


def _middle(found: Range | None) -> Figure | None:
    return Figure(math.sqrt(found.low * found.high), found.basis, found.source) if found and found.low > 0 else None


def _inverse(found: Figure | None) -> Figure | None:
    return dataclasses.replace(found, value=1 / found.value) if found else None


class Chooser:
    """Decides for every request which model answers; to be used in the event loop.

    What is known of models is looked at anew only where the scheduler decided something or load changed. What was
    learnt is read from the state folder when it is there, off the event loop, and read again when the file changes.
    BadSetting for a policy that cannot be.
    """

    def __init__(
        self,
        pool: Pool[Upstream],
        metrics: Metrics,
        settings: Settings,
        tell: Callable[[str], None] = lambda _: None,
        before: Chooser | None = None,
    ) -> None:
        self.policies = self.check(settings, pool.models.values())
        for name, models in self.policies.models.items():
            for missing in sorted(models - set(pool.models)):
                tell(f"policy {name}: it names {missing}, which is not served")
        self._pool, self._tell = pool, tell
        self._under_way: list[Load] = [metrics.load(name) for name in pool.models]
        self._static = [known_of(model, settings) for model in pool.models.values()]
        self._candidates = list(self._static)
        self._listed: dict[bool, tuple[Candidate, ...]] = {}
        self._can: dict[bool, set[str]] = {}
        self._seen: object = None
        self._speeds: dict[str, float] = {}
        self._loads = [0] * len(self._static)
        self._named: dict[str, Route] = {}
        self._warm: OrderedDict[str, str] = OrderedDict()
        self.share_warm: Callable[[str, str], None] | None = None
        """Tells the gateway's other processes which model has a conversation in its cache."""
        self.predictor: Predictor | None = None
        self._path: Path = settings.state_path / PREDICTOR
        self._embedding = settings.route_embedding
        self._stamp: tuple[int, int] | None = None
        self._look_at = 0.0
        self._loading: asyncio.Task[None] | None = None
        if before is not None:
            self._speeds, self._warm, self.predictor = before._speeds, before._warm, before.predictor
            self.share_warm = before.share_warm
            is_read = before._loading is None and before._embedding == self._embedding
            self._stamp = before._stamp if is_read else None

    @staticmethod
    def check(settings: Settings, models: Iterable[Model]) -> Policies:
        """The policies of the settings; BadSetting where one cannot be, or is named as a model is."""
        policies = read_policies(settings.policies)
        taken = sorted(set(policies.named) & {model.name for model in models})
        if taken:
            raise BadSetting(f"[policies.{taken[0]}]: a model is named so", hint="give one of them another name")
        return policies

    @property
    def names(self) -> tuple[str, ...]:
        """All by which a request may ask for a choice: `auto`, its kin, and the policies."""
        return self.policies.names

    def choose(
        self, asked: Request, fields: Mapping[str, object] | None, allowed: frozenset[str] | None = None
    ) -> Route:
        """Who answers, and why. `fields` is the body where it was read, `allowed` the models that the caller may use;
        None: all. ApiError as `route` raises it."""
        if asked.model in self._pool.models:
            return self.by_name(asked.model)
        needs = Needs() if fields is None else needs_of(fields)
        warm = self._warm.get(needs.conversation) if needs.conversation else None
        chosen = route(
            asked,
            self.candidates(asked.path, allowed),
            self._learnt(),
            self.policies,
            needs=needs,
            warm=warm,
            thresholds=self.predictor.thresholds if self.predictor else {},
        )
        if needs.conversation:
            self._keep_warm(needs.conversation, chosen.model)
        return chosen

    def by_name(self, model: str) -> Route:
        """The decision for a request that names one of the models; ApiError where it may not be asked."""
        found = self._named.get(model)
        if found is None:
            asked = Request("", model, False, "", b"")
            found = self._named[model] = route(asked, self._static, policies=self.policies)
        return found

    def explain(self, prompt: str, policy: str, task: str | None) -> dict[str, Any]:
        """The decision that such a chat would get now, and how it came about, in lines. Nothing is asked."""
        content = [{"role": "user", "content": prompt}]
        asked, needs = Request("/v1/chat/completions", policy, False, prompt, b""), needs_of({"messages": content})
        candidates = self.candidates(asked.path)
        begun = time.perf_counter()
        chosen = route(
            asked, candidates, self._learnt(), self.policies, needs=needs, task=task,
            thresholds=self.predictor.thresholds if self.predictor else {},
        )  # fmt: skip
        took = time.perf_counter() - begun
        return {"route": chosen, "lines": explain(chosen, candidates, asked, needs, self.predictor), "seconds": took}

    def candidates(self, path: str, allowed: frozenset[str] | None = None) -> tuple[Candidate, ...]:
        """Who may be chosen at a path: those that are in order and can do what is asked there, if there are any."""
        self._refresh()
        kind = path.endswith("/embeddings")
        listed = self._listed.get(kind)
        if listed is None:
            can = self._can.get(kind)
            if can is None:
                can = self._can[kind] = {each.name for each in self._static if self._pool.can_serve(each.name, path)}
            listed = tuple(each for each in self._candidates if each.name in can) or tuple(self._candidates)
            self._listed[kind] = listed
        if allowed is None:
            return listed
        return tuple(each for each in listed if each.name in allowed)

    def permits(self, asked: str | None, model: str) -> bool:
        """Whether the policy that a request names, and the standing one, allow a model's licence and place."""
        candidate = next((each for each in self._static if each.name == model), None)
        standing = self.policies.named.get(AUTO)
        named = self.policies.of(Request("", asked or AUTO, False, "", b""))
        policies = [each for each in (named, standing) if each is not None]
        return candidate is not None and not any(forbidden(candidate, each) for each in policies)

    def heard(self, model: str, tokens: int, seconds: float) -> None:
        """An answer of so many tokens, after its first, took so long: how fast the model is now."""
        if tokens < _FEWEST_TOKENS or seconds <= 0:
            return
        before = self._speeds.get(model)
        speed = tokens / seconds
        self._speeds[model] = speed if before is None else before + _LAST_SHARE * (speed - before)
        self._seen = None

    async def begin(self) -> None:
        """Read what was learnt, if anything was, before the first request comes."""
        self._learnt()
        if self._loading is not None:
            await self._loading

    def _keep_warm(self, conversation: str, model: str) -> None:
        if self.share_warm is not None and self._warm.get(conversation) != model:
            self.share_warm(conversation, model)
        self.keep_warm(conversation, model)

    def keep_warm(self, conversation: str, model: str) -> None:
        """Know that a model has a conversation in its cache."""
        self._warm[conversation] = model
        self._warm.move_to_end(conversation)
        if len(self._warm) > _MOST_CONVERSATIONS:
            self._warm.popitem(last=False)

    # What is known of the models now.

    def _refresh(self) -> None:
        state = self._pool.glance
        is_old = self._seen is not state
        self._seen = state
        if is_old:
            self._can.clear()
        for at, counts in enumerate(self._under_way):
            known = self._candidates[at]
            load = max(0, counts.in_flight + counts.elsewhere - known.parallel)
            if not is_old and load == self._loads[at]:
                continue
            self._loads[at] = load
            now = self._now(self._static[at], state.models[known.name], load)
            if is_old and now.loadable is not False and shortage(state, known.name):
                now = dataclasses.replace(now, loadable=False)
            if now != known:
                self._candidates[at] = now
            self._listed.clear()

    def _now(self, static: Candidate, state: ModelState, load: int) -> Candidate:
        name, life = static.name, self._pool.lives.get(static.name)
        told = life.running.endpoint.context_tokens if life is not None else None
        speed = static.tokens_per_second
        heard = self._speeds.get(name)
        if heard is not None and (speed is None or abs(heard / speed.value - 1) > _NEW_SPEED):
            speed = Figure(float(f"{heard:.2g}"), Basis.MEASURED, "its last answers")
        took = state.load_seconds
        return dataclasses.replace(
            static,
            context_tokens=static.context_tokens or told,
            loaded=state.phase is Phase.READY,
            loadable=True,
            load_seconds=Figure(took, Basis.MEASURED, "its last start") if took else static.load_seconds,
            waiting=load,
            tokens_per_second=speed,
        )

    # What was learnt.

    def _learnt(self) -> Predictor | None:
        """What was learnt, as far as it is read; a file that is new is begun to be read."""
        now = time.monotonic()
        if now >= self._look_at and self._loading is None:
            self._look_at = now + _LOOK_SECONDS
            try:
                found = self._path.stat()
                stamp = (found.st_mtime_ns, found.st_size)
            except OSError:
                stamp, self._stamp, self.predictor = None, None, None
            if stamp is not None and stamp != self._stamp:
                self._stamp = stamp
                self._loading = asyncio.get_running_loop().create_task(self._load())
        return self.predictor

    async def _load(self) -> None:
        try:
            # Arrays are only loaded where something was learnt.
            found = await asyncio.to_thread(lambda: routing.Predictor.load(self._path, self._embedding))
            self.predictor = found
            if found.lacks:
                self._tell(found.lacks)
        except WeighbridgeError as error:
            self._tell(f"what was learnt is not used: {error} ({error.hint})")
        except Exception:
            _LOG.exception("a fault in reading what was learnt")
        finally:
            self._loading = None
