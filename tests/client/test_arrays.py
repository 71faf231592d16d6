"""Arrays of any library are arguments, with the dtype that they have."""

from __future__ import annotations

import gradient_oracle
import ml_dtypes
import numpy as np
import pytest
from gradient_oracle import arrays

from oracle.gradcheck.v1 import tensor_pb2
from oracle.wire import tensor


class Exporter:
    """An array that speaks DLPack and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class Older:
    """An array that speaks the first DLPack, which knew no version and no device."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__()

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnDevice(Exporter):
    """An array that refuses an implicit copy to the host, as those on a GPU do."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion is not allowed")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.int32])
@pytest.mark.parametrize("wrap", [np.asarray, Exporter, Older, OnDevice])
def test_the_dtype_of_an_array_is_kept(wrap, dtype):
    """It is part of the question."""
    array = np.arange(6).reshape(2, 3).astype(dtype)
    message = tensor_pb2.Tensor(**arrays.encode("x", wrap(array)))
    decoded = tensor.decode(message)
    assert decoded.dtype == dtype
    assert np.array_equal(decoded, array)


@pytest.mark.parametrize("dtype", ["<f8", ">f8", ">f4", ">i4"])
def test_the_byte_order_of_an_array_is_nobodys_concern(embedded, dtype):
    """A file of another machine, or one of FITS or of Java."""
    values = np.array([1, 2, 3], dtype)
    assert embedded.mean_squared_error(np.zeros(3), values) == 7.0


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.uint32, np.uint64])
def test_labels_of_any_integer_type_are_labels(embedded, dtype):
    """MNIST keeps them in bytes."""
    y = np.array([[0.25, 0.75], [0.5, 0.5]])
    expected = embedded.cross_entropy_error(y, [1, 0])
    assert embedded.cross_entropy_error(y, np.array([1, 0], dtype)) == expected


def test_the_candidate_of_a_check_is_judged_in_its_own_dtype(embedded):
    """Rounding to float32 is right for float32, and wrong for float64."""
    y, t = np.array([0.1, 0.6, 0.3]), np.array([0.3, 0.3, 0.4])
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
        report = embedded.check_mean_squared_error(y, t, (y - t).astype(dtype))
        assert report.passed
        assert report.value.candidate_dtype == np.dtype(dtype).name
        widened = (y - t).astype(dtype).astype(np.float64)
        assert embedded.check_mean_squared_error(y, t, widened).verdict == "fail"


def test_torch_tensors_are_arguments(embedded):
    """Also those with requires_grad, views, and bfloat16, which NumPy does not know."""
    torch = pytest.importorskip("torch")
    W = torch.arange(6.0, dtype=torch.float64).reshape(2, 3).requires_grad_()
    x, t = torch.ones(4, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    loss = torch.nn.functional.cross_entropy(x @ W, t)
    loss.backward()
    assert embedded.simple_net.loss(W, x, t, delta=0) == pytest.approx(loss.item())
    assert embedded.check_simple_net(W, x, t, W.grad, delta=0).passed
    assert embedded.check_simple_net(W.T.T, x, t, W.grad, delta=0).passed
    bf16 = torch.tensor([1.0, 0.1], dtype=torch.bfloat16, requires_grad=True)
    assert tensor.decode(tensor_pb2.Tensor(**arrays.encode("x", bf16))).tolist() == bf16.tolist()
    assert tensor.decode(tensor_pb2.Tensor(**arrays.encode("x", bf16))).dtype == ml_dtypes.bfloat16
    with pytest.raises(gradient_oracle.InvalidRequest, match="complex64"):
        arrays.encode("x", torch.tensor([1j]).conj())
    with pytest.raises(gradient_oracle.InvalidRequest, match="`x` must be an array"):
        arrays.encode("x", torch.eye(2).to_sparse())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_function_of_torch_is_checked_with_its_own_autograd(embedded, dtype):
    """F takes and gives what torch code does."""
    torch = pytest.importorskip("torch")
    x = torch.linspace(0.1, 1, 6, dtype=getattr(torch, dtype)).reshape(2, 3).requires_grad_()

    def f(x):
        return torch.log(x).sin().sum()

    (gradient,) = torch.autograd.grad(f(x), x)
    assert embedded.check_gradient(f, x, gradient).passed
    assert not embedded.check_gradient(f, x, 1.5 * gradient).passed


def test_jax_arrays_are_arguments(embedded):
    """Also bfloat16, and trees."""
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    bf16 = jnp.asarray([1.0, 0.1], jnp.bfloat16)
    assert tensor.decode(tensor_pb2.Tensor(**arrays.encode("x", bf16))).dtype == ml_dtypes.bfloat16
    tree = {"W": jnp.asarray([0.5, -1.0]), "b": [jnp.asarray(2.0)]}

    def f(tree):
        return jnp.sum(jnp.sin(tree["W"])) * tree["b"][0]

    assert embedded.check_gradient(f, tree, jax.grad(f)(tree)).passed


def test_every_tensor_of_a_gradient_is_named_like_that_of_x(embedded):
    """A tree of arrays is checked tensor by tensor."""
    x = {"W": np.ones((2, 2)), "rest": [np.ones(3)]}

    def f(x):
        return np.sum(x["W"] ** 2) + np.sum(x["rest"][0] ** 3)

    report = embedded.check_gradient(f, x, {"W": 2 * x["W"], "rest": [2 * x["rest"][0]]})
    verdicts = {tensor.name: str(tensor.verdict) for tensor in report.tensors}
    assert verdicts == {"W": "pass", "rest[0]": "fail"}
