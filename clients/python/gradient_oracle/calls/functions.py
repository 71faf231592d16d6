"""The functions and checks that belong to no network."""

from __future__ import annotations

from typing import Any

from gradient_oracle.arrays import (
    columns,
    decode,
    encode,
    encode_arithmetic,
    encode_data_type,
    encode_numbers,
    encode_targets,
    integer,
    real,
)
from gradient_oracle.arrays import seed as encode_seed
from gradient_oracle.calls import Call
from gradient_oracle.information import ServerInfo
from gradient_oracle.parameters import gradient as read_gradient
from gradient_oracle.parameters import parameters
from gradient_oracle.report import Report
from oracle.gradcheck.v1 import activation_pb2 as activation
from oracle.gradcheck.v1 import loss_pb2 as loss
from oracle.gradcheck.v1 import mini_batch_pb2, self_test_pb2, server_pb2
from oracle.gradcheck.v1 import simple_net_pb2 as simple_net
from oracle.gradcheck.v1 import two_layer_net_pb2 as two_layer_net
from oracle.values import DELTA, Array, SelfTest
from oracle.wire import self_test as wire_self_test
from oracle.wire.message import build


def _report(response: Any) -> Report:
    return Report(response.report)


def info() -> Call[ServerInfo]:
    """Ask the server for its version, its limits and what it serves."""
    return Call(server_pb2.GetServerInfoRequest(), ServerInfo.of)


def sigmoid(a: Any) -> Call[Array]:
    """Compute 1 / (1 + exp(-a)) for every entry, without overflow."""
    request = build(activation.SigmoidRequest, scores=encode("a", a))
    return Call(request, lambda response: decode(response.activations))


def softmax(a: Any) -> Call[Array]:
    """Compute exp(a_k) / sum_j exp(a_j) along the last axis, without overflow."""
    request = build(activation.SoftmaxRequest, scores=encode("a", a))
    return Call(request, lambda response: decode(response.probabilities))


def mean_squared_error(y: Any, t: Any) -> Call[float]:
    """Compute E = 1/2 sum_k (y_k - t_k)^2: half the sum, divided neither by N nor by K.

    Parameters
    ----------
    y, t : array of one shape
        Predictions and targets; never broadcast.

    Raises
    ------
    InvalidRequest
        If the shapes differ, or an entry is not finite.
    """
    request = build(
        loss.MeanSquaredErrorRequest,
        predictions=encode("y", y),
        targets=encode("t", t),
    )
    return Call(request, lambda response: float(response.error))


def mean_squared_error_gradient(y: Any, t: Any) -> Call[Array]:
    """Compute dE/dy = y - t of `mean_squared_error`, correctly rounded."""
    request = build(
        loss.MeanSquaredErrorGradientRequest,
        predictions=encode("y", y),
        targets=encode("t", t),
    )
    return Call(request, lambda response: decode(response.gradient))


def cross_entropy_error(y: Any, t: Any, delta: float = DELTA) -> Call[float]:
    """Compute E = -1/N sum_n sum_k t_nk log(y_nk + delta), or the same with labels.

    Parameters
    ----------
    y : (N, K) or (K,) array
        Probabilities; (K,) is one sample.
    t : (N,) or () integers, or an array of the shape of `y`
        Labels, or one-hot or soft targets; integers of the shape of `y` are one-hot.
    delta : float
        The constant inside the logarithm, at least 0.

    Raises
    ------
    InvalidRequest
        If shapes do not fit, a probability is negative, or a label is out of range.
    """
    request = build(
        loss.CrossEntropyErrorRequest,
        predictions=encode("y", y),
        targets=encode_targets(t, y),
        delta=real("delta", delta),
    )
    return Call(request, lambda response: float(response.error))


def cross_entropy_error_gradient(y: Any, t: Any, delta: float = DELTA) -> Call[Array]:
    """Compute dE/dy = -t / (y + delta) / N of `cross_entropy_error`, correctly rounded."""
    request = build(
        loss.CrossEntropyErrorGradientRequest,
        predictions=encode("y", y),
        targets=encode_targets(t, y),
        delta=real("delta", delta),
    )
    return Call(request, lambda response: decode(response.gradient))


def mini_batch(train_size: int, batch_size: int, seed: int = 0) -> Call[Array]:
    """Draw `batch_size` indices below `train_size`, uniformly with replacement, as int64.

    The same seed draws the same indices in any language; the contract says how.
    """
    request = mini_batch_pb2.DrawRequest(
        train_size=integer("train_size", train_size),
        batch_size=integer("batch_size", batch_size),
        seed=encode_seed(seed),
    )
    return Call(request, lambda response: decode(response.indices))


def check_mean_squared_error(
    y: Any, t: Any, gradient: Any, *, accumulation_dtype: str | None = None
) -> Call[Report]:
    """Check a gradient of `mean_squared_error` with respect to `y`.

    Parameters
    ----------
    y, t : array of one shape
        As in `mean_squared_error`.
    gradient : array of that shape
        What is claimed; its dtype says in which arithmetic it was computed.
    accumulation_dtype : str, optional
        The wider dtype in which sums were accumulated, if there was one.
    """
    request = build(
        loss.CheckMeanSquaredErrorRequest,
        predictions=encode("y", y),
        targets=encode("t", t),
        gradient=encode("gradient", gradient),
        arithmetic=encode_arithmetic(accumulation_dtype),
    )
    return Call(request, _report)


