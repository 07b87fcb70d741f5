"""What a page says is found, with the exact words, the right field and the right model."""

from __future__ import annotations

import pytest

from weighbridge.digest import Claim, Page, extract


def claims(text: str, published: str | None = "2026-04-19", title: str = "") -> list[Claim]:
    return list(extract(Page("page.md", text, title, published)))


def said(text: str, **page: str) -> set[tuple[str, str, object]]:
    return {(claim.subject, claim.field, claim.value) for claim in claims(text, **page) if claim.field != "exists"}


def only(text: str, field: str) -> Claim:
    (claim,) = [claim for claim in claims(text) if claim.field == field]
    return claim


def test_a_claim_quotes_the_page_word_for_word():
    text = "# News\n\nDeepSeek V3 has 671B total parameters with 37B active.\n"

    found = claims(text)

    assert {claim.field for claim in found} == {"exists", "parameters_total", "parameters_active"}
    assert all(text[claim.start : claim.end] == claim.quote for claim in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Kestrel 34B ships under the MIT license.", ("Kestrel 34B", "licence", "MIT")),
        ("Zorblax-V4 (1.6T/49B) is out.", ("Zorblax-V4", "parameters_active", 49e9)),
        ("Quillon-9x7B has 63B parameters, of which 14B are active.", ("Quillon-9x7B", "parameters_active", 14e9)),
        ("Qwen3-Coder supports a context window of 256K tokens.", ("Qwen3-Coder", "context_length", 256e3)),
        ("Gemma 4 31B fits on a single 24 GB GPU at Q4.", ("Gemma 4 31B", "memory_needed", 24e9)),
        ("GLM-5.1 runs on two A100 80GB cards.", ("GLM-5.1", "memory_needed", 160e9)),
        ("Gemma 4 31B runs on a single RTX 4090.", ("Gemma 4 31B", "memory_needed", 24e9)),
        ("GLM-5.1 costs $0.50 per million input tokens.", ("GLM-5.1", "price_input", 0.5)),
        ("GLM-5.1 is $0.50 in / $1.75 out per million tokens.", ("GLM-5.1", "price_output", 1.75)),
        ("GLM-5.1 takes 0.002 USD per 1K output tokens.", ("GLM-5.1", "price_output", 2.0)),
        ("Kimi K2 was trained on 15.5T tokens.", ("Kimi K2", "training_tokens", 15.5e12)),
        ("DeepSeek V3 was trained for about $5.6M.", ("DeepSeek V3", "training_cost", 5.6e6)),
        ("Kimi K2 has 384 experts.", ("Kimi K2", "experts", 384.0)),
        ("Jamba 2 decodes 2.5x faster than its predecessor.", ("Jamba 2", "speed", 2.5)),
        ("Mistral Small 4 generates 142 tokens per second.", ("Mistral Small 4", "speed", 142.0)),
        ("Qwen3-8B is at 2.4M downloads.", ("Qwen3-8B", "downloads", 2.4e6)),
        ("Poet-12B is a fine-tune of google/gemma-4-12B-it.", ("Poet-12B", "base_model", "google/gemma-4-12B-it")),
        ("GGUF files of Qwen3-8B are available.", ("Qwen3-8B", "file_formats", "gguf")),
        ("Qwen3.6-Plus is closed-source and API-only.", ("Qwen3.6-Plus", "openness", "closed")),
        ("Qwen3-VL 8B is a vision-language model.", ("Qwen3-VL 8B", "modality", "vision-language")),
        ("Teuken 2 34B hat 34,2 Milliarden Parameter.", ("Teuken 2 34B", "parameters_total", 34.2e9)),
    ],
)
def test_a_plain_sentence_gives_its_claim(text, expected):
    assert expected in said(text)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("GLM-5.1 scores 77.8% on SWE-bench Verified.", "benchmark:SWE-bench Verified", 77.8),
        ("GLM-5.1 scores 58.4% on SWE-Bench Pro.", "benchmark:SWE-bench Pro", 58.4),
        ("GLM-5.1: MMLU 88.5", "benchmark:MMLU", 88.5),
        ("GLM-5.1 gets an MMLU-Pro score of 80.1.", "benchmark:MMLU-Pro", 80.1),
        ("GLM-5.1 reaches 91.0 on AIME '25.", "benchmark:AIME 2025", 91.0),
    ],
)
def test_a_score_keeps_the_variant_of_its_benchmark(text, field, value):
    assert {(claim.field, claim.value) for claim in claims(text) if claim.field != "exists"} == {(field, value)}


