"""Of whom something is said, by the headings, lists, brackets and tables that it stands in."""

from __future__ import annotations

import pytest

from .test_extracting import claims, said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # What stands below a heading ends where another of its rank begins, known or not.
        ("## Coders\n\n#### Tern 5 8B\n- Context: 128K\n\n### Making pictures\n- Context: 32K",
         {("Tern 5 8B", "context_length", 128e3)}),
        ("### Tern 5\n- License: MIT\n\n### Odd Pelican Kit\n- License: Apache 2.0",
         {("Tern 5", "licence", "MIT"), ("Odd Pelican Kit", "licence", "Apache-2.0")}),
        ("### Tern 5\nA model.\n\n### Pricing\nLicense: MIT", {("Tern 5", "licence", "MIT")}),
        ("## Tern 5\n\n### License\nMIT\n\n### Context\n\n128K tokens",
         {("Tern 5", "licence", "MIT"), ("Tern 5", "context_length", 128e3)}),
        # Pages without marks: a line that is a name heads an entry, one that tells of a part does not.
        ("Tern 5 vs Heron 2\n\nTern 5\n\nKey Features\n\n- Context Window: 128K\n\nHeron 2\n\nKey Features\n\n"
         "- Context Window: 64K", {("Tern 5", "context_length", 128e3), ("Heron 2", "context_length", 64e3)}),
        # Labels are no names.
        ("- **Tern 5** (Acme)\n    - *Specs*: 675B (MoE)\n    - *Focus*: 256K context",
         {("Tern 5", "architecture", "moe"), ("Tern 5", "parameters_total", 675e9),
          ("Tern 5", "context_length", 256e3)}),
    ],
)  # fmt: skip
def test_a_heading_hands_on_whom_it_names_and_no_further(text, expected):
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- **Tern 4 (Scout/Maverick)** (Acme)\n    - *Specs*: 10M token context (Scout), 400B (Maverick)",
         {("Tern 4 Scout", "context_length", 10e6), ("Tern 4 Maverick", "parameters_total", 400e9)}),
        ("- **Tern 4 (Fjord & Skerry)**\n    - License: MIT (Skerry), Apache 2.0 (Fjord)",
         {("Tern 4 Fjord", "licence", "Apache-2.0"), ("Tern 4 Skerry", "licence", "MIT")}),
        ("### Tern V4 Pro / Flash\n- Parameters: 1.6T (Pro), 284B (Flash)",
         {("Tern V4 Pro", "parameters_total", 1.6e12), ("Tern V4 Flash", "parameters_total", 284e9)}),
        ("### Tern 3.1 / 3.2 (8B)\n- Context: 128K (3.1) / 8K (3.2) tokens",
         {("Tern 3.1", "parameters_total", 8e9), ("Tern 3.2", "parameters_total", 8e9),
          ("Tern 3.1", "context_length", 128e3), ("Tern 3.2", "context_length", 8e3)}),
        ("### Tern 5 and Heron 2\n- License: MIT", {("Tern 5", "licence", "MIT"), ("Heron 2", "licence", "MIT")}),
        ("### Tern 5 and Heron 2\n- Size: 8B", set()),
        ("- **Tern 5 / Heron 2** (Acme)\n  - License: MIT",
         {("Tern 5", "licence", "MIT"), ("Heron 2", "licence", "MIT")}),
        # A size with its active part, alone, is the name that the page has in full.
        ("# Tern3-30B-A3B and Tern3-90B-A9B\n\n30B-A3B = MoE with 30 billion parameters\n\n"
         "90B-A9B: a network with 90 billion parameters, 9 billion of them active.",
         {("Tern3-30B-A3B", "architecture", "moe"), ("Tern3-30B-A3B", "parameters_total", 30e9),
          ("Tern3-90B-A9B", "parameters_total", 90e9), ("Tern3-90B-A9B", "parameters_active", 9e9)}),
    ],
)  # fmt: skip
def test_variants_that_a_heading_names_get_each_its_own(text, expected):
    assert said(text) == expected


def test_a_variant_that_only_a_list_names_exists():
    named = {claim.subject for claim in claims("- **Qwen 4 (Scout/Maverick)** (Acme)") if claim.field == "exists"}

    assert named == {"Qwen 4", "Qwen 4 Scout", "Qwen 4 Maverick"}


