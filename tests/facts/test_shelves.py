"""Shelves: every kind of place hands over the same files, and none more than what was asked for."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.facts.hub_server import COMMIT, Fault, Hub, running_hub, serving
from weighbridge.errors import BadModelFile, BadSetting, SourceUnreachable
from weighbridge.facts.shelves import HubAccess, Patience, Shelf, open_shelf
from weighbridge.facts.shelves.references import Reference, parse, parts_of

WEIGHTS = bytes(range(256)) * 4096
INDEX = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
SHARDED = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors.index.json": INDEX.encode(),
    "model-00001-of-00002.safetensors": WEIGHTS[:1000],
    "model-00002-of-00002.safetensors": WEIGHTS[1000:3000],
}
QUANTIZED_NAMES = (
    "README.md",
    "tiny-Q4_K_M.gguf",
    "tiny-Q4_K_S.gguf",
    "tiny-UD-Q4_K_M.gguf",
    "tiny-IQ4_XS.gguf",
    "mmproj-tiny-Q8_0.gguf",
    "Q8_0/tiny-Q8_0-00001-of-00002.gguf",
    "Q8_0/tiny-Q8_0-00002-of-00002.gguf",
)
QUANTIZED = dict.fromkeys(QUANTIZED_NAMES, WEIGHTS[:2000])
TOKEN = "hf_secret"
QUICK = Patience(connect_seconds=30, read_seconds=30, retries=3, pause_seconds=0.01)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub(
        {"acme/tiny": SHARDED, "acme/tiny-GGUF": QUANTIZED, "acme/big": {"big.gguf": WEIGHTS * 64}}
    ) as hub:
        yield hub


@pytest.fixture
def access(hub: Hub, tmp_path: Path) -> HubAccess:
    return HubAccess(hub.url, TOKEN, cache=tmp_path / "hub", ollama=tmp_path / "ollama", patience=QUICK)


@pytest.fixture
def no_network(tmp_path: Path) -> HubAccess:
    return HubAccess("http://127.0.0.1:9", cache=tmp_path / "hub", ollama=tmp_path / "ollama", patience=QUICK)


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def cached(cache: Path, files: Mapping[str, bytes], name: str = "acme--tiny", commit: str = COMMIT) -> Path:
    """A repository as huggingface_hub lays it out: blobs, and links to them in a snapshot."""
    folder = cache / f"models--{name}"
    write(folder / "refs", {"main": commit.encode()})
    for file, content in files.items():
        blob = hashlib.sha256(content).hexdigest()
        write(folder / "blobs", {blob: content})
        link = folder / "snapshots" / commit / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(folder / "blobs" / blob, link.parent))
    return folder


def layer(store: Path, kind: str, content: bytes, **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    write(store / "blobs", {f"sha256-{digest}": content})
    media = f"application/vnd.ollama.image.{kind}"
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content), **more}


def pulled(store: Path, layers: list[dict[str, Any]], name: str = "registry.ollama.ai/library/llama3.2/3b") -> Path:
    """An entry as Ollama writes it."""
    manifest = store / "manifests" / name
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": "sha256:" + "0" * 64, "size": 9}
    write(
        manifest.parent, {manifest.name: json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()}
    )
    return manifest


def contents(shelf: Shelf) -> dict[str, bytes]:
    return {name: shelf.read(name, 1 << 20) for name in shelf.names()}


# Every place


@pytest.mark.parametrize("place", ["folder", "hf_cache", "hub", "url"])
def test_every_place_hands_over_the_same_files(place, hub, access, tmp_path):
    source = {
        "folder": str(write(tmp_path / "tiny", SHARDED)),
        "hf_cache": str(cached(tmp_path / "hub", SHARDED)) if place == "hf_cache" else "",
        "hub": "acme/tiny",
        "url": f"{hub.cdn}/1/acme/tiny/model.safetensors.index.json",
    }[place]

    with serving(tree({f"/m/{name}": body for name, body in SHARDED.items()})) as web:
        if place == "url":
            source = f"{web}/m/model.safetensors.index.json"
        with open_shelf(source, access) as shelf:
            found = contents(shelf)
            header = shelf.read_many([("model-00002-of-00002.safetensors", 8, 100), ("config.json", 0, 5)])
            with shelf.open("model-00001-of-00002.safetensors") as file:
                file.seek(990)
                last = file.read(100)

    assert shelf.place == place
    assert found == SHARDED
    assert header == [WEIGHTS[1008:1108], b'{"mod']
    assert last == WEIGHTS[990:1000]


def tree(files: Mapping[str, bytes]) -> Any:
    """A plain web server's answer, with ranges."""

    def answer(handler: Any) -> None:
        body = files.get(handler.path.split("?")[0])
        if body is None:
            handler.send(404, b"", {})
        elif asked := re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", "")):
            first, last = int(asked[1]), min(int(asked[2]), len(body) - 1)
            handler.send(206, body[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(body)}"})
        else:
            handler.send(200, body, {})

    return answer


@pytest.mark.parametrize("source", ["", "nothing", "no/such/path", "./org/name", "org/name.gguf", "a b/c", "ftp://a/b"])
def test_what_is_no_source_is_told_which_kinds_there_are(source, no_network):
    with pytest.raises(BadModelFile) as caught:
        open_shelf(source, no_network)

    assert "is not there" in str(caught.value)
    assert "ollama:name:tag" in caught.value.hint


def test_a_path_wins_over_a_repository_of_the_same_name(tmp_path, monkeypatch, no_network):
    write(tmp_path / "acme" / "tiny", SHARDED)
    monkeypatch.chdir(tmp_path)

    assert open_shelf("acme/tiny", no_network).place == "folder"


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "", "a//b", "..", "a\\..\\b", "a\nb", "a\0b"]
)
def test_no_shelf_opens_a_name_that_leads_outside(name, access, tmp_path):
    write(tmp_path, {"secret": b"", "tiny/config.json": b"{}"})

    for source in (tmp_path / "tiny", "acme/tiny"):
        with open_shelf(source, access) as shelf:
            for act in (shelf.size, shelf.open, lambda name, shelf=shelf: shelf.read(name, 100)):
                with pytest.raises(BadModelFile):
                    act(name)


