"""Which model answers a request, with the reason in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.later import later

from .cascade import AS_CHAT, Escalation, Tried, escalates, learn_threshold, mean_log_probability
from .excerpt import excerpt
from .needs import Needs, needs_of
from .newest import newest_thumb
from .policy import POLICIES, Policies, Policy, Rule, read_policies
from .route import Candidate, Considered, Route, explain, route

if TYPE_CHECKING:
    from .evidence import Evidence, Outcome, read_evidence, read_outcomes
    from .learning import learn
    from .predictor import Prediction, Predictor
    from .thumbs import Thumb, keep_thumb, read_thumbs

__all__ = [
    "AS_CHAT",
    "POLICIES",
    "Candidate",
    "Considered",
    "Escalation",
    "Evidence",
    "Needs",
    "Outcome",
    "Policies",
    "Policy",
    "Prediction",
    "Predictor",
    "Route",
    "Rule",
    "Thumb",
    "Tried",
    "escalates",
    "excerpt",
    "explain",
    "keep_thumb",
    "learn",
    "learn_threshold",
    "mean_log_probability",
    "needs_of",
    "newest_thumb",
    "read_evidence",
    "read_outcomes",
    "read_policies",
    "read_thumbs",
    "route",
]

# A gateway that has learnt nothing needs no arrays: NumPy is loaded with the first of these names.
__getattr__ = later(
    __name__,
    {
        "evidence": "Evidence Outcome read_evidence read_outcomes",
        "learning": "learn",
        "predictor": "Prediction Predictor",
        "thumbs": "Thumb keep_thumb read_thumbs",
    },
)
