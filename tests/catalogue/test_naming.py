"""Names as people and tools write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import SHARED
from tests.growth import costs_at_most
from weighbridge.catalogue import Catalogue, load
from weighbridge.errors import AmbiguousModel, UnknownModel, WeighbridgeError


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


MEANT = {
    "llama 3.1 8b": "Llama-3.1-8B-Instruct", "llama-3.1-8b": "Llama-3.1-8B", "Llama 3.1 8B Instruct":
    "Llama-3.1-8B-Instruct", "llama3.1:8b": "Llama-3.1-8B-Instruct", "llama3.1:70b": "Llama-3.1-70B-Instruct",
    "Meta-Llama-3.1-8B-Instruct-GGUF": "Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B": "Llama-3.1-8B",
    "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF": "Llama-3.1-8B-Instruct",
    "bartowski/Meta-Llama-3.1-70B-Instruct-GGUF:IQ4_XS": "Llama-3.1-70B-Instruct",
    "lmstudio-community/Meta-Llama-3.1-8B-Instruct-GGUF/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf":
    "Llama-3.1-8B-Instruct", "unsloth/Meta-Llama-3.1-8B-bnb-4bit": "Llama-3.1-8B",
    "llama 3.3": "Llama-3.3-70B-Instruct",
    "llama 3.3 70b": "Llama-3.3-70B-Instruct", "ollama:llama3.3": "Llama-3.3-70B-Instruct",
    "unsloth/Llama-3.3-70B-Instruct-GGUF": "Llama-3.3-70B-Instruct", "llama3.2:3b": "Llama-3.2-3B-Instruct",
    "llama3.2:1b": "Llama-3.2-1B-Instruct", "Llama-3.2-1B": "Llama-3.2-1B", "llama 4 scout":
    "Llama-4-Scout-17B-16E-Instruct", "scout": "Llama-4-Scout-17B-16E-Instruct", "maverick":
    "Llama-4-Maverick-17B-128E-Instruct", "unsloth/Llama-4-Scout-17B-16E-Instruct-GGUF:UD-Q4_K_XL":
    "Llama-4-Scout-17B-16E-Instruct", "Llama-4-Scout-17B-16E-Instruct-UD-Q4_K_XL-00001-of-00002.gguf":
    "Llama-4-Scout-17B-16E-Instruct", "codellama 34b": "CodeLlama-34b-Instruct-hf", "llama 2 7b chat":
    "Llama-2-7b-chat-hf", "TheBloke/Llama-2-7B-Chat-GGUF": "Llama-2-7b-chat-hf", "TheBloke/Llama-2-13B-chat-AWQ":
    "Llama-2-13b-chat-hf",
    "qwen3-30b-a3b": "Qwen3-30B-A3B", "qwen3 30b a3b": "Qwen3-30B-A3B", "qwen3:30b": "Qwen3-30B-A3B",
    "qwen3:8b": "Qwen3-8B", "qwen 3 8b": "Qwen3-8B", "Qwen/Qwen3-8B-GGUF:Q4_K_M": "Qwen3-8B",
    "hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M": "Qwen3-8B", "https://huggingface.co/Qwen/Qwen3-8B": "Qwen3-8B",
    "Qwen_Qwen3-8B-Q4_K_M.gguf": "Qwen3-8B", "bartowski/Qwen_Qwen3-8B-GGUF": "Qwen3-8B", "Qwen3-8B-Base":
    "Qwen3-8B-Base", "qwen3 8b base": "Qwen3-8B-Base", "Qwen/Qwen3-8B-AWQ": "Qwen3-8B", "Qwen/Qwen3-8B-FP8": "Qwen3-8B",
    "mlx-community/Qwen3-30B-A3B-4bit": "Qwen3-30B-A3B", "qwen3 235b": "Qwen3-235B-A22B",
    "unsloth/Qwen3-4B-Instruct-2507-GGUF": "Qwen3-4B-Instruct-2507", "qwen3 4b 2507 thinking": "Qwen3-4B-Thinking-2507",
    "bartowski/Qwen2.5-7B-Instruct-GGUF:Q4_K_M": "Qwen2.5-7B-Instruct", "qwen2.5 7b": "Qwen2.5-7B-Instruct",
    "qwen2.5:14b": "Qwen2.5-14B-Instruct", "Qwen/Qwen2.5-7B": "Qwen2.5-7B", "qwen2.5-coder:7b":
    "Qwen2.5-Coder-7B-Instruct", "qwen2.5 coder 32b": "Qwen2.5-Coder-32B-Instruct",
    "bartowski/Qwen2.5-Coder-32B-Instruct-GGUF": "Qwen2.5-Coder-32B-Instruct", "qwen2.5-vl-7b":
    "Qwen2.5-VL-7B-Instruct", "qwen3 vl 8b": "Qwen3-VL-8B-Instruct", "Qwen3-Coder-30B-A3B-Instruct-1M-GGUF": None,
    "unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF": "Qwen3-Coder-30B-A3B-Instruct", "qwen3 coder 480b":
    "Qwen3-Coder-480B-A35B-Instruct", "qwen3 coder next": "Qwen3-Coder-Next", "qwen3.5 9b": "Qwen3.5-9B",
    "qwen3.6 27b": "Qwen3.6-27B", "lmstudio-community/Qwen3.8-27B-MLX-4bit": "Qwen3.8-27B", "qwq": "QwQ-32B",
    "bartowski/Qwen_QwQ-32B-GGUF": "QwQ-32B", "qwen3 embedding 0.6b": "Qwen3-Embedding-0.6B",
    "gpt oss 20b": "gpt-oss-20b", "gpt-oss:120b": "gpt-oss-120b", "ggml-org/gpt-oss-20b-GGUF": "gpt-oss-20b",
    "openai_gpt-oss-20b-MXFP4.gguf": "gpt-oss-20b", "unsloth/gpt-oss-120b-GGUF": "gpt-oss-120b",
    "gemma 3 27b": "gemma-3-27b-it", "gemma3:4b": "gemma-3-4b-it", "gemma3:1b": "gemma-3-1b-it",
    "bartowski/google_gemma-3-12b-it-GGUF": "gemma-3-12b-it", "ggml-org/gemma-3-4b-it-GGUF": "gemma-3-4b-it",
    "gemma3n e4b": "gemma-3n-E4B-it", "gemma 2 9b": "gemma-2-9b-it", "gemma-4-31B-it": "gemma-4-31B-it",
    "gemma 4 26b": "gemma-4-26B-A4B-it", "gemma 4 e2b": "gemma-4-E2B-it", "unsloth/gemma-4-E4B-it-GGUF":
    "gemma-4-E4B-it",
    "phi4": "phi-4", "phi-4": "phi-4", "phi 4 mini": "Phi-4-mini-instruct", "microsoft/phi-4-gguf": "phi-4",
    "bartowski/microsoft_Phi-4-mini-instruct-GGUF": "Phi-4-mini-instruct", "phi 3.5 mini": "Phi-3.5-mini-instruct",
    "mistral nemo": "Mistral-Nemo-Instruct-2407", "bartowski/Mistral-Nemo-Instruct-2407-GGUF":
    "Mistral-Nemo-Instruct-2407", "mistral 7b instruct v0.3": "Mistral-7B-Instruct-v0.3",
    "TheBloke/Mistral-7B-Instruct-v0.2-GGUF": "Mistral-7B-Instruct-v0.2", "TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF":
    "Mixtral-8x7B-Instruct-v0.1", "mixtral 8x7b": "Mixtral-8x7B-Instruct-v0.1", "mixtral 8x22b":
    "Mixtral-8x22B-Instruct-v0.1", "bartowski/mistralai_Devstral-Small-2505-GGUF": "Devstral-Small-2505",
    "deepseek-r1": "DeepSeek-R1", "deepseek r1 0528": "DeepSeek-R1-0528", "deepseek-r1:14b":
    "DeepSeek-R1-Distill-Qwen-14B", "deepseek-r1:70b": "DeepSeek-R1-Distill-Llama-70B",
    "unsloth/DeepSeek-R1-Distill-Llama-8B-GGUF": "DeepSeek-R1-Distill-Llama-8B", "deepseek v3": "DeepSeek-V3",
    "unsloth/DeepSeek-V3-0324-GGUF": "DeepSeek-V3-0324", "deepseek v3.1": "DeepSeek-V3.1", "deepseek v4 flash":
    "DeepSeek-V4-Flash", "glm 4.5 air": "GLM-4.5-Air", "unsloth/GLM-4.5-Air-GGUF": "GLM-4.5-Air", "glm-4.6": "GLM-4.6",
    "glm 4.7 flash": "GLM-4.7-Flash", "kimi k2": "Kimi-K2-Instruct", "kimi k2 thinking": "Kimi-K2-Thinking",
    "minimax m2.5": "MiniMax-M2.5", "granite 4.1 8b": "granite-4.1-8b", "olmo 3 7b instruct": "Olmo-3-7B-Instruct",
    "olmo 3 7b think": "Olmo-3-7B-Think", "smollm2 360m": "SmolLM2-360M-Instruct", "smollm3": "SmolLM3-3B",
    "lfm2.5 1.2b instruct": "LFM2.5-1.2B-Instruct", "falcon h1 7b": "Falcon-H1-7B-Instruct", "command r7b":
    "c4ai-command-r7b-12-2024", "tinyllama": "TinyLlama-1.1B-Chat-v1.0", "nomic embed": "nomic-embed-text-v1.5",
    "bge small en": "bge-small-en-v1.5", "seed oss 36b": "Seed-OSS-36B-Instruct",
    "nvidia/Llama-3.3-Nemotron-Super-49B-v1": "Llama-3_3-Nemotron-Super-49B-v1", "hunyuan a13b":
    "Hunyuan-A13B-Instruct", "ernie 4.5 21b": "ERNIE-4.5-21B-A3B-PT",
    # Others' fine-tunes, and models that never were, are none of these.
    "Qwen3-8B-abliterated": None, "huihui-ai/Qwen3-8B-abliterated": None, "llama 9 800b": None, "gpt-5": None,
    "unsloth/mistral-7b-v0.3-bnb-4bit": None, "bge-m3": None, "": None, "::": None, "a/b/c": None, "../../etc": None,
}  # fmt: skip


@pytest.mark.parametrize("name", MEANT)
def test_a_name_finds_what_is_meant(catalogue: Catalogue, name: str) -> None:
    if MEANT[name] is None:
        with pytest.raises(UnknownModel, match="no model is known by the name"):
            catalogue.resolve(name)
    else:
        assert catalogue.resolve(name).name == MEANT[name]


def test_each_variant_is_found_by_each_of_its_names(catalogue: Catalogue) -> None:
    for variant in catalogue:
        assert catalogue.resolve(variant.repository) is variant
        for repository in variant.repositories:
            assert catalogue.resolve(repository.name) is variant
        assert catalogue.resolve(f"{variant.repository.upper()}:Q4_K_M") is variant


@pytest.mark.parametrize(
    ("name", "candidate"),
    [("gpt oss", "gpt-oss-20b"), ("mistral 7b", "Mistral-7B-Instruct-v0.3"), ("qwen", "Qwen3-8B"),
     ("qwen3 coder", "Qwen3-Coder-30B-A3B-Instruct"), ("bge small", "bge-small-zh-v1.5")],
)  # fmt: skip
def test_a_name_that_several_bear_lists_them(catalogue: Catalogue, name: str, candidate: str) -> None:
    with pytest.raises(AmbiguousModel, match=re.escape(candidate)) as caught:
        catalogue.resolve(name)
    assert "name one of them" in caught.value.hint


def test_an_unknown_name_is_told_the_nearest(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownModel) as caught:
        catalogue.resolve("qwen3-9b")
    assert "Qwen3-8B" in caught.value.hint or "Qwen3.5-9B" in caught.value.hint


_PIECES = st.sampled_from(
    [
        "qwen",
        "llama",
        "3",
        "3.1",
        "-",
        "_",
        ".",
        "/",
        ":",
        " ",
        "8b",
        "a3b",
        "GGUF",
        "Q4_K_M",
        "instruct",
        "0",
        "é",
        "\0",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=400), st.lists(_PIECES, max_size=14).map("".join)))
def test_any_text_is_a_model_or_an_error_that_says_so(text: str) -> None:
    try:
        load().resolve(text)
    except WeighbridgeError as error:
        assert str(error)
        assert error.hint


def test_a_name_is_found_in_under_a_millisecond(catalogue: Catalogue) -> None:
    names = [name for name, meant in MEANT.items() if meant]
    catalogue.resolve(names[0])

    costs_at_most(len(names) * 0.001, lambda: [catalogue.resolve(name) for name in names])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data is not here")
def test_the_most_used_repacks_of_models_that_are_known_are_found(catalogue: Catalogue) -> None:
    from weighbridge.catalogue.build.lists import read_lists

    ending = re.compile(
        r"[-_.]?(gguf|awq|gptq|fp8|dynamic|int[48]|[3-8]bit|mlx|bnb|unsloth|nvfp4|mxfp4|w4a16|w8a8|bf16|fp16|quantized|hf"
        r"|imat|fast|i1|marlin|autoround)$"
    )
    own = {variant.name.lower(): variant for variant in catalogue}
    rows = sorted(read_lists(SHARED / "data").hub.values(), key=lambda row: -(row.downloads or 0))
    seen = right = 0
    for row in rows:
        short = row.name.partition("/")[2].lower()
        stripped = short
        while ending.search(stripped):
            stripped = ending.sub("", stripped)
        meant = own.get(stripped.removeprefix("meta-"))
        if meant is None or stripped == short:
            continue
        seen += 1
        try:
            right += catalogue.resolve(row.name) is meant
        except WeighbridgeError:
            continue
        if seen == 500:
            break

    assert right / seen > 0.99, f"{right} of {seen}"