@pytest.mark.parametrize("bracket", ["Alibaba", "Microsoft", "Meta, April 2025", "Google, Meta"])
def test_a_maker_in_a_bracket_is_no_variant(bracket):
    named = {claim.subject for claim in claims(f"### Tern 2.5 ({bracket})\nAn open model.") if claim.field == "exists"}

    assert named == {"Tern 2.5"}


def test_a_row_with_another_name_in_a_bracket_is_of_one():
    text = "| Model | Params | MMLU |\n|---|---|---|\n| Mistral 24B (Small 3) | 24B | 81.0 |\n"

    assert said(text) == {("Mistral 24B", "parameters_total", 24e9), ("Mistral 24B", "benchmark:MMLU", 81.0)}


ROWS = """| Kind | Parameter scale | Context | Licence |
|---|---|---|---|
| MoE | Tern3-90B-A9B (90B total, 9B active)<br>Tern3-30B-A3B (30B total, 3B active) | 128K | MIT |
| Dense | Tern3-32B, 14B, 4B | 32K (1B-4B)<br>64K (8B+) | Apache 2.0 |
"""


def test_a_row_of_several_sizes_gives_each_its_own():
    found = said(ROWS)

    told = {(name.replace(" ", "-"), value) for name, field, value in found if field == "parameters_total"}
    assert told == {("Tern3-90B-A9B", 90e9), ("Tern3-30B-A3B", 30e9), ("Tern3-32B", 32e9), ("Tern3-14B", 14e9),
                    ("Tern3-4B", 4e9)}  # fmt: skip
    contexts = {(name.replace(" ", "-"), value) for name, field, value in found if field == "context_length"}
    assert contexts == {("Tern3-90B-A9B", 128e3), ("Tern3-30B-A3B", 128e3), ("Tern3-32B", 64e3), ("Tern3-14B", 64e3),
                        ("Tern3-4B", 32e3)}  # fmt: skip
    assert {name for name, field, value in found if value == "MIT"} == {"Tern3-90B-A9B", "Tern3-30B-A3B"}


def test_a_column_may_be_of_one_version():
    text = "| Model | Params (3.1) | Params (3.2) |\n|---|---|---|\n| Llama | 8B / 70B | 1B / 3B |\n"

    assert said(text) == {
        ("Llama 3.1", "parameters_total", 8e9),
        ("Llama 3.1", "parameters_total", 70e9),
        ("Llama 3.2", "parameters_total", 1e9),
        ("Llama 3.2", "parameters_total", 3e9),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Words that tell of another first.
        ("Tern 3 is here. Building on the success of Tern 2, these models boast a 128K context.",
         ("Tern 3", "context_length", 128e3)),
        ("Tern 5 is here. Improving upon Tern 4, it has 70B parameters.", ("Tern 5", "parameters_total", 70e9)),
        ("Tern 5 is here. In the footsteps of Tern 4, the model has 70B parameters.",
         ("Tern 5", "parameters_total", 70e9)),
        ("Unlike Tern 4, Heron 2 has 9B parameters.", ("Heron 2", "parameters_total", 9e9)),
        ("Unlike Tern 4, Gull 3 and Kestrel 2, Heron 2 has 9B parameters.", ("Heron 2", "parameters_total", 9e9)),
        ("Tern 5, which builds on Heron 2, has 12B parameters.", ("Tern 5", "parameters_total", 12e9)),
        ("The Tern 5 model beats Heron 2, which has a context window of 32K tokens.",
         ("Heron 2", "context_length", 32e3)),
        ("The Tern 5 model is cheaper than the 7B of Heron 2, and has a context of 64K tokens.",
         ("Tern 5", "context_length", 64e3)),
        # Who makes models is none.
        ("GLM-5 is strong. Anthropic holds the lead on SWE-bench with 80.8%.", None),
        ("GLM-5 is strong. Anthropic's score on SWE-bench is 80.8%.", None),
        ("GLM-5 is strong. Meta charges $3 per million input tokens.", None),
        ("GLM-5 is out. Google says the model scores 80% on MMLU.", ("GLM-5", "benchmark:MMLU", 80.0)),
        ("GLM-5 has 744B parameters. The predecessor had 355B parameters.", ("GLM-5", "parameters_total", 744e9)),
    ],
)  # fmt: skip
def test_what_a_sentence_compares_with_is_not_whom_it_is_about(text, expected):
    found = {each for each in said(text) if each[1] not in ("status", "openness")}

    assert found == ({expected} if expected else set())


