"""Calls end when nobody waits for them, and long ones hold up no short one."""

from __future__ import annotations

import logging
import threading
import time

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from oracle.gradcheck.v1 import tensor_pb2, two_layer_net_pb2
from oracle.service import nets, servicers
from oracle.service.gate import single_threaded_blas
from oracle.service.server import FUNCTIONS
from oracle.wire import tensor
from tests.service.conftest import LONGEST, describe, request_of

SLOPE, TRAIN = "TwoLayerNetService/NumericalGradient", "TwoLayerNetService/Train"
MEAN_SQUARED_ERROR = {
    "predictions": tensor.encode(np.ones(2)),
    "targets": tensor.encode(np.zeros(2)),
}


def document_net(samples, hidden=50, step=0.1):
    """The document's inputs and classes, with more samples and hidden units where it says so."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (784, hidden), "b1": (hidden,), "w2": (hidden, 10), "b2": (10,)}
    return {
        "parameters": two_layer_net_pb2.TwoLayerNetParameters(
            **{name: tensor.encode(rng.normal(size=shape)) for name, shape in shapes.items()}
        ),
        "inputs": tensor.encode(rng.normal(size=(samples, 784))),
        "targets": tensor_pb2.Targets(labels=tensor.encode(rng.integers(0, 10, samples))),
        "step": step,
    }


LONG = document_net(2000, hidden=2000)
"""Its numerical gradient takes seconds."""


def start(call, method, **fields):
    return call.method(method).future(request_of(method, **fields), timeout=30)


def wait_until(condition, seconds=10.0):
    """Wait until the condition holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it never happened"
        time.sleep(0.002)


def free_slots(call):
    return call.server.gate.slots._value


@pytest.mark.parametrize("stage", ["at once", "in the middle"])
def test_a_cancelled_gradient_frees_its_core_within_100_ms(serve, looks, stage):
    """The computation ends at the first look after its caller left."""
    with serve(compute_slots=1) as call:
        running = start(call, SLOPE, **LONG)
        wait_until(lambda: free_slots(call) == 0)
        time.sleep(0.5 if stage == "in the middle" else 0)
        assert not running.done()
        running.cancel()
        wait_until(lambda: looks.stopped)
        wait_until(lambda: free_slots(call) == 1)
    assert looks.longest() < LONGEST


def test_a_deadline_ends_the_computation_within_100_ms(serve, looks):
    """The caller knows its deadline itself; the server stops computing for nobody."""
    with serve(compute_slots=1) as call:
        # Small and endless: on a loaded machine a large one may not even arrive in time.
        endless = {**document_net(20), "batch_size": 20, "step_num": 10**6}
        assert call.failure(TRAIN, 1.0, **endless).code == "DEADLINE_EXCEEDED"
        wait_until(lambda: looks.stopped)
        wait_until(lambda: free_slots(call) == 1)
    assert looks.longest() < LONGEST


def test_the_server_shortens_a_longer_deadline(serve):
    """max_call_seconds is the server's own deadline, and says so."""
    with serve(max_call_seconds=0.3) as call:
        found = call.failure(SLOPE, **LONG)
        assert (found.code, found.reason) == ("DEADLINE_EXCEEDED", "TIME_OVER")
        assert "max_call_seconds" in found.text


def test_a_cancelled_training_frees_its_core_within_100_ms(serve, looks):
    """Also between two steps and inside of one."""
    with serve(compute_slots=1) as call:
        running = call.method(TRAIN)(request_of(TRAIN, **LONG, batch_size=1000), timeout=30)
        wait_until(lambda: free_slots(call) == 0)
        time.sleep(0.3)
        running.cancel()
        wait_until(lambda: looks.stopped)
        wait_until(lambda: free_slots(call) == 1)
        wait_until(lambda: call.server.gate.streams._value == 32)
    assert looks.longest() < LONGEST


