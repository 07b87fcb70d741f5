"""A model in the layout of Hugging Face, Mistral or diffusers on its shelf: configs, indexes, safetensors headers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from weighbridge.errors import BadModelFile

from . import checkpoint_facts
from .checkpoint_facts import Checkpoint
from .config import MOST, MOST_INDEX_BYTES, MOST_JSON_BYTES, Config, parse_json
from .licences import chosen, of_front_matter
from .model_facts import Chat, Context, LicenceStatement, Modalities, ModelFacts, Parameters, Source, Weights
from .safetensors import SafetensorsHeader, header_length, parse_header, read_header
from .shelf_reading import ShelfReading
from .shelves import Shelf

_MOST_SHARDS = 4096
_PART = re.compile(r"(.*)-(\d{1,5})-of-(\d{1,6})\.safetensors")
# Diffusers keeps other precisions of the same weights beside them.
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|fp8|non_ema|ema)[.-]")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
# A config without any of these is that of something else.
_TELLING_KEYS = ("model_type", "architectures", "_class_name", "hidden_size", "text_config", "dim", "n_layers",
                 "d_model", "n_embd", "num_hidden_layers", "max_position_embeddings")  # fmt: skip
# The file that tells what kind a tokenizer is of; the most telling first.
_TOKENIZERS = (
    ("tekken.json", "tekken"),
    ("tokenizer.model", "sentencepiece"),
    ("tiktoken.model", "tiktoken"),
    ("merges.txt", "byte-level BPE"),
    ("tokenizer.json", "tokenizer.json"),
)


class CheckpointReading(ShelfReading):
    """Reads headers and configs and hands them to `checkpoint_facts`."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf)
        self.stated_bytes: int | None = None
        self.indexed: dict[str, str] | None = None

    def facts(self, name: str) -> ModelFacts:
        """The facts of the file of that name, with the files that belong to it."""
        if name.endswith(".index.json"):
            return self._checkpoint(self._shards_of_index(name))
        if name.endswith(".safetensors"):
            return self._checkpoint(self._shards_of_part(name))
        if name.endswith("model_index.json"):
            return self._pipeline(name)
        return self._checkpoint([], config_name=name)

    def facts_of_weights(self) -> ModelFacts | None:
        """The facts of a whole shelf with a pipeline or safetensors on it; None where there are none."""
        if "model_index.json" in self.names:
            return self._pipeline("model_index.json")
        shards = self._shards()
        return None if shards is None else self._checkpoint(shards)

    def facts_of_config(self) -> ModelFacts | None:
        """The facts of a whole shelf with a config on it; None where there is none."""
        if "config.json" not in self.names and "params.json" not in self.names:
            return None
        if pickles := [name for name in self.names if name.endswith(_PICKLES)]:
            self.notes.append(
                f"the weights ({pickles[0]}{' and others' if len(pickles) > 1 else ''}) are pickles, which can run "
                "code when they are read: they were left alone"
            )
        return self._checkpoint([])

    def _shards(self) -> list[str] | None:
        """The names of the safetensors files that make up the model; [] if only an index is here; None for none."""
        names = [name for name in self.names if "/" not in name]
        for index in (
            "model.safetensors.index.json",
            *sorted(n for n in names if n.endswith(".safetensors.index.json")),
        ):
            if index in names:
                return self._shards_of_index(index)
        files = [name for name in names if name.endswith(".safetensors")]
        if not files:
            return None
        for whole in ("model.safetensors", "diffusion_pytorch_model.safetensors", "consolidated.safetensors"):
            if whole in files:
                return [whole]
        parts = [name for name in files if _PART.fullmatch(name)]
        if parts:
            return self._shards_of_part(sorted(parts)[0])
        if len(files) == 1:
            return files
        raise BadModelFile(
            f"{self.shelf.name}: holds {len(files)} safetensors files without an index ({', '.join(files[:5])}), "
            "expected one model",
            hint="name one of the files, or fetch model.safetensors.index.json too",
        )

    def _shards_of_part(self, name: str) -> list[str]:
        found = _PART.fullmatch(name)
        if not found:
            return [name]
        index = f"{found[1]}.safetensors.index.json"
        if self._has(index):
            shards = self._shards_of_index(index)
            if name in shards or not shards:
                return shards
        count = int(found[3])
        if not 1 <= count <= _MOST_SHARDS:
            raise BadModelFile(
                f"{self.shelf.label(name)}: is named as one of {count:,} parts, expected at most {_MOST_SHARDS:,}",
                hint="name the files as they were published",
            )
        digits = len(found[2])
        shards = [f"{found[1]}-{number:0{digits}d}-of-{found[3]}.safetensors" for number in range(1, count + 1)]
        self._none_missing(shards, self.shelf.label(name))
        return shards

    def _shards_of_index(self, name: str) -> list[str]:
        """The files that an index names. [] where none of them is here: then the index' total stands for them."""
        raw = self._bytes(name, MOST_INDEX_BYTES)
        index = Config(parse_json(raw, self.shelf.label(name), MOST_INDEX_BYTES), self.shelf.label(name))
        places = index.section("weight_map").data
        for place in places.values():
            if not isinstance(place, str) or "/" in place or not place.endswith(".safetensors"):
                raise index.wrong("weight_map", place, "names of safetensors files in the same folder")
        # 90,000 tensors lie in 160 files: each name is put together once.
        folder = PurePosixPath(name).parent
        paths = {place: str(folder / place) for place in set(places.values())}
        shards = sorted(paths.values())
        if not shards or len(shards) > _MOST_SHARDS:
            raise index.wrong("weight_map", f"{len(shards):,} files", f"1 to {_MOST_SHARDS:,} files")
        total = index.section("metadata").data.get("total_size")
        if isinstance(total, int) and 0 < total < MOST:
            self.stated_bytes = total
        if not any(map(self._has, shards)):
            self.notes.append(f"none of the {len(shards)} files that the index names is here: weights are as it says")
            return []
        self._none_missing(shards, index.label)
        self.indexed = {tensor: paths[place] for tensor, place in places.items()}
        return shards

    def _none_missing(self, shards: Sequence[str], label: str) -> None:
        missing = [shard for shard in shards if not self._has(shard)]
        if missing:
            raise BadModelFile(
                f"{label}: part {PurePosixPath(missing[0]).name} of {len(shards)} is missing"
                + (f", and {len(missing) - 1} more" if len(missing) > 1 else ""),
                hint="fetch all parts into one folder",
            )

    def _headers(self, shards: Sequence[str]) -> list[SafetensorsHeader]:
        """The headers of these files; not a byte of weights."""
        headers = self._headers_elsewhere(shards) if self.is_remote else self._headers_here(shards)
        self.bytes_read += sum(header.header_bytes for header in headers)
        self._agree(shards, headers)
        if any(header.is_header_only for header in headers):
            self.notes.append("the files hold headers alone: no weights follow")
        return headers

    def _headers_here(self, shards: Sequence[str]) -> list[SafetensorsHeader]:
        headers = []
        for number, shard in enumerate(shards):
            with self.shelf.open(shard) as file:
                headers.append(read_header(file, self.shelf.label(shard), self.shelf.size(shard), number))
        return headers

    def _headers_elsewhere(self, shards: Sequence[str]) -> list[SafetensorsHeader]:
        """In two rounds, each side by side: all lengths, then all headers."""
        sizes = [self.shelf.size(shard) for shard in shards]
        firsts = self.shelf.read_many([(shard, 0, min(8, size)) for shard, size in zip(shards, sizes, strict=True)])
        lengths = [
            header_length(first, self.shelf.label(shard), size)
            for shard, first, size in zip(shards, firsts, sizes, strict=True)
        ]
        raws = self.shelf.read_many([(shard, 8, length) for shard, length in zip(shards, lengths, strict=True)])
        return [
            parse_header(raw, self.shelf.label(shard), size, number)
            for number, (shard, raw, size) in enumerate(zip(shards, raws, sizes, strict=True))
        ]

    def _agree(self, shards: Sequence[str], headers: Sequence[SafetensorsHeader]) -> None:
        """BadModelFile where a tensor is in two files, or not in the file that the index names."""
        places = {
            tensor.name: shard for shard, header in zip(shards, headers, strict=True) for tensor in header.tensors
        }
        if len(places) < sum(len(header.tensors) for header in headers):
            # The last file that holds a name stands in `places`; the first that it is in too is looked for.
            label, name = next(
                (header.label, tensor.name)
                for shard, header in zip(shards, headers, strict=True)
                for tensor in header.tensors
                if places[tensor.name] != shard
            )
            raise BadModelFile(
                f"{label}: tensor {name[:80]!r} is in {places[name]} too",
                hint="the files are of different models or revisions: fetch them again",
            )
        if self.indexed is None or self.indexed == places:
            return
        for name, place in self.indexed.items():
            if places.get(name, place) != place:
                raise BadModelFile(
                    f"{self.shelf.label(place)}: the index promises tensor {name[:80]!r} here, found in {places[name]}",
                    hint="index and files are of different revisions: fetch them again",
                )
        missing = [name for name in self.indexed if name not in places]
        if missing and len(missing) * 10 > len(self.indexed):
            raise BadModelFile(
                f"{self.shelf.name}: no file holds {len(missing):,} of the {len(self.indexed):,} tensors that "
                f"the index promises, {missing[0][:80]!r} for one",
                hint="index and files are of different revisions: fetch them again",
            )
        if missing:
            self.notes.append(f"the index names {len(missing)} tensors that no file holds, {missing[0][:60]!r} for one")

    def _checkpoint(
        self, shards: Sequence[str], config_name: str = "config.json", folder: str = "", name: str | None = None
    ) -> ModelFacts:
        headers = self._headers(shards) if shards else []
        config, raw = self._config(config_name)
        if config is None and not headers:
            raise BadModelFile(
                f"{self.shelf.name}: has neither weights nor a config.json",
                hint="name the folder with the model's files",
            )
        if not headers and config is not None and not config.has(*_TELLING_KEYS):
            raise BadModelFile(
                f"{config.label}: has none of the keys that a model's config has ({', '.join(_TELLING_KEYS[:4])})",
                hint="give the model's config.json, or its folder",
            )
        if f"{folder}adapter_config.json" in self.names:
            adapter = self._json(f"{folder}adapter_config.json")
            base = adapter.text("base_model_name_or_path") if adapter else None
            self.notes.append(f"an adapter for {base or 'another model'}: these are its own weights alone")
        template, template_label, tokenizer = self._chat_template(folder)
        front, card = self._front_matter() if not folder else ({}, "")
        found = Checkpoint(
            name=name
            or (
                self.shelf.name
                if not (self.shelf.place == "file" and not headers)
                else _config_name(config_name, self.shelf)
            ),
            config=config,
            raw_config=raw,
            quantization=self._quantization(config_name),
            headers=headers,
            stated_bytes=self.stated_bytes,
            tokenizer=tokenizer,
            tokenizer_kind=self._tokenizer_kind(tokenizer, folder),
            chat_template=template,
            chat_label=template_label,
            front_matter=front,
            card_label=card,
            licences=self._licences() if not folder and self.shelf.wanted is None else (),
            embeds="modules.json" in self.names if not folder else False,
            notes=tuple(self.notes),
        )
        labels = [header.label for header in headers]
        if config is not None:
            labels.append(config.label)
        return checkpoint_facts.facts_of(found, self._source("safetensors" if headers else "config", labels))

    def _config(self, name: str) -> tuple[Config | None, bytes]:
        if name not in self.names:
            if self.shelf.wanted == name:
                self.shelf.size(name)
            elif "params.json" in self.names and name == "config.json":
                return self._native_config(), b""
            return None, b""
        raw = self._bytes(name, MOST_JSON_BYTES)
        label = self.shelf.label(name)
        return Config(parse_json(raw, label), label), raw

    def _native_config(self) -> Config | None:
        """Mistral's own params.json, in the words of a config.json."""
        own = self._json("params.json")
        if own is None or not own.has("dim"):
            return None
        renamed = {
            "dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads",
            "n_kv_heads": "num_key_value_heads", "hidden_dim": "intermediate_size",
            "max_seq_len": "max_position_embeddings", "tied_embeddings": "tie_word_embeddings",
        }  # fmt: skip
        data = {renamed.get(key, key): value for key, value in own.data.items()}
        data |= own.section("moe").data
        if isinstance(yarn := own.data.get("yarn"), dict):
            data["rope_scaling"] = {"rope_type": "yarn"} | yarn
        if isinstance(form := own.data.get("quantization"), dict):
            data["quantization_config"] = {
                "quant_method": str(form.get("qformat_weight", "")).partition("_")[0] or None
            }
            del data["quantization"]
        return Config(data, own.label)

    def _quantization(self, config_name: str) -> Config | None:
        """hf_quant_config.json, ModelOpt's own file."""
        name = config_name.removesuffix("config.json") + "hf_quant_config.json"
        if not config_name.endswith("config.json") or name not in self.names:
            return None
        found = self._json(name)
        return found.section("quantization") if found and found.has("quantization") else found

    def _chat_template(self, folder: str) -> tuple[str | None, str, Config | None]:
        tokenizer = self._json(f"{folder}tokenizer_config.json")
        name = f"{folder}chat_template.jinja"
        if name in self.names:
            return self._text(name, 1 << 20), self.shelf.label(name), tokenizer
        other = self._json(f"{folder}chat_template.json")
        for found in (other, tokenizer):
            template = found.data.get("chat_template") if found else None
            if isinstance(template, list):
                named = {str(entry.get("name")): entry.get("template") for entry in template if isinstance(entry, dict)}
                template = named.get("default") or next(iter(named.values()), None)
            if found and isinstance(template, str):
                return template, found.label, tokenizer
        return None, "", tokenizer

    def _tokenizer_kind(self, tokenizer: Config | None, folder: str) -> str | None:
        names = self.names
        named = tokenizer.text("tokenizer_class") if tokenizer else None
        for file, kind in _TOKENIZERS:
            if f"{folder}{file}" in names:
                return f"{named} ({kind})" if named else kind
        return named

    def _pipeline(self, index_name: str) -> ModelFacts:
        """A pipeline of several networks, component by component; their sums are the model's."""
        index = self._json(index_name)
        if index is None:
            raise BadModelFile(f"{self.shelf.label(index_name)}: is no JSON object", hint="fetch it again")
        components = []
        for name, value in index.data.items():
            if isinstance(value, list) and len(value) == 2 and re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) and value[1]:
                # Each network has notes and an index of its own.
                part = CheckpointReading(self.shelf)
                if (found := part.component(name)) is not None:
                    components.append(found)
                self.bytes_read += part.bytes_read
        if not components:
            raise BadModelFile(
                f"{self.shelf.label(index_name)}: names no component that has weights or a config here",
                hint="fetch the whole pipeline, not its index alone",
            )
        front, card = self._front_matter()
        found = _assembled(
            self.shelf.name, index.text("_class_name") or "pipeline", components, self._licences(), front, card,
            self._source("diffusers", [label for part in components for label in part.source.files]),
        )  # fmt: skip
        return dataclasses.replace(found, notes=(*found.notes, *self.notes))

    def component(self, name: str) -> ModelFacts | None:
        """One network of a pipeline; None for a tokenizer or a scheduler."""
        folder = f"{name}/"
        files = [file for file in self.names if file.startswith(folder)]
        config = f"{folder}config.json"
        if config not in files:
            return None
        indexes = _plain([file for file in files if file.endswith(".safetensors.index.json")])
        weights = _plain([file for file in files if file.endswith(".safetensors")])
        if indexes:
            shards = self._shards_of_index(indexes[0])
        elif len(weights) > 1 and _PART.fullmatch(weights[0]):
            shards = self._shards_of_part(weights[0])
        else:
            shards = weights[:1]
        return self._checkpoint(shards, config, folder, name)


