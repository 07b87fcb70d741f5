"""`weigh fit` as a user sees it: plans, grids and rankings, on machines that are here and elsewhere."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.conftest import run_weigh
from tests.safetensors_files import write_folder


@pytest.fixture
def model(tiny_gguf):
    return tiny_gguf(context=32768, width=256, heads=16, kv_heads=8, layers=4)


def test_the_json_has_what_it_promises(model):
    done = run_weigh(
        "fit", str(model), "--context", "4096", "--parallel", "3", "--ubatch", "256", "--cache-type-k", "q8_0",
        "--cache-type-v", "q8_0", "--machine", "rtx 4090,ram=64GiB@60GB/s", "--json",
    )  # fmt: skip
    data = json.loads(done.stdout)

    assert done.returncode == 0
    assert data["verdict"] == "fits"
    assert data["engine"] == "llama_cpp"
    parts = ("weights", "repack", "kv_cache", "recurrent_state", "compute", "output", "overhead")
    assert data["memory"]["total"] == sum(data["memory"][part] for part in parts)
    assert sum(device["memory"]["total"] for device in data["devices"]) == data["memory"]["total"]
    assert data["memory"]["kv_cache"] == 3 * 4 * 4096 * 2 * 8 * 16 * 34 // 32
    for kind in ("decode", "prefill"):
        assert 0 < data["speed"][kind]["low"] <= data["speed"][kind]["high"]
        assert data["speed"][kind]["basis"] in ("read", "measured", "computed", "stated", "assumed")
    assert data["largest_context"] == 32768
    assert data["context_tokens"] == 4096


def test_a_page_reads_well_in_80_columns(model):
    done = run_weigh("fit", str(model), "--machine", "rtx 4090,ram=64GiB@60GB/s")

    assert done.returncode == 0
    assert "fits" in done.stdout.splitlines()[0]
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "largest context" in done.stdout


def test_a_cache_that_requests_share_is_said_to_be_shared(model):
    done = run_weigh("fit", str(model), "--machine", "ram=8GiB@40GB/s", "--context", "4096", "--unified")

    assert "4,096 tokens shared by 2 at once" in done.stdout


def test_what_does_not_fit_says_what_would(model):
    done = run_weigh(
        "fit", str(model), "--machine", "ram=700MiB@10GB/s,cores=2", "--parallel", "4", "--context", "32768", "--json"
    )
    data = json.loads(done.stdout)

    assert done.returncode == 1
    assert data["verdict"] == "no"
    assert data["remedies"]


@pytest.mark.parametrize("machine", ["rtx 4090", "macbook 16gb", "2x a100-80gb", "gpu=48GiB@960GB/s,ram=64GiB"])
def test_the_catalogue_is_ranked_for_any_machine(machine):
    done = run_weigh("fit", "--machine", machine, "--json")
    data = json.loads(done.stdout)

    assert done.returncode == 0
    assert len(data["models"]) > 50
    for entry in data["models"]:
        assert entry["verdict"] == "fits"
        assert entry["share"] <= 0.9
        assert entry["parameters"]["source"]


def test_a_ranking_heeds_its_filters():
    done = run_weigh(
        "fit", "--machine", "rtx 3090,ram=32GiB@50GB/s", "--task", "code", "--licence", "apache", "--max-size", "5GiB",
        "--context", "16384", "--json",
    )  # fmt: skip
    models = json.loads(done.stdout)["models"]

    assert models
    assert all("apache" in entry["licence"]["value"].lower() for entry in models)
    assert all(entry["weights_bytes"] <= 5 << 30 for entry in models)
    assert all(entry["context_tokens"] == 16384 for entry in models)


def test_one_name_gives_a_grid_of_quantizations_and_contexts():
    done = run_weigh("fit", "qwen3 8b", "--machine", "macbook 16gb")
    shown = run_weigh("fit", "qwen3 8b", "--machine", "macbook 16gb", "--json")
    grid = json.loads(shown.stdout)["grid"]

    assert done.returncode == 0
    assert "Q4_K_M" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    by_size = sorted({(entry["weights_bytes"], entry["quantization"]) for entry in grid})
    assert len(by_size) >= 10
    # More bits never need less, and a longer context never needs less.
    for entry in grid:
        for other in grid:
            if other["weights_bytes"] <= entry["weights_bytes"] and other["context_tokens"] <= entry["context_tokens"]:
                assert other["share"] <= entry["share"] + 0.45


def test_a_name_that_nothing_has_is_told_with_its_neighbours():
    done = run_weigh("fit", "qwne3 8b")

    assert done.returncode == 1
    assert "qwen3" in done.stderr.lower()


def test_several_models_share_a_machine(model, tiny_gguf):
    other = tiny_gguf(context=8192, width=128, heads=8, kv_heads=8, layers=2)
    done = run_weigh("fit", str(model), str(other), "--machine", "ram=8GiB@40GB/s,cores=4", "--json")
    plans = json.loads(done.stdout)

    assert done.returncode == 0
    assert len(plans) == 2
    total = plans[0]["memory"]["total"] + plans[1]["memory"]["total"]
    assert all(plan["devices"][0]["available_bytes"] >= 0 for plan in plans)
    assert min(plan["devices"][0]["available_bytes"] for plan in plans) <= 8 * 2**30 - total / 2


def test_several_models_are_summed_by_device():
    here = ("arithmetic", "extract", "--machine", "gpu=24GiB@900GB/s,ram=8GiB@40GB/s,cores=4")
    page, data = run_weigh("fit", *here).stdout, json.loads(run_weigh("fit", *here, "--json").stdout)
    sums = [sum(plan["devices"][number]["memory"]["total"] for plan in data) / 2**20 for number in (0, 1)]
    told = re.search(
        r"^together +size\nmain memory +([\d.,]+) MiB  of 7\.0 GiB free\nGPU +([\d.,]+) MiB  of", page, re.M
    )

    assert told, page
    assert [float(size.replace(",", "")) for size in told.groups()] == pytest.approx(sums, abs=0.6)


def test_a_machine_that_nobody_knows_is_an_error(model):
    done = run_weigh("fit", str(model), "--machine", "rtx 9999")

    assert done.returncode == 1
    assert "rtx" in done.stderr.lower()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--cache-type-k", "q8_0"), "16-bit caches"),
        (("--wanted", "nan"), "no rate"),
        (("--modality", "smell"), "--modality is one of"),
        (("--floor", "Q9"), "--floor is one of: BF16, Q8_0"),
        (("--licence", "none such"), "--licence is part of a name"),
    ],
)
def test_flags_that_would_be_dropped_or_pass_nothing_are_errors(flags, said):
    done = run_weigh("fit", "--machine", "rtx 4090", *flags)

    assert done.returncode == 1
    assert said in done.stderr


def test_a_filter_beside_a_model_is_an_error(model):
    done = run_weigh("fit", str(model), "--task", "code")

    assert done.returncode == 1
    assert "--task" in done.stderr


def test_a_gpu_without_main_memory_holds_what_lies_on_it_alone():
    models = json.loads(run_weigh("fit", "--machine", "rtx 4090", "--json").stdout)["models"]

    assert all(entry["on_gpu"] == 1 for entry in models)


def test_layers_may_be_left_to_the_processor():
    done = run_weigh("fit", "--machine", "rtx 3060 12gb,ram=32GiB@45GB/s", "--json")

    assert any(0 < entry["on_gpu"] < 1 for entry in json.loads(done.stdout)["models"])


def test_a_known_speed_goes_before_more_bits():
    models = json.loads(run_weigh("fit", "--machine", "rtx 4090,ram=64GiB", "--json").stdout)["models"]
    (chosen,) = [entry for entry in models if entry["model"] == "Qwen3-30B-A3B"]

    assert chosen["decode"]
    assert chosen["on_gpu"] == 1


def test_a_ranking_reads_well_in_80_columns():
    done = run_weigh("fit", "--machine", "rtx 3060 12gb,ram=32GiB@45GB/s", "--task", "code")

    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "Apache-2.0" in done.stdout


def test_a_grid_is_judged_at_the_context_and_the_speed_that_are_asked_for():
    here = ("--machine", "rtx 3090,ram=32GiB@50GB/s")

    assert run_weigh("fit", "qwen3 8b", *here, "--context", "500000").returncode == 1
    assert run_weigh("fit", "qwen3 8b", *here, "--wanted", "9999").returncode == 1
    assert run_weigh("fit", "qwen3 8b", *here, "--wanted", "10").returncode == 0


def test_a_plan_that_is_too_slow_says_so(model):
    done = run_weigh("fit", str(model), "--machine", "rtx 3090,ram=32GiB@50GB/s", "--wanted", "9999999")

    assert done.returncode == 1
    assert "are wanted" in done.stderr


def test_a_checkpoint_by_transformers_names_its_largest_context(tmp_path):
    width, inner, vocabulary = 256, 512, 1000
    shapes = {"model.embed_tokens.weight": ("BF16", (vocabulary, width)), "model.norm.weight": ("BF16", (width,))}
    for layer in range(2):
        name = f"model.layers.{layer}"
        shapes |= {f"{name}.self_attn.{part}_proj.weight": ("BF16", (width, width)) for part in "qkvo"}
        shapes |= {f"{name}.mlp.{part}_proj.weight": ("BF16", (inner, width)) for part in ("gate", "up")}
        shapes |= {f"{name}.mlp.down_proj.weight": ("BF16", (width, inner))}
        shapes |= {f"{name}.{norm}_layernorm.weight": ("BF16", (width,)) for norm in ("input", "post_attention")}
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width, "intermediate_size": inner,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": vocabulary,
        "max_position_embeddings": 131072, "torch_dtype": "bfloat16", "tie_word_embeddings": True,
    }  # fmt: skip
    folder = str(write_folder(tmp_path / "checkpoint", config, shapes))

    def plan(*flags: str) -> dict[str, Any]:
        return json.loads(run_weigh("fit", folder, "--machine", "ram=2GiB@10GB/s,cores=2", *flags, "--json").stdout)

    largest = plan("--context", "512")["largest_context"]
    assert 512 < largest < 131072
    assert plan("--context", str(largest))["verdict"] == "tight"
    assert plan("--context", str(largest + 256))["verdict"] == "no"


def test_up_loads_the_largest_context_that_fit_names_here_and_refuses_the_next():
    here = {"WEIGHBRIDGE_MEMORY_BUDGET_BYTES": "72MiB"}
    many = ("arithmetic", "--parallel", "64")
    plan = json.loads(run_weigh("fit", *many, "--json", **here).stdout)
    largest = plan["largest_context"]
    loaded = run_weigh("up", *many, "--context", str(largest), "--once", "What is 37 plus 58?", "--port", "0", **here)
    refused = run_weigh("up", *many, "--context", str(largest + 256), "--once", "hi", "--port", "0", **here)

    assert plan["available_bytes"] == 72 << 20
    assert 0 < largest < 512
    assert loaded.returncode == 0, loaded.stderr
    assert "95" in loaded.stdout
    assert refused.returncode == 1
    assert "are available" in refused.stderr


def test_a_plan_leaves_to_others_what_the_gateway_leaves_to_them():
    done = run_weigh("fit", "arithmetic", "--json", WEIGHBRIDGE_MEMORY_MARGIN_BYTES="999TiB")
    plan = json.loads(done.stdout)

    assert done.returncode == 1
    assert (plan["verdict"], plan["available_bytes"]) == ("no", 0)
    assert any("memory_margin_bytes" in note for note in plan["machine"]["notes"])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--wanted", "1000000"), r"at least 1,000,000 tokens/s\n\n\d+ fit and are too slow; the fastest is \S+, with"),
        (
            ("--max-size", "1MiB"),
            r"files of at most 1\.0 MiB\n\n\d+ fit and have larger files; the smallest is \S+, with",
        ),
        (("--context", "9000000"), r"\n\nnone fits: a shorter --context may\n"),
    ],
)
def test_a_ranking_of_nothing_says_what_stands_in_the_way(flags, said):
    done = run_weigh("fit", "--machine", "rtx 3090,ram=32GiB@50GB/s", *flags)

    assert done.returncode == 1
    assert re.search(said, done.stdout), done.stdout
    assert "* nothing" not in done.stdout


def test_no_quantization_below_the_floor_is_shown_or_chosen():
    here = ("--machine", "rtx 3090,ram=32GiB@50GB/s", "--json")
    grid = json.loads(run_weigh("fit", "qwen3 8b", "--floor", "q5_k_m", *here).stdout)["grid"]
    chosen = json.loads(run_weigh("fit", "--floor", "Q6_K", *here).stdout)["models"]

    assert {entry["quantization"] for entry in grid} == {"BF16", "Q8_0", "Q6_K", "Q5_K_M"}
    assert {entry["quantization"] for entry in chosen} == {"Q8_0", "Q6_K"}
