"""What a quantized file, or a cache of fewer bits, costs a model: measured through the engine that serves it."""

from .blocks import FORMS
from .bounds import Bounds, bound
from .compare import Progress, compare
from .comparison import Comparison, Side, Worst
from .intervals import Interval
from .preparation import Candidate, Manner
from .quantize import Quantized, quantize
from .text import Text, read_text
from .verdict import THRESHOLDS, Loss, Verdict

__all__ = [
    "FORMS",
    "THRESHOLDS",
    "Bounds",
    "Candidate",
    "Comparison",
    "Interval",
    "Loss",
    "Manner",
    "Progress",
    "Quantized",
    "Side",
    "Text",
    "Verdict",
    "Worst",
    "bound",
    "compare",
    "quantize",
    "read_text",
]
