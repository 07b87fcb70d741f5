"""Scores, prices, sizes and speeds, as people tell several of them at once."""

from __future__ import annotations

import pytest

from weighbridge.digest import extract
from weighbridge.digest.reading import read_file

from .test_extracting import claims, said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Scores in lists, and lists of benchmarks.
        ("GLM-5 posts 88.5, 92.1 and 71.0 on MMLU, GSM8K and MATH.",
         {("GLM-5", "MMLU", 88.5), ("GLM-5", "GSM8K", 92.1), ("GLM-5", "MATH", 71.0)}),
        ("On MMLU and GSM8K, GLM-5 reaches 88.5 and 92.1.", {("GLM-5", "MMLU", 88.5), ("GLM-5", "GSM8K", 92.1)}),
        ("On AIME25 and MMLU-Pro, GLM-5 reached 75.6 and 81.3 points respectively.",
         {("GLM-5", "AIME 2025", 75.6), ("GLM-5", "MMLU-Pro", 81.3)}),
        ("GLM-5 (MMLU/GSM8K: 88.5/92.1) is good.", {("GLM-5", "MMLU", 88.5), ("GLM-5", "GSM8K", 92.1)}),
        ("GLM-5 and Kimi K2 score 88.5 and 92.1 on MMLU, respectively.",
         {("GLM-5", "MMLU", 88.5), ("Kimi K2", "MMLU", 92.1)}),
        ("GLM-5 got 80.2 on MMLU and 90.7 on OCRBench, surpassing Kimi K2 (78.1/80.7).",
         {("GLM-5", "MMLU", 80.2), ("GLM-5", "OCRBench", 90.7), ("Kimi K2", "MMLU", 78.1),
          ("Kimi K2", "OCRBench", 80.7)}),
        # A benchmark that is described, or that nobody knows.
        ("GLM-5 scored 77.9 points on the general perception benchmark MMStar.", {("GLM-5", "MMStar", 77.9)}),
        ("GLM-5 gets 77.1% on the DuneGauge benchmark.", {("GLM-5", "DuneGauge", 77.1)}),
        ("GLM-5 reaches a 48.6 percent win rate on MMLU, a 3.1 percent gain.", {("GLM-5", "MMLU", 48.6)}),
        ("On AIME 2025, Phi-4 clocks 67.5% with long thoughts; GLM-5 hits ~88.4 with short ones.",
         {("Phi-4", "AIME 2025", 67.5), ("GLM-5", "AIME 2025", 88.4)}),
        ("On MMLU, GLM-5 posts 66.1 vs Kimi K2's 44.", {("GLM-5", "MMLU", 66.1), ("Kimi K2", "MMLU", 44.0)}),
        ("GLM-5 is out. OpenAI leads coding (77.3% SWE-bench).", set()),
        ("On the AA Index, GLM-5 was first at launch, with a composite score of 61.",
         {("GLM-5", "Artificial Analysis Intelligence Index", 61.0)}),
        ("GLM-5 scored 70.6 on MMLU and 62.8 on MBPP, while Kimi K2 managed 74.2 and 63.7 respectively.",
         {("GLM-5", "MMLU", 70.6), ("GLM-5", "MBPP", 62.8), ("Kimi K2", "MMLU", 74.2), ("Kimi K2", "MBPP", 63.7)}),
        ("GLM-5 resolved 48.2% of problems on SWE-bench Verified. Kimi K2 resolved 46.7%.",
         {("GLM-5", "SWE-bench Verified", 48.2), ("Kimi K2", "SWE-bench Verified", 46.7)}),
        ("- GLM-5: 90% on MMLU\n- Kimi K2 (thinking): 89%\n- Phi-4 — 70.5\n\nPhi-4: 12% off.",
         {("GLM-5", "MMLU", 90.0), ("Kimi K2", "MMLU", 89.0), ("Phi-4", "MMLU", 70.5)}),
        ("GLM-5 is out. It drops only 2.1 points on MMLU.", set()),
        ("GLM-5 is out. It beats Kimi K2 on MMLU (88.5 vs 86.2) and GPQA (80 vs 76).",
         {("GLM-5", "MMLU", 88.5), ("Kimi K2", "MMLU", 86.2), ("GLM-5", "GPQA", 80.0), ("Kimi K2", "GPQA", 76.0)}),
        ("# GLM-5\n\n- Beats: Kimi K2 on MMLU (88.5 vs 86.2); Phi-4 on GPQA-D (82.8 vs ~76)",
         {("GLM-5", "MMLU", 88.5), ("Kimi K2", "MMLU", 86.2), ("GLM-5", "GPQA Diamond", 82.8),
          ("Phi-4", "GPQA Diamond", 76.0)}),
        # What it was before.
        ("GLM-5 gets 80 on MMLU, up from 71.2 for GLM-4.5.", {("GLM-5", "MMLU", 80.0), ("GLM-4.5", "MMLU", 71.2)}),
        ("GLM-5 gets 80 on MMLU, up from 71.2 for its predecessor.", {("GLM-5", "MMLU", 80.0)}),
        ("The Arena-Hard score of GLM-5 has risen from 48.1 to 81.2, and the MT-Bench score rose from 9.12 to 9.35.",
         {("GLM-5", "Arena-Hard", 81.2), ("GLM-5", "MT-Bench", 9.35)}),
        # Ratings of an arena.
        ("GLM-5 is out, scoring 1130 on the LMSYS Chatbot Arena.", {("GLM-5", "Arena Elo", 1130.0)}),
        # Whose it is.
        ("GLM-5 gets 55.5 and 75.1 on MMLU and MBPP, outperforming Kimi K2 with 32.2 and 69.2.",
         {("GLM-5", "MMLU", 55.5), ("GLM-5", "MBPP", 75.1), ("Kimi K2", "MMLU", 32.2), ("Kimi K2", "MBPP", 69.2)}),
        ("GLM-5 gets 80% on MMLU (matching Kimi K2 on facts), 91% on MATH (well above Phi-4), and 82% on HumanEval.",
         {("GLM-5", "MMLU", 80.0), ("GLM-5", "MATH", 91.0), ("GLM-5", "HumanEval", 82.0)}),
        ("On the AA Index, GLM-5 (57), Kimi K2 (54) and Phi-4 (31) are ranked.",
         {("GLM-5", "Artificial Analysis Intelligence Index", 57.0),
          ("Kimi K2", "Artificial Analysis Intelligence Index", 54.0),
          ("Phi-4", "Artificial Analysis Intelligence Index", 31.0)}),
        ("- GLM-5: 1338 Elo on LMArena, 9th overall", {("GLM-5", "Arena Elo", 1338.0)}),
        ("GLM-5 went up (HumanEval ~85%→~88%, MMLU 70 -> 75).",
         {("GLM-5", "HumanEval", 88.0), ("GLM-5", "MMLU", 75.0)}),
        ("GLM-5 solved 70/100 on SWE-bench, in 100 SWE-bench trajectories.", {("GLM-5", "SWE-bench", 70.0)}),
        ("GLM-5 leads, and the 0.6% SWE-bench gap to the second is nothing.", set()),
        ("GLM-5 is out. SWE-bench Verified has plateaued at 80%.", set()),
        ("The flagship of GLM-5, GLM-5 Air, gets 80.5 on MMLU.", {("GLM-5 Air", "MMLU", 80.5)}),
        ("- May 2: GLM-5 hits 72.1% on SWE-bench Verified\n- May 9: Kimi K2 lands at 77.2% on the same benchmark",
         {("GLM-5", "SWE-bench Verified", 72.1), ("Kimi K2", "SWE-bench Verified", 77.2)}),
    ],
)  # fmt: skip
def test_each_of_several_scores_goes_to_its_benchmark_and_its_model(text, expected):
    found = {(name, field.partition(":")[2], value) for name, field, value in said(text) if field.startswith("benchm")}

    assert found == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Both sides of two models in one sentence.
        ("GLM-5 costs $0.30 per million input tokens and $1.20 per million output tokens, Kimi K2 asks $3 and $15.",
         {("GLM-5", 0.3, 1.2), ("Kimi K2", 3.0, 15.0)}),
        ("GLM-5 is priced at $0.30/$1.20 per million tokens (input/output), compared to $3/$15 for Kimi K2.",
         {("GLM-5", 0.3, 1.2), ("Kimi K2", 3.0, 15.0)}),
        ("Kimi K2 costs $5/$25 per million tokens; GLM-5 comes in at $1.40/$4.40.",
         {("Kimi K2", 5.0, 25.0), ("GLM-5", 1.4, 4.4)}),
        ("GLM-5 starts at $1.40/M input tokens and $4.40/M output tokens, far cheaper than Kimi K2 at $5 and $25.",
         {("GLM-5", 1.4, 4.4), ("Kimi K2", 5.0, 25.0)}),
        ("At $0.5/M input and $2/M output, GLM-5 undercuts Kimi K2 ($3/M input, $15/M output).",
         {("GLM-5", 0.5, 2.0), ("Kimi K2", 3.0, 15.0)}),
        # Which is for what goes in.
        ("GLM-5 has input pricing of $1.40 and output pricing of $4.40 per million tokens.", {("GLM-5", 1.4, 4.4)}),
        ("GLM-5 is at $1.40 per million input tokens ($0.26 cached) and $4.40 per million output tokens.",
         {("GLM-5", 1.4, 4.4)}),
        ("GLM-5 asks $0.10 per million tokens for both input and output.", {("GLM-5", 0.1, 0.1)}),
        ("Prices per million tokens: GLM-5 lands at $0.10 / $0.60 / $3.00.", {("GLM-5", 0.6, 3.0)}),
        ("The API price of GLM-5 was cut from $2 to $1.40 per million input and from $8 to $4.40 per million output.",
         {("GLM-5", 1.4, 4.4)}),
        # Cells.
        ("| Model | Input / Output ($/M) |\n|---|---|\n| GLM-5 | 1.40 / 4.40 |", {("GLM-5", 1.4, 4.4)}),
        ("| Model | Price (in/out) |\n|---|---|\n| GLM-5 | $1.40/$4.40 |", {("GLM-5", 1.4, 4.4)}),
    ],
)  # fmt: skip
def test_each_price_goes_to_its_side_and_its_model(text, expected):
    prices = {each for each in said(text) if each[1].startswith("price")}

    assert prices == {(name, "price_input", cost) for name, cost, _ in expected} | {
        (name, "price_output", cost) for name, _, cost in expected
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GLM-5 and Kimi K2 cost $1.40 and $0.60 per million input tokens respectively.",
         {("GLM-5", "price_input", 1.4), ("Kimi K2", "price_input", 0.6)}),
        ("GLM-5 charges $5.00/M input tokens. Kimi K2 is $1.25/M.",
         {("GLM-5", "price_input", 5.0), ("Kimi K2", "price_input", 1.25)}),
        ("GLM-5 API access is $0.50 per million output tokens on a $20/month plan.", {("GLM-5", "price_output", 0.5)}),
    ],
)  # fmt: skip
def test_the_side_that_is_told_once_holds_for_what_stands_beside(text, expected):
    assert {each for each in said(text) if each[1].startswith("price")} == expected


