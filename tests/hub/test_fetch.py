"""Fetching over real sockets from a hub that fails in every way that hubs do."""

# ruff: noqa: F811

from __future__ import annotations

import dataclasses
import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import huggingface_hub
import huggingface_hub.constants
import pytest

from tests.facts.hub_server import COMMIT, Fault, running_hub, serving
from tests.facts.test_shelves import tls  # noqa: F401
from tests.hub.conftest import MIB, noise
from weighbridge import facts, hub
from weighbridge.errors import BadModelFile, ModelGated, NotEnoughDisk, RateLimited, SourceUnreachable

BIG = "acme/big-GGUF:Q4_K_M"
TINY = "acme/tiny-GGUF:Q4_K_M"
NAME = "big-Q4_K_M.gguf"


def ranges(server, name=NAME):
    """The ranges that were asked for at the second server."""
    return [asked.range for asked in server.asked if asked.server == "cdn" and asked.path.endswith(name)]


def cut_off(server, access, state, after=2 * MIB):
    """A fetch that ends in the middle."""
    server.faults[NAME] = Fault(cut=after, times=1)
    impatient = dataclasses.replace(access, patience=dataclasses.replace(access.patience, pause_seconds=60))
    with pytest.raises(KeyboardInterrupt):
        hub.fetch(BIG, impatient, interrupt_when_waiting(), state)
    server.faults.clear()
    server.asked.clear()
    server.sent = 0


def interrupt_when_waiting():
    """Ctrl-C, once some bytes came and the fetch waits to try again."""

    def told(progress):
        if progress.phase == "waiting" and progress.done_bytes > MIB:
            raise KeyboardInterrupt

    return told


def test_what_is_fetched_lies_as_huggingface_hub_lays_it(server, access, state):
    got = hub.fetch(TINY, access, state_dir=state)

    assert (got.is_here, got.place, got.revision) == (True, "hf_cache", COMMIT)
    assert got.first.read_bytes() == server.repositories["acme/tiny-GGUF"]["tiny-Q4_K_M.gguf"]
    for name in ("tiny-Q4_K_M.gguf", "README.md", "LICENSE"):
        found = huggingface_hub.try_to_load_from_cache("acme/tiny-GGUF", name, cache_dir=access.cache)
        assert found == str(access.cache / f"models--acme--tiny-GGUF/snapshots/{COMMIT}/{name}")
    snapshot = huggingface_hub.snapshot_download("acme/tiny-GGUF", cache_dir=access.cache, local_files_only=True)
    assert snapshot == str(got.first.parent)
    scanned = huggingface_hub.scan_cache_dir(access.cache)
    assert not scanned.warnings
    ((revision,),) = [repository.revisions for repository in scanned.repos]
    assert (revision.commit_hash, revision.refs) == (COMMIT, {"main"})


