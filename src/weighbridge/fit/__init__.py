"""Whether a model runs on a machine, what it takes and how fast it goes, with the sum shown."""

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
