"""Two layers of PyTorch under their own names, (out, in), in place of W1, b1, W2, b2."""

from __future__ import annotations

import gradient_oracle
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


@pytest.fixture
def case():
    """Return a module after its backward pass, a batch and its labels."""
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = torch.randn(7, 5, generator=generator)
    t = torch.tensor([0, 1, 2, 1, 0, 2, 1])
    nn.functional.cross_entropy(model(x), t).backward()
    return model, x, t


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_the_state_dict_of_two_layers_is_checked(oracle, case):
    """With the gradients of autograd, which are right; the report says what W1 is."""
    model, x, t = case
    for params in (model.state_dict(), dict(model.named_parameters())):
        report = oracle.check_two_layer_net(params, x, t, gradients(model), delta=0)
        assert report.passed, str(report)
        assert "W1 is 0.weight.T, b1 0.bias, W2 2.weight.T, b2 2.bias" in str(report)


def test_a_wrong_one_is_named(oracle, case):
    """A sum over the batch, and a layer whose gradient was never computed."""
    model, x, t = case
    params, right = model.state_dict(), gradients(model)
    summed = {name: 7 * g for name, g in right.items()}
    report = oracle.check_two_layer_net(params, x, t, summed, delta=0)
    assert [finding.kind for finding in report.findings] == ["missing_batch_mean"]
    for missing in ({**right, "2.bias": None}, {n: g for n, g in right.items() if n != "2.bias"}):
        report = oracle.check_two_layer_net(params, x, t, missing, delta=0)
        assert [(f.kind, f.tensor) for f in report.findings] == [("missing_tensor", "b2")]


def test_either_side_may_use_the_documents_names(oracle, case):
    """A kernel writes W1, the module that it is part of does not."""
    model, x, t = case
    params, right = model.state_dict(), gradients(model)
    net = {"W1": "0.weight", "b1": "0.bias", "W2": "2.weight", "b2": "2.bias"}
    document = {name: right[theirs].T for name, theirs in net.items() if name[0] == "W"}
    document |= {name: right[theirs] for name, theirs in net.items() if name[0] == "b"}
    assert oracle.check_two_layer_net(params, x, t, document, delta=0).passed
    weights = {name: params[theirs].T for name, theirs in net.items() if name[0] == "W"}
    weights |= {name: params[theirs] for name, theirs in net.items() if name[0] == "b"}
    report = oracle.check_two_layer_net(weights, x, t, right, delta=0)
    assert report.passed
    assert "W1 is 0.weight.T" in str(report)


def test_gradients_and_trained_parameters_have_the_callers_names(oracle, case):
    """So that they stand beside `.grad`, and go back into the module."""
    model, x, t = case
    params = model.state_dict()
    exact = oracle.two_layer_net.gradient(params, x, t, delta=0)
    for name, gradient in gradients(model).items():
        assert exact[name] == pytest.approx(gradient.numpy(), abs=1e-6)
    estimate = oracle.two_layer_net.numerical_gradient(params, x, t, delta=0)
    assert {name: a.shape for name, a in estimate.items()} == {n: a.shape for n, a in exact.items()}
    trained = oracle.two_layer_net.train(params, x, t, step_num=1, method="analytic").result()
    assert {name: a.shape for name, a in trained.items()} == {n: a.shape for n, a in exact.items()}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (nn.Linear(2, 2), "state_dict"),
        (nn.Sequential(nn.Linear(2, 2)).state_dict(), "weight and the bias of two layers"),
        ({"a.weight": np.ones((2, 2)), "a.bias": "x"}, "`a.bias` must"),
    ],
)
def test_what_is_no_two_layer_net_is_refused(oracle, params, said):
    """The message says what is wanted."""
    with pytest.raises(gradient_oracle.InvalidRequest, match=said):
        oracle.two_layer_net.predict(params, np.ones((1, 2)))


def test_a_gradient_of_other_layers_is_refused(oracle, case):
    """The third layer is not part of this net."""
    model, x, t = case
    wrong = gradients(model) | {"4.weight": torch.ones(3, 3)}
    with pytest.raises(gradient_oracle.InvalidRequest, match=r"got .*4\.weight"):
        oracle.check_two_layer_net(model.state_dict(), x, t, wrong)


