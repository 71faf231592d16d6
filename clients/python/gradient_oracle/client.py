"""The client over a gRPC channel, to a server elsewhere or in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np

from gradient_oracle import black_box, errors, trees
from oracle.gradcheck.v1 import activation_pb2 as activation_pb
from oracle.gradcheck.v1 import activation_pb2_grpc as activation_grpc
from oracle.gradcheck.v1 import loss_pb2 as loss_pb
from oracle.gradcheck.v1 import loss_pb2_grpc as loss_grpc
from oracle.gradcheck.v1 import mini_batch_pb2 as batch_pb
from oracle.gradcheck.v1 import mini_batch_pb2_grpc as batch_grpc
from oracle.gradcheck.v1 import self_test_pb2 as self_test_pb
from oracle.gradcheck.v1 import self_test_pb2_grpc as self_test_grpc
from oracle.gradcheck.v1 import server_pb2 as server_pb
from oracle.gradcheck.v1 import server_pb2_grpc as server_grpc
from oracle.gradcheck.v1 import simple_net_pb2 as simple_pb
from oracle.gradcheck.v1 import simple_net_pb2_grpc as simple_grpc
from oracle.gradcheck.v1 import two_layer_net_pb2 as net_pb
from oracle.gradcheck.v1 import two_layer_net_pb2_grpc as net_grpc
from oracle.gradcheck.v1.report_pb2 import CandidateArithmetic
from oracle.gradcheck.v1.tensor_pb2 import Targets
from oracle.reporting import machine, text
from oracle.values import DELTA, STEP, SelfTest
from oracle.wire import report as wire_report
from oracle.wire import self_test as wire_self_test
from oracle.wire import tensor

NAMES = ("W1", "b1", "W2", "b2")


class Report:
    """The answer of a check: `oracle.values.Report`, readable and assertable."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["value"], name)

    @property
    def passed(self) -> bool:
        """Whether the verdict is "pass"."""
        return bool(self.value.verdict == "pass")

    def __str__(self) -> str:
        return text.render(self.value)

    def to_json(self) -> str:
        """Return the report for machines."""
        return machine.to_json(self.value)

    def raise_for_failure(self) -> None:
        """Raise an AssertionError with the report's text unless the verdict is "pass"."""
        if not self.passed:
            raise AssertionError(str(self))


def _tensor(value: Any) -> Any:
    try:
        return tensor.encode(trees.to_numpy(value))
    except tensor.MalformedTensor as error:
        raise errors.InvalidRequest(str(error)) from None


def _targets(t: Any) -> Any:
    array = trees.to_numpy(t)
    return Targets(**{"labels" if array.dtype.kind in "iu" else "probabilities": _tensor(array)})


def _parameters(params: Any) -> Any:
    present = {name.lower(): _tensor(params[name]) for name in NAMES if name in params}
    return net_pb.TwoLayerNetParameters(**present)


def _arrays(message: Any) -> dict[str, Any]:
    return {name: _array(getattr(message, name.lower())) for name in NAMES}


def _array(message: Any) -> Any:
    return np.array(tensor.decode(message))


def _arithmetic(dtype: str | None) -> Any:
    return dtype and CandidateArithmetic(accumulation_data_type=tensor.encode_data_type(dtype))


class Trained(dict[str, Any]):
    """Trained parameters by name, with the last step and loss."""

    step = 0
    loss = float("nan")


