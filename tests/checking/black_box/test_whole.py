"""Many tensors in common directions: what they cost, what is found, and what is said of each."""

import numpy as np
import pytest

from oracle.checking.black_box import outcome
from oracle.checking.black_box.conversation import TensorSpec
from oracle.checking.black_box.ladder import Line
from oracle.checking.black_box.subject import Subject
from oracle.findings import FindingKind
from oracle.values import Verdict
from tests.checking.black_box.caller import network, run


def layers(count, seed=0, dtype="float64", sizes=(100,)):
    """Return a sum over tensors of sines, a point and the gradient."""
    rng = np.random.default_rng(seed)
    x = {f"layer{n}": rng.normal(size=sizes[n % len(sizes)]).astype(dtype) for n in range(count)}
    a = {name: rng.normal(size=v.shape).astype(dtype) for name, v in x.items()}

    def f(x):
        return sum(np.sum(a[name] * np.sin(v)) for name, v in x.items())

    return f, x, {name: a[name] * np.cos(v) for name, v in x.items()}


def verdicts(report):
    return {tensor.name: tensor.verdict for tensor in report.tensors}


@pytest.mark.parametrize(("count", "dtype"), [(150, "float64"), (62, "float32"), (7, "float64")])
def test_many_right_tensors_cost_about_what_one_does(count, dtype):
    report = run(*layers(count, dtype=dtype))
    assert report.verdict is Verdict.PASS
    assert report.measurement.evaluations <= 150
    assert report.measurement.miss_probability <= 0.01
    assert report.detection_limit <= 0.5
    assert set(verdicts(report)) == {f"layer{n}" for n in range(count)}


def zeros(v):
    return 0 * v


def doubled(v):
    return 2 * v


def exchanged(v):
    w = v.copy()
    w[[v.argmax(), v.argmin()]] = v[[v.argmin(), v.argmax()]]
    return w


@pytest.mark.parametrize("count", [20, 87])
@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (zeros, FindingKind.ZERO_TENSOR),
        (doubled, FindingKind.TENSOR_FACTOR),
        (exchanged, FindingKind.SINGLE_ENTRIES),
    ],
)
def test_the_wrong_one_of_many_tensors_is_named(count, wrong, kind):
    """The others are said to be right, and the evaluations allowed by default suffice."""
    f, x, g = layers(count)
    report = run(f, x, g | {"layer3": wrong(g["layer3"])}, seed=count)
    assert report.verdict is Verdict.FAIL
    assert [(finding.kind, finding.tensor) for finding in report.findings] == [(kind, "layer3")]
    failed = {name for name, verdict in verdicts(report).items() if verdict is not Verdict.PASS}
    assert failed == {"layer3"}
    assert report.measurement.evaluations <= 800 + 500 * (wrong is exchanged)  # to find two entries


def test_a_factor_of_all_tensors_is_seen_in_the_common_directions():
    f, x, g = layers(40)
    report = run(f, x, {name: 3 * v for name, v in g.items()})
    assert [finding.kind for finding in report.findings] == [FindingKind.CONSTANT_FACTOR]
    assert set(verdicts(report).values()) == {Verdict.FAIL}
    assert report.summary == "the measured slopes contradict the gradient"
    assert report.measurement.evaluations <= 600


def test_tensors_in_each_others_place_do_not_cancel():
    """Each tensor has signs of its own: with common ones the two errors would add up to nothing."""
    f, x, g = layers(30)
    report = run(f, x, g | {"layer4": g["layer9"], "layer9": g["layer4"]})
    assert [finding.kind for finding in report.findings] == [FindingKind.SWAPPED_TENSORS]


def test_a_small_tensor_beside_large_ones_is_seen():
    """What changes f a million times less than the others is judged on its own scale."""
    f, x, g = layers(12)

    def scaled(x):
        return f(x | {"layer5": 0 * x["layer5"]}) + 1e-6 * np.sum(np.cos(x["layer5"]))

    right = g | {"layer5": -1e-6 * np.sin(x["layer5"])}
    assert run(scaled, x, right).verdict is Verdict.PASS
    report = run(scaled, x, right | {"layer5": 1.1 * right["layer5"]})
    assert verdicts(report)["layer5"] is Verdict.FAIL


def test_a_kink_in_one_tensor_leaves_the_others_settled():
    f, x, g = layers(16)
    x["layer2"][:] = 0.0
    g["layer2"] = np.full(100, 0.3)

    def kinked(x):
        return f(x | {"layer2": 0 * x["layer2"]}) + np.abs(x["layer2"]).sum()

    found = verdicts(run(kinked, x, g))
    assert {n for n, v in found.items() if v is not Verdict.PASS} <= {"layer2"}


def test_what_was_not_measured_is_open():
    """A tensor without a single slope has nothing that agrees."""
    spec = TensorSpec("x", (3,), "float64", 3, 1.0, 1.0, 1.0, 1.0)
    assert outcome.of(Subject(0, spec, Line(0, 0, 3, 1))) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("seed", range(3))
def test_a_network_of_many_layers_in_float32(seed):
    """Biases and weights of several sizes in one check."""
    parts = [network(seed + 10 * n, sizes=(20, 10, 5), deviation=0.3) for n in range(4)]
    x = {f"{n}.{name}": v for n, (_, x, _) in enumerate(parts) for name, v in x.items()}
    g = {f"{n}.{name}": v for n, (_, _, g) in enumerate(parts) for name, v in g.items()}

    def f(x):
        return sum(
            part({name: x[f"{n}.{name}"] for name in ("W1", "b1", "W2", "b2")})
            for n, (part, _, _) in enumerate(parts)
        )

    assert run(f, x, g).verdict is Verdict.PASS
    g["2.b1"] = 0 * g["2.b1"]
    report = run(f, x, g)
    assert (report.verdict, report.findings[0].tensor) == (Verdict.FAIL, "2.b1")
