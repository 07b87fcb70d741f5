"""Coverage-guided fuzzing of each reader; the corpus that it found is kept and replayed by the main tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from tests.fuzz import targets

SECONDS = int(float(os.environ.get("FUZZ_SECONDS", "600")))
ROOT = Path(__file__).parents[2]
INPUTS = [path for target in targets.TARGETS for path in sorted((targets.CORPUS / target).glob("*"))]


@pytest.mark.parametrize("target", targets.TARGETS)
def test_the_kept_corpus_is_read_or_refused_in_bounded_time_and_memory(tmp_path, target):
    inputs = [path for path in INPUTS if path.parent.name == target]
    read = 0
    for path in inputs:
        data = path.read_bytes()
        tracemalloc.start()
        begun = time.process_time()
        read += targets.run(target, data, tmp_path / "model")
        assert time.process_time() - begun < 20, path
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data) + (4 << 20), path
        tracemalloc.stop()

    assert len(inputs) > 20
    assert 0 < read < len(inputs)


@pytest.mark.fuzz
@pytest.mark.parametrize("target", targets.TARGETS)
def test_no_input_crashes_or_stalls_a_reader(tmp_path, target):
    pytest.importorskip("atheris", reason="atheris is installed by `make fuzz`")
    found = tmp_path / "found"
    found.mkdir()
    corpus = str(targets.CORPUS / target)
    options = [
        f"-max_total_time={SECONDS}",
        "-timeout=1",
        "-rss_limit_mb=1024",
        "-max_len=65536",
        "-print_final_stats=1",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.coverage_guided", target, str(found), corpus, *options],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        timeout=SECONDS + 300,
    )  # fmt: skip
    print("\n".join(done.stderr.splitlines()[-12:]))
    kept = os.environ.get("FUZZ_KEEP")
    if kept:
        for path in found.iterdir():
            shutil.copy(path, targets.CORPUS / target)
    assert done.returncode == 0, done.stderr[-4000:]
