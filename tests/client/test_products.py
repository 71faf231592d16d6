"""Jacobians, Hessian-vector products and their kin: what is wrong, in the caller's words."""

from __future__ import annotations

import gradient_oracle
import numpy as np
import pytest

A = np.arange(12.0).reshape(4, 3) / 7 - 0.6
X = np.array([0.3, -0.2, 0.9])


def vector(x):
    return np.tanh(A @ x)


def jacobian(x):
    return (1 - np.tanh(A @ x) ** 2)[:, None] * A


def words(report):
    """Return the text of a report without its line breaks."""
    return " ".join(str(report).split())


def wrong(row, column):
    claimed = jacobian(X)
    claimed[row, column] *= 1.2
    return claimed


def test_a_right_jacobian_passes(oracle):
    """As an array, as a function, and in float32."""
    for claimed in (jacobian(X), jacobian):
        report = oracle.check_jacobian(vector, X, claimed)
        assert report.passed
        assert report.summary == "the measured slopes agree with the Jacobian"


@pytest.mark.parametrize(("row", "column"), [(2, 1), (0, 0), (3, 2)])
def test_the_row_and_the_column_of_a_wrong_entry_are_named(oracle, row, column):
    report = oracle.check_jacobian(vector, X, wrong(row, column))
    assert report.verdict == "fail"
    assert f"Row [{row}] of the Jacobian is wrong." in str(report)
    assert f"[{column}]" in str(report)


def test_rows_are_checked_at_points_where_f_is_known(embedded):
    """Five checks of a function of four values take less than two of them."""
    calls = []

    def counted(x):
        calls.append(1)
        return vector(x)

    embedded.check_gradient(counted, X, 2 * jacobian(X)[0], cotangent=np.eye(4)[0])
    alone = len(calls)
    calls.clear()
    report = embedded.check_jacobian(counted, X, wrong(1, 1))
    assert report.verdict == "fail"
    assert len(calls) < 3 * alone


def test_blocks_of_dicts_are_checked(oracle):
    """Each output has a block for each tensor of x, as jax returns them."""
    p = {"W": A.copy(), "b": np.array([0.1, -0.3, 0.2, 0.5])}

    def f(p):
        return {"sum": np.sum(p["W"]) * p["b"][0], "heads": [p["W"] @ X + p["b"]]}

    W = np.zeros((4, 4, 3))
    W[range(4), range(4)] = X
    at_0 = np.eye(4)[0]
    blocks = {
        "sum": {"W": np.full((4, 3), p["b"][0]), "b": np.sum(A) * at_0},
        "heads": [{"W": W, "b": np.eye(4)}],
    }
    assert oracle.check_jacobian(f, p, blocks).passed
    blocks["heads"][0]["b"] = 2 * np.eye(4)
    report = oracle.check_jacobian(f, p, blocks)
    assert report.verdict == "fail"
    assert "of `heads[0]`" in str(report)
    blocks["heads"] = [{"W": W.T, "b": np.eye(4)}]
    with pytest.raises(gradient_oracle.InvalidRequest, match=r"`W` of `heads\[0\]`"):
        oracle.check_jacobian(f, p, blocks)
    with pytest.raises(gradient_oracle.InvalidRequest, match="hold sum, heads, as f"):
        oracle.check_jacobian(f, p, blocks["sum"])


def gradient(x):
    return np.tanh(A @ x) @ A


def hessian(x):
    return A.T @ ((1 - np.tanh(A @ x) ** 2)[:, None] * A)


V = np.array([1.0, -2.0, 0.5])


def test_a_hessian_vector_product_is_checked(oracle):
    """As an array and as a function of the point and the vector."""
    for product in (hessian(X) @ V, lambda x, v: hessian(x) @ v):
        report = oracle.check_hessian_vector_product(gradient, X, V, product)
        assert report.passed
        assert report.summary == "the gradient changes along v as H v says"
    report = oracle.check_hessian_vector_product(gradient, X, V, 2 * hessian(X) @ V)
    assert report.verdict == "fail"
    assert "H v is 2 times what was measured" in str(report)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_jacobian_that_is_not_symmetric_is_no_hessian(oracle, transposed):
    """Whichever of J v and J^T v is claimed, no function has such a gradient."""
    J = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.5], [0.25, 0.0, 1.0]])
    claimed = J.T @ V if transposed else J @ V
    report = oracle.check_hessian_vector_product(lambda x: J @ x, X, V, claimed)
    assert report.verdict == "fail"
    assert "not symmetric, so `gradient` is the gradient of no function" in words(report)