@pytest.mark.parametrize("place", ["folder", "hub"])
def test_a_file_larger_than_allowed_is_refused_unread(place, hub, access, tmp_path):
    source = write(tmp_path / "big", {"big.gguf": WEIGHTS * 64}) if place == "folder" else "acme/big"
    with open_shelf(source, access) as shelf:
        before = shelf.transferred
        with pytest.raises(BadModelFile, match=r"67,108,864 bytes, expected at most 1,000"):
            shelf.read("big.gguf", 1000)

        assert shelf.transferred == before


def test_opening_a_path_imports_no_network_client(tmp_path):
    write(tmp_path / "tiny", SHARDED)
    program = (
        "import sys; from weighbridge.facts.shelves import open_shelf; "
        f"open_shelf({str(tmp_path / 'tiny')!r}).names(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert not {"httpx2", "httpcore2", "huggingface_hub", "ssl", "asyncio"} & set(done.stdout.split())


# Files and folders


def test_a_gguf_file_is_wanted_among_those_beside_it(tmp_path, no_network):
    folder = write(tmp_path / "models", {"a-Q4_0.gguf": b"GGUF", "b.gguf": b"GGUF", "deep/c.gguf": b"GGUF"})

    shelf = open_shelf(folder / "a-Q4_0.gguf", no_network)

    assert (shelf.place, shelf.name, shelf.wanted) == ("file", "a-Q4_0", "a-Q4_0.gguf")
    assert open_shelf(write(folder, {"m-00001-of-00002.gguf": b""}) / "m-00001-of-00002.gguf").name == "m"
    assert shelf.names() == ["a-Q4_0.gguf", "b.gguf", "m-00001-of-00002.gguf"]
    assert shelf.path("b.gguf") == folder / "b.gguf"
    assert shelf.label("b.gguf") == str(folder / "b.gguf")


def test_a_config_file_is_called_by_its_folder(tmp_path, no_network):
    shelf = open_shelf(write(tmp_path / "llama", SHARDED) / "config.json", no_network)

    assert (shelf.name, shelf.wanted) == ("llama", "config.json")


def test_folders_are_looked_into_four_deep_and_once(tmp_path, no_network):
    folder = write(
        tmp_path / "m", {"a/b/c/kept.gguf": b"", "a/b/c/d/lost.gguf": b"", ".git/objects/x": b"", "top": b""}
    )
    (folder / "a" / "loop").symlink_to(folder)

    assert open_shelf(folder, no_network).names() == ["a/b/c/kept.gguf", "top"]


def test_links_out_of_a_folder_are_followed(tmp_path, no_network):
    write(tmp_path, {"store/blob": b"weights"})
    folder = write(tmp_path / "m", {"config.json": b"{}"})
    (folder / "model.safetensors").symlink_to(tmp_path / "store" / "blob")
    (folder / "broken.safetensors").symlink_to(tmp_path / "nowhere")

    shelf = open_shelf(folder, no_network)

    assert shelf.names() == ["config.json", "model.safetensors"]
    assert shelf.read("model.safetensors", 100) == b"weights"


def test_a_pipe_is_neither_listed_nor_waited_for(tmp_path, no_network):
    folder = write(tmp_path / "m", {"config.json": b"{}"})
    os.mkfifo(folder / "model.gguf")
    shelf = open_shelf(folder, no_network)

    assert shelf.names() == ["config.json"]
    for act in (shelf.open, shelf.size):
        with pytest.raises(BadModelFile, match="no ordinary file"):
            act("model.gguf")
    with pytest.raises(BadModelFile, match="no ordinary file"):
        open_shelf(folder / "model.gguf", no_network)


def test_a_folder_of_too_many_files_is_no_model(no_network):
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=in_memory) as place:
        folder = write(Path(place) / "m", {"config.json": b"{}"})
        for number in range(100_000):
            os.mknod(f"{folder}/{number}")

        with pytest.raises(BadModelFile, match="more than 100,000 entries"):
            open_shelf(folder, no_network).names()


def test_a_file_that_ends_early_is_told_with_numbers(tmp_path, no_network):
    shelf = open_shelf(write(tmp_path / "m", {"a.gguf": b"12345"}), no_network)

    with pytest.raises(BadModelFile, match=r"a\.gguf: 10 bytes were expected at 2, and 3 are there"):
        shelf.read_many([("a.gguf", 2, 10)])


def test_a_missing_file_of_a_folder_is_named(tmp_path, no_network):
    shelf = open_shelf(write(tmp_path / "m", SHARDED), no_network)

    for act in (shelf.open, shelf.size):
        with pytest.raises(BadModelFile, match=r"m/none\.safetensors: No such file"):
            act("none.safetensors")


def test_a_path_that_cannot_be_looked_at_is_named(tmp_path, no_network):
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(BadModelFile, match="loop: Too many levels of symbolic links"):
        open_shelf(tmp_path / "loop", no_network)
    with pytest.raises(BadModelFile, match="none: is not there"):
        open_shelf(tmp_path / "none", no_network)


# The local Hugging Face cache


