"""What a set of scores says, and what it does not: intervals, comparisons, rankings, stopping. No score without its n.

Every formula names its source. Nothing here needs numpy, so that a run starts quickly and stays small.
"""

from .intervals import Estimate, Interval, clustered_error, estimate, wilson
from .paired import Difference, compare, mcnemar_exact, tango
from .power import detectable_difference, samples_needed
from .ranking import Comparison, Place, holm, leaders_of, places_of, rank
from .selection import best_of_gain, largest_normal
from .sequential import ConfidenceSequence, PairedTest

__all__ = [
    "Comparison",
    "ConfidenceSequence",
    "Difference",
    "Estimate",
    "Interval",
    "PairedTest",
    "Place",
    "best_of_gain",
    "clustered_error",
    "compare",
    "detectable_difference",
    "estimate",
    "holm",
    "largest_normal",
    "leaders_of",
    "mcnemar_exact",
    "places_of",
    "rank",
    "samples_needed",
    "tango",
    "wilson",
]
