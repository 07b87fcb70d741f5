"""`weigh run`, and `weigh up` with what has to be fetched, as processes; the hub answers over real sockets."""

# ruff: noqa: F811

from __future__ import annotations

import contextlib
import json
import os

import pytest

from tests.conftest import run_gateway, run_weigh
from tests.facts.hub_server import serving
from tests.hub.conftest import CARD, access, environment, model_bytes, server, state  # noqa: F401
from tests.safetensors_files import write_folder
from weighbridge import settings
from weighbridge.cli.sources import find_models
from weighbridge.engines import Endpoint, vllm
from weighbridge.errors import BadSetting, DoesNotFit
from weighbridge.specialists import bundled

SUM = "What is 37 plus 58?"


@pytest.fixture
def free(environment, server):
    """The environment of a command whose gateway takes a free port; its hub serves models that can be asked."""
    arithmetic, extract = (path.read_bytes() for path in bundled().values())
    server.repositories = {
        "acme/sums-GGUF": {"sums-Q4_K_M.gguf": arithmetic, "sums-Q8_0.gguf": arithmetic, "README.md": CARD},
        # What the catalogue means by qwen3-0.6b.
        "unsloth/Qwen3-0.6B-GGUF": {"Qwen3-0.6B-Q4_K_M.gguf": extract, "README.md": CARD},
    }
    return environment | {"WEIGHBRIDGE_PORT": "0"}


def test_a_bundled_model_answers_on_stdout_and_the_talk_is_on_stderr(free):
    done = run_weigh("run", "arithmetic", SUM, **free)

    assert (done.returncode, done.stdout) == (0, "95\n")
    assert done.stderr.startswith("arithmetic: 951K Q8_0, fits: ")


def test_answers_as_json_are_a_line_each(free):
    done = run_weigh("run", "arithmetic", SUM, "--json", **free)

    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout)["answer"] == "95"


def test_a_model_of_the_hub_is_planned_fetched_and_answers(free, server, access):
    first = run_weigh("run", "acme/sums-GGUF", SUM, **free)
    sent = server.sent
    again = run_weigh("run", "acme/sums-GGUF", SUM, **free)

    assert (first.returncode, first.stdout) == (0, "95\n")
    assert first.stderr.startswith("acme/sums-GGUF:Q4_K_M: 1,020 KiB in 2 files, 1,020 KiB to fetch\n")
    assert list(access.cache.glob("models--acme--sums-GGUF/snapshots/*/sums-Q4_K_M.gguf"))
    assert (again.stdout, server.sent) == ("95\n", sent)


def test_fit_plans_the_file_of_a_repository_that_run_would_take(free, server):
    named, alone = (
        run_weigh("fit", source, "--machine", "ram=8GiB,cores=2", "--json", **free)
        for source in ("acme/sums-GGUF:Q4_K_M", "acme/sums-GGUF")
    )

    assert json.loads(alone.stdout)["memory"] == json.loads(named.stdout)["memory"]


@pytest.mark.parametrize("command", [("run", "acme/large-GGUF", "hi"), ("up", "acme/large-GGUF", "--once", "hi")])
def test_what_does_not_fit_is_refused_before_the_first_byte_of_its_weights(command, free, server, access, tiny_gguf):
    content = tiny_gguf(width=512, inner=2048, name="large").read_bytes()
    server.repositories = {"acme/large-GGUF": {"large-Q4_K_M.gguf": content, "README.md": CARD}}
    done = run_weigh(*command, "--context", "512", **(free | {"WEIGHBRIDGE_MEMORY_BUDGET_BYTES": "16MiB"}))

    assert done.returncode == 1
    assert done.stderr.startswith("weigh: large needs ")
    assert "16.0 MiB are available" in done.stderr
    # A header is asked for in steps, and nothing of what comes behind it.
    assert server.sent < len(content) // 4
    assert not list(access.cache.glob("models--*/blobs/*"))


