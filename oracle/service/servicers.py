"""Every servicer decodes, calls one function, and encodes."""

from __future__ import annotations

import platform
from collections.abc import Iterator
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
from oracle.service.status import Gate
from oracle.values import Array, InvalidInput, TwoLayerNetParameters
from oracle.wire import report, tensor

NAMES = ("w1", "b1", "w2", "b2")


def _targets(request: Any) -> Array:
    form = request.targets.WhichOneof("form")
    if form is None:
        raise InvalidInput("t", "be set", "nothing")
    array = tensor.decode(getattr(request.targets, form), f"targets.{form}")
    if (form == "labels") != (array.dtype.kind == "i"):
        kind = "integers" if form == "labels" else "floating numbers"
        raise InvalidInput("t", f"hold {kind} in `{form}`", f"{array.dtype}")
    return array


def _parameters(request: Any) -> TwoLayerNetParameters:
    message = request.parameters
    return TwoLayerNetParameters(
        *(tensor.decode(getattr(message, name), f"parameters.{name}") for name in NAMES)
    )


def _encode_parameters(tensors: Any) -> Any:
    return two_layer_net_pb2.TwoLayerNetParameters(
        **{name.lower(): tensor.encode(array) for name, array in tensors.items()}
    )


def _options(request: Any, **names: str) -> dict[str, Any]:
    """Return the optional fields that are set, under the names of the reference functions."""
    fields = {"delta": "delta", **names}
    known = request.DESCRIPTOR.fields_by_name
    return {
        name: getattr(request, field)
        for field, name in fields.items()
        if field in known and request.HasField(field)
    }


def _arithmetic(request: Any) -> str | None:
    number = request.arithmetic.accumulation_data_type
    return tensor.decode_data_type(number, "arithmetic") if number else None


def _certainty(gradient: Any) -> Any:
    return report_pb2.Certainty(**report.encode_certainty(gradient))


def _candidate(message: Any, name: str) -> Array | None:
    return (
        tensor.decode(getattr(message, name), f"gradient.{name}")
        if message.HasField(name)
        else None
    )


class Servicer:
    """What all servicers share: the gate that long calls wait at."""

    def __init__(self, gate: Gate, seconds: float) -> None:
        self.gate = gate
        self.seconds = seconds

    def compute(self, context: Any) -> Any:
        """Enter the gate."""
        return self.gate.enter(context, self.seconds)


class Activation(Servicer, activation_pb2_grpc.ActivationServiceServicer):
    """ActivationService."""

    def Sigmoid(self, request: Any, context: Any) -> Any:
        a = tensor.decode(request.scores, "scores")
        return activation_pb2.SigmoidResponse(activations=tensor.encode(activations.sigmoid(a)))

    def Softmax(self, request: Any, context: Any) -> Any:
        a = tensor.decode(request.scores, "scores")
        return activation_pb2.SoftmaxResponse(probabilities=tensor.encode(activations.softmax(a)))


class Loss(Servicer, loss_pb2_grpc.LossServiceServicer):
    """LossService."""

    def _mse(self, request: Any) -> tuple[Array, Array]:
        y = tensor.decode(request.predictions, "predictions")
        t = tensor.decode(request.targets, "targets")
        return y, t

    def _cee(self, request: Any) -> tuple[Array, Array]:
        return tensor.decode(request.predictions, "predictions"), _targets(request)

    def MeanSquaredError(self, request: Any, context: Any) -> Any:
        error = losses.mean_squared_error(*self._mse(request))
        return loss_pb2.MeanSquaredErrorResponse(error=error)

    def CrossEntropyError(self, request: Any, context: Any) -> Any:
        error = losses.cross_entropy_error(*self._cee(request), **_options(request))
        return loss_pb2.CrossEntropyErrorResponse(error=error)

    def MeanSquaredErrorGradient(self, request: Any, context: Any) -> Any:
        y, t = self._mse(request)
        losses.mean_squared_error(y, t)
        with self.compute(context) as checkpoint:
            exact = closed_form.gradient_mean_squared_error(y, t, checkpoint=checkpoint)
        return loss_pb2.MeanSquaredErrorGradientResponse(
            gradient=tensor.encode(exact.tensors["y"]), certainty=_certainty(exact)
        )

    def CrossEntropyErrorGradient(self, request: Any, context: Any) -> Any:
        y, t = self._cee(request)
        options = _options(request)
        losses.cross_entropy_error(y, t, **options)
        with self.compute(context) as checkpoint:
            exact = closed_form.gradient_cross_entropy_error(y, t, checkpoint=checkpoint, **options)
        return loss_pb2.CrossEntropyErrorGradientResponse(
            gradient=tensor.encode(exact.tensors["y"]), certainty=_certainty(exact)
        )

    def CheckMeanSquaredError(self, request: Any, context: Any) -> Any:
        y, t = self._mse(request)
        losses.mean_squared_error(y, t)
        with self.compute(context) as checkpoint:
            found = closed_form.check_mean_squared_error(
                y,
                t,
                {"y": _candidate(request, "gradient")},
                accumulation_dtype=_arithmetic(request),
                checkpoint=checkpoint,
            )
        return loss_pb2.CheckMeanSquaredErrorResponse(report=report.encode(found))

    def CheckCrossEntropyError(self, request: Any, context: Any) -> Any:
        y, t = self._cee(request)
        options = _options(request)
        losses.cross_entropy_error(y, t, **options)
        with self.compute(context) as checkpoint:
            found = closed_form.check_cross_entropy_error(
                y,
                t,
                {"y": _candidate(request, "gradient")},
                accumulation_dtype=_arithmetic(request),
                checkpoint=checkpoint,
                **options,
            )
        return loss_pb2.CheckCrossEntropyErrorResponse(report=report.encode(found))


