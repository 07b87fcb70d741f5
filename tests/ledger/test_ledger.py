"""The ledger: what was written is read back and proven, and whatever is done to it is found and named."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge import ledger
from weighbridge.ledger import Keep, Ledger, Served, folder_of
from weighbridge.ledger.row import canonical
from weighbridge.ledger.served import row_of


def served(number: int = 0, at: float | None = None, **changes: object) -> Served:
    row = Served(
        time.time() if at is None else at, f"req_{number}", "/v1/chat/completions", "auto", "small", "card", "it fits",
        "ab" * 32, None, 200, "done", None, True, 12, 34, None, 5, 600, 7000,
    )  # fmt: skip
    return row._replace(**changes)


def written(state: Path, count: int = 10, **options: object) -> Path:
    """A ledger with so many requests; its only file."""
    writer = Ledger.open(state, **options)
    for number in range(count):
        writer.served(served(number))
    writer.close()
    return sorted((folder_of(state) / "0").glob("*.jsonl"))[-1]


def kinds_of(verdict: ledger.Verdict) -> list[str]:
    return [problem.kind for problem in verdict.problems]


def test_rows_are_read_back_as_they_were_told(tmp_path):
    written(tmp_path, 3)

    rows = list(ledger.rows(folder_of(tmp_path)))

    assert [row.kind for row in rows] == ["opened", "request", "request", "request"]
    assert [row.number for row in rows] == [1, 2, 3, 4]
    assert rows[2].fields["id"] == "req_1"
    assert rows[2].fields["completion_tokens"] == 34
    assert rows[2].fields["cached_tokens"] is None
    assert abs(rows[2].time - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)


text = st.text(max_size=40)
maybe = st.none() | text
count = st.none() | st.integers(0, 1 << 50)


@given(st.builds(Served, st.floats(0, 4e9), text, text, maybe, maybe, maybe, maybe, maybe, maybe, count, text, maybe,
                 st.booleans(), count, count, count, count, count, st.integers(0, 1 << 50), maybe, maybe))  # fmt: skip
def test_a_row_made_by_hand_is_what_json_would_write(told):
    row = row_of(7, "2026-11-21T10:00:00.000000Z", told)

    assert canonical(json.loads(row)) == row
    assert json.loads(row)["reason"] == told.reason
    assert json.loads(row).get("answer") == told.answer


def test_anyone_can_check_it_with_a_few_lines(tmp_path):
    previous = "0" * 64
    for line in written(tmp_path).read_text().splitlines():
        row = line[len('{"hash":"') + 64 + len('","row":') : -1]
        previous = hashlib.sha256((previous + row).encode()).hexdigest()
        assert json.loads(line)["hash"] == previous

    verdict = ledger.verify(folder_of(tmp_path), previous.upper())

    assert verdict.is_untouched
    assert verdict.rows == 11
    assert (
        [head.hash for head in verdict.heads] == [head.hash for head in ledger.heads(folder_of(tmp_path))] == [previous]
    )


def rehashed(lines: list[bytes], start: int) -> list[bytes]:
    """The chain made anew from a line on, as somebody would who knows how."""
    previous = json.loads(lines[start - 1])["hash"]
    made = lines[:start]
    for line in lines[start:]:
        body = line[81:-1]
        previous = hashlib.sha256(previous.encode() + body).hexdigest()
        made.append(b'{"hash":"%b","row":%b}' % (previous.encode(), body))
    return made


def forged(line: bytes, number: int, previous: str) -> bytes:
    body = re.sub(rb'"number":\d+', b'"number":%d' % number, line[81:-1])
    return b'{"hash":"%b","row":%b}' % (hashlib.sha256(previous.encode() + body).hexdigest().encode(), body)


def hash_of(line: bytes) -> str:
    return json.loads(line)["hash"]


TAMPERING = {
    "a token count is changed": (lambda x: [*x[:4], x[4].replace(b":34,", b":35,"), *x[5:]], "changed", 5),
    "a row and its hash are changed": (
        lambda x: [*x[:4], *rehashed([x[3], x[4].replace(b":34,", b":35,")], 1)[1:], *x[5:]], "changed", 6,
    ),
    "a hash is changed": (lambda x: [*x[:4], x[4][:20] + b"00" + x[4][22:], *x[5:]], "changed", 5),
    "a row is removed": (lambda x: [*x[:4], *x[5:]], "removed", 5),
    "several are removed": (lambda x: [*x[:4], *x[8:]], "removed", 5),
    "a row is put in": (lambda x: [*x[:4], forged(x[3], 5, hash_of(x[3])), *x[4:]], "inserted", 5),
    "a row is repeated": (lambda x: [*x[:4], x[3], *x[4:]], "inserted", 5),
    "two change places": (lambda x: [*x[:4], x[5], x[4], *x[6:]], "reordered", 5),
    "a line is garbage": (lambda x: [*x[:4], b"\xff\x00garbage", *x[4:]], "unreadable", 5),
    "the tail is cut off": (lambda x: x[:-2], "truncated", None),
    "the beginning is cut off": (lambda x: x[2:], "removed", 1),
    "the last row is changed and hashed anew": (
        lambda x: rehashed([*x[:-1], x[-1].replace(b":34,", b":35,")], len(x) - 1), "changed", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERING)
def test_what_was_done_to_it_is_named_with_the_line(tmp_path, name):
    change, kind, line = TAMPERING[name]
    file = written(tmp_path)
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join(change(lines)) + b"\n")

    verdict = ledger.verify(folder_of(tmp_path))

    assert kinds_of(verdict) == [kind]
    if line is not None:
        assert (verdict.problems[0].segment, verdict.problems[0].line) == (file.name, line)


def test_a_ledger_that_was_written_anew_as_a_whole_is_found_by_a_hash_noted_elsewhere(tmp_path):
    file = written(tmp_path)
    noted = ledger.heads(folder_of(tmp_path))[0].hash
    lines = file.read_bytes().splitlines()
    lines = rehashed([*lines[:4], lines[4].replace(b":34,", b":35,"), *lines[5:]], 4)
    file.write_bytes(b"\n".join(lines) + b"\n")
    head = file.parent / "head.json"
    head.write_text(head.read_text().replace(noted, hash_of(lines[-1])))

    assert ledger.verify(folder_of(tmp_path)).is_untouched
    assert kinds_of(ledger.verify(folder_of(tmp_path), noted)) == ["rewritten"]


@pytest.fixture(scope="module")
def small_ledger(tmp_path_factory) -> tuple[Path, bytes]:
    file = written(tmp_path_factory.mktemp("flip"), 5)
    return file, file.read_bytes()


@given(st.integers(0, 5000), st.integers(1, 255))
def test_no_byte_can_change_unseen(small_ledger, at, flip):
    file, sound = small_ledger
    raw = bytearray(sound)
    raw[at % len(raw)] ^= flip
    file.write_bytes(raw)

    assert not ledger.verify(file.parent.parent).is_untouched


WRITER = """
import sys, time
from pathlib import Path
from weighbridge.ledger import Ledger
from tests.ledger.test_ledger import served
writer = Ledger.open(Path(sys.argv[1]))
print("open", flush=True)
for number in range(10**9):
    writer.served(served(number))
    time.sleep(0.0005)