class Oracle:
    """The document's functions, exact gradients, and checks."""

    def __init__(self, address: str, timeout: float = 600.0, server: Any = None) -> None:
        limit = 64 * 2**20
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", limit),
        ]
        if address.startswith(("127.", "localhost:", "[::1]")):
            options.append(("grpc.enable_http_proxy", 0))
        self.channel = grpc.insecure_channel(address, options)
        self.address, self.timeout, self._server = address, timeout, server
        self.simple_net, self.two_layer_net = SimpleNet(self), TwoLayerNet(self)
        self._stub = loss_grpc.LossServiceStub(self.channel)

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel and stop a server of one's own."""
        self.channel.close()
        if self._server is not None:
            self._server.stop()

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise errors.from_call(error) from None

    def info(self) -> Any:
        stub = server_grpc.ServerServiceStub(self.channel)
        return self._call(stub.GetServerInfo, server_pb.GetServerInfoRequest())

    def sigmoid(self, a: Any) -> Any:
        stub = activation_grpc.ActivationServiceStub(self.channel)
        return _array(
            self._call(stub.Sigmoid, activation_pb.SigmoidRequest(scores=_tensor(a))).activations
        )

    def softmax(self, a: Any) -> Any:
        stub = activation_grpc.ActivationServiceStub(self.channel)
        return _array(
            self._call(stub.Softmax, activation_pb.SoftmaxRequest(scores=_tensor(a))).probabilities
        )

    def mean_squared_error(self, y: Any, t: Any) -> float:
        request = loss_pb.MeanSquaredErrorRequest(predictions=_tensor(y), targets=_tensor(t))
        return float(self._call(self._stub.MeanSquaredError, request).error)

    def cross_entropy_error(self, y: Any, t: Any, delta: float = DELTA) -> float:
        request = loss_pb.CrossEntropyErrorRequest(
            predictions=_tensor(y), targets=_targets(t), delta=delta
        )
        return float(self._call(self._stub.CrossEntropyError, request).error)

    def mini_batch(self, train_size: int, batch_size: int, seed: int = 0) -> Any:
        request = batch_pb.DrawRequest(train_size=train_size, batch_size=batch_size, seed=seed)
        return _array(
            self._call(batch_grpc.MiniBatchServiceStub(self.channel).Draw, request).indices
        )

    def check_mean_squared_error(
        self, y: Any, t: Any, gradient: Any, accumulation_dtype: str | None = None
    ) -> Report:
        request = loss_pb.CheckMeanSquaredErrorRequest(
            predictions=_tensor(y),
            targets=_tensor(t),
            gradient=_tensor(gradient),
            arithmetic=_arithmetic(accumulation_dtype),
        )
        return Report(
            wire_report.decode(self._call(self._stub.CheckMeanSquaredError, request).report)
        )

    def check_cross_entropy_error(
        self,
        y: Any,
        t: Any,
        gradient: Any,
        delta: float = DELTA,
        accumulation_dtype: str | None = None,
    ) -> Report:
        request = loss_pb.CheckCrossEntropyErrorRequest(
            predictions=_tensor(y),
            targets=_targets(t),
            gradient=_tensor(gradient),
            delta=delta,
            arithmetic=_arithmetic(accumulation_dtype),
        )
        return Report(
            wire_report.decode(self._call(self._stub.CheckCrossEntropyError, request).report)
        )

    def check_simple_net(
        self,
        W: Any,
        x: Any,
        t: Any,
        gradient: Any,
        delta: float = DELTA,
        accumulation_dtype: str | None = None,
    ) -> Report:
        request = simple_pb.SimpleNetServiceCheckGradientRequest(
            weights=_tensor(W),
            inputs=_tensor(x),
            targets=_targets(t),
            gradient=_tensor(gradient),
            delta=delta,
            arithmetic=_arithmetic(accumulation_dtype),
        )
        return Report(
            wire_report.decode(self._call(self.simple_net.stub.CheckGradient, request).report)
        )

    def check_two_layer_net(
        self,
        params: Any,
        x: Any,
        t: Any,
        gradient: Any,
        delta: float = DELTA,
        accumulation_dtype: str | None = None,
    ) -> Report:
        request = net_pb.TwoLayerNetServiceCheckGradientRequest(
            parameters=_parameters(params),
            inputs=_tensor(x),
            targets=_targets(t),
            gradient=_parameters(gradient),
            delta=delta,
            arithmetic=_arithmetic(accumulation_dtype),
        )
        return Report(
            wire_report.decode(self._call(self.two_layer_net.stub.CheckGradient, request).report)
        )

    def self_test(
        self,
        *,
        batch_size: int = 5,
        input_size: int = 11,
        hidden_size: int = 7,
        output_size: int = 3,
        dtype: str = "float64",
        weight_scale: float = 1.0,
        seed: int = 0,
    ) -> SelfTest:
        """Run known wrong and known correct gradients through the oracle's own verdict.

        Parameters
        ----------
        batch_size, input_size, hidden_size, output_size : int
            N, D, H and K, at least 1.
        dtype : str
            The arithmetic of the gradients: "float64" or "float32".
        weight_scale : float
            Weights and biases are uniform in [-weight_scale, weight_scale).
        seed : int
            Seed of the numbers.

        Returns
        -------
        SelfTest
            `wrong`, `detected`, `named`, `misnamed`, `correct`, `false_alarms`, and the `rows`.

        Raises
        ------
        OracleError
            If the server refuses, or does not answer.
        """
        try:
            data_type = tensor.encode_data_type(dtype)
        except tensor.MalformedTensor as error:
            raise errors.InvalidRequest(str(error)) from None
        request = self_test_pb.RunSelfTestRequest(
            batch_size=batch_size,
            input_size=input_size,
            hidden_size=hidden_size,
            output_size=output_size,
            data_type=data_type,
            seed=seed,
            weight_scale=weight_scale,
        )
        stub = self_test_grpc.SelfTestServiceStub(self.channel)
        return wire_self_test.decode(self._call(stub.RunSelfTest, request))

    def _ask(self, name: str, *args: Any, **options: Any) -> Any:
        try:
            return getattr(black_box, name)(self, *args, **options)
        except grpc.RpcError as error:
            raise errors.from_call(error) from None

    def check_gradient(self, f: Any, x: Any, gradient: Any, **options: Any) -> Report:
        return Report(self._ask("check_gradient", f, x, gradient, **options))

    def check_jvp(self, *args: Any, **options: Any) -> Report:
        return Report(self._ask("check_jvp", *args, **options))

    def numerical_gradient(self, f: Any, x: Any, h: float = STEP, **options: Any) -> Any:
        return self._ask("numerical_gradient", f, x, h, **options)

    def gradient_descent(self, f: Any, init_x: Any, **options: Any) -> Any:
        return self._ask("gradient_descent", f, init_x, **options)