class SimpleNet(Servicer, simple_net_pb2_grpc.SimpleNetServiceServicer):
    """SimpleNetService."""

    def _inputs(self, request: Any) -> tuple[Array, Array, Array]:
        return (
            tensor.decode(request.weights, "weights"),
            tensor.decode(request.inputs, "inputs"),
            _targets(request),
        )

    def Predict(self, request: Any, context: Any) -> Any:
        W, x = tensor.decode(request.weights, "weights"), tensor.decode(request.inputs, "inputs")
        scores = simple_net.predict(W, x)
        return simple_net_pb2.SimpleNetServicePredictResponse(scores=tensor.encode(scores))

    def Loss(self, request: Any, context: Any) -> Any:
        value = simple_net.loss(*self._inputs(request), **_options(request))
        return simple_net_pb2.SimpleNetServiceLossResponse(loss=value)

    def NumericalGradient(self, request: Any, context: Any) -> Any:
        with self.compute(context) as checkpoint:
            slope = structured.simple_net(
                *self._inputs(request), checkpoint=checkpoint, **_options(request, step="h")
            )
        return simple_net_pb2.SimpleNetServiceNumericalGradientResponse(
            gradient=tensor.encode(slope)
        )

    def Gradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), _options(request)
        simple_net.loss(*inputs, **options)
        with self.compute(context) as checkpoint:
            exact = closed_form.gradient_simple_net(*inputs, checkpoint=checkpoint, **options)
        return simple_net_pb2.SimpleNetServiceGradientResponse(
            gradient=tensor.encode(exact.tensors["W"]), certainty=_certainty(exact)
        )

    def CheckGradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), _options(request)
        simple_net.loss(*inputs, **options)
        with self.compute(context) as checkpoint:
            found = closed_form.check_simple_net(
                *inputs,
                {"W": _candidate(request, "gradient")},
                accumulation_dtype=_arithmetic(request),
                checkpoint=checkpoint,
                **options,
            )
        return simple_net_pb2.SimpleNetServiceCheckGradientResponse(report=report.encode(found))


