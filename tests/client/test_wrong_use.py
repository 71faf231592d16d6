"""Mistakes of the caller of a black box, each one line with its argument; Ctrl-C at any time."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import traceback

import gradient_oracle
import numpy as np
import pytest

X, V = np.linspace(0.1, 1, 3), np.ones(3)
G = np.cos(X)


def f(x):
    """Return a smooth sum."""
    return np.sum(np.sin(x))


async def awaited(x):
    """Sum sines, later."""
    return f(x)


def changing(x):
    """Change the argument, as x *= 2 does in NumPy."""
    x *= 2
    return f(x)


@pytest.mark.parametrize(
    ("call", "argument", "message"),
    [
        (lambda o: o.check_gradient(None, X, G), "f", "be a function, got None"),
        (lambda o: o.numerical_gradient(3, X), "f", "be a function"),
        (lambda o: o.check_gradient(awaited, X, G), "f", "be an ordinary function, got one that"),
        (
            lambda o: o.check_gradient(awaited, X, G, timeout=5.0),
            "f",
            "be an ordinary function, got one that",
        ),
        (lambda o: o.gradient_descent("f", X), "f", "be a function"),
        (lambda o: o.check_jvp(G, X, V, G), "f", "be a function, got a ndarray"),
        (lambda o: o.check_adjoint(G, np.negative, X), "jvp", "be a function"),
        (lambda o: o.check_adjoint(np.negative, G, X), "vjp", "be a function"),
        (lambda o: o.check_gradient(f, X, G, progress=1), "progress", "be a function"),
        (lambda o: o.check_gradient(f, X, G, name=1), "name", "be a str, got a int"),
        (lambda o: o.check_gradient(f, None, G), "x", "got no tensor"),
        (lambda o: o.check_gradient(f, {}, {}), "x", "got no tensor"),
        (lambda o: o.check_gradient(f, np.ones(0), np.ones(0)), "x", "hold an entry"),
        (lambda o: o.check_gradient(f, np.ones(2, int), V), "x", "floating type, got int64"),
        (lambda o: o.gradient_descent(f, np.ones(2, int)), "init_x", "got int64"),
        (lambda o: o.check_gradient(f, [[1.0, 2.0], [3.0]], G), "x[0][0]", "be an array"),
        (lambda o: o.check_gradient(f, "abc", G), "x", "got a str"),
        (lambda o: o.check_gradient(f, X, "abc"), "gradient", "got <U3"),
        (lambda o: o.check_gradient(f, X, G + 1j), "gradient", "got complex128"),
        (lambda o: o.check_gradient(f, X, np.ones(3, int)), "gradient", "in `x`, got int64"),
        (lambda o: o.check_gradient(f, X, [1, 1, 1]), "gradient", "be of a floating type"),
        (lambda o: o.check_gradient(f, {"a": X}, {"a": G > 0}), "gradient", "in `a`, got bool"),
        (lambda o: o.check_gradient(f, {"a": X}, {"a": G, "c": G}), "gradient", "got c"),
        (lambda o: o.check_gradient(f, {"a": X}, {"b": G}), "gradient", "of x, which are a, got b"),
        (
            lambda o: o.check_gradient(changing, X, G),
            "f",
            "must not modify its argument, but it changed x",
        ),
        (lambda o: o.check_gradient(f, [X, X], {"a": G, "b": G}), "gradient", "got a, b"),
        (lambda o: o.numerical_gradient(f, X * np.nan), "x", "be finite, got NaN or infinity"),
        (lambda o: o.numerical_gradient(f, {"a": X * np.inf}), "a", "be finite"),
        (lambda o: o.gradient_descent(f, X * np.nan), "init_x", "`init_x` must be finite"),
        (lambda o: o.gradient_descent(f, {"a": X * np.inf}), "init_x", "`init_x` must be finite"),
        (
            lambda o: o.check_gradient(changing, X.copy(), G, in_place=True),
            "f",
            "must not modify its argument, but it changed x",
        ),
        (
            lambda o: o.check_gradient(lambda x: (f(x), G), X, G),
            "f",
            "got a tuple of 2: return the loss alone, or pass jac=True for (loss, gradient)",
        ),
        (lambda o: o.check_gradient(lambda x: {"loss": f(x)}, X, G), "f", "got a dict of 1"),
        (lambda o: o.check_gradient(f, X + 0j, G), "x", "np.stack([z.real, z.imag], -1)"),
        (lambda o: o.check_gradient(lambda x: f(x) + 0j, X, G), "f", "be real, got complex128"),
        (lambda o: o.check_gradient(f, X), "gradient", "be what f returns with jac=True"),
        (lambda o: o.check_gradient(f, X, G, jac=True), "gradient", "be left out with jac=True"),
        (lambda o: o.check_gradient(f, X, jac=True), "f", "return (value, gradient) for jac=True"),
        (lambda o: o.check_gradient(f, X, lambda _: None), "gradient", "is a `return` missing?"),
        (lambda o: o.check_gradient(lambda _: None, X, G), "f", "got None: is a `return` missing?"),
        (lambda o: o.numerical_gradient(lambda _: 1j, X), "f", "got complex128"),
        (lambda o: o.numerical_gradient(np.sin, X), "f", "return one number"),
        (lambda o: o.check_gradient(np.sin, X, G, cotangent=V * np.nan), "cotangent", "be finite"),
        (lambda o: o.check_jvp(np.sin, X, V * np.inf, G), "tangent", "be finite"),
        (lambda o: o.check_jvp(np.sin, X, None, G), "tangent", "got None"),
        (lambda o: o.check_gradient(f, X, G, seed=1.5), "seed", "be an integer"),
        (lambda o: o.check_gradient(f, X, G, timeout="1"), "timeout", "be a number"),
        (lambda o: o.check_gradient(f, X, G, miss_probability=0), "miss_probability", "between 0"),
        (lambda o: o.check_gradient(f, X, G, max_seconds="1"), "max_seconds", "be a number"),
        (lambda o: o.check_gradient(f, X, G, max_seconds=0), "max_seconds", "be finite and pos"),
        (lambda o: o.check_jvp(np.sin, X, V, G, max_seconds=np.inf), "max_seconds", "be finite"),
        (lambda o: o.numerical_gradient(f, X, h=0), "h", "`h` must be finite and positive"),
        (lambda o: o.gradient_descent(f, X, lr="a"), "lr", "be a number"),
        (lambda o: o.gradient_descent(f, X, lr=np.nan), "lr", "`lr` must be finite"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_it(oracle, call, argument, message):
    """The name is that of the method, whoever refused it."""
    require_one_line(oracle, call, argument, message)


def require_one_line(oracle, call, argument, message):
    """Require that a call is refused by one line about an argument."""
    with pytest.raises(gradient_oracle.InvalidRequest) as caught:
        call(oracle)
    assert caught.value.argument == argument
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


P = {"W1": np.ones((2, 3)), "b1": np.zeros(3), "W2": np.ones((3, 2)), "b2": np.zeros(2)}
W, B, LABELS, Y = P["W1"], np.ones((4, 2)), np.array([0, 1, 1, 0]), np.full((2, 2), 0.5)
WRONG_BATCHES = [
    (B[:, :1], LABELS, "x", "(4, 2), got shape (4, 1)"),
    (B * np.nan, LABELS, "x", "be finite, got nan at (0, 0)"),
    (B[:0], LABELS[:0], "x", "not be empty"),
    (B, LABELS + 1, "t", "have labels between 0 and 1, got 2"),
    (B, LABELS - 1, "t", "have labels between 0 and 1, got -1"),
    (B, LABELS[:3], "t", "shape (4,)"),
    (B, LABELS[:, None], "t", "got int64 of shape (4, 1); use t.ravel()"),
    (B, np.ones((4, 2), int), "t", "hold rows of 0 and a single 1"),
    (B, np.full((4, 2), np.inf), "t", "be finite"),
]
WRONG_NETS = [
    ({**P, "b1": np.zeros((3, 1))}, "b1", "(3,), got shape (3, 1)"),
    ({**P, "W1": W.astype(int)}, "W1", "got int64"),
    ({**P, "b2": P["b2"] * np.nan}, "b2", "be finite"),
    ({**P, "W3": W, "b3": W}, "params", "unexpected W3, b3: the two-layer net has W1, b1, W2, b2."),
    (None, "params", "to arrays, got None"),
    ([*P.values()], "params", 'dict(zip(("W1", "b1", "W2", "b2"), params)) names them'),
    ({name: P[name] for name in ("W1", "W2", "b2")}, "params", "hold W1, b1, W2, b2"),
]


@pytest.mark.parametrize("method", ["loss", "accuracy", "gradient", "numerical_gradient", "check"])
@pytest.mark.parametrize(
    ("case", "argument", "message"),
    [
        *(((P, x, t), *told) for x, t, *told in WRONG_BATCHES),
        *(((params, B, LABELS), *told) for params, *told in WRONG_NETS),
    ],
)
def test_a_batch_or_a_net_that_does_not_fit_is_named(embedded, method, case, argument, message):
    """The same line from every method that takes them."""

    def call(oracle):
        if method == "check":
            return oracle.check_two_layer_net(*case, P)
        return getattr(oracle.two_layer_net, method)(*case)

    require_one_line(embedded, call, argument, message)


@pytest.mark.parametrize(
    ("call", "argument", "message"),
    [
        (lambda o: o.simple_net.predict(W, np.ones(3)), "x", "got shape (3,)"),
        (lambda o: o.simple_net.predict(W * np.nan, np.ones(2)), "W", "be finite"),
        (lambda o: o.simple_net.predict(W.astype(int), np.ones(2)), "W", "got int64"),
        (lambda o: o.simple_net.loss(W, np.ones(2), 3), "t", "between 0 and 2, got 3"),
        (lambda o: o.simple_net.loss(W, np.ones(0), 1), "x", "not be empty"),
        (lambda o: o.simple_net.gradient(np.ones(3), np.ones(2), 1), "W", "got shape (3,)"),
        (lambda o: o.check_simple_net(W, np.ones(3), 1, W), "x", "got shape (3,)"),
        (lambda o: o.mean_squared_error(Y, Y[:1]), "t", "(2, 2), got shape (1, 2)"),
        (lambda o: o.mean_squared_error(Y.astype(int), Y), "y", "got int64"),
        (lambda o: o.mean_squared_error(Y * np.nan, Y), "y", "be finite"),
        (lambda o: o.mean_squared_error([], []), "y", "not be empty"),
        (lambda o: o.check_mean_squared_error(Y, Y[:1], Y), "t", "got shape (1, 2)"),
        (lambda o: o.cross_entropy_error(Y, [0, 2]), "t", "between 0 and 1, got 2"),
        (lambda o: o.cross_entropy_error(Y, [[0], [1]]), "t", "got int64 of shape (2, 1)"),
        (lambda o: o.cross_entropy_error(-Y, [0, 1]), "y", "no negative entry"),
        (lambda o: o.cross_entropy_error(Y[:0], []), "y", "not be empty"),
        (lambda o: o.cross_entropy_error(Y, Y * np.inf), "t", "be finite"),
        (lambda o: o.check_cross_entropy_error(Y, [0, 2], Y), "t", "got 2"),
        (lambda o: o.softmax([1, 2]), "a", "got int64"),
        (lambda o: o.sigmoid([np.nan]), "a", "be finite"),
    ],
)
def test_an_argument_of_a_loss_or_a_simple_net_that_does_not_fit_is_named(
    embedded, call, argument, message
):
    """Shapes, types, NaN, nothing at all, and labels of no class."""
    require_one_line(embedded, call, argument, message)


def test_two_products_of_one_jacobian_are_checked_by_every_client(oracle):
    """The asyncio client calls both functions of the caller in its thread."""
    assert oracle.check_adjoint(lambda v: 2 * v, lambda c: 2 * c, X).verdict == "pass"
    assert oracle.check_adjoint(lambda v: 2 * v, lambda c: 3 * c, X).verdict == "fail"


@pytest.mark.parametrize("when", [1, 4])
@pytest.mark.parametrize(
    ("value", "call"),
    [
        (f, lambda o, g, x: o.check_gradient(g, x, np.cos(x), in_place=True)),
        (np.sin, lambda o, g, x: o.check_jvp(g, x, V, G)),
        (np.sin, lambda o, g, x: o.check_adjoint(g, np.negative, x)),
        (f, lambda o, g, x: o.numerical_gradient(g, x, in_place=True)),
        (f, lambda o, g, x: o.numerical_gradient(g, x, transport="unary", in_place=True)),
        (f, lambda o, g, x: o.gradient_descent(g, x)),
    ],
)
def test_an_exception_of_f_keeps_its_traceback_and_x_its_values(oracle, value, call, when):
    """The last frame is the caller's own line."""
    x, calls = X.copy(), []

    def broken(x):
        calls.append(x)
        if len(calls) == when:
            raise ZeroDivisionError("mine")
        return value(x)

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        call(oracle, broken, x)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "broken"
    assert x.tobytes() == X.tobytes()


