"""Arguments of any library to NumPy and to messages, with errors that name the argument.

What messages need is loaded by those that make them: a worker, which makes none, starts sooner.
"""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from gradient_oracle.errors import invalid
from oracle.values import Array

if TYPE_CHECKING:
    from oracle.gradcheck.v1 import report_pb2, tensor_pb2

FLOATING = ("float64", "float32", "float16", "bfloat16")
"""Names of the floating types, the finest first."""

_PAIRS = {
    "numpy": "pass real and imaginary parts, np.stack([z.real, z.imag], -1)",
    "torch": "pass real and imaginary parts, torch.view_as_real(z)",
    "jax": "pass real and imaginary parts, jnp.stack([z.real, z.imag], -1)",
}
"""What to pass in place of a complex array."""


def library(value: Any) -> str:
    """Name the library of an array: "numpy", "torch", "jax", or "" if it is none.

    A library that the caller has not imported cannot be the library of the caller's array.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        return "numpy"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return "torch"
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.Array):
        return "jax"
    return ""


def to_numpy(value: Any, argument: str = "x") -> Array:
    """View an array of any library, a number, or nested lists of numbers, as a NumPy array.

    It shares memory with the original where the library allows it, and has its dtype.

    Parameters
    ----------
    value : array
        Anything with `__array__` or DLPack: NumPy, torch (also with requires_grad, which is left
        out), jax, tensorflow, cupy; or a number, or nested lists of numbers.
    argument : str
        What the caller calls it, for errors.

    Raises
    ------
    InvalidRequest
        If it is no array of real numbers.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise invalid(argument, "have no mask", "a masked array")
    try:
        array = _view(value)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise invalid(argument, "be an array of numbers", f"{called(value)}: {error}") from error
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.name not in FLOATING and array.dtype.kind not in "iub":
        requirement = "have a floating, integer or bool type"
        was = called(value) if array.dtype == object else f"{array.dtype}"
        if array.dtype.kind == "c":
            requirement = "be real"
            was += f"; {_PAIRS.get(library(value), _PAIRS['numpy'])}, and make it complex inside f"
        raise invalid(argument, requirement, was)
    return array


def called(value: Any) -> str:
    """Return what a value is, for errors."""
    return "None" if value is None else f"a {type(value).__name__}"


def _view(value: Any) -> Array:
    if library(value) == "torch":
        import torch

        plain = value.detach().resolve_neg().resolve_conj().cpu()
        if plain.dtype is torch.bfloat16:
            bits: Array = plain.view(torch.int16).numpy()
            return bits.view(named("bfloat16"))
        return plain.numpy()
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return _from_dlpack(value)
    try:
        return np.asarray(value)
    except TypeError:
        # An array on a device refuses __array__, which would hide a copy; here it is meant.
        if not hasattr(value, "__dlpack__"):
            raise
        return _from_dlpack(value)


def named(name: str) -> np.dtype[Any]:
    """Return the type of a name; what knows bfloat16 is loaded for it alone."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def coarsest(tensors: Iterable[Array]) -> np.dtype[Any]:
    """Return the coarsest floating type of some arrays; float64 if none is floating."""
    kinds = [tensor.dtype for tensor in tensors if tensor.dtype.name in FLOATING]
    return max(kinds, key=lambda kind: FLOATING.index(kind.name), default=np.dtype(np.float64))


def _from_dlpack(value: Any) -> Array:
    try:
        return np.from_dlpack(value, device="cpu")
    except TypeError:
        # Before the standard of 2023, __dlpack__ had a stream and no device to be asked for.
        return np.from_dlpack(value)


def shares(value: Any) -> bool:
    """Tell whether `from_numpy(array, value)` and `array` are the same memory."""
    if library(value) == "torch":
        return bool(value.device.type == "cpu")
    return isinstance(value, np.ndarray)


def from_numpy(array: Array, like: Any) -> Any:
    """Give an array the library and the device of `like`.

    A torch tensor on the CPU shares memory with `array`; a jax array is a copy.
    """
    kind = library(like)
    if kind == "torch":
        import torch

        if array.dtype.name == "bfloat16":
            made = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        else:
            made = torch.from_numpy(array)
        return made.to(like.device).requires_grad_(like.requires_grad)
    if kind == "jax":
        import jax.numpy as jnp

        return jnp.array(array, copy=True)
    return array if isinstance(like, np.ndarray) else array[()]


def encode(argument: str, value: Any) -> Any:
    """Return the fields of the message of an argument, for the request that it is part of.

    A floating type is never changed; integers of other widths, in which labels are often kept,
    become int32 or int64.
    """
    from oracle.wire import tensor

    array = to_numpy(value, argument)
    if array.dtype.kind in "iu" and array.dtype.name not in tensor.NAMES:
        if array.size and int(array.max()) > np.iinfo(np.int64).max:
            raise invalid(argument, "fit into int64", f"{array.max()}")
        array = array.astype(np.int32 if array.itemsize < 4 else np.int64)
    return tensor.fields(array)


def decode(message: tensor_pb2.Tensor) -> Array:
    """Return the array of a message, as the caller's own to write to."""
    from oracle.wire import tensor

    return np.array(tensor.decode(message))


