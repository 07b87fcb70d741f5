"""Which names on a page are models', how open they are said to be, and which dates beside them are their releases'."""

from __future__ import annotations

import pytest

from weighbridge.digest import Page, extract


def said(text: str, published: str | None = "2026-04-19") -> set[tuple[str, str, object]]:
    return {(each.subject, each.field, each.value) for each in extract(Page("page.md", text, "", published))}


def exist(text: str) -> set[str]:
    return {subject for subject, field, _ in said(text) if field == "exists"}


@pytest.mark.parametrize(
    ("text", "name", "openness"),
    [
        ("Tern 4 is the second generation of fully open language models.", "Tern 4", "open-weights"),
        ("Tern 4 is our most capable open-source foundation model.", "Tern 4", "open-source"),
        ("Tern 4 was one of the first open-weight models that could plan.", "Tern 4", "open-weights"),
        ("Tern 4 is a family of open LLMs for code.", "Tern 4", "open-weights"),
        ("- Tern 4 — first open-source model with a working memory", "Tern 4", "open-source"),
        ("The model is called Tern 4. It's open source.", "Tern 4", "open-source"),
        ("Tern 4 scores 61, placing it among the top open-weight coding models.", "Tern 4", "open-weights"),
        ("Acme posted the Tern 4 weights on Hugging Face.", "Tern 4", "open-weights"),
        ("Acme launches Tern 4: a small open model for phones, twice as fast as Heron 2", "Tern 4", "open-weights"),
        ("# Tern 4\n\nIts weights are published on Hugging Face.", "Tern 4", "open-weights"),
    ],
)
def test_how_open_a_model_is_said_to_be(text, name, openness):
    assert (name, "openness", openness) in said(text)


@pytest.mark.parametrize(
    "text",
    [
        "Tern 4 beats most open-source models.",
        "Tern 4 will release its weights in May.",
        "Tern 4: no weights have been published.",
        "Tern 4 raised doubts about Acme's open-weight commitments.",
        "Tern 4 is popular in the open-source community.",
        "Tern 4 comes with an open-source CLI.",
    ],
)
def test_openness_of_others_is_not_the_models(text):
    assert not [each for each in said(text) if each[1] == "openness"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Acme unveiled Zamba, its first open-source model, last week.", {"Zamba"}),
        ("OpenAI just shipped GPT-5.4 nano this week.", {"GPT-5.4 nano"}),
        ("It stands toe to toe with o1 and o3-mini.", {"o1", "o3-mini"}),
        ("It scores 80 on LiveCodeBench v6, ahead of DeepSeek V4.", {"DeepSeek V4"}),
        ("Techniques like EAGLE-2 and MTP-3 are in every runtime by now.", set()),
        ("Two models were released today by a small team.", set()),
        ("A post on the model that Snowdrift released on Monday.", set()),
        ("## Qwen 2.5 (Alibaba)\n\nA text on training.", {"Qwen 2.5"}),
        ("The post-Llama 2 era is one of sub-40B models.", set()),
        ("| Model | Note |\n|---|---|\n| [[Qwen]] 2.5 Coder 7B | fast |", {"Qwen 2.5 Coder 7B"}),
        ("Llama 4 (Scout/Maverick) is open.", {"Llama 4", "Llama 4 Scout", "Llama 4 Maverick"}),
        (
            "NVIDIA shows Nemotron 3. The family has three tiers: Nano, Super, and Ultra.",
            {"Nemotron 3", "Nemotron 3 Nano", "Nemotron 3 Super", "Nemotron 3 Ultra"},
        ),
        ("Gemini 3 Deep thinks. With Gemini 3 Deep the model goes deep. So does Gemini 3 Deep.", {"Gemini 3 Deep"}),
        ("Claude Sorrel leads, and Claude Sorrel is a closed model.", {"Claude Sorrel"}),
        ("Code Llama 70B and OpenAI O1 are models of 2024.", {"Code Llama 70B", "O1"}),
        ("The hub lists the models of sorrel-ai and Qwen-ai.", set()),
        ("Sorrel (long for something) is a vision LM that draws.", {"Sorrel"}),
        ("Currently, an open model is enough. Below is a summary of the models.", set()),
        ("tern.ocr by acme: small.\n\nstep-x by corp: big.\n\nheron2 by inc: fast.", {"tern.ocr", "step-x", "heron2"}),
        ("Acme released HelpData3, a new dataset, and the benchmark Trial 2 for its models.", set()),
        ("Acme released Sorrel-medium, 32.8B LLMs for mathematics.", {"Sorrel-medium"}),
        ("Acme released TinySorrel, a sota 256M document parser.", {"TinySorrel"}),
        ("Muse Sorrel-30B is a model by Meta.", {"Muse Sorrel-30B"}),
        ("Set the model to ollama:gemma4:12b and ask it, as Gemma 4 12B.", {"gemma4:12b"}),
        ("The models passed SOC 2 and scored on Agentic Index 16 and FrontierCode 1.1.", set()),
        ("A preview of the model is live in Mistral Studio.", set()),
        ("Acme shows Claude Sorrel Agents, a product. Claude Sorrel Agents run models.", set()),
        ("ChatGPT Voice and the Qwen-Agent framework are new.", set()),
        ("While Mixtral and Grok-1 route to two experts, more can be better. Mixtral is older.", {"Mixtral", "Grok-1"}),
    ],
)
def test_which_names_are_models(text, names):
    assert exist(text) == names


def test_a_heading_among_headings_of_models_is_a_models():
    text = (
        "# Releases\n\n### OLMo\n- Developer: AI2\n\n### Qwen-7B\n- A model by Alibaba.\n\n"
        "### Sorrel\n- A bilingual LLM.\n\n### OpenAI\n- A company."
    )

    assert {"OLMo", "Qwen-7B", "Sorrel"} <= exist(text)
    assert "OpenAI" not in exist(text)