"""


def start_writer(state: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(state)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "open\n"
    return child


def test_a_writer_that_is_killed_leaves_a_ledger_that_is_sound_and_goes_on(tmp_path):
    folder = folder_of(tmp_path)
    children = [start_writer(tmp_path) for _ in range(2)]
    until = time.monotonic() + 60
    while len({row.chain for row in ledger.rows(folder) if row.number > 200}) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert ledger.verify(folder).is_untouched, "while it is written"
    for child in children:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    before = ledger.verify(folder)
    assert before.is_untouched
    assert len(before.heads) == 2, "two processes, two chains"

    written(tmp_path, 5)
    after = ledger.verify(folder)

    assert after.is_untouched
    assert after.rows >= before.rows + 5


@pytest.mark.parametrize("rest", [b'{"hash":"ab', b"\0" * 700])
def test_a_torn_line_is_told_apart_from_tampering_and_never_changed(tmp_path, rest):
    file = written(tmp_path)
    with file.open("ab") as end:
        end.write(rest)
    unfinished = ledger.verify(folder_of(tmp_path))
    assert unfinished.is_untouched
    assert "not finished" in unfinished.notes[0]
    torn = file.read_bytes()

    later = written(tmp_path, 3)
    verdict = ledger.verify(folder_of(tmp_path))

    assert file.read_bytes() == torn
    assert later != file
    assert verdict.is_untouched
    assert verdict.rows == 11 + 4
    assert "killed" in verdict.notes[0]

    file.write_bytes(torn[:-1])
    assert kinds_of(ledger.verify(folder_of(tmp_path))) == ["truncated"]


@pytest.mark.parametrize("harm", ["no head file", "cut", "changed", "all gone"])
def test_a_writer_goes_on_after_harm_and_the_harm_stays_seen(tmp_path, harm):
    file = written(tmp_path)
    raw = file.read_bytes()
    if harm == "no head file":
        (file.parent / "head.json").unlink()
    elif harm == "cut":
        file.write_bytes(b"".join(raw.splitlines(keepends=True)[:-3]))
    elif harm == "changed":
        (file.parent / "head.json").unlink()
        file.write_bytes(raw.replace(b"req_4", b"req_5", 1))
    else:
        file.unlink()

    written(tmp_path, 3)
    verdict = ledger.verify(folder_of(tmp_path))

    assert verdict.is_untouched == (harm == "no head file")
    assert ledger.last(folder_of(tmp_path), 1)[0].fields["id"] == "req_2"


@pytest.fixture(scope="module")
def three_files(tmp_path_factory) -> Path:
    """A folder of state whose ledger has three files, of which the last has two requests."""
    state = tmp_path_factory.mktemp("three")
    written(state, 14, keep=Keep(segment_bytes=2_800))
    files = sorted((folder_of(state) / "0").glob("*.jsonl"))
    assert [len(file.read_bytes().splitlines()) for file in files] == [7, 7, 3]
    return state


@contextlib.contextmanager
def copied(state: Path) -> Iterator[tuple[Path, list[Path]]]:
    """A copy of a folder of state, and its ledger's files."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        shutil.copytree(state, folder, dirs_exist_ok=True)
        yield Path(folder), sorted((folder_of(Path(folder)) / "0").glob("*.jsonl"))


