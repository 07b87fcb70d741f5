"""What served answers teach of a machine: a running ratio of the seconds they took to those foretold, and its file.

The file stands apart from the calibration's, as whoever serves writes it again and again: a calibration that is made
meanwhile is never lost to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from weighbridge.by_machine import MachineFile

FILE = "learned.json"
_FILE = MachineFile(FILE, format=1, most_machines=32)
_MOST_PLACES = 256
_LEAST_SPREAD = 0.12
# An answer of fewer tokens, or foretold to be quicker, tells more of clocks and buffers than of speed. What is foretold
# decides: of a quick model's answers only those that something held up took long, and they would teach that alone.
_LEAST_TOKENS, _LEAST_SECONDS = 8, 0.005
# The first answers count fully, later ones at this rate: a change of the machine is followed within some fifty answers.
_GAIN = 0.04
# An answer is moved towards by at most so many scatters, so that a machine that was busy for a while teaches little.
_CLIP = 3.0
_FIRST_SCATTER = 0.2


@dataclass(frozen=True, slots=True)
class Learned:
    """What served answers taught of one place that models run on."""

    ratio: float
    """Seconds that answers took, over those foretold without this; a running estimate."""
    scatter: float
    """How far single answers lie from it, as a share: a running mean of absolute differences."""
    count: int

    @property
    def spread(self) -> tuple[float, float]:
        """Bounds of speed as multiples of the middle: twice the mean difference, which seven in eight answers keep."""
        off = max(_LEAST_SPREAD, 2 * self.scatter)
        return 1 / (1 + off), 1 + off


@dataclass(frozen=True, slots=True)
class Observation:
    """One answer that was served."""

    place: str
    """Where the model ran, by `speed.place_of`."""
    tokens: int
    seconds: float
    """That these tokens took."""
    expected_seconds: float
    """What an estimate made without anything learned says that they take."""


def learn(learned: Mapping[str, Learned], seen: Observation) -> dict[str, Learned]:
    """What is known after one more answer: a running median-like estimate of seconds over those foretold.

    In logarithms, x = log(seconds / expected): the estimate moves by gain x clip(x - estimate, 3 scatters), and the
    scatter by gain x (|x - estimate| - scatter), clipped alike. E.g. after 100 answers that took 1.25 times as long as
    foretold, of which 10 took ten times as long, the ratio is 1.26.
    """
    numbers = (seen.seconds, seen.expected_seconds)
    if not all(map(math.isfinite, numbers)) or seen.expected_seconds <= 0:
        return dict(learned)
    if seen.tokens < _LEAST_TOKENS or seen.expected_seconds < _LEAST_SECONDS or seen.seconds <= 0:
        return dict(learned)
    place = math.log(seen.seconds / seen.expected_seconds)
    before = learned.get(seen.place)
    others = {name: value for name, value in learned.items() if name != seen.place}
    if before is None:
        # One answer may be off by anything, so it is not believed beyond a factor of ten.
        ratio = math.exp(min(max(place, -2.3), 2.3))
        return {**others, seen.place: Learned(ratio, _FIRST_SCATTER, 1)}
    count = before.count + 1
    gain = max(_GAIN, 1 / count)
    limit = _CLIP * before.scatter
    off = min(max(place - math.log(before.ratio), -limit), limit)
    ratio = before.ratio * math.exp(gain * off)
    scatter = before.scatter + gain * (abs(off) - before.scatter)
    return {**others, seen.place: Learned(ratio, max(scatter, 0.005), count)}


def recall(folder: Path, machine: str, against: str) -> dict[str, Learned]:
    """What was learnt on this machine. What the processor taught against another calibration than this one (`against`
    names it) is left aside: a ratio means nothing beside other rates."""
    entries, _ = _FILE.read(folder)
    entry = entries.get(machine)
    if not isinstance(entry, dict) or not isinstance(entry.get("learned"), dict):
        return {}
    found = {}
    for place, each in entry["learned"].items():
        try:
            known = Learned(float(each["ratio"]), float(each["scatter"]), int(each["count"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        is_sound = 1e-3 < known.ratio < 1e3 and 0 <= known.scatter < 10 and known.count > 0
        if is_sound and (entry.get("against") == against or "processor" not in place):
            found[str(place)] = known
    return found


def keep(folder: Path, machine: str, against: str, learned: Mapping[str, Learned]) -> bool:
    """Write it in one step, beside what other machines taught; whether it could be written now."""
    newest = dict(list(learned.items())[-_MOST_PLACES:])
    entry = {"against": against, "learned": {place: asdict(known) for place, known in newest.items()}}
    try:
        _FILE.keep(folder, machine, entry, waits=False)
    except OSError:
        return False
    return True
