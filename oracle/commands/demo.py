"""`gradient-oracle demo`: train on handwritten digits, then check a right and a wrong gradient."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from oracle.data import load_digits
from oracle.values import DELTA, Array

WIDTH = 80
HIDDEN = 50
BATCH = 100
RATE = 1.0


def backpropagation(
    params: dict[str, Array], x: Array, labels: Array, *, mean: bool
) -> dict[str, Array]:
    """Compute the gradient by hand; without `mean` it forgets to divide by N.

    Parameters
    ----------
    params : dict
        W1 (D, H), b1 (H,), W2 (H, K), b2 (K,).
    x, labels : array
        (N, D) and (N,).
    mean : bool
        Whether to divide by N, as the loss does.

    Returns
    -------
    dict
        The gradient, by the names of `params`.
    """
    z = 1 / (1 + np.exp(-(x @ params["W1"] + params["b1"])))
    powers = np.exp(z @ params["W2"] + params["b2"])
    y = powers / powers.sum(axis=1, keepdims=True)
    t = np.eye(y.shape[1])[labels]
    target = y[np.arange(len(x)), labels][:, None]
    scores = target / (target + DELTA) * (y - t)
    if mean:
        scores = scores / len(x)
    hidden = scores @ params["W2"].T * z * (1 - z)
    return {
        "W1": x.T @ hidden,
        "b1": hidden.sum(axis=0),
        "W2": z.T @ scores,
        "b2": scores.sum(axis=0),
    }


def run(oracle: Any, console: Console, *, steps: int) -> tuple[float, Any, Any]:
    """Train, check the right gradient and the wrong one, and print what happens.

    Parameters
    ----------
    oracle : client
        A client of the service.
    console : Console
        Where to print.
    steps : int
        Steps of training.

    Returns
    -------
    float, Report, Report
        Test accuracy, and the reports of the right and of the wrong gradient.
    """
    x, labels = load_digits()
    held_out = np.arange(len(x)) % 6 == 0
    x_train, t_train = x[~held_out], labels[~held_out]
    net = oracle.two_layer_net
    params = dict(net.init(x.shape[1], HIDDEN, 10, weight_init_std=0.1))
    console.print(
        f"A network 64-{HIDDEN}-10 learns {len(x_train)} handwritten digits through RPCs,"
    )
    console.print("by the document's numerical gradient: two losses for each of 3760 parameters.")
    with Progress(console=console) as progress:
        for step in progress.track(range(steps), description="Training"):
            chosen = oracle.mini_batch(len(x_train), BATCH, seed=step)
            gradient = net.numerical_gradient(params, x_train[chosen], t_train[chosen])
            params = {name: params[name] - RATE * gradient[name] for name in params}
    accuracy = net.accuracy(params, x[held_out], labels[held_out])
    console.print(f"Accuracy on {held_out.sum()} digits it has not seen: {accuracy:.1%}\n")

    batch, wanted = x_train[:12], t_train[:12]
    reports = []
    for title, mean in (("A right backpropagation", True), ("The same, without / N", False)):
        candidate = backpropagation(params, batch, wanted, mean=mean)
        report = oracle.check_two_layer_net(params, batch, wanted, candidate)
        console.rule(title)
        console.print(str(report), markup=False, highlight=False)
        reports.append(report)
    return accuracy, reports[0], reports[1]


@click.command()
@click.option("--steps", default=200, show_default=True, type=click.IntRange(1))
def command(steps: int) -> None:
    """Train on handwritten digits, then check a right gradient and a wrong one."""
    import gradient_oracle

    console = Console(width=WIDTH, highlight=False)
    with gradient_oracle.embedded() as oracle:
        _, right, wrong = run(oracle, console, steps=steps)
    if not right.passed or wrong.passed:
        raise click.ClickException("the oracle did not tell the right gradient from the wrong one")
