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
