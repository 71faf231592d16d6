"""Every precondition names the wrong argument."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.data import load_digits
from oracle.reference import activations, losses, simple_net, training, two_layer_net
from oracle.values import InvalidInput, TwoLayerNetParameters

Y = np.full((3, 4), 0.25)
T = np.array([0, 1, 3])
X = np.ones((3, 2))
W = np.ones((2, 4))
NET = two_layer_net.init(2, 5, 4)


def changed(**tensors):
    return TwoLayerNetParameters(**{**NET.tensors(), **tensors})


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("y", lambda: losses.cross_entropy_error(-Y, T)),
        ("y", lambda: losses.cross_entropy_error(Y * np.nan, T)),
        ("y", lambda: losses.cross_entropy_error(Y[:0], T[:0])),
        ("y", lambda: losses.cross_entropy_error(Y.astype(int), T)),
        ("y", lambda: losses.cross_entropy_error(Y[None], T)),
        ("t", lambda: losses.cross_entropy_error(Y, T[:, None])),
        ("t", lambda: losses.cross_entropy_error(Y, T + 1)),
        ("t", lambda: losses.cross_entropy_error(Y, T - 1)),
        ("t", lambda: losses.cross_entropy_error(Y, np.eye(4, dtype=int)[T])),
        ("t", lambda: losses.cross_entropy_error(Y, np.eye(4, dtype=bool)[T])),
        ("t", lambda: losses.cross_entropy_error(Y, -Y)),
        ("t", lambda: losses.cross_entropy_error(Y, Y[:2])),
        ("delta", lambda: losses.cross_entropy_error(Y, T, delta=-1e-7)),
        ("delta", lambda: losses.cross_entropy_error(Y, T, delta=np.inf)),
        ("t", lambda: losses.mean_squared_error(Y, Y[0])),
        ("t", lambda: losses.mean_squared_error(Y, Y.astype(bool))),
        ("a", lambda: activations.softmax(np.float64(1.0))),
        ("a", lambda: activations.sigmoid(np.array([np.inf]))),
        ("W", lambda: simple_net.predict(W[0], X)),
        ("x", lambda: simple_net.predict(W, X.T)),
        ("x", lambda: simple_net.predict(W, X.astype(int))),
        ("h", lambda: simple_net.numerical_gradient(W, X, T, h=1e-30)),
        ("W1", lambda: two_layer_net.predict(changed(W1=np.ones(2)), X)),
        ("b1", lambda: two_layer_net.predict(changed(b1=np.zeros(4)), X)),
        ("W2", lambda: two_layer_net.predict(changed(W2=np.ones((4, 4))), X)),
        ("b2", lambda: two_layer_net.predict(changed(b2=np.zeros(3)), X)),
        ("x", lambda: two_layer_net.predict(NET, np.ones((3, 3)))),
        ("W1", lambda: two_layer_net.predict(changed(W1=np.full((2, 5), 1e308)), 9 * X)),
        ("W", lambda: simple_net.predict(W * 1e308, 9 * X)),
        ("t", lambda: two_layer_net.accuracy(NET, X, T[:2])),
        ("lr", lambda: next(training.train(NET, X, T, lr=-0.1))),
        ("batch_size", lambda: next(training.train(NET, X, T, batch_size=0))),
        ("method", lambda: next(training.train(NET, X, T, method="magic"))),
    ],
)
def test_refused(argument, call):
    """An invalid call says which argument, what it must be and what it was."""
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.argument == argument


def test_digits_are_whole():
    """As the archive holds them: 1,797 images of 64 pixels, sixteenths between 0 and 1."""
    x, labels = load_digits()
    assert x.shape == (1797, 64)
    assert (x * 16 == np.round(x * 16)).all()
    assert (x.min(), x.max()) == (0, 1)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
