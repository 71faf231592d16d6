"""The picture of a report in the README. Run as a program, this writes it.

python -m tests.reporting.screenshot
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import gradient_oracle
import numpy as np

from oracle.reporting import html
from tests.reporting import browser

PICTURE = Path(__file__).with_name("report.png")
WIDTH, HEIGHT = 900, 910


def write_page(target: Path) -> None:
    """Write the report of a gradient in which a block of one matrix is wrong by 1e-9."""
    rng = np.random.default_rng(4)
    x, t = rng.normal(size=(8, 24)), np.arange(8) % 3
    with gradient_oracle.embedded() as oracle:
        params = oracle.two_layer_net.init(24, 32, 3, weight_init_std=0.5, seed=1)
        right = oracle.two_layer_net.gradient(params, x, t)
        wrong = {name: np.array(values) for name, values in right.items()}
        wrong["W1"][12:15, 20:26] += 1e-9
        report = oracle.check_two_layer_net(params, x, t, wrong).value
    target.write_text(html.render(report), encoding="utf-8")


def write(target: Path) -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write_page(page)
        browser.screenshot(page, target, width=WIDTH, height=HEIGHT)


if __name__ == "__main__":
    write(PICTURE)