def test_huggingface_hub_fetches_nothing_again(server, access, state, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    hub.fetch(TINY, access, state_dir=state)
    server.sent = 0
    huggingface_hub.hf_hub_download(
        "acme/tiny-GGUF", "tiny-Q4_K_M.gguf", cache_dir=access.cache, endpoint=server.url, token=False
    )

    assert server.sent == 0


def test_what_huggingface_hub_fetched_is_used_in_place(server, access, offline, state, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    path = huggingface_hub.hf_hub_download(
        "acme/tiny-GGUF", "tiny-Q4_K_M.gguf", cache_dir=access.cache, endpoint=server.url, token=False
    )
    got = hub.fetch(TINY, offline, state_dir=state)

    assert str(got.first) == path
    assert got.files[0].sha256 == hashlib.sha256(got.first.read_bytes()).hexdigest()


def test_what_was_fetched_is_read_for_its_facts_without_the_hub(server, access, offline, state):
    hub.fetch(TINY, access, state_dir=state)
    server.asked.clear()
    found = facts.read(TINY, access)

    assert (found.source.place, found.licence) == ("hf_cache", "apache-2.0")
    assert hub.find(TINY, offline).is_here
    assert not server.asked


def test_a_cut_off_fetch_goes_on_where_it_ended(server, access, state, part_of):
    cut_off(server, access, state)
    held = part_of().stat().st_size
    seen = []
    got = hub.fetch(BIG, access, seen.append, state)

    assert held == 2 * MIB
    assert ranges(server) == [f"bytes={held}-{4 * MIB - 1}"]
    assert server.sent == 2 * MIB  # and the card came the first time
    assert got.first.read_bytes() == server.repositories["acme/big-GGUF"][NAME]
    assert seen[-1].resumed_bytes == held
    assert not list(access.cache.rglob("*.part*"))


def test_find_tells_how_much_is_still_missing(server, access, state):
    cut_off(server, access, state)
    found = hub.find(BIG, access)

    assert not found.is_here
    assert found.missing_bytes == 2 * MIB


def test_a_connection_that_dies_is_taken_up_at_once(server, access, state):
    server.faults[NAME] = Fault(cut=MIB, times=3)
    got = hub.fetch(BIG, access, state_dir=state)

    assert got.is_here
    assert ranges(server) == [None, *(f"bytes={n * MIB}-{4 * MIB - 1}" for n in (1, 2, 3))]


def test_a_hub_that_is_gone_is_told_and_the_part_is_kept(server, access, state, part_of):
    server.faults[NAME] = Fault(status=503)
    with pytest.raises(SourceUnreachable, match="HTTP 503"):
        hub.fetch(BIG, access, state_dir=state)
    server.faults[NAME] = Fault(cut=MIB, times=1)
    server.asked.clear()

    assert hub.fetch(BIG, access, state_dir=state).is_here


def test_a_hub_that_fails_a_few_times_is_asked_again(server, access, state):
    server.faults["listing"] = Fault(status=502, times=2)
    server.faults[NAME] = Fault(status=500, times=3)

    assert hub.fetch(BIG, access, state_dir=state).is_here


def test_silence_in_the_middle_is_not_waited_out(server, access, state):
    brief = dataclasses.replace(access, patience=dataclasses.replace(access.patience, read_seconds=0.6))
    server.faults[NAME] = Fault(stall_after=MIB, times=1)
    started = time.monotonic()

    assert hub.fetch(BIG, brief, state_dir=state).is_here
    assert time.monotonic() - started < 60, "it would last an hour"


def test_a_trickle_is_cut_and_taken_up_again(server, access, state):
    brief = dataclasses.replace(access, patience=dataclasses.replace(access.patience, read_seconds=0.6))
    server.faults[NAME] = Fault(trickle_seconds=0.1, times=1)
    started = time.monotonic()

    assert hub.fetch(BIG, brief, state_dir=state).is_here
    assert time.monotonic() - started < 60, "the whole trickle takes a hundred"


@pytest.mark.parametrize("name", [NAME, "README.md"])
def test_a_byte_that_is_sent_wrong_is_found_and_fetched_again(name, server, access, state):
    server.faults[name] = Fault(flip=17, times=1)
    got = hub.fetch(BIG, access, state_dir=state)

    assert {file.name: file.path.read_bytes()[17] for file in got.files}[name] == (
        server.repositories["acme/big-GGUF"][name][17]
    )


def test_content_that_never_has_its_sum_is_not_used(server, access, state):
    server.faults[NAME] = Fault(flip=17)

    with pytest.raises(SourceUnreachable, match="has the sum"):
        hub.fetch(BIG, access, state_dir=state)
    assert not list(access.cache.rglob(NAME))
    assert not [part for part in access.cache.rglob("*.part") if part.stat().st_size > 100]


def test_a_part_that_was_damaged_meanwhile_costs_one_more_fetch(server, access, state, part_of):
    cut_off(server, access, state)
    with part_of().open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    got = hub.fetch(BIG, access, state_dir=state)

    assert got.first.read_bytes() == server.repositories["acme/big-GGUF"][NAME]
    assert ranges(server) == [f"bytes={2 * MIB}-{4 * MIB - 1}", None]


def damage(path, keep_time=False):
    status = path.stat()
    with path.resolve().open("r+b") as file:
        file.seek(12345)
        byte = file.read(1)
        file.seek(12345)
        file.write(bytes([byte[0] ^ 1]))
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_one_flipped_byte_on_the_disk_is_found_and_fetched_again(server, access, state):
    got = hub.fetch(BIG, access, state_dir=state)
    damage(got.first)
    server.asked.clear()
    again = hub.fetch(BIG, access, state_dir=state)

    assert again.first.read_bytes() == server.repositories["acme/big-GGUF"][NAME]
    assert ranges(server) == [None]


def test_a_byte_that_flips_without_a_trace_is_found_when_all_is_verified(server, access, state):
    got = hub.fetch(BIG, access, state_dir=state)
    damage(got.first, keep_time=True)

    hub.fetch(BIG, access, state_dir=state)
    assert got.first.read_bytes() != server.repositories["acme/big-GGUF"][NAME]
    hub.fetch(BIG, access, state_dir=state, verify=True)
    assert got.first.read_bytes() == server.repositories["acme/big-GGUF"][NAME]


def test_a_damaged_file_is_told_where_it_cannot_be_fetched_again(access, offline, state):
    got = hub.fetch(BIG, access, state_dir=state)
    damage(got.first)

    with pytest.raises(BadModelFile, match=f"{NAME} is damaged"):
        hub.fetch(BIG, offline, state_dir=state)


def test_what_is_here_and_verified_is_not_read_again(server, access, state):
    hub.fetch(BIG, access, state_dir=state)
    server.asked.clear()
    told = []
    hub.fetch(BIG, access, told.append, state)

    assert not server.asked
    assert not told


def test_the_parts_of_a_split_file_are_one_model(server, access, state):
    got = hub.fetch("acme/big-GGUF:Q8_0", access, state_dir=state)

    assert [file.name for file in got.files][:3] == [f"big-Q8_0-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert got.first.name == "big-Q8_0-00001-of-00003.gguf"
    assert got.name == "acme/big-GGUF:Q8_0"
    assert len({file.path.parent for file in got.files}) == 1


def test_a_checkpoint_is_fetched_with_what_belongs_to_it(server, access, state):
    files = {
        "config.json": b"{}", "model.safetensors.index.json": b'{"weight_map": {"a": "model-1.safetensors"}}',
        "model-1.safetensors": noise(1000), "tokenizer.json": b"{}", "pytorch_model.bin": b"pickle",
        "original/consolidated.safetensors": b"x", "consolidated.safetensors": b"x", "onnx/model.onnx": b"x",
        "vae/diffusion.safetensors": b"y", "merges.txt": b"a b", "chat_template.jinja": b"{}", "LICENSE": b"MIT",
        "added_tokens.json": b"",
    }  # fmt: skip
    server.repositories = {"acme/checkpoint": files}
    got = hub.fetch("acme/checkpoint", access, state_dir=state)

    assert {file.name for file in got.files} == {
        "config.json", "model.safetensors.index.json", "model-1.safetensors", "tokenizer.json", "merges.txt",
        "vae/diffusion.safetensors", "chat_template.jinja", "LICENSE", "added_tokens.json",
    }  # fmt: skip
    assert got.first == access.cache / "models--acme--checkpoint" / "snapshots" / COMMIT
    assert (got.first / "vae" / "diffusion.safetensors").read_bytes() == b"y"


def test_few_files_are_fetched_at_once(server, access, state):
    names = [f"m-Q2_K-{number:05d}-of-00012.gguf" for number in range(1, 13)]
    server.repositories = {"acme/many": {name: noise(200_000, n) for n, name in enumerate(names)}}
    server.faults = {name: Fault(bytes_per_second=2_000_000) for name in names}
    hub.fetch("acme/many:Q2_K", access, state_dir=state)

    assert 2 <= server.most_at_once <= 4


def test_a_large_file_is_asked_for_in_pieces(server, access, state):
    modest = dataclasses.replace(access, patience=dataclasses.replace(access.patience, most_asked_bytes=MIB))
    got = hub.fetch(BIG, modest, state_dir=state)

    assert got.first.read_bytes() == server.repositories["acme/big-GGUF"][NAME]
    assert ranges(server) == [f"bytes={n * MIB}-{(n + 1) * MIB - 1}" for n in range(4)]


def test_too_little_room_is_told_with_the_sum_before_the_first_byte(server, access, state):
    server.stated_sizes[NAME] = 1 << 60

    with pytest.raises(NotEnoughDisk, match=r"1,152,921,504,606,84\d,\d+ bytes.*free.*too few"):
        hub.fetch(BIG, access, state_dir=state)
    assert not server.files_asked()


def test_a_gated_model_is_told_with_the_page_of_its_licence(server, access, state):
    server.faults[NAME] = Fault(status=403, headers={"X-Error-Code": "GatedRepo"})

    with pytest.raises(ModelGated, match="gated") as caught:
        hub.fetch(BIG, access, state_dir=state)
    assert f"{server.url}/acme/big-GGUF" in caught.value.hint


def test_what_is_not_there_is_told_as_that(access, state):
    with pytest.raises(BadModelFile, match="no such repository"):
        hub.fetch("acme/none", access, state_dir=state)
    with pytest.raises(BadModelFile, match="no GGUF file is named Q3_K_S"):
        hub.fetch("acme/big-GGUF:Q3_K_S", access, state_dir=state)


@pytest.mark.parametrize("name", ["listing", NAME])
def test_a_limited_rate_is_waited_for_as_long_as_it_asks(name, server, access, state):
    server.faults[name] = Fault(status=429, headers={"Retry-After": "1"}, times=1)
    started = time.monotonic()

    assert hub.fetch(BIG, access, state_dir=state).is_here
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("name", ["listing", NAME])
def test_a_limit_that_stays_is_told_as_a_limit(name, server, access, state):
    server.faults[name] = Fault(status=429, headers={"Retry-After": "86400"})

    with pytest.raises(RateLimited, match="limits the rate") as caught:
        hub.fetch(BIG, access, state_dir=state)
    assert caught.value.wait_seconds == 86400
    assert "not" not in str(caught.value).split(": ", 1)[1]


def test_the_token_goes_to_the_hub_and_nowhere_else(server, access, state):
    hub.fetch(BIG, dataclasses.replace(access, token="hf_secret"), state_dir=state)

    assert {asked.authorization for asked in server.asked if asked.server == "hub"} == {"Bearer hf_secret"}
    assert {asked.authorization for asked in server.asked if asked.server == "cdn"} == {None}


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_to_no_web_address_ends_the_fetch(target, server, access, state):
    server.faults[NAME] = Fault(redirect=target)

    with pytest.raises(SourceUnreachable, match="redirects to"):
        hub.fetch(BIG, access, state_dir=state)


def test_https_is_not_left_for_http(tls, access, state, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    repositories = {"acme/m": {"m-Q4_0.gguf": noise(1000)}}

    with running_hub(repositories, tls) as safe, pytest.raises(SourceUnreachable, match="from https to 'http://"):
        hub.fetch("acme/m", dataclasses.replace(access, endpoint=safe.url, token="hf_secret"), state_dir=state)
    assert {asked.server for asked in safe.asked} == {"hub"}


def test_offline_nothing_is_asked(server, offline, state):
    with pytest.raises(SourceUnreachable, match="HF_HUB_OFFLINE"):
        hub.fetch(BIG, offline, state_dir=state)
    assert not server.asked


def test_a_hub_that_states_no_sums_is_served_all_the_same(server, access, offline, state):
    server.tells_sums = False
    got = hub.fetch(TINY, access, state_dir=state)

    assert got.first.read_bytes() == server.repositories["acme/tiny-GGUF"]["tiny-Q4_K_M.gguf"]
    assert hub.fetch(TINY, offline, state_dir=state).first == got.first


def test_a_part_without_a_sum_is_gone_on_with_only_if_the_file_is_the_same(server, access, state):
    server.tells_sums = False
    cut_off(server, access, state)
    changed = noise(4 * MIB, 99)
    server.repositories["acme/big-GGUF"][NAME] = changed
    got = hub.fetch(BIG, access, state_dir=state)

    assert ranges(server) == [f"bytes={2 * MIB}-{4 * MIB - 1}"]
    assert got.first.read_bytes() == changed


def test_a_server_that_ignores_ranges_sends_it_all_and_that_is_used(server, access, state):
    cut_off(server, access, state)
    server.faults[NAME] = Fault(ignores_range=True)
    got = hub.fetch(BIG, access, state_dir=state)

    assert got.first.read_bytes() == server.repositories["acme/big-GGUF"][NAME]


def test_a_range_that_was_not_asked_for_is_refused(server, access, state):
    cut_off(server, access, state)
    server.faults[NAME] = Fault(content_range=f"bytes 5-{4 * MIB - 1}/{4 * MIB}")

    with pytest.raises(SourceUnreachable, match="sends those from 5"):
        hub.fetch(BIG, access, state_dir=state)


def test_a_file_that_changed_its_length_is_told(server, access, state):
    server.stated_sizes[NAME] = 3 * MIB

    with pytest.raises(BadModelFile, match="4,194,304 bytes, and the listing says 3,145,728"):
        hub.fetch(BIG, access, state_dir=state)


def test_unchanged_files_of_a_newer_commit_are_not_fetched_again(server, access, offline, state):
    hub.fetch(BIG, access, state_dir=state)
    files = {**server.repositories["acme/big-GGUF"], "README.md": b"new"}
    server.publish("acme/big-GGUF", files, "d" * 40)
    server.sent = 0
    got = hub.fetch(BIG, access, state_dir=state, newest=True)

    assert (got.revision, server.sent) == ("d" * 40, len(b"new"))
    assert hub.find(BIG, offline).revision == "d" * 40


def test_a_newer_commit_keeps_the_other_models_that_it_did_not_change(server, access, offline, state):
    hub.fetch("acme/tiny-GGUF:Q8_0", access, state_dir=state)
    hub.fetch(TINY, access, state_dir=state)
    files = {**server.repositories["acme/tiny-GGUF"], "tiny-Q4_K_M.gguf": b"GGUF newer"}
    server.publish("acme/tiny-GGUF", files, "d" * 40)
    hub.fetch(TINY, access, state_dir=state, newest=True)

    assert hub.find("acme/tiny-GGUF:Q8_0", offline).revision == "d" * 40
    assert hub.find("acme/tiny-GGUF", offline).name == TINY
    assert {one.source for one in hub.stored(access, state)} == {
        TINY, "acme/tiny-GGUF:Q8_0", f"acme/tiny-GGUF@{COMMIT}:Q4_K_M",
    }  # fmt: skip


def test_a_revision_that_is_named_is_fetched_and_does_not_become_main(server, access, state):
    server.publish("acme/tiny-GGUF", {"tiny-Q4_K_M.gguf": b"GGUF newer"}, "d" * 40)
    old = hub.fetch(f"acme/tiny-GGUF@{COMMIT}:Q4_K_M", access, state_dir=state)
    new = hub.fetch(TINY, access, state_dir=state)

    assert (old.revision, new.revision) == (COMMIT, "d" * 40)
    assert new.first.read_bytes() == b"GGUF newer"
    assert old.first.read_bytes() != new.first.read_bytes()


def test_threads_that_fetch_the_same_fetch_it_once(server, access, state):
    server.faults[NAME] = Fault(bytes_per_second=4 * MIB)
    got = []
    threads = [threading.Thread(target=lambda: got.append(hub.fetch(BIG, access, state_dir=state))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == 4
    assert len(ranges(server)) == 1


def test_threads_that_fetch_the_same_address_fetch_it_once(access, state):
    content = noise(3 * MIB)
    sent = []

    def answer(handler):
        if handler.headers.get("Range") == "bytes=0-0":
            handler.send(206, content[:1], {"Content-Range": f"bytes 0-0/{len(content)}"})
            return
        sent.append(1)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for start in range(0, len(content), MIB // 4):
            handler.wfile.write(content[start : start + MIB // 4])
            time.sleep(0.05)

    with serving(answer) as web:
        address = f"{web}/files/some-Q4_0.gguf"
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda _: hub.fetch(address, access, state_dir=state), range(4)))

    assert len(sent) == 1
    assert {each.files[0].sha256 for each in got} == {hashlib.sha256(content).hexdigest()}


def test_a_file_by_its_address_is_kept_and_gone_on_with(server, access, offline, state):
    content = noise(3 * MIB)
    asked = []

    def answer(handler):
        asked.append((handler.headers.get("Range"), handler.headers.get("If-Range")))
        start = int((handler.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        if handler.headers.get("Range") == "bytes=0-0":
            handler.send(206, content[:1], {"Content-Range": f"bytes 0-0/{len(content)}", "ETag": '"v1"'})
        elif len(asked) == 2:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.send_header("ETag", '"v1"')
            handler.end_headers()
            handler.wfile.write(content[:MIB])
            handler.close_connection = True
        else:
            headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}", "ETag": '"v1"'}
            handler.send(206, content[start:], headers)

    with serving(answer) as web:
        got = hub.fetch(f"{web}/files/some-Q4_0.gguf", access, state_dir=state)
        assert got.first.read_bytes() == content
        assert asked[2] == (f"bytes={MIB}-{3 * MIB - 1}", '"v1"')
        count = len(asked)
        assert hub.fetch(f"{web}/files/some-Q4_0.gguf", offline, state_dir=state).first == got.first
        assert len(asked) == count
        assert got.first.is_relative_to(state)
        assert got.files[0].sha256 == hashlib.sha256(content).hexdigest()