class TwoLayerNet(Servicer, two_layer_net_pb2_grpc.TwoLayerNetServiceServicer):
    """TwoLayerNetService."""

    def _inputs(self, request: Any) -> tuple[TwoLayerNetParameters, Array, Array]:
        x = tensor.decode(request.inputs, "inputs")
        return _parameters(request), x, _targets(request)

    def Initialize(self, request: Any, context: Any) -> Any:
        made = two_layer_net.init(
            request.input_size,
            request.hidden_size,
            request.output_size,
            seed=request.seed,
            **_options(request, weight_init_std="weight_init_std"),
        )
        return two_layer_net_pb2.InitializeResponse(parameters=_encode_parameters(made.tensors()))

    def Predict(self, request: Any, context: Any) -> Any:
        y = two_layer_net.predict(_parameters(request), tensor.decode(request.inputs, "inputs"))
        return two_layer_net_pb2.TwoLayerNetServicePredictResponse(probabilities=tensor.encode(y))

    def Loss(self, request: Any, context: Any) -> Any:
        value = two_layer_net.loss(*self._inputs(request), **_options(request))
        return two_layer_net_pb2.TwoLayerNetServiceLossResponse(loss=value)

    def Accuracy(self, request: Any, context: Any) -> Any:
        value = two_layer_net.accuracy(*self._inputs(request))
        return two_layer_net_pb2.AccuracyResponse(accuracy=value)

    def NumericalGradient(self, request: Any, context: Any) -> Any:
        with self.compute(context) as checkpoint:
            slope = structured.two_layer_net(
                *self._inputs(request), checkpoint=checkpoint, **_options(request, step="h")
            )
        return two_layer_net_pb2.TwoLayerNetServiceNumericalGradientResponse(
            gradient=_encode_parameters(slope.tensors())
        )

    def Gradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), _options(request)
        two_layer_net.loss(*inputs, **options)
        with self.compute(context) as checkpoint:
            exact = closed_form.gradient_two_layer_net(*inputs, checkpoint=checkpoint, **options)
        return two_layer_net_pb2.TwoLayerNetServiceGradientResponse(
            gradient=_encode_parameters(exact.tensors), certainty=_certainty(exact)
        )

    def CheckGradient(self, request: Any, context: Any) -> Any:
        inputs, options = self._inputs(request), _options(request)
        two_layer_net.loss(*inputs, **options)
        names = zip(("W1", "b1", "W2", "b2"), NAMES, strict=True)
        with self.compute(context) as checkpoint:
            found = closed_form.check_two_layer_net(
                *inputs,
                {name: _candidate(request.gradient, field) for name, field in names},
                accumulation_dtype=_arithmetic(request),
                checkpoint=checkpoint,
                **options,
            )
        return two_layer_net_pb2.TwoLayerNetServiceCheckGradientResponse(
            report=report.encode(found)
        )

    def Probe(self, request: Any, context: Any) -> Any:
        variant = two_layer_net_pb2.ProbeVariant.Name(request.variant or 1)
        dtype = tensor.decode_data_type(request.data_type or 1)
        made, x, labels = probes.probe(
            variant.removeprefix("PROBE_VARIANT_").lower(), dtype, request.seed
        )
        return two_layer_net_pb2.ProbeResponse(
            parameters=_encode_parameters(made.tensors()),
            inputs=tensor.encode(x),
            labels=tensor.encode(labels),
        )

    def Train(self, request: Any, context: Any) -> Iterator[Any]:
        parameters, x, t = self._inputs(request)
        step_num = request.step_num if request.HasField("step_num") else 100
        every = max(request.report_every, 1)
        analytic = request.method == two_layer_net_pb2.GRADIENT_METHOD_ANALYTIC
        options = _options(request, batch_size="batch_size", learning_rate="lr", step="h")
        done, loss, trained = 0, float("nan"), parameters
        with self.compute(context) as checkpoint:
            for done, loss, trained in two_layer_net.train(
                parameters,
                x,
                t,
                step_num=step_num,
                seed=request.seed,
                method="analytic" if analytic else "numerical",
                checkpoint=checkpoint,
                **options,
            ):
                if done % every == 0:
                    progress = two_layer_net_pb2.TrainingProgress(
                        steps_done=done, step_num=step_num, loss=loss
                    )
                    yield two_layer_net_pb2.TrainResponse(progress=progress)
        yield two_layer_net_pb2.TrainResponse(
            result=two_layer_net_pb2.TrainingResult(
                parameters=_encode_parameters(trained.tensors()), steps_done=done, loss=loss
            )
        )


class MiniBatch(Servicer, mini_batch_pb2_grpc.MiniBatchServiceServicer):
    """MiniBatchService."""

    def Draw(self, request: Any, context: Any) -> Any:
        chosen = mini_batch.draw(request.train_size, request.batch_size, seed=request.seed)
        return mini_batch_pb2.DrawResponse(indices=tensor.encode(chosen))


class Server(server_pb2_grpc.ServerServiceServicer):
    """ServerService."""

    def __init__(self, limits: Any) -> None:
        self.limits = limits

    def GetServerInfo(self, request: Any, context: Any) -> Any:
        return server_pb2.GetServerInfoResponse(
            version=version("gradient-oracle"),
            limits=self.limits,
            numpy_version=np.__version__,
            flint_version=version("python-flint"),
            python_version=platform.python_version(),
        )
