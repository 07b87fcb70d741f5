"""Each claim gets the ruling that what is known allows, and no more: by hand, beside true sentences, and by chance."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.digest import Claim, Page, Ruling
from weighbridge.digest.checks import check
from weighbridge.digest.extraction import extract
from weighbridge.digest.knowledge import Fact, Knowledge
from weighbridge.figures import Basis
from weighbridge.sizes import show_count

KNOWLEDGE = Knowledge()
SUPPORTED, REFUTED, EXPIRED, OPEN, PREDICTION = (
    Ruling.SUPPORTED, Ruling.REFUTED, Ruling.EXPIRED, Ruling.UNVERIFIABLE, Ruling.PREDICTION,
)  # fmt: skip


def claim(subject, field, value, quote, unit="", qualifier="", told=None, published="2026-04-19"):
    return Claim(subject, field, value, quote, 0, len(quote), unit, qualifier, "page", told, published, "2026-11-21")


def ruled(*arguments, knowledge=KNOWLEDGE, **more):
    [verdict] = check([claim(*arguments, **more)], knowledge)
    return verdict


@pytest.mark.parametrize(
    ("subject", "field", "value", "quote", "more", "ruling", "reason"),
    [
        # Sizes, by the config's keys.
        ("DeepSeek V3", "parameters_total", 671e9, "DeepSeek V3 has 671B parameters", {}, SUPPORTED, "671,026,404,352"),
        ("DeepSeek V3", "parameters_total", 685e9, "DeepSeek V3 holds 685B", {}, SUPPORTED, "671"),
        ("DeepSeek V3", "parameters_total", 400e9, "DeepSeek V3 has 400B parameters", {}, REFUTED, "671B"),
        ("Qwen 3", "parameters_total", 72e9, "Qwen 3 (72B)", {}, REFUTED, "14.77B, 30.53B, 32.76B, 235B; none is 72B"),
        ("Gemma 3", "parameters_total", 9e9, "Gemma 3 has 9B", {}, REFUTED, "268M, 1B, 4.3B"),
        ("DeepSeek V3", "parameters_active", 50e9, "DeepSeek V3 has 50B active", {}, REFUTED, "8 of 256 routed"),
        ("DeepSeek V3", "parameters_active", 671e9, "DeepSeek V3 has 671B active", {}, REFUTED, "the count of all"),
        ("Llama 4 Scout", "parameters_active", 17e9, "~17B", {"qualifier": "about"}, SUPPORTED, "1 of 16"),
        ("Llama-4-Scout-17B", "parameters_total", 17e9, "Llama-4-Scout-17B", {}, OPEN, "its maker calls it"),
        ("Gemma 3n", "parameters_total", 4e9, "Gemma 3n (2B–4B)", {}, SUPPORTED, "effective"),
        ("Qwen3-235B-A22B", "parameters_total", 500e9, "at most 500B", {"qualifier": "at most"}, OPEN, ""),
        ("Kimi K2", "experts", 384.0, "384 experts", {}, SUPPORTED, "8 of 384"),
        ("Kimi K2", "experts", 128.0, "Kimi K2 has 128 experts", {}, REFUTED, "8 of 384"),
        ("Kimi K2", "experts", 64.0, "Kimi K2 uses 64 of 384 experts", {"qualifier": "active"}, REFUTED, "8 of"),
        ("Mixtral 8x7B", "parameters_total", 46.7e9, "Mixtral 8x7B has 46.7B parameters", {}, SUPPORTED, "46,702"),
        ("Mixtral 8x7B", "parameters_total", 56e9, "Mixtral 8x7B has 56B parameters", {}, REFUTED, "46,702"),
        ("Mixtral 8x7B", "parameters_total", 56e9, "Mixtral 8x7B", {}, SUPPORTED, "calls it"),
        ("Mixtral 8x7B", "experts", 16.0, "Mixtral 8x7B uses 16 experts", {}, REFUTED, "2 of 8"),
        ("Qwen3-0.6B", "parameters_total", 6e9, "Qwen3-0.6B has 6B parameters", {}, REFUTED, "596"),
        ("gpt-oss-120b", "parameters_active", 13e9, "gpt-oss-120b: 120B parameters, 13B active", {}, REFUTED, "5.71B"),
        ("Llama 4 Scout", "parameters_total", 17e9, "Llama 4 Scout has 17B in total", {}, REFUTED, "one token uses"),
        ("Qwen3-Next-80B-A3B", "parameters_active", 80e9, "Qwen3-Next-80B-A3B, 80B active", {}, REFUTED, "of all"),
        ("Qwen3-8B", "parameters_total", 9e9, "Qwen3-8B has 9B parameters", {}, REFUTED, "8.19B"),
        ("Qwen3-8B", "parameters_total", 9e9, "Qwen3-8B has ~9B parameters", {}, OPEN, "8.19B"),
        ("Qwen2.5-14B", "parameters_total", 14e9, "Qwen2.5-14B has 14B", {}, SUPPORTED, ""),
        ("Qwen2.5-1.5B", "parameters_total", 1.78e9, "Qwen2.5-1.5B, stored with 1.78B", {}, OPEN, "1.54B"),
        ("gemma-3n-E4B-it", "parameters_total", 6.9e9, "gemma-3n-E4B-it without sound: 6.9B", {}, OPEN, "audio"),
        ("DeepSeek-V4-Pro", "parameters_total", 862e9, "DeepSeek-V4-Pro has 862B parameters", {}, REFUTED, "1.57T"),
        ("DeepSeek-V4-Flash", "parameters_total", 284e9, "DeepSeek-V4-Flash has 284B", {}, SUPPORTED, "284B"),
        ("Qwen3-Coder-480B-A35B", "parameters_active", 30e9, "Qwen3-Coder-480B-A35B: 30B active", {}, REFUTED, "35.4"),
        ("Qwen3-Coder-480B-A35B", "parameters_active", 33e9, "Qwen3-Coder-480B-A35B: 33B active", {}, OPEN, "35.4"),
        ("Granite 4.0 Tiny", "parameters_total", 7e9, "Granite 4.0 Tiny has 7B", {}, SUPPORTED, "6.94B"),
        ("Granite 4.0 Tiny", "parameters_active", 1e9, "Granite 4.0 Tiny: ~1B active", {}, OPEN, "1.47B"),
        # Context: native, stretched, served.
        ("DeepSeek V3", "context_length", 1e6, "DeepSeek V3 has a context of 1M tokens", {}, REFUTED, "163,840"),
        ("Llama 3", "context_length", 128000.0, "Llama 3 has a context of 128K", {}, OPEN, "8,192"),
        ("Nemotron 15B", "exists", True, "Nemotron 15B", {}, OPEN, ""),
        ("Phi-4", "context_length", 128000.0, "Phi-4 has a context of 128K", {}, OPEN, "16,384"),
        ("Llama 4 Scout", "context_length", 10e6, "10M", {}, SUPPORTED, "10,485,760"),
        ("Qwen3-8B", "context_length", 131072.0, "128K", {}, SUPPORTED, "served"),
        ("Qwen3-Coder", "context_length", 128000.0, "128K", {}, OPEN, "262,144"),
        ("DeepSeek V3", "context_length", 5e6, "DeepSeek V3 takes 5M tokens", {}, REFUTED, "163,840"),
        ("Llama-3 8B", "context_length", 1e6, "Llama-3 8B, extended to 1M tokens", {}, OPEN, ""),
        # Licences of weights, not of code.
        ("GLM-5.1", "licence", "MIT", "GLM-5.1 (MIT)", {}, SUPPORTED, "MIT"),
        ("Kimi K2", "licence", "MIT", "Kimi K2 under the MIT license", {}, REFUTED, "modified-mit"),
        ("NVIDIA Ising", "licence", "Apache-2.0", "NVIDIA Ising under Apache-2.0", {}, REFUTED, "Open Model License"),
        ("NVIDIA Ising", "licence", "Apache-2.0", "Ising", {"qualifier": "code"}, SUPPORTED, "code"),
        ("DeepSeek V3", "licence", "MIT", "DeepSeek V3 under the MIT license", {}, OPEN, "Model License"),
        ("Llama 4 Scout", "licence", "llama", "Llama license", {}, SUPPORTED, "llama4"),
        ("Command R+", "licence", "Apache-2.0", "Command R+ is licensed under Apache 2.0", {}, REFUTED, "CC-BY-NC"),
        ("Granite 3.3 8B", "licence", "non-commercial", "Granite 3.3 8B is non-commercial", {}, REFUTED, "Apache"),
        ("Command R+", "licence", "non-commercial", "Command R+ is non-commercial", {}, SUPPORTED, "CC-BY-NC"),
        ("Qwen 2.5 72B", "licence", "Apache-2.0", "Qwen 2.5 72B - 128K context, Apache 2.0.", {}, REFUTED, "qwen"),
        # What there is.
        ("Qwen3-72B", "exists", True, "Qwen3-72B", {}, REFUTED, "72B is a size of Qwen2.5"),
        ("Qwen3-Coder-32B", "exists", True, "Qwen3-Coder-32B", {}, REFUTED, "480B"),
        ("Gemma 3 9B", "exists", True, "Gemma 3 9B", {}, REFUTED, "9B is a size of Gemma 2"),
        ("google/gemma-3-9b-it", "exists", True, "google/gemma-3-9b-it", {}, REFUTED, ""),
        ("meta-llama/Llama-4-Scout", "exists", True, "meta-llama/Llama-4-Scout", {}, REFUTED, "17B-16E"),
        ("google/gemma-3", "exists", True, "google/gemma-3", {}, REFUTED, "each of that release names its size"),
        ("MiniMaxAI/MiniMax-M1", "exists", True, "MiniMaxAI/MiniMax-M1", {}, OPEN, "is not listed"),
        ("google/gemma-4-E2B", "exists", True, "google/gemma-4-E2B", {}, OPEN, "google/gemma-4-E2B is not listed"),
        ("MoonshotAI/Kimi-Linear", "exists", True, "MoonshotAI/Kimi-Linear", {}, OPEN, "is not listed"),
        ("mistralai/mistral-small", "exists", True, "mistralai/mistral-small", {}, OPEN, "is not listed"),
        ("google/gemma-3", "exists", True, "google/gemma-3 on GitHub", {}, OPEN, "is not listed"),
        ("gemma3:3b", "exists", True, "openllm serve gemma3:3b", {}, OPEN, "none is 3B"),
        ("Falcon-H1-1B", "exists", True, "Falcon-H1-1B", {}, OPEN, "1.55B"),
        ("Llama 5", "exists", True, "Meta ships Llama 5", {}, REFUTED, "no Llama 5 is known"),
        ("Llama 5", "parameters_total", 2e12, "Meta ships Llama 5 with 2T parameters", {}, REFUTED, "no Llama 5"),
        ("Llama 5", "parameters_total", 2e12, "The new model has 2T parameters", {}, OPEN, "no Llama 5"),
        ("Llama 5", "exists", True, "Llama 5", {"published": "2027-03-01"}, OPEN, ""),
        ("Llama 5", "exists", True, "Llama 5", {"published": None}, OPEN, ""),
        ("Gemma 3 9B", "memory_needed", 16e9, "Gemma 3 9B fits 16 GB at 4-bit", {}, OPEN, "none is 9B"),
        ("Codestral 2", "exists", True, "Codestral 2", {}, OPEN, "no weights of it are known"),
        ("GPT-7", "exists", True, "GPT-7", {}, OPEN, ""),
        ("Llama2-34B", "exists", True, "Llama2-34B", {}, OPEN, "none is 34B"),
        ("Qwen2.5-Math-72B", "exists", True, "Qwen2.5-Math-72B", {}, OPEN, "none is 72B"),
        ("Phi-4 14B", "exists", True, "Phi-4 14B", {}, SUPPORTED, "phi-4"),
        ("Llama 3.3 70B", "licence", "llama3", "Llama 3.3 70B: Llama 3 Community License", {}, OPEN, "llama3.3"),
        ("Qwen3-8B", "context_length", 8192.0, "Qwen3-8B: 8K context, 90 tok/s", {}, OPEN, "40,960"),
        ("Qwen3-8B", "parameters_total", 5e9, "5B", {"qualifier": "without embedding"}, OPEN, "8.19B"),
        # Days.
        ("Llama 4", "release_date", "2025-04-05", "Llama 4 on April 5", {}, SUPPORTED, "2025-04"),
        ("Llama 4", "release_date", "2026-03", "Llama 4 in late March", {"qualifier": "late"}, REFUTED, "2025"),
        ("Mistral Large 3", "release_date", "2026-04-13", "Mistral Large 3 on April 13", {}, REFUTED, "2025-12-02"),
        ("GLM-4.6", "release_date", "2025-10-30", "GLM-4.6 was released on October 30", {}, REFUTED, "2025-09-30"),
        ("GLM-4.6", "release_date", "2025-10-10", "GLM-4.6 was released on October 10", {}, OPEN, "2025-09-30"),
        ("Llama 4 Maverick", "status", "expected", "Llama 4 Maverick is expected", {}, REFUTED, "2025-04-01"),
        ("DeepSeek V4", "status", "expected", "DeepSeek V4 expected", {"told": "2026-04-05"}, PREDICTION, "2026-04-22"),
        ("DeepSeek V4", "status", "released", "DeepSeek V4 is out", {"told": "2026-03-05"}, REFUTED, "2026-04-22"),
        ("DeepSeek V3.2", "status", "released", "DeepSeek V3.2 is out", {"told": "2025-10-05"}, OPEN, "2025-12-01"),
        ("ERNIE 4.5", "status", "released", "ERNIE 4.5 is out", {"told": "2025-03-22"}, OPEN, "2025-06-28"),
        ("Qwen2.5-7B-Instruct", "release_date", "2024-03", "Qwen2.5-7B-Instruct, March 2024", {}, REFUTED, "2024-09"),
        ("DeepSeek V4", "licence", "Apache-2.0", "DeepSeek V4", {"qualifier": "expected"}, PREDICTION, "MIT"),
        ("Muse Spark", "openness", "closed", "Muse Spark, closed", {"told": "2026-04-09"}, EXPIRED, "Muse-Spark-Open"),
        ("Qwen3.6-Plus", "openness", "closed", "Qwen3.6-Plus is closed", {}, SUPPORTED, "others of that version"),
        ("GPT-4o", "openness", "open-weights", "GPT-4o is open-weights", {}, REFUTED, "without open weights"),
        ("GPT-5.4", "status", "released", "GPT-5.4", {}, SUPPORTED, "2026-03-05"),
        ("Muse Spark", "release_date", "2026-04-09", "Muse Spark on April 9", {}, SUPPORTED, "2026-04-08"),
        ("Muse Spark", "release_date", "2026-04-11", "Muse Spark on April 11", {}, OPEN, "2026-04-08"),
        ("DeepSeek V4", "openness", "closed", "DeepSeek V4 stays closed", {}, PREDICTION, "since 2026-04-22"),
        # Scores, places, counts, prices.
        ("GPT-4o", "benchmark:MMLU-Pro", 88.7, "GPT-4o (88.7) on MMLU-Pro", {}, REFUTED, "88.7 on MMLU"),
        ("GLM-5.1", "benchmark:SWE-bench Verified", 77.8, "GLM-5.1 at 77.8%", {}, REFUTED, "GLM-5 has 77.8"),
        ("GLM-5", "benchmark:SWE-bench Verified", 77.8, "77.8%", {}, SUPPORTED, "77.8"),
        ("GLM-5", "benchmark:SWE-bench Verified", 71.2, "GLM-5 at 71.2%", {}, OPEN, ""),
        ("Gemma 4 31B", "rank:Arena", 3.0, "Gemma 4 31B, #3 on Arena", {}, REFUTED, "#27 overall"),
        ("Gemma 4 31B", "rank:Arena", 3.0, "#3", {"qualifier": "among open models"}, SUPPORTED, "#3"),
        ("Gemma 4", "downloads", 400e6, "Gemma 4 400M downloads", {"told": "2026-04-05"}, REFUTED, "a day"),
        ("Qwen3-8B", "likes", 90000.0, "Qwen3-8B has 90,000 likes", {}, REFUTED, "likes"),
        ("Qwen3-8B-GGUF", "likes", 90000.0, "Qwen3-8B-GGUF has 90,000 likes", {}, OPEN, "Qwen/Qwen3-8B had"),
        ("GPT-4o", "price_input", 2.5, "$2.5", {"unit": "USD/Mtok"}, SUPPORTED, "USD"),
        ("GPT-4o", "price_input", 25.0, "GPT-4o at $25 in", {"unit": "USD/Mtok"}, REFUTED, "USD"),
        # Memory, as a sum.
        ("Llama 4 Scout", "memory_needed", 48e9, "Llama 4 Scout fits 48 GB at Q4", {}, REFUTED, "60.88 GB > 48 GB"),
        ("Llama 4 Scout", "memory_needed", 48e9, "Scout fits 48 GB at Q4_K_M", {}, REFUTED, "Q4_K_M"),
        ("Llama 4 Scout", "memory_needed", 48e9, "Scout at Q4 in 48 GB with CPU offload", {}, OPEN, ""),
        ("Llama 4 Scout", "memory_needed", 48e9, "a single 48GB GPU can serve it", {}, OPEN, "even at"),
        ("Gemma 4 31B", "memory_needed", 24e9, "Gemma 4 31B fits 24 GB at 4-bit", {}, SUPPORTED, "15.64 GB <"),
        ("Qwen 3.5", "memory_needed", 24e9, "Qwen 3.5 fits 24 GB at 4-bit", {}, OPEN, "> 24 GB"),
        ("Llama 4 Scout", "memory_needed", 80e9, "Scout, BF16, fits 80 GB with int4", {}, SUPPORTED, "4 bits"),
        ("DeepSeek V3", "memory_needed", 3e11, "needs over 300 GB at 4-bit", {"qualifier": "over"}, SUPPORTED, "> 300"),
        # Kinds.
        ("DeepSeek V3", "architecture", "dense", "DeepSeek V3 is dense", {}, REFUTED, "8 of 256"),
        ("DeepSeek V3", "architecture", "moe", "DeepSeek V3", {}, SUPPORTED, "8 of 256"),
        ("Qwen 3 MoE", "architecture", "moe", "Qwen 3 MoE", {}, SUPPORTED, "routes to 8 of 128"),
        ("Qwen 3", "architecture", "moe", "Qwen 3", {}, SUPPORTED, "routes to 8 of 128"),
        ("Gemma 3", "exists", True, "Gemma 3", {}, SUPPORTED, "since 2025-02-20"),
        ("Llama 4 Scout", "modality", "vision", "Llama 4 Scout sees", {}, SUPPORTED, "image"),
        ("Mistral", "parameters_total", 7e9, "Mistral has 7B parameters", {}, OPEN, ""),
    ],
)  # fmt: skip
def test_a_claim_gets_the_ruling_that_what_is_known_allows(subject, field, value, quote, more, ruling, reason):
    verdict = ruled(subject, field, value, quote, **more)

    assert verdict.ruling is ruling, verdict.evidence
    assert reason in " ".join(proof.text for proof in verdict.evidence)
    assert ruling is not REFUTED or all(proof.source for proof in verdict.evidence[:1])


@pytest.mark.parametrize(
    ("subject", "field", "value", "quote"),
    [
        ("DeepSeek v3.2", "parameters_total", 196e9, "Step-3.5-Flash has 196B, whereas DeepSeek v3.2 uses 671B total"),
        ("Gemma 2", "parameters_total", 1e9, "nanoLLaVA-1.5 was announced as a compact 1B parameter vision model."),
        ("Gemma 2", "context_length", 128e3, "Meta introduced 128k-context 1B and 3B models competing with Gemma 2"),
        ("DeepSeek-V2.5", "parameters_active", 6.6e9, "Microsoft's GRIN MoE has 6.6B active parameters."),
        ("GPT-4o", "openness", "open-source", "A user who developed a CRM asked, and an open-source one was named."),
        ("Qwen3-4B-Thinking", "release_date", "2026-01", "Jan.ai's Jan-v1 (built on Qwen3-4B-Thinking) came out"),
        ("Llama 4 8B", "exists", True, "8B"),
        ("Kimi K2", "licence", "MIT", "Stanford and MIT courses on Kimi K2"),
        ("Qwen2.5-VL-3B", "parameters_total", 7e9, "The 7B model handles messier handwriting better."),
        ("GPT-5.3-Codex", "openness", "open-source", "Open-source orchestration for Codex: launching Symphony."),
        ("DeepSeek-V4-Pro", "release_date", "2026-08-13", "We are launching DeepSeek-V4-Pro on August 13"),
        ("DeepSeek-V4-Flash", "memory_needed", 32e9, "DeepSeek-V4-Flash runs on a 32 GB RTX 5090 at Q4"),
        ("GPT-2", "parameters_total", 1.6e9, "a GPT-2 model of 1.6B parameters"),
        ("Jamba", "parameters_total", 52e9, "Jamba is a 52B parameter MoE model"),
        ("Qwen 4", "exists", True, "Commenters hope that Qwen 4 might come this year, and speculate on its size."),
        ("North", "status", "released", "Cohere introduces North, a secure AI workspace"),
        ("Llama 2", "parameters_total", 1.1e9, "TinyLlama is the same as Meta's Llama 2, but only has 1.1B parameters"),
        ("Llama 2", "parameters_total", 1.7e9, "The model, which uses the Llama 2 architecture, has 1.7B parameters"),
        ("Llama-2-70b-chat", "memory_needed", 6.2e9, "8 | 6.23 GB | 8.18"),
        ("Gemma 4 31B", "architecture", "moe", "Gemma 4 31B NVFP4 (dense, without --moe-backend)"),
        ("Qwen3-Coder", "parameters_total", 80e9, "Qwen3-Coder models (3B active/80B total)"),
        ("Phi-4", "memory_needed", 7.9e9, "Phi-4 (14B) | ~7.9 GB | 16K on 12GB (q8_0 KV)"),
        ("Qwen3-Embedding-8B", "licence", "CC-BY-NC-4.0", "NV-Embed-v2 | beats Qwen3-Embedding-8B, but CC-BY-NC-4.0"),
        ("Qwen2.5-Coder-14B", "parameters_total", 7e9, "Questions about code | 7B | Qwen2.5-Coder-14B"),
        ("Kimi-K2.5", "release_date", "2026-07-31", "July 31, 2026 | Kimi-K2.5 | Kimi-K2.6"),
        ("GPT-5.4", "price_input", 0.01, "GPT-5.4 | 250K | $2.50 (cached: $0.01)"),
        ("Qwen 2.5 Coder 14B-32B", "exists", True, "Qwen 2.5 Coder 14B-32B"),
        ("Gemma 4 12B", "architecture", "moe", "Gemma 4 12B is not simply a smaller one of the 26B MoE that I had"),
        ("Gemma 4 12B", "licence", "MIT", "Gemma 4 12B non è soltanto una versione ridotta di quello con licenza MIT"),
        ("Qwen 3.5 2B", "parameters_active", 3e9, "Where are Qwen 3.5 2B, 9B, and 35B-A3B"),
        ("Deepseek-r1 1.58b", "exists", True, "how to run the Deepseek-r1 1.58b quantization"),
        ("Llama-4", "parameters_total", 8e9, "Meta has not released a Llama-4 model in the 8B-dense slot."),
        ("DeepSeek R1", "modality", "multimodal", "DeepSeek R1 | Excellent reasoning | Limited multi-modal support"),
        ("Qwen3 dense 4B", "parameters_total", 32e9, "Qwen3 dense 4B–32B – easy to fine-tune, strong multilingual."),
        ("Llama 3", "parameters_total", 405e9, "Llama 3's 405B variant is the dominant large open-weight model;"),
        ("Mistral Large", "parameters_total", 130e9, "Mistral Large (Feb 2024) — 130B parameters, expert reasoning"),
        ("Mistral-7B", "licence", "MIT", "E5 Mistral-7B - 4096-dim high-quality embeddings, 32K context, MIT license."),
        ("Phi-4", "modality", "multimodal", "Phi-4 - a family of small language, multi-modal and reasoning models"),
        ("qwen3-53b-a3b", "exists", True, "qwen3-53b-a3b"),
        ("qwen 3 7b", "exists", True, "qwen 3 4b, qwen 3 7b, qwen 3 context window, ollama qwen 2.5"),
        ("Mellum", "architecture", "moe", "Mellum is a code-focused Mixture-of-Experts language model by JetBrains."),
        ("GPT-4", "release_date", "2024-04", "GPT-4 (Apr 2024)"),
        ("Llama 3.1 8B", "licence", "MIT", "meetkai/functionary-small-v3.2 — 8B, Llama 3.1 8B base, MIT license"),
        ("Qwen3-27B", "context_length", 12000.0, "Qwen3-27B at 14.2 t/s, ctx 12k"),
        ("Trinity-Large-Thinking", "licence", "Apache-2.0", "Trinity-Large-Thinking under the Apache 2.0 license"),
    ],
)  # fmt: skip
def test_what_may_be_said_of_another_is_not_refuted(subject, field, value, quote):
    assert ruled(subject, field, value, quote).ruling is not REFUTED


def on_page(text):
    """(field, value as it is written, ruling) of what a page says."""
    found = check(extract(Page("page.md", text, fetched=KNOWLEDGE.date)), KNOWLEDGE, {"page.md": text})
    return {(verdict.claim.field, verdict.claim.value): verdict.ruling for verdict in found}


LISTED = "\n\n- Total parameters: 120B\n- Active parameters: 8.4B\n- Context length: 8,192 tokens\n- License: MIT\n"


@pytest.mark.parametrize("heading", ["### GPT-OSS-120B", "## 3. gpt-oss-120b (OpenAI)", "**GPT-OSS 120B:**"])
def test_values_that_a_models_heading_lists_are_said_of_it(heading):
    found = on_page(f"# Models of the year\n\n{heading}{LISTED}")

    assert found["parameters_total", 120e9] is SUPPORTED
    assert found["parameters_active", 8.4e9] is REFUTED
    assert found["context_length", 8192.0] is REFUTED
    assert found["licence", "MIT"] is REFUTED


@pytest.mark.parametrize(
    "heading", ["### GPT-OSS-120B vs the rest", "### Running gpt-oss-120b", "### GPT-OSS-120B GGUF"]
)
def test_under_any_other_heading_they_may_be_of_something_else(heading):
    assert REFUTED not in on_page(f"# Models of the year\n\n{heading}{LISTED}").values()


def test_a_tables_column_of_windows_or_launches_is_said_of_its_rows_and_that_of_a_run_is_not():
    table = "| Model | {} | {} |\n|---|---|---|\n| Gemma 3 27B | 8K | January 2024 |\n"

    models = on_page(table.format("Context window", "Released"))
    runs = on_page(table.format("Context window used", "Tested"))

    assert models["context_length", 8000.0] is models["release_date", "2024-01"] is REFUTED
    assert REFUTED not in runs.values()


def test_of_two_values_that_one_row_tells_none_is_refuted_and_the_reasons_say_so():
    row = "DeepSeek-R1 | 671B | 37B | 24 GB"
    whole, part = (claim("DeepSeek-R1", "parameters_total", value, row) for value in (671e9, 37e9))

    alone, beside = check([part], KNOWLEDGE)[0], check([whole, part], KNOWLEDGE)[1]

    assert (alone.ruling, beside.ruling) == (REFUTED, OPEN)
    assert "does not agree" in beside.evidence[-1].text


@pytest.mark.parametrize(
    "name",
    [
        "meta-llama/Llama-3.1-*",
        "meta-llama/Llama-3.1-, meta-llama/Llama-3.2-",
        "openai/gpt-oss-{20b,120b}",
        "mistral/mistral-large-2407",
    ],
)
def test_a_pattern_and_another_services_name_are_no_repository_that_is_missing(name):
    text = f"Supported models:\n\n{name}\n"
    found = check(extract(Page("page.md", text, fetched=KNOWLEDGE.date)), KNOWLEDGE, {"page.md": text})

    assert REFUTED not in {verdict.ruling for verdict in found}


def test_a_claim_that_holds_for_another_model_of_the_sentence_is_left_open():
    quote = "Unlike GLM-4.7, MiniMax-M2.7 needs 230B parameters"

    alone = check([claim("GLM-4.7", "parameters_total", 230e9, "GLM-4.7 has 230B parameters")], KNOWLEDGE)[0]
    beside = check([claim("GLM-4.7", "parameters_total", 230e9, quote), claim("MiniMax-M2.7", "exists", True, quote)])[
        0
    ]

    assert (alone.ruling, beside.ruling) == (REFUTED, OPEN)


def test_a_log_speaks_as_of_its_last_entries():
    days = ("2026-04-01", "2026-04-08", "2026-04-20")
    entries = [claim("Qwen3", "status", "released", "Qwen3 out", told=day, published="2026-03-20") for day in days]
    plain = claim("Muse Spark", "release_date", "2026-04-09", "Muse Spark on April 9", published="2026-03-20")

    assert check([plain], KNOWLEDGE)[0].ruling is PREDICTION
    assert check([*entries, plain], KNOWLEDGE)[-1].ruling is SUPPORTED


def test_what_a_file_told_here_settles_claims():
    own = Fact("Acme Giant", "parameters_total", 12e9, Basis.READ, "read by weigh facts: giant.gguf", "tensors", "2026")
    knowing = Knowledge(own=[own])
    arguments = ("Acme Giant", "parameters_total", 40e9, "Acme Giant has 40B parameters")

    assert ruled(*arguments).ruling is OPEN
    verdict = ruled("Acme Giant", "parameters_total", 12e9, "12B", knowledge=knowing)
    assert verdict.ruling is SUPPORTED
    assert verdict.evidence[0].source == "read by weigh facts: giant.gguf"


COUNTED = [variant for variant in KNOWLEDGE.catalogue if variant.parameters and variant.shape]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(COUNTED), st.floats(-0.02, 0.02), st.sampled_from([1.0, 1.6, 2.2, 0.5]))
def test_a_true_size_is_never_refuted_and_a_false_one_never_supported(variant, slip, factor):
    total = variant.parameters.value * (1 + slip)
    true = ruled(variant.repository, "parameters_total", total, f"{variant.repository} has {show_count(total)}")
    size = total * factor * (1 if factor == 1 else 1.03)
    false = ruled(variant.repository, "parameters_total", size, f"{variant.repository} has {show_count(size)}")

    assert true.ruling is SUPPORTED
    if factor != 1 and not any(abs(size - each) < 0.1 * size for each in _other_sizes(variant)):
        assert false.ruling is not SUPPORTED


def _other_sizes(variant):
    """Sizes that its name tells, and what it uses of them."""
    from weighbridge.digest.knowledge import sizes_in, words_of_name

    active = [variant.active_parameters.value] if variant.active_parameters else []
    return [*sizes_in(words_of_name(variant.name)).values(), *active]


FIELDS = st.sampled_from(
    "parameters_total parameters_active experts context_length licence release_date status exists downloads likes stars"
    " price_input price_output memory_needed speed architecture openness base_model modality training_cost "
    "benchmark:MMLU rank:Arena rule:threshold nonsense".split()
)
VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=64), st.text(max_size=30), st.booleans(),
    st.sampled_from(["2026-02-31", "2025-04", "MIT", "closed", "expected", "moe"]),
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.text(max_size=40), FIELDS, VALUES, st.text(max_size=60), st.text(max_size=20), st.text(max_size=12))
def test_whatever_a_stranger_says_gets_a_ruling_and_nothing_unknown_is_refuted(
    subject, field, value, quote, qualifier, told
):
    said = claim(f"zzq{subject}", field, value, quote, qualifier=qualifier, told=told)

    [verdict] = check([said], KNOWLEDGE)

    assert verdict.ruling is not REFUTED or field.startswith("rule:")
    assert dataclasses.replace(verdict, claim=said) == verdict
