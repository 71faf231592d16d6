"""The demonstration, against the functions themselves instead of a server."""

from __future__ import annotations

import io
from types import SimpleNamespace

from rich.console import Console

from oracle.checking import closed_form
from oracle.commands.demo import run
from oracle.reference import mini_batch, structured, two_layer_net
from oracle.reporting import text
from oracle.values import TwoLayerNetParameters, Verdict


class LocalReport:
    def __init__(self, report):
        self.report = report
        self.passed = report.verdict is Verdict.PASS

    def __str__(self):
        return text.render(self.report, width=80)


def local_client():
    net = TwoLayerNetParameters
    return SimpleNamespace(
        mini_batch=mini_batch.draw,
        check_two_layer_net=lambda p, x, t, g: LocalReport(
            closed_form.check_two_layer_net(net(**p), x, t, g)
        ),
        two_layer_net=SimpleNamespace(
            init=lambda *sizes, **options: two_layer_net.init(*sizes, **options).tensors(),
            numerical_gradient=lambda p, x, t: structured.two_layer_net(net(**p), x, t).tensors(),
            accuracy=lambda p, x, t: two_layer_net.accuracy(net(**p), x, t),
        ),
    )


def test_demo_learns_passes_the_right_gradient_and_fails_the_wrong_one():
    """What the README promises: above 90 %, a pass, a failure, 80 columns."""
    out = io.StringIO()
    accuracy, right, wrong = run(local_client(), Console(file=out, width=80), steps=200)
    assert accuracy > 0.9
    assert right.passed
    assert not wrong.passed
    assert max(len(line) for line in out.getvalue().splitlines()) <= 80
