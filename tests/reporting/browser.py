"""A page in a real browser without a window: Chromium, if the machine has one."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)

MEASURE = """<script>
for (const folded of document.querySelectorAll("details")) folded.open = true;
const wide = [...document.querySelectorAll("main *")].filter(
  (e) => !e.closest(".wide, pre, svg") && e.getBoundingClientRect().right > innerWidth + 1);
const empty = [...document.querySelectorAll("svg")].filter((e) => e.clientHeight < 20);
parent.postMessage(`width ${innerWidth} page ${document.documentElement.scrollWidth} ` +
  `wide ${wide.length} empty ${empty.length} figures ${document.querySelectorAll("svg").length} ` +
  `ground ${getComputedStyle(document.body).backgroundColor}`, "*");
</script>"""

FRAME = """<!doctype html><title>nothing</title>
<script>addEventListener("message", (event) => {{ document.title = event.data; }});</script>
<iframe src="{name}" style="width:{width}px;height:900px;border:0"></iframe>"""
"""A window of the browser is 500 wide at least, a frame is as narrow as a phone."""


@dataclass(frozen=True)
class Seen:
    """How a page came out.

    `page` is as wide as what is on it, `wide` counts what sticks out of the window, `empty` the
    figures without a height; `console` holds the lines that the browser wrote to its console.
    """

    width: int
    page: int
    wide: int
    empty: int
    figures: int
    ground: str
    console: tuple[str, ...]


def find() -> str | None:
    """Return the browser of this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def run(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page with a new profile."""
    with tempfile.TemporaryDirectory() as profile:
        return subprocess.run(
            [str(find()), *OPTIONS, f"--user-data-dir={profile}", *options, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )


def look(page: Path, *, width: int, dark: bool = False) -> Seen:
    """Open a page at that width and measure it by a script put into a copy of it."""
    copy, frame = page.with_suffix(".measured.html"), page.with_suffix(".frame.html")
    text = page.read_text(encoding="utf-8").replace("</body>", f"{MEASURE}</body>")
    copy.write_text(text, encoding="utf-8")
    frame.write_text(FRAME.format(name=copy.name, width=width), "utf-8")
    colours = f"--blink-settings={scheme(dark)}"
    done = run(
        frame, "--window-size=1400,1000", colours, "--virtual-time-budget=2000", "--dump-dom"
    )
    title = re.search(r"<title>(width .*?)</title>", done.stdout)
    assert title, done.stdout[:500] + done.stderr
    numbers = {name: int(n) for name, n in re.findall(r"(\w+) (\d+)", title[1])}
    console = tuple(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return Seen(**numbers, ground=title[1].partition("ground ")[2], console=console)


def screenshot(page: Path, target: Path, *, width: int, height: int, dark: bool = False) -> None:
    """Write what a window of that size shows."""
    size = f"--window-size={width},{height}"
    run(page, size, f"--blink-settings={scheme(dark)}", f"--screenshot={target}")


def scheme(dark: bool) -> str:
    return f"preferredColorScheme={0 if dark else 1}"