def test_products_are_spoken_of_in_their_own_words(oracle):
    """Never of the gradient of s, of which the caller knows nothing."""
    x = np.array([0.3, -0.2])

    def f(x):
        return 2 * x

    zero = oracle.check_jvp(f, x, np.ones(2), np.zeros(2))
    assert "J v is zero, and f changes along v." in words(zero)
    twice = oracle.check_jvp(f, x, np.ones(2), np.full(2, 4.0))
    assert "J v is 2 times what f changes by along v." in words(twice)
    right = oracle.check_jvp(f, x, np.ones(2), np.full(2, 2.0))
    assert right.summary == "f changes along v as J v says"
    still = oracle.check_jvp(lambda _: np.zeros(2), x, np.ones(2), np.ones(2))
    assert "of what J v says, if at all." in words(still)
    apart = oracle.check_adjoint(lambda v: 0 * v, lambda c: 2 * c, x)
    assert "J v is zero" in words(apart)
    assert "and J^T c is not." in words(apart)
    lost = oracle.check_adjoint(f, lambda c: 0 * c, x)
    assert "J^T c is zero" in words(lost)
    assert oracle.check_adjoint(f, lambda c: 2 * c, x).summary == (
        "J v and J^T c belong to one Jacobian"
    )
    for report in (zero, twice, right, still, apart, lost):
        assert "gradient" not in words(report)


def test_what_f_takes_beside_x_and_returns_beside_its_value(oracle):
    """args, a callable gradient and jac=True, as `scipy.optimize` has them."""

    def f(x, k, m):
        return k * np.sum(x**2) + m

    def claimed(x, k, _):
        return 2 * k * x

    def both(x, k, m):
        return f(x, k, m), claimed(x, k, m)

    assert oracle.check_gradient(f, X, claimed, args=(3.0, 1.0)).passed
    assert oracle.check_gradient(both, X, args=(3.0, 1.0), jac=True).passed
    assert not oracle.check_gradient(f, X, claimed(X, 2.0, 1.0), args=(3.0, 1.0)).passed
    assert oracle.check_gradient(lambda x, k: k * np.sum(x), X, np.full(3, 2.0), args=2.0).passed
    numerical = oracle.numerical_gradient(f, X, args=(3.0, 1.0))
    assert numerical == pytest.approx(6 * X, rel=1e-6)


def test_a_random_function_is_given_one_seed(oracle):
    """Common random numbers: with the same at both ends, a difference is that of one function."""
    seeds = set()

    def f(x, seed):
        seeds.add(seed)
        return np.sum((x + np.random.default_rng(seed).normal(size=3)) ** 2)

    def claimed(x, seed):
        return 2 * (x + np.random.default_rng(seed).normal(size=3))

    assert oracle.check_gradient(f, X, claimed, random=True, seed=5).passed
    assert not oracle.check_gradient(f, X, 1.01 * claimed(X, 5), random=True, seed=5).passed
    assert seeds == {5}


def test_values_of_f_may_be_dicts_and_tuples(oracle):
    """With weights of the same structure."""

    def f(x):
        return {"a": x**2, "rest": (x[0] * x[1], np.sum(x))}

    c = {"a": np.ones(3), "rest": (2.0, np.float64(-1.0))}
    claimed = 2 * X + 2 * np.array([X[1], X[0], 0]) - 1
    assert oracle.check_gradient(f, X, claimed, cotangent=c).passed
    assert not oracle.check_gradient(f, X, claimed + 0.1, cotangent=c).passed
    with pytest.raises(gradient_oracle.InvalidRequest, match="have the structure of f"):
        oracle.check_gradient(f, X, claimed, cotangent={"a": np.ones(3)})


def test_a_module_of_torch_is_an_x(oracle):
    """Its parameters are moved in a copy, or in place; the gradient has their names or order."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    model = model.double()
    inputs = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)

    def loss(model):
        return model(inputs).square().sum()

    loss(model).backward()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    listed = [parameter.grad for parameter in model.parameters()]
    named = {name: parameter.grad for name, parameter in model.named_parameters()}
    for claimed in (listed, named, model):
        assert oracle.check_gradient(loss, model, claimed).passed
    assert oracle.check_gradient(lambda _: loss(model), model, named, in_place=True).passed
    doubled = oracle.check_gradient(loss, model, named | {"2.bias": 2 * named["2.bias"]})
    assert "2.bias" in str(doubled)
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
