"""A name is resolved to what it means: one network, a release, a closed model, or a size that is not there."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from weighbridge.digest.knowledge import Knowledge, sizes_in, words_of_name
from weighbridge.digest.knowledge.build.__main__ import build
from weighbridge.digest.knowledge.tables import FOLDER

KNOWLEDGE = Knowledge()
DATA = Path(os.environ.get("WEIGHBRIDGE_DATA", Path(__file__).parents[4] / "shared" / "data"))


def test_words_tell_models_apart_and_leave_the_rest_out():
    assert words_of_name("Alibaba's Qwen 3 MoE (235B)") >= {"qwen", "3", "235b"}
    assert words_of_name("Command R+") != words_of_name("Command R")
    assert words_of_name("claude-opus-4-7") == words_of_name("Claude Opus 4.7")
    assert sizes_in(words_of_name("Mixtral 8x7B")) == {"8x7b": 56e9}


@pytest.mark.parametrize(
    ("name", "known", "is_exact", "lacks"),
    [
        ("DeepSeek V3", "DeepSeek-V3", True, ""),
        ("Llama 4 Scout", "Llama-4-Scout-17B-16E-Instruct", True, ""),
        ("Llama 4", "Llama 4", False, ""),
        ("Qwen 3 MoE (235B)", "Qwen3-235B-A22B", True, ""),
        ("Gemma 4 31B Dense", "gemma-4-31B", True, ""),
        ("Phi-3 14B", "Phi-3 14B", True, ""),
        ("Claude Opus 4.7", "claude-opus-4.7", False, ""),
        ("DeepSeek-OCR 3B", "DeepSeek-OCR", True, ""),
        ("GPT-4o", "gpt-4o", True, ""),
        ("Granite 4", "Granite 4.0", False, ""),
        ("Qwen 3 72B", "Qwen 3 72B", False, "72B"),
        ("Llama 5", "Llama 5", False, "5"),
        ("Llama 1", "Llama 1", False, "1"),
        ("R1 Distill Qwen 14B", "DeepSeek-R1-Distill-Qwen-14B", False, ""),
    ],
)
def test_a_name_means_what_people_mean_by_it(name, known, is_exact, lacks):
    found = KNOWLEDGE.meant(name)

    assert (found.name, found.is_exact, found.lacks) == (known, is_exact, lacks)


def test_a_version_that_a_name_leaves_out_is_not_filled_in():
    assert KNOWLEDGE.meant("Yi-9B").is_loose
    assert KNOWLEDGE.meant("Mistral").is_loose
    assert not KNOWLEDGE.meant("Phi-3.5").is_exact


@pytest.mark.skipif(not (DATA / "lists").exists(), reason="the reference data lies beside the developers' clones only")
def test_the_tables_that_ship_are_those_that_a_build_makes():
    for name, content in build(DATA).items():
        assert gzip.decompress((FOLDER / name).read_bytes()) == gzip.decompress(content), name
