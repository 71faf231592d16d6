"""The form of an operator: its signature, value, derivative, slips, and how to draw its inputs.

An operator is a module that holds

- ``SIGNATURE``: ONNX's name, inputs, outputs and attributes, letter for letter;
- ``shapes(*inputs, **attributes)``: the shapes of the outputs; refuses what does not fit. A
  differentiable input comes as its shape (a tuple), a constant one as its array, an absent one as
  None;
- ``value(xp, *inputs, **attributes)``: the output, or a tuple of them, in the primitives of `xp`; a
  costly one may come as a function without arguments, which is called if the output is wanted;
- ``vjp(xp, *cotangents, *inputs, **attributes)``: by name, the derivative of Σ cotangent · output
  by each differentiable input that is there (that of a variadic input is a list); a costly one may
  come as a function without arguments, which is called if the derivative is wanted;
- ``SLIPS``: what people write instead of the vjp;
- ``draw(rng)``: a case that tells the slips apart;

and, where they are known,

- ``WAYS``: vjps that people evaluate otherwise and that round differently;
- ``rounded_vjp``: a tighter bound than the primitives give; the module says why it holds;
- ``FAMILIES`` and ``CURVES``: wrong derivatives in which numbers are to be fitted;
- ``agreed(rng)``: a case for ONNX's evaluator, where it does not compute that of ``draw``;
- ``read(derivative, *inputs, **attributes)``: what a wrong derivative of a loss says about how it
  was made, as tuples (code, says, remedy, the derivative that is meant, bits that were read).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.rounded import RoundedNumbers
from oracle.values import InvalidInput

Shape: TypeAlias = tuple[int, ...]

Gradients: TypeAlias = Mapping[str, Number]
"""Derivatives by the name of an input."""

Vjp: TypeAlias = Callable[..., Gradients]

REQUIRED = object()
"""Stands for an attribute that has no default."""


@dataclass(frozen=True)
class Input:
    """One input: whether it can be differentiated, left out, or given any number of times."""

    name: str
    constant: bool = False
    optional: bool = False
    variadic: bool = False


def optional(name: str) -> Input:
    """Return a differentiable input that may be left out."""
    return Input(name, optional=True)


def constant(name: str) -> Input:
    """Return an input that is known, and not differentiated: labels, indices, a mask."""
    return Input(name, constant=True)


def optional_constant(name: str) -> Input:
    """Return a known input that may be left out."""
    return Input(name, constant=True, optional=True)


def variadic(name: str) -> Input:
    """Return a differentiable input that is given once or more, as the last one."""
    return Input(name, variadic=True)


class Signature:
    """Name, inputs, outputs and attributes of an operator, as ONNX has them.

    `attributes` maps each name to its default; `REQUIRED` has none. `optional_outputs` counts
    those at the end that a node may leave out; if `variadic_outputs`, a node has as many of the
    one output as `shapes` says. `ours` are attributes that ONNX lacks, and inputs
    that ONNX requires and this project does not. `domain` is
    "" for ONNX's own operators and "oracle" for those of this project; `version` is the set of
    operators in which ONNX has it so. An `activation` has one input; people take one for another.
    """

    def __init__(
        self,
        name: str,
        *,
        inputs: Sequence[str | Input],
        outputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
        version: int = 0,
        optional_outputs: int = 0,
        variadic_outputs: bool = False,
        ours: Sequence[str] = (),
        activation: bool = False,
    ) -> None:
        self.name = name
        self.inputs = tuple(Input(one) if isinstance(one, str) else one for one in inputs)
        self.outputs = tuple(outputs)
        self.attributes = dict(attributes or {})
        self.version = version
        self.domain = "" if version else "oracle"
        self.optional_outputs = optional_outputs
        self.variadic_outputs = variadic_outputs
        self.ours = frozenset(ours)
        self.activation = activation

    def input_at(self, place: int) -> Input:
        """Return the input at a place of a call; the last one may be variadic."""
        return self.inputs[min(place, len(self.inputs) - 1)]


@dataclass(frozen=True)
class Slip:
    """One operation of a vjp written wrongly.

    `code` is fixed; `says` a sentence; `remedy` the line that fixes it. `wrong` has the arguments
    of the vjp and returns those of its derivatives that come out otherwise.
    """

    code: str
    says: str
    wrong: Vjp
    remedy: str = ""


@dataclass(frozen=True)
class Family:
    """Derivatives that are some sum of known functions, whose shares are not known.

    `bases` has the arguments of the vjp and returns what one share of each function gives, by name
    of the input. `says` may hold the shares as {0}, {1}, ...
    """

    code: str
    says: str
    bases: Callable[..., Sequence[Gradients]]
    remedy: str


@dataclass(frozen=True)
class Curve:
    """Derivatives that depend on one number that is not known: a temperature, a guard.

    `of` takes the number, then the arguments of the vjp. `says` holds the number as {0}. `usual` is
    the number of the right derivative, `starts` are those from which it is looked for.
    """

    code: str
    says: str
    of: Vjp
    remedy: str
    usual: Callable[[Mapping[str, Any]], float]
    starts: tuple[float, ...]


@dataclass(frozen=True)
class Case:
    """Inputs by name, None where one is absent, and attributes."""

    inputs: Mapping[str, Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Operator:
    """An operator of the table."""

    signature: Signature
    shapes: Callable[..., Sequence[Shape]]
    evaluate: Callable[..., Any]
    differentiate: Vjp
    slips: tuple[Slip, ...]
    draw: Callable[[np.random.Generator], Case]
    agreed: Callable[[np.random.Generator], Case]
    ways: tuple[Vjp, ...]
    rounded: Vjp | None
    families: tuple[Family, ...]
    curves: tuple[Curve, ...]
    read: Callable[..., Sequence[tuple[str, str, str, Any, float]]] | None
    text: str

    @classmethod
    def of(cls, module: ModuleType) -> Operator:
        """Return the operator that a module holds."""
        return cls(
            module.SIGNATURE,
            module.shapes,
            module.value,
            module.vjp,
            tuple(getattr(module, "SLIPS", ())),
            module.draw,
            getattr(module, "agreed", module.draw),
            tuple(getattr(module, "WAYS", ())),
            getattr(module, "rounded_vjp", None),
            tuple(getattr(module, "FAMILIES", ())),
            tuple(getattr(module, "CURVES", ())),
            getattr(module, "read", None),
            module.__doc__ or "",
        )

    @property
    def name(self) -> str:
        """Name of the operator."""
        return self.signature.name

    def value(
        self,
        xp: Numbers,
        inputs: Sequence[Number | None],
        attributes: Mapping[str, Any],
        wanted: Sequence[object] | None = None,
    ) -> tuple[Number, ...]:
        """Return the outputs, or of those that are costly the ones that are wanted.

        `wanted` has for each output something true if it is.
        """
        outputs = self.evaluate(xp, *inputs, **attributes)
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        those = [True] * len(several) if wanted is None else [*wanted, *[False] * len(several)]
        return tuple(
            (out() if want else None) if callable(out) else out
            for out, want in zip(several, those, strict=False)
        )

    def vjp(
        self,
        xp: Numbers,
        cotangents: Sequence[Number | None],
        inputs: Sequence[Number | None],
        attributes: Mapping[str, Any],
        wanted: Collection[str] | None = None,
    ) -> Gradients:
        """Return the derivatives by the differentiable inputs that are there, or are wanted."""
        ways: list[Vjp] = [self.differentiate]
        if isinstance(xp, RoundedNumbers):
            ways = [self.rounded or self.differentiate, *self.ways]
        found = []
        for way in ways:
            lazy = way(xp, *cotangents, *inputs, **attributes)
            names = [name for name in lazy if wanted is None or name in wanted]
            found.append({n: lazy[n]() if callable(lazy[n]) else lazy[n] for n in names})
        if len(found) == 1 or not isinstance(xp, RoundedNumbers):
            return found[0]
        return {name: xp.widest([each[name] for each in found]) for name in found[0]}

    def complete(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return attributes with their defaults, of whose type they are.

        Raises
        ------
        InvalidInput
            If an attribute is unknown or of another type than its default, or one is missing that
            has no default.
        """
        known = self.signature.attributes
        for name, given in attributes.items():
            if name not in known:
                has = ", ".join(known) or "none"
                requirement = f"be an attribute of {self.name} ({has})"
                raise InvalidInput(name, requirement, repr(name))
            _require_like(name, given, known[name])
        for name, default in known.items():
            if default is REQUIRED and name not in attributes:
                raise InvalidInput(name, "be given", "nothing")
        return {**known, **attributes}