def test_a_name_of_a_column_of_models_is_one_on_all_the_page():
    table = "| Model | Total |\n|---|---|\n| Sorrel (TM) | 975B |\n| GLM-5 | 744B |\n\n"
    text = table + "Sorrel costs $1.87 per million input tokens."

    assert {("Sorrel", "parameters_total", 975e9), ("Sorrel", "price_input", 1.87)} <= said(text)


def test_a_cell_in_a_column_of_models_is_a_models():
    text = (
        "| Use | Best Model | Size |\n|---|---|---|\n| Chat | Llama 3.1 8B | 5GB |\n| Search | Sorrel Embed | 1GB |\n"
    )

    assert exist(text) == {"Llama 3.1 8B", "Sorrel Embed"}


@pytest.mark.parametrize(
    ("text", "name", "date"),
    [
        (
            "Two models launched this month: Tern 4 (Acme, April 2), Heron 2 (Initech, April 7).",
            "Heron 2",
            "2026-04-07",
        ),
        ("- Tern-30B (30B dense, Apache 2.0, 2025-08-10)", "Tern-30B", "2025-08-10"),
        ("Acme shipped models earlier this year: Tern 4 in February and Heron 2 in April.", "Heron 2", "2026-04"),
        ("**Tern 4** (November 6, 2025) is a model from Acme.", "Tern 4", "2025-11-06"),
        ("- **Nov 24**: Tern 4 launches", "Tern 4", "2025-11-24"),
        ("- **Jul 2025**: Tern 4 — Acme's first agentic model", "Tern 4", "2025-07"),
        ("**Release:** March 2024 (Tern 3), October 2024 (Tern 3.1)", "Tern 3.1", "2024-10"),
        (
            "On 24 April 2024, Acme Research — the laboratory of the well-known maker of warehouses for data — "
            "releases "
            "Tern 4.",
            "Tern 4",
            "2024-04-24",
        ),
    ],
)
def test_dates_beside_names_are_release_dates(text, name, date):
    assert (name, "release_date", date) in said(text)


@pytest.mark.parametrize(
    "text",
    [
        "Tern 4 (updated April 2026) is fast.",
        "- 2026-03-21 — Tern 4 and its ecosystem",
        "- Apr 22: Tern 4 hits 100k downloads",
    ],
)
def test_dates_of_other_things_are_no_release_dates(text):
    assert not [each for each in said(text) if each[1] == "release_date"]


def test_a_program_by_a_formats_name_is_no_format():
    assert not [each for each in said("Tern 4 runs in llama.cpp and MLX.") if each[1] == "file_formats"]
    assert ("Tern 4", "file_formats", "mlx") in said("MLX builds of Tern 4, a model for phones, are available.")


def test_a_line_of_dashes_below_a_row_is_read_at_once():
    page = Page("page.md", f"a | Model\n{'-' * 4000}x\n\nQwen3-8B | has 8B\n{'- -' * 2000}|x\n")

    assert {claim.subject for claim in extract(page)} >= {"Qwen3-8B"}


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("Tern 4 is out. A 744B model with a long memory.", ("Tern 4", "parameters_total", 744e9)),
        ("Tern 4 from Acme is early. A sparse MoE model, one of the first.", ("Tern 4", "architecture", "moe")),
        ("| Model | Apache 2.0 |\n|---|---|\n| Tern 4 model | Yes |\n", ("Tern 4", "licence", "Apache-2.0")),
        ("The Tern 4 model handles vision, video and text.", ("Tern 4", "modality", "multimodal")),
        ("Tern 4 is an any-to-any model.", ("Tern 4", "modality", "multimodal")),
        ("Tern 4 is a vision reasoning model.", ("Tern 4", "modality", "vision-language")),
        ("Tern 4 is a music generation model.", ("Tern 4", "modality", "audio")),
        ("Tern 4 released based on Heron 2, a model.", ("Tern 4", "status", "released")),
        ("The release of the open-weight Tern 4 model is news.", ("Tern 4", "status", "released")),
        ("The Tern 4 model processes text, images and video.", ("Tern 4", "modality", "vision-language")),
        (
            "On May 2, 2025, Acme released its latest generation of large language models, Tern 4.",
            ("Tern 4", "release_date", "2025-05-02"),
        ),
        ("The Tern 4 family was announced on May 2, 2025.", ("Tern 4", "release_date", "2025-05-02")),
        ("## Tern 4\n\nIt wins (they compare to Qwen3-8B). The license is MIT License.", ("Tern 4", "licence", "MIT")),
    ],
)
def test_what_is_said_goes_to_the_model_that_is_meant(text, claim):
    assert claim in said(text)


@pytest.mark.parametrize(
    "text",
    [
        "Tern 4 is out. A 30-person laboratory team trained a 400B model for little.",
        "The Tern 4 8B model matches the prior 32B MoE.",
    ],
)
def test_sizes_of_strangers_are_not_the_models(text):
    assert not {value for _, field, value in said(text) if field == "parameters_total"} & {400e9, 32e9}


@pytest.mark.parametrize(
    "text",
    [
        "The release also closes the loop on last year's Tern 4 model.",
        "Community releases like Tern 4 became a race of models.",
        "The first open model competitive with Tern 4 at launch.",
        "Tern 4 (30B) introduced a technique that other models use.",
        "Releases from this bucket compete with the Tern 4 model.",
        "The Tern 4 paper and the dataset of the Tern 4 model have not been released.",
    ],
)
def test_a_noun_or_a_paper_tells_no_release(text):
    assert not [each for each in said(text) if each[1] in ("status", "release_date")]
