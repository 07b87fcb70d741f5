"""One variant from all that the lists and its shape say of it, each value from the source that knows it best."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from weighbridge.facts import Modalities
from weighbridge.figures import Basis
from weighbridge.sizes import show_count

from ..naming import words_of
from ..variant import Evidence, Known, Repository, Shape, Tag, Variant
from .lists import COLLECTED, GPUSTACK, HUB_DATE, HUB_LIST, XINFERENCE, HubRow, Lists, Served
from .shapes import Configs, Told, find_shape

_MOST_REPOSITORIES = 12
# Who packs other makers' weights and leaves them as they are; what others publish may be tuned anew.
_PACKERS = frozenset(
    "unsloth lmstudio-community bartowski mradermacher ggml-org mlx-community redhatai neuralmagic nvidia quanttrio"
    " cyankiwi thebloke intel amd gaianet second-state openvino hugging-quants casperhansen isotr0py".split()
)
_PACKED_AS = re.compile(
    r"(?i)(UD-[A-Z0-9_]+|GGUF|AWQ|GPTQ(?:-Int[48])?|NVFP4|MXFP4|FP8(?:-dynamic)?|Int[48]|W\dA\d{1,2}|[2-8]bit"
    r"|bnb-4bit|MLX)"
)
_SPDX = {
    "apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0", "cc-by-nc-4.0": "CC-BY-NC-4.0", "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0",
    "gpl-3.0": "GPL-3.0-only", "agpl-3.0": "AGPL-3.0-only", "cc0-1.0": "CC0-1.0",
}  # fmt: skip
_ABILITIES = {
    "chat": "chat", "tools": "tools", "reasoning": "reasoning", "vision": "vision", "audio": "audio", "omni": "audio",
}  # fmt: skip
_CAPABILITIES = {"tools": "tools", "reasoning": "reasoning", "vision": "vision"}
_TASKS = {
    "feature-extraction": "embedding", "sentence-similarity": "embedding", "image-text-to-text": "vision",
    "any-to-any": "vision",
}  # fmt: skip
_BY_NAME = {
    "instruct": "chat", "coder": "code", "code": "code", "codegemma": "code", "starcoder": "code", "codellama": "code",
    "thinking": "reasoning", "reasoning": "reasoning", "vl": "vision", "vision": "vision", "embedding": "embedding",
    "embed": "embedding", "reranker": "reranking", "reranker-large": "reranking",
}  # fmt: skip
_ORDER = ("chat", "code", "reasoning", "tools", "vision", "audio", "embedding", "reranking")
# Sizes that differ by more than this are a slip (of unit, of active for total), not of rounding.
_SLIP = 3.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a variant stands: its family and release, and its maker's repository."""

    family: str
    release: str
    repository: str


def assemble(place: Place, lists: Lists, configs: Configs, evidence: tuple[Evidence, ...]) -> Variant | None:
    """The variant; None where no list knows its repository and no config is at hand."""
    key = place.repository.lower()
    row, spec, offer = lists.hub.get(key), lists.specs.get(key), lists.offers.get(key)
    served = lists.served.get(key, [])
    found = find_shape(place.repository, row, spec, configs)
    if row is None and found is None:
        return None
    shape, told = found or (None, None)
    maker, _, name = place.repository.partition("/")
    parameters = _parameters(shape, row)
    return Variant(
        name=name,
        family=place.family,
        release=place.release,
        maker=maker,
        repository=place.repository,
        parameters=parameters,
        active_parameters=_active(shape, key, lists),
        shape=shape,
        context_length=_context(told, row, key, lists, configs),
        modalities=_modalities(told, row, served, configs),
        licence=_licence(key, lists),
        released=_released(row, key, lists, served),
        downloads=_of_hub(row.downloads) if row else None,
        likes=_of_hub(row.likes) if row else None,
        tags=tuple(_tags(name, key, lists)),
        evidence=evidence,
        repositories=_repositories(place.repository, lists),
        notes=tuple(_slips(parameters, spec.size if spec else None, offer.size if offer else None)),
    )


def _of_hub(value: int | None) -> Known[int] | None:
    return None if value is None else Known(value, Basis.STATED, HUB_LIST, HUB_DATE)


def _parameters(shape: Shape | None, row: HubRow | None) -> Known[int] | None:
    if shape:
        return Known(shape.parameters, shape.basis, "the shape that the config implies", shape.date)
    return _of_hub(row.parameters) if row else None


def _active(shape: Shape | None, key: str, lists: Lists) -> Known[int] | None:
    if shape:
        active = shape.active_parameters
        if active is None:
            return None
        return Known(active, shape.basis, "the shape that the config implies", shape.date)
    spec, offer = lists.specs.get(key), lists.offers.get(key)
    if spec and spec.activated:
        return Known(_billions(spec.activated), Basis.STATED, XINFERENCE, COLLECTED)
    if offer and offer.activated:
        return Known(_billions(offer.activated), Basis.STATED, GPUSTACK, COLLECTED)
    return None


def _billions(size: str | float) -> int:
    """Weights from a size as catalogues write it: 0_6, 35, 2.5."""
    return round(float(str(size).replace("_", ".")) * 1e9)


def _context(told: Told | None, row: HubRow | None, key: str, lists: Lists, configs: Configs) -> Known[int] | None:
    own = configs.facts(told).context_length if told else None
    if told and own and key in configs.real:
        return Known(own, Basis.READ, told.source, COLLECTED)
    if row and row.context_length:
        return Known(row.context_length, Basis.STATED, HUB_LIST, HUB_DATE)
    if told and own and told.name.lower() == key:
        return Known(own, Basis.STATED, told.source, COLLECTED)
    spec = lists.specs.get(key)
    if spec and spec.context_length:
        return Known(spec.context_length, Basis.STATED, XINFERENCE, COLLECTED)
    for each in lists.served.get(key, ()):
        if each.context_length:
            return Known(each.context_length, Basis.STATED, each.source, each.date)
    return None


