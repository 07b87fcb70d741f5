"""What a quantized file, or a cache of fewer bits, costs a model: measured through the engine that serves it."""

from .compare import Candidate, Manner, Progress, compare
from .comparison import Comparison, Side, Worst
from .intervals import Interval
from .text import Text, read_text
from .verdict import THRESHOLDS, Loss, Verdict

__all__ = [
    "THRESHOLDS",
    "Candidate",
    "Comparison",
    "Interval",
    "Loss",
    "Manner",
    "Progress",
    "Side",
    "Text",
    "Verdict",
    "Worst",
    "compare",
    "read_text",
]
