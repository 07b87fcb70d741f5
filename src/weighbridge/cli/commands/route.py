"""Which model a prompt goes to and why; learn from outcomes; measure a policy on them.

With a PROMPT, the decision is explained. `learn DATA` makes the predictor of quality that decisions are then made by,
and keeps it in the state folder. `eval DATA` measures the router on prompts that it has not seen, in folds, against the
best single model and against a lookup by task. DATA is a CSV or JSON-lines file of outcomes (model, prompt, score;
perhaps task, cost, seconds, source), or a folder of tables (prompts.jsonl, scores.csv, perhaps cost.csv and
seconds.csv).

example:
  weigh route "What is 37 plus 58?"
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from weighbridge import settings
from weighbridge.cli import output
from weighbridge.cli.sources import find_models
from weighbridge.errors import BadSetting
from weighbridge.openai_api import ApiError, Request
from weighbridge.routing import Candidate, explain, route
from weighbridge.routing.needs import Needs

PREDICTOR = "router.npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("prompt", metavar="PROMPT|learn|eval", help="what is asked, or what to do with DATA")
    parser.add_argument("data", nargs="?", metavar="DATA", help="outcomes, for learn and eval")
    parser.add_argument("--policy", default="auto", metavar="NAME", help="auto (default), auto:fast, auto:best, ...")
    parser.add_argument("--model", action="append", default=[], metavar="MODEL", help="a candidate; may be repeated")
    parser.add_argument("--task", metavar="NAME", help="the prompt's task, where you know it")
    parser.add_argument(
        "--predictor", metavar="FILE", help=f"what was learnt (default: {PREDICTOR} in the state folder)"
    )
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="parts that eval leaves out in turn (5)")
    parser.add_argument("--json", action="store_true", help="print the decision or the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Explain, learn or measure."""
    if arguments.data is None:
        return _explain(arguments)
    if arguments.prompt == "learn":
        return _learn(arguments)
    if arguments.prompt == "eval":
        return _measure(arguments)
    raise BadSetting(
        f"two words were given: {arguments.prompt!r} and {arguments.data!r}",
        hint="put the prompt in quotes, or say learn DATA or eval DATA",
    )


def _place(arguments: argparse.Namespace) -> Path:
    return Path(arguments.predictor) if arguments.predictor else settings.load().state_path / PREDICTOR


def _explain(arguments: argparse.Namespace) -> int:
    place = _place(arguments)
    predictor = None
    if arguments.predictor or place.exists():
        # Arrays are only loaded where something was learnt.
        from weighbridge.routing.predictor import Predictor

        predictor = Predictor.load(place)
    known = predictor.models if predictor else ()
    if known and (not arguments.model or set(arguments.model) <= set(known)):
        candidates = [Candidate(name) for name in arguments.model or known]
    else:
        candidates = [Candidate(model.name, model.card) for model in find_models(arguments.model, settings.load())]
    request = Request("/v1/chat/completions", arguments.policy, False, arguments.prompt, b"")
    needs = Needs(context_tokens=len(arguments.prompt.encode()) // 3)
    begun = time.perf_counter()
    try:
        chosen = route(request, candidates, predictor, needs=needs, task=arguments.task)
    except ApiError as error:
        raise BadSetting(str(error), hint="--policy names a policy or a model") from error
    took = time.perf_counter() - begun
    if arguments.json:
        print(output.to_json(chosen))
        return 0
    for line in explain(chosen, candidates, request, needs):
        print(output.printable(line))
    output.tell(f"decided in {took * 1000:.2f} ms")
    return 0


def _learn(arguments: argparse.Namespace) -> int:
    from weighbridge.routing.evidence import read_evidence
    from weighbridge.routing.predictor import learn

    evidence = read_evidence(Path(arguments.data))
    begun = time.perf_counter()
    predictor = learn(evidence)
    took = time.perf_counter() - begun
    place = _place(arguments)
    place.parent.mkdir(parents=True, exist_ok=True)
    predictor.save(place)
    found: dict[str, Any] = {
        "prompts": predictor.examples,
        "models": {model: predictor.outcomes(model) for model in predictor.models},
        "tasks": list(predictor.tasks),
        "seconds": round(took, 2),
        "file": str(place),
        "file_bytes": place.stat().st_size,
    }
    if arguments.json:
        print(output.to_json(found))
        return 0
    rows = [(model, f"{count:,.0f}") for model, count in found["models"].items()]
    print(output.table(("model", "outcomes"), rows, right=(1,)))
    output.tell(f"learnt from {predictor.examples:,} prompts in {took:.1f} s; kept in {place}")
    return 0


def _measure(arguments: argparse.Namespace) -> int:
    from weighbridge.cli.route_eval import measure

    found = measure(Path(arguments.data), arguments.folds, output.tell)
    if arguments.json:
        print(output.to_json(found))
        return 0
    rows = [(row.router, str(row.quality), f"{row.cost:.4g}", str(row.area)) for row in found.rows]
    print(output.table(("router", "quality, cost no matter", "mean cost", "area under the curve"), rows, right=(2,)))
    print(f"{found.prompts:,} prompts, {found.models} models, {found.folds} folds; calibration error {found.error:.3f}")
    return 0