TINY = {"W1": np.ones((2, 3)), "b1": np.zeros(3), "W2": np.ones((3, 2)), "b2": np.zeros(2)}
BATCH, LABELS = np.linspace(-1, 1, 8).reshape(4, 2), np.array([0, 1, 1, 0])
ONE_HOT = np.eye(2, dtype=int)[LABELS]


def in_rows(params):
    return {n: a[None] if n[0] == "b" else a for n, a in params.items()}


def test_biases_in_a_row_are_biases(oracle):
    """Programs that add them to (N, H) keep them so; gradients come back as they are."""
    right = oracle.two_layer_net.gradient(TINY, BATCH, LABELS)
    rows = oracle.two_layer_net.gradient(in_rows(TINY), BATCH, LABELS)
    assert all(np.array_equal(rows[n], a) for n, a in in_rows(right).items())
    assert oracle.check_two_layer_net(in_rows(TINY), BATCH, LABELS, in_rows(right)).passed
    assert oracle.check_two_layer_net(in_rows(TINY), BATCH, LABELS, right).passed
    mixed = oracle.check_two_layer_net(TINY, BATCH, LABELS, in_rows(right))
    assert {(f.kind, f.tensor) for f in mixed.findings} == {
        ("shape_mismatch", "b1"),
        ("shape_mismatch", "b2"),
    }


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, bool])
def test_integers_of_the_shape_of_y_are_one_hot(oracle, dtype):
    """As in the document; so in every method that takes targets."""
    hot = ONE_HOT.astype(dtype)
    net = oracle.two_layer_net
    y = net.predict(TINY, BATCH)
    assert oracle.cross_entropy_error(y, hot) == oracle.cross_entropy_error(y, LABELS)
    assert oracle.cross_entropy_error(y[0], hot[0]) == oracle.cross_entropy_error(y[0], 0)
    assert net.loss(TINY, BATCH, hot) == net.loss(TINY, BATCH, LABELS)
    assert net.loss(TINY, BATCH[1], hot[1]) == net.loss(TINY, BATCH[1], 1)
    assert net.accuracy(TINY, BATCH, hot) == net.accuracy(TINY, BATCH, LABELS)
    gradient = net.gradient(TINY, BATCH, hot)
    assert oracle.check_two_layer_net(TINY, BATCH, hot, gradient).passed
    W = oracle.simple_net.gradient(TINY["W1"], BATCH, np.eye(3, dtype=dtype)[LABELS])
    assert oracle.check_simple_net(TINY["W1"], BATCH, LABELS, W).passed


def test_images_may_be_integers(oracle):
    """Pixels are uint8; they are the numbers that they are."""
    pixels = np.arange(8, dtype=np.uint8).reshape(4, 2)
    net = oracle.two_layer_net
    assert net.loss(TINY, pixels, LABELS) == net.loss(TINY, pixels.astype(float), LABELS)
    with pytest.raises(gradient_oracle.InvalidRequest, match="float64 holds, got int64"):
        net.loss(TINY, np.full((4, 2), 2**53 + 1), LABELS)


@pytest.mark.parametrize("form", ["d{}", "grad_{}", "{}_grad"])
def test_a_gradient_may_be_named_as_a_derivative(oracle, form):
    """As in files."""
    right = oracle.two_layer_net.gradient(TINY, BATCH, LABELS)
    named = {form.format(name): a for name, a in right.items()}
    assert oracle.check_two_layer_net(TINY, BATCH, LABELS, named).passed
    del named[form.format("b2")]
    report = oracle.check_two_layer_net(TINY, BATCH, LABELS, named)
    assert [(f.kind, f.tensor) for f in report.findings] == [("missing_tensor", "b2")]


def test_the_documents_example_is_called_as_it_is_printed(oracle):
    """Its t is an array of integers."""
    W = np.array([[0.47355232, 0.9977393, 0.84668094], [0.85557411, 0.03563661, 0.69422093]])
    x, t = np.array([0.6, 0.9]), np.array([0, 0, 1])
    loss = oracle.simple_net.loss(W, x, t, delta=0)
    assert loss == pytest.approx(0.92806853663411326, abs=1e-8)
