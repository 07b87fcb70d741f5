"""Which model a prompt goes to and why; learn from outcomes; measure a policy on them.

With a PROMPT, the decision of the gateway that runs is explained, or where none runs, of one that would be started now.
`learn` makes the predictor of quality that decisions are made by, from all that there is: evals, outcomes that were
added, thumbs; `learn DATA` from DATA alone. `add DATA` keeps outcomes made elsewhere for that. `eval DATA` measures
the router on prompts that it has not seen, in folds, against the best single model and against a lookup by task. DATA
is a CSV or JSON-lines file of outcomes (model, prompt, score; perhaps task, cost, seconds, source,
mean_log_probability), or a folder of tables (prompts.jsonl, scores.csv, perhaps cost.csv and seconds.csv).

example:
  weigh route "What is 37 plus 58?"
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path
from typing import Any

from weighbridge.cli import evidence, output
from weighbridge.cli.gateway_flags import add_address, client_of, read_settings
from weighbridge.cli.sources import find_models
from weighbridge.errors import BadSetting, GatewayUnreachable
from weighbridge.gateway import PREDICTOR
from weighbridge.gateway.choosing import known_of
from weighbridge.openai_api import ApiError, Request
from weighbridge.routing import Candidate, explain, read_policies, route
from weighbridge.routing.needs import Needs
from weighbridge.routing.version import VERSION, version_of
from weighbridge.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("prompt", metavar="PROMPT|learn|add|eval", help="what is asked, or what to do")
    parser.add_argument("data", nargs="?", metavar="DATA", help="outcomes, for learn, add and eval")
    parser.add_argument("--policy", default="auto", metavar="NAME", help="auto (default), auto:fast, auto:best, ...")
    parser.add_argument("--model", action="append", default=[], metavar="MODEL", help="a candidate; may be repeated")
    parser.add_argument("--task", metavar="NAME", help="the prompt's task, where you know it")
    parser.add_argument(
        "--predictor", metavar="FILE", help=f"what was learnt (default: {PREDICTOR} in the state folder)"
    )
    parser.add_argument(
        "--embedding", metavar="NAME", help="look at it too: bundled (extra `embedding`), or a folder (route_embedding)"
    )
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="parts that eval leaves out in turn (5)")
    parser.add_argument("--json", action="store_true", help="print the decision or the figures as JSON")
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Explain, learn, add or measure."""
    verbs = {"learn": _learn, "add": _add, "eval": _measure}
    if arguments.data is None and arguments.prompt in ("add", "eval"):
        raise BadSetting(
            f"{arguments.prompt} needs DATA",
            hint=f"weigh route {arguments.prompt} outcomes.jsonl, or a folder of tables",
        )
    if arguments.data is None and arguments.prompt != "learn":
        return _explain(arguments)
    if arguments.prompt not in verbs:
        raise BadSetting(
            f"two words were given: {arguments.prompt!r} and {arguments.data!r}",
            hint="put the prompt in quotes, or say learn DATA, add DATA or eval DATA",
        )
    return verbs[arguments.prompt](arguments)


def _settings(arguments: argparse.Namespace) -> Settings:
    return read_settings(arguments, route_embedding=arguments.embedding)


def _place(arguments: argparse.Namespace) -> Path:
    return Path(arguments.predictor) if arguments.predictor else _settings(arguments).state_path / PREDICTOR


def _explain(arguments: argparse.Namespace) -> int:
    found = None
    if not arguments.model and not arguments.predictor:
        found = asyncio.run(_ask_gateway(arguments))
    found = found or _decide_here(arguments)
    if arguments.json:
        print(output.to_json(found["route"]))
        return 0
    for line in found["lines"]:
        print(output.printable(line))
    output.tell(f"decided in {found['seconds'] * 1000:.2f} ms")
    return 0


