"""`weigh digest` as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import SHARED, run_weigh
from weighbridge.cli.main import main

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "posts"
ARTICLES = SHARED / "data" / "articles"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The example's digest in all its forms."""
    folder = tmp_path_factory.mktemp("digest")
    outputs = ["--html", str(folder / "d.html"), "--vault", str(folder / "vault"), "--feed", str(folder / "d.xml")]
    done = run_weigh(
        "digest", "--source", f"file:{EXAMPLE}", "--offline", *outputs, "--machine", "rtx 4090",
        WEIGHBRIDGE_STATE_DIR=str(folder / "state"), HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_example_in_the_readme_needs_no_network(made):
    folder, page = made

    assert re.search(r"✗ \*\*DeepSeek-V3\*\*: .*400B parameters", page), page[:3000]
    assert "671B" in page
    assert "rtx 4090" in page
    assert (folder / "d.html").read_text().startswith("<!doctype html>")
    assert (folder / "vault" / "Families" / "DeepSeek.md").exists()
    assert "<feed" in (folder / "d.xml").read_text()


def test_what_is_recorded_is_published_again_byte_by_byte(made):
    folder, page = made
    before = {
        path: path.read_bytes() for path in [folder / "d.html", folder / "d.xml", *(folder / "vault").rglob("*.md")]
    }
    done = run_weigh(
        "digest", "--source", f"file:{EXAMPLE}", "--no-gather", "--html", str(folder / "d.html"), "--vault",
        str(folder / "vault"), "--feed", str(folder / "d.xml"), "--machine", "rtx 4090",
        WEIGHBRIDGE_STATE_DIR=str(folder / "state"),
    )  # fmt: skip

    assert done.stdout == page
    assert {path: path.read_bytes() for path in before} == before
    assert "0 notes made, 0 changed" in done.stderr


@pytest.fixture
def weigh(monkeypatch, capsys, tmp_path):
    """The command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("WEIGHBRIDGE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments: str, state: Path | None = None) -> tuple[int, str, str]:
        if state is not None:
            monkeypatch.setenv("WEIGHBRIDGE_STATE_DIR", str(state))
        try:
            code = main(["digest", *arguments])
        except SystemExit as error:
            code = int(error.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_the_edition_is_printed_as_data(made, weigh):
    folder, _ = made
    _, out, _ = weigh("--source", f"file:{EXAMPLE}", "--no-gather", "--json", state=folder / "state")

    edition = json.loads(out)
    [refuted] = [entry for entry in edition["entries"] if entry["ruling"] == "refuted" and "400B" in entry["says"]]
    assert refuted["reasons"]
    assert refuted["id"] in edition["traces"]


def test_what_i_run_is_told_what_could_replace_it(tmp_path, weigh):
    settings = tmp_path / "weighbridge.toml"
    settings.write_text(
        f'[models.helper]\nsource = "Qwen/Qwen2.5-Coder-7B-Instruct"\n[digest]\nsources = ["file:{EXAMPLE}"]\n'
        'title = "My week"\nwatch = ["DeepSeek"]\nmachines = ["2x a100-80gb"]\n'
    )
    _, out, _ = weigh("--offline", "--config", str(settings), "--until", "2026-04-19")

    assert out.startswith("# My week: 2026-04-13")
    assert re.search(r"a100-80gb: fits at", out)
    assert re.search(r"helper \(Qwen2\.5-Coder-7B-Instruct\)", out)
    assert "You watch" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--source", "hf:popular"], "is no listing of the hub"), (["--source", "file:/not/there"], "is not there"),
     (["--since", "2026-04-20", "--until", "2026-04-01", "--no-gather"], "is after"),
     (["--since", "soon"], "is no day"), (["--no-gather"], "nothing is recorded")],
)  # fmt: skip
def test_what_cannot_be_is_told_in_a_line(weigh, arguments, told):
    code, _, err = weigh(*arguments)

    assert code == 1
    assert told in err


def test_the_week_of_the_four_articles(tmp_path, weigh):
    if not ARTICLES.is_dir():
        pytest.skip("the articles lie in ../shared, which is not here")
    _, out, _ = weigh(
        "--source", f"file:{ARTICLES}", "--source", f"file:{SHARED}/data/series/hf_trending_timeseries.csv",
        "--offline", "--json", "--vault", str(tmp_path / "vault"), "--html", str(tmp_path / "d.html"),
    )  # fmt: skip

    edition = json.loads(out)
    assert (edition["since"], edition["until"], len(edition["pages"])) == ("2026-04-13", "2026-04-19", 4)
    assert len(edition["contradictions"]) > 3
    assert edition["moves"][0] | {"record": "", "points": []} == {
        "model": "tencent/HY-Embodied-0.5", "record": "", "likes": "133 to 864 (+731)",
        "downloads": "582 to 1.45K (x2.50)",
        "points": [], "is_new": False,
    }  # fmt: skip
    assert {"Qwen.md", "Llama.md", "Gemma.md", "DeepSeek.md"} <= {
        path.name for path in (tmp_path / "vault" / "Families").iterdir()
    }
    assert str(ARTICLES) not in (tmp_path / "d.html").read_text()
