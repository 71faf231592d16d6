"""What a traced function may do: Python's operators, arrays, names, several inputs and outputs."""

from __future__ import annotations

import gradient_oracle
import numpy as np
import pytest

from oracle.operators.table import OPERATORS
from tests.client.nets import INPUTS

X = INPUTS["x"]
W = INPUTS["W1"]


def arithmetic(ops, x, W):
    z = 2.0 - (np.ones((5, 6)) + x @ W) * 3
    z = (z + z * z) / (1 + ops.Exp(-z)) - z / 4.0
    return 1 / (2.0 + z**2) + np.float64(0.5) * z + np.full(6, 2.0) ** (z / 10) - (-z)


def numpy_arithmetic(x, W):
    z = 2.0 - (np.ones((5, 6)) + x @ W) * 3
    z = (z + z * z) / (1 + np.exp(-z)) - z / 4.0
    return 1 / (2.0 + z**2) + np.float64(0.5) * z + np.full(6, 2.0) ** (z / 10) - (-z)


def test_the_operators_of_python_are_operators_of_the_net(embedded):
    """On both sides of a tensor, with numbers and arrays."""
    found = embedded.value(arithmetic, {"x": X, "W": W})
    assert found == pytest.approx(numpy_arithmetic(X, W), rel=1e-13)
    exact = embedded.gradient(arithmetic, {"x": X, "W": W})["x"]
    step = np.zeros(X.shape)
    step[2, 1] = 1e-6
    above, below = (numpy_arithmetic(X + sign * step, W).sum() for sign in (1, -1))
    assert exact[2, 1] == pytest.approx((above - below) / 2e-6, rel=1e-6)
    product = embedded.value(lambda _, x: np.eye(5) @ x, {"x": X})
    assert product == pytest.approx(X)


def test_a_function_of_numpy_is_refused_but_for_arithmetic(embedded):
    """Also one that only looks like arithmetic."""

    def reduces(_, x):
        return np.add.reduce(x)

    def rounds(_, x):
        return np.maximum(x, 0)

    def converts(ops, x):
        return ops.Relu(np.asarray(x))

    for net in (reduces, rounds, converts):
        with pytest.raises(
            gradient_oracle.InvalidRequest, match="as it is called once, to be traced"
        ):
            embedded.value(net, {"x": X})


def test_names_of_inputs_may_be_those_that_nodes_get(embedded):
    """Nodes get others then."""
    names = {"Relu_1": X, "constant_1": W}
    found = embedded.value(
        lambda ops, Relu_1, constant_1: ops.Relu(Relu_1) @ constant_1 + 1.0, names
    )
    assert found == pytest.approx(np.maximum(X, 0) @ W + 1)


def test_inputs_of_an_operator_may_be_given_by_name(embedded):
    """And optional ones be left out."""

    def net(ops, x, W):
        return ops.Gemm(x, B=W, C=None, alpha=2.0, beta=None)

    assert embedded.value(net, {"x": X, "W": W}) == pytest.approx(2 * X @ W)

    def reduces(ops, x):
        return ops.ReduceSum(x, axes=[1], keepdims=0)

    assert embedded.value(reduces, {"x": X}) == pytest.approx(X.sum(axis=1))


def test_an_operator_takes_any_number_of_inputs(embedded):
    """As arguments of the function, as a list under its name, or under names of their own."""
    whole = np.concatenate([X, X[:2], X[:1]])
    parts = [X, X[:2], X[:1]]

    def net(ops, x, y, z):
        return ops.Concat(x, y, z, axis=0)

    assert np.array_equal(embedded.value(net, dict(zip("xyz", parts, strict=True))), whole)
    axis = {"attributes": {"axis": 0}}
    assert np.array_equal(embedded.value("Concat", {"inputs": parts}, **axis), whole)
    assert list(embedded.gradient("Concat", {"inputs": parts}, **axis)) == [
        "inputs_0",
        "inputs_1",
        "inputs_2",
    ]
    named = dict(zip("abc", parts, strict=True))
    assert np.array_equal(embedded.value("Concat", named, **axis), whole)
    one = embedded.value("Concat", {"inputs": X, "more": X[:2]}, **axis)
    assert np.array_equal(one, whole[:7])