@pytest.mark.parametrize("form", ["id", "address", "folder", "snapshots", "snapshot", "file", "relative"])
def test_a_cached_repository_is_found_without_network(form, no_network, monkeypatch):
    folder = cached(no_network.cache, SHARDED)
    monkeypatch.chdir(folder.parent)
    source = {
        "id": "acme/tiny",
        "address": "https://huggingface.co/acme/tiny",
        "folder": folder,
        "snapshots": folder / "snapshots",
        "snapshot": folder / "snapshots" / COMMIT,
        "file": folder / "snapshots" / COMMIT / "config.json",
        "relative": "models--acme--tiny",
    }[form]

    shelf = open_shelf(source, no_network)

    assert (shelf.place, shelf.name, shelf.revision) == ("hf_cache", "acme/tiny", COMMIT)
    assert shelf.wanted == ("config.json" if form == "file" else None)
    assert contents(shelf) == SHARDED


@pytest.mark.parametrize("missing", ["model-00002-of-00002.safetensors", "config.json"])
def test_an_incomplete_cache_gives_way_to_the_hub_unless_offline(missing, access):
    cached(access.cache, {name: body for name, body in SHARDED.items() if name != missing})
    offline = HubAccess(access.endpoint, offline=True, cache=access.cache)

    assert open_shelf("acme/tiny", access).place == "hub"
    assert open_shelf("acme/tiny", offline).place == "hf_cache"


def test_a_cached_quantization_serves_and_another_comes_from_the_hub(access):
    cached(access.cache, {"tiny-Q4_K_M.gguf": b"GGUF"}, "acme--tiny-GGUF")

    here, there = open_shelf("acme/tiny-GGUF:q4_k_m", access), open_shelf("acme/tiny-GGUF:Q8_0", access)

    assert (here.place, here.wanted) == ("hf_cache", "tiny-Q4_K_M.gguf")
    assert (there.place, there.wanted) == ("hub", "Q8_0/tiny-Q8_0-00001-of-00002.gguf")


def test_a_cached_split_file_without_all_its_parts_is_incomplete(access):
    name = "Q8_0/tiny-Q8_0-00001-of-00002.gguf"
    cached(access.cache, {name: b"GGUF"}, "acme--tiny-GGUF")

    assert open_shelf("acme/tiny-GGUF:Q8_0", access).place == "hub"


def test_another_revision_than_the_cached_one_comes_from_the_hub(access):
    cached(access.cache, SHARDED)

    assert open_shelf("acme/tiny@main", access).place == "hf_cache"
    assert open_shelf(f"acme/tiny@{COMMIT}", access).place == "hf_cache"
    assert open_shelf("acme/tiny@v1", access).place == "hub"


def test_several_snapshots_without_a_main_are_named(no_network):
    folder = cached(no_network.cache, SHARDED)
    cached(no_network.cache, SHARDED, commit="d" * 40)
    (folder / "refs" / "main").unlink()

    with pytest.raises(BadModelFile, match=f"2 snapshots.*{COMMIT}"):
        open_shelf(folder, no_network)


@pytest.mark.parametrize("reference", ["../../../outside", "..", "/etc", "a" * 5000, "\0"])
def test_a_forged_ref_leads_nowhere(reference, no_network):
    folder = cached(no_network.cache, SHARDED)
    write(no_network.cache.parent / "outside", SHARDED)
    write(folder / "refs", {"main": reference.encode()})

    with pytest.raises(SourceUnreachable):
        open_shelf("acme/tiny", no_network)


def test_offline_asks_nobody(hub, access):
    offline = HubAccess(hub.url, offline=True, cache=access.cache)

    for source in ("acme/tiny", f"{hub.cdn}/1/acme/big/big.gguf"):
        with pytest.raises(SourceUnreachable, match="HF_HUB_OFFLINE is set"):
            open_shelf(source, offline)
    assert hub.asked == []


# Ollama's store


def test_an_ollama_entry_shows_its_layers_as_files(no_network):
    store = no_network.ollama
    layers = [
        layer(store, "model", b"GGUF weights"),
        layer(store, "projector", b"GGUF eyes"),
        layer(store, "template", b"{{ .Prompt }}"),
        layer(store, "params", b'{"stop": []}'),
        layer(store, "license", b"first"),
        layer(store, "license", b"second"),
        layer(store, "future", b"?"),
    ]
    manifest = pulled(store, layers)

    for source in ("ollama:llama3.2:3b", "ollama:library/llama3.2:3b", manifest):
        shelf = open_shelf(source, no_network)

        assert (shelf.place, shelf.name, shelf.wanted) == ("ollama", "llama3.2:3b", "model.gguf")
        assert contents(shelf) == {
            "license": b"first",
            "license-2": b"second",
            "mmproj.gguf": b"GGUF eyes",
            "model.gguf": b"GGUF weights",
            "params.json": b'{"stop": []}',
            "template": b"{{ .Prompt }}",
        }
    assert shelf.path("model.gguf") == store / "blobs" / layers[0]["digest"].replace(":", "-")
    assert "model.gguf of llama3.2:3b" in shelf.label("model.gguf")


@pytest.mark.parametrize(
    ("stored", "asked", "called"),
    [
        ("registry.ollama.ai/library/qwen3/latest", "qwen3", "qwen3:latest"),
        ("registry.ollama.ai/me/mine/v2", "me/mine:v2", "me/mine:v2"),
        ("hf.co/acme/tiny-GGUF/Q4_K_M", "hf.co/acme/tiny-GGUF:Q4_K_M", "hf.co/acme/tiny-GGUF:Q4_K_M"),
        ("localhost:5000/me/mine/latest", "localhost:5000/me/mine", "localhost:5000/me/mine:latest"),
    ],
)
def test_ollama_names_are_read_as_ollama_reads_them(stored, asked, called, no_network):
    pulled(no_network.ollama, [layer(no_network.ollama, "model", b"GGUF")], stored)

    assert open_shelf(f"ollama:{asked}", no_network).name == called


