"""The methods of `oracle.simple_net`: the document's net of one matrix W (D, K)."""

from __future__ import annotations

from typing import Any

from gradient_oracle.arrays import columns, decode, encode, encode_numbers, encode_targets, real
from gradient_oracle.calls import Call
from oracle.gradcheck.v1 import simple_net_pb2 as pb
from oracle.values import DELTA, STEP, Array
from oracle.wire.message import build


def predict(W: Any, x: Any) -> Call[Array]:
    """Compute the scores x @ W of `x` (N, D) or (D,)."""
    request = build(
        pb.SimpleNetServicePredictRequest, weights=encode("W", W), inputs=encode_numbers("x", x)
    )
    return Call(request, lambda response: decode(response.scores))


def loss(W: Any, x: Any, t: Any, delta: float = DELTA) -> Call[float]:
    """Compute cross_entropy_error(softmax(x @ W), t).

    Parameters
    ----------
    W : (D, K) array
        Weights; of an `nn.Linear`, which keeps (K, D), `weight.T`.
    x : (N, D) or (D,) array
        Inputs; (D,) is one sample.
    t : (N,) integers or (N, K) array
        Labels, or one-hot or soft targets; integers (N, K) are one-hot.
    delta : float
        The constant inside the logarithm, at least 0.
    """
    request = build(
        pb.SimpleNetServiceLossRequest,
        weights=encode("W", W),
        inputs=encode_numbers("x", x),
        targets=encode_targets(t, x, columns(W)),
        delta=real("delta", delta),
    )
    return Call(request, lambda response: float(response.loss))


def gradient(W: Any, x: Any, t: Any, delta: float = DELTA) -> Call[Array]:
    """Compute the exact derivative of `loss` with respect to `W`, correctly rounded."""
    request = build(
        pb.SimpleNetServiceGradientRequest,
        weights=encode("W", W),
        inputs=encode_numbers("x", x),
        targets=encode_targets(t, x, columns(W)),
        delta=real("delta", delta),
    )
    return Call(request, lambda response: decode(response.gradient))


def numerical_gradient(
    W: Any, x: Any, t: Any, h: float = STEP, delta: float = DELTA
) -> Call[Array]:
    """Compute the document's (loss(W + h) - loss(W - h)) / 2h for every weight."""
    request = build(
        pb.SimpleNetServiceNumericalGradientRequest,
        weights=encode("W", W),
        inputs=encode_numbers("x", x),
        targets=encode_targets(t, x, columns(W)),
        step=real("h", h),
        delta=real("delta", delta),
    )
    return Call(request, lambda response: decode(response.gradient))
