"""Of whom something is said, by the headings, lists, brackets and tables that it stands in."""

from __future__ import annotations

import pytest

from .test_extracting import claims, said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # What stands below a heading ends where another of its rank begins, known or not.
        ("## Coders\n\n#### Tern 5 8B\n- Context: 128K\n\n### Pictures\n- Context: 32K",
         {("Tern 5 8B", "context_length", 128e3)}),
        ("### Tern 5\n- License: MIT\n\n### Odd Corner Kit\n- License: Apache 2.0", {("Tern 5", "licence", "MIT")}),
        ("### Tern 5\nA model.\n\n### Pricing\nLicense: MIT", {("Tern 5", "licence", "MIT")}),
        ("## Tern 5\n\n### License\nMIT\n\n### Context\n\n128K tokens",
         {("Tern 5", "licence", "MIT"), ("Tern 5", "context_length", 128e3)}),
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
        ("- **Tern 5 / Heron 2** (Acme)\n  - License: MIT", {("Tern 5", "licence", "MIT"), ("Heron 2", "licence", "MIT")}),
    ],
)  # fmt: skip
def test_variants_that_a_heading_names_get_each_its_own(text, expected):
    assert said(text) == expected


def test_a_variant_that_only_a_list_names_exists():
    named = {claim.subject for claim in claims("- **Tern 4 (Scout/Maverick)** (Acme)") if claim.field == "exists"}

    assert named == {"Tern 4", "Tern 4 Scout", "Tern 4 Maverick"}


@pytest.mark.parametrize("bracket", ["Alibaba", "Microsoft", "Meta, April 2025", "Google, Meta"])
def test_a_maker_in_a_bracket_is_no_variant(bracket):
    named = {claim.subject for claim in claims(f"### Tern 2.5 ({bracket})\nAn open model.") if claim.field == "exists"}

    assert named == {"Tern 2.5"}


def test_a_row_with_another_name_in_a_bracket_is_of_one():
    text = "| Model | Params | MMLU |\n|---|---|---|\n| Mistral 24B (Small 3) | 24B | 81.0 |\n"

    assert said(text) == {("Mistral 24B", "parameters_total", 24e9), ("Mistral 24B", "benchmark:MMLU", 81.0)}
