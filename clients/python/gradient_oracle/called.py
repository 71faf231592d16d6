"""A function of the caller's as something that may be called anywhere: here, or by a worker."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from gradient_oracle import arrays, trees
from gradient_oracle.errors import InvalidRequest, invalid
from gradient_oracle.outputs import Pairing, number
from oracle.values import Array

Function: TypeAlias = Callable[..., Any]


class OutsideDomain(Exception):
    """Raised by a caller's f to say that it is not defined at this point: a fact, not a failure."""


def require_callable(argument: str, value: Any) -> Any:
    """Return an argument that can be called."""
    if not callable(value):
        raise invalid(argument, "be a function", arrays.called(value))
    arrays.require_ordinary(argument, value)
    return value


@dataclass(frozen=True)
class Called:
    """f with what else it takes, and how one number is made of what it returns.

    With `pairing` that is <c, f(x)>; with `first`, f returns the number and its gradient.
    """

    f: Function
    args: tuple[Any, ...] = ()
    pairing: Pairing | None = None
    first: bool = False

    def __call__(self, x: Any) -> Value:
        """Return the value of f at x."""
        result = self.f(x, *self.args)
        if self.first:
            result = value_and_gradient(result)[0]
        if self.pairing is not None:
            return Value(*self.pairing(result))
        value = number(result)
        return Value(value, arrays.coarsest([value]))


@dataclass(frozen=True)
class Value:
    """A value of f as a 0-d array, and the type that it was computed in."""

    number: Array
    dtype: np.dtype[Any]


def value_and_gradient(result: Any) -> tuple[Any, Any]:
    """Return the two things that an f returns which is said to return its gradient too."""
    if not (isinstance(result, tuple) and len(result) == 2):
        was = "None: is a `return` missing?" if result is None else f"a {type(result).__name__}"
        raise invalid("f", "return (value, gradient) for jac=True", was)
    return result


@dataclass(frozen=True)
class Outcome:
    """What became of one evaluation: a value, a text that says why there is none, or an error."""

    value: Value | None = None
    outside: str = ""
    error: BaseException | None = None


def attempt(called: Called, x: Any) -> Outcome:
    """Evaluate in a worker, from which an exception has to be brought back."""
    given = trees.shared(x)
    before = fingerprint(given)
    try:
        value = called(x)
        if fingerprint(given) != before:
            raise changed()
        return Outcome(value)
    except OutsideDomain as outside:
        return Outcome(outside=str(outside)[:200])
    except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
        return Outcome(error=error)


def attempt_afar(called: Called, x: Any) -> Outcome:
    """Evaluate in another process, which can send back only what this one can read."""
    outcome = attempt(called, x)
    if isinstance(outcome.error, Exception):
        return Outcome(error=_portable(outcome.error))
    return outcome


def changed() -> Exception:
    """Return the error of an f that writes to what it is given."""
    return InvalidRequest(
        "`f` must not modify its argument, but it changed x: let f work on a copy", argument="f"
    )


def fingerprint(tensors: Sequence[Array]) -> int:
    """Return a number that changes when an entry does."""
    total = 0
    for tensor in tensors:
        total = zlib.crc32(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data, total)
    return total


def _portable(error: Exception) -> Exception:
    """Return an error that another process can read: itself, or one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - written by the line itself
    except Exception:  # noqa: BLE001 - any class may forbid it in any way
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@dataclass
class Parcel:
    """A function on its way to another process, packed once for all the points that follow.

    Functions that were typed in, or are in a file that the other process cannot import, travel as
    they are if `cloudpickle` is installed; without it only those of modules travel.
    """

    called: Called
    _packed: bytes = field(default=b"", repr=False)

    def packed(self) -> bytes:
        """Return the function as bytes.

        Raises
        ------
        InvalidRequest
            If it cannot be sent.
        """
        if not self._packed:
            try:
                self._packed = _dumps(self.called)
            except Exception as error:
                requirement = "be a function that another process can be sent"
                was = f"one that cannot ({error}); {_remedy()}"
                raise invalid("f", requirement, was) from error
        return self._packed

    def __reduce__(self) -> Any:
        return _unpack, (self.packed(),)

    def __call__(self, x: Any) -> Outcome:
        """Evaluate at x; one that has been packed is in another process."""
        return (attempt_afar if self._packed else attempt)(self.called, x)


_UNPACKED: dict[bytes, Parcel] = {}
"""The last function that this process was sent: its points come one by one."""


def _unpack(packed: bytes) -> Parcel:
    if packed not in _UNPACKED:
        _UNPACKED.clear()
        _UNPACKED[packed] = Parcel(pickle.loads(packed), packed)  # noqa: S301 - from the caller
    return _UNPACKED[packed]


def _remedy() -> str:
    here = "define it at the top of a module, or use threads, workers=ThreadPoolExecutor(...)"
    return here if importlib.util.find_spec("cloudpickle") else f"install cloudpickle, {here}"


def dumps(value: Any) -> bytes:
    """Return a value as bytes, with the classes and functions in it if need be."""
    if importlib.util.find_spec("cloudpickle"):
        import cloudpickle

        return cloudpickle.dumps(value)
    return pickle.dumps(value)


def _dumps(called: Called) -> bytes:
    if not importlib.util.find_spec("cloudpickle"):
        if getattr(called.f, "__module__", "") == "__main__":
            raise pickle.PicklingError("it is defined in the program itself")
        return pickle.dumps(called)
    import cloudpickle

    home = sys.modules.get(getattr(called.f, "__module__", "") or "")
    if home is None or home.__name__ == "__main__" or _importable(home):
        return cloudpickle.dumps(called)
    cloudpickle.register_pickle_by_value(home)
    try:
        return cloudpickle.dumps(called)
    finally:
        cloudpickle.unregister_pickle_by_value(home)


def _importable(home: ModuleType) -> bool:
    """Tell whether a process with the same paths imports this very file by this name."""
    spec = PathFinder.find_spec(home.__name__.partition(".")[0])
    file = getattr(home, "__file__", None)
    if spec is None or file is None:
        return file is None
    folders = [*(spec.submodule_search_locations or ()), spec.origin or ""]
    return any(Path(file).is_relative_to(folder) for folder in folders if folder)
