"""The number types of a GGUF file: how large their blocks are, and where a block's scales stand.

From ggml's public description of its types. Syntax of Python 3.8, standard library only.
"""

from __future__ import annotations

from typing import NamedTuple


class GgufType(NamedTuple):
    """`block` numbers take `size` bytes; `scales` are the bytes, from a block's first, at which a
    16-bit float stands that all numbers of the block are multiplied with, or begin at.
    """

    name: str
    block: int
    size: int
    scales: tuple[int, ...] = ()


TYPES = {
    0: GgufType("F32", 1, 4),
    1: GgufType("F16", 1, 2),
    2: GgufType("Q4_0", 32, 18, (0,)),
    3: GgufType("Q4_1", 32, 20, (0, 2)),
    6: GgufType("Q5_0", 32, 22, (0,)),
    7: GgufType("Q5_1", 32, 24, (0, 2)),
    8: GgufType("Q8_0", 32, 34, (0,)),
    9: GgufType("Q8_1", 32, 36, (0, 2)),
    10: GgufType("Q2_K", 256, 84, (80, 82)),
    11: GgufType("Q3_K", 256, 110, (108,)),
    12: GgufType("Q4_K", 256, 144, (0, 2)),
    13: GgufType("Q5_K", 256, 176, (0, 2)),
    14: GgufType("Q6_K", 256, 210, (208,)),
    15: GgufType("Q8_K", 256, 292),
    16: GgufType("IQ2_XXS", 256, 66, (0,)),
    17: GgufType("IQ2_XS", 256, 74, (0,)),
    18: GgufType("IQ3_XXS", 256, 98, (0,)),
    19: GgufType("IQ1_S", 256, 50, (0,)),
    20: GgufType("IQ4_NL", 32, 18, (0,)),
    21: GgufType("IQ3_S", 256, 110, (0,)),
    22: GgufType("IQ2_S", 256, 82, (0,)),
    23: GgufType("IQ4_XS", 256, 136, (0,)),
    24: GgufType("I8", 1, 1),
    25: GgufType("I16", 1, 2),
    26: GgufType("I32", 1, 4),
    27: GgufType("I64", 1, 8),
    28: GgufType("F64", 1, 8),
    29: GgufType("IQ1_M", 256, 56),
    30: GgufType("BF16", 1, 2),
    34: GgufType("TQ1_0", 256, 54, (52,)),
    35: GgufType("TQ2_0", 256, 66, (64,)),
    39: GgufType("MXFP4", 32, 17),
    40: GgufType("NVFP4", 64, 36),
    41: GgufType("Q1_0", 128, 18, (0,)),
}
# Types that ggml had for a while; today's llama.cpp refuses files with them.
REMOVED = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}
NEWEST = 63  # an unknown number up to here may be a type that is newer than this table
PLAIN = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
