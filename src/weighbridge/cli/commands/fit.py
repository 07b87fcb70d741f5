"""What runs here, what it takes to the megabyte, and how fast it goes.

With a MODEL (a .gguf file, a folder, org/name on the hub, a bundled model) the plan: where each part goes, the sum by
device, the speed, the largest context; --ask-engine has the engine itself tell the buffers of a file. With the name of
a model of the catalogue ("qwen3 8b") a grid of quantizations and contexts. Without one, what of the catalogue fits.
--machine describes one that is not here. Nothing is loaded; exit code 1 if a model does not fit.

example:
  weigh fit model.gguf --context 32768 --json | jq .verdict
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from weighbridge import facts, fit, hub, machine
from weighbridge.cli import output
from weighbridge.cli.flag_values import positive, rate
from weighbridge.cli.this_machine import within_budget
from weighbridge.errors import BadModelFile, BadSetting, WeighbridgeError
from weighbridge.facts import HubAccess, ModelFacts
from weighbridge.facts.shelves.references import parse
from weighbridge.fit import Companions, Plan, Verdict, Workload, calibration, companions_of
from weighbridge.fit.calibration import Calibration
from weighbridge.machine import Machine
from weighbridge.settings import Settings, load
from weighbridge.specialists import bundled_file

# Below so many programs a processor that want to run, a machine is measured again.
_QUIET = 0.5
# A bandwidth that changed by more than this is told.
_NOTABLE = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument(
        "sources", nargs="*", metavar="MODEL", help="a file, org/name, a catalogue's name; several share"
    )
    parser.add_argument("--machine", metavar="TEXT", help='another machine: "rtx 4090", "2x a100-80gb", "macbook 16gb"')
    parser.add_argument("--context", type=positive, metavar="N", help="tokens of context for each request")
    parser.add_argument("--parallel", type=positive, metavar="P", help="requests at once (default 2; grids: 1)")
    parser.add_argument("--ubatch", type=positive, default=512, metavar="U", help="tokens a step (default 512)")
    parser.add_argument("--cache-type-k", metavar="T", help="type of keys: f16, q8_0, q4_0 ... (default f16)")
    parser.add_argument("--cache-type-v", metavar="T", help="type of values")
    parser.add_argument("--no-flash-attention", action="store_true", help="plan without flash attention")
    parser.add_argument(
        "--unified", action="store_true", help="one cache for all requests; --context is theirs together"
    )
    parser.add_argument(
        "--ask-engine", action="store_true", help="have the embedded engine tell a file's buffers, without loading it"
    )
    parser.add_argument("--mmproj", metavar="FILE", help="projector for images or sound that is loaded with MODEL")
    parser.add_argument("--draft", metavar="MODEL", help="smaller model that proposes tokens, loaded with MODEL")
    parser.add_argument("--floor", metavar="RECIPE", help="of the catalogue: no quantization below it, e.g. Q5_K_M")
    parser.add_argument("--wanted", type=rate, metavar="TPS", help="least tokens a second of one request")
    catalogue = parser.add_argument_group("without a MODEL")
    catalogue.add_argument("--task", metavar="TAG", help="chat, code, reasoning, tools, vision, embedding ...")
    catalogue.add_argument("--licence", metavar="NAME", help="part of a licence's name: apache, mit ...")
    catalogue.add_argument("--modality", metavar="M", help="what must go in: image, audio")
    catalogue.add_argument("--max-size", metavar="SIZE", help="largest file: 20GiB")
    catalogue.add_argument("--limit", type=positive, default=20, metavar="N", help="rows to print (default 20)")
    parser.add_argument("--json", action="store_true", help="print the same as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the plan, the grid or the ranking."""
    chosen_by = [name for name in ("task", "licence", "modality", "max_size") if getattr(arguments, name)]
    if arguments.sources and chosen_by:
        raise BadSetting(
            f"--{chosen_by[0].replace('_', '-')} chooses among the catalogue's models, and a MODEL is named",
            hint="leave one of them away",
        )
    if arguments.ask_engine and not arguments.sources:
        raise BadSetting("--ask-engine asks about a file", hint="weigh fit model.gguf --ask-engine")
    settings = load()
    # Read first: a wrong name shall not wait until this machine is measured.
    found = [_read(source) for source in arguments.sources]
    companions = _companions(arguments, found)
    here = _machine(arguments.machine, settings)
    # As `weigh up` plans, so that what fits here is loaded there.
    asked = within_budget(here, settings, until_later=True) if arguments.machine is None else here
    code = _answer(arguments, found, companions, asked, settings)
    if arguments.machine is None:
        _measure_again(settings, here)
    return code


