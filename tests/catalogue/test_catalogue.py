"""What ships with the package: complete, sourced, consistent, and quick to open."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.catalogue.test_quantizations import read_truth
from tests.conftest import SHARED
from tests.growth import costs_at_most
from weighbridge.catalogue import RECIPES, Catalogue, Evidence, Known, Variant, load, resolve
from weighbridge.catalogue.build.__main__ import build, places
from weighbridge.catalogue.catalogue import SHIPPED
from weighbridge.catalogue.data import Reader, Writer
from weighbridge.catalogue.shaping import facts_of_config
from weighbridge.figures import Basis


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def known_values(variant: Variant) -> list[Known[object]]:
    fields = (variant.parameters, variant.active_parameters, variant.context_length, variant.modalities,
              variant.licence, variant.released, variant.downloads, variant.likes)  # fmt: skip
    return [field for field in fields if field is not None]


def test_it_holds_the_models_of_today(catalogue: Catalogue) -> None:
    assert len(catalogue) >= 300
    assert len({variant.repository for variant in catalogue}) == len(catalogue)
    assert sum(variant.shape is not None for variant in catalogue) >= 380
    assert sum(bool(variant.shape and variant.shape.quantizations) for variant in catalogue) >= 370
    assert {"Qwen", "Llama", "Gemma", "Mistral", "DeepSeek", "GLM", "gpt-oss"} <= {
        each.name for each in catalogue.families
    }


def test_every_value_has_a_source_and_a_day(catalogue: Catalogue) -> None:
    for variant in catalogue:
        told = [*known_values(variant), *variant.repositories, *variant.evidence]
        if variant.shape:
            told.append(variant.shape)
        assert variant.parameters
        for each in told:
            assert each.source, (variant.name, each)
            assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", each.date), (variant.name, each)
        assert all(tag.sources for tag in variant.tags)


def test_shapes_agree_with_themselves(catalogue: Catalogue) -> None:
    for variant in catalogue:
        shape = variant.shape
        if shape is None:
            continue
        assert sum(row.parameters for row in shape.weights) == shape.parameters, variant.name
        assert shape.block_count == len(shape.flat_layers) > 0
        assert variant.parameters
        assert variant.parameters.value == shape.parameters
        if shape.active_parameters is not None:
            assert sum(row.active_parameters for row in shape.weights) == pytest.approx(
                shape.active_parameters, abs=200
            )
        if shape.head_count_kv and shape.head_count:
            assert shape.head_count % shape.head_count_kv == 0, variant.name
        if shape.network:
            assert set(RECIPES) <= set(shape.quantizations)
            size = shape.quantizations["BF16"].weights_bytes
            text = sum(row.parameters for row in shape.weights if row.role not in ("vision", "audio"))
            assert 1.99 * text < size < 2.1 * text * (1.3 if shape.stores_output else 1), variant.name


def test_a_shape_is_what_the_facts_of_its_config_say(catalogue: Catalogue) -> None:
    path = SHARED / "data/configs/inference-sim/qwen3-30b-a3b__config.json"
    if not path.exists():
        pytest.skip("the reference data is not here")
    facts = facts_of_config(json.loads(path.read_text()), "qwen3-30b-a3b")
    shape = catalogue.resolve("qwen3-30b-a3b").shape

    assert shape
    assert shape.flat_layers == facts.layers
    assert (shape.parameters, shape.active_parameters) == (facts.parameters.total, facts.parameters.active)
    assert (shape.head_count_kv, shape.key_length, shape.value_length) == (4, 128, 128)
    assert shape.cache_bytes(4096) == facts.cache_bytes(4096) == 4096 * 48 * 2 * 512 * 2
    assert shape.basis is Basis.COMPUTED


def test_a_copy_of_the_output_that_files_hold_is_weighed(catalogue: Catalogue) -> None:
    shape = catalogue.resolve("Qwen/Qwen3-0.6B").shape
    assert shape
    assert shape.tied_embeddings
    assert shape.stores_output
    # llama.cpp's tests record the tensors of a published file of it, and the copy is among them.
    assert "output.weight" in read_truth("snapshots.json.gz")["qwen3-0.6b"]["Q4_0"]["others"]
    q8 = shape.quantizations["Q8_0"]
    assert q8.output_bytes == q8.embedding_bytes == 151_936 * 1024 * 34 // 32
    assert q8.weights_bytes == pytest.approx((shape.parameters + 151_936 * 1024) * 34 / 32, rel=0.001)


def test_cross_checked_slips_of_unit_are_noted(catalogue: Catalogue) -> None:
    [note] = catalogue.resolve("deepseek-ai/DeepSeek-V4-Pro").notes
    assert "1.6" in note
    assert "1.57T" in note


def test_quality_names_who_measured(catalogue: Catalogue) -> None:
    found = [each for variant in catalogue for each in variant.evidence]
    assert len(found) >= 10
    for each in found:
        assert isinstance(each, Evidence)
        assert each.by
        assert each.samples
        assert 0 < each.value < 1


def test_families_hold_each_variant_once(catalogue: Catalogue) -> None:
    held = [
        variant.repository
        for family in catalogue.families
        for release in family.releases
        for variant in release.variants
    ]
    assert sorted(held) == sorted(variant.repository for variant in catalogue)


def test_it_is_small_and_opens_quickly() -> None:
    assert SHIPPED.stat().st_size < 1_500_000
    text = SHIPPED.read_text(encoding="utf-8")

    def all_of_it() -> None:
        reader = Reader(text)
        for number in range(len(reader.entries)):
            reader.variant(number)

    # 8 and 30 ms on an idle core; others may share this one.
    costs_at_most(0.05, lambda: Reader(text))
    costs_at_most(0.2, all_of_it)


def test_what_is_written_is_read_again(catalogue: Catalogue) -> None:
    writer = Writer(catalogue.date)
    for variant in catalogue:
        writer.add(variant)
    text = writer.text()

    reader = Reader(text)
    assert text == SHIPPED.read_text(encoding="utf-8")
    assert [reader.variant(number) for number in range(len(catalogue))] == list(catalogue)


def test_a_newer_file_of_the_users_is_preferred_and_a_damaged_one_left_aside(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    own = tmp_path / "models.jsonl"
    assert load(tmp_path) is load()

    own.write_text(re.sub(r'"date":"[^"]+"', '"date":"2099-01-01"', text, count=1), encoding="utf-8")
    assert load(tmp_path).path == own
    assert resolve("qwen3-8b", tmp_path).name == "Qwen3-8B"

    own.write_text(re.sub(r'"date":"[^"]+"', '"date":"2001-01-01"', text, count=1), encoding="utf-8")
    assert load(tmp_path).path == SHIPPED

    broken_shape = text.replace('"layers":[[', '"layers":[[[', 1)
    for damage in ("", "{}", text[: len(text) // 2], '{"format":99}', "\0\1\2", broken_shape):
        own.write_text(damage, encoding="utf-8")
        found = load(tmp_path)
        assert found.path == SHIPPED
        assert str(own) in found.notes[0]
        assert found.resolve("qwen3-8b").name == "Qwen3-8B"


def test_no_repository_is_listed_twice() -> None:
    listed = [place.repository.lower() for place in places()]
    assert len(listed) == len(set(listed))


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the reference data is not here, so the data file cannot be built again"
)
def test_the_shipped_file_is_what_the_build_makes(tmp_path: Path) -> None:
    assert build(SHARED / "data") == SHIPPED.read_text(encoding="utf-8")


def test_the_build_says_how_it_is_called() -> None:
    called = subprocess.run(
        [sys.executable, "-m", "weighbridge.catalogue.build"], capture_output=True, text=True, check=False
    )
    assert called.returncode == 1
    assert "DATA_FOLDER" in called.stderr
