"""How much memory it takes to run a model."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from weighbridge.machine.table import known

from ..quantities import Quantity, Unit
from ..scene import Found, Scene

NEEDS_NUMBER = True
STEMS = "3090 4090 5090 a100 b200 gtx h100 h200 l4 l40 mi2 mi3 rtx rx"
_RUNS = re.compile(
    r"\b(?:fits?|fitting|runs?|running|ran|needs?|needed|requires?|required|requiring|serve[sd]?|serving"
    r"|deploy\w*|loads?|loaded|handles?|squeez\w+|"
    r"inference|minimum|hosts?|hosted|takes?|occup\w+|footprint|uses?|consum\w+|enough|suffic\w+|want|läuft"
    r"|benötigt|braucht|passt|"
    r"wants?|comfortabl\w+|in under|down to|recommended|executes?|operate[sd]?)\b"
)
_DEVICE_AFTER = re.compile(
    r"[\s-]*(?:of )?(?:total |combined |system |unified |shared |video |free |single |consumer |nvidia "
    r"|geforce |apple |mac |gpu |graphics |"
    r"high-bandwidth |hbm\d?e? |main )*"
    r"(?:gpus?|v?ram|cards?|memory|macbook\w*|mac\b|laptops?|machines?|rtx|gtx|a100|h100|h200|b200|mi\d{3}x?"
    r"|workstations?|unified|hbm\d?e?|speicher|desktop|"
    r"m\d (?:max|pro|ultra)|phones?|devices?|accelerators?|grafikkarten?|gpu-speicher|4090|3090|5090|nodes?)"
)
_DEVICE_BEFORE = re.compile(
    r"(?:\b(?:a100|h100|h200|b200|l40s?|rtx[\s-]?\w{4,5}(?:\s(?:ti|super|ada))?|v?ram|memory|macbook(?: pro| "
    r"air)?|mi\d{3}x?)[\s:(-]*(?:of|with|is|at|pcie|sxm)?[\s(]*)$"
)
_SIZE_ONLY = re.compile(
    r"\b(?:weights?|checkpoint|model|file|footprint|takes?(?: up)?|occup\w+|weighs?|quants?|memory|vram"
    r"|shrinks? to|down to|needs?|requires?|wants?)\b[^.;,]{0,45}$"
)
_NOT = re.compile(
    r"[\s-]*(?:/s|per second|/sec|bandwidth|of (?:text|data|training|code|images|disk|storage|html)|dataset|ssd"
    r"|disk|corpus|download|tokens|log|raise|storage|link|interconnect)\b|\s?/s"
)
_FITS = re.compile(
    r"\b(?:fit(?:s|ted|ting)?|squeez\w+|runs?|loads?|goes|passt)(?: [\w-]+){0,4}? (?:in|into|inside|within|in "
    r"under|on)(?: only| just| about| roughly)? ?~? ?$|\bfits? ?~? ?$"
)
# `On 8 GB, Tern 5 12B barely fits`, `16 GB fits it`
_ON_SIZE = re.compile(r"(?:^|[.;:] ?)[\s*_]*(?:on|with|in) (?:an? |just |only |your )?~?$")
_FIT_AFTER = re.compile(r"(?: [\w-]+){0,2},[^.;]{0,60}\b(?:fits?|runs?)\b")
_FITS_IT = re.compile(r"\+? (?:fits|holds|runs) (?:it|this|the model)\b")
_INTO = re.compile(r" (?:into|in|within) (?:about |just |only )?")
_FITTING = re.compile(r"\b(?:fit(?:s|ting)?|squeez\w+|runs?)\b")
_WEIGHS = re.compile(
    r"\bweights?\b[^.;,]{0,30}\b(?:are|is|take|takes|weigh|come to|total|need)(?: up)?(?: about| roughly| only)? "
    r"?~? ?$"
)
_COUNT = re.compile(
    r"(?:^|[\s(])(?P<count>\d{1,3}|two|three|four|six|eight|sixteen)(?:\s?[x×]|\s?[x×]?\s)(?:nvidia |amd "
    r"|geforce |used |consumer |new )*"
    r"(?:(?:a100|h100|h200|b200|l40s?|l4|t4|rtx|gtx|mi\d{3}x?|\d{4})[\w ]{0,10}?[\s(-]*)?$"
)
_DEVICES = re.compile(
    r"(?<![\w-])(?P<device>(?:rtx|gtx)[\s-]?(?:a?\d{4})(?:[\s-]?(?:ti|super|ada))?"
    r"|[ahbl]\d{2,3}s?(?:[\s-](?:pcie|sxm))?|mi\d{3}x|rx[\s-]?\d{4}(?:[\s-]?xtx?)?|"
    r"(?:3090|4090|5090)(?:[\s-]?ti)?s?)(?!\w)"
)
_CARD = re.compile("rtx|gtx|[0-9]00|090|mi[23]|l40|rx")
_ONE = re.compile(r"(?:(?:\b(?:a|one|single|an|1x|1×|the|lone|consumer|used|my|your)|nvidia|geforce) )$")
_COUNTS = {"two": 2, "three": 3, "four": 4, "six": 6, "eight": 8, "sixteen": 16}
_QUANTS = re.compile(
    r"\b(?:(?:at|in|with|using|after|under|to)\s)?(?P<quant>i?q\d(?:_k(?:_[a-z]{1,2})?|_\d)?|\d(?:\.\d\d?)?[ "
    r"-]?bit|fp8|fp16|bf16|int4|int8|mxfp4|nvfp4|awq|gptq|quanti[sz]ed|full precision|half precision|unquantized)\b"
)
_WEIGHT_AFTER = re.compile(r"\s(?:memory |vram |ram )?footprint\b")
_NAME_TO_SIZE = re.compile(
    r"[*_`]{0,3},?(?: (?:at|in|as))? ?(?:i?q\d\w*|\d(?:\.\d)?-bit|fp8|int4|int8|qat|awq|gptq|gguf)?[*_`]{0,3} \("
)
_LABEL = re.compile(r"\b(?:v?ram|memory|gpu|hardware|requires?|footprint|min(?:imum)? (?:v?ram|gpu))\b")


_COMMANDS = re.compile(r"\bcommands? (?:below|above) (?:was|were)\b|\bmodels? (?:that|which) fits?\b")
# `tests using a single A100`: where it was measured, and not what it needs.
_MEASURED = re.compile(
    r"\b(?:trained|training|tokens/s|tok/s|faster|tests? (?:using|on|with)|tested|benchmarked|measured)\b"
)


@functools.cache
def _memory() -> dict[str, float]:
    """Bytes of cards that are sold with one size only, by their short names: 24 GB for an RTX 4090."""
    found: dict[str, float] = {}
    for row in known():
        if row.kind == "gpu" and len(row.memory_gib) == 1:
            for name in (row.name, *row.aliases):
                short = re.sub(
                    r"[^a-z0-9]", "", name.lower().replace("geforce", "").replace("nvidia", "").replace("tesla", "")
                )
                found.setdefault(short, row.memory_gib[0] * 1e9)
                found.setdefault(short.removeprefix("rtx").removeprefix("radeon"), row.memory_gib[0] * 1e9)
    return found | {"h100": 80e9}


def find(scene: Scene) -> Iterator[Found]:
    """`memory_needed`, in bytes; a card's marketed gigabytes count 1e9."""
    seen = False
    for each in scene.quantities:
        if each.unit is Unit.BYTES and each.value >= 1e8 and not scene.is_negated(each.start):
            found = _sized(scene, each)
            if found is not None:
                seen = True
                yield found
    if not seen:
        yield from _by_device(scene)


