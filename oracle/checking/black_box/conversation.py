"""What a black-box check and its caller say to each other, as plain values.

A check is a generator: it yields an `Ask` and is sent an `Answer`, until it returns a `Report`. It
is deterministic and reads no clock, so a session is the sum of the answers given so far: feeding
the same answers to a fresh generator brings it to the same point.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from oracle.values import Finding, Report


@dataclass(frozen=True)
class SizeClass:
    """Entries of a tensor that have like sizes, as black_box.proto numbers them.

    `first` is the flat index of the first of `count` entries; the rest is as in `TensorSpec`.
    """

    number: int
    count: int
    first: int
    largest: float
    mean_square: float
    gradient_largest: float
    gradient_norm: float


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of the caller's x: what the oracle knows of it.

    `largest` is max |x_i| and `mean_square` the mean of x_i^2 over the tensor; `gradient_largest`
    and `gradient_norm` are max |g_i| and the Euclidean norm of the caller's gradient in it.
    `fault` says why that gradient cannot be compared at all. `gradient_dtype` is the type that it
    is kept in, that of x if empty. `classes` is empty where all entries have one size.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size: int
    largest: float
    mean_square: float
    gradient_largest: float
    gradient_norm: float
    fault: Finding | None = None
    gradient_dtype: str = ""
    classes: tuple[SizeClass, ...] = ()


@dataclass(frozen=True)
class Part:
    """A tensor, or its entries of some classes, and what the step of a probe is multiplied by."""

    tensor: int
    scale: float
    classes: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Selection:
    """Parts of several tensors that are moved at once; each is a selection of its own."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Probe:
    """A point to evaluate f at: x with `step * sign(seed, i)` added to begin <= i < end.

    i counts the flat entries of `tensor` in C order and the signs are those of
    `oracle.splitmix.positive_signs`. A step of 0 is x itself. The sum is rounded to the
    tensor's dtype. A `selection` is moved in place of the range, with the seed of
    `oracle.splitmix.seed_of` for each of its tensors.
    """

    tensor: int
    begin: int
    end: int
    seed: int
    step: float
    selection: Selection | None = None


@dataclass(frozen=True)
class Ask:
    """Probes that the caller evaluates next, and how far the check is."""

    probes: tuple[Probe, ...]
    stage: str
    fraction_done: float


@dataclass(frozen=True)
class Evaluation:
    """The caller's answer to one probe.

    `value` is f at the point; `predicted` is <g, x_probe - x> with the x_probe that the dtype
    really holds, summed in float64; `moved` is max |x_probe - x|. `outside` says that f has no
    value there (an error, "outside my domain"), and then the numbers do not count; `message` may
    say why.
    """

    value: float
    predicted: float
    moved: float
    outside: bool = False
    message: str = ""


@dataclass(frozen=True)
class Answer:
    """The evaluations of an ask in the order of its probes, and how long the check took so far.

    `elapsed` is in seconds by the caller's clock. If it has reached `max_seconds` of the task, the
    last evaluations may be missing.
    """

    evaluations: tuple[Evaluation, ...]
    elapsed: float = 0.0


@dataclass(frozen=True)
class CheckTask:
    """What is to be checked, and with how much effort.

    `value_dtype` is the dtype of f's values. `resolution` is the relative error that a pass should
    exclude. `value_accuracy` is what the values of f are off by at most, relative to their size.
    `max_evaluations`, `max_seconds` and `miss_probability` bound the effort.
    """

    tensors: tuple[TensorSpec, ...]
    value_dtype: str
    resolution: float | None = None
    max_evaluations: int = 2_000
    miss_probability: float = 0.01
    seed: int = 0
    subject: str = "f"
    max_seconds: float = math.inf
    value_accuracy: float = 0.0


Check: TypeAlias = Generator[Ask, Answer, Report]
