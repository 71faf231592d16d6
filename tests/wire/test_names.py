"""What the arrays of a two-layer net are called, and which way round its matrices are."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.wire.names import DOCUMENT, NET, UnknownNames, layers, recognised


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


SHAPES = {"W1": (5, 4), "b1": (4,), "W2": (4, 3), "b2": (3,)}


def called(form):
    """Return the shapes of a net, or of its gradient, under other names."""
    return {form.format(name): shape for name, shape in SHAPES.items()}


def test_the_documents_names_are_known_in_any_case():
    """And they need no explanation."""
    names = recognised({"w1": (5, 4), "B1": (4,), "W2": (4, 3), "b2": (3,)})
    assert (list(names.theirs), str(names)) == (list(NET), "")


@pytest.mark.parametrize("form", ["d{}", "D_{}", "grad_{}", "{}_grad", "{}.grad", "{}"])
def test_a_gradient_may_be_named_as_a_derivative(form):
    """The parameters may lie beside it, and one of its tensors may be missing."""
    names = recognised(called(form), DOCUMENT)
    assert list(names.theirs.values()) == list(called(form))
    assert str(names) == ""
    if form != "{}":
        some = {n: s for n, s in called(form).items() if "2" not in n}
        assert recognised(SHAPES | some, DOCUMENT).theirs["b2"] not in SHAPES | some


def test_derivatives_are_no_parameters():
    """They are somebody's gradient, sent in the wrong argument."""
    with pytest.raises(UnknownNames, match="dW1"):
        recognised(called("d{}"))


@pytest.mark.parametrize("form", ["{}/{}:0", "{}/{}", "model.{}.{}"])
@pytest.mark.parametrize("square", [False, True])
def test_layers_of_keras_are_in_out(form, square):
    """A kernel is never turned, though all sizes be equal; `dense` comes before `dense_1`."""
    D, H, K = (4, 4, 4) if square else (5, 4, 3)
    first, second = (
        [form.format("dense", part) for part in ("kernel", "bias")],
        [form.format("dense_1", part) for part in ("kernel", "bias")],
    )
    shapes = dict(zip((*second, *first), ((H, K), (K,), (D, H), (H,)), strict=True))
    names = recognised(shapes)
    assert (list(names.theirs.values()), names.turned) == ([*first, *second], False)
    assert recognised(shapes, names) == names


def test_arrays_without_names_are_in_the_documents_order():
    """As numpy.savez calls them; in another order the shapes tell."""
    shapes = {f"arr_{n}": shape for n, shape in enumerate(SHAPES.values())}
    assert recognised(shapes).theirs["W2"] == "arr_2"
    other = {"arr_0": (5, 4), "arr_1": (4, 3), "arr_2": (4,), "arr_3": (3,)}
    with pytest.raises(UnknownNames, match=r"numpy\.savez\(file, W1=W1"):
        recognised(other)
    with pytest.raises(UnknownNames, match="have names"):
        recognised({"arr_0": (5, 4)})


@pytest.mark.parametrize("like", [None, DOCUMENT])
def test_a_third_layer_is_another_network(like):
    """To leave it out in silence would check another net than the caller has."""
    with pytest.raises(UnknownNames, match=r"unexpected W3, b3: the two-layer net has W1, b1"):
        recognised(SHAPES | {"W3": (3, 2), "b3": (2,)}, like)
