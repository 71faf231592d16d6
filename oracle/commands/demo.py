"""`gradient-oracle demo`: train on handwritten digits, then check a right and a wrong gradient."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from oracle.commands.options import Command
from oracle.data import load_digits
from oracle.values import DELTA, Array

HIDDEN = 50
BATCH = 100
RATE = 1.0


def predictions(params: dict[str, Array], x: Array) -> tuple[Array, Array]:
    """Compute the hidden activations (N, H) and the probabilities (N, K), written by hand."""
    z = 1 / (1 + np.exp(-(x @ params["W1"] + params["b1"])))
    powers = np.exp(z @ params["W2"] + params["b2"])
    return z, powers / powers.sum(axis=1, keepdims=True)


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
    z, y = predictions(params, x)
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


def train(oracle: Any, console: Console, x: Array, labels: Array, *, steps: int) -> Any:
    """Train a network on a server and show how far it is.

    Parameters
    ----------
    oracle : client
        A client of the service.
    console : Console
        Where to print.
    x, labels : array
        (N, D) and (N,).
    steps : int
        Steps of training.

    Returns
    -------
    dict
        The trained parameters, by name.
    """
    net = oracle.two_layer_net
    start = net.init(x.shape[1], HIDDEN, 10, weight_init_std=0.1)
    count = sum(tensor.size for tensor in start.values())
    console.print(
        f"A network of 64 inputs, {HIDDEN} hidden units and 10 outputs learns {len(x)} handwritten"
        " digits on a server. Each step takes the numerical gradient of the loss of"
        f" {BATCH} digits: all {count} parameters are moved up and down by 0.0001, one by one.\n"
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(30),
        TextColumn("{task.completed}/{task.total} steps, loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
    )
    trained = start
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("Training", total=steps, loss=float("nan"))
        for event in net.train(start, x, labels, step_num=steps, batch_size=BATCH, lr=RATE):
            if isinstance(event, dict):
                trained = dict(event)
            else:
                progress.update(bar, completed=event.step, loss=event.loss)
    return trained


def run(oracle: Any, console: Console, *, steps: int) -> list[Any]:
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
    list of Report
        Of the right gradient, of the wrong one, and of the function that stays here.
    """
    x, labels = load_digits()
    held_out = np.arange(len(x)) % 6 == 0
    x_train, t_train = x[~held_out], labels[~held_out]
    console.rule("1. Training", align="left")
    params = train(oracle, console, x_train, t_train, steps=steps)
    accuracy = oracle.two_layer_net.accuracy(params, x[held_out], labels[held_out])
    console.print(f"It names {accuracy:.1%} of {held_out.sum()} digits that it has not seen.\n")

    batch, wanted = x_train[:12], t_train[:12]
    reports = []
    for title, says, mean in (
        (
            "2. A right gradient",
            "Backpropagation, written by hand for 12 digits, beside the exact derivative:",
            True,
        ),
        ("3. A wrong one", "The same without the division by 12, an ordinary slip:", False),
    ):
        console.rule(title, align="left")
        console.print(says + "\n")
        candidate = backpropagation(params, batch, wanted, mean=mean)
        report = oracle.check_two_layer_net(params, batch, wanted, candidate)
        report.show(console.file)
        console.print()
        reports.append(report)

    console.rule("4. A function that the server cannot see", align="left")
    console.print("The loss is computed here; the server chooses points and is told its values:\n")

    def loss(trial: dict[str, Array]) -> float:
        y = predictions(trial, batch)[1]
        return float(-np.log(y[np.arange(len(batch)), wanted] + DELTA).mean())

    gradient = backpropagation(params, batch, wanted, mean=True)
    reports.append(oracle.check_gradient(loss, params, gradient))
    reports[-1].show(console.file)
    console.print()
    console.print(
        "Next, a gradient of yours: in a test, with the fixture gradient_oracle,\n"
        "    gradient_oracle.assert_two_layer_net(params, x, t, gradient)\n"
        "or from files: gradient-oracle check --help",
        soft_wrap=True,
    )
    return reports


@click.command(cls=Command)
@click.option("--steps", default=200, type=click.IntRange(1), help="Steps of training.")
def command(steps: int) -> None:
    """Learn digits, then catch a wrong gradient.

    A network is trained through a server on 1,497 handwritten digits and names 300 others; then
    backpropagation written by hand is checked, right and wrong. Takes some seconds.

    Exits with 1 if the oracle does not tell the right gradient from the wrong one.
    """
    import gradient_oracle

    console = Console(highlight=False)
    with gradient_oracle.embedded() as oracle:
        right, wrong, hidden = run(oracle, console, steps=steps)
    if not (right.passed and hidden.passed) or wrong.passed:
        raise click.ClickException("the oracle did not tell the right gradient from the wrong one")
