"""Small files are put in place at once."""

from __future__ import annotations

import pytest

from weighbridge.whole_files import write_whole


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_is_there_whole_and_nothing_else_is(tmp_path, sync):
    path = tmp_path / ("n" * 200)
    path.write_text("old")
    write_whole(path, "new ü", sync=sync)

    assert path.read_text(encoding="utf-8") == "new ü"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
