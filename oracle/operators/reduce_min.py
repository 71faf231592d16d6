"""ReduceMin (ONNX 20): reduced = the smallest of data over axes; of all if none are named.

    d data = d reduced where data is the smallest, 0 elsewhere

Where several are the smallest, the first, the last, or all in equal shares are right.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.operators import reductions
from oracle.operators.extreme_reductions import largest, slips_of, winners
from oracle.operators.reductions import reduction, spread_back

SIGNATURE = reductions.signature("ReduceMin", 20)

shapes = reductions.shapes
value = reduction(largest(-1.0))
vjp = spread_back(winners(-1.0))

SLIPS = slips_of(-1.0, "smallest")

draw = reductions.draw
