"""A model in the layout of Hugging Face, Mistral or diffusers on its shelf: configs, indexes, safetensors headers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from weighbridge.errors import BadModelFile

from . import checkpoint_facts
from .checkpoint_facts import Checkpoint
from .config import MOST_JSON_BYTES, Config, parse_json
from .model_facts import ModelFacts
from .pipelines import assembled
from .shards import PART, ShardReading
from .shelves import Shelf

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


class CheckpointReading(ShardReading):
    """Reads headers and configs and hands them to `checkpoint_facts`."""

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
        found = assembled(
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
        elif len(weights) > 1 and PART.fullmatch(weights[0]):
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