async def _ask_gateway(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """What the gateway that runs would decide; None where none runs."""
    chosen = _settings(arguments)
    try:
        async with client_of(chosen) as client:
            said = {"prompt": arguments.prompt, "model": arguments.policy, "task": arguments.task}
            found: dict[str, Any] = await client.post("/admin/route", said)
    except GatewayUnreachable:
        return None
    output.tell(f"as the gateway at {chosen.url} would decide now")
    return found


def _decide_here(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a gateway with these settings would decide once it had started."""
    place, here = _place(arguments), _settings(arguments)
    predictor = None
    version = version_of(place)
    if not arguments.predictor and version is not None and version < VERSION:
        output.tell(f"{place} is of an earlier version and not used; to learn anew: weigh route learn")
    elif arguments.predictor or place.exists():
        # Arrays are only loaded where something was learnt.
        from weighbridge.routing.predictor import Predictor

        predictor = Predictor.load(place, here.route_embedding)
        if predictor.lacks and arguments.json:
            output.tell(predictor.lacks)
    known = predictor.models if predictor else ()
    if arguments.predictor and (not arguments.model or set(arguments.model) <= set(known)):
        candidates = [Candidate(name) for name in arguments.model or known]
    else:
        candidates = [known_of(model, here) for model in find_models(arguments.model, here)]
    request = Request("/v1/chat/completions", arguments.policy, False, arguments.prompt, b"")
    needs = Needs(context_tokens=len(arguments.prompt.encode()) // 3)
    begun = time.perf_counter()
    try:
        chosen = route(
            request, candidates, predictor, read_policies(here.policies), needs=needs, task=arguments.task,
            thresholds=predictor.thresholds if predictor else {},
        )  # fmt: skip
    except ApiError as error:
        raise BadSetting(str(error), hint="--policy names a policy or a model") from error
    took = time.perf_counter() - begun
    return {"route": chosen, "lines": explain(chosen, candidates, request, needs, predictor), "seconds": took}


def _on_one_thread() -> None:
    """Before NumPy is loaded, unless the user says otherwise: matrices are small, and threads that wait for each other
    in a loop took fourteen times as long where others computed too (37 s instead of 2.6)."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _learn(arguments: argparse.Namespace) -> int:
    _on_one_thread()
    from weighbridge.routing.embedding import load_embedding
    from weighbridge.routing.evidence import read_evidence
    from weighbridge.routing.learning import learn

    started, chosen = time.time(), _settings(arguments)
    embedding = load_embedding(chosen.route_embedding)
    data = read_evidence(Path(arguments.data)) if arguments.data else evidence.gather(chosen)
    begun = time.perf_counter()
    predictor = learn(data, embedding)
    took = time.perf_counter() - begun
    place = _place(arguments)
    place.parent.mkdir(parents=True, exist_ok=True)
    predictor.save(place)
    # What came while it was learning is new still.
    os.utime(place, (started, started))
    found: dict[str, Any] = {
        "prompts": predictor.examples,
        "models": {model: predictor.outcomes(model) for model in predictor.models},
        "tasks": list(predictor.tasks),
        "cascades": {f"{small}, {big}": figure for (small, big), figure in predictor.thresholds.items()},
        "embedding": {"name": embedding.name, "sha256": embedding.sha256, "used": predictor.embedding is not None}
        if embedding
        else None,
        "seconds": round(took, 2),
        "file": str(place),
        "file_bytes": place.stat().st_size,
    }
    if arguments.json:
        print(output.to_json(found))
        return 0
    rows = [(model, f"{count:,.0f}" if count >= 10 else f"{count:.1f}") for model, count in found["models"].items()]
    print(output.table(("model", "outcomes by weight"), rows, right=(1,)))
    for (small, big), figure in predictor.thresholds.items():
        print(f"cascade: {big} is asked after {small} below {figure.value:.2f} nats a token ({figure.source})")
    if embedding:
        output.tell(
            f"the embedding {embedding.name} (sha256 {embedding.sha256[:12]}, {embedding.dimensions} numbers) "
            + (
                "is looked at too"
                if predictor.embedding
                else "was of no use on examples left out, and is not looked at"
            )
        )
    prompts = f"{predictor.examples:,} prompt{'' if predictor.examples == 1 else 's'}"
    output.tell(f"learnt from {prompts} in {took:.1f} s; kept in {place}")
    return 0


def _add(arguments: argparse.Namespace) -> int:
    place = evidence.add(Path(arguments.data), _settings(arguments))
    if arguments.json:
        print(output.to_json({"file": str(place)}))
    output.tell(f"kept in {place}; weigh route learn learns from it too")
    return 0


def _measure(arguments: argparse.Namespace) -> int:
    _on_one_thread()
    from weighbridge.cli.route_eval import measure
    from weighbridge.routing.embedding import load_embedding

    embedding = load_embedding(_settings(arguments).route_embedding)
    found = measure(Path(arguments.data), arguments.folds, output.tell, embedding)
    if arguments.json:
        print(output.to_json(found))
        return 0
    # By turns, since all side by side are wider than any terminal.
    tables: list[tuple[tuple[str, ...], list[tuple[object, ...]]]] = [
        (("quality, cost no matter", "oracle gap"), [(row.quality, row.oracle_gap) for row in found.rows]),
        (("area under the curve", "mean cost"), [(row.area, f"{row.cost:.4g}") for row in found.rows]),
    ]
    if found.pair:
        tables.append((("APGR", "CPT(50 %)"), [(row.apgr or "-", row.cpt or "-") for row in found.rows]))
    for head, figures in tables:
        rows = [(row.router, *map(str, each)) for row, each in zip(found.rows, figures, strict=True)]
        print(output.table(("router", *head), rows) + "\n")
    if found.pair:
        print(f"APGR and CPT(50 %): between {found.pair[0]}, the weak one, and {found.pair[1]}")
    print(f"{found.prompts:,} prompts, {found.models} models, {found.folds} folds; calibration error {found.error:.3f}")
    return 0
