"""What every client does: in this process, over a socket and with asyncio, by the same code."""

from __future__ import annotations

import json

import gradient_oracle
import ml_dtypes
import numpy as np
import pytest

W = np.array([[0.47355232, 0.9977393, 0.84668094], [0.85557411, 0.03563661, 0.69422093]])
X, T = np.array([0.6, 0.9]), np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def case(oracle):
    """Return a network with different sizes, a batch and its labels."""
    params = oracle.two_layer_net.init(5, 3, 2, weight_init_std=1.0, seed=1)
    return params, np.linspace(-1, 1, 20).reshape(4, 5), np.array([0, 1, 1, 0])


def test_the_document_example_comes_out_to_its_printed_digits(oracle):
    """The reader of the document can compare."""
    assert oracle.simple_net.predict(W, X) == pytest.approx([1.05414809, 0.63071653, 1.1328074])
    # The printed numbers are those of delta = 0; the weights are printed to 8 digits.
    loss = oracle.simple_net.loss(W, X, T, delta=0)
    assert loss == pytest.approx(0.92806853663411326, abs=2e-8)
    slope = [[0.21924763, 0.14356247, -0.36281009], [0.32887144, 0.2153437, -0.54421514]]
    estimate = oracle.simple_net.numerical_gradient(W, X, T, delta=0)
    assert estimate == pytest.approx(np.array(slope), abs=2e-8)
    exact = oracle.simple_net.gradient(W, X, 2, delta=0)
    assert exact == pytest.approx(np.array(slope), abs=2e-8)


def test_losses_and_their_gradients(oracle):
    """Half the sum of squares; minus the logarithm of the target's probability."""
    y = [0.1, 0.6, 0.3]
    assert oracle.mean_squared_error(y, T) == pytest.approx((0.01 + 0.36 + 0.49) / 2)
    assert oracle.mean_squared_error_gradient(y, T) == pytest.approx([0.1, 0.6, -0.7])
    assert oracle.cross_entropy_error(y, 2, delta=0) == pytest.approx(-np.log(0.3))
    assert oracle.cross_entropy_error(y, T) == oracle.cross_entropy_error(y, 2)
    assert oracle.cross_entropy_error_gradient(y, 2, delta=0) == pytest.approx([0, 0, -1 / 0.3])
    assert oracle.sigmoid([0.0]) == 0.5
    assert oracle.softmax([0.0, 0.0]).tolist() == [0.5, 0.5]
    assert oracle.mini_batch(60_000, 3, seed=1234567).tolist() == [21004, 10418, 31932]


def test_the_network_of_the_document(oracle, case):
    """Probabilities, loss, accuracy and gradients have the document's shapes."""
    params, x, t = case
    assert list(params) == ["W1", "b1", "W2", "b2"]
    assert oracle.two_layer_net.predict(params, x).sum(axis=1) == pytest.approx(np.ones(4))
    assert oracle.two_layer_net.accuracy(params, x, t) in {0, 0.25, 0.5, 0.75, 1}
    exact = oracle.two_layer_net.gradient(params, x, t)
    estimate = oracle.two_layer_net.numerical_gradient(params, x, t)
    for name, array in exact.items():
        assert array.shape == params[name].shape
        assert estimate[name] == pytest.approx(array, abs=1e-6)
    moved = {name: params[name] - 0.1 * exact[name] for name in params}
    before, after = (oracle.two_layer_net.loss(p, x, t) for p in (params, moved))
    assert after < before


