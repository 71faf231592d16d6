"""Servicers of the document's two nets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TypeAlias

import grpc

from oracle.checking import closed_form, derivatives, probes
from oracle.gradcheck.v1 import (
    simple_net_pb2,
    simple_net_pb2_grpc,
    two_layer_net_pb2,
    two_layer_net_pb2_grpc,
)
from oracle.reference import simple_net, structured, training, two_layer_net
from oracle.service import requests
from oracle.service.estimates import EXACT, TILES, VALUE, Need, need
from oracle.service.requests import Fields
from oracle.service.servicers import ENTRY_WORK, READ_WORK, Servicer, certainty
from oracle.values import Array, TwoLayerNetParameters
from oracle.wire import report, tensor
from oracle.wire.message import build, part


def _samples(x: Array) -> int:
    """Return how many samples the inputs are, if they have a shape that fits."""
    return x.shape[0] if x.ndim > 1 else 1


def _units(W: Array) -> int:
    """Return how many units a matrix of weights leads to, if it is one."""
    return W.shape[-1] if W.ndim else 1


def _work(W: Array, x: Array) -> int:
    """Return the multiply-adds of one layer for the samples of `x`, if the shapes fit."""
    return _samples(x) * (W.size + ENTRY_WORK * _units(W)) + READ_WORK * W.size


def _simple_need(each: int, W: Array, x: Array, more: int = 0) -> Need:
    """Return what a simple net needs of memory."""
    samples = {"inputs": x.size + _samples(x) * _units(W)}
    return need(each, {"weights": W.size} | samples, more)


OnSimpleNet: TypeAlias = (
    simple_net_pb2.SimpleNetServiceLossRequest
    | simple_net_pb2.SimpleNetServiceNumericalGradientRequest
    | simple_net_pb2.SimpleNetServiceGradientRequest
    | simple_net_pb2.SimpleNetServiceCheckGradientRequest
)


class SimpleNet(Servicer, simple_net_pb2_grpc.SimpleNetServiceServicer):
    """SimpleNetService."""

    def _inputs(self, request: OnSimpleNet) -> tuple[Array, Array, Array]:
        return (
            Fields(request).array("weights"),
            Fields(request).array("inputs"),
            requests.targets(request.targets),
        )

    def Predict(
        self, request: simple_net_pb2.SimpleNetServicePredictRequest, context: grpc.ServicerContext
    ) -> simple_net_pb2.SimpleNetServicePredictResponse:
        W, x = Fields(request).array("weights"), Fields(request).array("inputs")
        self.require_room("x", x, _samples(x) * _units(W))
        with self.compute_if_long(context, _work(W, x), _simple_need(VALUE, W, x)) as checkpoint:
            scores = simple_net.predict(W, x, checkpoint=checkpoint)
        return build(simple_net_pb2.SimpleNetServicePredictResponse, scores=tensor.fields(scores))

    def Loss(
        self, request: simple_net_pb2.SimpleNetServiceLossRequest, context: grpc.ServicerContext
    ) -> simple_net_pb2.SimpleNetServiceLossResponse:
        inputs, options = self._inputs(request), Fields(request).options("delta")
        with self.compute_if_long(
            context, _work(*inputs[:2]), _simple_need(VALUE, *inputs[:2])
        ) as checkpoint:
            value = simple_net.loss(*inputs, checkpoint=checkpoint, **options)
        return simple_net_pb2.SimpleNetServiceLossResponse(loss=value)

    def NumericalGradient(
        self,
        request: simple_net_pb2.SimpleNetServiceNumericalGradientRequest,
        context: grpc.ServicerContext,
    ) -> simple_net_pb2.SimpleNetServiceNumericalGradientResponse:
        inputs, options = self._inputs(request), Fields(request).options("delta", "step")
        self.require_room("W", inputs[0], inputs[0].size)
        with self.compute(context, _simple_need(VALUE, *inputs[:2], TILES)) as turn:
            slope = structured.simple_net(*inputs, checkpoint=turn, spread=turn.spread, **options)
        return build(
            simple_net_pb2.SimpleNetServiceNumericalGradientResponse, gradient=tensor.fields(slope)
        )

    def Gradient(
        self, request: simple_net_pb2.SimpleNetServiceGradientRequest, context: grpc.ServicerContext
    ) -> simple_net_pb2.SimpleNetServiceGradientResponse:
        inputs, options = self._inputs(request), Fields(request).options("delta")
        self.require_room("W", inputs[0], inputs[0].size)
        with self.compute(context, _simple_need(EXACT, *inputs[:2])) as checkpoint:
            simple_net.loss(*inputs, checkpoint=checkpoint, **options)
            exact = derivatives.simple_net(*inputs, checkpoint=checkpoint, **options)
        return build(
            simple_net_pb2.SimpleNetServiceGradientResponse,
            gradient=tensor.fields(exact.tensors["W"]),
            certainty=certainty(exact),
        )

    def CheckGradient(
        self,
        request: simple_net_pb2.SimpleNetServiceCheckGradientRequest,
        context: grpc.ServicerContext,
    ) -> simple_net_pb2.SimpleNetServiceCheckGradientResponse:
        inputs, options = self._inputs(request), Fields(request).options("delta")
        gradient, dtype = (
            {"W": Fields(request).array("gradient")},
            requests.accumulation_type(request.arithmetic),
        )
        with self.compute(context, _simple_need(EXACT, *inputs[:2])) as checkpoint:
            simple_net.loss(*inputs, checkpoint=checkpoint, **options)
            found = closed_form.check_simple_net(
                *inputs, gradient, accumulation_dtype=dtype, checkpoint=checkpoint, **options
            )
        return simple_net_pb2.SimpleNetServiceCheckGradientResponse(report=report.encode(found))


def _forward_work(parameters: TwoLayerNetParameters, x: Array) -> int:
    """Return the multiply-adds of a forward pass, if the shapes fit."""
    return _work(parameters.W1, x) + _work(parameters.W2, x)


def _need(each: int, parameters: TwoLayerNetParameters, x: Array, more: int = 0) -> Need:
    """Return what a two-layer net needs of memory."""
    size = sum(tensor.size for tensor in parameters.tensors().values())
    units = _units(parameters.W1) + _units(parameters.W2)
    return need(each, {"parameters": size, "inputs": x.size + _samples(x) * units}, more)


OnTwoLayerNet: TypeAlias = (
    two_layer_net_pb2.TwoLayerNetServiceLossRequest
    | two_layer_net_pb2.AccuracyRequest
    | two_layer_net_pb2.TwoLayerNetServiceNumericalGradientRequest
    | two_layer_net_pb2.TwoLayerNetServiceGradientRequest
    | two_layer_net_pb2.TwoLayerNetServiceCheckGradientRequest
    | two_layer_net_pb2.TrainRequest
)


class TwoLayerNet(Servicer, two_layer_net_pb2_grpc.TwoLayerNetServiceServicer):
    """TwoLayerNetService."""

    def _inputs(self, request: OnTwoLayerNet) -> tuple[TwoLayerNetParameters, Array, Array]:
        x = Fields(request).array("inputs")
        return requests.parameters(request.parameters), x, requests.targets(request.targets)

    def _require_room_for(self, parameters: TwoLayerNetParameters) -> None:
        """Raise unless an answer of the size of the parameters fits a message."""
        numbers = sum(tensor.size for tensor in parameters.tensors().values())
        was = f"{numbers} parameters"
        requests.require_room("parameters", was, numbers, self.max_message_bytes)

    def Initialize(
        self, request: two_layer_net_pb2.InitializeRequest, context: grpc.ServicerContext
    ) -> two_layer_net_pb2.InitializeResponse:
        sizes = (request.input_size, request.hidden_size, request.output_size)
        inner, hidden, classes = (max(size, 0) for size in sizes)
        numbers = hidden * (inner + 1 + classes) + classes
        largest = max(("input_size", "hidden_size", "output_size"), key=partial(getattr, request))
        requests.require_room(largest, max(sizes), numbers, self.max_message_bytes)
        options = Fields(request).options("weight_init_std")
        with self.compute_if_long(
            context, ENTRY_WORK * numbers, need(VALUE, {largest: numbers})
        ) as checkpoint:
            made = two_layer_net.init(*sizes, seed=request.seed, checkpoint=checkpoint, **options)
        return build(
            two_layer_net_pb2.InitializeResponse,
            parameters=requests.encode_parameters(made.tensors()),
        )

    def Predict(
        self,
        request: two_layer_net_pb2.TwoLayerNetServicePredictRequest,
        context: grpc.ServicerContext,
    ) -> two_layer_net_pb2.TwoLayerNetServicePredictResponse:
        parameters, x = requests.parameters(request.parameters), Fields(request).array("inputs")
        self.require_room("x", x, _samples(x) * parameters.b2.size)
        with self.compute_if_long(
            context, _forward_work(parameters, x), _need(VALUE, parameters, x)
        ) as checkpoint:
            y = two_layer_net.predict(parameters, x, checkpoint=checkpoint)
        return build(
            two_layer_net_pb2.TwoLayerNetServicePredictResponse, probabilities=tensor.fields(y)
        )

    def Loss(
        self,
        request: two_layer_net_pb2.TwoLayerNetServiceLossRequest,
        context: grpc.ServicerContext,
    ) -> two_layer_net_pb2.TwoLayerNetServiceLossResponse:
        inputs, options = self._inputs(request), Fields(request).options("delta")
        with self.compute_if_long(
            context, _forward_work(*inputs[:2]), _need(VALUE, *inputs[:2])
        ) as checkpoint:
            value = two_layer_net.loss(*inputs, checkpoint=checkpoint, **options)
        return two_layer_net_pb2.TwoLayerNetServiceLossResponse(loss=value)

    def Accuracy(
        self, request: two_layer_net_pb2.AccuracyRequest, context: grpc.ServicerContext
    ) -> two_layer_net_pb2.AccuracyResponse:
        inputs = self._inputs(request)
        with self.compute_if_long(
            context, _forward_work(*inputs[:2]), _need(VALUE, *inputs[:2])
        ) as checkpoint:
            value = two_layer_net.accuracy(*inputs, checkpoint=checkpoint)
        return two_layer_net_pb2.AccuracyResponse(accuracy=value)

    def NumericalGradient(
        self,
        request: two_layer_net_pb2.TwoLayerNetServiceNumericalGradientRequest,
        context: grpc.ServicerContext,
    ) -> two_layer_net_pb2.TwoLayerNetServiceNumericalGradientResponse:
        inputs, options = self._inputs(request), Fields(request).options("delta", "step")
        self._require_room_for(inputs[0])
        with self.compute(context, _need(VALUE, *inputs[:2], TILES)) as turn:
            slope = structured.two_layer_net(
                *inputs, checkpoint=turn, spread=turn.spread, **options
            )
        return build(
            two_layer_net_pb2.TwoLayerNetServiceNumericalGradientResponse,
            gradient=requests.encode_parameters(slope.tensors()),
        )

    def Gradient(
        self,
        request: two_layer_net_pb2.TwoLayerNetServiceGradientRequest,
        context: grpc.ServicerContext,
    ) -> two_layer_net_pb2.TwoLayerNetServiceGradientResponse:
        inputs, options = self._inputs(request), Fields(request).options("delta")
        self._require_room_for(inputs[0])
        with self.compute(context, _need(EXACT, *inputs[:2])) as checkpoint:
            two_layer_net.loss(*inputs, checkpoint=checkpoint, **options)
            exact = derivatives.two_layer_net(*inputs, checkpoint=checkpoint, **options)
        return build(
            two_layer_net_pb2.TwoLayerNetServiceGradientResponse,
            gradient=requests.encode_parameters(exact.tensors),
            certainty=certainty(exact),
        )

    def CheckGradient(
        self,
        request: two_layer_net_pb2.TwoLayerNetServiceCheckGradientRequest,
        context: grpc.ServicerContext,
    ) -> two_layer_net_pb2.TwoLayerNetServiceCheckGradientResponse:
        inputs, options = self._inputs(request), Fields(request).options("delta")
        requests.require(request.HasField("gradient"), "gradient", "be set", "nothing")
        gradient = requests.candidate_parameters(request.gradient)
        dtype = requests.accumulation_type(request.arithmetic)
        with self.compute(context, _need(EXACT, *inputs[:2])) as checkpoint:
            two_layer_net.loss(*inputs, checkpoint=checkpoint, **options)
            found = closed_form.check_two_layer_net(
                *inputs, gradient, accumulation_dtype=dtype, checkpoint=checkpoint, **options
            )
        return two_layer_net_pb2.TwoLayerNetServiceCheckGradientResponse(
            report=report.encode(found)
        )

    def Probe(
        self, request: two_layer_net_pb2.ProbeRequest, context: grpc.ServicerContext
    ) -> two_layer_net_pb2.ProbeResponse:
        variant = requests.choice(request.variant, two_layer_net_pb2.ProbeVariant, "variant")
        dtype = requests.floating_type(request.data_type, "data_type") or "float64"
        made, x, labels = probes.probe(variant, dtype, request.seed)
        return build(
            two_layer_net_pb2.ProbeResponse,
            parameters=requests.encode_parameters(made.tensors()),
            inputs=tensor.fields(x),
            labels=tensor.fields(labels),
        )

    def Train(
        self, request: two_layer_net_pb2.TrainRequest, context: grpc.ServicerContext
    ) -> Iterator[two_layer_net_pb2.TrainResponse]:
        parameters, x, t = self._inputs(request)
        step_num = Fields(request).count("step_num", 100)
        batch_size = Fields(request).count("batch_size", 100)
        every = Fields(request).count("report_every", 1)
        self._require_room_for(parameters)
        row = sum(parameters.W1.shape) + parameters.b2.size
        requests.require_room("batch_size", batch_size, batch_size * row, self.max_message_bytes)
        method = requests.choice(request.method, two_layer_net_pb2.GradientMethod, "method")
        options = Fields(request).options("delta", "learning_rate", "step")
        with self.gate.stream(
            context, _need(2 * VALUE, parameters, x, 32 * batch_size * row)
        ) as turn:
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
            result = part(
                two_layer_net_pb2.TrainingResult,
                parameters=requests.encode_parameters(trained.tensors()),
                steps_done=done,
                loss=loss,
            )
            # A caller that does not read it is still one that is served.
            yield build(two_layer_net_pb2.TrainResponse, result=result)
