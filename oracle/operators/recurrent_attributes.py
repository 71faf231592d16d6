"""What RNN, GRU and LSTM accept: shapes, directions, lengths, and functions of their gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.attributes import require_one_of, require_whole
from oracle.operators.operator import Shape
from oracle.values import Array, InvalidInput

ATTRIBUTES: dict[str, Any] = {"direction": "forward", "hidden_size": None, "layout": 0}

FUNCTIONS: dict[str, tuple[Callable[..., Number], Callable[..., Number]]] = {
    "Relu": (lambda xp, a: xp.maximum(a, xp.full(a, 0.0)), lambda xp, a: xp.step(a)),
    "Sigmoid": (lambda xp, a: xp.sigmoid(a), lambda xp, a: xp.sigmoid_slope(a)),
    "Softplus": (lambda xp, a: xp.softplus(a), lambda xp, a: xp.sigmoid(a)),
    "Tanh": (lambda xp, a: xp.tanh(a), lambda xp, a: xp.tanh_slope(a)),
}
"""Functions of gates, and their slopes."""


def functions(given: Sequence[str] | None, default: Sequence[str], d: int) -> list[str]:
    """Return the names of the functions of a direction."""
    names = list(default) if given is None else list(given)
    n = len(default)
    return names[d * n : (d + 1) * n] if len(names) > n else names[:n]


def apply(xp: Numbers, name: str, a: Number) -> Number:
    """Return a function of gates."""
    return FUNCTIONS[name][0](xp, a)


def slope(xp: Numbers, name: str, a: Number) -> Number:
    """Return the slope of a function of gates."""
    return FUNCTIONS[name][1](xp, a)


def require_functions(given: Any, count: int, directions: int) -> None:
    """Raise unless the functions are known, and as many as the gates of all directions need.

    Raises
    ------
    InvalidInput
        If they are not.
    """
    if given is None:
        return
    known = ", ".join(FUNCTIONS)
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidInput("activations", f"hold {count} names of {known}", repr(given))
    if len(given) < count * directions or any(one not in FUNCTIONS for one in given):
        requirement = f"hold {count * directions} names of {known}"
        raise InvalidInput("activations", requirement, repr(list(given)))


def require(
    X: Shape,
    W: Shape,
    R: Shape,
    *,
    gates: int,
    direction: str,
    hidden_size: int | None,
    layout: int,
    sequence_lens: Array | None,
    others: dict[str, tuple[Shape | None, str]],
) -> None:
    """Raise unless the shapes fit; `others` are given with what they must be: "state", "B", "P".

    Raises
    ------
    InvalidInput
        If one does not.
    """
    require_one_of("direction", direction, ("forward", "reverse", "bidirectional"))
    require_whole("hidden_size", hidden_size, 1)
    if layout not in (0, 1):
        raise InvalidInput("layout", "be 0 or 1", str(layout))
    if len(X) != 3 or 0 in X:
        raise InvalidInput("X", "have three axes, and entries", f"shape {X}")
    D = 2 if direction == "bidirectional" else 1
    if len(R) != 3 or R[0] != D or not R[2] or R[1] != gates * R[2]:
        requirement = f"have shape ({D}, {gates} H, H)"
        raise InvalidInput("R", requirement, f"shape {R}")
    H, batch = R[2], X[0] if layout else X[1]
    if hidden_size is not None and hidden_size != H:
        raise InvalidInput("hidden_size", f"be {H}, as R has it", str(hidden_size))
    if (D, gates * H, X[2]) != W:
        raise InvalidInput("W", f"have shape {(D, gates * H, X[2])}", f"shape {W}")
    wanted = {
        "state": (batch, D, H) if layout else (D, batch, H),
        "B": (D, 2 * gates * H),
        "P": (D, 3 * H),
    }
    for name, (shape, kind) in others.items():
        if shape is not None and shape != wanted[kind]:
            raise InvalidInput(name, f"have shape {wanted[kind]}", f"shape {shape}")
    if sequence_lens is not None:
        length = X[1] if layout else X[0]
        if sequence_lens.dtype.kind not in "iu" or sequence_lens.shape != (batch,):
            was = f"{sequence_lens.dtype} of shape {sequence_lens.shape}"
            raise InvalidInput("sequence_lens", f"hold whole numbers of shape ({batch},)", was)
        if sequence_lens.min() < 0 or sequence_lens.max() > length:
            was = f"{sequence_lens.min()} to {sequence_lens.max()}"
            raise InvalidInput("sequence_lens", f"be from 0 to {length}", was)
