"""Is this quantized file as good as its source: both read a text, and every prediction is compared.

QUANT and BASE are named as for `weigh get`; both must be GGUF files of one model. BASE left out: QUANT itself, so that
--cache-type-k and --cache-type-v, which are QUANT's alone, tell what a cache of fewer bits costs. What is told: the
divergence of the predictions in nats a token (Kullback-Leibler, over the whole vocabulary), how often both hold the
same token likeliest, the ratio of perplexities, each with its 95 % interval; beside them the engine's own noise; a
verdict; and the places where the two lie farthest apart. The text is one that comes with the package: your own
(--text) tells more. With --task both are asked a task of yours, too, and compared sample by sample.

Where the engine's library cannot be asked directly, or with --by-server, both are served, and the likeliest tokens
that the server tells give a lower bound of the divergence.

example:
  weigh compare arithmetic --cache-type-k q4_0 --tokens 2000
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path

from weighbridge import facts, hub, machine, settings
from weighbridge.cli import compare_serving, eval_pages, output
from weighbridge.cli.compare_serving import Served
from weighbridge.cli.flag_values import positive
from weighbridge.cli.model_names import source_of
from weighbridge.cli.progress import fetch
from weighbridge.cli.progress_line import ProgressLine
from weighbridge.compression import (
    THRESHOLDS,
    Bounds,
    Candidate,
    Comparison,
    Interval,
    Manner,
    Progress,
    Side,
    Text,
    Worst,
    compare,
    read_text,
)
from weighbridge.errors import BadSetting, InterfaceUnknown
from weighbridge.evals import read_tasks
from weighbridge.facts import HubAccess, ModelFacts
from weighbridge.fit import CACHE_TYPES
from weighbridge.settings import Settings
from weighbridge.sizes import show_bytes

_POSITIONS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("quant", metavar="QUANT", help="the file in question: a path, org/name:QUANTIZATION, a name")
    parser.add_argument("base", nargs="?", metavar="BASE", help="what it was made of; default: QUANT itself")
    parser.add_argument("--text", metavar="FILE", help="plain text to read (default: one that comes with the package)")
    parser.add_argument("--tokens", type=int, metavar="N", help="read so many tokens at most")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop reading after so many seconds")
    parser.add_argument(
        "--context", type=int, default=512, metavar="N", help="read in pieces of N tokens (default 512)"
    )
    kinds = ", ".join(CACHE_TYPES)
    parser.add_argument("--cache-type-k", metavar="TYPE", default="f16", help=f"QUANT's keys in the cache: {kinds}")
    parser.add_argument("--cache-type-v", metavar="TYPE", default="f16", help="QUANT's values in the cache")
    parser.add_argument("--task", action="append", default=[], metavar="FILE", help="a task as weigh eval reads it")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N samples of each task")
    parser.add_argument("--by-server", action="store_true", help="a lower bound, by what a server tells")
    parser.add_argument("--threads", type=int, metavar="T", help="threads of both together")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compare, and print what came of it."""
    known = settings.load()
    manner = _manner(arguments, known)
    if arguments.base is None and (arguments.cache_type_k, arguments.cache_type_v) == ("f16", "f16"):
        raise BadSetting(
            "there is nothing to compare with", hint="name a BASE, or a cache: --cache-type-k q8_0 --cache-type-v q8_0"
        )
    text = read_text(Path(arguments.text).expanduser() if arguments.text else None)
    tasks = [task for file in arguments.task for task in read_tasks(Path(file))]
    name, read = _find(arguments.quant, known)
    quant = Candidate(read, name, arguments.cache_type_k, arguments.cache_type_v)
    base_name, base_read = _find(arguments.base, known) if arguments.base else (name, read)
    base = Candidate(base_read, base_name)
    found = None if arguments.by_server else _directly(quant, base, text, manner, known)
    bounds = None if found is not None else _by_server(quant, base, text, manner, known)
    reports = compare_serving.scored(*_served(quant, base), tasks, known, arguments.limit) if tasks else []
    if arguments.json:
        told = dataclasses.asdict(found) if found is not None else {"bounds": bounds}
        print(output.to_json(told | ({"tasks": reports} if tasks else {})))
    else:
        pages = [page(found) if found is not None else bounds_page(bounds)] if found or bounds else []
        print("\n\n".join([*pages, *map(eval_pages.page, reports)]))
    return 0


def _directly(quant: Candidate, base: Candidate, text: Text, manner: Manner, known: Settings) -> Comparison | None:
    """The whole comparison; None where the engine's library is not the known one."""
    shown = ProgressLine(_line)

    def tell(progress: Progress) -> None:
        if progress.is_first and progress.seconds_left >= 1:
            shown.end()
            output.tell(
                f"{progress.total_tokens:,} tokens at {progress.tokens_per_second:,.0f} a second: "
                f"about {output.duration(progress.seconds_left)} to go (--tokens or --seconds make it shorter)"
            )
        shown(progress)

    output.tell(f"loading {quant.name} and {base.name}")
    try:
        return compare(quant, base, text, machine.detect(known.state_path), manner, tell)
    except InterfaceUnknown as error:
        output.tell(f"{error}; what a server tells gives a lower bound")
        return None
    except KeyboardInterrupt:
        shown.end()
        output.tell("stopped; nothing is kept")
        raise
    finally:
        shown.end()


