"""Finding, listing and removing what lies on this machine, whoever put it there."""

from __future__ import annotations

import hashlib
import json
import shutil

import huggingface_hub
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.facts.hub_server import COMMIT
from tests.hub.test_fetch import BIG, NAME, TINY, cut_off
from weighbridge import hub
from weighbridge.errors import BadModelFile, BadSetting
from weighbridge.facts.shelves.references import Reference, parts_of
from weighbridge.hub.selection import choose, short_name


@pytest.fixture
def ollama(access, model_bytes):
    """Ollama's store with one model."""
    blobs = access.ollama / "blobs"
    blobs.mkdir(parents=True)
    digest = hashlib.sha256(model_bytes).hexdigest()
    blob = blobs / f"sha256-{digest}"
    blob.write_bytes(model_bytes)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": len(model_bytes)}
    manifest = access.ollama / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "1b"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))
    return blob


@pytest.fixture
def lmstudio(access, model_bytes):
    """LM Studio's folder with one model."""
    path = access.lmstudio[0] / "acme" / "tiny-GGUF" / "tiny-Q4_K_M.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(model_bytes)
    return path


def listed(access, state):
    return {one.source: one for one in hub.stored(access, state)}


def test_a_repository_is_found_with_the_usual_quantization_and_its_texts(server, access):
    found = hub.find("acme/tiny-GGUF", access)

    assert (found.name, found.place, found.is_here) == ("acme/tiny-GGUF:Q4_K_M", "hub", False)
    assert {file.name for file in found.files} == {"tiny-Q4_K_M.gguf", "README.md", "LICENSE"}
    assert found.missing_bytes == found.size_bytes > 0
    assert not server.files_asked()


def test_the_address_of_a_file_on_the_hub_is_its_repository(server, access):
    found = hub.find(f"{server.url}/acme/tiny-GGUF/resolve/main/tiny-Q8_0.gguf", access)

    assert (found.repository, found.wanted) == ("acme/tiny-GGUF", "tiny-Q8_0.gguf")


def test_quantizations_are_listed_where_none_is_the_usual(server, access):
    server.repositories = {"acme/odd": {"m-Q3_K_S.gguf": b"1", "m-Q8_0.gguf": b"2"}}

    with pytest.raises(BadModelFile, match="Q3_K_S, Q8_0") as caught:
        hub.find("acme/odd", access)
    assert "acme/odd:Q3_K_S" in caught.value.hint


def test_pickles_are_refused_by_name(server, access):
    server.repositories = {"acme/old": {"pytorch_model.bin": b"1", "config.json": b"{}"}}

    with pytest.raises(BadModelFile, match="pickles"):
        hub.find("acme/old", access)


def test_a_split_file_with_a_part_missing_on_the_hub_is_refused(server, access):
    server.repositories = {"acme/half": {"m-Q8_0-00001-of-00002.gguf": b"1"}}

    with pytest.raises(BadModelFile, match="has 2 parts, and 1 are not there"):
        hub.find("acme/half:Q8_0", access)


def test_a_file_and_a_folder_are_used_where_they_are(access, state, tiny_gguf):
    path = tiny_gguf()
    got = hub.fetch(path, access, state_dir=state)

    assert (got.place, got.first, got.source) == ("file", path, str(path))
    assert hub.fetch(str(path.parent), access, state_dir=state).first == path


def test_a_split_file_on_this_machine_needs_all_its_parts(access, state, tmp_path):
    (tmp_path / "m-00001-of-00002.gguf").write_bytes(b"GGUF")

    with pytest.raises(BadModelFile, match=r"m-00002-of-00002\.gguf is not there"):
        hub.fetch(tmp_path / "m-00001-of-00002.gguf", access, state_dir=state)


def test_what_lm_studio_has_is_used_in_place_and_nothing_is_asked(server, access, state, lmstudio):
    for source in (TINY, "acme/tiny-GGUF", "lmstudio:acme/tiny-GGUF", "lmstudio:acme/tiny-GGUF:Q4_K_M"):
        got = hub.fetch(source, access, state_dir=state)
        assert (got.place, got.first) == ("lmstudio", lmstudio)
    assert not server.asked
    assert not access.cache.exists()