def test_readers_that_never_read_hold_up_nobody(serve):
    """A stream whose caller does not read waits in a pool of its own, without a core."""
    with serve(compute_slots=1, max_streams=2) as call:
        request = request_of(
            TRAIN,
            **document_net(1, step=1e-4),
            step_num=10**6,
            batch_size=1,
            method=two_layer_net_pb2.GRADIENT_METHOD_ANALYTIC,
        )
        streams = [call.method(TRAIN)(request, timeout=30) for _ in range(2)]
        wait_until(lambda: call.server.gate.streams._value == 0)
        assert call("LossService/MeanSquaredError", **MEAN_SQUARED_ERROR).error == 1
        call(SLOPE, **document_net(1))
        with pytest.raises(grpc.RpcError) as caught:
            next(call.method(TRAIN)(request, timeout=5))
        assert describe(caught.value).reason == "OVERLOADED"
        for stream in streams:
            stream.cancel()
        wait_until(lambda: call.server.gate.streams._value == 2)


def test_a_result_that_nobody_reads_is_given_up_when_its_time_is_over(serve):
    """Until then it holds its place, and one training more is refused instead of waiting for it."""
    with serve(max_streams=2, max_call_seconds=1.0) as call:
        # Eight megabytes are more than gRPC takes from a server whose client does not read.
        large = request_of(
            TRAIN,
            **document_net(1, hidden=1300),
            step_num=1,
            batch_size=1,
            method=two_layer_net_pb2.GRADIENT_METHOD_ANALYTIC,
        )
        streams = [call.method(TRAIN)(large, timeout=30) for _ in range(2)]
        wait_until(lambda: call.server.gate.streams._value == 0)
        found = call.failure(TRAIN, 5, **document_net(1), step_num=1, batch_size=1)
        assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        wait_until(lambda: call.server.gate.streams._value == 2)
        for stream in streams:
            with pytest.raises(grpc.RpcError) as caught:
                list(stream)
            assert caught.value.code() is grpc.StatusCode.CANCELLED


def test_overload_is_refused_at_once_and_health_answers(serve):
    """One call computes, one waits, the next is refused; short calls and health go on."""
    with serve(compute_slots=1, max_waiting_calls=1) as call:
        running = [start(call, SLOPE, **LONG) for _ in range(2)]
        wait_until(lambda: call.server.gate.places._value == 0)
        found = call.failure(SLOPE, **document_net(1))
        assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        health = health_pb2_grpc.HealthStub(call.channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == 1
        assert call("LossService/MeanSquaredError", **MEAN_SQUARED_ERROR).error == 1
        assert not running[0].done()
        for item in running:
            item.cancel()
        wait_until(lambda: call.server.gate.places._value == 2)


def test_health_answers_while_every_thread_is_taken(serve, monkeypatch):
    """Health has threads of its own; a server that is busy is not dead."""
    release = threading.Event()
    monkeypatch.setattr(servicers.Loss, "MeanSquaredError", lambda *_: release.wait(20))
    with serve(compute_slots=1, max_waiting_calls=0) as call:
        running = [
            start(call, "LossService/MeanSquaredError", **MEAN_SQUARED_ERROR) for _ in range(20)
        ]
        health = health_pb2_grpc.HealthStub(call.channel)
        for name in ("", "oracle.gradcheck.v1.LossService"):
            request = health_pb2.HealthCheckRequest(service=name)
            assert health.Check(request, timeout=5).status == 1
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=5)
        assert next(watch).status == 1
        watch.cancel()
        release.set()
        for item in running:
            item.exception()


def test_a_stop_tells_the_callers_and_ends_the_computation(serve, looks):
    """UNAVAILABLE is what a client may try again elsewhere."""
    with serve(compute_slots=1) as call:
        running = start(call, SLOPE, **LONG)
        wait_until(lambda: free_slots(call) == 0)
        call.server.stop()
        assert running.code() is grpc.StatusCode.UNAVAILABLE
        wait_until(lambda: looks.stopped)
        wait_until(lambda: free_slots(call) == 1)
    assert looks.longest() < LONGEST


def test_a_graceful_stop_lets_a_running_call_end(serve):
    """Within the grace the answer still arrives."""
    with serve(compute_slots=1) as call:
        running = start(call, SLOPE, **document_net(20))
        wait_until(lambda: free_slots(call) == 0 or running.done())
        call.server.stop(grace=10)
        assert running.code() is grpc.StatusCode.OK


