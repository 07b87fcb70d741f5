"""Whether a model runs on a machine, and what it takes, with the sum shown."""

from .plan import MemoryNeed, Plan, Verdict, Workload, make_plan

__all__ = ["MemoryNeed", "Plan", "Verdict", "Workload", "make_plan"]
