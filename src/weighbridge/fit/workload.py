"""`Workload`: what a model shall do."""

from __future__ import annotations

from dataclasses import dataclass

from weighbridge.facts import TENSOR_TYPES, ModelFacts

# Values of a block of the cache's quantized types.
CACHE_BLOCK = 32
# Those that are not quantized; None is f16.
PLAIN_CACHE_TYPES = frozenset({None, "f32", "f16", "bf16"})
# Of keys and values, by llama.cpp's names.
CACHE_TYPES = ("f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
_BLOCK_BYTES = {
    name.lower(): CACHE_BLOCK // values * size for name, values, size in TENSOR_TYPES.values() if values <= 32
}
_LONGEST = 8192
_UNSTATED = 4096


@dataclass(frozen=True, slots=True)
class Workload:
    """What a model shall do: the context of each sequence in tokens, how many sequences at once, and how.

    None leaves a choice to the plan: the context is then all that the model was made for, at most 8192, and cache types
    are of 16 bits; where only smaller ones fit, the plan says so.
    """

    context_tokens: int | None = None
    parallel: int = 2
    ubatch_tokens: int = 512
    """Tokens that are computed in one step."""
    cache_type_k: str | None = None
    """Of keys, by llama.cpp's names: f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl."""
    cache_type_v: str | None = None
    flash_attention: bool = True
    unified_cache: bool = False
    """Whether all sequences share one pool of cells; then `context_tokens` is what they have together."""
    full_windows: bool = False
    """Whether layers with a window keep the whole context (`--swa-full`)."""
    depth_tokens: int | None = None
    """How full the context is where speed is asked for; None: half."""
    prompt_tokens: int = 512
    """Length of the prompt for the time to the first token."""
    drafted_tokens: int = 0
    """Tokens that a draft model proposes at once; the model then scores one more for each sequence."""
    wanted_tokens_per_second: float | None = None
    """Least decode speed of one sequence."""

    @property
    def cache_block_bytes(self) -> tuple[int, int]:
        """Bytes of 32 keys, and of 32 values, in the cache."""
        return _BLOCK_BYTES[self.cache_type_k or "f16"], _BLOCK_BYTES[self.cache_type_v or "f16"]

    @property
    def has_quantized_cache(self) -> bool:
        """Whether keys or values are kept in blocks."""
        return not {self.cache_type_k, self.cache_type_v} <= PLAIN_CACHE_TYPES

    def context_of(self, facts: ModelFacts) -> int:
        """The context of each sequence: as asked for, or all that the model was made for, at most 8,192 tokens."""
        return self.context_tokens or min(facts.context_length or _UNSTATED, _LONGEST)
