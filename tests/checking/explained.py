"""The findings of a check of a gradient that is wrong."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from oracle.checking import closed_form
from oracle.values import Verdict

HALF = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def found(case, gradient, dtype="float64", **options):
    """The findings of a check, with delta = 0, of a gradient that fails."""
    kind = HALF.get(dtype, dtype)
    candidate = {n: np.ascontiguousarray(np.asarray(g).astype(kind)) for n, g in gradient.items()}
    options.setdefault("delta", 0.0)
    report = closed_form.check_two_layer_net(*case, candidate, **options)
    assert report.verdict is Verdict.FAIL
    return report.findings


def kinds(findings):
    """The codes among them."""
    return {finding.kind for finding in findings}