def _sized(scene: Scene, each: Quantity) -> Found | None:
    after, before = scene.after(each.end, 60), scene.before(each.start, 60)
    if _NOT.match(after) or _COMMANDS.search(scene.words):
        return None
    on_device = _DEVICE_AFTER.match(after) or _DEVICE_BEFORE.search(before)
    labelled = bool(_LABEL.search(scene.label))
    runs = _RUNS.search(scene.words)
    fits = _FITS.search(before) or _WEIGHS.search(before)
    fits = fits or (_FIT_AFTER.match(after) if _ON_SIZE.search(before) else _FITS_IT.match(after))
    size_only = _SIZE_ONLY.search(before)
    held = _WEIGHT_AFTER.match(after) or _in_name_bracket(scene, each)
    if not (
        held
        or fits
        or _is_gapped(scene, each)
        or (on_device and (runs or _verbless(scene)))
        or labelled
        or (size_only and runs)
    ):
        return None
    count = _count(scene, each)
    qualifiers = [*_quant(scene), *([each.bound] if each.bound else [])]
    if count > 1:
        qualifiers.append(f"{count} devices")
    return Found("memory_needed", each.value * count, each.start, each.end, "bytes", tuple(qualifiers))


def _is_gapped(scene: Scene, each: Quantity) -> bool:
    """`Tern 5 squeezes into 20 GB and Wren 6 into 17 GB`: the verb is told once."""
    last = next((mention for mention in reversed(scene.mentions) if mention.end <= each.start), None)
    if last is None or not _INTO.fullmatch(scene.low[last.end : each.start]):
        return False
    return _FITTING.search(scene.low, scene.start, last.start) is not None