def test_a_server_that_stops_refuses_new_calls_and_says_that_it_does_not_serve(serve):
    """Who asks for its health, or calls, is sent elsewhere while the running calls end."""
    with serve(compute_slots=1) as call:
        running = start(call, SLOPE, **LONG)
        wait_until(lambda: free_slots(call) == 0)
        stop = threading.Thread(target=call.server.stop, kwargs={"grace": 10})
        stop.start()
        health = health_pb2_grpc.HealthStub(call.channel)
        asked = health_pb2.HealthCheckRequest()
        wait_until(lambda: health.Check(asked, timeout=5).status == 2)
        found = call.failure("LossService/MeanSquaredError", **MEAN_SQUARED_ERROR)
        assert (found.code, found.reason) == ("UNAVAILABLE", "SERVER_STOPS")
        running.cancel()
        stop.join(5)
        assert not stop.is_alive()


TEXT = "/etc/passwd of the operator"


class Leak(Exception):
    """An exception of a kind that the map does not know."""


@pytest.mark.parametrize("kind", [Exception, ValueError, Leak, grpc.RpcError, NotImplementedError])
@pytest.mark.parametrize("name", ["MeanSquaredError", "Train"])
def test_the_text_of_an_internal_error_stays_inside(serve, monkeypatch, caplog, kind, name):
    """Only the log has it: the text of an exception may hold a path or another caller's data."""

    def failing(*_):
        raise kind(TEXT)

    owner = nets.TwoLayerNet if name == "Train" else servicers.Loss
    service = "TwoLayerNetService" if name == "Train" else "LossService"
    monkeypatch.setattr(owner, name, failing)
    caplog.set_level(logging.ERROR)
    with serve() as call:
        found = call.failure(f"{service}/{name}")
    assert (found.code, found.reason) == ("INTERNAL", "INTERNAL")
    assert found.text == "internal error; see the server log"
    assert TEXT in caplog.text


def test_info_tells_functions_limits_and_libraries(serve):
    """What a client needs in order not to guess."""
    with serve(max_message_bytes=2**20, compute_slots=3, max_waiting_calls=5) as call:
        info = call("ServerService/GetServerInfo")
    assert tuple(info.functions) == FUNCTIONS
    assert "oracle.gradcheck.v1.LossService/MeanSquaredError" in FUNCTIONS
    assert info.limits.max_message_bytes == 2**20
    assert (info.limits.compute_slots, info.limits.max_waiting_calls) == (3, 5)
    assert info.numpy_version == np.__version__
    assert info.blas_threads == 1


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "Converse" not in name])
def test_every_function_is_implemented(call, name):
    """A method of the contract that nobody wrote would be an internal error."""
    service, method = name.removeprefix("oracle.gradcheck.v1.").split("/")
    # The self-test takes seconds, and on a loaded machine longer than the caller waits.
    assert call.code(f"{service}/{method}") in {"OK", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED"}


def test_blas_has_one_thread_while_anybody_computes():
    """The first to enter sets it, the last to leave restores it, in any order."""
    blas = single_threaded_blas()
    assert blas._inside == 0
    # Another test may have loaded torch, whose OpenMP is none of this.
    libraries = blas._controller.select(user_api="blas")
    before = libraries.info()
    blas.__enter__()
    blas.__enter__()
    blas.__exit__()
    assert {item["num_threads"] for item in libraries.info()} == {1}
    blas.__exit__()
    assert libraries.info() == before


def test_reflection_names_the_services_if_it_is_asked_for(serve):
    """It is an option: a server describes itself only if its owner says so."""
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    with serve(reflection=True) as call:
        stub = reflection_pb2_grpc.ServerReflectionStub(call.channel)
        answer = next(stub.ServerReflectionInfo(iter([question]), timeout=5))
    names = {service.name for service in answer.list_services_response.service}
    assert {"oracle.gradcheck.v1.LossService", "grpc.health.v1.Health"} <= names
    with serve() as call:
        stub = reflection_pb2_grpc.ServerReflectionStub(call.channel)
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.ServerReflectionInfo(iter([question]), timeout=5))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
