"""`facts.read` and `weigh facts` on what does not lie in a plain file: hub, URL, cache, Ollama store."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.conftest import run_weigh
from tests.facts.hub_server import running_hub
from tests.facts.test_checkpoint import CONFIG
from tests.safetensors_files import header, write_folder
from weighbridge import facts
from weighbridge.facts import HubAccess

TENSORS = {
    f"model.layers.{layer}.{name}": ("BF16", shape)
    for layer in range(2)
    for name, shape in (("mlp.up_proj.weight", (512, 256)), ("mlp.down_proj.weight", (256, 512)))
} | {"model.embed_tokens.weight": ("BF16", (1000, 256))}
TOTAL = 4 * 512 * 256 + 1000 * 256


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def hub(tmp_path, tiny_gguf):
    folder = write_folder(tmp_path / "checkpoint", CONFIG, TENSORS, shards=3)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n" + "x" * 100_000)
    gguf = {"tiny-Q4_K_M.gguf": tiny_gguf(width=128, inner=512).read_bytes(), "tiny-Q8_0.gguf": b"GGUF"}
    with running_hub({"acme/checkpoint": files_of(folder), "acme/tiny-GGUF": gguf}) as running:
        yield running


def access(hub, tmp_path):
    return HubAccess(endpoint=hub.url, token=None, offline=False, cache=tmp_path / "none")


def test_a_repository_is_read_without_its_weights(hub, tmp_path):
    found = facts.read("acme/checkpoint", access(hub, tmp_path))
    small = sum(len(raw) for name, raw in hub.repositories["acme/checkpoint"].items() if name.endswith(".json"))
    headers = sum(
        8 + int.from_bytes(raw[:8], "little")
        for name, raw in hub.repositories["acme/checkpoint"].items()
        if name.endswith(".safetensors")
    )

    assert (found.name, found.source.place, found.parameters.total) == ("acme/checkpoint", "hub", TOTAL)
    assert found.licence == "apache-2.0"
    # Beside headers and JSON: the listing, redirects' bodies, and the beginning of the card.
    assert headers + small <= found.source.bytes_transferred < headers + small + 16_384 + 4_096
    assert found.source.bytes_transferred < found.weights_bytes / 20


def test_one_of_several_gguf_files_is_read_by_its_quantization(hub, tmp_path):
    found = facts.read("acme/tiny-GGUF:Q4_K_M", access(hub, tmp_path))
    whole = len(hub.repositories["acme/tiny-GGUF"]["tiny-Q4_K_M.gguf"])

    assert found.architecture == "llama"
    assert found.parameters.total > 100_000
    assert found.source.bytes_transferred < whole / 2


def test_the_command_reads_a_hub_and_says_how_much_it_fetched(hub, tmp_path):
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "none"), "COLUMNS": "80"}
    shown = run_weigh("facts", "acme/checkpoint", **environment).stdout

    assert f"({TOTAL:,})" in shown
    assert "transferred, from" in shown
    missing = run_weigh("facts", "acme/nothing", **environment)
    assert missing.returncode == 1
    assert "acme/nothing" in missing.stderr


def test_a_snapshot_in_a_cache_is_read_by_its_repository(tmp_path):
    repository = tmp_path / "hub" / "models--acme--cached"
    snapshot = repository / "snapshots" / ("a" * 40)
    write_folder(snapshot, CONFIG, TENSORS)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    found = facts.read("acme/cached", HubAccess(cache=tmp_path / "hub", offline=True))

    assert (found.name, found.source.place, found.parameters.total) == ("acme/cached", "hf_cache", TOTAL)
    assert facts.read(snapshot).parameters == found.parameters


def test_an_entry_of_an_ollama_store_is_read_with_its_parameters_and_licence(tmp_path, tiny_gguf):
    store = tmp_path / "models"
    blobs = store / "blobs"
    blobs.mkdir(parents=True)

    def blob(kind: str, raw: bytes) -> dict[str, object]:
        digest = hashlib.sha256(raw).hexdigest()
        (blobs / f"sha256-{digest}").write_bytes(raw)
        return {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": len(raw)}

    layers = [
        blob("model", tiny_gguf(name="").read_bytes()),
        blob("params", json.dumps({"num_ctx": 256}).encode()),
        blob("license", b"MIT License\n\nCopyright"),
        blob("template", b"{{ if .Tools }}{{ .Tools }}{{ end }}{{ .Prompt }}"),
    ]
    manifest = store / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "1b"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    found = facts.read("ollama:tiny:1b", HubAccess(ollama=store))

    assert (found.source.place, found.context.served, found.context_length) == ("ollama", 256, 512)
    assert ("weights", "MIT License") in {(statement.covers, statement.text) for statement in found.licences}
    assert facts.read(manifest, HubAccess(ollama=store)).parameters == found.parameters


def test_a_single_file_is_read_by_its_url(hub, tmp_path):
    found = facts.read(f"{hub.url}/acme/checkpoint/resolve/main/model.safetensors.index.json", access(hub, tmp_path))

    assert found.parameters.total == TOTAL
    assert len(header(TENSORS)[0]) < found.source.bytes_transferred < found.weights_bytes / 10
