"""What a call is said to need of memory is at least what it takes; too much is refused before."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from oracle.service import estimates
from oracle.service.nets import _need
from oracle.values import TwoLayerNetParameters
from oracle.wire import tensor

SLICES = 2**24
"""Bytes of the slices that any call works on, however few its numbers are."""

MEASURE = """
import resource, sys
import numpy as np
from oracle.checking import closed_form, derivatives
from oracle.reference import structured, two_layer_net
from oracle.values import TwoLayerNetParameters

def case(N, D, H, K):
    rng = np.random.default_rng(0)
    W1, W2 = rng.normal(size=(D, H)), rng.normal(size=(H, K))
    made = TwoLayerNetParameters(W1, np.zeros(H), W2, np.zeros(K))
    return made, rng.normal(size=(N, D)), rng.integers(0, K, N)

def check(p, x, t):
    return closed_form.check_two_layer_net(p, x, t, two_layer_net.gradient(p, x, t).tensors())

work = {
    "loss": two_layer_net.loss,
    "numerical": structured.two_layer_net,
    "gradient": derivatives.two_layer_net,
    "check": check,
}[sys.argv[1]]
work(*case(2, 2, 2, 2))
sizes = case(*map(int, sys.argv[2:]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work(*sizes)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.parametrize("work", ["loss", "numerical", "gradient", "check"])
@pytest.mark.parametrize("shape", [(1, 600, 600, 10), (20_000, 2, 4, 4), (500, 20, 100, 200)])
def test_an_estimate_is_an_upper_bound(work, shape):
    """Many parameters, many samples, many outputs: each takes no more than it is said to need."""
    pytest.importorskip("resource")
    command = [sys.executable, "-c", MEASURE, work, *map(str, shape)]
    taken = int(subprocess.check_output(command, text=True))
    N, D, H, K = shape
    parameters = TwoLayerNetParameters(np.zeros((D, H)), np.zeros(H), np.zeros((H, K)), np.zeros(K))
    each = estimates.VALUE if work in ("loss", "numerical") else estimates.EXACT
    more = estimates.TILES if work == "numerical" else SLICES
    assert taken <= _need(each, parameters, np.zeros((N, D)), more).size


def net(N, D, H, K):
    """Return the fields of a request of so many samples, inputs, hidden units and classes."""
    shapes = {"w1": (D, H), "b1": (H,), "w2": (H, K), "b2": (K,)}
    parameters = {name: tensor.encode(np.zeros(shape)) for name, shape in shapes.items()}
    labels = {"labels": tensor.encode(np.zeros(N, np.int64))}
    return {
        "parameters": parameters,
        "inputs": tensor.encode(np.zeros((N, D))),
        "targets": labels,
    }


@pytest.mark.parametrize(
    ("method", "size", "field"),
    [
        ("Loss", (100_000, 1, 20, 20), "inputs"),
        ("NumericalGradient", (100_000, 1, 20, 20), "inputs"),
        ("Gradient", (1, 1000, 200, 10), "parameters"),
        ("CheckGradient", (20_000, 1, 2, 20), "inputs"),
    ],
)
def test_what_needs_too_much_memory_is_refused_before_any_is_taken(serve, method, size, field):
    """The refusal names the field, what there is, and what it would take."""
    fields = net(*size)
    if method == "CheckGradient":
        fields["gradient"] = fields["parameters"]
    with serve(max_memory_bytes=2**25) as call:
        found = call.failure(f"TwoLayerNetService/{method}", **fields)
    assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "TOO_MUCH_MEMORY")
    assert found.field == field
    assert "at most 25,165,824 bytes of memory (max_memory_bytes), got " in found.text
