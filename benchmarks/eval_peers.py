"""Other evaluation harnesses beside ours: their set-up in folders of their own, their commands, and what they wrote.

    .venv/bin/python benchmarks/eval_peers.py

sets up those that are missing in build/peers (which git ignores): lm-eval and Inspect in virtual environments,
promptfoo and the Node that it needs by npm. Nothing of ours needs them. A peer that cannot be had here is left out,
with the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weighbridge.evals import EvalLog
from weighbridge.evals.imports import read_results

FOLDER = Path(__file__).parents[1] / "build" / "peers"
_INSTALL_SECONDS = 1500


@dataclass(frozen=True)
class Peer:
    """A harness of others."""

    name: str
    version: str
    install: tuple[tuple[str, ...], ...]
    """Commands that set it up; `{here}` is its folder."""
    program: tuple[str, ...]
    """How it is started, likewise."""
    arguments: Callable[[Path, str, Path, int], list[str]]
    """Of a run: the file of sums, the server's address, where its logs go, how many requests at once."""
    results: str
    """The files of results in the folder of logs, as a pattern."""
    codes: tuple[int, ...] = (0,)
    """Exit codes of a run that went through; promptfoo's is 100 where an answer is wrong."""

    def path(self, text: str, folder: Path) -> str:
        """With its folder put in."""
        return text.replace("{here}", str(folder / self.name))

    def command(self, folder: Path) -> list[str]:
        """How it is started."""
        return [self.path(word, folder) for word in self.program]

    def logs(self, folder: Path) -> list[EvalLog]:
        """What it wrote, as our own imports read it; nothing where it wrote nothing."""
        newest = max(folder.rglob(self.results), key=lambda path: path.stat().st_mtime, default=None)
        return [] if newest is None else read_results(newest)


def _lm_eval(path: Path, url: str, logs: Path, concurrency: int) -> list[str]:
    """lm-eval's chat client on the same file."""
    (path.parent / f"{path.stem}.yaml").write_text(
        f"task: {path.stem}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {path}}}}}\n"
        "test_split: test\noutput_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{answer}}'\n"
        "generation_kwargs: {until: ['@@@'], max_gen_toks: 64}\n"
        "filter_list: [{name: x, filter: [{function: regex, regex_pattern: '#### ([0-9]+)'}, "
        "{function: take_first}]}]\nmetric_list: [{metric: exact_match}]\n"
    )
    arguments = f"model=mock,base_url={url}/v1/chat/completions,num_concurrent={concurrency},tokenized_requests=False"
    return [
        *("--model", "local-chat-completions", "--model_args", arguments, "--tasks", path.stem),
        *("--include_path", str(path.parent), "--apply_chat_template", "--log_samples", "--output_path", str(logs)),
    ]


def _inspect(path: Path, url: str, logs: Path, concurrency: int) -> list[str]:
    """Inspect's OpenAI client on the same file."""
    task = path.with_name(f"{path.stem}_task.py")
    task.write_text(
        "from inspect_ai import Task, task\nfrom inspect_ai.dataset import FieldSpec, json_dataset\n"
        "from inspect_ai.scorer import match\nfrom inspect_ai.solver import generate\n\n\n@task\ndef sums():\n"
        f"    data = json_dataset({str(path)!r}, FieldSpec(input='question', target='answer'))\n"
        "    return Task(dataset=data, solver=[generate()], scorer=match(numeric=True))\n"
    )
    return [
        *("eval", task.name, "--model", "openai-api/mock/mock", "--max-connections", str(concurrency)),
        *("--model-base-url", f"{url}/v1", "--log-dir", str(logs), "--display", "none"),
    ]


def _promptfoo(path: Path, url: str, logs: Path, concurrency: int) -> list[str]:
    """promptfoo's OpenAI client on the same sums."""
    tests = [
        {"vars": {"q": line["question"]}, "assert": [{"type": "regex", "value": f"#### {line['answer']}$"}]}
        for line in map(json.loads, path.read_text().splitlines())
    ]
    provider = {"id": "openai:chat:mock", "config": {"apiBaseUrl": f"{url}/v1", "apiKey": "none"}}
    config = path.with_name(f"{path.stem}.promptfoo.json")
    config.write_text(json.dumps({"prompts": ["{{q}}"], "providers": [provider], "tests": tests}))
    flags = ("--no-cache", "--no-progress-bar", "--no-table", "-j", str(concurrency), "-o", str(logs / "out.json"))
    return ["eval", "-c", str(config), *flags]


_PIP = ("{here}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
PEERS = (
    Peer(
        "lm-eval", "0.4.13",
        ((*_PIP, "lm-eval[api]==0.4.13", "torch", "transformers"),),
        ("{here}/bin/lm_eval",), _lm_eval, "samples_*.jsonl",
    ),
    Peer(
        "inspect", "0.3.285", ((*_PIP, "inspect-ai==0.3.285", "openai"),),
        ("{here}/bin/inspect",), _inspect, "*.eval",
    ),
    Peer(
        "promptfoo", "0.123.1",
        (("npm", "install", "--prefix", "{here}", "--no-audit", "--no-fund", "node@22", "promptfoo@0.123.1"),),
        ("{here}/node_modules/.bin/node", "{here}/node_modules/.bin/promptfoo"), _promptfoo, "out.json", (0, 100),
    ),
)  # fmt: skip


def set_up(folder: Path = FOLDER) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can be run from this folder, and why the others cannot; what is there already is left as it is."""
    ready, missing = [], {}
    for peer in PEERS:
        here = folder / peer.name
        if not all(Path(word).exists() for word in peer.command(folder)):
            here.mkdir(parents=True, exist_ok=True)
            if (why := _install(peer, folder)) is not None:
                missing[peer.name] = why
                continue
        ready.append(peer)
    return ready, missing


def _install(peer: Peer, folder: Path) -> str | None:
    """Why it could not be had; None where it could."""
    print(f"setting up {peer.name} {peer.version} in {folder / peer.name}", file=sys.stderr, flush=True)
    try:
        if peer.install[0][0].startswith("{here}/bin"):
            venv.create(folder / peer.name, with_pip=True)
        for command in peer.install:
            words = [peer.path(word, folder) for word in command]
            done = subprocess.run(words, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
            if done.returncode:
                return f"{words[0].rpartition('/')[2]} install: {done.stderr.strip().splitlines()[-1][:200]}"
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        return str(error)[:200]
    lacking = [word for word in peer.command(folder) if not Path(word).exists()]
    return f"{lacking[0]} was not installed" if lacking else None


if __name__ == "__main__":
    for _name, _why in set_up()[1].items():
        print(f"{_name} is left out: {_why}", file=sys.stderr)
