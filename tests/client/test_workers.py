"""f is evaluated by workers, in whatever form they come, and nothing else changes."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import gradient_oracle
import numpy as np
import pytest

SPAWN = multiprocessing.get_context("spawn")
X = {"W": np.linspace(-1, 1, 12).reshape(3, 4), "b": np.array([0.5, -0.25])}


def f(p):
    return np.sum(np.sin(p["W"]) * p["W"]) + np.sum(p["b"] ** 3)


def gradient(p):
    return {"W": np.sin(p["W"]) + p["W"] * np.cos(p["W"]), "b": 3 * p["b"] ** 2}


def wrong(p):
    claimed = gradient(p)
    claimed["W"][1, 2] *= 1.5
    return claimed


@pytest.fixture(params=["two", "all", "threads", "processes", "pool", "map", "dask"])
def workers(request):
    """Return workers of each kind."""
    if request.param == "two":
        yield 2
    elif request.param == "all":
        yield -1
    elif request.param == "map":
        yield map
    elif request.param == "threads":
        with ThreadPoolExecutor(3) as executor:
            yield executor
    elif request.param == "processes":
        with ProcessPoolExecutor(2, mp_context=SPAWN) as executor:
            yield executor
    elif request.param == "pool":
        with SPAWN.Pool(2) as pool:
            yield pool.map
    else:
        distributed = pytest.importorskip("distributed")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client.get_executor()


@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(180)
def test_every_result_is_the_same_bits_with_workers(embedded, workers):
    """The points and their order do not depend on who evaluates them."""
    for claimed, verdict in ((gradient(X), "pass"), (wrong(X), "fail")):
        alone = embedded.check_gradient(f, X, claimed)
        assert alone.verdict == verdict
        assert embedded.check_gradient(f, X, claimed, workers=workers).message == alone.message
    alone = embedded.numerical_gradient(f, X)
    shared = embedded.numerical_gradient(f, X, workers=workers)
    assert all(shared[name].tobytes() == alone[name].tobytes() for name in X)
    end = embedded.gradient_descent(f, X, step_num=2, workers=workers)
    assert end["W"].tobytes() == embedded.gradient_descent(f, X, step_num=2)["W"].tobytes()


@pytest.mark.parametrize("claimed", [gradient, wrong])
def test_a_stack_of_points_is_the_same_bits(oracle, claimed):
    """`vectorized` hands over every point of an ask at once."""
    sizes = []

    def stacked(p):
        sizes.append(len(p["W"]))
        values = [f({"W": W, "b": b}) for W, b in zip(p["W"], p["b"], strict=True)]
        return np.array(values)

    alone = oracle.check_gradient(f, X, claimed(X), name="g")
    together = oracle.check_gradient(stacked, X, claimed(X), name="g", vectorized=True)
    assert together.message == alone.message
    assert max(sizes) > 10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_of_the_values_is_that_of_f_with_workers_too(embedded, dtype):
    """It is taken to be that of x before f has said anything; then the conversation begins anew."""
    x = {name: array.astype(np.float32) for name, array in X.items()}
    claimed = {name: array.astype(np.float32) for name, array in gradient(x).items()}

    def typed(p):
        return dtype(f({name: array.astype(dtype) for name, array in p.items()}))

    calls = []

    def counted(p):
        calls.append(1)
        return typed(p)

    alone = embedded.check_gradient(typed, x, claimed, name="f")
    together = embedded.check_gradient(counted, x, claimed, name="f", workers=map)
    assert together.message == alone.message
    assert len(calls) <= alone.measurement.evaluations + 50 * (dtype is np.float64)


def test_a_stack_with_a_point_outside_is_evaluated_one_by_one(embedded):
    """Which of them is outside, only f at each tells."""

    def stacked(x):
        if (x <= 0).any():
            raise gradient_oracle.OutsideDomain("below 0")
        return np.log(x[:, 0]) + x[:, 1]

    def single(x):
        return stacked(x[None])[0]

    x, claimed = np.array([1e-6, 1.0]), np.array([1e6, 1.0])
    alone = embedded.check_gradient(single, x, claimed, name="log")
    together = embedded.check_gradient(stacked, x, claimed, name="log", vectorized=True)
    assert together.message == alone.message


def test_workers_work_at_the_same_time(embedded):
    """With sixteen, the first ask already has sixteen evaluations in flight."""
    calls, meeting = itertools.count(), threading.Barrier(16)

    def counted(p):
        if 1 <= next(calls) <= 16:
            meeting.wait(20)
        return f(p)

    with ThreadPoolExecutor(16) as executor:
        assert embedded.check_gradient(counted, X, gradient(X), workers=executor).passed


def dies(p):
    if p["W"][0, 0] != X["W"][0, 0]:
        os.kill(os.getpid(), signal.SIGSEGV)
    return f(p)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["int", "processes", "pool"])
def test_an_f_that_dies_in_a_worker_is_an_error_that_names_the_point(embedded, kind):
    """Neither a hang nor the end of the process that checks."""
    with ProcessPoolExecutor(2, mp_context=SPAWN) as executor, SPAWN.Pool(2) as pool:
        workers = {"int": 2, "processes": executor, "pool": pool.map}[kind]
        with pytest.raises(gradient_oracle.WorkerFailed) as caught:
            embedded.check_gradient(dies, X, gradient(X), workers=workers)
    assert "at x with all entries of `W` moved by" in str(caught.value)
    assert kind != "int" or "SIGSEGV" in str(caught.value)


class Odd(Exception):
    """One that no other process can read."""

    def __init__(self, one, other):
        super().__init__(f"{one} {other}")


def raises(p):
    if p["W"][0, 0] > X["W"][0, 0]:
        raise ZeroDivisionError("by f")
    return f(p)


@pytest.mark.parametrize("workers", [1, 2, map])
def test_an_exception_in_a_worker_comes_out_as_itself_and_says_where(embedded, workers):
    with pytest.raises(ZeroDivisionError, match="by f") as caught:
        embedded.check_gradient(raises, X, gradient(X), workers=workers)
    notes = "\n".join(caught.value.__notes__)
    assert "of f, at x with all entries of `W` moved by" in notes
    assert "gradient_oracle.OutsideDomain" in notes


def test_an_exception_that_cannot_travel_keeps_its_words(embedded):
    def odd(_):
        raise Odd("what", "else")

    with pytest.raises(RuntimeError, match="Odd: what else"):
        embedded.check_gradient(odd, X, gradient(X), workers=2)


def test_an_f_outside_of_its_domain_says_so_from_a_worker(embedded):
    def outside(_):
        raise gradient_oracle.OutsideDomain("nowhere")

    report = embedded.check_gradient(outside, X, gradient(X), workers=2)
    assert (report.verdict, report.reason) == ("inconclusive", "domain")


@pytest.mark.parametrize(
    ("options", "argument", "message"),
    [
        ({"workers": 0}, "workers", "-1 for all cores, got 0"),
        ({"workers": -2}, "workers", "be between -1 and"),
        ({"workers": "many"}, "workers", "be an integer"),
        ({"workers": 2, "vectorized": True}, "workers", "be left out with vectorized=True"),
        ({"workers": 2, "in_place": True}, "workers", "be left out with in_place=True"),
        ({"workers": lambda *_: []}, "workers", "be like map, got 0 results of"),
        ({"vectorized": True}, "f", "return a value for each of"),
        ({"vectorized": True, "jac": True}, "jac", "be left out with vectorized=True"),
    ],
)
def test_workers_that_cannot_be_are_named(embedded, options, argument, message):
    claimed = {} if "jac" in options else {"gradient": gradient(X)}
    with pytest.raises(gradient_oracle.InvalidRequest, match=message) as caught:
        embedded.check_gradient(f, X, **claimed, **options)
    assert caught.value.argument == argument


def test_an_executor_that_is_shut_down_is_named(embedded):
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(gradient_oracle.InvalidRequest, match="an executor that takes work"):
        embedded.check_gradient(f, X, gradient(X), workers=executor)


def test_a_function_that_cannot_travel_is_named(embedded):
    lock = threading.Lock()
    with pytest.raises(
        gradient_oracle.InvalidRequest, match="another process can be sent"
    ) as caught:
        embedded.check_gradient(lambda p: f(p) if lock else 0.0, X, gradient(X), workers=2)
    assert "workers=ThreadPoolExecutor" in str(caught.value)


def test_an_f_that_hangs_in_workers_is_left_at_the_deadline(embedded):
    """And its processes end with it."""
    with pytest.raises(gradient_oracle.DeadlineExceeded):
        embedded.check_gradient(lambda _: time.sleep(600), X, gradient(X), workers=2, timeout=3)


def test_a_program_without_a_guard_may_use_workers():
    """Its own lines are not run again in each worker, as `multiprocessing` would."""
    program = (
        "import gradient_oracle, numpy as np\n"
        "print('once', flush=True)\n"
        "k = 2.0\n"
        "f = lambda x: k * np.sum(x ** 2)\n"
        "with gradient_oracle.embedded() as oracle:\n"
        "    print(oracle.check_gradient(f, np.ones(5), 4 * np.ones(5), workers=2).verdict)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("once\npass\n", "")
