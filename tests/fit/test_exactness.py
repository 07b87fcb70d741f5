"""What llama.cpp would allocate for shapes that were never recorded: predicted first, then asked of the engine itself.

Each family gets a shape as large as real models, from a random source with its name as seed, and settings that differ
in all that memory depends on. Weights are checked with files that are small enough to be loaded.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.facts.gguf_families import FAMILIES, Family
from tests.fit.asking import Died, Engine
from tests.fit.engine import Settings
from tests.fit.shapes import vary
from tests.published_shapes import MODELS, Published, parameters, write
from weighbridge import facts, machine
from weighbridge.errors import BadModelFile
from weighbridge.fit.llama_cpp import LlamaCpp
from weighbridge.fit.recordings import is_recorded
from weighbridge.fit.steps import CACHES
from weighbridge.fit.workload import Workload
from weighbridge.machine import Machine, Memory, Processor

MIB = 1 << 20
# MiB that a component may be off; the log has two decimals.
ALLOWED = {"weights": 0.02, "compute": 1.0, "cache": 0.02, "state": 0.02, "output": 0.1}
PLAIN = Machine(Processor("", 1, 1, ()), Memory(1 << 40, 1 << 40, None), ())
SETTINGS = 4
TRIES = 6

# Families of which some forms could not be recorded: with these settings nothing may be estimated, and with others what
# is must be right.
NOT_RECORDED: dict[str, tuple[Callable[[Settings], bool], str]] = {
    name: (
        lambda at: at.flash and not at.unified,
        "the engine reserves a step of few cells, and several sequences are computed one after the other",
    )
    for name in ("minimax-m3", "minimax-m3, predicting")
} | {
    name: (lambda at: at.type_v != "f16", "the engine computes without flash attention, and then keeps no such values")
    for name in ("grok", "grok, dense beside experts")
}
# Families told apart by shapes alone, or whose layers of a kind are few here: more may be estimated, never less.
AT_MOST: dict[str, str] = {
    "jina-bert-v2": "gated or not by the shape of one tensor",
    "jina-bert-v2, gated": "gated or not by the shape of one tensor",
    "qwen35": "few layers of one kind",
    "qwen35moe": "few layers of one kind",
}
# With fewer layers than these, blocks do not lie yet where they lie in all later layers, as in any real model.
FEW_LAYERS = 6

MAPPED_OTHERWISE = [
    # Where a file is not mapped, as when nothing is allocated, layers that predict further tokens take no room, and the
    # tied embedding of these two takes it twice.
    name
    for name, family in FAMILIES.items()
    if "nextn_predict_layers" in family.keys or family.architecture in ("gemma3n", "gemma4")
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


def make(engine: Engine, path: Path, family: Family) -> None:
    """A file of this family. It begins with the tensors of the one before it of this architecture, which the engine may
    not outlive; a new process begins anew."""
    try:
        engine.make(path, family.architecture, family.keys, family.also)
    except Died:
        engine.make(path, family.architecture, family.keys, family.also)


def settings(rng: random.Random, number: int) -> Settings:
    """Settings that real use has; over the numbers every way of attention and of sharing the cache comes up."""
    flash, parallel = number != 1, (1, 1, 2, 4)[number]
    unified = number == 3
    types = [("f16", "f16"), ("f16", "f16"), ("q8_0", "q8_0"), ("q4_0", "q8_0")] if flash else [("f16", "f16")]
    key_type, value_type = rng.choice(types)
    return Settings(
        context=rng.choice((512, 4096, 5000, 16384, 40000)) * (parallel if unified else 1),
        parallel=parallel, ubatch=rng.choice((128, 512, 512, 1024, 2048)), flash=flash, unified=unified,
        type_k=key_type, type_v=value_type,
    )  # fmt: skip


def predicted(model: LlamaCpp, asked: Settings) -> tuple[Settings, dict[str, float]]:
    """MiB by component, and the settings with the rows of scores that the model is estimated with. The engine's log
    tells the output buffer as it is at first, with one row a sequence."""
    workload = Workload(
        asked.context, asked.parallel, asked.ubatch, asked.type_k, asked.type_v, asked.flash, asked.unified
    )
    step = model.step(workload, asked.context)
    gives_embeddings = model.gives_embeddings(workload)
    need = model.on_processor(PLAIN, workload, asked.context)
    rows = max(step.outputs, asked.parallel)
    found = {
        "weights": need.weights, "compute": need.compute, "cache": need.kv_cache, "state": need.recurrent_state,
        "output": need.output * asked.parallel // rows,
    }  # fmt: skip
    asked = dataclasses.replace(asked, outputs=step.outputs, embeddings=gives_embeddings)
    return asked, {name: value / MIB for name, value in found.items()}


def is_left_out(name: str, model: LlamaCpp, asked: Settings) -> bool:
    """Whether nothing is estimated here with a reason: the family's own, or what `rotated_of` says of caches."""
    workload = Workload(asked.context, asked.parallel, asked.ubatch, asked.type_k, asked.type_v, asked.flash)
    if model.step(workload, asked.context).cache not in CACHES:
        return True
    return name in NOT_RECORDED and NOT_RECORDED[name][0](asked)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_engine_allocates_what_was_predicted(engine, tmp_path, name):
    family, rng = FAMILIES[name], random.Random(f"exactness of {name}")
    if not is_recorded(family.architecture):
        pytest.fail(f"{name}: {family.architecture} was never recorded; run python -m tests.fit.record_steps", False)
    at_most = name in AT_MOST or family.keys["block_count"] < FEW_LAYERS
    path = tmp_path / "model.gguf"
    refused: object = None
    for _ in range(TRIES):
        shape: Family = vary(family, rng)
        try:
            make(engine, path, shape._replace(also={**family.also, **shape.also}))
            break
        except (Died, ValueError) as error:
            refused = error
    else:
        pytest.fail(f"the engine takes no shape of {name}: {refused}")
    model = LlamaCpp(facts.read(path))
    foretold = []
    for number in range(SETTINGS):
        asked = settings(rng, number)
        # Not every length of heads goes with every type; then 16 bits are asked for, and where even that is refused,
        # flash attention the other way.
        plain = dataclasses.replace(asked, type_k="f16", type_v="f16")
        other = dataclasses.replace(plain, flash=not plain.flash)
        choices = []
        for each in (asked, plain, other):
            try:
                choices.append(predicted(model, each))
            except BadModelFile:
                # No estimate is better than a wrong one; but it may only be missing where it is known to.
                assert is_left_out(name, model, each), f"no estimate with {each} of {shape.keys}"
        if choices:
            foretold.append(choices)

    for choices in foretold:
        for asked, ours in choices:  # noqa: B007
            try:
                (truth,) = engine.buffers(path, [asked])
                break
            except (Died, ValueError) as error:
                refused = error
        else:
            pytest.fail(f"the engine refuses {choices}: {refused}", False)
        if name in MAPPED_OTHERWISE:
            ours["weights"] = truth["weights"]
        wrong = {
            part: f"{ours[part]:.3f}, not {truth[part]:.3f}"
            for part, allowed in ALLOWED.items()
            if not -allowed <= ours[part] - truth[part] <= (max(truth[part], allowed) if at_most else allowed)
        }
        assert not wrong, f"{wrong} MiB with {asked} of {shape.keys}"
        total = sum(truth[part] for part in ALLOWED)
        assert at_most or sum(ours.values()) == pytest.approx(total, rel=0.005)