def _companions(arguments: argparse.Namespace, found: list[ModelFacts | str]) -> Companions:
    """What is loaded with the one model; BadSetting where there is not one file that it could be loaded with."""
    named = [flag for flag in ("mmproj", "draft") if getattr(arguments, flag)]
    if not named:
        return Companions()
    is_file = len(found) == 1 and isinstance(found[0], ModelFacts) and found[0].source.kind == "gguf"
    if not is_file or arguments.ask_engine:
        raise BadSetting(
            f"--{named[0]} is loaded with one .gguf file"
            + (", and --ask-engine asks about a file alone" if is_file else ""),
            hint=f"weigh fit model.gguf --{named[0]} {getattr(arguments, named[0])}",
        )
    read = {flag: _read(getattr(arguments, flag)) for flag in named}
    for flag, each in read.items():
        if isinstance(each, str):
            raise BadSetting(
                f"--{flag} {each}: a name of the catalogue, and a file is needed", hint=f"weigh get {each}"
            )
    return companions_of(read.get("mmproj"), read.get("draft"))  # type: ignore[arg-type]  # none is a name


def _answer(
    arguments: argparse.Namespace,
    found: list[ModelFacts | str],
    companions: Companions,
    here: Machine,
    settings: Settings,
) -> int:
    if not found:
        return _show_catalogue(arguments, here, None)
    known, note = (None, None) if arguments.machine else calibration.load(settings.state_path, here)
    if note:
        output.tell(note)
    if len(found) == 1 and isinstance(found[0], str) and not arguments.ask_engine:
        return _show_catalogue(arguments, here, found[0])
    if arguments.floor:
        raise BadSetting(
            f"--floor {arguments.floor} chooses among quantizations, and a file has one",
            hint='name a model of the catalogue: weigh fit "qwen3 8b" --floor Q5_K_M',
        )
    models = [each for each in found if isinstance(each, ModelFacts)]
    if len(models) < len(found):
        raise BadSetting(
            "of several models each must be a file or a repository",
            hint="name one model of the catalogue alone: weigh fit NAME",
        )
    return _show_plans(arguments, here, models, companions, known)


def _machine(described: str | None, settings: Settings) -> Machine:
    """The machine asked about; this one with its bandwidth, which is measured where it never was."""
    if described is not None:
        return machine.describe(described)
    folder = settings.state_path
    here = machine.detect(folder, models=Path.home())
    if here.memory is not None and here.memory.bandwidth is None:
        output.tell("measuring this machine's memory bandwidth, once: about a second")
        here = machine.measure(folder, models=Path.home())
    return here


def _measure_again(settings: Settings, here: Machine) -> None:
    """Once the answer is out, measure this machine again where that is due and it is quieter: for the next answer."""
    folder = settings.state_path
    if here.memory is None or not machine.is_due(folder, here) or not _is_quiet():
        return
    sys.stdout.flush()
    before = here.memory.bandwidth
    now = machine.measure(folder, again=True).memory
    if now and now.bandwidth and before and abs(now.bandwidth.value / before.value - 1) > _NOTABLE:
        output.tell(
            f"memory was measured again: {now.bandwidth.value / 1e9:.0f} GB/s, {before.value / 1e9:.0f} before; "
            "the next answer knows it"
        )


def _is_quiet() -> bool:
    """Whether few programs wait for a processor; unknown is as good as not."""
    try:
        return os.getloadavg()[0] < _QUIET * (os.cpu_count() or 1)
    except (OSError, AttributeError):
        return False


