"""The page in a real browser: on a desk and on a phone, in the light and in the dark."""

from __future__ import annotations

import struct

import gradient_oracle
import numpy as np
import pytest

from oracle.reporting import html
from tests.reporting import browser, screenshot

pytestmark = pytest.mark.skipif(browser.find() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of a known function and one of a function known by its values."""
    folder = tmp_path_factory.mktemp("pages")
    screenshot.write_page(folder / "known.html")
    x = np.linspace(0.0, 1.0, 5)
    with gradient_oracle.embedded() as oracle:
        report = oracle.check_gradient(lambda x: np.exp(x).sum(), x, np.exp(x) * 1.01).value
    reproduce = {"Command": "a command without a space " + "x" * 300}
    (folder / "measured.html").write_text(html.render(report, reproduce=reproduce), "utf-8")
    return folder


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["known", "measured"])
def test_nothing_sticks_out_and_the_console_is_empty(pages, name, width):
    """At the width of a phone and at that of a desk; every figure is drawn."""
    seen = browser.look(pages / f"{name}.html", width=width)
    assert (seen.width, seen.page) == (width, width)
    assert (seen.wide, seen.empty, seen.console) == (0, 0, ())
    assert seen.figures > 0


@pytest.mark.parametrize(
    ("dark", "ground"), [(False, "rgb(255, 255, 255)"), (True, "rgb(22, 22, 26)")]
)
def test_the_page_is_as_dark_as_its_reader_has_it(pages, dark, ground):
    """The colours follow the system."""
    assert browser.look(pages / "known.html", width=800, dark=dark).ground == ground


def test_the_picture_of_the_readme_is_made_by_a_command(tmp_path):
    """`python -m tests.reporting.screenshot`; the one in the repository has its size."""
    made = tmp_path / "report.png"
    screenshot.write(made)
    assert size(made) == size(screenshot.PICTURE) == (screenshot.WIDTH, screenshot.HEIGHT)
    assert 10_000 < screenshot.PICTURE.stat().st_size < 200_000


def size(picture):
    return struct.unpack(">II", picture.read_bytes()[16:24])