def test_an_optional_output_is_asked_for(embedded):
    """By their number in a function, by a cotangent for one operator."""
    inputs = {"scores": X, "labels": np.array([0, 2, 1, 1, 0])}

    def net(ops, scores, labels):
        loss, probabilities = ops.SoftmaxCrossEntropyLoss(scores, labels, outputs=2)
        return {"loss": loss, "log": probabilities}

    found = embedded.value(net, inputs)
    assert np.exp(found["log"]).sum(axis=1) == pytest.approx(np.ones(5))
    weights = np.ones(X.shape)
    expected = embedded.gradient(net, inputs, cotangent={"log": weights})["scores"]
    one = embedded.gradient("SoftmaxCrossEntropyLoss", inputs, cotangent={"log_prob": weights})[
        "scores"
    ]
    assert np.array_equal(one, expected)


LEAKED = []


def leaks(ops, x):
    LEAKED.append(ops.Relu(x))
    return LEAKED[0]


def test_an_output_is_of_this_call(embedded):
    """One that an earlier call left behind means nothing."""
    embedded.value(leaks, {"x": X})
    with pytest.raises(gradient_oracle.InvalidRequest, match="return tensors of this call"):
        embedded.value(leaks, {"x": X})


@pytest.mark.parametrize(
    ("net", "shapes", "argument", "says"),
    [
        (lambda ops, x: ops.Relu(x), None, "shapes", "map names of inputs to shapes"),
        (lambda ops, x: ops.Relu(x), {"x": 3}, "shapes", "be a tuple of lengths"),
        (lambda ops, x: ops.Relu(x), {"x": (-3,)}, "shapes", "be between 0"),
        (lambda _, x: x + 1.0, {"x": (3,)}, "net", "take all arrays as inputs"),
        ("Relux", None, "net", "Relu is one"),
    ],
)
def test_a_probe_needs_shapes(embedded, net, shapes, argument, says):
    """The values are the server's, so that the net holds none."""
    with pytest.raises(gradient_oracle.InvalidRequest, match=says) as caught:
        embedded.probe(net, shapes)
    assert caught.value.argument == argument


def test_a_probe_of_several_outputs_has_a_cotangent_for_each(embedded):
    """By the names of the outputs."""
    probe = embedded.probe("SoftmaxCrossEntropyLoss")
    assert set(probe.cotangent) == {"output", "log_prob"}
    names = embedded.operators(["SoftmaxCrossEntropyLoss"])["SoftmaxCrossEntropyLoss"].outputs
    assert [output.optional for output in names] == [False, True]
    again = {"cotangent": probe.cotangent, "attributes": probe.attributes}
    exact = embedded.gradient("SoftmaxCrossEntropyLoss", probe.inputs, **again)
    assert embedded.check("SoftmaxCrossEntropyLoss", probe.inputs, exact, **again).passed


@pytest.mark.parametrize("name", OPERATORS)
def test_ops_calls_every_operator_as_its_name_does(embedded, name):
    """With the inputs and attributes of its probe; the right gradient passes."""
    probe = embedded.probe(name, seed=4)
    attributes = {"attributes": probe.attributes}
    several = embedded.operators([name])[name].inputs[-1].variadic

    def net(ops, **inputs):
        call = getattr(ops, name)
        return (
            call(*inputs.values(), **probe.attributes)
            if several
            else call(**inputs, **probe.attributes)
        )

    named = embedded.value(name, probe.inputs, **attributes)
    traced = embedded.value(net, probe.inputs)
    first = next(iter(named.values())) if isinstance(named, dict) else named
    assert np.array_equal(first, traced[0] if isinstance(traced, tuple) else traced)
    more = {**attributes, "cotangent": probe.cotangent}
    exact = embedded.gradient(name, probe.inputs, **more)
    single = {key: array.astype(np.float32) for key, array in exact.items()}
    assert embedded.check(name, probe.inputs, single, **more).passed
