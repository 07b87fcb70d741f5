"""Whether a model runs on a machine, what it takes and how fast it goes, with the sum shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weighbridge.later import later

if TYPE_CHECKING:
    from .companions import Companions, companions_of, plan_with
    from .learner import Learner
    from .llama_cpp import LlamaCpp
    from .memory import DeviceNeed, MemoryNeed
    from .placement import Placement
    from .plan import Plan, Verdict
    from .planning import make_plan, plan_set
    from .speed import Speed
    from .workload import CACHE_TYPES, Workload

__all__ = [
    "CACHE_TYPES",
    "Companions",
    "DeviceNeed",
    "Learner",
    "LlamaCpp",
    "MemoryNeed",
    "Placement",
    "Plan",
    "Speed",
    "Verdict",
    "Workload",
    "companions_of",
    "make_plan",
    "plan_set",
    "plan_with",
]

# Who only holds a plan, or none, needs nothing that makes one.
__getattr__ = later(
    __name__,
    {
        "companions": "Companions companions_of plan_with",
        "learner": "Learner",
        "llama_cpp": "LlamaCpp",
        "memory": "DeviceNeed MemoryNeed",
        "placement": "Placement",
        "plan": "Plan Verdict",
        "planning": "make_plan plan_set",
        "speed": "Speed",
        "workload": "CACHE_TYPES Workload",
    },
)