def test_a_right_gradient_passes_and_a_wrong_one_is_named(oracle, case):
    """The verdict is a plain word, and the finding a fixed code."""
    params, x, t = case
    gradient = oracle.two_layer_net.gradient(params, x, t)
    right = oracle.check_two_layer_net(params, x, t, gradient)
    assert (right.verdict, type(right.verdict), right.passed) == ("pass", str, True)
    right.raise_for_failure()
    wrong = oracle.check_two_layer_net(params, x, t, {**gradient, "b2": -gradient["b2"]})
    assert str(wrong.verdict) == "fail"
    assert (wrong.findings[0].kind, wrong.findings[0].tensor) == ("tensor_factor", "b2")
    assert wrong.detection_limit < 1e-10
    assert wrong.budget_used > 1
    assert json.loads(wrong.to_json())["verdict"] == "fail"
    assert "FAIL" in str(wrong)
    assert wrong.to_html().startswith("<!")
    with pytest.raises(AssertionError) as caught:
        wrong.raise_for_failure()
    assert str(caught.value) == str(wrong)


def test_the_other_checks(oracle):
    """Each known function can be checked."""
    y = np.array([0.1, 0.6, 0.3])
    gradient = oracle.simple_net.gradient(W, X, T)
    assert oracle.check_simple_net(W, X, T, gradient).passed
    assert not oracle.check_simple_net(W, X, T, 2 * gradient).passed
    assert oracle.check_mean_squared_error(y, T, y - T).passed
    assert oracle.check_cross_entropy_error(y, T, -T / (y + 1e-7)).passed
    assert oracle.check_cross_entropy_error(y, T, -T / y, delta=0).passed


def test_a_missing_tensor_is_a_finding_and_not_an_error(oracle, case):
    """Whoever forgot b2 wants to be told so in the report."""
    params, x, t = case
    gradient = oracle.two_layer_net.gradient(params, x, t)
    report = oracle.check_two_layer_net(params, x, t, {**gradient, "b2": None})
    assert [(f.kind, f.tensor) for f in report.findings] == [("missing_tensor", "b2")]


def test_an_inconclusive_report_raises_unless_it_is_allowed(oracle):
    """That nothing could be said is no reason to go on."""
    report = oracle.check_gradient(lambda _: float("nan"), np.ones(2), np.ones(2))
    assert (report.verdict, report.reason) == ("inconclusive", "domain")
    with pytest.raises(AssertionError):
        report.raise_for_failure()
    report.raise_for_failure(allow_inconclusive=True)


@pytest.mark.parametrize("transport", ["stream", "unary"])
def test_the_gradient_of_any_function_is_checked(oracle, transport):
    """A right gradient passes; of a wrong one the wrong entry is found."""
    x = np.linspace(0, 1, 7)
    right = oracle.check_gradient(
        f=lambda w: np.sum(np.sin(w)), x=x, gradient=np.cos(x), transport=transport
    )
    assert right.verdict == "pass"
    bad = np.cos(x)
    bad[3] *= 1.1
    wrong = oracle.check_gradient(lambda w: np.sum(np.sin(w)), x, bad, transport=transport)
    assert wrong.verdict == "fail"
    assert wrong.tensors[0].worst[0].index == (3,)
    assert wrong.measurement.evaluations > 0


def test_a_jacobian_vector_product_is_checked(oracle):
    """J v of sin is cos(x) v."""
    x, v = np.linspace(0, 1, 4), np.array([1.0, -2.0, 0.5, 3.0])
    assert oracle.check_jvp(np.sin, x, v, np.cos(x) * v).passed
    assert not oracle.check_jvp(np.sin, x, v, np.sin(x) * v).passed


def test_the_documents_loops_run_over_a_function_that_stays_here(oracle):
    """x^2 + y^2 has the slope (2x, 2y), and descends to zero; lists are arrays."""

    def f(x):
        return np.sum(x**2)

    assert oracle.numerical_gradient(f, [3.0, 4.0]) == pytest.approx([6, 8])
    start = np.array([-3.0, 4.0])
    assert oracle.gradient_descent(f, start, lr=0.1, step_num=100) == pytest.approx(
        [0, 0], abs=1e-8
    )
    assert start.tolist() == [-3, 4]