class SimpleNet:
    """The document's one-layer net."""

    def __init__(self, oracle: Oracle) -> None:
        self.call, self.stub = oracle._call, simple_grpc.SimpleNetServiceStub(oracle.channel)

    def predict(self, W: Any, x: Any) -> Any:
        return _array(
            self.call(
                self.stub.Predict,
                simple_pb.SimpleNetServicePredictRequest(weights=_tensor(W), inputs=_tensor(x)),
            ).scores
        )

    def loss(self, W: Any, x: Any, t: Any, **o: Any) -> float:
        return float(
            self.call(
                self.stub.Loss,
                simple_pb.SimpleNetServiceLossRequest(
                    weights=_tensor(W), inputs=_tensor(x), targets=_targets(t), **o
                ),
            ).loss
        )

    def gradient(self, W: Any, x: Any, t: Any, **o: Any) -> Any:
        return _array(
            self.call(
                self.stub.Gradient,
                simple_pb.SimpleNetServiceGradientRequest(
                    weights=_tensor(W), inputs=_tensor(x), targets=_targets(t), **o
                ),
            ).gradient
        )

    def numerical_gradient(self, W: Any, x: Any, t: Any, h: float = STEP, **o: Any) -> Any:
        return _array(
            self.call(
                self.stub.NumericalGradient,
                simple_pb.SimpleNetServiceNumericalGradientRequest(
                    weights=_tensor(W), inputs=_tensor(x), targets=_targets(t), step=h, **o
                ),
            ).gradient
        )