def test_the_number_behind_a_comparison_is_the_others():
    found = said("Qwen3-32B scores 65.5 on MMLU-Pro, ahead of GPT-4o (63.1) and of Llama 3.3 70B's 61.0.")

    assert found == {
        ("Qwen3-32B", "benchmark:MMLU-Pro", 65.5),
        ("GPT-4o", "benchmark:MMLU-Pro", 63.1),
        ("Llama 3.3 70B", "benchmark:MMLU-Pro", 61.0),
    }


def test_one_value_of_joined_subjects_holds_for_each():
    found = said("Llama 4 Scout and Maverick use 17B active parameters.")

    assert {name for name, field, _ in found if field == "parameters_active"} == {"Llama 4 Scout", "Llama 4 Maverick"}


def test_values_told_respectively_go_to_their_names():
    found = said("Ministral 4 8B and Ministral 4 14B have 8.4B and 14.1B parameters, respectively.")

    assert ("Ministral 4 8B", "parameters_total", 8.4e9) in found
    assert ("Ministral 4 14B", "parameters_total", 14.1e9) in found
    assert ("Ministral 4 14B", "parameters_total", 8.4e9) not in found


def test_brackets_belong_to_the_name_before_them():
    found = said("V4 comes in two sizes: DeepSeek V4-Pro (1.6T/49B) and V4-Flash (284B/13B).")

    assert {each for each in found if each[1].startswith("parameters")} == {
        ("DeepSeek V4-Pro", "parameters_total", 1.6e12),
        ("DeepSeek V4-Pro", "parameters_active", 49e9),
        ("DeepSeek V4-Flash", "parameters_total", 284e9),
        ("DeepSeek V4-Flash", "parameters_active", 13e9),
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("We tried Llama 4 Scout. It has 109B parameters.", "Llama 4 Scout"),
        ("We tried Llama 4 Scout. Scout has 109B parameters.", "Llama 4 Scout"),
        ("Gemma 4 is out. The 31B variant has a context window of 256K tokens.", "Gemma 4 31B"),
        ("## Seed-OSS-36B\n\nIts context is 512K tokens long.", "Seed-OSS-36B"),
        ("- Kimi K3\n  - context: 1M tokens", "Kimi K3"),
    ],
)
def test_a_name_is_carried_to_what_is_said_without_it(text, name):
    assert {subject for subject, field, _ in said(text) if field in ("parameters_total", "context_length")} == {name}


def test_what_is_denied_is_not_claimed():
    assert said("Jamba 2 does not have 256B parameters.") == set()
    assert ("Kimi K2", "memory_needed", 24e9) not in said(
        "Don't believe those who say that Kimi K2 fits in 24 GB of VRAM."
    )


def test_hearsay_and_forecast_are_told_by_the_qualifier():
    claim = only("DeepSeek V5 will reportedly have 2T parameters.", "parameters_total")

    assert claim.qualifier == "reportedly, expected"


def test_a_place_among_some_keeps_among_whom():
    claim = only("Gemma 4 31B is #3 among open models on LMArena.", "rank:Arena")

    assert (claim.value, claim.qualifier) == (3.0, "among open models")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Mistral released Codestral 3 on April 8.", "2026-04-08"),
        ("Codestral 3 was launched last week.", "2026-04-12"),
        ("Codestral 3, released in late March, is small.", "2026-03"),
        ("Codestral 3 was released on 8 April 2025.", "2025-04-08"),
        ("2026-04-11 - Mistral ships Codestral 3", "2026-04-11"),
    ],
)
def test_dates_of_release_are_absolute(text, day):
    assert only(text, "release_date").value == day


def test_what_was_trained_before_is_released_all_the_same():
    text = "Nemotron 3 Nano was pre-trained on 25T tokens and released on December 15, 2025."

    assert only(text, "status").value == "released"
    assert only(text, "release_date").qualifier == ""


def test_two_places_in_one_sentence_are_on_one_board():
    found = claims("Kimi K2 ranks #5 overall and #1 among open models on LMArena.")

    assert {(claim.value, claim.qualifier) for claim in found if claim.field == "rank:Arena"} == {
        (5.0, "overall"),
        (1.0, "among open models"),
    }


def test_a_model_that_is_said_not_to_exist_is_not_claimed_to():
    assert claims("There is no Llama 5.") == []


