"""Check the Jacobian of a function of several values: which columns are wrong, and which rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradient_oracle import arrays, trees
from gradient_oracle.black_box import Effort, check
from gradient_oracle.called import Called, Function, require_callable
from gradient_oracle.claims import Gradient
from gradient_oracle.conversation import Progress, Transport
from gradient_oracle.errors import invalid
from gradient_oracle.manner import Manner, arguments, name_of
from gradient_oracle.outputs import Pairing, parts
from gradient_oracle.points import Point
from gradient_oracle.products import weights_like
from gradient_oracle.report import Report
from gradient_oracle.transport import Connection
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.values import Array

HELD_BYTES = 2**28
"""Of values of f that are remembered."""
MOST_ROWS = 4
"""Wrong rows that are named; each takes some ten checks more, of values that are known mostly."""


class Remembering:
    """f, and what it returned where it was asked: rows are checked at the same points.

    Where it is sent to workers it forgets.
    """

    def __init__(self, f: Function) -> None:
        self.f = f
        self.known: dict[bytes, dict[str, Array]] = {}
        self.held = 0

    def __reduce__(self) -> Any:
        return Remembering, (self.f,)

    def __call__(self, x: Any, *args: Any) -> Any:
        """Return the arrays of f(x) by their paths."""
        nodes = trees.paths(trees.parameters(x))
        tensors = [arrays.to_numpy(node) for _, _, node in nodes]
        key = hashlib.sha256(b"".join(tensor.tobytes() for tensor in tensors)).digest()
        if key in self.known:
            return self.known[key]
        value = {path: np.array(array) for path, array in parts(self.f(x, *args), "f").items()}
        self.held += arrays.byte_count(value.values())
        if self.held <= HELD_BYTES:
            self.known[key] = value
        return value


@dataclass(frozen=True)
class Blocks:
    """A Jacobian by the paths of f(x): for each, the gradients of its entries as x is given."""

    shapes: Mapping[str, tuple[int, ...]]
    blocks: Mapping[str, Gradient]

    def gradient(self, weights: Mapping[str, Array]) -> list[Array]:
        """Return J^T c for each floating tensor of x, in the type of the Jacobian."""
        totals: list[Array] = []
        for path, block in self.blocks.items():
            for index, tensor in enumerate(block.tensors):
                if tensor is None:
                    continue
                c = weights[path]
                product = np.tensordot(c, tensor.astype(np.float64), c.ndim).astype(tensor.dtype)
                if index < len(totals):
                    totals[index] = totals[index] + product
                else:
                    totals.append(product)
        return totals

    def rows(self) -> list[tuple[str, int]]:
        """Return the entries of f(x): the path of the array and the flat index."""
        return [
            (path, row)
            for path, shape in self.shapes.items()
            for row in range(int(np.prod(shape, dtype=np.int64)))
        ]

    def named(self, path: str, row: int) -> str:
        """Return what a row is called."""
        index = (
            [int(i) for i in np.unravel_index(row, self.shapes[path])] if self.shapes[path] else []
        )
        return f"{index} of `{path}`" if path else f"{index}"


def check_jacobian(
    client: Connection,
    f: Function,
    x: Any,
    jacobian: Any,
    *,
    args: Any = (),
    resolution: float | None = None,
    max_evaluations: int = 2_000,
    max_seconds: float | None = None,
    miss_probability: float = 0.01,
    seed: int = 0,
    timeout: float | None = None,
    progress: Progress | None = None,
    transport: Transport = "auto",
    workers: Any = 1,
    name: str | None = None,
) -> Report:
    """Check the Jacobian of a function whose value is an array, or several.

    The value of f is paired with weights +-[1, 2] drawn from `seed`, and the gradient of that
    number is checked against the same sum of the rows; columns, the entries of x, are located by
    it. If it fails, the same is done with fewer and fewer rows, until single ones are found.

    Parameters
    ----------
    f : callable
        As for `check_gradient`; its value is an array, or nested dicts, lists and tuples of arrays.
    x : as for `check_gradient`
        Where to check.
    jacobian : array, nested dicts, lists and tuples of arrays, or callable
        What is claimed: in the structure of f(x), in the place of each array what `x` is, with
        arrays of the shape of that array followed by that of the tensor of x. A function is called
        with `x` and `args`.
    args, resolution, max_evaluations, max_seconds, miss_probability, seed
        As for `check_gradient`; the evaluations are those of one of the checks.
    timeout, progress, transport, workers, name
        As for `check_gradient`.

    Returns
    -------
    Report
        The verdict on the tensors of `x`; a note names the rows that are wrong.
    """
    claim = pb.BLACK_BOX_CLAIM_JACOBIAN
    effort = Effort(resolution, max_evaluations, max_seconds, miss_probability, seed, claim)
    manner = Manner(timeout, progress, transport, workers)
    require_callable("f", f)
    given = arguments(args)
    if callable(jacobian) and not trees.is_module(jacobian):
        jacobian = jacobian(x, *given)
    remembering = Remembering(f)
    point = Point(Called(remembering, given), x)
    value = remembering.f(point.handed(), *given)
    blocks = _blocks(value, jacobian, point)
    weights = weights_like(parts(value, "f"), seed)
    subject = name or name_of(f)

    def checked(held: Mapping[str, Array]) -> Report:
        called = replace(point.called, pairing=Pairing(held, "jacobian"))
        rows = blocks.gradient(held)
        paths = (leaf.path for leaf in point.floating)
        single = bool(arrays.library(point.tree))
        gradient = rows[0] if single else dict(zip(paths, rows, strict=True))
        return check(client, Point(called, x), gradient, effort, manner, name=subject)

    report = checked(weights)
    if report.verdict != "fail" or not report.tensors:
        return report
    wrong = _wrong_rows(blocks, weights, checked)
    if not wrong:
        return report
    which = ", ".join(blocks.named(*row) for row in wrong)
    more = ", and perhaps more" if len(wrong) == MOST_ROWS else ""
    rows = "Row" if len(wrong) == 1 else "Rows"
    return report.noted(
        f"{rows} {which} of the Jacobian {'is' if not wrong[1:] else 'are'} wrong{more}."
    )


def _wrong_rows(
    blocks: Blocks, weights: Mapping[str, Array], checked: Any
) -> list[tuple[str, int]]:
    """Return rows of which each fails alone, by halving the rows that fail together."""
    open_sets = [blocks.rows()]
    wrong: list[tuple[str, int]] = []
    while open_sets and len(wrong) < MOST_ROWS:
        rows = open_sets.pop()
        if len(rows) == 1:
            wrong += rows
            continue
        half = len(rows) // 2
        halves = (rows[half:], rows[:half])
        open_sets += [s for s in halves if checked(_only(weights, s)).verdict == "fail"]
    return wrong


def _only(weights: Mapping[str, Array], rows: Sequence[tuple[str, int]]) -> dict[str, Array]:
    """Return weights of which those of other rows are zero."""
    held = {path: np.zeros_like(array) for path, array in weights.items()}
    for path, row in rows:
        held[path].reshape(-1)[row] = weights[path].reshape(-1)[row]
    return held


def _blocks(value: Any, jacobian: Any, point: Point) -> Blocks:
    """Read a Jacobian in the structure of f(x).

    Raises
    ------
    InvalidRequest
        If it has another structure, or a block has another shape.
    """
    found = parts(value, "f")
    blocks = {}
    for path, block in _beside(trees.rooted(value), jacobian, ""):
        gradient = Gradient(block, point, "jacobian")
        gradient.require_floating("jacobian")
        for leaf, array in zip(point.floating, gradient.tensors, strict=True):
            wanted = found[path].shape + leaf.array.shape
            if array is None or array.shape != wanted:
                where = f"`{leaf.path}`" + (f" of `{path}`" if path else "")
                was = "nothing" if array is None else f"{array.shape}"
                raise invalid("jacobian", f"have shape {wanted} in {where}", was)
        blocks[path] = gradient
    return Blocks({path: array.shape for path, array in found.items()}, blocks)


def _beside(value: Any, jacobian: Any, path: str) -> list[tuple[str, Any]]:
    """Return what stands in a Jacobian in the place of each array of f(x)."""
    if isinstance(value, Mapping):
        if not isinstance(jacobian, Mapping) or set(jacobian) != set(value):
            names = ", ".join(map(str, value))
            was = ", ".join(map(str, jacobian)) if isinstance(jacobian, Mapping) else "other"
            raise invalid("jacobian", f"hold {names}, as f(x) does", was)
        pairs = [
            (f"{path}.{key}" if path else str(key), value[key], jacobian[key]) for key in value
        ]
    elif isinstance(value, (list, tuple)):
        if not isinstance(jacobian, (list, tuple)) or len(jacobian) != len(value):
            raise invalid("jacobian", f"hold {len(value)} blocks, as f(x) does", "another number")
        both = zip(value, jacobian, strict=True)
        pairs = [(f"{path}[{index}]", v, block) for index, (v, block) in enumerate(both)]
    else:
        return [(path, jacobian)]
    return [found for place, v, block in pairs for found in _beside(v, block, place)]