class TwoLayerNet:
    """The document's two-layer net."""

    def __init__(self, oracle: Oracle) -> None:
        self.call, self.stub = oracle._call, net_grpc.TwoLayerNetServiceStub(oracle.channel)

    def _inputs(self, params: Any, x: Any, t: Any) -> dict[str, Any]:
        return {"parameters": _parameters(params), "inputs": _tensor(x), "targets": _targets(t)}

    def init(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        seed: int = 0,
    ) -> Any:
        return _arrays(
            self.call(
                self.stub.Initialize,
                net_pb.InitializeRequest(
                    input_size=input_size,
                    hidden_size=hidden_size,
                    output_size=output_size,
                    weight_init_std=weight_init_std,
                    seed=seed,
                ),
            ).parameters
        )

    def predict(self, params: Any, x: Any) -> Any:
        return _array(
            self.call(
                self.stub.Predict,
                net_pb.TwoLayerNetServicePredictRequest(
                    parameters=_parameters(params), inputs=_tensor(x)
                ),
            ).probabilities
        )

    def loss(self, params: Any, x: Any, t: Any, **o: Any) -> float:
        return float(
            self.call(
                self.stub.Loss,
                net_pb.TwoLayerNetServiceLossRequest(**self._inputs(params, x, t), **o),
            ).loss
        )

    def accuracy(self, params: Any, x: Any, t: Any) -> float:
        return float(
            self.call(
                self.stub.Accuracy, net_pb.AccuracyRequest(**self._inputs(params, x, t))
            ).accuracy
        )

    def gradient(self, params: Any, x: Any, t: Any, **o: Any) -> Any:
        return _arrays(
            self.call(
                self.stub.Gradient,
                net_pb.TwoLayerNetServiceGradientRequest(**self._inputs(params, x, t), **o),
            ).gradient
        )

    def numerical_gradient(self, params: Any, x: Any, t: Any, h: float = STEP, **o: Any) -> Any:
        return _arrays(
            self.call(
                self.stub.NumericalGradient,
                net_pb.TwoLayerNetServiceNumericalGradientRequest(
                    **self._inputs(params, x, t), step=h, **o
                ),
            ).gradient
        )

    def probe(self, variant: str = "standard", dtype: str = "float64", seed: int = 0) -> Any:
        number = net_pb.ProbeVariant.Value(f"PROBE_VARIANT_{variant.upper()}")
        m = self.call(
            self.stub.Probe,
            net_pb.ProbeRequest(
                variant=number, data_type=tensor.encode_data_type(dtype), seed=seed
            ),
        )
        return SimpleNamespace(
            params=_arrays(m.parameters), x=_array(m.inputs), labels=_array(m.labels)
        )

    def train(
        self,
        params: Any,
        x: Any,
        t: Any,
        step_num: int = 100,
        batch_size: int = 100,
        lr: float = 0.1,
        seed: int = 0,
        method: str = "numerical",
        **o: Any,
    ) -> Iterator[Any]:
        number = net_pb.GradientMethod.Value(f"GRADIENT_METHOD_{method.upper()}")
        call = self.stub.Train(
            net_pb.TrainRequest(
                **self._inputs(params, x, t),
                step_num=step_num,
                batch_size=batch_size,
                learning_rate=lr,
                seed=seed,
                method=number,
                **o,
            )
        )
        try:
            for event in call:
                if event.HasField("progress"):
                    p = event.progress
                    yield SimpleNamespace(step=p.steps_done, step_num=p.step_num, loss=p.loss)
                else:
                    trained = Trained(_arrays(event.result.parameters))
                    trained.step, trained.loss = event.result.steps_done, event.result.loss
                    yield trained
        except grpc.RpcError as error:
            raise errors.from_call(error) from None
        finally:
            call.cancel()


def connect(address: str | None = None, timeout: float = 600.0) -> Oracle:
    """Return a client of an existing server."""
    return Oracle(address or os.environ.get("GRADIENT_ORACLE_ADDRESS", "127.0.0.1:50051"), timeout)


def embedded() -> Oracle:
    """Return a client of a real server on a free loopback port, in this process."""
    from oracle.service.server import Server, Settings  # noqa: PLC0415 - a client needs no server

    server = Server(Settings("127.0.0.1:0"))
    server.start()
    return Oracle(server.address, server=server)
