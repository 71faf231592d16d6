"""Functions that stay with the caller, asked over a real socket."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from concurrent import futures
from importlib.metadata import version
from types import MappingProxyType

import grpc
import numpy as np
import pytest
from gradient_oracle import black_box, claims, differences, points, products, trees
from gradient_oracle.called import Called, OutsideDomain
from gradient_oracle.errors import InvalidRequest, ServerFailure
from gradient_oracle.evaluation import Evaluator
from gradient_oracle.journal import Journal
from gradient_oracle.training import Trained
from gradient_oracle.transport import Connection
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1 import black_box_pb2_grpc
from oracle.service.black_box import BlackBoxServicer
from oracle.splitmix import positive_signs


def serve(port=0):
    """Start a server that knows nothing of any earlier one; return it and its port."""
    server = grpc.server(futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    black_box_pb2_grpc.add_BlackBoxServiceServicer_to_server(BlackBoxServicer(), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, bound


@pytest.fixture(scope="module")
def client():
    """Return a client of a server on a free port."""
    server, port = serve()
    connection = Connection(f"127.0.0.1:{port}")
    yield connection
    connection.close()
    server.stop(0).wait()


def literal_gradient(f, x, h=1e-4):
    """Return the document's loop, over the flat entries of a copy of x."""
    x = x.copy()
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + h
        above = f(x)
        x[index] = kept - h
        below = f(x)
        gradient[index] = (above - below) / (2 * h)
        x[index] = kept
    return gradient


def smooth(x):
    """Return a sum that keeps the type of x."""
    return np.sum(np.sin(x) * x)


@pytest.mark.parametrize("transport", ["stream", "unary"])
@pytest.mark.parametrize(
    ("dtype", "h"), [(np.float64, 1e-4), (np.float32, 1e-4), (np.float16, 2**-5)]
)
@settings(max_examples=5)
@given(seed=st.integers(0, 1000), shape=st.sampled_from([(), (1,), (3, 50), (0, 2)]))
def test_the_remote_numerical_gradient_is_the_local_loop(
    client, transport, dtype, h, *, seed, shape
):
    """Points and differences are rounded in the same types, so the bits are the same."""
    x = np.array(np.random.default_rng(seed).normal(size=shape), dtype)
    remote = differences.numerical_gradient(client, smooth, x, h=h, transport=transport)
    assert remote.dtype == dtype
    assert remote.tobytes() == literal_gradient(smooth, x, h).tobytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_remote_descent_is_the_local_one(client, dtype):
    """Every step is the same subtraction in the same type; the trajectory holds each x."""
    start = np.array([-3, 4], dtype)
    x = start.copy()
    for _ in range(20):
        x -= 0.1 * literal_gradient(smooth, x)
    end, trajectory = differences.gradient_descent(
        client, smooth, start, lr=0.1, step_num=20, return_trajectory=True
    )
    assert end.tobytes() == x.tobytes()
    assert len(trajectory) == 21
    assert trajectory[0].tolist() == start.tolist() == [-3, 4]


@pytest.mark.parametrize("transport", ["stream", "unary"])
def test_an_x_of_any_size_comes_back(client, transport):
    """From 64 KiB on, the data of other messages are views, which these do not take."""
    x = np.linspace(-1, 1, 8192)

    def first_square(x):
        return x[0] * x[0]

    gradient = differences.numerical_gradient(client, first_square, x, h=0.5, transport=transport)
    end = differences.gradient_descent(
        client, first_square, x, lr=0.5, step_num=1, h=0.5, transport=transport
    )
    assert gradient.tolist() == [-2.0] + [0.0] * 8191
    assert end.tolist() == [0.0, *x[1:]]


@pytest.mark.parametrize("transport", ["stream", "unary"])
@pytest.mark.parametrize("in_place", [False, True])
def test_an_exception_of_f_comes_out_as_itself_and_x_is_restored(client, transport, in_place):
    """The caller debugs its own function, with its own traceback, and its own x."""

    class Broken(Exception):
        pass

    x = np.arange(5.0)
    calls = iter(range(10))

    def f(x):
        if next(calls) == 7:
            raise Broken
        return np.sum(x)

    with pytest.raises(Broken):
        differences.numerical_gradient(client, f, x, transport=transport, in_place=in_place)
    assert x.tolist() == [0, 1, 2, 3, 4]


