"""Which of many models fit a machine, at which quantization and context, and how fast: all pairs at once, in arrays.

The rules are those of single plans, with what only a file tells left on the safe side: second copies on processors are
as large as they could be, and a compute buffer that was never recorded is taken by a form that is larger than what was
measured. A plan for one file is more exact, and never needs more.
"""

from .ranking import Ranking, rank
from .table import Candidate, Quantized, Table, tabulate

__all__ = ["Candidate", "Quantized", "Ranking", "Table", "rank", "tabulate"]
