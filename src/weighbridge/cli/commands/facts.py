"""What a model is, read from its own file: parameters, layers, cache, template, licence.

Only the header is read, never the weights. A value that the file does not tell is shown as unknown. Of several files
--json prints a list.

example:
  weigh facts model.gguf --json | jq .parameters.total
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter

from weighbridge import facts
from weighbridge.cli import output
from weighbridge.cli.locate import locate
from weighbridge.facts import ModelFacts
from weighbridge.sizes import show_bytes, show_count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument(
        "sources", nargs="+", metavar="FILE", help="a .gguf file (the first, if it is split), or a bundled model"
    )
    parser.add_argument("--json", action="store_true", help="print all facts but the tensors as JSON")
    parser.add_argument("--tensors", action="store_true", help="print the table of tensors")


def run(arguments: argparse.Namespace) -> int:
    """Print the facts."""
    models = [facts.read(locate(source)) for source in arguments.sources]
    if arguments.json:
        data = [found.tensors if arguments.tensors else _without_tensors(found) for found in models]
        print(output.to_json(data if len(data) > 1 else data[0]))
    else:
        print("\n\n\n".join(_tensors(found) if arguments.tensors else _page(found) for found in models))
    return 0


def _without_tensors(found: ModelFacts) -> dict[str, object]:
    shown = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    del shown["tensors"]
    return shown


def _tensors(found: ModelFacts) -> str:
    rows = [
        (tensor.name, tensor.type, " x ".join(map(str, tensor.shape)), show_bytes(tensor.bytes), f"{tensor.offset:,}")
        for tensor in found.tensors
    ]
    return output.table(("tensor", "type", "shape", "size", "at byte"), rows, right=(3, 4))


def _known(value: object) -> str:
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _page(found: ModelFacts) -> str:
    parameters = found.parameters
    experts = found.experts
    shape = f"{len(found.layers)} layers ({_kinds(found)}), width {found.embedding_length:,}, {found.head_count} heads"
    pairs = [
        ("name", found.name),
        ("architecture", found.architecture),
        ("parameters", f"{show_count(parameters.total)} ({parameters.total:,}), counted from tensor shapes"),
        ("active", f"{show_count(parameters.active)} a token" if experts else "all of them"),
        ("weights", f"{show_bytes(found.weights_bytes)}, {found.bits_per_weight:.2f} bits a weight"),
        ("quantization", found.quantization),
        ("shape", shape),
        ("context", f"{_known(found.context_length)} tokens"),
        ("vocabulary", f"{found.vocabulary_size:,} tokens ({_known(found.tokenizer)})"),
        ("chat", _chat(found)),
        ("licence", f"{_known(found.licence)}, as the file states it"),
    ]
    if experts:
        pairs.insert(4, ("experts", f"{experts.used} of {experts.total} a token, shared: {_known(experts.shared)}"))
    if found.card.description:
        pairs.append(("made for", found.card.description))
    sections = [output.fields(pairs), _bytes_by_type(found), _cache(found)]
    sections += [f"note: {note}" for note in found.notes]
    files = "\n  ".join(found.source.files)
    sections.append(f"read {show_bytes(found.source.bytes_read)} of header from\n  {files}")
    return "\n\n".join(sections)


def _kinds(found: ModelFacts) -> str:
    return ", ".join(
        f"{count} {kind.replace('_', ' ')}" for kind, count in Counter(x.kind for x in found.layers).items()
    )


def _chat(found: ModelFacts) -> str:
    if not found.chat.template:
        return "no template: for completions, not for chat"
    return f"template; tools {'yes' if found.chat.tools else 'no'}, thinking {'yes' if found.chat.thinking else 'no'}"


def _bytes_by_type(found: ModelFacts) -> str:
    sizes: Counter[str] = Counter()
    for tensor in found.tensors:
        sizes[tensor.type] += tensor.bytes
    lines = ["where the bytes are"]
    for kind, size in sizes.most_common():
        share = size / found.weights_bytes
        lines.append(f"  {kind:<8} {show_bytes(size):>10} {share:>6.1%} {output.bar(share, 40)}".rstrip())
    return "\n".join(lines)


def _cache(found: ModelFacts) -> str:
    most = found.context_length or 131072
    lengths = sorted({min(length, most) for length in (8192, 32768, 131072)})
    parts = [f"{length:,} tokens: {show_bytes(found.cache_bytes(length))}" for length in lengths]
    return "cache of one sequence (16-bit keys and values)\n  " + "   ".join(parts)