def put_head(file: Path, whole: bytes) -> None:
    """Have the head file say that the file was written up to there."""
    line = json.loads(whole.splitlines()[-1])
    said = {"number": line["row"]["number"], "hash": line["hash"], "segment": file.name, "bytes": len(whole)}
    (file.parent / "head.json").write_text(json.dumps(said))


@given(st.data())
def test_a_writer_may_be_killed_at_any_byte_and_every_whole_row_stays(three_files, data):
    with copied(three_files) as (state, files):
        raw = files[-1].read_bytes()
        at = data.draw(st.integers(0, len(raw)) | st.integers(0, len(raw.splitlines()[0])))
        cut = raw[:at]
        files[-1].write_bytes(cut)
        whole = cut[: cut.rfind(b"\n") + 1]
        if data.draw(st.booleans()):
            (files[-1].parent / "head.json").unlink()
        else:
            put_head(files[-1] if whole else files[-2], whole or files[-2].read_bytes())
        rows = 14 + whole.count(b"\n")
        before = ledger.verify(folder_of(state))
        assert (before.is_untouched, before.rows) == (True, rows)

        for attempt in range(2):  # and the next one too, within its first row
            later = written(state, 1)
            assert later.read_bytes().endswith(b"\n")
            verdict = ledger.verify(folder_of(state))
            assert verdict.is_untouched, verdict.problems
            assert verdict.rows == rows + (1 if at and at == len(whole) else 2)
            assert any("killed" in note for note in verdict.notes) == (at > len(whole) or bool(attempt))
            if attempt or len(sorted(files[0].parent.glob("*.jsonl"))) == 3:
                break
            later.write_bytes(later.read_bytes()[:30])
            put_head(files[-1] if whole else files[-2], whole or files[-2].read_bytes())
        assert ledger.last(folder_of(state), 1)[0].fields["id"] == "req_0"


def test_a_file_whose_writer_was_killed_in_its_first_row_may_become_the_oldest(tmp_path):
    keep = Keep(bytes=1, segment_bytes=1_000)
    first = written(tmp_path, 3, keep=keep)
    first.write_bytes(first.read_bytes()[:40])
    for _ in range(3):
        written(tmp_path, 5, keep=keep)
        assert ledger.verify(folder_of(tmp_path)).problems == ()


@given(st.data())
def test_no_harm_to_any_file_keeps_a_gateway_from_writing_on(three_files, data):
    with copied(three_files) as (state, files):
        file = data.draw(st.sampled_from(files))
        raw = bytearray(file.read_bytes())
        at = data.draw(st.integers(0, len(raw) - 1) | st.integers(0, raw.index(b"\n")))
        raw[at] = data.draw(st.sampled_from([value for value in (0xFF, 0x0A, 0x22, 0x7B, 0x78) if value != raw[at]]))
        file.write_bytes(raw)

        written(state, 2, keep=Keep(bytes=3_000, segment_bytes=2_800))
        assert not ledger.verify(folder_of(state)).is_untouched
        assert ledger.last(folder_of(state), 1)[0].fields["id"] == "req_1"


@pytest.mark.parametrize(
    "said",
    [b"", b"[]", b"\xff", b'{"number": 1}', b"[" * 99_999, b'{"number":1e400,"hash":"%b","segment":"%b","bytes":1}',
     b'{"number":2,"hash":"%b","segment":"%b","bytes":-3}', b'{"number":-2,"hash":"%b","segment":"%b","bytes":3}'],
)  # fmt: skip
def test_a_head_file_that_is_none_is_passed_over(tmp_path, said):
    file = written(tmp_path)
    named = said % (b"ab" * 32, file.name.encode()) if b"%b" in said else said
    (file.parent / "head.json").write_bytes(named)

    assert ledger.verify(folder_of(tmp_path)).problems == ()
    written(tmp_path, 3)
    assert ledger.verify(folder_of(tmp_path)).problems == ()


