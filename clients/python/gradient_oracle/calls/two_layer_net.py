"""The methods of `oracle.two_layer_net`: sigmoid, softmax, cross-entropy; W1, b1, W2, b2."""

from __future__ import annotations

from typing import Any

from gradient_oracle.arrays import (
    decode,
    encode_data_type,
    encode_numbers,
    encode_targets,
    integer,
    real,
)
from gradient_oracle.arrays import seed as encode_seed
from gradient_oracle.calls import Call
from gradient_oracle.errors import invalid
from gradient_oracle.parameters import Net, decode_parameters, parameters
from gradient_oracle.training import Probe, Progress, Trained
from oracle.gradcheck.v1 import two_layer_net_pb2 as pb
from oracle.values import DELTA, STEP, Array
from oracle.wire.message import build


def init(
    input_size: int,
    hidden_size: int,
    output_size: int,
    weight_init_std: float = 0.01,
    seed: int = 0,
) -> Call[dict[str, Array]]:
    """Draw the document's initial parameters: W1 and W2 Gaussian, b1 and b2 zero.

    Returns
    -------
    dict of arrays
        W1 (D, H), b1 (H,), W2 (H, K), b2 (K,), float64.
    """
    request = pb.InitializeRequest(
        input_size=integer("input_size", input_size),
        hidden_size=integer("hidden_size", hidden_size),
        output_size=integer("output_size", output_size),
        weight_init_std=real("weight_init_std", weight_init_std),
        seed=encode_seed(seed),
    )
    return Call(request, lambda response: decode_parameters(response.parameters))


def predict(params: Any, x: Any) -> Call[Array]:
    """Compute the probabilities softmax(sigmoid(x @ W1 + b1) @ W2 + b2), (N, K)."""
    net = parameters(params)
    request = build(
        pb.TwoLayerNetServicePredictRequest,
        parameters=net.fields(),
        inputs=encode_numbers("x", x),
    )
    return Call(request, lambda response: decode(response.probabilities))


def loss(params: Any, x: Any, t: Any, delta: float = DELTA) -> Call[float]:
    """Compute cross_entropy_error(predict(params, x), t).

    Parameters
    ----------
    params : dict of arrays
        W1 (D, H), b1 (H,), W2 (H, K), b2 (K,); or the weight (out, in) and the bias of two layers
        under PyTorch's names, as in a `state_dict`. Gradients come back under the same names.
    x : (N, D) or (D,) array
        Inputs; (D,) is one sample.
    t : (N,) integers or (N, K) array
        Labels, or one-hot or soft targets; integers (N, K) are one-hot.
    delta : float
        The constant inside the logarithm, at least 0.
    """
    net = parameters(params)
    request = build(
        pb.TwoLayerNetServiceLossRequest,
        parameters=net.fields(),
        inputs=encode_numbers("x", x),
        targets=encode_targets(t, x, net.classes),
        delta=real("delta", delta),
    )
    return Call(request, lambda response: float(response.loss))


def accuracy(params: Any, x: Any, t: Any) -> Call[float]:
    """Compute the share of samples whose largest score is that of the target."""
    net = parameters(params)
    request = build(
        pb.AccuracyRequest,
        parameters=net.fields(),
        inputs=encode_numbers("x", x),
        targets=encode_targets(t, x, net.classes),
    )
    return Call(request, lambda response: float(response.accuracy))


def gradient(params: Any, x: Any, t: Any, delta: float = DELTA) -> Call[dict[str, Array]]:
    """Compute the exact derivative of `loss` for every parameter, correctly rounded."""
    net = parameters(params)
    request = build(
        pb.TwoLayerNetServiceGradientRequest,
        parameters=net.fields(),
        inputs=encode_numbers("x", x),
        targets=encode_targets(t, x, net.classes),
        delta=real("delta", delta),
    )
    return Call(request, lambda response: net.like(response.gradient))


def numerical_gradient(
    params: Any, x: Any, t: Any, h: float = STEP, delta: float = DELTA
) -> Call[dict[str, Array]]:
    """Compute the document's (loss(p + h) - loss(p - h)) / 2h for every parameter p."""
    net = parameters(params)
    request = build(
        pb.TwoLayerNetServiceNumericalGradientRequest,
        parameters=net.fields(),
        inputs=encode_numbers("x", x),
        targets=encode_targets(t, x, net.classes),
        step=real("h", h),
        delta=real("delta", delta),
    )
    return Call(request, lambda response: net.like(response.gradient))


def probe(variant: str = "standard", dtype: str = "float64", seed: int = 0) -> Call[Probe]:
    """Serve a small case that tells bugs apart better than arbitrary inputs do.

    Parameters
    ----------
    variant : "standard", "saturated" or "single"
        Sizes that are different primes; outputs near 0 and 1; one sample.
    dtype : "float64", "float32", "float16" or "bfloat16"
        Type of parameters and inputs.
    seed : int
        Seed of the numbers.

    Returns
    -------
    Probe
        `params`, `x` and `labels`.
    """
    variants = ("standard", "saturated", "single")
    if variant not in variants:
        raise invalid("variant", f"be one of {', '.join(variants)}", repr(variant))
    request = pb.ProbeRequest(
        variant=pb.ProbeVariant.Value(f"PROBE_VARIANT_{variant.upper()}"),
        data_type=encode_data_type("dtype", dtype),
        seed=encode_seed(seed),
    )
    return Call(
        request,
        lambda response: Probe(
            decode_parameters(response.parameters), decode(response.inputs), decode(response.labels)
        ),
    )


def train(
    params: Any,
    x: Any,
    t: Any,
    *,
    step_num: int = 100,
    batch_size: int = 100,
    lr: float = 0.1,
    seed: int = 0,
    method: str = "numerical",
    h: float = STEP,
    delta: float = DELTA,
    report_every: int = 1,
) -> Call[Progress | Trained]:
    """Train as the document does: draw a mini-batch, its gradient, move the parameters against it.

    The run is an iterator of `Progress`, whose last item is the `Trained` parameters; it begins
    when the first item is asked for. Leaving it early, by `close()`, the end of a `with` or of the
    last reference, cancels the training.

    Parameters
    ----------
    params, x, t, delta
        As in `loss`.
    step_num, batch_size, lr, seed
        Steps, samples of a mini-batch, learning rate, seed of the mini-batches.
    method : "numerical" or "analytic"
        The document's central difference, or the exact derivative.
    h : float
        The step of the central difference.
    report_every : int
        Steps between two items of progress.
    """
    methods = ("numerical", "analytic")
    if method not in methods:
        raise invalid("method", f"be one of {', '.join(methods)}", repr(method))
    net = parameters(params)
    request = build(
        pb.TrainRequest,
        parameters=net.fields(),
        inputs=encode_numbers("x", x),
        targets=encode_targets(t, x, net.classes),
        step_num=integer("step_num", step_num),
        batch_size=integer("batch_size", batch_size),
        learning_rate=real("lr", lr),
        seed=encode_seed(seed),
        method=pb.GradientMethod.Value(f"GRADIENT_METHOD_{method.upper()}"),
        step=real("h", h),
        delta=real("delta", delta),
        report_every=integer("report_every", report_every),
    )
    return Call(request, lambda response: _event(response, net))


def _event(response: pb.TrainResponse, net: Net) -> Progress | Trained:
    if response.HasField("result"):
        result = response.result
        return Trained(net.like(result.parameters), result.steps_done, result.loss)
    progress = response.progress
    return Progress(progress.steps_done, progress.step_num, progress.loss)