@pytest.mark.parametrize("name", MAPPED_OTHERWISE)
def test_what_is_not_used_is_mapped_only_where_it_lies_between_others(engine, tmp_path, name):
    family, path = FAMILIES[name], tmp_path / "model.gguf"
    make(engine, path, family)
    count, also = family.keys["block_count"], dict(family.also)
    predicting = count - family.keys.get("nextn_predict_layers", 0)
    for tensor in facts.read(path).tensors:
        # What the last of the other layers has, those that predict further have as well.
        before, layer = f"blk.{predicting - 1}.", f"blk.{predicting}."
        if tensor.name.startswith(before) and predicting < count:
            also.setdefault(tensor.name.replace(before, layer), list(tensor.shape))
    make(engine, path, family._replace(also=also))
    ours = LlamaCpp(facts.read(path)).weights.mapped_bytes(())

    (truth,) = engine.ask(open=str(path), settings=[], allocate=True)
    assert ours / MIB == pytest.approx(truth["CPU_Mapped"], abs=0.006)


def few_layers(model: Published) -> Published:
    """This model with its true widths, two layers, 2,048 tokens and eight experts."""
    keys = dict(model.keys)
    if "expert_count" in keys:
        keys |= {"expert_count": 8, "expert_used_count": 2, "attention.head_count_kv": [0, model.kv_heads]}
    made = dataclasses.replace(model, layers=2, vocabulary=2048, inner=min(model.inner, 1536), keys=keys)
    return dataclasses.replace(made, parameters=parameters(made))


@pytest.mark.parametrize("quantization", ["F32", "Q8_0", "Q4_0", "Q4_K_M", "MXFP4"])
@pytest.mark.parametrize("name", ["Qwen3-0.6B", "Gemma-3-1B", "Granite-4.0-h-tiny"])
def test_the_engine_keeps_second_copies_of_what_we_say(engine, tmp_path, name, quantization):
    model = few_layers(next(model for model in MODELS if model.name == name))
    path = write(tmp_path / "model.gguf", model, quantization)
    ours = LlamaCpp(facts.read(path))
    repacked = ours.weights.repacked(machine.detect())
    copied, mapped = sum(tensor.bytes for tensor in repacked), ours.weights.mapped_bytes(repacked)

    (truth,) = engine.ask(open=str(path), settings=[], allocate=True, repack=True)
    assert copied / MIB == pytest.approx(truth.get("CPU_REPACK", 0), abs=0.006)
    assert mapped / MIB == pytest.approx(truth["CPU_Mapped"], abs=0.006)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_shapes_of_published_models_have_their_parameters(model):
    assert parameters(model) == model.parameters
