"""A net that cannot be traced or does not fit is one sentence that says where and what to write."""

from __future__ import annotations

import functools
import re

import gradient_oracle
import numpy as np
import pytest

from tests.client.nets import INPUTS, NODES, net

X = {"x": INPUTS["x"]}
XW = {**X, "W": INPUTS["W1"]}


def branches(ops, x):
    if ops.Relu(x):
        return x
    return ops.Relu(x)


def compares(ops, x):
    return ops.Relu(x) if ops.Relu(x) > 0 else x


def returns_nothing(ops, x):
    ops.Relu(x)


def computes_with_numpy(ops, x):
    return np.exp(ops.Relu(x))


def sums_with_numpy(ops, x):
    return np.sum(ops.Relu(x))


def loops(ops, x):
    return [ops.Relu(row) for row in x]


def indexes(ops, x):
    return ops.Relu(x[0])


def writes(ops, x):
    x[0] = 1.0
    return ops.Relu(x)


def asks(ops, x):
    return ops.Gemm(x, np.ones(x.shape))


def measures(ops, x):
    return ops.Gemm(x, np.eye(len(x)))


def converts(ops, x):
    return ops.Relu(float(x))


def unknown(ops, x):
    return ops.Relux(x)


def reads_text(ops, x):
    return ops.Gemm(x, "W")


def applies_nothing(_, x):
    return x


def returns_a_number(ops, x):
    ops.Relu(x)
    return 1.0


def multiplies_none(_, x):
    return x * None


def logarithm(ops, x):
    return 1.0 + ops.Log(x)


def needs_bias(ops, x, W, b):
    return ops.Gemm(x, W, b)


def second(ops, x, W):
    hidden = ops.Gemm(x, W)
    return ops.Gemm(hidden, W)


def twice(ops, x, W):
    return ops.Gemm(x, W, A=x)


def any_ops(*inputs):
    return inputs[0].Relu(*inputs[1:])


def any_inputs(ops, *inputs):
    return ops.Gemm(*inputs)


async def awaited(ops, x):
    return ops.Relu(x)


LEAKED = []


def leaks(ops, x):
    LEAKED.append(ops.Relu(x))
    return ops.Relu(LEAKED[0])


def node(**changed):
    return [{**NODES[1], "inputs": ["x"], **changed}]