def test_a_unary_session_outlives_its_server():
    """The session is in the token, so a server that was just started goes on with it."""
    server, port = serve()
    x = np.arange(300.0)
    calls = 0

    def f(x):
        nonlocal calls, server
        calls += 1
        if calls == 300:
            server.stop(0).wait()
            server, _ = serve(port)
        return np.sum(x * x)

    connection = Connection(f"127.0.0.1:{port}")
    remote = differences.numerical_gradient(connection, f, x, transport="unary")
    connection.close()
    server.stop(0).wait()
    assert remote.tobytes() == literal_gradient(lambda x: np.sum(x * x), x).tobytes()


def test_a_torch_tree_stays_torch(client):
    """f takes and returns what the caller's own f does; integer tensors are held fixed."""
    torch = pytest.importorskip("torch")
    x = {"W": torch.arange(6.0).reshape(2, 3), "rest": [torch.ones(2), torch.arange(2)]}
    before = x["W"].clone()
    gradient = differences.numerical_gradient(client, lambda p: (p["W"] * 2).sum(), x)
    assert torch.allclose(gradient["W"], torch.full((2, 3), 2.0), atol=0.1)
    assert gradient["rest"][1].tolist() == [0, 0]
    assert torch.equal(x["W"], before)


@given(seed=st.integers(0, 2**64 - 1), step=st.sampled_from([1e-3, -0.5, 1e-9]))
def test_the_predicted_change_is_that_of_the_point_that_the_type_holds(seed, step):
    """In float32 x + step is rounded; the prediction uses what is left of the step."""
    x = np.linspace(-2, 2, 150, dtype=np.float32)
    point = points.Point(Called(lambda x: x.astype(float).sum()), x)
    gradient = claims.Gradient(np.ones(150, np.float32), point)
    move = claims.SignMove(pb.Probe(tensor=0, begin=3, end=140, seed=seed, step=step), gradient)
    Evaluator(point, Journal())([move])
    moved = x.astype(float)
    moved[3:140] += np.where(positive_signs(seed, 3, 140), step, -step)
    change = moved.astype(np.float32).astype(float) - x
    assert move.predicted == pytest.approx(change.sum(), abs=1e-12)
    assert move.largest == np.abs(change).max()
    assert point.scratch[0].tobytes() == x.tobytes()


def test_a_point_outside_the_domain_is_said_in_band():
    """OutsideDomain, NaN and infinity are facts about f, not failures of the conversation."""

    def f(x):
        if x[0] > 1:
            raise OutsideDomain("above 1")
        return np.nan

    point = points.Point(Called(f), np.ones(1))
    gradient = claims.Gradient(np.ones(1), point)
    evaluate = Evaluator(point, Journal())
    for step, said in ((0.5, "above 1"), (-0.5, "f is nan"), (0.0, "f is nan")):
        probe = pb.Probe(begin=0, end=1, step=step if positive_signs(0, 0, 1)[0] else -step)
        move = claims.SignMove(probe, gradient)
        assert black_box.encoded([move], evaluate([move]))[0].outside == said


@pytest.mark.parametrize(
    ("x", "gradient", "f", "argument"),
    [
        (np.ones(2, complex), np.ones(2), np.sum, "x"),
        (np.ones(2, int), np.ones(2), np.sum, "x"),
        (np.ones(2), np.ones(2), np.sin, "f"),
    ],
)
def test_what_cannot_be_checked_is_named(client, x, gradient, f, argument):
    """A wrong call is an error with the name of the argument, before anything is sent."""
    with pytest.raises(InvalidRequest) as caught:
        black_box.check_gradient(client, f, x, gradient)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("x", "gradient", "kind", "tensor"),
    [
        (np.ones(2), np.ones(3), "shape_mismatch", "x"),
        (np.ones((2, 1)), np.ones(2), "shape_mismatch", "x"),
        (np.ones(2), np.ones(()), "shape_mismatch", "x"),
        (np.ones(2), [np.nan, 1.0], "not_finite", "x"),
        (np.ones(2), None, "missing_tensor", "x"),
        ({"a": np.ones(2), "b": np.ones(1)}, {"a": np.ones(2)}, "missing_tensor", "b"),
        ([np.ones(2), None], [None, None], "missing_tensor", "[0]"),
    ],
)
def test_a_gradient_that_does_not_fit_fails_without_an_evaluation(
    client, x, gradient, kind, tensor
):
    """It is wrong whatever f is, and the report says why."""
    report = black_box.check_gradient(client, lambda _: 0.0, x, gradient)
    assert report.verdict == "fail"
    assert [(n.kind.value, n.tensor) for n in report.findings] == [(kind, tensor)]
    assert report.value.measurement.evaluations == 0
    assert "inf" not in str(report)