def _by_server(quant: Candidate, base: Candidate, text: Text, manner: Manner, known: Settings) -> Bounds:
    positions = _POSITIONS if manner.most_tokens is None else min(_POSITIONS, manner.most_tokens)
    return compare_serving.bounded(*_served(quant, base), text, known, positions)


def _served(quant: Candidate, base: Candidate) -> tuple[Served, Served]:
    """Both as a gateway shall serve them."""
    files = [Path(each.facts.source.files[0]) for each in (quant, base)]
    names = compare_serving.names(files[0], files[1], quant.cache_type_k, quant.cache_type_v)
    first, second = (
        Served(name, str(file), each.cache_type_k, each.cache_type_v)
        for name, file, each in zip(names, files, (quant, base), strict=True)
    )
    return first, second


def _manner(arguments: argparse.Namespace, known: Settings) -> Manner:
    for flag, least in (("tokens", 65), ("seconds", 0), ("context", 64), ("threads", 1)):
        value = getattr(arguments, flag)
        if value is not None and not least <= value < 1 << 24:
            raise BadSetting(f"--{flag} is {value:g}, expected {least} or more", hint="leave it out for the default")
    return Manner(
        context_tokens=arguments.context,
        most_tokens=arguments.tokens,
        most_seconds=arguments.seconds,
        threads=arguments.threads or known.threads or None,
        load_seconds=known.start_timeout_seconds,
        step_seconds=known.read_timeout_seconds,
    )


def _find(source: str, known: Settings) -> tuple[str, ModelFacts]:
    """What is known of a model, and what to call it; it is fetched if it is not here."""
    access = HubAccess.from_environment(os.environ)
    files = hub.find(source_of(source, access, known.state_path), access, known.state_path)
    if not files.is_here:
        files = fetch(files, access, known.state_path)
    return files.wanted or files.name, facts.read(files.first)


def _line(progress: Progress) -> str:
    share = progress.done_tokens / progress.total_tokens
    return (
        f"comparing {share:4.0%}  {progress.done_tokens:,} of {progress.total_tokens:,} tokens  "
        f"{progress.tokens_per_second:,.0f}/s  {output.duration(progress.seconds_left)} left"
    )


def page(found: Comparison) -> str:
    """The comparison for people."""
    noise = f"{_span(found.base.noise, '.2g')} by BASE, {_span(found.quant.noise, '.2g')} by QUANT"
    rows = [
        ("verdict", found.verdict.sentence),
        ("QUANT", _side(found.quant)),
        ("BASE", _side(found.base)),
        (
            "divergence",
            f"{_span(found.kl, '.3g')} nats a token; half of the positions below {found.kl_median:.2g}, "
            f"one in a hundred above {found.kl_p99:.2g}, the most {found.kl_max:.2g}",
        ),
        ("noise", f"{noise}: token by token against whole steps, over {found.noise_positions:,} tokens"),
        (
            "same top",
            f"{_span(found.agreement, '.1%')} of positions; "
            f"{_span(found.base.noise_agreement, '.1%')} within the noise",
        ),
        (
            "perplexity",
            f"{found.quant.perplexity:.4g} against {found.base.perplexity:.4g}: ratio "
            f"{_span(found.perplexity_ratio, '.4f')}",
        ),
        (
            "read",
            f"{found.positions:,} of {found.text_tokens:,} tokens of {found.text}, in pieces of "
            f"{found.context_tokens}, in {output.duration(found.seconds)}",
        ),
    ]
    lines = [output.fields(rows)]
    if found.worst:
        lines += ["", "farthest apart:", _worst(found.worst)]
    classes = ", ".join(f"{loss.value.removeprefix('a ')} to {limit:g} ({name})" for loss, limit, name in THRESHOLDS)
    lines += ["", output.fields([("classes", f"{classes}, severe above"), ("by", found.verdict.thresholds_source)])]
    if found.notes:
        lines += ["", *(output.fields([("note", note)]) for note in found.notes)]
    return "\n".join(lines)


def bounds_page(found: Bounds | None) -> str:
    """What a server's log-probabilities tell, for people."""
    if found is None:
        return ""
    return output.fields(
        [
            ("by a server", f"{found.quant} against {found.base}: no whole vocabulary, so no verdict"),
            (
                "divergence",
                f"at least {_span(found.kl_at_least, '.3g')} nats a token: a lower bound, by the {found.top} likeliest "
                f"tokens of each and one bucket for the rest; they hold {found.covered:.1%} of BASE's probability",
            ),
            ("same top", f"{_span(found.agreement, '.1%')} of positions"),
            ("read", f"{found.positions:,} ends of words in {found.text}"),
        ]
    )


def _side(side: Side) -> str:
    cache = f"keys {side.cache_type_k} and values {side.cache_type_v} in the cache"
    return f"{side.name}: {side.quantization or 'unknown'}, {show_bytes(side.file_bytes)}, {cache}"


def _span(interval: Interval, form: str) -> str:
    """A mean with its interval: 0.0123 (0.011 to 0.0136)."""
    if interval.low is None or interval.high is None:
        return f"{interval.value:{form}} (no interval)"
    return f"{interval.value:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def _worst(places: tuple[Worst, ...]) -> str:
    rows = [
        (
            f"{place.kl:.2f}",
            f"{place.base_top!r} {place.base_top_probability:.0%}",
            f"{place.quant_top!r} {place.quant_top_probability:.0%}",
            repr(place.actual),
            repr(place.context[-40:]),
        )
        for place in places
    ]
    return output.table(("nats", "BASE", "QUANT", "came", "after"), rows, right=(0,))