TRACED = [
    (branches, X, "net", r"`net: test_wrong_nets.py:\d+` must not branch on a tensor"),
    (compares, X, "net", "must not compare tensors or branch on them"),
    (returns_nothing, X, "net", "got None; returns_nothing lacks a `return`"),
    (computes_with_numpy, X, "net", "not call functions of NumPy.*got np.exp; write it"),
    (sums_with_numpy, X, "net", "got np.sum; write it with ops"),
    (loops, X, "net", "must not go through the entries of a tensor"),
    (indexes, X, "net", "must not index a tensor"),
    (writes, X, "net", "must not write to a tensor"),
    (asks, X, "net", "must not ask a tensor for attributes.*got .shape"),
    (measures, X, "net", r"must not ask for the length of a tensor.*got len\(\)"),
    (converts, X, "net", "must not turn a tensor into a number"),
    (unknown, X, "net", "use operators that the oracle serves, got 'Relux'; Relu is one"),
    (lambda ops, x: ops.Relu(x, slope=1), X, "net", "be an attribute of Relu"),
    (reads_text, X, "net", "read tensors, arrays and numbers, got a str"),
    (lambda ops, x: ops.Relu(x, outputs=2), X, "net", "have 1 to 1 outputs, got 2"),
    (lambda ops, x: ops.Gemm(x, x, alpha=object()), X, "net", "be a number, a text"),
    (applies_nothing, X, "net", "apply at least one operator"),
    (returns_a_number, X, "net", "return what operators compute from its inputs, got a float"),
    (lambda: 1.0, X, "net", "be a function of ops and inputs"),
    (any_ops, X, "net", "take ops as its first parameter"),
    (multiplies_none, X, "net", "get its B, got None"),
    (logarithm, X, "net", "have a value that float64 holds, as Log computes it, got nan"),
    (any_inputs, X, "net", r"have a name for each input, got any_inputs\(ops, \*inputs\)"),
    (awaited, X, "net", "be an ordinary function"),
    (twice, XW, "net", "get A once"),
    (second, XW, "net", r"`net: ops.Gemm in test_wrong_nets.py:\d+` must have 6 rows as B of Gemm"),
    (needs_bias, XW, "inputs", "hold b, a parameter of needs_bias, got x, W"),
    (second, {**XW, "b": 1.0}, "inputs", r"hold parameters of second \(x, W\), got 'b'"),
]  # fmt: skip
OTHERS = [
    ("Relux", X, "net", "be an operator that the oracle serves, got 'Relux'; Relu is one"),
    ("net.onnx", X, "net", "gradient_oracle.onnx.load"),
    ("Gemm", {"A": X["x"]}, "inputs", "hold B, an input of Gemm, got A"),
    ("Relu", {"X": X["x"], "Y": 1.0}, "inputs", r"hold inputs of Relu \(X\), got 'Y'"),
    ("Gemm", {"A": X["x"], "B": X["x"]}, "inputs", r"`inputs\['B'\]` must have 4 rows as B"),
    ("Relu", {"X": np.array([np.nan])}, "inputs", r"`inputs\['X'\]` must be finite"),
    ("Log", {"input": -1.0}, "net", "have a value that float64 holds, as Log computes it"),
    ("Relu", {"X": "text"}, "inputs", r"`inputs\['X'\]` must"),
    (7, X, "net", "be a function of ops, the name of an operator, .*, got a int"),
    ([], X, "net", "hold a list of nodes"),
    ({"nodes": NODES, "edges": []}, X, "net", "hold nodes, outputs and name, got 'edges'"),
    ([7], X, "net", r"`net: nodes\[0\]` must hold op_type"),
    (node(op_type=None), X, "net", r"`net: nodes\[0\].op_type` must be the name of an operator"),
    (node(op_type=7), X, "net", r"`net: nodes\[0\].op_type` must be a text"),
    (node(inputs="x"), X, "net", r"`net: nodes\[0\].inputs` must be a list of names"),
    (node(output=["y"]), X, "net", "hold nothing but op_type, inputs"),
    (node(attributes={"slope": None}), X, "net", r"nodes\[0\].attributes\['slope'\]` must be"),
    (node(attributes=[1]), X, "net", r"`net: nodes\[0\].attributes` must map names to values"),
    (node(inputs=["y"]), {"y": X["x"], "x": 1.0}, "inputs", r"inputs of network \(y\), got 'x'"),
    (node(outputs=["x"]), X, "net", r"`net: nodes\[0\].outputs\[0\] .* got 'x' twice"),
    (NODES, X, "net", r"`net: nodes\[0\].inputs\[1\] \(Gemm\)` must be an input of the graph"),
    (node(op_type="Relux"), X, "net", r"`net: nodes\[0\].op_type \(Relux\)` must be an operator"),
    (net, [X], "inputs", "map names to arrays, got a list"),
    (net, {1: X}, "inputs", "have names, got 1"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "inputs", "argument", "says"), [*TRACED, *OTHERS])
def test_what_is_no_net_or_does_not_fit_is_one_sentence(embedded, form, inputs, argument, says):
    """The argument is one of the method, and the text says where in it."""
    with pytest.raises(gradient_oracle.InvalidRequest, match=says) as caught:
        embedded.value(form, inputs)
    assert caught.value.argument == argument
    assert "\n" not in str(caught.value)


def test_a_tensor_of_another_call_is_refused(embedded):
    """It has a name there, and none here."""
    assert embedded.value(leaks, X) is not None
    with pytest.raises(gradient_oracle.InvalidRequest, match="read tensors of this call"):
        embedded.value(leaks, X)


