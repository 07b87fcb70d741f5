"""Evals: which model is best on the user's own data, and how sure that is. Words as in Inspect."""

from .advice import Advice
from .cost import Cost, Price
from .footprint import Footprint, Watch
from .http import Target
from .log import EvalLog, read_log
from .race import Raced, race
from .reading import read_task, read_tasks
from .report import Report, report, table
from .running import Manner, Progress, Ran, run, target_of
from .score import Answer, Score, Scorer, State
from .task import Dataset, Generation, Sample, Task

__all__ = [
    "Advice",
    "Answer",
    "Cost",
    "Dataset",
    "EvalLog",
    "Footprint",
    "Generation",
    "Manner",
    "Price",
    "Progress",
    "Raced",
    "Ran",
    "Report",
    "Sample",
    "Score",
    "Scorer",
    "State",
    "Target",
    "Task",
    "Watch",
    "race",
    "read_log",
    "read_task",
    "read_tasks",
    "report",
    "run",
    "table",
    "target_of",
]
