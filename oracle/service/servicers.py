"""Every servicer decodes, calls one function, and encodes."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

from oracle.checking import closed_form, derivatives, probes
from oracle.gradcheck.v1 import (
    activation_pb2,
    activation_pb2_grpc,
    loss_pb2,
    loss_pb2_grpc,
    mini_batch_pb2,
    mini_batch_pb2_grpc,
    report_pb2,
    server_pb2,
    server_pb2_grpc,
    simple_net_pb2,
    simple_net_pb2_grpc,
    two_layer_net_pb2,
    two_layer_net_pb2_grpc,
)
from oracle.reference import (
    activations,
    losses,
    mini_batch,
    simple_net,
    structured,
    training,
    two_layer_net,
)
from oracle.service import requests
from oracle.service.gate import Gate, blas_name, single_threaded_blas
from oracle.values import Array, TwoLayerNetParameters, never_stop
from oracle.wire import report, tensor
from oracle.wire.message import build


def _certainty(gradient: Any) -> Any:
    return report_pb2.Certainty(**report.encode_certainty(gradient))


SHORT = 2**23
"""Multiply-adds that a call makes beside those that compute: about a millisecond."""


class Servicer:
    """What all servicers share: the gate that long calls wait at, and the largest message."""

    def __init__(self, gate: Gate, max_message_bytes: int) -> None:
        self.gate = gate
        self.max_message_bytes = max_message_bytes

    def compute(self, context: Any) -> Any:
        """Enter the gate; the context manager yields the checkpoint of the computation."""
        return self.gate.enter(context)

    def require_room(self, argument: str, array: Array, numbers: int) -> None:
        """Raise unless an answer of so many numbers, to which an array leads, fits a message."""
        requests.require_room(argument, f"shape {array.shape}", numbers, self.max_message_bytes)

    def compute_if_long(self, context: Any, work: int) -> Any:
        """Enter the gate for much work, in multiply-adds; a short call never waits for others."""
        return self.compute(context) if work > SHORT else nullcontext(never_stop)


ENTRY_WORK = 64
"""Multiply-adds that take as long as a function of one number, which is mostly an exponential."""

READ_WORK = 8
"""The same for a look at one number."""


class Activation(Servicer, activation_pb2_grpc.ActivationServiceServicer):
    """ActivationService."""

    def Sigmoid(self, request: Any, context: Any) -> Any:
        a = requests.array(request, "scores")
        self.require_room("a", a, a.size)
        with self.compute_if_long(context, ENTRY_WORK * a.size) as checkpoint:
            y = activations.sigmoid(a, checkpoint=checkpoint)
        return build(activation_pb2.SigmoidResponse, activations=tensor.fields(y))

    def Softmax(self, request: Any, context: Any) -> Any:
        a = requests.array(request, "scores")
        self.require_room("a", a, a.size)
        with self.compute_if_long(context, ENTRY_WORK * a.size) as checkpoint:
            y = activations.softmax(a, checkpoint=checkpoint)
        return build(activation_pb2.SoftmaxResponse, probabilities=tensor.fields(y))


class Loss(Servicer, loss_pb2_grpc.LossServiceServicer):
    """LossService."""

    def _mse(self, request: Any) -> tuple[Array, Array]:
        y = requests.array(request, "predictions")
        t = requests.array(request, "targets")
        return y, t

    def _cee(self, request: Any) -> tuple[Array, Array]:
        return requests.array(request, "predictions"), requests.targets(request)

    def MeanSquaredError(self, request: Any, context: Any) -> Any:
        y, t = self._mse(request)
        with self.compute_if_long(context, ENTRY_WORK * y.size) as checkpoint:
            error = losses.mean_squared_error(y, t, checkpoint=checkpoint)
        return loss_pb2.MeanSquaredErrorResponse(error=error)

    def CrossEntropyError(self, request: Any, context: Any) -> Any:
        y, t = self._cee(request)
        options = requests.options(request)
        with self.compute_if_long(context, ENTRY_WORK * y.size) as checkpoint:
            error = losses.cross_entropy_error(y, t, checkpoint=checkpoint, **options)
        return loss_pb2.CrossEntropyErrorResponse(error=error)

    def MeanSquaredErrorGradient(self, request: Any, context: Any) -> Any:
        y, t = self._mse(request)
        self.require_room("y", y, y.size)
        with self.compute(context) as checkpoint:
            losses.mean_squared_error(y, t, checkpoint=checkpoint)
            exact = derivatives.mean_squared_error(y, t, checkpoint=checkpoint)
        return build(
            loss_pb2.MeanSquaredErrorGradientResponse,
            gradient=tensor.fields(exact.tensors["y"]),
            certainty=_certainty(exact),
        )

    def CrossEntropyErrorGradient(self, request: Any, context: Any) -> Any:
        y, t = self._cee(request)
        options = requests.options(request)
        self.require_room("y", y, y.size)
        with self.compute(context) as checkpoint:
            losses.cross_entropy_error(y, t, checkpoint=checkpoint, **options)
            exact = derivatives.cross_entropy_error(y, t, checkpoint=checkpoint, **options)
        return build(
            loss_pb2.CrossEntropyErrorGradientResponse,
            gradient=tensor.fields(exact.tensors["y"]),
            certainty=_certainty(exact),
        )

    def CheckMeanSquaredError(self, request: Any, context: Any) -> Any:
        y, t = self._mse(request)
        gradient, dtype = requests.candidate(request, "y"), requests.accumulation_type(request)
        with self.compute(context) as checkpoint:
            losses.mean_squared_error(y, t, checkpoint=checkpoint)
            found = closed_form.check_mean_squared_error(
                y, t, gradient, accumulation_dtype=dtype, checkpoint=checkpoint
            )
        return loss_pb2.CheckMeanSquaredErrorResponse(report=report.encode(found))

    def CheckCrossEntropyError(self, request: Any, context: Any) -> Any:
        y, t = self._cee(request)
        options = requests.options(request)
        gradient, dtype = requests.candidate(request, "y"), requests.accumulation_type(request)
        with self.compute(context) as checkpoint:
            losses.cross_entropy_error(y, t, checkpoint=checkpoint, **options)
            found = closed_form.check_cross_entropy_error(
                y, t, gradient, accumulation_dtype=dtype, checkpoint=checkpoint, **options
            )
        return loss_pb2.CheckCrossEntropyErrorResponse(report=report.encode(found))


def _samples(x: Array) -> int:
    """Return how many samples the inputs are, if they have a shape that fits."""
    return x.shape[0] if x.ndim > 1 else 1


def _units(W: Array) -> int:
    """Return how many units a matrix of weights leads to, if it is one."""
    return W.shape[-1] if W.ndim else 1


def _work(W: Array, x: Array) -> int:
    """Return the multiply-adds of one layer for the samples of `x`, if the shapes fit."""
    return _samples(x) * (W.size + ENTRY_WORK * _units(W)) + READ_WORK * W.size


class SimpleNet(Servicer, simple_net_pb2_grpc.SimpleNetServiceServicer):
    """SimpleNetService."""

    def _inputs(self, request: Any) -> tuple[Array, Array, Array]:
        return (
            requests.array(request, "weights"),
            requests.array(request, "inputs"),
            requests.targets(request),
        )

    def Predict(self, request: Any, context: Any) -> Any:
        W, x = requests.array(request, "weights"), requests.array(request, "inputs")
        self.require_room("x", x, _samples(x) * _units(W))
        with self.compute_if_long(context, _work(W, x)) as checkpoint:
            scores = simple_net.predict(W, x, checkpoint=checkpoint)
        return build(simple_net_pb2.SimpleNetServicePredictResponse, scores=tensor.fields(scores))

    def Loss(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request)
        with self.compute_if_long(context, _work(*inputs[:2])) as checkpoint:
            value = simple_net.loss(*inputs, checkpoint=checkpoint, **options)
        return simple_net_pb2.SimpleNetServiceLossResponse(loss=value)

    def NumericalGradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request, step="h")
        self.require_room("W", inputs[0], inputs[0].size)
        with self.compute(context) as turn:
            slope = structured.simple_net(*inputs, checkpoint=turn, spread=turn.spread, **options)
        return build(
            simple_net_pb2.SimpleNetServiceNumericalGradientResponse, gradient=tensor.fields(slope)
        )

    def Gradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request)
        self.require_room("W", inputs[0], inputs[0].size)
        with self.compute(context) as checkpoint:
            simple_net.loss(*inputs, checkpoint=checkpoint, **options)
            exact = derivatives.simple_net(*inputs, checkpoint=checkpoint, **options)
        return build(
            simple_net_pb2.SimpleNetServiceGradientResponse,
            gradient=tensor.fields(exact.tensors["W"]),
            certainty=_certainty(exact),
        )

    def CheckGradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request)
        gradient, dtype = requests.candidate(request, "W"), requests.accumulation_type(request)
        with self.compute(context) as checkpoint:
            simple_net.loss(*inputs, checkpoint=checkpoint, **options)
            found = closed_form.check_simple_net(
                *inputs, gradient, accumulation_dtype=dtype, checkpoint=checkpoint, **options
            )
        return simple_net_pb2.SimpleNetServiceCheckGradientResponse(report=report.encode(found))


def _forward_work(parameters: TwoLayerNetParameters, x: Array) -> int:
    """Return the multiply-adds of a forward pass, if the shapes fit."""
    return _work(parameters.W1, x) + _work(parameters.W2, x)


class TwoLayerNet(Servicer, two_layer_net_pb2_grpc.TwoLayerNetServiceServicer):
    """TwoLayerNetService."""

    def _inputs(self, request: Any) -> tuple[TwoLayerNetParameters, Array, Array]:
        x = requests.array(request, "inputs")
        return requests.parameters(request), x, requests.targets(request)

    def _require_room_for(self, parameters: TwoLayerNetParameters) -> None:
        """Raise unless an answer of the size of the parameters fits a message."""
        numbers = sum(tensor.size for tensor in parameters.tensors().values())
        was = f"{numbers} parameters"
        requests.require_room("parameters", was, numbers, self.max_message_bytes)

    def Initialize(self, request: Any, context: Any) -> Any:
        sizes = (request.input_size, request.hidden_size, request.output_size)
        inner, hidden, classes = (max(size, 0) for size in sizes)
        numbers = hidden * (inner + 1 + classes) + classes
        largest = max(("input_size", "hidden_size", "output_size"), key=partial(getattr, request))
        requests.require_room(largest, max(sizes), numbers, self.max_message_bytes)
        options = requests.options(request, weight_init_std="weight_init_std")
        with self.compute_if_long(context, ENTRY_WORK * numbers) as checkpoint:
            made = two_layer_net.init(*sizes, seed=request.seed, checkpoint=checkpoint, **options)
        return build(
            two_layer_net_pb2.InitializeResponse,
            parameters=requests.encode_parameters(made.tensors()),
        )

    def Predict(self, request: Any, context: Any) -> Any:
        parameters, x = requests.parameters(request), requests.array(request, "inputs")
        self.require_room("x", x, _samples(x) * parameters.b2.size)
        with self.compute_if_long(context, _forward_work(parameters, x)) as checkpoint:
            y = two_layer_net.predict(parameters, x, checkpoint=checkpoint)
        return build(
            two_layer_net_pb2.TwoLayerNetServicePredictResponse, probabilities=tensor.fields(y)
        )

    def Loss(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request)
        with self.compute_if_long(context, _forward_work(*inputs[:2])) as checkpoint:
            value = two_layer_net.loss(*inputs, checkpoint=checkpoint, **options)
        return two_layer_net_pb2.TwoLayerNetServiceLossResponse(loss=value)

    def Accuracy(self, request: Any, context: Any) -> Any:
        inputs = self._inputs(request)
        with self.compute_if_long(context, _forward_work(*inputs[:2])) as checkpoint:
            value = two_layer_net.accuracy(*inputs, checkpoint=checkpoint)
        return two_layer_net_pb2.AccuracyResponse(accuracy=value)

    def NumericalGradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request, step="h")
        self._require_room_for(inputs[0])
        with self.compute(context) as turn:
            slope = structured.two_layer_net(
                *inputs, checkpoint=turn, spread=turn.spread, **options
            )
        return build(
            two_layer_net_pb2.TwoLayerNetServiceNumericalGradientResponse,
            gradient=requests.encode_parameters(slope.tensors()),
        )

    def Gradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request)
        self._require_room_for(inputs[0])
        with self.compute(context) as checkpoint:
            two_layer_net.loss(*inputs, checkpoint=checkpoint, **options)
            exact = derivatives.two_layer_net(*inputs, checkpoint=checkpoint, **options)
        return build(
            two_layer_net_pb2.TwoLayerNetServiceGradientResponse,
            gradient=requests.encode_parameters(exact.tensors),
            certainty=_certainty(exact),
        )

    def CheckGradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request)
        gradient = requests.candidate_parameters(request)
        dtype = requests.accumulation_type(request)
        with self.compute(context) as checkpoint:
            two_layer_net.loss(*inputs, checkpoint=checkpoint, **options)
            found = closed_form.check_two_layer_net(
                *inputs, gradient, accumulation_dtype=dtype, checkpoint=checkpoint, **options
            )
        return two_layer_net_pb2.TwoLayerNetServiceCheckGradientResponse(
            report=report.encode(found)
        )

    def Probe(self, request: Any, context: Any) -> Any:
        variant = requests.choice(request, "variant")
        dtype = requests.floating_type(request, "data_type", "data_type") or "float64"
        made, x, labels = probes.probe(variant, dtype, request.seed)
        return build(
            two_layer_net_pb2.ProbeResponse,
            parameters=requests.encode_parameters(made.tensors()),
            inputs=tensor.fields(x),
            labels=tensor.fields(labels),
        )

    def Train(self, request: Any, context: Any) -> Iterator[Any]:
        parameters, x, t = self._inputs(request)
        step_num = requests.count(request, "step_num", 100)
        batch_size = requests.count(request, "batch_size", 100)
        every = requests.count(request, "report_every", 1)
        self._require_room_for(parameters)
        row = sum(parameters.W1.shape) + parameters.b2.size
        requests.require_room("batch_size", batch_size, batch_size * row, self.max_message_bytes)
        method = requests.choice(request, "method")
        options = requests.options(request, learning_rate="lr", step="h")
        with self.gate.stream(context) as turn:
            steps = training.train(
                parameters,
                x,
                t,
                step_num=step_num,
                batch_size=batch_size,
                seed=request.seed,
                method=method,
                checkpoint=turn,
                **options,
            )
            for _ in range(step_num):
                # The slot is free while the caller reads: a slow reader holds up nobody.
                with turn.slot():
                    done, loss, trained = next(steps)
                if done % every == 0 or done == step_num:
                    yield two_layer_net_pb2.TrainResponse(
                        progress=two_layer_net_pb2.TrainingProgress(
                            steps_done=done, step_num=step_num, loss=loss
                        )
                    )
            parameters = requests.encode_parameters(trained.tensors())
            result = {"parameters": parameters, "steps_done": done, "loss": loss}
            # A caller that does not read it is still one that is served.
            yield build(two_layer_net_pb2.TrainResponse, result=result)


DRAW_WORK = 512
"""Multiply-adds that take as long as drawing one index."""


class MiniBatch(Servicer, mini_batch_pb2_grpc.MiniBatchServiceServicer):
    """MiniBatchService."""

    def Draw(self, request: Any, context: Any) -> Any:
        size = request.batch_size
        requests.require_room("batch_size", size, size, self.max_message_bytes)
        with self.compute_if_long(context, DRAW_WORK * size) as checkpoint:
            chosen = mini_batch.draw(
                request.train_size, size, seed=request.seed, checkpoint=checkpoint
            )
        return build(mini_batch_pb2.DrawResponse, indices=tensor.fields(chosen))


class Server(server_pb2_grpc.ServerServiceServicer):
    """ServerService."""

    def __init__(self, limits: Any, functions: Sequence[str]) -> None:
        self.limits = limits
        self.functions = functions

    def GetServerInfo(self, request: Any, context: Any) -> Any:
        return server_pb2.GetServerInfoResponse(
            version=version("gradient-oracle"),
            limits=self.limits,
            functions=self.functions,
            numpy_version=np.__version__,
            blas=blas_name(),
            blas_threads=single_threaded_blas().threads(),
            flint_version=version("python-flint"),
            python_version=platform.python_version(),
        )
