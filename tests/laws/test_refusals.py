"""Laws of bad input: it is refused, never guessed at, and the wrong argument is named."""

from __future__ import annotations

import gradient_oracle
import numpy as np
import pytest

Y = np.full((3, 4), 0.25)
LABELS = np.array([0, 1, 3])
X = np.linspace(-1.0, 1.0, 6).reshape(3, 2)
NET = {
    "W1": np.ones((2, 5)),
    "b1": np.zeros(5),
    "W2": np.ones((5, 4)),
    "b2": np.zeros(4),
}
FAR = np.array([1e13, 1.0])
"""Numbers of which one is too large for the document's step."""
NAN, INFINITE, NEGATIVE = (np.where(np.eye(3, 4), value, Y) for value in (np.nan, np.inf, -0.5))


def loss(oracle, **changed):
    given = {"x": X, "t": LABELS, **changed}
    parameters = {name: given.get(name, NET[name]) for name in NET}
    options = {name: given[name] for name in ("delta",) if name in given}
    return oracle.two_layer_net.loss(parameters, given["x"], given["t"], **options)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        pytest.param(*case, id=name.replace(" ", "-"))
        for name, case in {
            "another shape": ("t", lambda o: o.mean_squared_error(Y, Y.T)),
            "a shape to broadcast": ("t", lambda o: o.mean_squared_error(Y, Y[:1])),
            "NaN": ("y", lambda o: o.mean_squared_error(NAN, Y)),
            "infinity": ("t", lambda o: o.mean_squared_error(Y, INFINITE)),
            "NaN for a target": ("t", lambda o: o.mean_squared_error(Y, NAN)),
            "NaN for a soft target": ("t", lambda o: o.cross_entropy_error(Y, NAN)),
            "NaN for a target of a net": ("t", lambda o: loss(o, t=NAN)),
            "nothing": ("y", lambda o: o.mean_squared_error(Y[:0], Y[:0])),
            "integer scores": ("y", lambda o: o.mean_squared_error(LABELS, LABELS * 1.0)),
            "no batch": ("y", lambda o: o.cross_entropy_error(Y[:0], LABELS[:0])),
            "three axes": ("y", lambda o: o.cross_entropy_error(Y[None], LABELS)),
            "a negative probability": ("y", lambda o: o.cross_entropy_error(NEGATIVE, LABELS)),
            "a negative target": ("t", lambda o: o.cross_entropy_error(Y, NEGATIVE)),
            "a label too large": ("t", lambda o: o.cross_entropy_error(Y, LABELS + 1)),
            "a label below zero": ("t", lambda o: o.cross_entropy_error(Y, LABELS - 1)),
            "labels in a column": ("t", lambda o: o.cross_entropy_error(Y, LABELS[:, None])),
            "too few labels": ("t", lambda o: o.cross_entropy_error(Y, LABELS[:2])),
            "integers that are not one-hot": (
                "t",
                lambda o: o.cross_entropy_error(Y, 2 * np.eye(3, 4, dtype=int)),
            ),
            "two ones in a row": ("t", lambda o: loss(o, t=np.ones((3, 4), int))),
            "a negative delta": ("delta", lambda o: o.cross_entropy_error(Y, LABELS, delta=-1e-7)),
            "an endless delta": ("delta", lambda o: loss(o, delta=np.inf)),
            "NaN for a score": ("a", lambda o: o.softmax(NAN)),
            "a score without an axis": ("a", lambda o: o.softmax(np.float64(1.0))),
            "too many inputs": ("x", lambda o: loss(o, x=np.ones((3, 3)))),
            "too few hidden units": ("b1", lambda o: loss(o, b1=np.zeros(4))),
            "a transposed weight": ("W2", lambda o: loss(o, W2=NET["W2"].T)),
            "a bias in a column": ("b2", lambda o: loss(o, b2=np.zeros((4, 1)))),
            "no step": (
                "h",
                lambda o: o.two_layer_net.numerical_gradient(NET, X, LABELS, h=0.0),
            ),
            "a step backwards": (
                "h",
                lambda o: o.simple_net.numerical_gradient(np.ones((2, 4)), X, LABELS, h=-1e-4),
            ),
            "a step too small to move": (
                "h",
                lambda o: o.two_layer_net.numerical_gradient(NET, X, LABELS, h=1e-20),
            ),
            "a step that divides by infinity": (
                "h",
                lambda o: o.simple_net.numerical_gradient(np.ones((2, 4)), X, LABELS, h=1e308),
            ),
            "a step that moves no function": ("h", lambda o: o.numerical_gradient(np.sum, FAR)),
            "a step that half precision rounds away": (
                "h",
                lambda o: o.numerical_gradient(np.sum, np.array([3, 4], np.float16)),
            ),
            "a step that starts no descent": ("h", lambda o: o.gradient_descent(np.sum, FAR)),
            "nothing to draw from": ("train_size", lambda o: o.mini_batch(0, 1)),
            "nothing to draw": ("batch_size", lambda o: o.mini_batch(1, 0)),
            "no hidden unit": ("hidden_size", lambda o: o.two_layer_net.init(2, 0, 3)),
            "weights of negative spread": (
                "weight_init_std",
                lambda o: o.two_layer_net.init(2, 3, 4, weight_init_std=-1.0),
            ),
            "learning backwards": (
                "lr",
                lambda o: list(o.two_layer_net.train(NET, X, LABELS, lr=-0.1, step_num=1)),
            ),
        }.items()
    ],
)
def test_refused(functions, argument, call):
    """What must hold is said in the contract; a wrong number would be worse than none."""
    with pytest.raises(gradient_oracle.InvalidRequest) as refusal:
        call(functions)
    assert refusal.value.argument == argument
    assert argument in str(refusal.value)
