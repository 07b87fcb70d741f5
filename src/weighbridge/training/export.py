"""From a trained specialist to a GGUF file: 8-bit matrices, 32-bit norms, tokenizer, template, card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from .card import Card
from .tokenizer import CHAT_TEMPLATE, END, MARKERS, PLAIN_CHAT_TEMPLATE, PRE_TOKENIZER, THINK, THINK_END
from .train import Specialist

_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4


def _add_metadata(writer: Any, specialist: Specialist, card: Card) -> None:
    shape = specialist.recipe.shape
    writer.add_name(card.name)
    writer.add_description(card.purpose)
    writer.add_author("Weighbridge")
    writer.add_license("apache-2.0")
    writer.add_tags(["specialist", *card.tags])
    writer.add_languages(["en"])
    writer.add_array("weighbridge.card.examples", list(card.examples))
    writer.add_array("weighbridge.card.counter_examples", list(card.counter_examples))
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.embedding_length)
    writer.add_block_count(shape.block_count)
    writer.add_feed_forward_length(shape.feed_forward_length)
    writer.add_head_count(shape.head_count)
    writer.add_head_count_kv(shape.head_count_kv)
    writer.add_layer_norm_rms_eps(shape.rms_epsilon)
    writer.add_rope_dimension_count(shape.head_length)
    writer.add_rope_freq_base(shape.rope_freq_base)
    writer.add_vocab_size(shape.vocabulary_size)
    writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_Q8_0))


def _add_tokenizer(writer: Any, specialist: Specialist) -> None:
    learnt = json.loads(specialist.tokenizer.to_str())
    size = specialist.recipe.shape.vocabulary_size
    tokens = [specialist.tokenizer.id_to_token(index) for index in range(size)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in learnt["model"]["merges"]]
    end = specialist.tokenizer.token_to_id(END)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    kinds = dict.fromkeys(MARKERS, _CONTROL) | {THINK: _USER_DEFINED, THINK_END: _USER_DEFINED}
    writer.add_token_types([kinds.get(token, _NORMAL) for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE if specialist.shows_working else PLAIN_CHAT_TEMPLATE)


def export(specialist: Specialist, card: Card, path: Path) -> None:
    """Write the specialist to `path`. Its tensors bear GGUF's names already; the embedding is the output too."""
    writer = gguf.GGUFWriter(path, "llama")
    _add_metadata(writer, specialist, card)
    _add_tokenizer(writer, specialist)
    for name, parameter in specialist.network.named_parameters():
        data = parameter.detach().numpy().astype(np.float32)
        if data.ndim == 2:
            packed = gguf.quants.quantize(data, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_shape=packed.shape, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
