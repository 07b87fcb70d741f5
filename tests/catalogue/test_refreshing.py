"""Reading what is known anew, from a hub over real sockets."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.facts.hub_server import Fault, Hub, running_hub
from tests.safetensors_files import header
from weighbridge.catalogue import load, refresh
from weighbridge.catalogue.catalogue import FILE_NAME, SHIPPED
from weighbridge.catalogue.data import Reader, Writer
from weighbridge.catalogue.refreshing import PROGRESS
from weighbridge.facts import HubAccess
from weighbridge.facts.shelves.access import Patience
from weighbridge.figures import Basis

DAY = datetime.date(2099, 1, 2)
NAMES = ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen3-0.6B", "HuggingFaceTB/SmolLM2-135M", "openai/gpt-oss-20b")
CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 300, "tie_word_embeddings": False,
    "max_position_embeddings": 777, "torch_dtype": "bfloat16",
}  # fmt: skip


def checkpoint() -> dict[str, bytes]:
    """A small Llama as a hub holds it: true headers, and weights that are holes."""
    shapes = {"model.embed_tokens.weight": (300, 64), "lm_head.weight": (300, 64), "model.norm.weight": (64,)}
    for layer in range(3):
        name = f"model.layers.{layer}"
        shapes |= {
            f"{name}.self_attn.q_proj.weight": (64, 64), f"{name}.self_attn.k_proj.weight": (32, 64),
            f"{name}.self_attn.v_proj.weight": (32, 64), f"{name}.self_attn.o_proj.weight": (64, 64),
            f"{name}.mlp.gate_proj.weight": (128, 64), f"{name}.mlp.up_proj.weight": (128, 64),
            f"{name}.mlp.down_proj.weight": (64, 128), f"{name}.input_layernorm.weight": (64,),
            f"{name}.post_attention_layernorm.weight": (64,),
        }  # fmt: skip
    first, size = header({name: ("BF16", shape) for name, shape in shapes.items()})
    card = b"---\nlicense: mit\n---\n"
    return {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": first + bytes(size), "README.md": card}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with a catalogue of four models."""
    old = load()
    writer = Writer("2098-01-01")
    for name in NAMES:
        writer.add(old.resolve(name))
    (tmp_path / FILE_NAME).write_text(writer.text(), encoding="utf-8")
    return tmp_path


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub({name: checkpoint() for name in NAMES[:3]}) as running:
        yield running


def access(hub: Hub, tmp_path: Path) -> HubAccess:
    return HubAccess(endpoint=hub.url, cache=tmp_path / "none", patience=Patience(retries=0, read_seconds=30))


def test_what_the_files_say_takes_the_place_of_what_was_known(hub: Hub, folder: Path) -> None:
    before = load(folder).resolve("openai/gpt-oss-20b")
    done = refresh(access(hub, folder), folder, today=DAY)
    now = load(folder)
    renewed = now.resolve("Qwen/Qwen3-0.6B")

    assert now.date == "2099-01-02"
    assert (done.path, done.read, done.left) == (folder / FILE_NAME, 3, 0)
    assert renewed.shape
    assert renewed.shape.block_count == 3
    assert renewed.shape.basis is Basis.READ
    assert renewed.shape.quantizations["Q8_0"].weights_bytes > 0
    assert renewed.parameters
    assert (renewed.parameters.value, renewed.parameters.basis) == (renewed.shape.parameters, Basis.READ)
    assert renewed.context_length
    assert (renewed.context_length.value, renewed.context_length.date) == (777, "2099-01-02")
    assert renewed.licence
    assert renewed.licence.value == "mit"
    assert renewed.downloads == load().resolve("Qwen/Qwen3-0.6B").downloads
    # The one that the hub does not have is told, and nothing of it is lost.
    assert [refusal.repository for refusal in done.refused] == ["openai/gpt-oss-20b"]
    assert done.refused[0].hint
    assert now.resolve("openai/gpt-oss-20b") == before
    assert not (folder / PROGRESS).exists()


def test_a_bounded_run_is_gone_on_with(hub: Hub, folder: Path) -> None:
    first = refresh(access(hub, folder), folder, most=1, today=DAY)
    asked = len(hub.asked)
    assert (first.read, first.left) == (1, 3)
    assert (folder / PROGRESS).exists()

    second = refresh(access(hub, folder), folder, most=2, today=DAY)
    assert (second.read, second.left) == (3, 1)
    assert all("Qwen2.5-0.5B" not in each.path for each in hub.asked[asked:])

    third = refresh(access(hub, folder), folder, today=DAY)
    assert (third.read, third.left, len(third.refused)) == (3, 0, 1)
    assert len(load(folder)) == len(NAMES)


def test_an_answer_that_was_half_written_is_asked_for_again(hub: Hub, folder: Path) -> None:
    refresh(access(hub, folder), folder, most=2, today=DAY)
    progress = folder / PROGRESS
    kept = progress.read_text(encoding="utf-8")
    progress.write_text(kept[: -len(kept) // 4], encoding="utf-8")

    done = refresh(access(hub, folder), folder, today=DAY)

    assert done.read == 3
    assert load(folder).resolve("Qwen/Qwen3-0.6B").shape


@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(status=401), Fault(cut=20)], ids=["failing", "refusing", "cut off"]
)
def test_a_hub_that_fails_costs_nothing_that_was_known(hub: Hub, folder: Path, fault: Fault) -> None:
    before = list(load(folder))
    hub.faults["listing"] = fault
    told: list[str] = []

    done = refresh(access(hub, folder), folder, today=DAY, told=lambda name, refusal: told.append(f"{name} {refusal}"))

    assert done.read == 0
    assert len(done.refused) == len(told) == len(NAMES)
    assert list(load(folder)) == before


def test_the_shipped_file_is_never_touched(hub: Hub, tmp_path: Path) -> None:
    before = SHIPPED.read_bytes()
    done = refresh(access(hub, tmp_path), tmp_path / "new" / "folder", most=3, today=DAY)

    assert SHIPPED.read_bytes() == before
    assert done.left == len(load()) - 3
    assert len(Reader(done.path.read_text(encoding="utf-8")).entries) == len(load())