@pytest.mark.parametrize(
    "said", [{"kind": "removed"}, {"kind": "removed", "last": [1], "end": 2}, {"kind": "lost"}, {"kind": "opened"}]
)
def test_a_row_that_no_writer_writes_is_named_also_where_all_hashes_are_right(tmp_path, said):
    file = written(tmp_path)
    lines = file.read_bytes().splitlines()
    body = canonical({"number": 4, "time": "2026-11-21T10:00:00.000000Z", **said}).encode()
    lines[3] = b'{"hash":"%b","row":%b}' % (b"0" * 64, body)
    file.write_bytes(b"\n".join(rehashed(lines, 3)) + b"\n")

    (problem,) = ledger.verify(folder_of(tmp_path)).problems
    assert (problem.kind, problem.line, problem.number) == ("changed", 4, 4)


def test_old_files_go_and_what_is_left_can_still_be_proven(tmp_path):
    keep = Keep(bytes=20_000, segment_bytes=4_000)
    file = written(tmp_path, 100, keep=keep)
    noted = ledger.heads(folder_of(tmp_path))[0].hash
    files = sorted(file.parent.glob("*.jsonl"))

    verdict = ledger.verify(folder_of(tmp_path), noted)

    assert not files[0].name.startswith("000000000001-")
    assert sum(each.stat().st_size for each in files) < 25_000
    assert verdict.is_untouched
    assert "removed in order" in verdict.notes[0]

    files[0].unlink()
    assert kinds_of(ledger.verify(folder_of(tmp_path))) == ["removed"]


def test_each_day_begins_a_file_and_days_too_old_go(tmp_path):
    keep = Keep(days=2)
    writer = Ledger.open(tmp_path, keep)
    for day in range(5):
        writer.served(served(day, at=time.time() + day * 86_400))
    writer.close()

    days = [row.time.date() for row in ledger.rows(folder_of(tmp_path)) if row.kind == "request"]

    assert len(days) == 4, "a file goes two days after the last of its rows"
    assert ledger.verify(folder_of(tmp_path)).is_untouched


def test_a_removed_file_in_the_midst_is_missed(tmp_path):
    file = written(tmp_path, 60, keep=Keep(segment_bytes=4_000))
    files = sorted(file.parent.glob("*.jsonl"))
    files[2].unlink()

    (problem,) = ledger.verify(folder_of(tmp_path)).problems

    assert (problem.kind, problem.segment, problem.line) == ("removed", files[3].name, 1)


def test_a_full_disk_stops_nobody_and_the_gap_is_told(tmp_path):
    writer = Ledger.open(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        for number in range(25_000):
            writer.served(served(number))
        lost = writer.lost
        assert lost > 0, "8 MiB may wait, and no more"
        time.sleep(0.5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folder = folder_of(tmp_path)
    until = time.monotonic() + 60
    while writer.head.number != next((head.number for head in ledger.heads(folder)), 0):
        assert time.monotonic() < until
        time.sleep(0.02)
    writer.served(served(1))
    writer.close()

    verdict = ledger.verify(folder)

    assert verdict.is_untouched
    assert verdict.rows == 25_000 - lost + 3
    assert f"{lost} were left out" in verdict.notes[0]


def test_the_newest_rows_are_found_from_the_end(tmp_path):
    written(tmp_path, 500, keep=Keep(segment_bytes=20_000))
    folder = folder_of(tmp_path)

    newest = ledger.last(folder, 3)
    wanted = ledger.last(folder, 2, wanted=lambda row: row.fields.get("id") in ("req_7", "req_250", "req_499"))
    since = list(ledger.rows(folder, since=newest[1].time))

    assert [row.fields["id"] for row in newest] == ["req_497", "req_498", "req_499"]
    assert [row.fields["id"] for row in wanted] == ["req_250", "req_499"]
    assert [row.fields["id"] for row in since] == ["req_498", "req_499"]


def test_rows_are_followed_as_they_come_into_new_files_too(tmp_path):
    writer = Ledger.open(tmp_path, Keep(segment_bytes=4_000))
    until = time.monotonic() + 60
    found = []
    told = iter(ledger.follow(folder_of(tmp_path), goes_on=lambda: time.monotonic() < until))
    for number in range(30):
        writer.served(served(number))
    while len(found) < 30:
        row = next(told)
        found += [row.fields["id"]] if row.kind == "request" else []
    writer.close()

    assert found == [f"req_{number}" for number in range(30)]


def test_nobody_else_may_read_it(tmp_path):
    file = written(tmp_path)

    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(Exception, match="cannot be written"):
        Ledger.open(tmp_path)