def _read(source: str) -> ModelFacts | str:
    """Facts of what is at hand; the name itself where it is one of the catalogue's."""
    if path := bundled_file(source):
        return facts.read(path)
    access = HubAccess.from_environment(os.environ)
    try:
        return facts.read(_one_of(source, access), access)
    except BadModelFile as error:
        from weighbridge import catalogue

        try:
            catalogue.resolve(source, load().state_path)
        except WeighbridgeError as unknown:
            if "/" in source or Path(source).exists() or source.endswith((".gguf", ".safetensors", ".json")):
                raise error from unknown
            raise
        return source


def _one_of(source: str, access: HubAccess) -> str:
    """The source; of a repository that is named without one of its files, the file that `weigh up` takes."""
    found = None if Path(source).exists() else parse(source, access.endpoint)
    if found is None or found.selector:
        return source
    try:
        return hub.find(source, access, load().state_path).source
    except BadModelFile:
        # Nothing of it can be fetched; its config may tell what it is.
        return source


def workload_of(arguments: argparse.Namespace, parallel: int) -> Workload:
    """What the flags ask for."""
    return Workload(
        context_tokens=arguments.context,
        parallel=arguments.parallel or parallel,
        ubatch_tokens=arguments.ubatch,
        cache_type_k=arguments.cache_type_k,
        cache_type_v=arguments.cache_type_v,
        flash_attention=not arguments.no_flash_attention,
        unified_cache=arguments.unified,
        wanted_tokens_per_second=arguments.wanted,
    )


def _show_plans(
    arguments: argparse.Namespace,
    here: Machine,
    models: list[ModelFacts],
    companions: Companions,
    known: Calibration | None,
) -> int:
    # Loaded here: the catalogue's commands do without.
    from weighbridge.cli import fit_pages
    from weighbridge.fit.checkpoints import plan_checkpoint, plan_together

    workload = workload_of(arguments, 2)
    plans: list[Plan]
    if arguments.ask_engine:
        plans = [_asked(models, here, workload, known)]
    elif len(models) == 1 and models[0].source.kind != "gguf":
        plans = [plan_checkpoint(models[0], here, workload, known)]
    elif len(models) == 1:
        plans = [fit.plan_with(models[0], here, workload, companions, calibration=known)]
    else:
        asked = [(each, workload) for each in models]
        is_gguf = all(each.source.kind == "gguf" for each in models)
        plans = list(fit.plan_set(asked, here, calibration=known) if is_gguf else plan_together(asked, here, known))
    if arguments.json:
        shown = [fit_pages.as_data(plan, here) for plan in plans]
        print(output.to_json(shown[0] if len(shown) == 1 else shown))
    else:
        print("\n\n".join(fit_pages.plan_page(plan, here, workload, known, companions) for plan in plans))
        if shared := fit_pages.together(plans):
            print(f"\n{shared}")
        print(fit_pages.machine_lines(here))
    slow = [
        (plan, decode)
        for plan in plans
        if arguments.wanted and plan.speed and (decode := plan.speed.decode) and decode.high < arguments.wanted
    ]
    for plan, decode in slow:
        output.tell(f"{plan.facts.name}: at most {decode.high:.1f} tokens/s, {arguments.wanted:g} are wanted")
    return 1 if slow or any(plan.verdict is Verdict.NO for plan in plans) else 0


def _asked(models: list[ModelFacts], here: Machine, workload: Workload, known: Calibration | None) -> Plan:
    from weighbridge.fit.asking import plan_by_asking

    if len(models) != 1 or models[0].source.kind != "gguf":
        raise BadSetting("--ask-engine asks about one .gguf file", hint="weigh fit model.gguf --ask-engine")
    return plan_by_asking(models[0], here, workload, known)


def _show_catalogue(arguments: argparse.Namespace, here: Machine, name: str | None) -> int:
    from weighbridge.cli import choice

    if arguments.cache_type_k or arguments.cache_type_v:
        raise BadSetting(
            "the catalogue is counted with 16-bit caches: other cache types need a model's own files",
            hint="weigh fit model.gguf --cache-type-k q8_0, or leave the cache types away",
        )
    workload = workload_of(arguments, 1)
    folder = load().state_path
    if name is not None:
        data, page, found = choice.grid(name, here, workload, folder, arguments.floor)
    else:
        data, page, found = choice.ranking(arguments, here, workload, folder)
    print(output.to_json(data) if arguments.json else page)
    return 0 if found else 1