def outside(_):
    """Say that f is defined nowhere."""
    raise OutsideDomain("nowhere")


@pytest.mark.parametrize("f", [outside, lambda _: np.nan])
def test_an_x_outside_the_domain_is_inconclusive_however_it_is_said(client, f):
    """Raising OutsideDomain and returning NaN mean the same, at x as beside it."""
    report = black_box.check_gradient(client, f, np.ones(2), np.ones(2))
    assert (report.verdict, report.reason) == ("inconclusive", "domain")


@pytest.mark.parametrize(
    ("x", "places"),
    [
        ({1: np.ones(2), "1": np.ones(2)}, "[1] and ['1'], both `1`"),
        ({"a.b": np.ones(2), "a": {"b": np.ones(2)}}, "['a.b'] and ['a']['b'], both `a.b`"),
        ({"a": [np.ones(2)], "a[0]": np.ones(2)}, "['a'][0] and ['a[0]'], both `a[0]`"),
    ],
)
@pytest.mark.parametrize(
    "method",
    [black_box.check_gradient, differences.numerical_gradient, differences.gradient_descent],
)
def test_two_arrays_of_one_name_are_refused_and_never_confused(client, method, x, places):
    """Tensors are told apart by their paths, in which keys lose their quotes and their nesting."""
    arguments = (x, x) if method is black_box.check_gradient else (x,)
    with pytest.raises(InvalidRequest, match="have another name for each array") as caught:
        method(client, lambda _: 0.0, *arguments)
    assert places in str(caught.value)


def test_one_array_under_two_names_is_not_moved_in_place(client):
    """A step in one would be a step in both, of which the gradients know nothing."""
    tied = np.ones(4)
    for x in ({"a": tied, "b": tied}, {"a": tied[:3], "b": tied[2:]}):
        gradient = {name: 2 * array for name, array in x.items()}

        def f(x):
            return sum(float(np.sum(array**2)) for array in x.values())

        with pytest.raises(InvalidRequest, match="not share memory with `a`"):
            black_box.check_gradient(client, f, x, gradient, in_place=True)
        assert black_box.check_gradient(client, f, x, gradient).verdict == "pass"


def test_the_gradient_of_integers_that_jax_returns_is_none(client):
    """It has a type of no bytes; the integers are held fixed."""
    nothing = np.zeros(2, [("float0", np.void, 0)])
    x = {"a": np.ones(3), "labels": np.arange(2)}
    gradient = {"a": 2 * np.ones(3), "labels": nothing}
    report = black_box.check_gradient(client, lambda x: np.sum(x["a"] ** 2), x, gradient)
    assert report.verdict == "pass"


JACOBIAN = np.random.default_rng(1).normal(size=(7, 4))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("error", [0.0, 0.01])
def test_the_products_with_a_jacobian_are_checked(client, dtype, error):
    """J v, J^T c, and that both are of one Jacobian: each by itself, in the types of its caller."""
    matrix = JACOBIAN.astype(dtype)
    x, v = np.linspace(-1, 1, 4).astype(dtype), np.array([1e3, -2e3, 5e2, 1e3], dtype)
    c = np.arange(1, 8).astype(dtype)

    def f(x):
        return np.sin(matrix @ x)

    J = np.cos(matrix @ x)[:, None] * matrix
    wrong = J.copy()
    wrong[2, 1] += dtype(error) * np.abs(J @ v).max() / 1e3
    verdict = "fail" if error else "pass"
    assert products.check_jvp(client, f, x, v, wrong @ v).verdict == verdict
    wrong[2, 1] = J[2, 1] + dtype(error) * np.abs(J.T @ c).max()
    assert black_box.check_gradient(client, f, x, wrong.T @ c, cotangent=c).verdict == verdict
    for cotangent in (None, c):
        report = products.check_adjoint(
            client, lambda v: J @ v, lambda c: wrong.T @ c, x, cotangent=cotangent
        )
        assert report.verdict == verdict


def test_a_tree_is_rebuilt_as_it_was():
    """Flattening and rebuilding are inverse, whatever is nested."""
    tree = {"a": [np.ones(1), (np.zeros(2), np.ones((2, 2)))], "b": np.ones(())}
    originals = [leaf.original for leaf in trees.flatten(tree)]
    again = trees.rebuild(tree, originals)
    assert again["a"][1][1] is tree["a"][1][1]
    assert again["b"] is tree["b"]


