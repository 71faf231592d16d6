"""The whole and the client alone: one version, the same bounds, nothing that only serves."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]


def project(path):
    return tomllib.loads((TOP / path).read_text(encoding="utf-8"))["project"]


WHOLE, CLIENT = project("pyproject.toml"), project("clients/python/pyproject.toml")
SERVES = {
    re.match(r"[a-z-]+", one)[0].replace("-", "_")
    for one in {*WHOLE["dependencies"]} - {*CLIENT["dependencies"]}
}


def test_both_have_one_version_and_the_same_bounds():
    """Else one of them would be tested and the other not."""
    assert CLIENT["version"] == WHOLE["version"]
    assert {*CLIENT["dependencies"]} < {*WHOLE["dependencies"]}
    assert {"python_flint", "rich"} <= SERVES
    for name, wanted in CLIENT["optional-dependencies"].items():
        assert wanted == WHOLE["optional-dependencies"][name]


@pytest.mark.parametrize("name", ["aio", "client", "report"])
def test_the_client_loads_nothing_that_serves(name):
    """Of `oracle` only what the client's wheel holds, and none of the server's libraries."""
    held = tomllib.loads((TOP / "clients/python/pyproject.toml").read_text(encoding="utf-8"))
    wheel = held["tool"]["hatch"]["build"]["targets"]["wheel"]
    inside = [Path(place) for place in wheel["force-include"].values()]
    code = (
        f"import sys, gradient_oracle.{name}, gradient_oracle.strategies, oracle.reporting.html\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    served = {"flint", "rich", "threadpoolctl", "click", "prometheus_client"}
    assert not served & {*loaded}
    for module in (m for m in loaded if m.startswith("oracle.")):
        path = Path(module.replace(".", "/"))
        assert any(path == p.with_suffix("") or p in path.parents for p in inside), module