def test_an_ollama_entry_of_tensors_keeps_their_names(no_network):
    store = no_network.ollama
    layers = [
        layer(store, "json", b"{}", name="config.json"),
        layer(store, "tensor", b"1", name="model.embed_tokens.weight"),
        layer(store, "tensor", b"2", name="vision/blocks.0.weight"),
    ]
    pulled(store, layers)

    shelf = open_shelf("ollama:llama3.2:3b", no_network)

    assert shelf.names() == [
        "config.json",
        "model.embed_tokens.weight.safetensors",
        "vision/blocks.0.weight.safetensors",
    ]
    assert shelf.wanted is None


def test_an_entry_that_was_not_pulled_is_told_what_is_there(no_network):
    pulled(no_network.ollama, [layer(no_network.ollama, "model", b"GGUF")])

    with pytest.raises(BadModelFile, match=r"ollama:llama3\.2:1b: is not in the store") as caught:
        open_shelf("ollama:llama3.2:1b", no_network)
    assert "llama3.2:3b" in caught.value.hint
    with pytest.raises(BadModelFile, match="store with 1 entries") as caught:
        open_shelf(no_network.ollama, no_network)
    assert "ollama:llama3.2:3b" in caught.value.hint


@pytest.mark.parametrize("name", ["", "a/b/c/d", "../x", "a:..", "llama3.2:../../../../etc/passwd", "a b", ":"])
def test_what_is_no_ollama_name_is_refused(name, no_network):
    with pytest.raises(BadModelFile):
        open_shelf(f"ollama:{name}", no_network)


@pytest.mark.parametrize(
    "damage",
    [
        {"digest": "sha256:../../../../etc/passwd"},
        {"digest": "sha256-" + "0" * 63},
        {"digest": None},
        {"size": -1},
        {"size": "4"},
        {"mediaType": "application/vnd.ollama.image.tensor", "name": "../../x"},
        {"mediaType": "application/vnd.ollama.image.json", "name": "/etc/passwd"},
    ],
)
def test_a_forged_manifest_is_refused(damage, no_network):
    pulled(no_network.ollama, [layer(no_network.ollama, "model", b"GGUF") | damage])

    with pytest.raises(BadModelFile):
        open_shelf("ollama:llama3.2:3b", no_network)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"layers": []}', '{"layers": [1]}', '{"layers": 3}', "[" * 100_000])
def test_a_damaged_manifest_is_refused(text, no_network):
    manifest = pulled(no_network.ollama, [])
    manifest.write_text(text)

    with pytest.raises(BadModelFile, match="3b"):
        open_shelf("ollama:llama3.2:3b", no_network)


def test_a_blob_of_another_size_was_cut_off(no_network):
    pulled(no_network.ollama, [layer(no_network.ollama, "model", b"GGUF") | {"size": 5}])
    shelf = open_shelf("ollama:llama3.2:3b", no_network)

    with pytest.raises(BadModelFile, match="has 4 bytes, and the manifest says 5"):
        shelf.open("model.gguf")


# Names of repositories


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", Reference("org/name")),
        ("org/name@v1", Reference("org/name", "v1")),
        ("org/name@refs/pr/1", Reference("org/name", "refs/pr/1")),
        ("org/name:Q4_K_M", Reference("org/name", None, "Q4_K_M")),
        ("org/name@v1:Q4_K_M", Reference("org/name", "v1", "Q4_K_M")),
        ("org/name:sub/file.gguf", Reference("org/name", None, "sub/file.gguf")),
        ("hf.co/org/name:Q4_0", Reference("org/name", None, "Q4_0")),
        ("hf://org/name@v1", Reference("org/name", "v1")),
        ("huggingface.co/org/name", Reference("org/name")),
        ("https://huggingface.co/org/name", Reference("org/name")),
        ("https://hf.co/org/name/", Reference("org/name")),
        ("https://huggingface.co/org/name/tree/main", Reference("org/name", "main")),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F1", Reference("org/name", "refs/pr/1")),
        ("https://huggingface.co/org/name/blob/main/a.gguf", Reference("org/name", "main", "a.gguf")),
        ("https://huggingface.co/org/name/resolve/v1/s/a.gguf?download=true", Reference("org/name", "v1", "s/a.gguf")),
        ("https://mirror.example/hf/org/name", Reference("org/name")),
        ("https://huggingface.co/datasets/org/name", None),
        ("https://huggingface.co/org/name/discussions/1", None),
        ("https://example.org/org/name", None),
        ("org/name@../../x", None),
        ("org/name@/etc", None),
        ("org/na--me", None),
        ("org/..", None),
        ("org", None),
        ("a/b/c", None),
        ("./org/name", None),
        ("org/model.gguf", None),
        ("org/name:", None),
        ("org/name@", None),
    ],
)
def test_a_repository_is_named_in_these_forms(text, expected):
    assert parse(text, "https://mirror.example/hf") == expected


@given(st.one_of(st.text(max_size=60), st.from_regex(r"\A[ho.:/@-]{0,9}(hf.co/|://)?[an./:@-]{0,30}\Z")))
@example("org/name@a..b")
@example("http://[/x")
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_safe_reference_or_none(text):
    found = parse(text, "https://huggingface.co")

    assert found is None or (".." not in found.repository and ".." not in (found.revision or ""))


