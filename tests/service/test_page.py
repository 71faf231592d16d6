"""The page that takes files, in a real browser."""

from __future__ import annotations

import json

import gradient_oracle
import numpy as np
import pytest
from safetensors.numpy import save_file

from oracle.service.server import Server
from oracle.service.settings import Settings
from tests.reporting import browser
from tests.service.devtools import opened

pytestmark = pytest.mark.skipif(browser.find() is None, reason="no Chromium on this machine")

TOKEN = "token-of-the-page-01"  # noqa: S105 - for this test


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Serve the page, and methods for who has a token."""
    file = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    file.write_text(f'[page]\ntokens = ["{TOKEN}"]\n')
    made = Server(Settings("127.0.0.1:0", http_address="127.0.0.1:0", token_file=str(file)))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def page(server):
    """Open the page."""
    with opened() as found:
        found.send("Page.navigate", url=server.http.address)
        found.wait("document.querySelector('button') && document.readyState === 'complete'")
        yield found


def check(page, subject, files, token=TOKEN):
    """Fill the form in, send it, and return what the page says and the report that it shows."""
    page.run(f"at('subject').value = {json.dumps(subject)}; show()")
    page.run("for (const input of document.querySelectorAll('[type=file]')) input.value = ''")
    page.run(f"at('token').value = {json.dumps(token)}")
    for name, file in files.items():
        page.choose(f"#{name}", str(file))
    page.run("document.querySelector('button').click()")
    page.wait("at('said').textContent !== '...'")
    shown = page.run("at('report').hidden ? '' : at('report').srcdoc")
    return page.run("at('said').textContent"), shown


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write a case of a two-layer net in three formats."""
    folder = tmp_path_factory.mktemp("files")
    with gradient_oracle.embedded() as oracle:
        params = oracle.two_layer_net.init(4, 3, 2, weight_init_std=0.5, seed=1)
        x, t = np.sin(np.arange(20.0)).reshape(5, 4), np.arange(5) % 2
        gradient = oracle.two_layer_net.gradient(params, x, t)
    save_file(dict(params), folder / "parameters.safetensors")
    np.save(folder / "inputs.npy", x)
    (folder / "targets.json").write_text(json.dumps(t.tolist()))
    held = {name: values.tolist() for name, values in gradient.items()}
    (folder / "right.json").write_text(json.dumps(held))
    save_file({name: -values for name, values in gradient.items()}, folder / "wrong.safetensors")
    return {
        "parameters": folder / "parameters.safetensors",
        "inputs": folder / "inputs.npy",
        "targets": folder / "targets.json",
    }, folder


def test_a_right_and_a_wrong_gradient_of_a_net_get_their_reports(page, files):
    """The page of the report is that of the client, in a frame in which nothing runs."""
    inputs, folder = files
    said, shown = check(page, "two-layer-net", inputs | {"gradient": folder / "right.json"})
    assert (said, "PASS" in shown) == ("", True)
    said, shown = check(page, "two-layer-net", inputs | {"gradient": folder / "wrong.safetensors"})
    assert (said, "FAIL" in shown, "sign_flipped" in shown.lower()) == ("", True, True)
    assert page.run("at('report').sandbox.value") == ""
    assert page.errors == []


def test_a_graph_and_its_gradient_get_their_report(page, tmp_path):
    """The list of nodes that the command line reads too."""
    nodes = [
        {"op_type": "LeakyRelu", "inputs": ["x"], "outputs": ["y"], "attributes": {"alpha": 0.5}}
    ]
    (tmp_path / "graph.json").write_text(json.dumps({"nodes": nodes}))
    x = np.array([1.5, -2.0, 3.0])
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "inputs.json").write_text(json.dumps({"x": x.tolist()}))
    for slope, verdict in ((0.5, "PASS"), (0.25, "FAIL")):
        gradient = np.where(x > 0, 1.0, slope)
        (tmp_path / "gradient.json").write_text(json.dumps({"x": gradient.tolist()}))
        chosen = {name: tmp_path / f"{name}.json" for name in ("graph", "inputs", "gradient")}
        said, shown = check(page, "graph", chosen)
        assert (said, verdict in shown) == ("", True)


def test_what_is_refused_is_said_on_the_page(page, files):
    """By the server and by the page itself."""
    inputs, folder = files
    said, shown = check(page, "two-layer-net", inputs | {"gradient": folder / "right.json"}, "")
    assert "asks for a token" in said
    assert shown == ""
    said, _ = check(page, "two-layer-net", inputs)
    assert said == "choose a file for gradient"
    said, _ = check(page, "two-layer-net", inputs | {"gradient": inputs["inputs"]})
    assert "gradient" in said
