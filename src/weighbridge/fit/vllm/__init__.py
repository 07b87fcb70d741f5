"""What vLLM needs of each GPU for a model, and how much context its cache then holds; by vLLM 0.33.0's own source.

vLLM takes `gpu_memory_utilization` of a GPU, loads its share of the weights, runs the largest step once to see what
activations take, and gives all that is left to the cache, in blocks. So the sum here is made in the same order. All of
it is computed (`Basis.COMPUTED`) from the model's files, but for what `CONTEXT`, `COMMUNICATION`, `GRAPH`, `ENCODER`,
`REPACKED` and `VISIBLE` hold, which are assumed. No GPU took part in its making: the formulas were read in the source,
and held against logs that users published, which `tests/fit/test_vllm.py` lists.
"""

from .cache import Cache
from .choices import parallel_choices
from .fixed import COMMUNICATION, CONTEXT, ENCODER, GRAPH, REPACKED
from .need import VISIBLE, VLLMNeed, cache_capacity, plan_memory, weights_bytes
from .settings import VERSION, Settings, capture_sizes, command_arguments

__all__ = [
    "COMMUNICATION",
    "CONTEXT",
    "ENCODER",
    "GRAPH",
    "REPACKED",
    "VERSION",
    "VISIBLE",
    "Cache",
    "Settings",
    "VLLMNeed",
    "cache_capacity",
    "capture_sizes",
    "command_arguments",
    "parallel_choices",
    "plan_memory",
    "weights_bytes",
]