@pytest.mark.parametrize("transport", ["stream", "unary"])
@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyError, gradient_oracle.OracleError])
def test_an_exception_of_f_comes_out_as_itself(oracle, transport, kind):
    """The caller debugs its own function."""
    raised = kind("mine")

    def f(_):
        raise raised

    with pytest.raises(kind) as caught:
        oracle.check_gradient(f, np.ones(2), np.ones(2), transport=transport)
    assert caught.value is raised


def test_points_outside_the_domain_are_gone_round(oracle):
    """Sqrt at 1e-3 has no values at points below zero, but near enough to it."""
    x = np.array([1e-3])

    def f(x):
        if x[0] < 0:
            raise gradient_oracle.OutsideDomain("negative")
        return np.sqrt(x[0])

    assert oracle.check_gradient(f, x, 0.5 / np.sqrt(x)).verdict == "pass"


def test_training_reports_progress_and_ends_with_the_parameters(oracle, case):
    """The last item is the result, which the run keeps."""
    params, x, t = case
    run = oracle.two_layer_net.train(params, x, t, step_num=3, batch_size=2, lr=0.5)
    with pytest.raises(gradient_oracle.OracleError, match="not finished"):
        _ = run.parameters
    *progress, trained = run
    assert [(item.step, item.step_num) for item in progress] == [(1, 3), (2, 3), (3, 3)]
    assert trained is run.parameters
    assert list(trained) == list(params)
    assert (trained.step, trained.loss) == (3, progress[-1].loss)
    again = oracle.two_layer_net.train(params, x, t, step_num=3, batch_size=2, lr=0.5).result()
    assert all(np.array_equal(again[name], trained[name]) for name in params)


def test_leaving_a_training_cancels_it(oracle, case):
    """A million steps are not waited for, and the next call is served."""
    params, x, t = case
    run = oracle.two_layer_net.train(params, x, t, step_num=1_000_000)
    assert next(run).step == 1
    run.close()
    assert next(run, None) is None
    assert oracle.two_layer_net.loss(params, x, t) > 0


def test_the_server_tells_about_itself(oracle):
    """What is allowed and what computes, as plain values."""
    info = oracle.info()
    assert info.limits.max_message_bytes == 64 * 2**20
    assert "oracle.gradcheck.v1.LossService/MeanSquaredError" in info.functions
    assert info.numpy_version == np.__version__
    assert str(info).startswith(f"gradient-oracle {info.version}\nmessages up to 64 MiB")


def test_the_self_test_is_a_call(oracle):
    """Why a pass should be believed, answered by the server that was asked."""
    result = oracle.self_test(batch_size=3, input_size=5, hidden_size=4, output_size=2)
    assert result.detected == result.wrong > 0
    assert result.false_alarms == 0


