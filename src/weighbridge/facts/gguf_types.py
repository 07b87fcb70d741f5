"""Types of tensors and of files, by the numbers that GGUF files hold."""

from __future__ import annotations

# number: (name, weights a block, bytes a block); ggml.h `enum ggml_type` with ggml.c `type_traits`.
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
    # Of microsoft/BitNet, and those of ikawrakow/ik_llama.cpp that llama-quantize writes there; `_R4` and its like
    # have the rows of several blocks woven into each other.
    31: ("Q4_0_4_4", 32, 18), 32: ("Q4_0_4_8", 32, 18), 33: ("Q4_0_8_8", 32, 18), 36: ("I2_S", 4, 1),
    133: ("Q6_0", 32, 26), 134: ("IQ1_BN", 64, 13), 135: ("IQ2_BN", 64, 16), 137: ("IQ2_K", 256, 76),
    138: ("IQ3_K", 256, 110), 139: ("IQ4_K", 256, 144), 140: ("IQ5_K", 256, 176), 141: ("IQ6_K", 256, 212),
    144: ("IQ4_KS", 256, 136), 145: ("IQ2_KS", 256, 70), 146: ("IQ4_KSS", 256, 128), 151: ("Q8_KV", 32, 32),
    152: ("IQ5_KS", 256, 168), 153: ("IQ2_KT", 256, 68), 154: ("IQ3_KT", 256, 100), 155: ("IQ4_KT", 256, 128),
    156: ("IQ3_KS", 256, 102), 157: ("IQ2_KL", 256, 86), 158: ("IQ1_KT", 256, 56), 202: ("Q4_0_R8", 32, 18),
    206: ("Q5_0_R4", 32, 22), 208: ("Q8_0_R8", 32, 34), 210: ("Q2_K_R4", 256, 84), 211: ("Q3_K_R4", 256, 110),
    212: ("Q4_K_R4", 256, 144), 213: ("Q5_K_R4", 256, 176), 214: ("Q6_K_R4", 256, 210),
    216: ("IQ2_XXS_R4", 256, 66), 217: ("IQ2_XS_R4", 256, 74), 218: ("IQ3_XXS_R4", 256, 98),
    219: ("IQ1_S_R4", 32, 6), 220: ("IQ4_NL_R4", 32, 18), 221: ("IQ3_S_R4", 256, 110), 222: ("IQ2_S_R4", 256, 82),
    223: ("IQ4_XS_R8", 256, 136), 229: ("IQ1_M_R4", 32, 7), 230: ("BF16_R16", 1, 2), 233: ("Q6_0_R4", 32, 26),
    335: ("IQ2_BN_R4", 64, 16), 337: ("IQ2_K_R4", 256, 76), 338: ("IQ3_K_R4", 256, 110),
    339: ("IQ4_K_R4", 256, 144), 340: ("IQ5_K_R4", 256, 176), 344: ("IQ4_KS_R4", 256, 136),
    352: ("IQ5_KS_R4", 256, 168), 353: ("MXFP4_R8", 32, 17), 397: ("Q8_K_R16", 256, 258), 398: ("Q8_KV_R8", 32, 32),
    399: ("Q8_K_R8", 256, 258),
}  # fmt: skip

# number: bytes that each row has before its blocks; ik_llama.cpp's ggml.c `row_meta_size`.
_ROW_BYTES = {
    134: 2, 135: 4, 144: 4, 145: 2, 146: 4, 151: 8, 152: 4, 153: 4, 154: 4, 155: 4, 156: 2, 157: 2, 158: 4, 219: 2,
    229: 2, 335: 4, 344: 4, 352: 4, 398: 4,
}  # fmt: skip
# I2_S: behind the weights lies their one scale; BitNet's ggml.c `ggml_nbytes`: elements / 4 + 32.
_TENSOR_BYTES = {36: 32}

# general.file_type: what the maker called the mixture of types; llama.h `enum llama_ftype`.
FILE_TYPES: dict[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0",
    41: "Q2_0",
}  # fmt: skip


def tensor_bytes(kind: int, shape: tuple[int, ...], elements: int) -> int:
    """Bytes of a tensor whose rows are whole blocks: those of its blocks, of what each row has before them, and of what
    lies behind."""
    _, block, block_bytes = TENSOR_TYPES[kind]
    rows = elements // (shape[0] if shape else 1)
    return elements // block * block_bytes + rows * _ROW_BYTES.get(kind, 0) + _TENSOR_BYTES.get(kind, 0)