@pytest.mark.parametrize("transport", ["stream", "unary"])
@pytest.mark.parametrize("hangs_at", [1, 9])
def test_an_f_that_hangs_is_left_behind_at_the_deadline(oracle, transport, hangs_at):
    """The caller has its error in time, f is called no further, and the next check is served."""
    calls, hanging = [], threading.Event()

    def hangs(x):
        calls.append(x)
        if len(calls) == hangs_at:
            hanging.wait(20)
        return f(x)

    began = time.monotonic()
    with pytest.raises(gradient_oracle.DeadlineExceeded, match=r"0\.3 s"):
        oracle.check_gradient(hangs, X, G, timeout=0.3, transport=transport)
    assert time.monotonic() - began < 1.3
    hanging.set()
    assert oracle.check_gradient(f, X, G, timeout=20, transport=transport).passed
    assert len(calls) == hangs_at


@pytest.mark.parametrize("transport", ["stream", "unary"])
def test_a_check_that_is_out_of_time_is_inconclusive(oracle, transport):
    """The limit holds within a batch of points too; without it the check takes 6 s."""
    calls = []

    def slow(x):
        calls.append(x)
        time.sleep(0.05)
        return f(x)

    began = time.monotonic()
    report = oracle.check_gradient(slow, X, G, max_seconds=0.3, transport=transport)
    assert time.monotonic() - began < 3
    assert (report.verdict, report.reason) == ("inconclusive", "budget_spent")
    assert "the 0.3 s allowed" in str(report)
    assert len(calls) <= 7
    assert oracle.check_gradient(f, X, G, max_seconds=60, transport=transport).passed


