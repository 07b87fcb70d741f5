"""Which model answers a request, with the reason in words."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .cascade import AS_CHAT, Escalation, Tried, escalates, learn_threshold, mean_log_probability
from .excerpt import excerpt
from .needs import Needs, needs_of
from .newest import newest_thumb
from .policy import POLICIES, Policies, Policy, Rule, read_policies
from .route import Candidate, Considered, Route, explain, route

if TYPE_CHECKING:
    from .evidence import Evidence, Outcome, read_evidence, read_outcomes
    from .predictor import Prediction, Predictor, learn
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
_LATER = {
    "Evidence": "evidence",
    "Outcome": "evidence",
    "read_evidence": "evidence",
    "read_outcomes": "evidence",
    "Prediction": "predictor",
    "Predictor": "predictor",
    "learn": "predictor",
    "Thumb": "thumbs",
    "keep_thumb": "thumbs",
    "read_thumbs": "thumbs",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
