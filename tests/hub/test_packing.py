"""Models in one file, and archives that somebody else may have made."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.facts.hub_server import COMMIT
from tests.hub.test_fetch import BIG, TINY, damage
from weighbridge import hub
from weighbridge.errors import BadModelFile, BadSetting, NotEnoughDisk, WeighbridgeError


@pytest.fixture
def archive(access, state, tmp_path):
    """An archive with two models, one split."""
    models = [hub.fetch(source, access, state_dir=state) for source in (TINY, "acme/big-GGUF:Q8_0")]
    target = tmp_path / "stick" / "models.tar"
    target.parent.mkdir()
    hub.pack([(model, '{"name": "x"}') for model in models], target)
    return target


def fresh(tmp_path):
    return tmp_path / "far" / "hub", tmp_path / "far" / "state"


def test_models_arrive_as_they_were_packed(archive, access, offline, tmp_path):
    cache, state = fresh(tmp_path)
    unpacked = hub.unpack(archive, cache, state)
    there = offline.__class__(endpoint=offline.endpoint, offline=True, cache=cache, lmstudio=())

    assert [model.source for model in unpacked.models] == [TINY, "acme/big-GGUF:Q8_0"]
    for source in (TINY, "acme/big-GGUF:Q8_0"):
        got, packed = hub.fetch(source, there, state_dir=state, verify=True), hub.find(source, access)
        assert got.revision == packed.revision == COMMIT
        assert {f.name: f.path.read_bytes() for f in got.files} == {f.name: f.path.read_bytes() for f in packed.files}
        assert {f.name: f.identity for f in got.files} == {f.name: f.identity for f in packed.files}
    assert not list(cache.glob(".weighbridge*"))


def test_any_other_tool_can_open_and_check_it(archive, tmp_path):
    folder = tmp_path / "opened"
    folder.mkdir()
    subprocess.run(["tar", "-xf", archive], cwd=folder, check=True)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert (folder / "0" / "tiny-Q4_K_M.gguf").exists()
    assert (folder / "0" / "LICENSE").read_bytes() == b"MIT License\n"
    assert json.loads((folder / "0" / "facts.json").read_text()) == {"name": "x"}


def test_a_file_of_no_repository_lands_in_the_cache_too(access, state, tiny_gguf, tmp_path):
    path = tiny_gguf(name="my own model")
    target = tmp_path / "one.tar"
    hub.pack([(hub.fetch(path, access, state_dir=state), "{}")], target)
    cache, far = fresh(tmp_path)
    (model,) = hub.unpack(target, cache, far).models
    there = access.__class__(offline=True, cache=cache, lmstudio=())

    assert hub.find(model.source, there).first.read_bytes() == path.read_bytes()


def test_what_is_there_is_not_written_over(archive, access, state):
    with pytest.raises(BadSetting, match="is there already"):
        hub.pack([(hub.find(TINY, access), "{}")], archive)


def test_a_damaged_file_is_not_packed(access, state, tmp_path):
    model = hub.fetch(BIG, access, state_dir=state)
    damage(model.first)

    with pytest.raises(BadModelFile, match="is damaged"):
        hub.pack([(model, "{}")], tmp_path / "x.tar")
    assert not list(tmp_path.glob("x.tar*"))


def test_what_does_not_fit_the_disk_is_told_before_the_first_byte(access, tmp_path):
    holes = tmp_path / "holes.gguf"
    with holes.open("wb") as file:
        file.truncate(1 << 43)

    with pytest.raises(NotEnoughDisk, match="its disk has"):
        hub.pack([(hub.find(holes, access), "{}")], tmp_path / "x.tar")


def manifest_of(archive):
    with tarfile.open(archive) as opened:
        return json.load(opened.extractfile("MANIFEST.json"))


def forged(tmp_path, manifest, members, *, name="forged.tar"):
    """An archive as an attacker would make it: any members, in any form."""
    path = tmp_path / name
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as target:
        first = tarfile.TarInfo("MANIFEST.json")
        content = json.dumps(manifest).encode()
        first.size = len(content)
        target.addfile(first, io.BytesIO(content))
        for info, body in members:
            target.addfile(info, io.BytesIO(body) if body is not None else None)
    return path


def entry(name="m.gguf", body=b"GGUF", **change):
    one = {
        "member": f"0/{name}", "name": name, "size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(),
        "git_sha1": None,
    }  # fmt: skip
    return {**one, **change}


def model(*files, **change):
    one = {
        "source": "acme/m", "repository": "acme/m", "commit": "a" * 40, "branch": "main", "wanted": None,
        "files": list(files),
    }  # fmt: skip
    return {**one, **change}


def member(name="0/m.gguf", body=b"GGUF", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(body) if kind == tarfile.REGTYPE else 0
    return info, body if kind == tarfile.REGTYPE else None


def pack_of(*models):
    return {"format": "weighbridge-pack/1", "models": list(models)}


def refused(path, tmp_path):
    """Unpacking it fails, and nothing is left."""
    cache, state = fresh(tmp_path)
    with pytest.raises(BadModelFile) as caught:
        hub.unpack(path, cache, state)
    assert caught.value.hint
    assert not list(cache.rglob("*")) or not [found for found in cache.rglob("*") if found.is_file()]
    return str(caught.value)


def test_a_well_formed_archive_of_another_maker_is_taken(tmp_path):
    cache, state = fresh(tmp_path)
    path = forged(tmp_path, pack_of(model(entry(), wanted="m.gguf")), [member()])

    assert hub.unpack(path, cache, state).models[0].first.read_bytes() == b"GGUF"


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "..", "a//b", "a\\b", "a\nb", "", "\x1b[2J", "a/./b"]
)
def test_a_name_that_leaves_its_folder_is_refused(name, tmp_path):
    path = forged(tmp_path, pack_of(model(entry(name, member="0/m.gguf"))), [member()])

    refused(path, tmp_path)


@pytest.mark.parametrize("repository", ["../../x", "acme", "acme/..", "a/b/c", "acme/m--x", "acme/m\n", 7, None])
def test_a_repository_that_is_none_is_refused(repository, tmp_path):
    refused(forged(tmp_path, pack_of(model(entry(), repository=repository)), [member()]), tmp_path)


@pytest.mark.parametrize("commit", ["../x", "A" * 40, "main", "", "a" * 39, 5])
def test_a_commit_that_is_none_is_refused(commit, tmp_path):
    refused(forged(tmp_path, pack_of(model(entry(), commit=commit)), [member()]), tmp_path)


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE,
     tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME],
)  # fmt: skip
def test_what_is_no_ordinary_file_is_refused(kind, tmp_path):
    said = refused(
        forged(tmp_path, pack_of(model(entry())), [member(kind=kind, link="/etc/passwd"), member()]), tmp_path
    )

    assert "no ordinary file" in said


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member(body=b"GGUX")], "has not the sum"),
        ([member(body=b"GGUFx")], "not as long"),
        ([member(), member()], "there twice"),
        ([member(), member("0/other")], "does not name"),
        ([], "which its manifest names"),
    ],
)
def test_members_that_are_not_the_manifests_are_refused(members, said, tmp_path):
    assert said in refused(forged(tmp_path, pack_of(model(entry())), members), tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [
        [], {}, {"format": "other", "models": []}, pack_of(7), pack_of(model()), pack_of(model("x")),
        pack_of(model(entry(size_bytes=-1))), pack_of(model(entry(size_bytes=True))),
        pack_of(model(entry(size_bytes=1 << 70))), pack_of(model(entry(sha256="x"))),
        pack_of(model(entry(git_sha1="../../x"))), pack_of(model(entry(), entry())),
        pack_of(model(entry(), wanted="other")), pack_of(model(entry(), branch="../../x")),
        pack_of(model(entry("a", member="0/m.gguf"), entry("a/b"))),
    ],
)  # fmt: skip
def test_a_manifest_that_lies_is_refused(manifest, tmp_path):
    refused(forged(tmp_path, manifest, [member()]), tmp_path)


def test_a_file_that_is_no_archive_is_refused(tmp_path, tiny_gguf):
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    for path in (empty, tiny_gguf()):
        refused(path, tmp_path)
    compressed = tmp_path / "bomb.tar.gz"
    with tarfile.open(compressed, "w:gz") as target:
        target.addfile(*[member()[0], io.BytesIO(b"GGUF")])
    refused(compressed, tmp_path)


def test_an_archive_that_was_cut_off_anywhere_is_refused(archive, tmp_path):
    content = archive.read_bytes()
    for share in (0.01, 0.3, 0.7, 0.99):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(content[: int(len(content) * share)])
        refused(cut, tmp_path)


def test_one_flipped_byte_anywhere_is_found(archive, tmp_path):
    content = archive.read_bytes()
    with tarfile.open(archive) as opened:
        places = [info.offset_data + info.size // 2 for info in opened.getmembers() if info.name[0] in "01"]
        places = [
            place for place, info in zip(places, opened.getmembers()[2:], strict=True) if "facts" not in info.name
        ]
    for place in places:
        broken = tmp_path / "broken.tar"
        broken.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert "has not the sum" in refused(broken, tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["../x", "a" * 40, "f" * 64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_manifest_however_changed_reaches_outside_the_cache(data, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("forged")
    manifest = pack_of(model(entry()))
    place = data.draw(st.sampled_from(["format", "models", "model", "files", "file"]))
    value = data.draw(json_values)
    changed = copy.deepcopy(manifest)
    if place in ("format", "models"):
        changed[place] = value
    elif place == "model":
        changed["models"][0][data.draw(st.sampled_from(sorted(model())))] = value
    elif place == "files":
        changed["models"][0]["files"] = value
    else:
        changed["models"][0]["files"][0][data.draw(st.sampled_from(sorted(entry())))] = value
    path = forged(tmp_path, changed, [member()])
    before = {found for found in tmp_path.rglob("*") if found.is_file()}
    cache, state = fresh(tmp_path)
    try:
        hub.unpack(path, cache, state)
    except WeighbridgeError:
        assert not [found for found in cache.rglob("*") if found.is_file()]
    after = {found for found in tmp_path.rglob("*") if found.is_file()}
    assert all(found.is_relative_to(tmp_path / "far") for found in after - before)
    assert all(found.is_relative_to(cache / "models--acme--m") for found in after if found.is_relative_to(cache))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000), st.integers(0, 3000))
def test_no_bytes_make_it_fail_otherwise(tmp_path_factory, noise, place):
    tmp_path = tmp_path_factory.mktemp("noise")
    path = forged(tmp_path, pack_of(model(entry())), [member()])
    content = path.read_bytes()
    path.write_bytes(content[:place] + noise + content[place + len(noise) :])
    cache, state = fresh(tmp_path)
    try:
        hub.unpack(path, cache, state)
    except WeighbridgeError as error:
        assert error.hint


KILLED = """
import os, sys
from pathlib import Path
from weighbridge import hub
hub.unpack(*map(Path, sys.argv[1:]), progress=lambda _: os.kill(os.getpid(), 9))
"""


def test_what_an_unpack_that_was_killed_left_goes_with_the_next_one(archive, tmp_path):
    cache, state = fresh(tmp_path)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(archive), str(cache), str(state)], check=False)
    assert killed.returncode == -9
    assert [path for path in cache.rglob("*") if path.is_file()], "it had begun"

    assert hub.unpack(archive, cache, state).models
    assert not [path for path in cache.iterdir() if path.name.startswith(".weighbridge")]


def test_two_that_unpack_at_once_do_not_take_each_others_files(archive, tmp_path):
    cache, state = fresh(tmp_path)
    inner = []

    def once(_progress):
        if not inner:
            inner.append(True)
            inner[0] = hub.unpack(archive, cache, state)

    outer = hub.unpack(archive, cache, state, progress=once)

    assert outer.models[0].first.read_bytes() == inner[0].models[0].first.read_bytes()


def test_a_manifest_of_very_many_names_is_refused_at_once(tmp_path):
    sums = hashlib.sha256(b"").hexdigest()
    files = [
        {"member": str(n), "name": f"{n}/m.gguf", "size_bytes": 0, "sha256": sums, "git_sha1": None}
        for n in range(40_000)
    ]
    files.append(dict(files[0], member="x", name="0"))
    path = forged(tmp_path, pack_of(model(*files)), [])
    begun = time.process_time()
    said = refused(path, tmp_path)

    # Each name against each other would be an hour.
    assert time.process_time() - begun < 60
    assert "a file of acme/m that is a folder" in said


@pytest.mark.parametrize("depth", [16, 100_000])
def test_a_name_that_lies_very_deep_is_refused(depth, tmp_path):
    path = forged(tmp_path, pack_of(model(entry(name="a/" * depth + "m.gguf"))), [])

    assert "too deep" in refused(path, tmp_path)