def test_what_comes_later_than_the_page_is_expected():
    assert only("Codestral 3 ships on May 5.", "status").value == "expected"


def test_models_in_general_are_nobody():
    assert said("Models under 10B parameters are exempt. A dense 70B model needs 140 GB of VRAM.") == set()


def test_a_table_of_models_and_one_of_benchmarks_are_read():
    by_row = "| Model | Params | License |\n|---|---|---|\n| Foo-7B | 7.1B | MIT |\n| Bar-9B | 9.0B | Apache 2.0 |\n"
    by_column = "| Benchmark | Foo-7B | Bar-9B |\n|---|---|---|\n| GSM8K | 71.0 | 80.2 |\n"
    flat = "| Model | Context | |---|---| | Foo-7B | 32K | | Bar-9B | 128K |"

    assert ("Bar-9B", "licence", "Apache-2.0") in said(by_row)
    assert ("Foo-7B", "parameters_total", 7.1e9) in said(by_row)
    assert said(by_column) == {("Foo-7B", "benchmark:GSM8K", 71.0), ("Bar-9B", "benchmark:GSM8K", 80.2)}
    assert said(flat) == {("Foo-7B", "context_length", 32e3), ("Bar-9B", "context_length", 128e3)}


def test_a_name_that_nobody_knows_is_one_by_its_form_or_its_introduction():
    found = claims(
        "Umbra Labs launches Quenlow, a 12B model. Later Quenlow got a 64K context window. Vexling 3 34B is dense."
    )

    assert {("Quenlow", "parameters_total"), ("Quenlow", "context_length"), ("Vexling 3 34B", "exists")} <= {
        (claim.subject, claim.field) for claim in found
    }