def _in_name_bracket(scene: Scene, each: Quantity) -> bool:
    """`Qwen3-14B at Q4_K_M (9.0 GB)`: a size alone in a bracket behind a name and its quantization."""
    if scene.before(each.start, 1) != "(" or scene.after(each.end, 1) != ")":
        return False
    return any(m.end < each.start and _NAME_TO_SIZE.fullmatch(scene.low[m.end : each.start]) for m in scene.mentions)


def _verbless(scene: Scene) -> bool:
    """A fragment such as `two A100 80GB cards for comfortable inference`, where another sentence has the verb."""
    return scene.is_fragment and _QUANTS.search(scene.words) is not None


def _count(scene: Scene, each: Quantity) -> int:
    found = _COUNT.search(scene.before(each.number_start, 40))
    if not found:
        return 1
    written = found["count"]
    return _COUNTS.get(written) or min(int(written), 1024)


def _quant(scene: Scene) -> list[str]:
    found = _QUANTS.search(scene.words)
    return [f"at {found['quant'].replace(' ', '-')}"] if found else []


def _by_device(scene: Scene) -> Iterator[Found]:
    """`runs on a single RTX 4090`: the card's memory."""
    words = scene.words
    if not _CARD.search(words) or (not _RUNS.search(words) and not _LABEL.search(scene.label)):
        return
    for match in _DEVICES.finditer(words):
        name = re.sub(r"[^a-z0-9]", "", match["device"]).rstrip("s")
        memory = _memory().get(name)
        before = words[max(0, match.start() - 40) : match.start()]
        counted = re.search(
            r"(?:^|[\s(])(\d{1,3}|two|three|four|six|eight|sixteen)\s?[x×]?\s?(?:nvidia |geforce |used )*$", before
        )
        if memory is None or not (counted or _ONE.search(before)) or scene.is_negated(scene.start + match.start()):
            continue
        count = 1
        if counted:
            count = _COUNTS.get(counted[1]) or min(int(counted[1]), 1024)
        if _MEASURED.search(words):
            continue
        told = re.match(r"[\s-](\d{2,3}) ?gb?\b", words[match.end() : match.end() + 8])
        memory = float(told[1]) * 1e9 if told else memory
        start = scene.start + match.start()
        yield Found(
            "memory_needed", memory * count, start, scene.start + match.end(), "bytes",
            (*_quant(scene), f"on {scene.text[start : scene.start + match.end()]}"),
        )  # fmt: skip
        return