def test_what_lm_studio_does_not_have_comes_from_the_hub(access, lmstudio):
    assert hub.find("acme/tiny-GGUF:Q8_0", access).place == "hub"
    assert hub.find(f"acme/tiny-GGUF@{COMMIT}:Q4_K_M", access).place == "hub"
    with pytest.raises(BadModelFile, match="acme/none"):
        hub.find("lmstudio:acme/none", access)


def test_what_ollama_has_is_used_in_place_and_checked_by_its_sum(server, access, state, ollama):
    got = hub.fetch("ollama:tiny:1b", access, state_dir=state)
    assert (got.place, got.first) == ("ollama", ollama)
    content = bytearray(ollama.read_bytes())
    content[-5] ^= 1
    ollama.write_bytes(content)

    with pytest.raises(BadModelFile, match="is damaged") as caught:
        hub.fetch("ollama:tiny:1b", access, state_dir=state)
    assert "ollama pull" in caught.value.hint
    assert not server.asked


def test_everything_is_listed_with_its_place(access, state, lmstudio, ollama):
    hub.fetch("acme/tiny-GGUF:Q8_0", access, state_dir=state)
    hub.fetch("acme/big-GGUF:Q8_0", access, state_dir=state)
    here = listed(access, state)

    assert {source: (one.place, one.is_complete) for source, one in here.items()} == {
        "acme/tiny-GGUF:Q8_0": ("hf_cache", True),
        "acme/big-GGUF:Q8_0": ("hf_cache", True),
        "lmstudio:acme/tiny-GGUF:Q4_K_M": ("lmstudio", True),
        "ollama:tiny:1b": ("ollama", True),
    }
    for source, one in here.items():
        assert hub.find(source, access).first.resolve() == one.path.resolve()


def test_what_was_used_says_when(access, state, lmstudio):
    assert listed(access, state)["lmstudio:acme/tiny-GGUF:Q4_K_M"].last_used is None
    hub.touch(hub.find(lmstudio, access), state)

    assert listed(access, state)["lmstudio:acme/tiny-GGUF:Q4_K_M"].last_used is not None


def test_a_fetch_that_was_cut_off_is_listed_as_partial(server, access, state):
    cut_off(server, access, state)
    one = listed(access, state)[BIG]

    assert not one.is_complete
    assert (one.path, one.wanted) == (None, NAME)
    assert one.size_bytes < one.total_bytes
    hub.fetch(one.source, access, state_dir=state)
    assert listed(access, state)[BIG].is_complete


def test_a_split_model_without_a_part_is_listed_as_partial(access, state):
    got = hub.fetch("acme/big-GGUF:Q8_0", access, state_dir=state)
    got.first.unlink()
    one = listed(access, state)["acme/big-GGUF:Q8_0"]

    assert (one.is_complete, one.path, one.total_bytes) == (False, None, None)


def remove(source, access, state):
    here = hub.stored(access, state)
    return hub.remove(hub.plan_removal(hub.choose_stored(source, here, access), access), access)


def used_bytes(folder):
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_removing_a_model_leaves_the_others_and_frees_what_it_says(server, access, state):
    hub.fetch("acme/tiny-GGUF:Q8_0", access, state_dir=state)
    kept = hub.fetch(TINY, access, state_dir=state)
    before = used_bytes(access.cache)
    freed = remove("acme/tiny-GGUF:Q8_0", access, state)

    assert freed == before - used_bytes(access.cache) == len(server.repositories["acme/tiny-GGUF"]["tiny-Q8_0.gguf"])
    assert hub.fetch(TINY, access, state_dir=state, verify=True).first == kept.first
    assert list(listed(access, state)) == [TINY]
    assert not huggingface_hub.scan_cache_dir(access.cache).warnings


def test_removing_the_last_model_of_a_repository_removes_all_of_it(access, state):
    hub.fetch(TINY, access, state_dir=state)
    remove(TINY, access, state)

    assert not listed(access, state)
    assert not list(access.cache.glob("models--*"))


