"""Every servicer decodes, calls one function, and encodes."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias

import grpc
import numpy as np

from oracle import version
from oracle.checking import closed_form, derivatives
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
)
from oracle.reference import (
    activations,
    losses,
    mini_batch,
)
from oracle.service import requests
from oracle.service.estimates import EXACT, VALUE, Need, need
from oracle.service.gate import Gate, blas_name, single_threaded_blas
from oracle.service.operators import encode_operators
from oracle.service.requests import Fields
from oracle.values import Array, never_stop
from oracle.wire import report, tensor
from oracle.wire.message import build


def certainty(gradient: Any) -> report_pb2.Certainty:
    """Return the message of how certain an exact gradient is."""
    return report_pb2.Certainty(**report.encode_certainty(gradient))


SHORT = 2**23
"""Multiply-adds that a call makes beside those that compute: about a millisecond."""


class Servicer:
    """What all servicers share: the gate that long calls wait at, and the largest message."""

    def __init__(self, gate: Gate, max_message_bytes: int) -> None:
        self.gate = gate
        self.max_message_bytes = max_message_bytes

    def compute(self, context: Any, need: Need) -> Any:
        """Enter the gate; the context manager yields the checkpoint of the computation."""
        return self.gate.enter(context, need)

    def require_room(self, argument: str, array: Array, numbers: int) -> None:
        """Raise unless an answer of so many numbers, to which an array leads, fits a message."""
        requests.require_room(argument, f"shape {array.shape}", numbers, self.max_message_bytes)

    def compute_if_long(self, context: Any, work: int, need: Need) -> Any:
        """Enter the gate for much work, in multiply-adds; a short call never waits for others."""
        return self.compute(context, need) if work > SHORT else nullcontext(never_stop)


ENTRY_WORK = 64
"""Multiply-adds that take as long as a function of one number, which is mostly an exponential."""

READ_WORK = 8
"""The same for a look at one number."""


class Activation(Servicer, activation_pb2_grpc.ActivationServiceServicer):
    """ActivationService."""

    def Sigmoid(
        self, request: activation_pb2.SigmoidRequest, context: grpc.ServicerContext
    ) -> activation_pb2.SigmoidResponse:
        a = Fields(request).array("scores")
        self.require_room("a", a, a.size)
        with self.compute_if_long(
            context, ENTRY_WORK * a.size, need(VALUE, {"scores": a.size})
        ) as checkpoint:
            y = activations.sigmoid(a, checkpoint=checkpoint)
        return build(activation_pb2.SigmoidResponse, activations=tensor.fields(y))

    def Softmax(
        self, request: activation_pb2.SoftmaxRequest, context: grpc.ServicerContext
    ) -> activation_pb2.SoftmaxResponse:
        a = Fields(request).array("scores")
        self.require_room("a", a, a.size)
        with self.compute_if_long(
            context, ENTRY_WORK * a.size, need(VALUE, {"scores": a.size})
        ) as checkpoint:
            y = activations.softmax(a, checkpoint=checkpoint)
        return build(activation_pb2.SoftmaxResponse, probabilities=tensor.fields(y))


MeanSquared: TypeAlias = (
    loss_pb2.MeanSquaredErrorRequest
    | loss_pb2.MeanSquaredErrorGradientRequest
    | loss_pb2.CheckMeanSquaredErrorRequest
)
CrossEntropy: TypeAlias = (
    loss_pb2.CrossEntropyErrorRequest
    | loss_pb2.CrossEntropyErrorGradientRequest
    | loss_pb2.CheckCrossEntropyErrorRequest
)


class Loss(Servicer, loss_pb2_grpc.LossServiceServicer):
    """LossService."""

    def _mse(self, request: MeanSquared) -> tuple[Array, Array]:
        y = Fields(request).array("predictions")
        t = Fields(request).array("targets")
        return y, t

    def _cee(self, request: CrossEntropy) -> tuple[Array, Array]:
        return Fields(request).array("predictions"), requests.targets(request.targets)

    def MeanSquaredError(
        self, request: loss_pb2.MeanSquaredErrorRequest, context: grpc.ServicerContext
    ) -> loss_pb2.MeanSquaredErrorResponse:
        y, t = self._mse(request)
        with self.compute_if_long(
            context, ENTRY_WORK * y.size, need(VALUE, {"predictions": y.size})
        ) as checkpoint:
            error = losses.mean_squared_error(y, t, checkpoint=checkpoint)
        return loss_pb2.MeanSquaredErrorResponse(error=error)

    def CrossEntropyError(
        self, request: loss_pb2.CrossEntropyErrorRequest, context: grpc.ServicerContext
    ) -> loss_pb2.CrossEntropyErrorResponse:
        y, t = self._cee(request)
        options = Fields(request).options("delta")
        with self.compute_if_long(
            context, ENTRY_WORK * y.size, need(VALUE, {"predictions": y.size})
        ) as checkpoint:
            error = losses.cross_entropy_error(y, t, checkpoint=checkpoint, **options)
        return loss_pb2.CrossEntropyErrorResponse(error=error)

    def MeanSquaredErrorGradient(
        self, request: loss_pb2.MeanSquaredErrorGradientRequest, context: grpc.ServicerContext
    ) -> loss_pb2.MeanSquaredErrorGradientResponse:
        y, t = self._mse(request)
        self.require_room("y", y, y.size)
        with self.compute(context, need(EXACT, {"predictions": y.size})) as checkpoint:
            losses.mean_squared_error(y, t, checkpoint=checkpoint)
            exact = derivatives.mean_squared_error(y, t, checkpoint=checkpoint)
        return build(
            loss_pb2.MeanSquaredErrorGradientResponse,
            gradient=tensor.fields(exact.tensors["y"]),
            certainty=certainty(exact),
        )

    def CrossEntropyErrorGradient(
        self, request: loss_pb2.CrossEntropyErrorGradientRequest, context: grpc.ServicerContext
    ) -> loss_pb2.CrossEntropyErrorGradientResponse:
        y, t = self._cee(request)
        options = Fields(request).options("delta")
        self.require_room("y", y, y.size)
        with self.compute(context, need(EXACT, {"predictions": y.size})) as checkpoint:
            losses.cross_entropy_error(y, t, checkpoint=checkpoint, **options)
            exact = derivatives.cross_entropy_error(y, t, checkpoint=checkpoint, **options)
        return build(
            loss_pb2.CrossEntropyErrorGradientResponse,
            gradient=tensor.fields(exact.tensors["y"]),
            certainty=certainty(exact),
        )

    def CheckMeanSquaredError(
        self, request: loss_pb2.CheckMeanSquaredErrorRequest, context: grpc.ServicerContext
    ) -> loss_pb2.CheckMeanSquaredErrorResponse:
        y, t = self._mse(request)
        gradient, dtype = (
            {"y": Fields(request).array("gradient")},
            requests.accumulation_type(request.arithmetic),
        )
        with self.compute(context, need(EXACT, {"predictions": y.size})) as checkpoint:
            losses.mean_squared_error(y, t, checkpoint=checkpoint)
            found = closed_form.check_mean_squared_error(
                y, t, gradient, accumulation_dtype=dtype, checkpoint=checkpoint
            )
        return loss_pb2.CheckMeanSquaredErrorResponse(report=report.encode(found))

    def CheckCrossEntropyError(
        self, request: loss_pb2.CheckCrossEntropyErrorRequest, context: grpc.ServicerContext
    ) -> loss_pb2.CheckCrossEntropyErrorResponse:
        y, t = self._cee(request)
        options = Fields(request).options("delta")
        gradient, dtype = (
            {"y": Fields(request).array("gradient")},
            requests.accumulation_type(request.arithmetic),
        )
        with self.compute(context, need(EXACT, {"predictions": y.size})) as checkpoint:
            losses.cross_entropy_error(y, t, checkpoint=checkpoint, **options)
            found = closed_form.check_cross_entropy_error(
                y, t, gradient, accumulation_dtype=dtype, checkpoint=checkpoint, **options
            )
        return loss_pb2.CheckCrossEntropyErrorResponse(report=report.encode(found))


DRAW_WORK = 512
"""Multiply-adds that take as long as drawing one index."""


class MiniBatch(Servicer, mini_batch_pb2_grpc.MiniBatchServiceServicer):
    """MiniBatchService."""

    def Draw(
        self, request: mini_batch_pb2.DrawRequest, context: grpc.ServicerContext
    ) -> mini_batch_pb2.DrawResponse:
        size = request.batch_size
        requests.require_room("batch_size", size, size, self.max_message_bytes)
        with self.compute_if_long(
            context, DRAW_WORK * size, need(VALUE, {"batch_size": size})
        ) as checkpoint:
            chosen = mini_batch.draw(
                request.train_size, size, seed=request.seed, checkpoint=checkpoint
            )
        return build(mini_batch_pb2.DrawResponse, indices=tensor.fields(chosen))


class Server(server_pb2_grpc.ServerServiceServicer):
    """ServerService."""

    def __init__(self, limits: Any, functions: Sequence[str]) -> None:
        self.limits = limits
        self.functions = functions

    def GetServerInfo(
        self, request: server_pb2.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> server_pb2.GetServerInfoResponse:
        return server_pb2.GetServerInfoResponse(
            version=version.installed(),
            limits=self.limits,
            functions=self.functions,
            numpy_version=np.__version__,
            blas=blas_name(),
            blas_threads=single_threaded_blas().threads(),
            flint_version=importlib.metadata.version("python-flint"),
            python_version=platform.python_version(),
            operators=encode_operators(request.described),
        )
