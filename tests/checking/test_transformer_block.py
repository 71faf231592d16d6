"""A transformer block as one graph: its gradients are checked at once, a bug in it is named."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.arithmetic.float64 import Float64Numbers
from oracle.checking import known
from oracle.graphs.evaluation import cotangents_of, forward, reverse
from oracle.graphs.graph import Graph, Node, plan
from oracle.operators.table import OPERATORS
from oracle.values import Verdict

NODES = (
    Node("LayerNormalization", ("x", "g1", "c1"), ("n1",)),
    Node("MatMul", ("n1", "Wq"), ("q",)),
    Node("MatMul", ("n1", "Wk"), ("k",)),
    Node("MatMul", ("n1", "Wv"), ("v",)),
    Node(
        "Attention",
        ("q", "k", "v"),
        ("a",),
        {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": 1},
    ),
    Node("MatMul", ("a", "Wo"), ("o",)),
    Node("Add", ("x", "o"), ("r",)),
    Node("RMSNormalization", ("r", "g2"), ("n2",)),
    Node("MatMul", ("n2", "Wg"), ("gate",)),
    Node("MatMul", ("n2", "Wu"), ("up",)),
    Node("Swish", ("gate",), ("opened",)),
    Node("Mul", ("opened", "up"), ("mixed",)),
    Node("MatMul", ("mixed", "Wd"), ("down",)),
    Node("Add", ("r", "down"), ("y",)),
)
SHAPES = {
    "x": (2, 6, 8),
    "g1": (8,),
    "c1": (8,),
    "Wq": (8, 8),
    "Wk": (8, 4),
    "Wv": (8, 4),
    "Wo": (8, 8),
    "g2": (8,),
    "Wg": (8, 12),
    "Wu": (8, 12),
    "Wd": (12, 8),
}
GRAPH = Graph(NODES, tuple(SHAPES), ("y",), "transformer block")


def computed(instead=None, dtype="float32"):
    """Return a plan, its cotangent, and its gradients in a type, with some slips."""
    rng = np.random.default_rng(19)
    inputs = {
        n: (rng.normal(size=s) / ((len(s) == 2 and s[0] ** 0.5) or 1.0)).astype(dtype)
        for n, s in SHAPES.items()
    }
    fits = plan(GRAPH, inputs)
    cotangents = {"y": rng.normal(size=SHAPES["x"]).astype(dtype)}
    xp = Float64Numbers()
    above = cotangents_of(xp, fits, cotangents)
    found = reverse(xp, fits, forward(xp, fits), above, instead=instead)
    return fits, cotangents, {n: np.asarray(found[n]).astype(dtype) for n in SHAPES}


def test_the_right_gradients_of_a_block_pass():
    fits, cotangents, gradient = computed()
    report = known.check(fits, gradient, cotangents=cotangents)
    assert report.verdict is Verdict.PASS, report.summary


@pytest.mark.parametrize(
    ("place", "code", "dtype"),
    [
        (0, "mean_term_twice", "float64"),
        (0, "scale_missing", "float32"),
        (0, "unbiased_variance", "float64"),
        (4, "row_term_missing", "float32"),
        (4, "heads_not_summed", "float32"),
        (4, "causal_mask_shifted", "float32"),
        (7, "variance_term_missing", "float32"),
    ],
)
def test_a_bug_in_the_middle_of_a_block_is_named(place, code, dtype):
    operator = OPERATORS[NODES[place].operator]
    slip = next(one for one in operator.slips if one.code == code)
    fits, cotangents, gradient = computed({place: slip.wrong}, dtype)
    report = known.check(fits, gradient, cotangents=cotangents)
    assert report.verdict is Verdict.FAIL
    assert [str(found.kind) for found in report.findings][:1] == [code], report.summary
    assert NODES[place].operator in report.findings[0].message