@pytest.mark.parametrize(
    ("selector", "file"),
    [
        ("Q4_K_M", "tiny-Q4_K_M.gguf"),
        ("q4_k_m", "tiny-Q4_K_M.gguf"),
        ("UD-Q4_K_M", "tiny-UD-Q4_K_M.gguf"),
        ("IQ4_XS", "tiny-IQ4_XS.gguf"),
        ("Q8_0", "Q8_0/tiny-Q8_0-00001-of-00002.gguf"),
        ("tiny-Q4_K_S.gguf", "tiny-Q4_K_S.gguf"),
    ],
)
def test_a_quantization_is_found_by_its_whole_name(selector, file):
    assert Reference("acme/tiny", None, selector).choose(sorted(QUANTIZED)) == file


@pytest.mark.parametrize("selector", ["Q4_K", "Q4_XS", "Q2_K", "(", ".*"])
def test_a_quantization_that_is_not_there_is_answered_with_those_that_are(selector):
    with pytest.raises(BadModelFile, match=r"there are .*tiny-Q4_K_M\.gguf"):
        Reference("acme/tiny", None, selector).choose(sorted(QUANTIZED))


def test_a_quantization_that_fits_two_files_is_not_guessed():
    with pytest.raises(BadModelFile, match=r"matches 2 files: a-Q4_0\.gguf, b-Q4_0\.gguf"):
        Reference("acme/tiny", None, "Q4_0").choose(["a-Q4_0.gguf", "b-Q4_0.gguf"])


def test_all_parts_are_told_from_one():
    assert parts_of("m/a-00002-of-00003.gguf") == [f"m/a-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert parts_of("a-00001-of-99999.gguf") == ["a-00001-of-99999.gguf"]
    assert parts_of("a-00004-of-00003.gguf") == ["a-00004-of-00003.gguf"]


# The hub


def test_the_hub_is_asked_for_the_bytes_that_are_read_and_no_more(hub, access):
    with open_shelf("acme/big", access) as shelf:
        listing = shelf.transferred
        with shelf.open("big.gguf") as file:
            assert hub.asked[1:] == []
            assert file.read(8) == WEIGHTS[:8]
            file.seek(500)
            assert file.read(20) == WEIGHTS[500 % 256 :][:20]

    assert [asked.range for asked in hub.asked if asked.server == "cdn"] == ["bytes=0-7", "bytes=500-519"]
    assert shelf.transferred - listing == 8 + 20 + len(b"moved")
    assert hub.files_asked() == ["big.gguf"], "where the file lies is asked once"


def test_all_files_are_read_at_the_commit_that_was_listed(hub, access):
    with open_shelf("acme/tiny@refs/pr/1", access) as shelf:
        assert contents(shelf) == SHARDED

    assert shelf.revision == COMMIT
    assert hub.asked[0].path == "/api/models/acme/tiny/revision/refs%2Fpr%2F1?blobs=true"
    assert all(f"/{COMMIT}/" in asked.path for asked in hub.asked if "/resolve/" in asked.path)


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, access):
    with open_shelf("acme/tiny", access) as shelf:
        contents(shelf)

    sent = {(asked.server, asked.authorization) for asked in hub.asked}
    assert sent == {("hub", f"Bearer {TOKEN}"), ("cdn", None)}
    assert TOKEN not in repr(access)


def test_sizes_that_the_listing_lacks_are_asked_for(hub, access):
    hub.tells_sizes = False

    with open_shelf("acme/tiny", access) as shelf:
        assert {name: shelf.size(name) for name in shelf.names()} == {name: len(SHARDED[name]) for name in SHARDED}
        assert shelf.read("config.json", 100) == SHARDED["config.json"]


def test_our_listing_agrees_with_that_of_huggingface_hub(hub, access, monkeypatch):
    official = pytest.importorskip("huggingface_hub")
    info = official.HfApi(endpoint=hub.url, token=False).model_info("acme/tiny-GGUF", files_metadata=True)

    with open_shelf("acme/tiny-GGUF", access) as shelf:
        assert {name: shelf.size(name) for name in shelf.names()} == {
            file.rfilename: file.size for file in info.siblings
        }
        assert shelf.revision == info.sha
        address = official.hf_hub_url("acme/tiny-GGUF", "Q8_0/a b.gguf", revision=info.sha, endpoint=hub.url)
    assert address == f"{hub.url}/acme/tiny-GGUF/resolve/{COMMIT}/Q8_0/a%20b.gguf"


def test_what_huggingface_hub_downloads_is_found_in_its_cache(hub, no_network):
    pytest.importorskip("huggingface_hub")
    program = f"from huggingface_hub import *; snapshot_download('acme/tiny', cache_dir={str(no_network.cache)!r})"
    settings = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": "x"}
    subprocess.run([sys.executable, "-c", program], env=os.environ | settings, check=True, capture_output=True)

    shelf = open_shelf("acme/tiny", no_network)

    assert (shelf.place, shelf.revision) == ("hf_cache", COMMIT)
    assert contents(shelf) == SHARDED


def test_many_shards_are_read_side_by_side_over_kept_connections(access):
    shards = {f"model-{number:05d}-of-00163.safetensors": bytes([number]) * 1000 for number in range(1, 164)}
    with running_hub({"acme/many": shards}) as hub:
        for name in shards:
            hub.faults[name] = Fault(pause_seconds=0.02)
        with open_shelf("acme/many", HubAccess(hub.url, cache=access.cache, patience=QUICK)) as shelf:
            found = shelf.read_many([(name, 8, 100) for name in shards])

        assert found == [content[8:108] for content in shards.values()]
        assert 2 <= len({asked.client for asked in hub.asked if asked.server == "cdn"}) <= 16