def test_a_card_speaks_of_the_model_of_its_title():
    text = (
        "---\nlicense: apache-2.0\nbase_model: Qwen/Qwen3-8B\n---\n# Fjell-8B\n\n- **Context length:** 40,960 tokens\n"
    )

    assert said(text) == {
        ("Fjell-8B", "licence", "Apache-2.0"),
        ("Fjell-8B", "base_model", "Qwen/Qwen3-8B"),
        ("Fjell-8B", "context_length", 40960.0),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Whose a value is.
        ("- 51.0 on MMLU-Pro (with tools) — Kimi K2 Thinking", ("Kimi K2 Thinking", "benchmark:MMLU-Pro", 51.0)),
        ("Zhipu's GLM-5.1 and Alibaba's Qwen3-32B both hit 77% on MMLU.", ("GLM-5.1", "benchmark:MMLU", 77.0)),
        ("Phi-4 (14B) beats Kestrel-70B on MMLU with 78.0 versus 51.5.", ("Kestrel-70B", "benchmark:MMLU", 51.5)),
        ("GLM-5.1 is out. It scored 69.6 on MMLU, within a point of Phi-4.", ("GLM-5.1", "benchmark:MMLU", 69.6)),
        ("Tested: Qwen3-30B, GLM-4.7-Flash MoE, Phi-4.", ("GLM-4.7-Flash", "architecture", "moe")),
        ("Totals differ (e.g., DeepSeek V3 at 671 billion params).", ("DeepSeek V3", "parameters_total", 671e9)),
        ("Some active parameters (Kimi K2 at 32 billion) are few.", ("Kimi K2", "parameters_active", 32e9)),
        ("NVIDIA's 550B Nemotron 3 Ultra and the 1M-context GLM-5.2 came.", ("GLM-5.2", "context_length", 1e6)),
        # Short names.
        ("Qwen3 is here. The 30B-A3B writes 34 tokens/s.", ("Qwen3-30B-A3B", "speed", 34.0)),
        (
            "GLM-4.5 (355B/32B) has landed, and its Air sibling (106B/12B) too.",
            ("GLM-4.5 Air", "parameters_total", 106e9),
        ),
        ("| Model | Licence |\n|---|---|\n| Mistral Large 3 / Small 4 | MIT |", ("Mistral Small 4", "licence", "MIT")),
        ("Meet Kestrel-120b and Kestrel-20b. The smaller fits in 16 GB.", ("Kestrel-20b", "memory_needed", 16e9)),
        ("| Model | Input $/M |\n|---|---|\n| Grok 4 Fast | $0.20 |", ("Grok 4 Fast", "price_input", 0.2)),
        ("StepFun's Step 3.5 Flash has 196B parameters.", ("Step 3.5 Flash", "parameters_total", 196e9)),
        # Names that head an entry.
        ("# Week\n\n## [[Apertus]]\n- Trained on 15T tokens, 70B", ("Apertus", "training_tokens", 15e12)),
        ("# Week\n\n## OLMoE\n6.9B total / 1.3B active per token.", ("OLMoE", "parameters_active", 1.3e9)),
        ("- North Mini Code: 80% on SWE-bench, 3B active parameters", ("North Mini Code", "parameters_active", 3e9)),
        # Dates.
        ("- Zhipu's GLM-5 (Feb 12, 2026)", ("GLM-5", "release_date", "2026-02-12")),
        ("March dropped two: Phi-5 on March 2, GLM-5 on March 5.", ("Phi-5", "release_date", "2026-03-02")),
        ("Zhipu announced the release of GLM-5 on March 2, 2026.", ("GLM-5", "status", "released")),
        ("OpenAI answered with gpt-oss-20b on March 2.", ("gpt-oss-20b", "release_date", "2026-03-02")),
        ("DeepSeek V5 remains unreleased.", ("DeepSeek V5", "status", "expected")),
        ("Analysts expect Qwen 4 in June.", ("Qwen 4", "release_date", "2026-06")),
        ("Llama 5 is days away.", ("Llama 5", "status", "expected")),
        # Sizes, lengths and memory.
        ("Ministral 3 comes in 3B, 8B and 14B sizes.", ("Ministral 3", "parameters_total", 8e9)),
        ("Kimi K2 activates 32B of its 1T parameters per token.", ("Kimi K2", "parameters_total", 1e12)),
        ("ERNIE-4.5-300B routes each token through 47 billion.", ("ERNIE-4.5-300B", "parameters_active", 47e9)),
        ("- GLM-4.5: 355B-A32B · 128K · MIT", ("GLM-4.5", "context_length", 128e3)),
        ("Kimi K2's context doubled from 128K to 256K.", ("Kimi K2", "context_length", 256e3)),
        ("| Model | Total / active params |\n|---|---|\n| Phi-4 | 14B / 14B |", ("Phi-4", "parameters_active", 14e9)),
        ("- RTX 3060 12GB: Qwen3-14B at Q4_K_M (9.0 GB)", ("Qwen3-14B", "memory_needed", 9e9)),
        ("- Phi-4 Mini: ~2.4GB footprint", ("Phi-4 Mini", "memory_needed", 2.4e9)),
        ("GLM-4.7-Flash fits 24 GB.", ("GLM-4.7-Flash", "memory_needed", 24e9)),
        # The rest.
        ("GLM-5.1 took the top spot on SWE-bench Pro.", ("GLM-5.1", "rank:SWE-bench Pro", 1.0)),
        ("Qwen3-235B-A22B gets 81.5 on AIME'25.", ("Qwen3-235B-A22B", "benchmark:AIME 2025", 81.5)),
        ("Mistral Small 4 takes images as input.", ("Mistral Small 4", "modality", "vision-language")),
        ("- Codestral 25.08: closed weights", ("Codestral 25.08", "openness", "closed")),
        ("| Model | Licence |\n|---|---|\n| Llama 4 Scout | Llama Community |", ("Llama 4 Scout", "licence", "llama")),
        ("Mistral Small 4 drops under Apache 2.0.", ("Mistral Small 4", "licence", "Apache-2.0")),
        ("Meta — Llama 3.2\nSizes: 1B, 3B (text), 11B\nLicense: MIT", ("Llama 3.2", "parameters_total", 3e9)),
        ("Meta — Llama 3.2\nSizes: 1B, 3B (text), 11B\nLicense: MIT", ("Llama 3.2", "licence", "MIT")),
        ("GLM-5.1 is new. It's a MoE, released on April 7, 2026.", ("GLM-5.1", "release_date", "2026-04-07")),
        ("GLM-5.1 topped SWE-bench Pro.", ("GLM-5.1", "rank:SWE-bench Pro", 1.0)),
        ("GLM-4.5 is a model.\n\nInput Cost $0.6\nper million tokens", ("GLM-4.5", "price_input", 0.6)),
        # Cells of a table that have lost the gap between them.
        ("GLM-4.5 is a model.\n\nLicenseModified MIT (free)\n", ("GLM-4.5", "licence", "modified-mit")),
        ("GLM-4.5 is a model.\n\nRelease Date2025-07-28\n", ("GLM-4.5", "release_date", "2025-07-28")),
        ("GLM-4.5 is a model.\n\nInput Price$0.40/M tokens\n", ("GLM-4.5", "price_input", 0.4)),
        # Of whom `the 123B model` and `the company reports` are said.
        (
            "Devstral 2 has 123B parameters. It came with Devstral Small 2 (24B). The 123B model is under the MIT "
            "license.",
            ("Devstral 2", "licence", "MIT"),
        ),
        (
            "StepFun, a lab in Shanghai, published Step 3.5 Flash on February 12, 2026. The company reports 97.3 on "
            "AIME 2025 at a sixth of the cost of DeepSeek V3.2.",
            ("Step 3.5 Flash", "benchmark:AIME 2025", 97.3),
        ),
        ("# GLM-4.5\n\nZhipu's open-weight coding model - 355B parameters.", ("GLM-4.5", "parameters_total", 355e9)),
        ("The Zhipu team just released GLM-4.5, which is good.", ("GLM-4.5", "status", "released")),
        ("Mistral Large 3 — 675B parameters, Apache 2.0.", ("Mistral Large 3", "parameters_total", 675e9)),
        ("MMLU: Phi-4 leads (79.8%), then Gemma 3 (74.3%).", ("Gemma 3", "benchmark:MMLU", 74.3)),
        ("GLM-4.5 is new. On Terminal-Bench, the table shows 46.3.", ("GLM-4.5", "benchmark:Terminal-Bench", 46.3)),
        ("GPT-2 was released in 2019.", ("GPT-2", "release_date", "2019")),
        ("GLM-4.5 costs 2.1 yuan per million input tokens.", ("GLM-4.5", "price_input", 2.1)),
        ("| Model | Licence |\n|---|---|\n| Llama 3.3 70B | Meta Llama |", ("Llama 3.3 70B", "licence", "llama")),
        ("Granite-4.0-H-Tiny: 7B (hybrid MoE).", ("Granite-4.0-H-Tiny", "architecture", "moe")),
    ],
)
def test_what_digests_say_in_their_own_way_is_understood(text, expected):
    assert expected in said(text)


