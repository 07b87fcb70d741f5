"""Scores, prices, sizes and speeds, as people tell several of them at once."""

from __future__ import annotations

import pytest

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
        # What it was before.
        ("GLM-5 gets 80 on MMLU, up from 71.2 for GLM-4.5.", {("GLM-5", "MMLU", 80.0), ("GLM-4.5", "MMLU", 71.2)}),
        ("GLM-5 gets 80 on MMLU, up from 71.2 for its predecessor.", {("GLM-5", "MMLU", 80.0)}),
        # Whose it is.
        ("GLM-5 gets 80% on MMLU (matching Kimi K2 on facts), 91% on MATH (well above Phi-4), and 82% on HumanEval.",
         {("GLM-5", "MMLU", 80.0), ("GLM-5", "MATH", 91.0), ("GLM-5", "HumanEval", 82.0)}),
        ("The flagship of GLM-5, GLM-5 Air, gets 80.5 on MMLU.", {("GLM-5 Air", "MMLU", 80.5)}),
        ("- May 2: GLM-5 hits 72.1% on SWE-bench Verified\n- May 9: Kimi K2 lands at 77.2% on the same benchmark",
         {("GLM-5", "SWE-bench Verified", 72.1), ("Kimi K2", "SWE-bench Verified", 77.2)}),
    ],
)  # fmt: skip
def test_each_of_several_scores_goes_to_its_benchmark_and_its_model(text, expected):
    found = {(name, field.partition(":")[2], value) for name, field, value in said(text) if field.startswith("benchm")}

    assert found == expected


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