def test_an_address_that_grew_old_is_asked_for_again(hub, access):
    with open_shelf("acme/big", access) as shelf, shelf.open("big.gguf") as file:
        file.read(8)
        hub.signature = "2"

        assert file.read(8) == WEIGHTS[8:16]
    assert hub.files_asked() == ["big.gguf", "big.gguf"]


def test_a_server_that_ignores_ranges_is_left_before_it_sends(hub, access):
    hub.faults["big.gguf"] = Fault(ignores_range=True)

    with open_shelf("acme/big", access) as shelf, shelf.open("big.gguf") as file:
        before = shelf.transferred
        with pytest.raises(SourceUnreachable, match=r"ignores ranges: it offers all 67,108,864 bytes"):
            file.read(8)

        assert shelf.transferred == before + len(b"moved")
    assert hub.sent < 16 << 20, "what the sockets hold, and no more"


@pytest.mark.parametrize(
    "given", ["bytes 1-8/67108864", "bytes 0-8/67108864", "bytes 0-6/9", "items 0-7/9", "bytes */9"]
)
def test_another_range_than_asked_for_is_refused(given, hub, access):
    hub.faults["big.gguf"] = Fault(content_range=given)

    with open_shelf("acme/big", access) as shelf, pytest.raises(SourceUnreachable, match=re.escape(given)):
        shelf.open("big.gguf").read(8)


def test_a_body_longer_than_its_range_is_refused(hub, access):
    def generous(handler: Any) -> None:
        handler.send(206, WEIGHTS, {"Content-Range": "bytes 0-7/67108864"})

    with serving(generous) as web:
        hub.faults["big.gguf"] = Fault(redirect=f"{web}/x")
        with open_shelf("acme/big", access) as shelf, pytest.raises(SourceUnreachable, match="sends more than the 8"):
            shelf.open("big.gguf").read(8)


def test_an_encoded_body_is_refused(hub, access):
    hub.faults["config.json"] = Fault(encoding="gzip")

    with open_shelf("acme/tiny", access) as shelf, pytest.raises(SourceUnreachable, match="'gzip'"):
        shelf.read("config.json", 100)


def test_a_body_that_is_cut_is_fetched_again(hub, access):
    hub.faults["big.gguf"] = Fault(cut=3, times=2)

    with open_shelf("acme/big", access) as shelf:
        assert shelf.open("big.gguf").read(8) == WEIGHTS[:8]


def test_a_body_that_is_always_cut_is_an_error(hub, access):
    hub.faults["big.gguf"] = Fault(cut=3)

    with open_shelf("acme/big", access) as shelf, pytest.raises(SourceUnreachable, match="connection was lost"):
        shelf.open("big.gguf").read(8)
    assert len([asked for asked in hub.asked if asked.server == "cdn"]) >= 4


@pytest.mark.parametrize("name", ["listing", "config.json"])
def test_a_server_that_fails_twice_is_asked_again(name, hub, access):
    hub.faults[name] = Fault(status=500, times=2)

    with open_shelf("acme/tiny", access) as shelf:
        assert shelf.read("config.json", 100) == SHARDED["config.json"]


@pytest.mark.parametrize("name", ["listing", "config.json"])
def test_a_server_that_always_fails_is_asked_four_times(name, hub, access):
    hub.faults[name] = Fault(status=503)

    with pytest.raises(SourceUnreachable, match="HTTP 503"), open_shelf("acme/tiny", access) as shelf:
        shelf.read("config.json", 100)
    assert len(hub.asked) == (4 if name == "listing" else 5)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Retry-After": "37"}, "wait 37 seconds"),
        ({"RateLimit": '"resolvers";r=0;t=55'}, "wait 55 seconds"),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "wait Wed, 21 Oct 2026 07:28:00 GMT"),
        ({}, "try later"),
    ],
)
def test_a_limited_rate_says_how_long_to_wait(headers, said, hub, access):
    hub.faults["listing"] = Fault(status=429, headers=headers)

    with pytest.raises(SourceUnreachable, match=f"limits the rate.*{said}"):
        open_shelf("acme/tiny", access)
    assert len(hub.asked) == 1


@pytest.mark.parametrize(("status", "token"), [(401, None), (403, TOKEN)])
def test_a_gated_model_asks_for_its_licence_and_a_token(status, token, hub, access):
    hub.faults["config.json"] = Fault(status=status, headers={"X-Error-Code": "GatedRepo"})
    anyone = HubAccess(hub.url, token, cache=access.cache)

    with open_shelf("acme/tiny", anyone) as shelf, pytest.raises(SourceUnreachable, match=r"gated.*licence") as caught:
        shelf.read("config.json", 100)
    assert "HF_TOKEN" in caught.value.hint


def test_a_refusal_without_reason_is_no_missing_file(hub, access):
    hub.faults["config.json"] = Fault(status=403)

    with open_shelf("acme/tiny", access) as shelf, pytest.raises(SourceUnreachable, match="access is refused"):
        shelf.read("config.json", 100)


@pytest.mark.parametrize(
    ("source", "what"), [("acme/none", "no such repository"), ("acme/tiny@v9", "no such revision")]
)
def test_what_the_hub_does_not_have_is_named(source, what, access):
    with pytest.raises(BadModelFile, match=what):
        open_shelf(source, access)


def test_a_ring_of_redirects_is_left(hub, access):
    hub.faults["big.gguf"] = Fault(redirect=f"/acme/big/resolve/{COMMIT}/big.gguf")

    with open_shelf("acme/big", access) as shelf, pytest.raises(SourceUnreachable, match="redirected more than 5"):
        shelf.open("big.gguf").read(8)
    assert len(hub.files_asked()) == 6


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/x", "javascript:x"])
def test_a_redirect_to_no_web_address_is_refused(target, hub, access):
    hub.faults["big.gguf"] = Fault(redirect=target)

    with open_shelf("acme/big", access) as shelf, pytest.raises(SourceUnreachable, match="redirects to"):
        shelf.open("big.gguf").read(8)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\\b"])