def check_cross_entropy_error(
    y: Any,
    t: Any,
    gradient: Any,
    delta: float | None = None,
    *,
    accumulation_dtype: str | None = None,
) -> Call[Report]:
    """Check a gradient of `cross_entropy_error` with respect to `y`.

    Parameters
    ----------
    y, t
        As in `cross_entropy_error`.
    gradient : array of the shape of `y`
        What is claimed; its dtype says in which arithmetic it was computed.
    delta : float, optional
        The constant inside the logarithm of the loss that is meant. By default either the
        document's 1e-7 or 0, the textbook loss: the report says which one the gradient has.
    accumulation_dtype : str, optional
        The wider dtype in which sums were accumulated, if there was one.
    """
    request = build(
        loss.CheckCrossEntropyErrorRequest,
        predictions=encode("y", y),
        targets=encode_targets(t, y),
        gradient=encode("gradient", gradient),
        delta=None if delta is None else real("delta", delta),
        arithmetic=encode_arithmetic(accumulation_dtype),
    )
    return Call(request, _report)


def check_simple_net(
    W: Any,
    x: Any,
    t: Any,
    gradient: Any,
    delta: float | None = None,
    *,
    accumulation_dtype: str | None = None,
) -> Call[Report]:
    """Check a gradient of the simple net's loss with respect to its weights.

    Parameters
    ----------
    W, x, t
        As in `simple_net.loss`.
    gradient : (D, K) array
        What is claimed; its dtype says in which arithmetic it was computed.
    delta : float, optional
        The constant inside the logarithm of the loss that is meant. By default either the
        document's 1e-7 or 0, the textbook loss: the report says which one the gradient has.
    accumulation_dtype : str, optional
        The wider dtype in which sums were accumulated, if there was one.
    """
    request = build(
        simple_net.SimpleNetServiceCheckGradientRequest,
        weights=encode("W", W),
        inputs=encode_numbers("x", x),
        targets=encode_targets(t, x, columns(W)),
        gradient=encode("gradient", gradient),
        delta=None if delta is None else real("delta", delta),
        arithmetic=encode_arithmetic(accumulation_dtype),
    )
    return Call(request, _report)


def check_two_layer_net(
    params: Any,
    x: Any,
    t: Any,
    gradient: Any,
    delta: float | None = None,
    *,
    accumulation_dtype: str | None = None,
) -> Call[Report]:
    """Check a gradient of the two-layer net's loss with respect to its parameters.

    Parameters
    ----------
    params, x, t
        As in `two_layer_net.loss`.
    gradient : dict of arrays
        What is claimed, by the names of `params`; a missing one, or a wrong shape, is a finding.
        Its dtype says in which arithmetic it was computed.
    delta : float, optional
        The constant inside the logarithm of the loss that is meant. By default either the
        document's 1e-7 or 0, the textbook loss: the report says which one the gradient has.
    accumulation_dtype : str, optional
        The wider dtype in which sums were accumulated, if there was one.

    Raises
    ------
    InvalidRequest
        If the arguments but `gradient` do not fit each other.
    """
    net = parameters(params)
    candidate = read_gradient(gradient, net)
    request = build(
        two_layer_net.TwoLayerNetServiceCheckGradientRequest,
        parameters=net.fields(),
        inputs=encode_numbers("x", x),
        targets=encode_targets(t, x, net.classes),
        gradient=candidate.fields("gradient."),
        delta=None if delta is None else real("delta", delta),
        arithmetic=encode_arithmetic(accumulation_dtype),
    )
    called = str(net.names) or str(candidate.names)
    return Call(request, lambda response: _report(response).noted(called))


def self_test(
    *,
    batch_size: int = 5,
    input_size: int = 11,
    hidden_size: int = 7,
    output_size: int = 3,
    dtype: str = "float64",
    weight_scale: float = 1.0,
    seed: int = 0,
) -> Call[SelfTest]:
    """Run known wrong and known correct gradients through the oracle's own verdict.

    Parameters
    ----------
    batch_size, input_size, hidden_size, output_size : int
        N, D, H and K, at least 1.
    dtype : "float64" or "float32"
        The arithmetic of the gradients.
    weight_scale : float
        Weights and biases are uniform in [-weight_scale, weight_scale).
    seed : int
        Seed of the numbers.

    Returns
    -------
    SelfTest
        `wrong`, `detected`, `named`, `misnamed`, `correct`, `false_alarms`, and the `rows`.
    """
    request = self_test_pb2.RunSelfTestRequest(
        batch_size=integer("batch_size", batch_size),
        input_size=integer("input_size", input_size),
        hidden_size=integer("hidden_size", hidden_size),
        output_size=integer("output_size", output_size),
        data_type=encode_data_type("dtype", dtype),
        seed=encode_seed(seed),
        weight_scale=real("weight_scale", weight_scale),
    )
    return Call(request, wire_self_test.decode)
