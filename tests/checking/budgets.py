"""What the tests of budgets ask: the bound on any evaluation of the document's gradients."""

from __future__ import annotations

from oracle.arithmetic import dtypes
from oracle.checking import known
from oracle.document import nets

NAMES = ("W1", "b1", "W2", "b2")


def arithmetic(dtype, sums=None):
    """Return the arithmetic that computes in the type that it stores, whatever that is."""
    return dtypes.arithmetic(
        dtype, compute=dtype, accumulate=sums or dtype, argument="accumulation_dtype"
    )


def two_layer_net(parameters, x, t, how, *, delta):
    return known.evaluation(
        known.known(nets.two_layer_net(parameters, x, t, delta), wanted=NAMES), how
    )


def mean_squared_error(y, t, how):
    return known.evaluation(known.known(nets.mean_squared_error(y, t), wanted=("y",)), how).budget