def test_a_listing_that_leads_outside_is_refused(name, access):
    with (
        running_hub({"acme/evil": {"config.json": b"{}", name: b""}}) as hub,
        pytest.raises(BadModelFile, match="inside the same folder"),
    ):
        open_shelf("acme/evil", HubAccess(hub.url, cache=access.cache, patience=QUICK))


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b"<html>", b'{"siblings": [1]}', b'{"siblings": {}}', b"\xff"])
def test_what_is_no_listing_is_refused(answer, access):
    with (
        serving(lambda handler: handler.send(200, answer, {})) as url,
        pytest.raises(BadModelFile, match="acme/tiny"),
    ):
        open_shelf("acme/tiny", HubAccess(url, cache=access.cache, patience=QUICK))


@pytest.mark.parametrize("tells", [True, False])
def test_a_listing_beyond_all_bounds_is_not_pulled(tells, access):
    sent = 0

    def endless(handler: Any) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header(*(("Content-Length", str(1 << 40)) if tells else ("Connection", "close")))
        handler.end_headers()
        handler.close_connection = True
        while True:
            handler.wfile.write(b" " * (1 << 16))
            sent += 1 << 16

    with serving(endless) as url, pytest.raises(BadModelFile, match="expected at most 16,777,216"):
        open_shelf("acme/tiny", HubAccess(url, cache=access.cache, patience=QUICK))
    assert sent < 48 << 20


def test_nobody_there_is_said_at_once(no_network):
    with pytest.raises(SourceUnreachable, match="no connection"):
        open_shelf("acme/tiny", no_network)


def test_a_silent_server_is_left(hub, access):
    hub.faults["listing"] = Fault(pause_seconds=3)
    brief = HubAccess(hub.url, cache=access.cache, patience=Patience(read_seconds=0.3, pause_seconds=0.01))

    with pytest.raises(SourceUnreachable, match=r"sent nothing for 0\.3 seconds"):
        open_shelf("acme/tiny", brief)


def test_a_server_that_trickles_is_left(hub, access):
    hub.faults["config.json"] = Fault(trickle_seconds=0.1)
    brief = HubAccess(hub.url, cache=access.cache, patience=Patience(read_seconds=0.5, pause_seconds=0.01))
    begun = time.monotonic()

    with (
        open_shelf("acme/tiny", brief) as shelf,
        pytest.raises(SourceUnreachable, match="did not come within 1 seconds"),
    ):
        shelf.read("config.json", 100)
    assert time.monotonic() - begun < 30, "the whole trickle takes a hundred"


