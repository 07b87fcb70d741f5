"""llama.cpp, embedded by the `xllamacpp` wheel: one child process a model."""

from __future__ import annotations

import asyncio
from importlib.metadata import PackageNotFoundError, version

from weighbridge.errors import BadSetting, EngineFailed
from weighbridge.fit import Plan

from .child_process import ChildProcess, Launch, new_socket
from .endpoint import Endpoint, Running
from .finding import Found
from .manner import COUNT_TOKENS, Manner
from .model import Model
from .self_test import self_test
from .surroundings import Surroundings
from .tails import refuse_zero_tail

IS_ENGINE = True
formats = frozenset({"gguf"})

OPTIONS = frozenset({"mmproj", "draft"})
"""`mmproj` is the file of a projector for images or sound, `draft` that of a smaller model that proposes tokens."""


def find() -> Found:
    """The wheel: it comes with weighbridge."""
    try:
        return Found("llama_cpp", version("xllamacpp"))
    except PackageNotFoundError:
        return Found("llama_cpp", reason="the xllamacpp wheel is not installed", hint="pip install weighbridge again")


def manner(model: Model) -> Manner:
    """What llama.cpp's server understands, as that of xllamacpp 2026.10 was seen to answer.

    It has `/v1/messages` and `/v1/responses`, but says `end_turn` at a stop word, opens a block before it closes the
    one before, and of the responses passes over `text.format`, numbers no event, and calls a cut answer completed. Of
    `n` choices it streams the first one's words alone, counts one, and gives no more than it has slots. A named
    `tool_choice` it takes for `auto`. Where the chat template has no place for tools, it leaves them out without a
    word, also where one is required; the generic format of older builds is no more.
    """
    return Manner(
        speaks=frozenset({COUNT_TOKENS}),
        heeds_named_tool=False,
        gives_choices=False,
        tells_tools=False,
        sees_images="mmproj" in model.options,
        tells_stop_word={"verbose": True, "response_fields": ["stopping_word"]},
    )


async def start(model: Model, surroundings: Surroundings) -> Running:
    """The model in a child of its own, loaded, tested and answering, with all settings as planned."""
    plan = planned(model)
    await asyncio.to_thread(refuse_zero_tail, plan.facts)
    endpoint = Endpoint("http://engine", socket=new_socket(surroundings))
    arguments = {
        "name": model.name,
        "path": plan.facts.source.files[0],
        "threads": plan.threads,
        "embeddings": plan.embeddings,
        "pooled": given_by(plan) != "text",
        "ranks": given_by(plan) == "score",
        "mmproj": model.options.get("mmproj"),
        "draft": model.options.get("draft"),
        **workload_of(plan),
    }

    async def check(endpoint: Endpoint) -> None:
        await self_test(endpoint, model.name, gives=given_by(plan))

    child = ChildProcess(model.name, endpoint, Launch("llama_cpp", arguments, check=check), surroundings)
    await child.start()
    return child


def planned(model: Model) -> Plan:
    """The model's plan; EngineFailed where there is none that llama.cpp could follow, BadSetting for an option that it
    does not have."""
    unknown = sorted(set(model.options) - OPTIONS)
    if unknown:
        raise BadSetting(
            f"{model.name}: llama.cpp has no option {unknown[0]!r}", hint=f"there are: {', '.join(sorted(OPTIONS))}"
        )
    if model.plan is None or model.plan.facts.source.kind != "gguf":
        raise EngineFailed(f"{model.name}: llama.cpp needs a plan for a GGUF file", hint="give it a .gguf file")
    return model.plan


def workload_of(plan: Plan) -> dict[str, object]:
    """All that the plan's memory depends on: what `weigh fit` promises is what runs."""
    workload = plan.workload
    return {
        "context_tokens": plan.context_tokens,
        "parallel": workload.parallel,
        "ubatch_tokens": workload.ubatch_tokens,
        "cache_type_k": workload.cache_type_k,
        "cache_type_v": workload.cache_type_v,
        "flash_attention": workload.flash_attention,
        "unified_cache": workload.unified_cache,
        "full_windows": workload.full_windows,
    }


def given_by(plan: Plan) -> str:
    """What it gives: `text`, or where it gives none `embedding` or `score`."""
    outputs = plan.facts.modalities.output
    return "text" if "text" in outputs else outputs[0]