CALLS = [
    ({"gradient": {"t": 1.0}}, "gradient", r"`gradient\['t'\]` must be that of a floating input"),
    ({"gradient": {}}, "gradient", "hold at least one tensor"),
    ({"gradient": np.ones(3)}, "gradient", r"map names of inputs \(x, t, W1, b1, W2\) to arrays"),
    ({"gradient": {"W1": "text"}}, "gradient", r"`gradient\['W1'\]` must"),
    ({"cotangent": np.ones(3)}, "cotangent", r"have the shape \(\)"),
    ({"cotangent": {"accuracy": 1.0}}, "cotangent", "be for outputs of the net"),
    ({"attributes": {"axis": 1}}, "attributes", "be left out, but for one operator"),
    ({"compute": "float16"}, "compute", "`compute` must not be narrower"),
    ({"compute": "int8"}, "compute", "be one of"),
    ({"accumulate": "float32"}, "accumulate", "not be narrower"),
    ({"stored": ["z9"]}, "stored", "name a tensor of the graph, got 'z9'"),
    ({"stored": "z9"}, "stored", "be a list of names"),
    ({"scale": 0}, "scale", "be finite and not 0"),
    ({"scale": "two"}, "scale", "be a number"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "argument", "says"), CALLS)
def test_what_else_does_not_fit_is_said_in_the_arguments_of_the_method(
    oracle, changed, argument, says
):
    """Whether client or server refuses it."""
    options = {"gradient": {"W1": np.zeros((4, 6))}, **changed}
    with pytest.raises(gradient_oracle.InvalidRequest, match=says) as caught:
        oracle.check(net, INPUTS, **options)
    assert caught.value.argument == argument


def test_the_form_of_a_cotangent_is_that_of_the_answer(embedded):
    """A net that returns two tensors is weighed by two."""

    def both(ops, x):
        return ops.Relu(x), ops.Sigmoid(x)

    def named(ops, x):
        return dict(zip("rs", both(ops, x), strict=True))

    for form, cotangent, says in (
        (both, [1.0], "be a list of 2 arrays"),
        (both, 1.0, "be a list of 2 arrays"),
        (named, 1.0, r"map outputs \(r, s\) to arrays"),
        (named, {"q": 1.0}, r"be for outputs of the net \(r, s\), got 'q'"),
    ):
        with pytest.raises(gradient_oracle.InvalidRequest, match=says):
            embedded.gradient(form, X, cotangent=cotangent)


def test_an_error_of_the_net_itself_is_the_callers(embedded):
    """Nothing of it is caught."""

    def broken(ops, x):
        return ops.Relu(x, **{}[7])

    with pytest.raises(KeyError):
        embedded.value(broken, X)


def test_parameters_with_defaults_and_by_name_are_filled(embedded):
    """As Python fills them; None is an input that is left out."""

    def free(ops, x, /, W, b=None, *, beta=2.0, **rest):
        assert set(rest) == {"more"}
        return ops.Gemm(x, W, b, beta=beta)

    inputs = {**XW, "b": np.ones(6), "more": np.ones(1)}
    expected = XW["x"] @ XW["W"]
    assert embedded.value(free, inputs) == pytest.approx(expected + 2)
    assert embedded.value(free, {**inputs, "b": None}) == pytest.approx(expected)
    partial = functools.partial(free, beta=0.5)
    assert embedded.value(partial, inputs) == pytest.approx(expected + 0.5)


def test_ops_lists_the_operators_that_are_served(embedded):
    """For completion in a notebook, with their texts."""
    seen = []

    def looks(ops, x):
        seen.extend(dir(ops))
        assert ops.Relu.__doc__ == "Relu(X) -> Y"
        assert not hasattr(ops, "_hidden")
        assert re.search("traced", repr(x))
        return ops.Relu(x)

    embedded.value(looks, X)
    assert seen == sorted(embedded.operators())