def test_a_listing_of_too_many_files_is_no_model(access):
    data = json.dumps({"siblings": [{"rfilename": str(number)} for number in range(100_001)]}).encode()
    with (
        serving(lambda handler: handler.send(200, data, {})) as url,
        pytest.raises(BadModelFile, match="more than 100,000 entries"),
    ):
        open_shelf("acme/tiny", HubAccess(url, cache=access.cache, patience=QUICK))


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """A certificate of our own for 127.0.0.1, in `certificate.pem`."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_a_certificate_that_nobody_vouches_for_is_refused(tls, access):
    with (
        running_hub({"acme/tiny": SHARDED}, tls) as hub,
        pytest.raises(SourceUnreachable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        open_shelf("acme/tiny", HubAccess(hub.url, TOKEN, cache=access.cache, patience=QUICK))
    assert hub.asked == []


def test_https_is_not_left_for_http(tls, access, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))

    with (
        running_hub({"acme/tiny": SHARDED}, tls) as hub,
        open_shelf("acme/tiny", HubAccess(hub.url, TOKEN, cache=access.cache, patience=QUICK)) as shelf,
    ):
        assert shelf.read("config.json", 100) == SHARDED["config.json"]
        with pytest.raises(SourceUnreachable, match="from https to 'http://"):
            shelf.read("model-00001-of-00002.safetensors", 1000)
    assert {asked.server for asked in hub.asked} == {"hub"}


def test_a_server_that_trickles_over_tls_is_left(tls, access, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    brief = Patience(read_seconds=0.5, pause_seconds=0.01)

    with running_hub({"acme/tiny": SHARDED}, tls) as hub:
        hub.faults["config.json"] = Fault(trickle_seconds=0.1)
        slow = HubAccess(hub.url, cache=access.cache, patience=brief)
        with (
            open_shelf("acme/tiny", slow) as shelf,
            pytest.raises(SourceUnreachable, match="not come within 1 seconds"),
        ):
            shelf.read("config.json", 100)


def test_a_server_that_trickles_after_a_slow_redirect_is_left(hub, access):
    brief = Patience(read_seconds=0.5, pause_seconds=0.01)
    hub.faults["big.gguf"] = Fault(redirect=f"/acme/big/resolve/{COMMIT}/slow.gguf", pause_seconds=0.4)
    hub.faults["slow.gguf"] = Fault(trickle_seconds=0.05)
    hub.repositories = {"acme/big": {"big.gguf": WEIGHTS, "slow.gguf": WEIGHTS}}

    slow = HubAccess(hub.url, cache=access.cache, patience=brief)
    with open_shelf("acme/big", slow) as shelf, pytest.raises(SourceUnreachable, match="not come within 1 seconds"):
        shelf.open("big.gguf").read(8)


# A URL


def test_a_url_of_a_split_gguf_knows_its_parts(access):
    parts = {f"/dir/m-0000{number}-of-00003.gguf": bytes([number]) * 100 for number in (1, 2, 3)}
    with serving(tree(parts)) as web, open_shelf(f"{web}/dir/m-00001-of-00003.gguf", access) as shelf:
        assert (shelf.place, shelf.wanted) == ("url", "m-00001-of-00003.gguf")
        assert shelf.names() == [f"m-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
        assert shelf.size("m-00003-of-00003.gguf") == 100
        assert shelf.read_many([(name, 0, 2) for name in shelf.names()]) == [b"\1\1", b"\2\2", b"\3\3"]
        assert shelf.label(shelf.wanted) == f"{web}/dir/m-00001-of-00003.gguf"


def test_a_url_of_a_missing_part_is_named(access):
    with (
        serving(tree({"/m-00001-of-00002.gguf": b"GGUF"})) as web,
        open_shelf(f"{web}/m-00001-of-00002.gguf", access) as shelf,
        pytest.raises(BadModelFile, match=r"m-00002-of-00002\.gguf: is not there \(HTTP 404\)"),
    ):
        shelf.open("m-00002-of-00002.gguf")


def test_a_secret_in_a_url_is_used_and_not_shown(access):
    asked: list[tuple[str, str | None]] = []

    def answer(handler: Any) -> None:
        asked.append((handler.path, handler.headers.get("Authorization")))
        tree({"/m.gguf": b"GGUF"})(handler)

    with serving(answer) as web:
        source = web.replace("://", "://user:password@") + "/m.gguf?key=secret"
        with open_shelf(source, access) as shelf:
            assert shelf.open("m.gguf").read(4) == b"GGUF"
            assert shelf.label("m.gguf") == f"{web}/m.gguf?…"

    assert {path for path, _ in asked} == {"/m.gguf?key=secret"}
    assert all(authorization and authorization.startswith("Basic ") for _, authorization in asked)


def test_an_index_on_a_server_without_ranges_is_read_whole(access):
    answer = b'{"a": 1}'
    with (
        serving(lambda handler: handler.send(200, answer, {})) as web,
        open_shelf(f"{web}/config.json", access) as shelf,
    ):
        assert shelf.read("config.json", 100) == answer
        assert shelf.size("config.json") == len(answer)


def test_an_index_by_url_that_leads_outside_is_refused(access):
    index = json.dumps({"weight_map": {"a": "../../x.safetensors"}}).encode()
    with (
        serving(tree({"/m/model.safetensors.index.json": index})) as web,
        open_shelf(f"{web}/m/model.safetensors.index.json", access) as shelf,
        pytest.raises(BadModelFile, match="inside the same folder"),
    ):
        shelf.names()


def test_a_file_that_shrank_meanwhile_is_told(access):
    files = {"/m.gguf": b"12345678"}
    with serving(tree(files)) as web, open_shelf(f"{web}/m.gguf", access) as shelf, shelf.open("m.gguf") as file:
        files["/m.gguf"] = b"1"

        with pytest.raises(SourceUnreachable, match="bytes 0 to 7 were asked for"):
            file.read(8)


def test_an_empty_file_has_no_bytes(access):
    def empty(handler: Any) -> None:
        handler.send(416, b"", {"Content-Range": "bytes */0"})

    with serving(empty) as web, open_shelf(f"{web}/m.gguf", access) as shelf:
        assert shelf.size("m.gguf") == 0
        assert shelf.open("m.gguf").read(100) == b""


@pytest.mark.parametrize(
    "source", ["https://", "http:///x.gguf", "https://example.org/", "http://a:b/x", "http://[::1/x"]
)
def test_what_is_no_address_of_a_file_is_refused(source, access):
    with pytest.raises(BadModelFile):
        open_shelf(source, access)


# The environment


def test_the_environment_names_hub_token_and_stores(tmp_path):
    write(tmp_path / "hf", {"token": b"hf_file\n"})
    home = {"HOME": str(tmp_path)}

    plain = HubAccess.from_environment(home)
    moved = HubAccess.from_environment(
        home
        | {"HF_HOME": "~/hf", "HF_ENDPOINT": "https://mirror.example/", "HF_HUB_OFFLINE": "1", "OLLAMA_MODELS": "/o"}
    )
    own = HubAccess.from_environment(home | {"HF_TOKEN": " hf_own ", "HF_HUB_CACHE": "$HOME/cache", "HF_HOME": "~/hf"})

    assert (plain.endpoint, plain.token, plain.offline) == ("https://huggingface.co", None, False)
    assert plain.cache == tmp_path / ".cache" / "huggingface" / "hub"
    assert (moved.endpoint, moved.token, moved.offline) == ("https://mirror.example", "hf_file", True)
    assert (moved.cache, moved.ollama) == (tmp_path / "hf" / "hub", Path("/o"))
    assert (own.token, own.cache) == ("hf_own", tmp_path / "cache")


@pytest.mark.parametrize(
    "environment",
    [{"HF_ENDPOINT": "huggingface.co"}, {"HF_ENDPOINT": "ftp://x"}, {"HF_ENDPOINT": "https://"}, {"HF_TOKEN": "hf_ü"}],
)
def test_an_environment_that_cannot_be_is_told_once_the_hub_is_asked(environment, tmp_path):
    access = HubAccess.from_environment({"HOME": str(tmp_path)} | environment)

    assert open_shelf(write(tmp_path / "tiny", SHARDED), access).names() == sorted(SHARDED)
    with pytest.raises(BadSetting) as caught:
        open_shelf("acme/tiny", access)
    assert "hf_ü" not in str(caught.value)