def test_a_repository_and_a_name_of_the_catalogue_are_fetched_and_served(free, tmp_path):
    del free["WEIGHBRIDGE_STATE_DIR"]
    with run_gateway(tmp_path, "acme/sums-GGUF:Q8_0", "two=qwen3-0.6b", **free) as running:
        assert list(running.ps()) == ["sums-Q8_0", "two"]
        answer = running.client().chat.completions.create(
            model="two", messages=[{"role": "user", "content": "Anna Keller paid 45 euros on 3 March 2024."}]
        )

    assert json.loads(answer.choices[0].message.content or "")["person"] == "Anna Keller"


def test_names_that_mean_something_else_are_refused_with_a_way_that_works(free, tmp_path):
    gguf = tmp_path / "gateway.gguf"
    gguf.write_bytes(bundled()["arithmetic"].read_bytes())
    for name, source in (("gateway", str(gguf)), ("auto", "auto=arithmetic")):
        done = run_weigh("run", source, SUM, **free)
        assert done.returncode == 1
        assert f"no model can be named {name!r}" in done.stderr

    hint = done.stderr.splitlines()[-1].split()[-1]
    assert run_weigh("run", hint, SUM, **free).stdout == "95\n"


def test_why_a_model_does_not_start_is_told_once(free):
    for command in (("run", "fake:fail_start=no luck", "hi"), ("up", "fake:fail_start=no luck", "--once", "hi")):
        done = run_weigh(*command, **free)

        assert done.returncode == 1
        assert done.stderr.count("the engine did not start") == 1, done.stderr


def test_the_parts_of_a_split_model_are_no_part_of_its_name(free, tmp_path):
    (tmp_path / "m-00001-of-00001.gguf").write_bytes(bundled()["arithmetic"].read_bytes())
    done = run_weigh("run", str(tmp_path / "m-00001-of-00001.gguf"), SUM, **free)

    assert "(model: m)" in done.stderr


def test_the_smaller_cache_that_fit_names_is_what_runs(gateway):
    """Followed to the letter: refused, its remedy's flags, and as much memory as it said."""
    asked = ("arithmetic", "--context", "131072", "--parallel", "1")
    refused = json.loads(run_weigh("fit", *asked, "--machine", "ram=850MiB,cores=2", "--json").stdout)
    (remedy,) = [remedy for remedy in refused["remedies"] if "--cache-type-k" in remedy]
    flags = (*remedy.rpartition(": ")[2].split(), "--ubatch", "128")
    promised = json.loads(run_weigh("fit", *asked, *flags, "--machine", "ram=850MiB,cores=2", "--json").stdout)
    budget = str(refused["available_bytes"])

    assert (refused["verdict"], promised["verdict"]) == ("no", "fits")
    assert run_weigh("up", *asked, "--memory-budget", budget, "--once", "hi").returncode == 1
    served = gateway(*asked, flags=(*flags, "--memory-budget", budget)).ps()["arithmetic"]
    cache = promised["memory"]["kv_cache"]
    assert served["memory_planned_bytes"] == promised["memory"]["total"]
    # The engine clears its whole cache; with 16-bit keys and values it would be nearly twice as large.
    assert cache < served["memory_measured_bytes"] < promised["memory"]["total"] * 1.05