@pytest.mark.parametrize(
    "text",
    [
        # Somebody else, whom the page does not name.
        "Qwen3 14B is fine, a 70B model runs on 48 GB of memory, and any 9B model on an 8GB card.",
        "Kimi K2 is fine. Self-hostable open models top out at 72% on SWE-bench Verified.",
        "Phi-4 is fine. The smallest member has 0.3B parameters.",
        "DeepSeek V3 is known. They scaled the design to a trillion parameters.",
        "Both Mistral and DeepSeek's recent flagships are MoE.",
        # What is no model's.
        "GPT-4o, for example. Input cost: 1,000 × $0.0000025 = $0.0025",
        "Kimi K2: no weights have been published.",
        "The Mac Studio M3 Ultra maxes out at 96GB, and Apple Silicon M3 Max runs it.",
        "GDDR7 costs more, and 4B models benefit.",
        "---\ntags: [open-weights]\ndate: 2025-09-14\n---\n# Notes on Qwen3-Next\n",
    ],
)
def test_what_is_said_of_others_or_of_no_model_is_not_claimed(text):
    assert said(text) == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Licences differ: MIT for Kestrel 3 and Orrin 2.", ("Orrin 2", "licence", "MIT")),
        ("Context: 32K (Qwen3-8B, Mixtral 8x7B); 128K (GLM-5).", ("Qwen3-8B", "context_length", 32e3)),
        ("Apache 2.0 won the argument (Qwen3-8B, Gemma 4).", ("Gemma 4", "licence", "Apache-2.0")),
        ("Sparse networks lead (Kestrel 3 400B/17B; Orrin 2 90B/6B).", ("Kestrel 3", "parameters_active", 17e9)),
        ("Llama 4: Scout (17B active / 109B total), Maverick (17B active / 400B total).",
         ("Llama 4 Maverick", "parameters_total", 400e9)),
        ("GLM-5, Kimi K2.6, and Qwen3-Next are server-class MoEs.", ("Kimi K2.6", "architecture", "moe")),
        ("Qwen3.6-27B dropped April 16, 2026.", ("Qwen3.6-27B", "release_date", "2026-04-16")),
        ("Granite\u20114.0\u2011H\u2011Small: a 32\u2011billion\u2011parameter mixture\u2011of\u2011experts model",
         ("Granite-4.0-H-Small", "parameters_total", 32e9)),
        ("Kestrel 3 fires 3B of 30B parameters active per token.", ("Kestrel 3", "parameters_total", 30e9)),
        ("GLM-4.7 gains, with (73.8%, +5.8%) on SWE-bench and (41%, +16.5%) on MMLU-Pro.",
         ("GLM-4.7", "benchmark:MMLU-Pro", 41.0)),
        ("Kimi K2.6 is Moonshot AI's latest open-source model.", ("Kimi K2.6", "openness", "open-source")),
        ("Kestrel 3 asks $0.16 cache hit / $0.95 cache miss / $4.00 output per 1M tokens.",
         ("Kestrel 3", "price_input", 0.95)),
        ("Mistral released Small 4 with 119B parameters.", ("Mistral Small 4", "parameters_total", 119e9)),
        ("Kestrel 3 beats GLM-5, which has 744 billion parameters (with 40 billion activated).",
         ("GLM-5", "parameters_active", 40e9)),
        ("# Nemotron 3\n\n| Model | Total parameters |\n|---|---|\n| **Nano** | 31.6B |\n| **Ultra** | 550B |\n",
         ("Nemotron 3 Ultra", "parameters_total", 550e9)),
    ],
)  # fmt: skip
def test_it_is_read_of_whom_a_bracket_a_list_or_a_row_tells(text, expected):
    assert expected in said(text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        # Conditions and settings are no model's lengths.
        ("Kestrel-9B results:\n\n| Context | tok/s |\n|---|---|\n| 8K | 103.0 |\n| 32K | 90.3 |\n", "context_length"),
        ("Kestrel-9B, 4K context: 70.0 tok/s", "context_length"),
        ("Serve Kestrel-9B with --context-length 65536 and wait.", "context_length"),
        # What is said of others, of parts, and of what was made of it.
        ("Kestrel-7B does well, and even our smallest 1.5B model scores 80.", "parameters_total"),
        ("Dense 27.3B-parameter sibling of Kestrel-35B.", "parameters_total"),
        ("Kestrel-3 reads pictures through a 400M-parameter vision encoder.", "parameters_total"),
        ("Versus upstream Kestrel-3, all from the 128→80 expert count drop.", "experts"),
        ("Kestrel-3 decodes as fast as a dedicated 10B dense model.", "parameters_total"),
        ("Kestrel-3 Embedding: MRL support for custom dimensions.", "licence"),
        ("Kestrel-3 is out: dense, no MoE.", "architecture:moe"),
        # Programs are no models, and an order to the reader is no news.
        ("## Kestrel-3\n\nLaunch the vLLM server on port 8000.", "status"),
        ("Kestrel-3 was built for this. <img src='kestrel-72b-instruct.png' alt='Kestrel-72B'>", "parameters_total"),
    ],
)
def test_what_is_not_said_of_a_model_is_no_claim_of_it(text, field):
    name, _, value = field.partition(":")

    assert not [each for each in said(text) if each[1] == name and (not value or each[2] == value)]


def test_footnotes_norms_and_programs_are_no_models():
    page = "Kimi K2 is out.[^blog-2][^mini-max] It meets ISO/IEC 42001:2023 and runs in Claude Code."
    assert {each.subject for each in claims(page)} == {"Kimi K2"}


def test_what_a_program_calls_a_model_is_no_longer_name_of_it():
    text = "## Qwen3.6-27B\n\nIt is Apache 2.0.\n\nSet it as `TIER=ollama:qwen3.6:27b`.\n"

    assert ("Qwen3.6-27B", "licence", "Apache-2.0") in said(text)


@pytest.mark.parametrize(
    "text",
    [
        "MMLU-Pro: Kimi K2 82.8, Qwen3-8B 76.1.",
        "On MMLU-Pro, Kimi K2 at 82.8% and then Qwen3-8B at 76.1%.",
        "## Kimi K2\n\nBeats: Qwen3-8B on MMLU-Pro (82.8 vs 76.1).",
    ],
)
def test_scores_told_in_turn_go_each_to_its_own_name(text):
    assert said(text) == {("Kimi K2", "benchmark:MMLU-Pro", 82.8), ("Qwen3-8B", "benchmark:MMLU-Pro", 76.1)}