def encode_numbers(argument: str, value: Any) -> Any:
    """Return the fields of an array of numbers; whole numbers and bools become float64.

    Images are often uint8. A gradient is never widened: its dtype is part of the question.
    """
    array = to_numpy(value, argument)
    if array.dtype.kind in "iub":
        if array.itemsize == 8 and array.size and int(np.abs(array).max()) > 2**53:
            raise invalid(argument, "hold whole numbers that float64 holds", f"{array.dtype}")
        array = array.astype(np.float64)
    return encode(argument, array)


def columns(W: Any) -> int:
    """Return how many units a matrix of weights leads to, if it is one."""
    shape = np.shape(to_numpy(W, "W"))
    return shape[-1] if shape else 1


def encode_targets(t: Any, x: Any, classes: int | None = None) -> Any:
    """Return the fields of targets: labels, or one-hot or soft targets.

    Integers of the shape of the predictions are one-hot, as in the document; other integers are
    labels. Anything else is one-hot or soft.

    Parameters
    ----------
    t : array
        The targets.
    x : array
        The inputs that they belong to, or the predictions.
    classes : int, optional
        K, if `x` is the inputs.
    """
    array, shape = to_numpy(t, "t"), np.shape(to_numpy(x))
    scores = shape if classes is None else (*shape[:-1], classes)
    if array.dtype.kind not in "iub":
        return {"probabilities": encode("t", array)}
    # One integer for one sample of one class is its label.
    if array.ndim == 2 or (array.shape == scores and array.size > 1):
        if array.shape != scores and 1 in array.shape:
            remedy = f"{array.dtype} of shape {array.shape}; use t.ravel()"
            raise invalid("t", "have shape (N,) if it holds labels", remedy)
        if not (np.isin(array, (0, 1)).all() and (array.sum(-1) == 1).all()):
            hint = "hold rows of 0 and a single 1 if it has the shape of the predictions"
            was = f"other integers; labels have shape (N,), soft targets {array.shape} are floats"
            raise invalid("t", hint, was)
        return {"probabilities": encode("t", array.astype(np.float64))}
    if array.dtype.kind == "b":
        raise invalid("t", "hold integers if it holds labels", "bool")
    return {"labels": encode("t", array)}


def encode_data_type(argument: str, name: Any) -> tensor_pb2.DataType.ValueType:
    """Return the message of the name of a floating type."""
    from oracle.gradcheck.v1 import tensor_pb2
    from oracle.wire import tensor

    floating = tensor.NAMES[:4]
    if name not in floating:
        raise invalid(argument, f"be one of {', '.join(floating)}", repr(name))
    return tensor_pb2.DataType.Value(f"DATA_TYPE_{name.upper()}")


def encode_arithmetic(accumulation_dtype: str | None) -> report_pb2.CandidateArithmetic | None:
    """Return the message of how the caller computed, or None for "in the gradient's own dtype"."""
    from oracle.gradcheck.v1 import report_pb2

    if accumulation_dtype is None:
        return None
    number = encode_data_type("accumulation_dtype", accumulation_dtype)
    return report_pb2.CandidateArithmetic(accumulation_data_type=number)


def require_ordinary(argument: str, f: Any) -> None:
    """Raise if a function is one that has to be awaited: nobody would."""
    if inspect.iscoroutinefunction(f):
        raise invalid(argument, "be an ordinary function", "one that is `async def`")


def integer(argument: str, value: Any, *, least: int = -(2**63), most: int = 2**63 - 1) -> int:
    """Return an argument as an integer that its field can hold."""
    try:
        number = operator.index(value)
    except TypeError:
        raise invalid(argument, "be an integer", repr(value)) from None
    if not least <= number <= most:
        raise invalid(argument, f"be between {least} and {most}", f"{number}")
    return number


def seed(value: Any) -> int:
    """Return a seed: an integer of 64 bits without sign."""
    return integer("seed", value, least=0, most=2**64 - 1)


def real(argument: str, value: Any) -> float:
    """Return an argument as a number."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise invalid(argument, "be a number", repr(value)) from None


def byte_count(tensors: Iterable[Array]) -> int:
    """Return how many bytes some arrays have."""
    return sum(tensor.nbytes for tensor in tensors)