def test_the_limit_of_time_holds_for_products_too(oracle):
    """One conversation carries all three checks."""
    for check in (
        lambda seconds: oracle.check_jvp(np.sin, X, V, G, max_seconds=seconds),
        lambda seconds: oracle.check_adjoint(np.negative, np.negative, X, max_seconds=seconds),
    ):
        assert check(60).passed
        assert check(1e-9).reason == "budget_spent"


@pytest.mark.parametrize("hangs_at", [2, 5])
@pytest.mark.parametrize(
    "call",
    [
        lambda o, g, x: o.check_gradient(g, x, G, in_place=True, timeout=0.3),
        lambda o, g, x: o.numerical_gradient(g, x, in_place=True, timeout=0.3),
    ],
)
def test_what_an_f_that_hangs_was_given_is_restored_and_then_the_callers_own(
    oracle, call, hangs_at
):
    """x is as it was when the error comes; what is done with it then, no thread takes back."""
    x, points, hanging = X.copy(), [], threading.Event()
    hung = []

    def hangs(x):
        points.append(x.copy())
        if len(points) >= hangs_at:
            hung.append(threading.current_thread())
            hanging.wait(20)
        return f(x)

    with pytest.raises(gradient_oracle.DeadlineExceeded):
        call(oracle, hangs, x)
    assert x.tobytes() == X.tobytes()
    x[:] = 7
    hanging.set()
    hung[0].join(20)
    assert not hung[0].is_alive()
    assert x.tolist() == [7, 7, 7]
    assert len(hung) == 1