def test_a_table_with_a_column_of_models_is_about_these():
    text = """| # | Model | Params | Notes |
|---|---|---|---|
| 1 | Tern3-8B | 8.2B | rivals Heron 2 |
| 2 | Odd Pelican | 7B | see Tern3-8B |
|   | Gull 4 | 9B | |
|   |        | 14B | |
"""

    found = {(name, value) for name, field, value in said(text) if field == "parameters_total"}

    assert found >= {("Tern3-8B", 8.2e9), ("Gull 4", 9e9), ("Gull 4", 14e9)}
    assert ("Tern3-8B", 7e9) not in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. Qwen3-8B\n   8.2B parameters, Apache 2.0\n2. Gemma 3 12B\n   12.2B parameters, MIT license",
         {("Qwen3-8B", "parameters_total", 8.2e9), ("Qwen3-8B", "licence", "Apache-2.0"),
          ("Gemma 3 12B", "parameters_total", 12.2e9), ("Gemma 3 12B", "licence", "MIT")}),
        ("## GLM-5\n\nThe model comes in two:\n\n- GLM-5-Air, for laptops\n- GLM-5-Max\n\nIt is under the MIT license.",
         {("GLM-5", "licence", "MIT")}),
        ("Acme shipped Qwen3 Max. Its smaller sibling, Flash, has a context window of 64K tokens.",
         {("Qwen3 Flash", "context_length", 64e3)}),
        ("GLM-5 is out. At one-sixth of DeepSeek V3.2's price it has 744B parameters.",
         {("GLM-5", "parameters_total", 744e9)}),
        ("GLM-5 is under MIT. This contrasts with Meta's Llama license.", {("GLM-5", "licence", "MIT")}),
        ("| Spec | Value |\n|---|---|\n| Model | Qwen3-8B |\n| License | MIT |\n", {("Qwen3-8B", "licence", "MIT")}),
        ("| Family | Variant | Context |\n|---|---|---|\n| Gemma 3 | 1B | 32K |\n| | 27B | 128K |\n",
         {("Gemma 3 1B", "context_length", 32e3), ("Gemma 3 27B", "context_length", 128e3),
          ("Gemma 3", "parameters_total", 1e9), ("Gemma 3", "parameters_total", 27e9)}),
    ],
)  # fmt: skip
def test_entries_lists_and_columns_of_variants_keep_to_their_own(text, expected):
    told = {each for each in said(text) if each[1] in ("parameters_total", "licence", "context_length")}

    assert told == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The 8B variant of Llama 3.1 needs 16 GB of VRAM, while the 70B variant needs 48 GB.",
         {("Llama 3.1 8B", 16e9), ("Llama 3.1 70B", 48e9)}),
        ("Llama 3.1 8B fits in 8 GB, and 70B needs 40 GB of VRAM.", {("Llama 3.1 8B", 8e9), ("Llama 3.1 70B", 40e9)}),
        ("GLM-5-Air and GLM-5-Max are out. The former needs 64 GB of VRAM, the latter needs 640 GB.",
         {("GLM-5-Air", 64e9), ("GLM-5-Max", 640e9)}),
        ("GLM-5-Air is smaller than GLM-5-Max, and the latter needs 640 GB of VRAM.", {("GLM-5-Max", 640e9)}),
    ],
)  # fmt: skip
def test_sizes_and_pronouns_of_two_mean_their_own(text, expected):
    assert {(name, value) for name, field, value in said(text) if field == "memory_needed"} == expected


def test_a_section_on_what_a_model_can_do_is_no_model_and_an_old_length_is_nobodys():
    text = (
        "## GLM-4.6\n\n- 200K context (up from 128K)\n\n### GLM-4.6 Capabilities\n\n- MMLU-Pro: 80.1%\n\n"
        "### Unified Model Benefits\n\nFewer steps.\n"
    )

    assert said(text) == {("GLM-4.6", "context_length", 200e3), ("GLM-4.6", "benchmark:MMLU-Pro", 80.1)}
    assert {claim.subject for claim in claims(text)} == {"GLM-4.6"}
