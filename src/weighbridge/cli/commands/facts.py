"""What a model is, read from its own files: parameters, bytes, layers, cache, template, licence.

SOURCE is a .gguf or .safetensors file, a config.json, a folder, a repository on the hub (org/name, org/name:Q4_K_M,
org/name@revision), a URL, a model in a local Hugging Face cache or Ollama store (ollama:name), or a bundled model. Only
headers, configs and cards are read, never weights; of what lies on the network no more than those is fetched. A value
that the files do not tell is shown as unknown. Of several sources --json prints a list.

example:
  weigh facts model.gguf --json | jq .parameters.total
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from weighbridge import facts
from weighbridge.cli import output
from weighbridge.digest.knowledge.own import facts_of_file
from weighbridge.digest.record import Record
from weighbridge.errors import BadSetting, StateDamaged
from weighbridge.facts import HubAccess, Layer, ModelFacts
from weighbridge.settings import load
from weighbridge.sizes import show_bytes, show_count
from weighbridge.specialists import bundled_file
from weighbridge.store import Store

# Bytes a value kept, by llama.cpp's name of the type: blocks of 32 with one 16-bit scale.
_CACHE_TYPES = (("16-bit", 2.0), ("8-bit (q8_0)", 34 / 32), ("4-bit (q4_0)", 18 / 32))
_LENGTHS = (8192, 32768, 131072)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="a file, a folder, org/name, a URL, ollama:name")
    parser.add_argument("--json", action="store_true", help="print all facts but the tensors as JSON")
    parser.add_argument("--tensors", action="store_true", help="print the table of tensors")
    parser.add_argument("--compare", metavar="OTHER", help="print two models side by side")


def run(arguments: argparse.Namespace) -> int:
    """Print the facts."""
    sources = [*arguments.sources, *([arguments.compare] if arguments.compare else [])]
    if arguments.compare and (len(sources) != 2 or arguments.tensors):
        raise BadSetting(
            "--compare sets two models side by side: one SOURCE and OTHER, without --tensors",
            hint="weigh facts FIRST --compare SECOND",
        )
    access = HubAccess.from_environment(os.environ)
    models = [_read(source, access) for source in sources]
    _keep(sources, models)
    if arguments.json:
        data = [[t._asdict() for t in found.tensors] if arguments.tensors else _without_tensors(found)
                for found in models]  # fmt: skip
        print(output.to_json(data if len(data) > 1 else data[0]))
    elif arguments.compare:
        print(_side_by_side(*models))
    else:
        print("\n\n\n".join(_tensors(found) if arguments.tensors else _page(found) for found in models))
    return 0


def _read(source: str, access: HubAccess) -> ModelFacts:
    """A bundled model by its name, unless there is a path of that name."""
    return facts.read(bundled_file(source) or source, access)


def _keep(sources: Sequence[str], models: Sequence[ModelFacts]) -> None:
    """What these files told settles claims from now on (`weigh check`); where it can't be kept, nothing is lost."""
    day = datetime.date.today()  # noqa: DTZ011 - the day where the user is
    found = [fact for source, model in zip(sources, models, strict=True) for fact in facts_of_file(model, source, day)]
    with contextlib.suppress(StateDamaged, BadSetting), Store(load().state_path) as store:
        Record(store).keep_facts(found)


def _without_tensors(found: ModelFacts) -> dict[str, object]:
    shown = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    del shown["tensors"]
    shown["components"] = [_without_tensors(part) for part in found.components]
    return shown


def _tensors(found: ModelFacts) -> str:
    # The name gives way where the line is too long: its end tells most.
    room = max(16, output.width() - 56)
    rows = [
        (
            tensor.name if len(tensor.name) <= room else "…" + tensor.name[1 - room :],
            tensor.type,
            " x ".join(map(str, tensor.shape)),
            show_bytes(tensor.bytes),
            f"{tensor.offset:,}",
            *([str(tensor.file + 1)] if len(found.source.files) > 2 else []),
        )
        for tensor in found.tensors
    ]
    head = ("tensor", "type", "shape", "size", "at byte", *(["file"] if len(found.source.files) > 2 else []))
    return output.table(head, rows, right=(3, 4, 5))


def _known(value: object) -> str:
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _told(can: bool | None) -> str:
    return "unknown" if can is None else "yes" if can else "no"


def _page(found: ModelFacts) -> str:
    sections = [output.fields([(name, value) for name, value in _pairs(found) if value])]
    sections += [section for section in (_parts(found), _bytes_by_role(found), _cache(found)) if section]
    sections += [output.fields([("note", note)]) for note in found.notes]
    return "\n\n".join([*sections, _read_from(found)])