def test_what_another_snapshot_uses_stays(server, access, offline, state):
    pinned = hub.fetch(f"acme/tiny-GGUF@{COMMIT}:Q4_K_M", access, state_dir=state)
    files = {**server.repositories["acme/tiny-GGUF"], "README.md": b"new"}
    server.publish("acme/tiny-GGUF", files, "d" * 40)
    hub.fetch(TINY, access, state_dir=state)

    assert remove(TINY, access, state) == len(b"new")
    assert hub.fetch(pinned.source, offline, state_dir=state, verify=True).first == pinned.first


def test_removing_a_partial_fetch_frees_what_came(server, access, state):
    cut_off(server, access, state)
    freed = remove(BIG, access, state)

    assert freed >= 2 << 20
    assert not list(access.cache.rglob("*.part*"))


def test_what_belongs_to_others_is_left_to_them(access, state, lmstudio, ollama):
    for source in ("ollama:tiny:1b", "lmstudio:acme/tiny-GGUF:Q4_K_M"):
        with pytest.raises(BadSetting, match="keeps account"):
            remove(source, access, state)
    assert lmstudio.exists()
    assert ollama.exists()


def test_a_link_out_of_the_cache_is_removed_and_what_it_leads_to_is_not(access, state, tmp_path):
    got = hub.fetch(TINY, access, state_dir=state)
    mine = tmp_path / "mine.gguf"
    shutil.copyfile(got.first, mine)
    got.first.unlink()
    got.first.symlink_to(mine)
    remove("acme/tiny-GGUF", access, state)

    assert mine.exists()
    assert not list(access.cache.glob("models--*"))


def test_what_is_not_here_is_told_with_the_nearest(access, state):
    hub.fetch(TINY, access, state_dir=state)

    with pytest.raises(BadModelFile, match="is not on this machine") as caught:
        hub.choose_stored("other/tiny", hub.stored(access, state), access)
    assert TINY in caught.value.hint


def test_newer_revisions_are_told_with_what_changed(server, access, state):
    hub.fetch(TINY, access, state_dir=state)
    hub.fetch(BIG, access, state_dir=state)
    hub.fetch(f"acme/tiny-GGUF@{COMMIT}:Q8_0", access, state_dir=state)
    files = {**server.repositories["acme/tiny-GGUF"], "tiny-Q4_K_M.gguf": b"GGUF improved"}
    server.publish("acme/tiny-GGUF", files, "d" * 40)
    server.older["c0ffee"] = {}
    updates = {update.source: update for update in hub.newer(hub.stored(access, state), access)}

    tiny = updates[TINY]
    assert (tiny.have, tiny.newest) == (COMMIT, "d" * 40)
    assert (tiny.changed, tiny.fetch_bytes) == (("tiny-Q4_K_M.gguf",), len(b"GGUF improved"))
    assert not updates[BIG].changed


def test_a_hub_that_cannot_be_asked_is_told_for_that_model(server, access, state):
    hub.fetch(TINY, access, state_dir=state)
    server.repositories = {}
    (update,) = hub.newer(hub.stored(access, state), access)

    assert update.newest is None
    assert "acme/tiny-GGUF" in update.error


names = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=30).filter(lambda name: "/" not in name),
        st.builds(
            "{}-{}{}".format,
            st.sampled_from(["m", "model", "a/m", "mmproj-m", "UD-m"]),
            st.sampled_from(["Q4_K_M", "UD-Q4_K_XL", "Q4_K_XL", "Q8_0", "BF16", "Q4_K_M-00001-of-00002"]),
            st.sampled_from([".gguf", ".safetensors", ".bin", ".json"]),
        ),
    ),
    unique=True,
    max_size=12,
)


@given(names)
def test_whatever_a_listing_holds_a_choice_is_whole_or_refused(listing):
    reference = Reference("acme/any")
    try:
        wanted, files = choose(listing, reference)
    except BadModelFile as error:
        assert error.hint
        return
    assert set(files) <= set(listing)
    assert len(files) == len(set(files))
    if wanted is None:
        assert any(name.endswith(".safetensors") for name in files)
    else:
        assert files[: len(parts_of(wanted))] == parts_of(wanted)
        short = short_name(wanted, listing, reference)
        assert Reference("acme/any", None, short).choose(listing) == wanted