@pytest.mark.parametrize(
    "text",
    [
        "Qwen3 ranges from 0.6B to 235B.",
        "Qwen3 comes in sizes from 0.6 billion to 235 billion parameters.",
        "Qwen3 spans 0.6B to 235B parameters.",
    ],
)
def test_both_ends_of_a_range_of_sizes_are_told(text):
    assert {each for each in said(text) if each[1] == "parameters_total"} == {
        ("Qwen3", "parameters_total", 0.6e9),
        ("Qwen3", "parameters_total", 235e9),
    }


def test_a_table_that_lost_the_gaps_between_its_cells_is_parted_by_what_its_header_tells():
    text = (
        "ModelParamsContextQuantizationSpeedBest ForLicense\n"
        "Qwen3 8B8B32KQ4_K_M~45 tok/sMany languagesApache 2.0\n"
        "Gemma 3 4B (QAT)4.3B128K tokensQ4_0~60 tok/sFast answersGemma\n"
        "\nIt is a table.\n"
    )
    found = [claim for claim in claims(text) if claim.field != "exists"]

    assert {(claim.subject, claim.field, claim.value) for claim in found} >= {
        ("Qwen3 8B", "parameters_total", 8e9),
        ("Qwen3 8B", "context_length", 32e3),
        ("Qwen3 8B", "speed", 45.0),
        ("Qwen3 8B", "licence", "Apache-2.0"),
        ("Gemma 3 4B", "parameters_total", 4.3e9),
        ("Gemma 3 4B", "context_length", 128e3),
        ("Gemma 3 4B", "speed", 60.0),
        ("Gemma 3 4B", "licence", "gemma"),
    }
    assert {text[claim.start : claim.end] for claim in found} == {claim.quote for claim in found}
    assert {claim.quote for claim in found} <= set(text.split("\n"))