def _plain(files: Sequence[str]) -> list[str]:
    """The files without a variant in their names; where all have one, those of the first."""
    variants: dict[str, list[str]] = {}
    for file in files:
        found = _VARIANT.search(PurePosixPath(file).name)
        variants.setdefault(found[1] if found else "", []).append(file)
    return variants[min(variants)] if variants else []


def _config_name(name: str, shelf: Shelf) -> str:
    """A lone config is called by its folder, or by its own name where that tells more."""
    stem = PurePosixPath(name).stem
    return shelf.name if stem == "config" else stem.removesuffix("config").rstrip("_-.") or stem


def _sum(values: Sequence[int | None]) -> int | None:
    return None if any(value is None for value in values) else sum(value for value in values if value is not None)


def _assembled(
    name: str, architecture: str, components: Sequence[ModelFacts], licences: Sequence[LicenceStatement],
    front: dict[str, Any], card: str, source: Source,
) -> ModelFacts:  # fmt: skip
    """The facts of a pipeline: sums over its networks; each one's own facts stay with it."""
    statements = [*of_front_matter(front, card), *licences]
    sums: dict[str, Any] = {
        key: _sum([getattr(part.parameters, key) for part in components])
        for key in (field.name for field in dataclasses.fields(Parameters) if field.name != "basis")
    }
    basis = "read" if all(part.parameters.basis == "read" for part in components) else "computed"
    weights = tuple(
        Weights(part.name, row.type, row.parameters, row.bytes, row.active_bytes)
        for part in components
        for row in part.weights
    )
    total = _sum([part.weights_bytes for part in components])
    stored = sums["stored"]
    main = max(components, key=lambda part: part.parameters.total or 0)
    return ModelFacts(
        name=name,
        architecture=architecture,
        source=source,
        parameters=Parameters(**sums, basis=basis),
        weights=weights,
        weights_bytes=total,
        active_weights_bytes=_sum([part.active_weights_bytes for part in components]),
        bits_per_weight=round(total * 8 / stored, 4) if total is not None and stored else None,
        quantization=main.quantization,
        context_length=None,
        context=Context(),
        embedding_length=None,
        feed_forward_length=None,
        head_count=None,
        vocabulary_size=None,
        experts=None,
        expert_feed_forward_length=None,
        layers=(),
        modalities=_pipeline_modalities(architecture),
        tokenizer=None,
        chat=Chat(template=False, tools=None, thinking=None),
        licence=chosen(statements),
        licences=tuple(statements),
        card=checkpoint_facts.card_of(front),
        tensors=tuple(tensor for part in components for tensor in part.tensors),
        components=tuple(components),
        notes=tuple(note for part in components for note in part.notes),
    )


def _pipeline_modalities(architecture: str) -> Modalities:
    """By what the pipeline's class says that it makes."""
    lowered = architecture.lower()
    takes_images = any(word in lowered for word in ("kontext", "img2img", "inpaint", "edit", "image2image", "control"))
    makes = "video" if "video" in lowered else "audio" if "audio" in lowered else "image"
    return Modalities(("text", "image") if takes_images else ("text",), (makes,))
