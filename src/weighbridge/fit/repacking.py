"""Second copies of matrices, interleaved for the processor: of which types llama.cpp's back-end keeps them."""

from __future__ import annotations

from weighbridge.machine import Machine

# Types that the processor back-end repacks into a second copy, with what their rows must be a multiple of
# (ggml-cpu/repack.cpp, ggml_repack_get_optimal_repack_type, read 2026-11; the wheel is built for AVX2, not AVX-512).
_REPACKED_ON_AVX2 = {"Q4_0": 8, "Q4_K": 8, "IQ4_NL": 8, "MXFP4": 8}
_REPACKED_ON_ARM = {
    "Q4_0": 4, "Q4_K": 8, "Q5_K": 8, "Q6_K": 8, "IQ4_NL": 4, "MXFP4": 4, "Q8_0": 4, "Q1_0": 4,
}  # fmt: skip
# At most this share of a recipe's bytes has a second copy on processors with AVX2; by the types that it mixes.
_COPIED_ON_AVX2 = {
    "Q4_0": 1.0, "Q4_K_M": 1.0, "Q4_K_S": 1.0, "IQ4_NL": 1.0, "MXFP4_MOE": 1.0, "Q3_K_L": 0.6, "Q3_K_M": 0.6,
    "Q2_K": 0.6, "Q2_K_S": 0.6, "IQ3_M": 0.6, "IQ3_S": 0.3, "IQ3_XS": 0.3, "IQ3_XXS": 0.3, "IQ2_M": 0.3, "IQ2_S": 0.3,
}  # fmt: skip


def most_copied(machine: Machine, recipe: str) -> float:
    """Which share of a recipe's bytes this processor keeps a second copy of, at most."""
    types = repacked_types(machine)
    if types is _REPACKED_ON_AVX2:
        return _COPIED_ON_AVX2.get(recipe.partition("+")[0], 0.0)
    return 1.0 if types else 0.0


def repacked_types(machine: Machine) -> dict[str, int]:
    """The types that this processor's back-end repacks, with what their rows must be a multiple of."""
    sets = set(machine.processor.instruction_sets)
    if "AVX2" in sets:
        return _REPACKED_ON_AVX2
    return _REPACKED_ON_ARM if sets & {"DOTPROD", "MATMUL_INT8"} else {}