def test_a_models_table_says_its_cache_and_what_only_its_engine_knows(tmp_path):
    seen = []

    def answer(handler):
        seen.append(handler.headers.get("Authorization"))
        body = b'{"data": [{"id": "a"}, {"id": "b", "max_model_len": 900}]}' if "models" in handler.path else b"{}"
        handler.send(200, body, {"Content-Type": "application/json"})

    with contextlib.ExitStack() as stack:
        url = stack.enter_context(serving(answer))
        (tmp_path / "w.toml").write_text(
            f'[models.small]\nsource = "arithmetic"\ncache_type_k = "q8_0"\nubatch_tokens = 64\n'
            f'[models.far]\nsource = "{url}/v1#b"\ncontext_tokens = 700\n'
            'options = { api_key_variable = "FAR_KEY", verify_tls = false }\n'
        )
        running = stack.enter_context(
            run_gateway(tmp_path, flags=("--config", str(tmp_path / "w.toml")), FAR_KEY="secret")
        )
        states = {name: found["state"] for name, found in running.ps().items()}

    assert states == {"small": "ready", "far": "ready"}
    assert set(seen) == {"Bearer secret"}
    assert "n_ubatch (64)" in (tmp_path / "logs" / "small.log").read_text()


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("options = [1]", r"\[models.one\]: options is \[1\], expected names and values"),
        ('cache_type_k = "q3"', "no cache type of keys is 'q3'"),
        ('engine = "lama_cpp"', "arithmetic is gguf, and no engine for that is named 'lama_cpp'"),
        ('engine = "remote"', "no engine for that is named 'remote'"),
    ],
)
def test_a_wrong_row_of_a_table_is_told_before_anything_starts(table, what, tmp_path):
    (tmp_path / "w.toml").write_text(f'[models.one]\nsource = "arithmetic"\n{table}\n')

    with pytest.raises(BadSetting, match=what):
        find_models([], settings.load(config=str(tmp_path / "w.toml"), environment={}))


def test_models_are_planned_beside_those_that_are_pinned_wherever_they_stand(tmp_path):
    (tmp_path / "w.toml").write_text(
        'memory_budget_bytes = "70MiB"\n[models.one]\nsource = "extract"\n'
        '[models.two]\nsource = "arithmetic"\npinned = true\n'
    )
    with pytest.raises(DoesNotFit, match=r"\[models.one\]: extract needs .* pinned models hold 40.9 MiB") as caught:
        find_models([], settings.load(config=str(tmp_path / "w.toml"), environment={}))
    assert "a larger memory_budget_bytes" in caught.value.hint

    roomy = settings.load({"memory_budget_bytes": "90MiB"}, config=str(tmp_path / "w.toml"), environment={})
    assert [model.name for model in find_models([], roomy)] == ["one", "two"]


def test_a_checkpoint_on_the_gpus_of_several_machines_is_not_held_against_this_one(tmp_path):
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "vocab_size": 256}
    folder = write_folder(tmp_path / "m", config, {"model.embed_tokens.weight": ("F32", (256, 64))})
    (tmp_path / "w.toml").write_text(
        f'memory_budget_bytes = 1\n[models.far]\nsource = "{folder}"\nengine = "vllm"\ncontext_tokens = 900\n'
        'options = { executor = "ray", tensor_parallel = 8 }\n'
    )
    (model,) = find_models([], settings.load(config=str(tmp_path / "w.toml"), environment={}))
    said = vllm.command(model, Endpoint("http://127.0.0.1:1"))

    assert model.plan is None
    assert said[1] == str(folder)
    for flag, value in (
        ("distributed-executor-backend", "ray"),
        ("tensor-parallel-size", "8"),
        ("max-model-len", "900"),
    ):
        assert said[said.index(f"--{flag}") + 1] == value


def test_an_option_that_llama_cpp_does_not_have_is_named(tmp_path):
    (tmp_path / "w.toml").write_text('[models.one]\nsource = "arithmetic"\noptions = { mmprj = "x" }\n')
    done = run_weigh("up", "--config", str(tmp_path / "w.toml"), "--once", "hi", WEIGHBRIDGE_STATE_DIR=str(tmp_path))

    assert done.returncode == 1
    assert "weigh: one: llama.cpp has no option 'mmprj'\n  there are: draft, mmproj" in done.stderr


def test_without_a_gateway_it_is_said_in_words():
    done = run_weigh("ps", "--port", "9", **{**os.environ, "HTTP_PROXY": ""})

    assert done.stderr.splitlines()[0] == "weigh: no gateway answers at http://127.0.0.1:9: Connection refused"