def test_a_probe_is_a_case_to_compute_on(oracle):
    """Its tensors have the type that was asked for."""
    probe = oracle.two_layer_net.probe("standard", dtype="bfloat16", seed=3)
    assert probe.x.dtype == probe.params["W1"].dtype == ml_dtypes.bfloat16
    assert probe.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("call", "argument", "message"),
    [
        (lambda o: o.mean_squared_error([1.0, 2.0], [1.0]), "t", "`t` must"),
        (lambda o: o.mean_squared_error([1.0, 2.0], "ab"), "t", "`t` must"),
        (lambda o: o.mean_squared_error([[1.0], [2.0, 3.0]], 1.0), "y", "`y` must"),
        (lambda o: o.mean_squared_error([1j], [1.0]), "y", "got complex128"),
        (lambda o: o.mean_squared_error(None, [1.0]), "y", "got None"),
        (lambda o: o.mean_squared_error(np.longdouble([1]), [1.0]), "y", "longdouble|float128"),
        (lambda o: o.mean_squared_error(np.ma.masked_array([1.0], [True]), [1.0]), "y", "no mask"),
        (lambda o: o.cross_entropy_error([0.5, 0.5], np.uint64(2**63)), "t", "fit into int64"),
        (lambda o: o.cross_entropy_error([0.5, 0.5], 2), "t", "`t` must"),
        (lambda o: o.cross_entropy_error([0.5, 0.5], 1, delta="x"), "delta", "be a number"),
        (lambda o: o.cross_entropy_error([0.5, 0.5], 1, delta=-1), "delta", "`delta` must"),
        (lambda o: o.mini_batch(0, 1), "train_size", "`train_size` must"),
        (lambda o: o.mini_batch(2, 1.5), "batch_size", "be an integer"),
        (lambda o: o.mini_batch(2, 2**70), "batch_size", "be between"),
        (lambda o: o.mini_batch(2, 1, seed=-1), "seed", "be between 0"),
        (lambda o: o.two_layer_net.predict([W], X), "params", "map W1"),
        (lambda o: o.two_layer_net.predict({"W1": W}, X), "params", "got W1"),
        (lambda o: o.two_layer_net.predict({"dW1": W}, X), "params", "got dW1"),
        (lambda o: o.two_layer_net.probe("odd"), "variant", "standard, saturated, single"),
        (lambda o: o.two_layer_net.probe(dtype="int64"), "dtype", "got 'int64'"),
        (lambda o: o.simple_net.numerical_gradient(W, X, T, h=0), "h", "`h` must"),
        (
            lambda o: o.check_simple_net(W, X, T, W, accumulation_dtype="float31"),
            "accumulation_dtype",
            "got 'float31'",
        ),
        (lambda o: o.numerical_gradient(np.sum, np.ones(2), h="1"), "h", "be a number"),
        (lambda o: o.numerical_gradient(np.sum, np.ones(2), h=-1.0), "h", "positive"),
        (
            lambda o: o.numerical_gradient(np.sum, np.ones(2), transport="tcp"),
            "transport",
            "stream",
        ),
        (lambda o: o.numerical_gradient(np.sum, np.ones(2), timeout=0), "timeout", "positive"),
        (lambda o: o.numerical_gradient(np.sum, {"a": "b"}), "a", "be an array"),
        (lambda o: o.gradient_descent(np.sum, np.ones(2), step_num=-1), "step_num", "at least 0"),
        (
            lambda o: o.check_gradient(np.sum, np.ones(2), np.ones(2), max_evaluations=0),
            "max_evaluations",
            "got 0",
        ),
        (
            lambda o: o.check_gradient(np.sum, dict.fromkeys("ab", np.ones(2)), [np.ones(2)] * 2),
            "gradient",
            r"those of x, which are a, b, got \[0\], \[1\]",
        ),
        (
            lambda o: o.check_gradient(np.sum, np.ones(2), np.ones(2), resolution=-1),
            "resolution",
            "positive",
        ),
        (lambda o: o.check_gradient(lambda _: "a", np.ones(2), np.ones(2)), "f", "`f` must"),
    ],
)
def test_a_wrong_argument_is_named(oracle, call, argument, message):
    """Whoever refuses it, this process or the server, the error is of one class and one form."""
    with pytest.raises(gradient_oracle.InvalidRequest, match=message) as caught:
        call(oracle)
    assert caught.value.argument == argument
    assert caught.value.field


def test_an_option_that_does_not_exist_is_a_type_error(oracle):
    """As with any function of Python."""
    with pytest.raises(TypeError, match="tolerance"):
        oracle.check_gradient(np.sum, np.ones(2), np.ones(2), tolerance=1)
    with pytest.raises(TypeError, match="mean_squared_error"):
        oracle.mean_squared_error([1.0])


def test_a_message_above_the_limit_is_refused_before_it_is_sent(oracle):
    """The limit is the server's, and the error says which and how much."""
    large = np.zeros(2**23 + 1)
    with pytest.raises(gradient_oracle.MessageTooLarge, match="at most 67,108,864"):
        oracle.mean_squared_error(large, [1.0])


def test_an_answer_above_the_limit_is_an_error_that_says_so(oracle):
    """Indices take 8 bytes each."""
    with pytest.raises(gradient_oracle.InvalidRequest):
        oracle.mini_batch(10, 2**23 + 1)