def _pairs(found: ModelFacts) -> list[tuple[str, str]]:
    made_of = [f"{part.name} {part.architecture}" for part in found.components]
    return [
        ("name", found.name),
        ("architecture", found.architecture),
        ("made of", ", ".join(made_of)),
        ("parameters", _total(found)),
        ("active", _active(found)),
        ("weights", _weights(found)),
        ("quantization", _known(found.quantization)),
        ("shape", _shape(found)),
        ("context", "" if found.components else _context(found)),
        ("vocabulary", _vocabulary(found)),
        ("in and out", f"{', '.join(found.modalities.input) or 'nothing'} -> {', '.join(found.modalities.output)}"),
        ("chat", _chat(found)),
        ("licence", _licence(found)),
        ("made for", found.card.description or ""),
    ]


def _total(found: ModelFacts) -> str:
    parameters = found.parameters
    if parameters.total is None:
        return "unknown"
    how = "counted from tensor shapes" if parameters.basis == "read" else "computed from the config"
    return f"{show_count(parameters.total)} ({parameters.total:,}), {how}"


def _active(found: ModelFacts) -> str:
    experts, active = found.experts, found.parameters.active
    if found.components:
        return ""
    if experts is None:
        return "all of them" if active is not None else "unknown"
    shared = "" if experts.shared is None else f", {experts.shared} shared"
    of = f"{experts.used} of {experts.total} experts{shared}"
    if active is None:
        return f"unknown: {of}"
    plain = active - (found.parameters.embedding or 0)
    return f"{show_count(active)} a token: {of}; {show_count(plain)} without embedding"


def _weights(found: ModelFacts) -> str:
    if found.weights_bytes is None:
        return "unknown: the weights are not here"
    text = show_bytes(found.weights_bytes)
    if found.bits_per_weight is not None:
        text += f", {found.bits_per_weight:.2f} bits a weight"
    if found.active_weights_bytes is not None and found.active_weights_bytes < found.weights_bytes:
        text += f"; {show_bytes(found.active_weights_bytes)} active a token"
    return text


def _shape(found: ModelFacts) -> str:
    parts = []
    if found.layers:
        parts.append(f"{len(found.layers)} layers ({_kinds(found.layers)})")
    if found.embedding_length:
        parts.append(f"width {found.embedding_length:,}")
    if found.head_count:
        parts.append(f"{found.head_count} heads")
    return ", ".join(parts)


def _kinds(layers: Sequence[Layer]) -> str:
    names = Counter(
        layer.kind.replace("_", " ") + (f" {layer.window_tokens:,}" if layer.window_tokens else "") for layer in layers
    )
    return ", ".join(f"{count} {kind}" for kind, count in names.items())


def _context(found: ModelFacts) -> str:
    context = found.context
    text = f"{_known(found.context_length)} tokens"
    if context.extended:
        times = f" x{context.factor:g}" if context.factor else ""
        text += f", extended from {_known(context.native)} ({context.scaling}{times})"
    elif context.scaling:
        text += f" ({context.scaling})"
    if context.served and context.served != found.context_length:
        asks = "the store asks to serve" if found.source.place == "ollama" else "the tokenizer's limit is"
        text += f"; {asks} {context.served:,}"
    return text


def _vocabulary(found: ModelFacts) -> str:
    if found.vocabulary_size is None:
        return ""
    return f"{found.vocabulary_size:,} tokens" + (f" ({found.tokenizer})" if found.tokenizer else "")


def _chat(found: ModelFacts) -> str:
    chat = found.chat
    if found.components or "text" not in found.modalities.output:
        return ""
    if not chat.template:
        return "no template here: for completions, not for chat"
    switch = f" (switch: {chat.thinking_switch})" if chat.thinking_switch else ""
    thinking = f"thinking {_told(chat.thinking)}{switch}"
    return f"template; tools {_told(chat.tools)}, {thinking}, system role {_told(chat.system_role)}"


def _licence(found: ModelFacts) -> str:
    if not found.licences:
        return "unknown: the files state none"
    stated = [
        f"{statement.text} ({statement.covers}, {Path(statement.file).name}: {statement.place})"
        for statement in found.licences[:4]
    ]
    return "; ".join(stated)


def _parts(found: ModelFacts) -> str:
    """The parts that conventions count differently, where there are any."""
    names = (
        ("embedding", "embedding"), ("per-layer embedding", "per_layer_embedding"), ("output", "output"),
        ("routed experts", "routed_experts"), ("shared experts", "shared_experts"), ("vision", "vision"),
        ("audio", "audio"), ("multi-token prediction", "mtp"),
    )  # fmt: skip
    rows = []
    for label, name in names:
        count = getattr(found.parameters, name)
        if count:
            beside = "beside the total" if name == "mtp" else f"{count / max(1, found.parameters.total or 1):.1%}"
            rows.append((f"  {label}", f"{count:,}", beside))
    return output.table(("of the parameters", "", ""), rows, right=(1, 2)) if rows else ""