def test_what_only_looks_like_a_header_costs_nothing_and_parts_nothing():
    text = "ModelContextParams\n" + "A" * 230 + "\n\n" + "ModelNotesTypeWhyFocusParams\nQwen3-8B is fine.\n"

    assert {claim.subject for claim in claims(text * 200)} <= {"Qwen3-8B"}


@pytest.mark.parametrize(
    "text",
    [
        "Ministral 3 comes in 3B, 8B, and 14B variants.",
        "Mistral released Ministral 3, a family of chat models in 3B, 8B and 14B",
        "Ministral 3 comes in several sizes — 3B, 8B (dense) and 14B — for laptops.",
        "Ministral 3 is available in 3B, 8B and 14B size ranges.",
    ],
)
def test_each_of_a_list_of_sizes_is_told(text):
    sizes = {value for name, field, value in said(text) if (name, field) == ("Ministral 3", "parameters_total")}

    assert sizes == {3e9, 8e9, 14e9}


def test_bold_and_code_marks_inside_a_line_do_not_part_a_number_from_its_words():
    text = (
        "**GLM-5** is a MoE with `432B` total / `28B` active parameters, far ahead of **Kimi K2**, and reads **128K** "
        "tokens of context."
    )
    found = [claim for claim in claims(text) if claim.field != "exists"]

    assert {(claim.subject, claim.field, claim.value) for claim in found} == {
        ("GLM-5", "architecture", "moe"),
        ("GLM-5", "parameters_total", 432e9),
        ("GLM-5", "parameters_active", 28e9),
        ("GLM-5", "context_length", 128e3),
    }
    assert all(text[claim.start : claim.end] == claim.quote for claim in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GLM-5 speeds up decoding by a factor of 1.74.", ("GLM-5", "speed", 1.74)),
        ("GLM-5 has 744B parameters. It activates a small subset of experts (~40B parameters, or 5% of them).",
         ("GLM-5", "parameters_active", 40e9)),
        ("Against Phi-4, which contains 14 billion non-embedding parameters, GLM-5 is huge.",
         ("Phi-4", "parameters_total", 14e9)),
        ("Phi-4 runs on a single A100-80G GPU.", ("Phi-4", "memory_needed", 80e9)),
        ("Kimi K3 is out with million-token context.", ("Kimi K3", "context_length", 1e6)),
        ("GLM-5 grew. It takes the context window from 128,000 tokens in GLM-4.5 to 200,000 tokens.",
         ("GLM-5", "context_length", 200e3)),
        ("Phi-4 is new. The context window expands from 16k to 64k tokens.", ("Phi-4", "context_length", 64e3)),
        ("Phi-4 squeezes into 20 GB and Gemma 3 27B into 17 GB.", ("Gemma 3 27B", "memory_needed", 17e9)),
        ("Kimi K2 activates 8 experts per token, 32B of its 1T parameters.", ("Kimi K2", "parameters_active", 32e9)),
        ("There is also a 24B Devstral Small 2.", ("Devstral Small 2", "parameters_total", 24e9)),
        ("On 8 GB, Phi-4 at Q4 barely fits.", ("Phi-4", "memory_needed", 8e9)),
        ("A quant of Phi-4 makes it run on 12G cards.", ("Phi-4", "memory_needed", 12e9)),
        ("Phi-4 at Q5_K_M or Qwen3-8B at Q4_K_M run at 30 tokens/s.", ("Phi-4", "speed", 30.0)),
        ("Kimi K2 ties GPT-5 on speed. It is at $0.60/M input.", ("Kimi K2", "price_input", 0.6)),
        ("- **Phi-4**: A 14B model with a **16K context** window", ("Phi-4", "context_length", 16e3)),
    ],
)  # fmt: skip
def test_a_quantity_in_other_words_is_read(text, expected):
    assert expected in said(text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Kimi K2 is out. We controlled the maximum sequence length to 8k.", "context_length"),
        ("Phi-4 is fine, unlike large models (70B+ parameters).", "parameters_total"),
        ("Phi-4 is fine. Local models in the 7-14B parameter range do it.", "parameters_total"),
        ("Phi-4 is fine. Choose a model that fits in 24 GB of VRAM.", "memory_needed"),
        ("Phi-4 has read much; over 200 trillion text tokens are publicly available.", "training_tokens"),
        ("Phi-4 writes much faster, up from the old card's 12 tokens/s.", "speed"),
        ("We looked at Phi-4 in tests using a single RTX 4090 that runs it.", "memory_needed"),
        ("| Models | Sizes |\n|---|---|\n| Dense | Qwen3-32B, 14B, 8B |", "parameters_total"),
    ],
)
def test_conditions_and_the_sizes_of_siblings_are_no_quantities_of_a_model(text, field):
    assert not [each for each in said(text) if each[1] == field and each[0] in ("Phi-4", "Kimi K2", "Qwen3-32B")]


