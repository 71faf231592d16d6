"""What the arrays of a two-layer net are called, and which way round its matrices are."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.wire.names import NET, UnknownNames, documented, layers


def linear(first, second, sizes, *, rows=True):
    """Return the shapes of two layers; `rows` if the weights are (out, in), as PyTorch has them."""
    D, H, K = sizes
    weights = ((H, D), (K, H)) if rows else ((D, H), (H, K))
    return {
        f"{first}.weight": weights[0],
        f"{first}.bias": (H,),
        f"{second}.weight": weights[1],
        f"{second}.bias": (K,),
    }


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("first", "second", "sizes"),
    [
        ("hidden", "classifier", (5, 4, 3)),
        ("hidden", "classifier", (4, 4, 3)),
        ("hidden", "classifier", (5, 4, 4)),
        # As many outputs as inputs: either may be the first, but for the numbers.
        ("fc1", "fc2", (5, 4, 5)),
        ("net.2", "net.10", (5, 4, 5)),
        ("net.2", "net.10", (4, 4, 4)),
    ],
)
def test_the_first_layer_is_the_one_that_the_other_follows(first, second, sizes, reverse):
    """In whichever order they come: safetensors sorts its names."""
    shapes = linear(first, second, sizes)
    names = layers(dict(reversed(shapes.items())) if reverse else shapes)
    assert names.turned
    assert dict(names.theirs) == {
        "W1": f"{first}.weight",
        "b1": f"{first}.bias",
        "W2": f"{second}.weight",
        "b2": f"{second}.bias",
    }


def test_weights_that_the_biases_show_to_be_in_out_stay_as_they_are():
    """(5, 4) with a bias of 4 has 4 outputs whatever it is called."""
    names = layers(linear("hidden", "classifier", (5, 4, 3), rows=False))
    assert (names.turned, names.theirs["W1"]) == (False, "hidden.weight")


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (linear("encoder", "decoder", (5, 4, 5)), '"W1": encoder.weight.T'),
        (linear("fc1", "fc2", (5, 4, 3)) | {"fc3.bias": (3,)}, r"got .*fc3.bias \(3,\)"),
        ({"fc1.weight": (4, 5), "fc2.weight": (3, 4)}, r"weight and the bias of two layers"),
        ({}, "got nothing"),
    ],
)
def test_what_nobody_can_tell_is_refused(shapes, said):
    """A guess would be reported as a bug of the caller."""
    with pytest.raises(UnknownNames, match=said):
        layers(shapes)


def test_what_was_taken_is_given_back():
    """Names and orientation are those of the caller again."""
    shapes = linear("fc1", "fc2", (5, 4, 3))
    arrays = {name: np.arange(np.prod(shape)).reshape(shape) for name, shape in shapes.items()}
    names = layers(shapes)
    taken = names.take(arrays)
    assert {name: array.shape for name, array in taken.items()} == {
        "W1": (5, 4),
        "b1": (4,),
        "W2": (4, 3),
        "b2": (3,),
    }
    again = names.give(taken)
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())
    assert str(names) == "W1 is fc1.weight.T, b1 fc1.bias, W2 fc2.weight.T, b2 fc2.bias"


def test_the_documents_names_are_known_in_any_case():
    """And they need no explanation."""
    names = documented(["w1", "B1", "W2", "b2", "x"])
    assert names is not None
    assert (list(names.theirs), str(names)) == (list(NET), "")
    assert documented(["fc1.weight"]) is None