def _modalities(
    told: Told | None, row: HubRow | None, served: list[Served], configs: Configs
) -> Known[Modalities] | None:
    if row and _TASKS.get(row.task) == "embedding":
        return Known(Modalities(("text",), ("embedding",)), Basis.STATED, HUB_LIST, HUB_DATE)
    if told:
        return Known(configs.facts(told).modalities, Basis.COMPUTED, told.source or HUB_LIST, COLLECTED)
    for each in served:
        if each.inputs:
            known = tuple(name for name in ("text", "image", "video", "audio") if name in each.inputs)
            return Known(Modalities(known), Basis.STATED, each.source, each.date)
    if row and row.task == "image-text-to-text":
        return Known(Modalities(("text", "image")), Basis.STATED, HUB_LIST, HUB_DATE)
    return None


def _licence(key: str, lists: Lists) -> Known[str] | None:
    row, offer = lists.hub.get(key), lists.offers.get(key)
    if row and row.licence and row.licence not in ("other", "unknown"):
        return Known(_SPDX.get(row.licence, row.licence), Basis.STATED, HUB_LIST, HUB_DATE)
    if offer and offer.licences:
        return Known(_SPDX.get(offer.licences[0], offer.licences[0]), Basis.STATED, GPUSTACK, COLLECTED)
    return None


def _released(row: HubRow | None, key: str, lists: Lists, served: list[Served]) -> Known[str] | None:
    if row and row.created:
        return Known(row.created[:10], Basis.STATED, HUB_LIST, HUB_DATE)
    offer = lists.offers.get(key)
    if offer and offer.released:
        return Known(offer.released[:10], Basis.STATED, GPUSTACK, COLLECTED)
    dated = sorted(each.released for each in served if each.released)
    return Known(dated[0], Basis.STATED, served[0].source, served[0].date) if dated else None


def _tags(name: str, key: str, lists: Lists) -> Iterator[Tag]:
    said: dict[str, list[str]] = {}

    def say(tags: Iterable[str | None], source: str) -> None:
        for tag in tags:
            if tag and source not in said.setdefault(tag, []):
                said[tag].append(source)

    say((_BY_NAME.get(word) for word in sorted(words_of(name))), "its name")
    if row := lists.hub.get(key):
        say([_TASKS.get(row.task)], HUB_LIST)
    if spec := lists.specs.get(key):
        say((_ABILITIES.get(ability) for ability in spec.abilities), XINFERENCE)
    if offer := lists.offers.get(key):
        say((_CAPABILITIES.get(capability) for capability in offer.capabilities), GPUSTACK)
        say(({"embedding": "embedding", "reranker": "reranking"}.get(each) for each in offer.categories), GPUSTACK)
    for each in lists.served.get(key, ()):
        say(["tools" if each.tools else None, "reasoning" if each.reasoning else None], each.source)
        say(["vision" if "image" in each.inputs else None, "audio" if "audio" in each.inputs else None], each.source)
    return (Tag(tag, tuple(said[tag])) for tag in _ORDER if said.get(tag))


def _repositories(name: str, lists: Lists) -> tuple[Repository, ...]:
    """The maker's own, and those that hold the same weights packed, the most used first."""
    maker, _, short = name.partition("/")
    words = words_of(short)
    found = [_repository(name, lists)]
    others = []
    for key in sorted(lists.by_words.get(words, ())):
        organisation = key.partition("/")[0]
        if key != name.lower() and (organisation == maker.lower() or organisation in _PACKERS):
            repository = _repository(lists.spelled[key], lists)
            if repository.format != "safetensors" or repository.quantizations:
                others.append(repository)
    others.sort(key=lambda each: (-(each.downloads or 0), each.name))
    return (*found, *others[:_MOST_REPOSITORIES])


def _repository(name: str, lists: Lists) -> Repository:
    row, spec = lists.hub.get(name.lower()), lists.specs.get(name.lower())
    short = name.partition("/")[2]
    is_gguf = "gguf" in short.lower() or (spec is not None and spec.format.startswith("gguf"))
    form = "gguf" if is_gguf else "mlx" if "mlx" in name.lower() else "safetensors"
    packed = tuple(spec.quantizations) if spec and spec.quantizations else tuple(_packings(short))
    if row:
        return Repository(name, form, packed, row.downloads, row.likes, HUB_LIST, HUB_DATE)
    source = XINFERENCE if spec else GPUSTACK
    return Repository(name, form, packed, None, None, source, COLLECTED)


def _packings(short: str) -> list[str]:
    found = [match for match in _PACKED_AS.findall(short) if match.lower() not in ("gguf", "mlx")]
    return list(dict.fromkeys(found))


def _slips(parameters: Known[int] | None, spec: str | None, offer: float | None) -> Iterator[str]:
    """Sizes that other catalogues give and that cannot be."""
    if parameters is None:
        return
    for source, told in ((XINFERENCE, spec), (GPUSTACK, offer)):
        if told is None:
            continue
        try:
            size = _billions(told)
        except ValueError:
            continue
        if size and not 1 / _SLIP < size / parameters.value < _SLIP:
            yield f"{source} gives a size of {told}, in thousand million weights: it has {show_count(parameters.value)}"