def _bytes_by_role(found: ModelFacts) -> str:
    if not found.weights_bytes or not found.weights:
        return ""
    sizes: Counter[str] = Counter()
    types: dict[str, Counter[str]] = {}
    for row in found.weights:
        sizes[row.role] += row.bytes
        types.setdefault(row.role, Counter())[row.type] += row.bytes
    lines = ["where the bytes are"]
    for role, size in sizes.most_common():
        share = size / found.weights_bytes
        kinds = "+".join(kind for kind, _ in types[role].most_common(2))
        name = role.replace("_", " ")
        lines.append(f"  {name:<19} {kinds:<11} {show_bytes(size):>9} {share:>6.1%} {output.bar(share, 26)}".rstrip())
    return "\n".join(lines)


def _cache(found: ModelFacts) -> str:
    if not found.layers:
        return ""
    most = found.context_length or _LENGTHS[-1]
    lengths = sorted({min(length, most) for length in _LENGTHS})
    rows = [
        (
            f"  {name}",
            *(show_bytes(sum(layer.cache_bytes(n, each, each, each) for layer in found.layers)) for n in lengths),
        )
        for name, each in _CACHE_TYPES
    ]
    head = ("cache of one sequence", *(f"{length:,} tokens" for length in lengths))
    return output.table(head, rows, right=range(1, len(head)))


def _read_from(found: ModelFacts) -> str:
    source = found.source
    files = [*source.files[:3], *([f"and {len(source.files) - 3} more"] if len(source.files) > 3 else [])]
    amount = f"read {show_bytes(source.bytes_read)} of headers and configs"
    if source.place in ("hub", "url"):
        amount += f", {show_bytes(source.bytes_transferred)} transferred,"
    return "\n  ".join([f"{amount} from", *map(output.printable, files)])


def _side_by_side(first: ModelFacts, second: ModelFacts) -> str:
    def cache(found: ModelFacts) -> int | None:
        return found.cache_bytes(min(32768, found.context_length or 32768)) if found.layers else None

    # What is shown, how it is read, how it is written; a ratio stands beside what are amounts.
    amounts: list[tuple[str, Callable[[ModelFacts], int | float | None], Callable[[int | float], str]]] = [
        ("parameters", lambda found: found.parameters.total, show_count),
        ("active", lambda found: found.parameters.active, show_count),
        ("vision", lambda found: found.parameters.vision, show_count),
        ("weights", lambda found: found.weights_bytes, show_bytes),
        ("active weights", lambda found: found.active_weights_bytes, show_bytes),
        ("bits a weight", lambda found: found.bits_per_weight, lambda value: f"{value:.2f}"),
        ("context", lambda found: found.context_length, lambda value: f"{value:,}"),
        ("cache, 32k", cache, show_bytes),
        ("layers", lambda found: len(found.layers) or None, lambda value: f"{value:,}"),
        ("width", lambda found: found.embedding_length, lambda value: f"{value:,}"),
        ("vocabulary", lambda found: found.vocabulary_size, lambda value: f"{value:,}"),
    ]  # fmt: skip
    words: list[tuple[str, Callable[[ModelFacts], str]]] = [
        ("architecture", lambda found: found.architecture),
        ("format", lambda found: found.source.kind),
        ("quantization", lambda found: _known(found.quantization)),
        ("experts", lambda found: f"{found.experts.used} of {found.experts.total}" if found.experts else "none"),
        ("in", lambda found: ", ".join(found.modalities.input)),
        ("tools", lambda found: _told(found.chat.tools)),
        ("thinking", lambda found: found.chat.thinking_switch or _told(found.chat.thinking)),
        ("licence", lambda found: _known(found.licence)),
    ]
    rows: list[tuple[str, str, str, str]] = []
    for label, tell in words[:3]:
        rows.append((label, tell(first), tell(second), ""))
    for label, amount, show in amounts:
        values = amount(first), amount(second)
        ratio = f"x{values[1] / values[0]:.3g}" if values[0] and values[1] else ""
        rows.append((label, *("unknown" if value is None else show(value) for value in values), ratio))  # type: ignore[arg-type]
    for label, tell in words[3:]:
        rows.append((label, tell(first), tell(second), ""))
    most = (output.width() - 26) // 2
    cut = [tuple(cell if len(cell) <= most else cell[: most - 1] + "…" for cell in row) for row in rows]
    head = ("", *(name if len(name) <= most else name[: most - 1] + "…" for name in (first.name, second.name)), "ratio")
    return output.table(head, cut, right=(3,))