def test_a_conversation_inside_f_leaves_the_outer_one_its_own(oracle, embedded):
    """Each conversation in the thread of a `timeout` restores what it has moved."""
    x, inner, calls = X.copy(), np.ones(2), []

    def outer(x):
        gradient = embedded.numerical_gradient(np.sum, inner, in_place=True)
        calls.append(gradient)
        if len(calls) == 4:
            raise gradient_oracle.OutsideDomain("enough")
        return f(x)

    with pytest.raises(gradient_oracle.OutsideDomain):
        oracle.numerical_gradient(outer, x, in_place=True, timeout=20)
    assert (x.tolist(), inner.tolist()) == (X.tolist(), [1, 1])


INTERRUPTED = """
import asyncio, signal, sys, time
import gradient_oracle, numpy as np

# A shell starts what it runs in the background with SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
calls = 0

def f(x):
    global calls
    calls += 1
    if calls == 20:
        print("ready", flush=True)
    time.sleep(SECONDS if calls >= 20 else 0)
    return np.sum(np.sin(x))

async def main():
    async with gradient_oracle.aio.embedded() as oracle:
        await oracle.numerical_gradient(f, np.ones(10_000))

if MODE == "asyncio":
    asyncio.run(main())
with gradient_oracle.embedded() as oracle:
    oracle.numerical_gradient(f, np.ones(10_000), transport=MODE)
"""


@pytest.mark.parametrize("mode", ["stream", "unary", "asyncio"])
@pytest.mark.parametrize("seconds", [60, 0.0005])
def test_ctrl_c_ends_the_process_at_once(mode, seconds):
    """In an f that hangs, in the thread of the asyncio client too, and between evaluations."""
    script = INTERRUPTED.replace("SECONDS", str(seconds)).replace("MODE", repr(mode))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=10)
            took = time.monotonic() - began
        finally:
            process.kill()
    assert took < 2
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt\n" in errors
    assert mode == "asyncio" or "values of f are kept" in errors
    assert "ignored" not in errors
    assert "Fatal" not in errors