@pytest.mark.parametrize(
    "mapping",
    [
        Trained({"a": np.ones(1)}, 7, 0.5),
        OrderedDict(a=np.ones(1)),
        defaultdict(list, a=np.ones(1)),
        MappingProxyType({"a": np.ones(1)}),
    ],
    ids=lambda mapping: type(mapping).__name__,
)
def test_a_mapping_keeps_its_kind(mapping):
    """The caller's f may use what its own mapping can do."""
    again = trees.rebuild(mapping, [np.zeros(1)])
    assert type(again) is type(mapping)
    assert again["a"] == 0
    assert mapping["a"] == 1


class Odd(black_box_pb2_grpc.BlackBoxServiceServicer):
    """A server that answers a start with whatever it was told to."""

    reply = pb.Reply()

    def Converse(self, turns, _):
        next(turns)
        if self.reply.WhichOneof("say"):
            yield pb.BlackBoxServiceConverseResponse(reply=self.reply)

    def Step(self, _, context):
        context.abort(grpc.StatusCode.INTERNAL, "broken")


@pytest.fixture(scope="module")
def odd():
    """Return the servicer and a connection to it."""
    servicer = Odd()
    server = grpc.server(futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    black_box_pb2_grpc.add_BlackBoxServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    connection = Connection(f"127.0.0.1:{port}")
    yield servicer, connection
    connection.close()
    server.stop(0).wait()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (pb.Reply(), "without a result"),
        (pb.Reply(ask=pb.Ask(probes=[pb.Probe(tensor=1)])), "tensor 1"),
        (pb.Reply(ask=pb.Ask(probes=[pb.Probe(begin=0, end=3)])), "entries 0:3"),
        (
            pb.Reply(result=pb.Result()),
            f"unreadable to version {version('gradient-oracle')} of the cli",
        ),
    ],
)
def test_a_server_that_breaks_the_contract_is_a_server_failure(odd, reply, message):
    """Another implementation may be wrong; the error is still one of the tree."""
    servicer, connection = odd
    servicer.reply = reply
    with pytest.raises(ServerFailure, match=message):
        black_box.check_gradient(connection, np.sum, np.ones(2), np.ones(2))


def test_a_server_that_does_not_know_a_limit_of_time_is_told_apart(odd):
    """It would go on asking for ever, so the limit is not left to it in silence."""
    servicer, connection = odd
    servicer.reply = pb.Reply(ask=pb.Ask(probes=[pb.Probe()]))
    with pytest.raises(ServerFailure, match="does not know max_seconds: it tells no version"):
        black_box.check_gradient(connection, np.sum, np.ones(2), np.ones(2), max_seconds=9)


def test_a_failed_step_is_a_server_failure(odd):
    """The unary transport maps errors as the stream does."""
    with pytest.raises(ServerFailure, match="broken"):
        differences.numerical_gradient(odd[1], np.sum, np.ones(2), transport="unary")


def test_progress_is_told(client):
    """Stage and share, while f is evaluated."""
    told = []
    black_box.check_gradient(
        client, np.sum, np.ones(2), np.ones(2), progress=lambda *said: told.append(said)
    )
    stages, shares = zip(*told, strict=True)
    assert all(stages)
    assert all(0 <= share <= 1 for share in shares)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (
            lambda c: differences.numerical_gradient(c, np.sum, np.ones((2, 3)).T, in_place=True),
            "x",
        ),
        (
            lambda c: black_box.check_gradient(c, np.sin, np.ones(2), np.ones(2), cotangent=[1.0]),
            "cotangent",
        ),
        (lambda c: products.check_jvp(c, np.sin, np.ones(2), np.ones(3), np.ones(2)), "tangent"),
        (lambda c: products.check_jvp(c, np.sin, np.ones(2), np.ones(2), np.ones(3)), "jvp"),
        (
            lambda c: black_box.check_gradient(c, np.sum, [np.inf, 1.0], [1.0, 1.0]),
            "x",
        ),
        (lambda c: black_box.check_gradient(c, np.sum, [1e154, 1.0], [1.0, 1.0]), "x"),
        (lambda c: black_box.check_gradient(c, np.sum, [1.0, 1.0], [1e154, 1.0]), "gradient"),
    ],
)
def test_what_cannot_be_evaluated_is_named(client, call, argument):
    """Before f is moved anywhere."""
    with pytest.raises(InvalidRequest) as caught:
        call(client)
    assert caught.value.argument == argument
