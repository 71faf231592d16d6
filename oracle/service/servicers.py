"""Every servicer decodes, calls one function, and encodes."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

from oracle.checking import closed_form, probes
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
from oracle.reference import activations, losses, mini_batch, simple_net, structured, two_layer_net
from oracle.service import requests
from oracle.service.gate import Gate, blas_name, single_threaded_blas
from oracle.values import Array, TwoLayerNetParameters
from oracle.wire import report, tensor


def _certainty(gradient: Any) -> Any:
    return report_pb2.Certainty(**report.encode_certainty(gradient))


class Servicer:
    """What all servicers share: the gate that long calls wait at, and the largest message."""

    def __init__(self, gate: Gate, max_message_bytes: int) -> None:
        self.gate = gate
        self.max_message_bytes = max_message_bytes

    def compute(self, context: Any) -> Any:
        """Enter the gate; the context manager yields the checkpoint of the computation."""
        return self.gate.enter(context)


class Activation(Servicer, activation_pb2_grpc.ActivationServiceServicer):
    """ActivationService."""

    def Sigmoid(self, request: Any, context: Any) -> Any:
        a = requests.array(request, "scores")
        return activation_pb2.SigmoidResponse(activations=tensor.fields(activations.sigmoid(a)))

    def Softmax(self, request: Any, context: Any) -> Any:
        a = requests.array(request, "scores")
        return activation_pb2.SoftmaxResponse(probabilities=tensor.fields(activations.softmax(a)))


class Loss(Servicer, loss_pb2_grpc.LossServiceServicer):
    """LossService."""

    def _mse(self, request: Any) -> tuple[Array, Array]:
        y = requests.array(request, "predictions")
        t = requests.array(request, "targets")
        return y, t

    def _cee(self, request: Any) -> tuple[Array, Array]:
        return requests.array(request, "predictions"), requests.targets(request)

    def MeanSquaredError(self, request: Any, context: Any) -> Any:
        error = losses.mean_squared_error(*self._mse(request))
        return loss_pb2.MeanSquaredErrorResponse(error=error)

    def CrossEntropyError(self, request: Any, context: Any) -> Any:
        error = losses.cross_entropy_error(*self._cee(request), **requests.options(request))
        return loss_pb2.CrossEntropyErrorResponse(error=error)

    def MeanSquaredErrorGradient(self, request: Any, context: Any) -> Any:
        y, t = self._mse(request)
        losses.mean_squared_error(y, t)
        with self.compute(context) as checkpoint:
            exact = closed_form.gradient_mean_squared_error(y, t, checkpoint=checkpoint)
        return loss_pb2.MeanSquaredErrorGradientResponse(
            gradient=tensor.fields(exact.tensors["y"]), certainty=_certainty(exact)
        )

    def CrossEntropyErrorGradient(self, request: Any, context: Any) -> Any:
        y, t = self._cee(request)
        options = requests.options(request)
        losses.cross_entropy_error(y, t, **options)
        with self.compute(context) as checkpoint:
            exact = closed_form.gradient_cross_entropy_error(y, t, checkpoint=checkpoint, **options)
        return loss_pb2.CrossEntropyErrorGradientResponse(
            gradient=tensor.fields(exact.tensors["y"]), certainty=_certainty(exact)
        )

    def CheckMeanSquaredError(self, request: Any, context: Any) -> Any:
        y, t = self._mse(request)
        losses.mean_squared_error(y, t)
        with self.compute(context) as checkpoint:
            found = closed_form.check_mean_squared_error(
                y,
                t,
                {"y": requests.array(request, "gradient")},
                accumulation_dtype=requests.accumulation_type(request),
                checkpoint=checkpoint,
            )
        return loss_pb2.CheckMeanSquaredErrorResponse(report=report.encode(found))

    def CheckCrossEntropyError(self, request: Any, context: Any) -> Any:
        y, t = self._cee(request)
        options = requests.options(request)
        losses.cross_entropy_error(y, t, **options)
        with self.compute(context) as checkpoint:
            found = closed_form.check_cross_entropy_error(
                y,
                t,
                {"y": requests.array(request, "gradient")},
                accumulation_dtype=requests.accumulation_type(request),
                checkpoint=checkpoint,
                **options,
            )
        return loss_pb2.CheckCrossEntropyErrorResponse(report=report.encode(found))


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
        scores = simple_net.predict(W, x)
        return simple_net_pb2.SimpleNetServicePredictResponse(scores=tensor.fields(scores))

    def Loss(self, request: Any, context: Any) -> Any:
        value = simple_net.loss(*self._inputs(request), **requests.options(request))
        return simple_net_pb2.SimpleNetServiceLossResponse(loss=value)

    def NumericalGradient(self, request: Any, context: Any) -> Any:
        with self.compute(context) as checkpoint:
            slope = structured.simple_net(
                *self._inputs(request), checkpoint=checkpoint, **requests.options(request, step="h")
            )
        return simple_net_pb2.SimpleNetServiceNumericalGradientResponse(
            gradient=tensor.fields(slope)
        )

    def Gradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request)
        simple_net.loss(*inputs, **options)
        with self.compute(context) as checkpoint:
            exact = closed_form.gradient_simple_net(*inputs, checkpoint=checkpoint, **options)
        return simple_net_pb2.SimpleNetServiceGradientResponse(
            gradient=tensor.fields(exact.tensors["W"]), certainty=_certainty(exact)
        )

    def CheckGradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request)
        simple_net.loss(*inputs, **options)
        with self.compute(context) as checkpoint:
            found = closed_form.check_simple_net(
                *inputs,
                {"W": requests.array(request, "gradient")},
                accumulation_dtype=requests.accumulation_type(request),
                checkpoint=checkpoint,
                **options,
            )
        return simple_net_pb2.SimpleNetServiceCheckGradientResponse(report=report.encode(found))


class TwoLayerNet(Servicer, two_layer_net_pb2_grpc.TwoLayerNetServiceServicer):
    """TwoLayerNetService."""

    def _inputs(self, request: Any) -> tuple[TwoLayerNetParameters, Array, Array]:
        x = requests.array(request, "inputs")
        return requests.parameters(request), x, requests.targets(request)

    def Initialize(self, request: Any, context: Any) -> Any:
        sizes = (request.input_size, request.hidden_size, request.output_size)
        inner, hidden, classes = (max(size, 0) for size in sizes)
        numbers = hidden * (inner + 1 + classes) + classes
        largest = max(("input_size", "hidden_size", "output_size"), key=partial(getattr, request))
        requests.require_room(largest, max(sizes), numbers, self.max_message_bytes)
        made = two_layer_net.init(
            *sizes,
            seed=request.seed,
            **requests.options(request, weight_init_std="weight_init_std"),
        )
        return two_layer_net_pb2.InitializeResponse(
            parameters=requests.encode_parameters(made.tensors())
        )

    def Predict(self, request: Any, context: Any) -> Any:
        y = two_layer_net.predict(requests.parameters(request), requests.array(request, "inputs"))
        return two_layer_net_pb2.TwoLayerNetServicePredictResponse(probabilities=tensor.fields(y))

    def Loss(self, request: Any, context: Any) -> Any:
        value = two_layer_net.loss(*self._inputs(request), **requests.options(request))
        return two_layer_net_pb2.TwoLayerNetServiceLossResponse(loss=value)

    def Accuracy(self, request: Any, context: Any) -> Any:
        value = two_layer_net.accuracy(*self._inputs(request))
        return two_layer_net_pb2.AccuracyResponse(accuracy=value)

    def NumericalGradient(self, request: Any, context: Any) -> Any:
        with self.compute(context) as checkpoint:
            slope = structured.two_layer_net(
                *self._inputs(request), checkpoint=checkpoint, **requests.options(request, step="h")
            )
        return two_layer_net_pb2.TwoLayerNetServiceNumericalGradientResponse(
            gradient=requests.encode_parameters(slope.tensors())
        )

    def Gradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request)
        two_layer_net.loss(*inputs, **options)
        with self.compute(context) as checkpoint:
            exact = closed_form.gradient_two_layer_net(*inputs, checkpoint=checkpoint, **options)
        return two_layer_net_pb2.TwoLayerNetServiceGradientResponse(
            gradient=requests.encode_parameters(exact.tensors), certainty=_certainty(exact)
        )

    def CheckGradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), requests.options(request)
        two_layer_net.loss(*inputs, **options)
        with self.compute(context) as checkpoint:
            found = closed_form.check_two_layer_net(
                *inputs,
                requests.candidate_parameters(request),
                accumulation_dtype=requests.accumulation_type(request),
                checkpoint=checkpoint,
                **options,
            )
        return two_layer_net_pb2.TwoLayerNetServiceCheckGradientResponse(
            report=report.encode(found)
        )

    def Probe(self, request: Any, context: Any) -> Any:
        variant = requests.choice(request, "variant")
        dtype = requests.floating_type(request, "data_type", "data_type") or "float64"
        made, x, labels = probes.probe(variant, dtype, request.seed)
        return two_layer_net_pb2.ProbeResponse(
            parameters=requests.encode_parameters(made.tensors()),
            inputs=tensor.fields(x),
            labels=tensor.fields(labels),
        )

    def Train(self, request: Any, context: Any) -> Iterator[Any]:
        parameters, x, t = self._inputs(request)
        step_num = requests.count(request, "step_num", 100)
        batch_size = requests.count(request, "batch_size", 100)
        every = requests.count(request, "report_every", 1)
        row = sum(parameters.W1.shape) + parameters.b2.size
        requests.require_room("batch_size", batch_size, batch_size * row, self.max_message_bytes)
        with self.gate.stream(context) as turn:
            steps = two_layer_net.train(
                parameters,
                x,
                t,
                step_num=step_num,
                batch_size=batch_size,
                seed=request.seed,
                method=requests.choice(request, "method"),
                checkpoint=turn,
                **requests.options(request, learning_rate="lr", step="h"),
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
        yield two_layer_net_pb2.TrainResponse(
            result=two_layer_net_pb2.TrainingResult(
                parameters=requests.encode_parameters(trained.tensors()), steps_done=done, loss=loss
            )
        )


class MiniBatch(Servicer, mini_batch_pb2_grpc.MiniBatchServiceServicer):
    """MiniBatchService."""

    def Draw(self, request: Any, context: Any) -> Any:
        size = request.batch_size
        requests.require_room("batch_size", size, size, self.max_message_bytes)
        chosen = mini_batch.draw(request.train_size, request.batch_size, seed=request.seed)
        return mini_batch_pb2.DrawResponse(indices=tensor.fields(chosen))


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