def _require_like(name: str, given: Any, default: Any) -> None:
    """Raise unless an attribute has the type of its default; a number may be a whole one."""
    for kind, wanted in ((int, "a whole number"), (float, "a number"), (str, "a text")):
        if isinstance(default, kind):
            held = int | float if kind is float else kind
            if isinstance(given, bool) or not isinstance(given, held):
                raise InvalidInput(name, f"be {wanted}", repr(given))
    if isinstance(given, float) and not math.isfinite(given):
        raise InvalidInput(name, "be finite", repr(given))


def broadcast(**shapes: Shape) -> Shape:
    """Return the shape to which several broadcast.

    Raises
    ------
    InvalidInput
        If they do not.
    """
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        first, *rest = shapes
        others = ", ".join(f"`{name}` {shapes[name]}" for name in rest)
        last = rest[-1] if rest else first
        raise InvalidInput(
            last, f"broadcast with `{first}` {shapes[first]}", others or str(shapes[last])
        ) from None


def axis_of(argument: str, axis: Any, ndim: int) -> int:
    """Return an axis counted from the first.

    Raises
    ------
    InvalidInput
        If there is no such axis.
    """
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise InvalidInput(argument, "be a whole number", repr(axis))
    if not -ndim <= axis < ndim:
        requirement = f"be from {-ndim} to {ndim - 1}" if ndim else "be left out of a scalar"
        raise InvalidInput(argument, requirement, str(axis))
    return int(axis) % ndim


def axes_from(argument: str, axes: Any, ndim: int) -> tuple[int, ...]:
    """Return axes counted from the first, in their order; all if none are given.

    Raises
    ------
    InvalidInput
        If they are no whole numbers, one does not exist, or one comes twice.
    """
    if axes is None:
        return tuple(range(ndim))
    found = tuple(axis_of(argument, one, ndim) for one in whole_numbers(argument, axes))
    if len(set(found)) < len(found):
        raise InvalidInput(argument, "name each axis once", str(list(found)))
    return found


def whole_numbers(argument: str, given: Any) -> tuple[int, ...]:
    """Return a list of whole numbers, as an attribute or a known input holds it.

    Raises
    ------
    InvalidInput
        If it is something else.
    """
    array = np.asarray(given)
    if array.ndim > 1 or (array.size and array.dtype.kind not in "iu"):
        was = f"shape {array.shape}" if array.ndim > 1 else repr(given)
        raise InvalidInput(argument, "be a list of whole numbers", was)
    return tuple(int(one) for one in array.ravel())


def flag_of(argument: str, given: int) -> bool:
    """Return what a switch says, which ONNX holds as a whole number.

    Raises
    ------
    InvalidInput
        If it is neither 0 nor 1.
    """
    if given not in (0, 1):
        raise InvalidInput(argument, "be 0 or 1", str(given))
    return bool(given)