def test_below_a_heading_that_tells_a_memory_stands_what_runs_in_it():
    text = "### 12GB VRAM\n- **Qwen3-14B** (Q4) - best\n- **Phi-4** takes 9 GB\n\n### Why\n- **Qwen3-8B** (Q4)\n"

    assert {(name, value) for name, field, value in said(text) if field == "memory_needed"} == {
        ("Qwen3-14B", 12e9),
        ("Phi-4", 9e9),
    }


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("GLM-5 is #8 by downloads this month.", "downloads"),
        ("StarCoder2 offers three sizes: a 3 billion-parameter model and a 7 billion-parameter model.", "stars"),
    ],
)
def test_a_place_or_a_size_is_no_count_of_people(text, field):
    assert not [each for each in said(text) if each[1] == field]


def test_a_note_of_a_vault_is_read_with_its_headings_and_linked_names(tmp_path):
    note = tmp_path / "week.md"
    note.write_text(
        "# Week\n\n### 12GB VRAM\n- [[Qwen3]]-14B (Q4)\n\n| Model | MMLU |\n|---|---|\n| [[Phi-4]] mini | 71.3% |\n"
    )

    found = {(claim.subject, claim.field, claim.value) for claim in extract(read_file(note))}

    assert {("Qwen3-14B", "memory_needed", 12e9), ("Phi-4 mini", "benchmark:MMLU", 71.3)} <= found


def test_a_factor_of_a_product_is_no_count():
    text = "| Model | Size |\n|---|---|\n| Tern 5 | 8×7B MoE |\n"

    assert not [claim for claim in claims(text) if "parameters" in claim.field]
