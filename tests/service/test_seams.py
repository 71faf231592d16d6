"""What an operator puts between the server and its callers, and what types know of it."""

from __future__ import annotations

import sys
import textwrap
import threading

import grpc
import pytest

from oracle.gradcheck.v1 import black_box_pb2, black_box_pb2_grpc
from oracle.service.server import Server
from oracle.service.settings import Settings
from tests.service.conftest import Caller
from tests.service.test_black_box import start


class Seen(grpc.ServerInterceptor):
    """Notes each call, and makes a new handler of it, as instrumentations do."""

    def __init__(self):
        self.methods = []
        self.threads = []

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        self.methods.append(details.method)

        def note(request, context):
            self.threads.append(threading.current_thread().name)
            return getattr(handler, name)(request, context)

        kind = "stream" if handler.request_streaming else "unary"
        name = f"{kind}_{'stream' if handler.response_streaming else 'unary'}"
        return getattr(grpc, f"{name}_rpc_method_handler")(
            note, handler.request_deserializer, handler.response_serializer
        )


def test_interceptors_of_the_operator_see_every_call_and_its_threads_stay():
    """One of theirs comes first, and does not move conversations among the short calls."""
    seen = Seen()
    server = Server(Settings("127.0.0.1:0"), interceptors=[seen])
    server.start()
    call = Caller(server)
    assert call.code("LossService/MeanSquaredError") == "INVALID_ARGUMENT"
    stub = black_box_pb2_grpc.BlackBoxServiceStub(call.channel)
    turns = iter([black_box_pb2.BlackBoxServiceConverseRequest(turn=start())])
    assert next(stub.Converse(turns)).reply.WhichOneof("say") == "ask"
    call.channel.close()
    server.stop()
    assert [method.rpartition("/")[2] for method in seen.methods] == [
        "MeanSquaredError",
        "Converse",
    ]
    assert [name.rpartition("_")[0] for name in seen.threads] == [
        "oracle",
        "BlackBoxService/Converse",
    ]


def test_misspelt_fields_of_a_servicer_are_errors_of_types(tmp_path):
    """Of a request, by attribute and by name, and of a response."""
    api = pytest.importorskip("mypy.api")
    servicer = """
        import grpc
        from oracle.gradcheck.v1 import activation_pb2, activation_pb2_grpc
        from oracle.service.requests import Fields
        from oracle.service.servicers import Servicer
        from oracle.wire.message import build

        class Activation(Servicer, activation_pb2_grpc.ActivationServiceServicer):
            def Sigmoid(
                self, request: activation_pb2.SigmoidRequest, context: grpc.ServicerContext
            ) -> activation_pb2.SigmoidResponse:
                request.scoers
                Fields(request).array("scoers")
                return build(activation_pb2.SigmoidResponse, activatons=None)

            def Softmax(
                self, request: activation_pb2.SigmoidRequest, context: grpc.ServicerContext
            ) -> activation_pb2.SoftmaxResponse:
                return build(activation_pb2.SoftmaxResponse, probabilities=None)
    """
    file = tmp_path / "servicer.py"
    file.write_text(textwrap.dedent(servicer))
    cache = ["--cache-dir", str(tmp_path), "--python-executable", sys.executable]
    found, _, _ = api.run([*cache, "--strict", "--hide-error-context", str(file)])
    lines = [line for line in found.splitlines() if line.startswith(str(file)) and "error" in line]
    assert [line.rpartition("[")[2] for line in lines] == [
        "attr-defined]",
        "arg-type]",
        "call-arg]",
        "override]",
    ], found


def test_a_conversation_is_traced_and_a_refused_call_carries_its_code():
    """By the instrumentation of OpenTelemetry, as its own documentation says to use it."""
    otel = pytest.importorskip("opentelemetry.instrumentation.grpc")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    spans = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(sdk.export.SimpleSpanProcessor(spans))
    instrumentor = otel.GrpcInstrumentorServer()
    instrumentor.instrument(tracer_provider=provider)
    try:
        server = Server(Settings("127.0.0.1:0"))
        server.start()
        call = Caller(server)
        assert call.code("LossService/MeanSquaredError") == "INVALID_ARGUMENT"
        stub = black_box_pb2_grpc.BlackBoxServiceStub(call.channel)
        turn = start()
        answers = stub.Converse(iter([black_box_pb2.BlackBoxServiceConverseRequest(turn=turn)]))
        with pytest.raises(grpc.RpcError):
            list(answers)
        call("MiniBatchService/Draw", train_size=3, batch_size=2)
        call.channel.close()
        server.stop()
    finally:
        instrumentor.uninstrument()
    codes = {
        span.name.rpartition("/")[2]: span.attributes["rpc.grpc.status_code"]
        for span in spans.get_finished_spans()
    }
    assert codes == {
        "MeanSquaredError": grpc.StatusCode.INVALID_ARGUMENT.value[0],
        "Converse": grpc.StatusCode.ABORTED.value[0],
        "Draw": 0,
    }
