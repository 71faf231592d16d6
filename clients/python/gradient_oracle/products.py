"""Check products with a Jacobian, J v and J^T c, and with a Hessian, H v."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradient_oracle import arrays, trees
from gradient_oracle.black_box import Effort, check
from gradient_oracle.called import Called, Function, require_callable
from gradient_oracle.claims import Gradient, largest_and_square, require_finite
from gradient_oracle.conversation import Progress, Transport
from gradient_oracle.manner import Manner, arguments, name_of
from gradient_oracle.outputs import Pairing, pairing, parts
from gradient_oracle.points import Point
from gradient_oracle.report import Report
from gradient_oracle.transport import Connection
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.values import Array


@dataclass(frozen=True)
class Along:
    """<weights, f(x + s v)> as a function of s, of which s = 1 is x; it may travel to workers."""

    called: Called
    tree: Any
    leaves: Sequence[trees.Leaf]
    directions: Mapping[str, Array]
    unit: float

    def __call__(self, moved: Mapping[str, Array]) -> Array:
        """Return the value at s, which is given as {"s": an array of one}."""
        s = (float(moved["s"][0]) - 1) * self.unit
        tensors = []
        for leaf in self.leaves:
            array = np.array(leaf.array)
            if leaf.path in self.directions:
                step = s * self.directions[leaf.path].astype(np.float64)
                array[...] = leaf.array.astype(np.float64) + step
            tensors.append(arrays.from_numpy(array, leaf.original))
        value = self.called(trees.rebuild(self.tree, tensors))
        return value.number.astype(value.dtype)


def check_jvp(
    client: Connection,
    f: Function,
    x: Any,
    tangent: Any,
    jvp: Any,
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
    journal: Any = None,
    name: str | None = None,
) -> Report:
    """Check a Jacobian-vector product J v: the derivative of f(x + s v) at s = 0.

    The value of f is paired with weights +-[1, 2] drawn from `seed`, so that errors in different
    entries of `jvp` cannot cancel but with probability 0.

    Parameters
    ----------
    f : callable
        As for `check_gradient`; its value may be an array, or nested dicts, lists and tuples.
    x, tangent : as for `check_gradient`
        The point, and v of the same structure.
    jvp : as f(x)
        What is claimed: J v.
    seed : int
        Seed of the weights and of all random choices.
    args, resolution, max_evaluations, max_seconds, miss_probability
        As for `check_gradient`.
    timeout, progress, transport, workers, journal, name
        As for `check_gradient`.

    Returns
    -------
    Report
        The verdict; its one tensor is "s", which moves x along v by about the size of x.
    """
    effort = Effort(
        resolution, max_evaluations, max_seconds, miss_probability, seed, pb.BLACK_BOX_CLAIM_JVP
    )
    manner = Manner(timeout, progress, transport, workers, journal=journal)
    require_callable("f", f)
    point, slope = _along(Called(f, arguments(args)), x, tangent, jvp, argument="jvp", seed=seed)
    name = name or f"{name_of(f)} along the tangent"
    return check(client, point, {"s": slope}, effort, manner, name=name)


def _along(
    called: Called, x: Any, tangent: Any, product: Any, *, argument: str, seed: int
) -> tuple[Point, Array]:
    """Return f along a tangent as a function of one number, and the slope that is claimed."""
    point = Point(called, x)
    directions = Gradient(tangent, point, "tangent")
    directions.require_fit("tangent")
    for entries in directions.entries:
        require_finite("tangent", entries)
    claimed = parts(product, argument)
    weights = weights_like(claimed, seed)

    # A unit of s moves x by about its own size, less for many entries as along the directions of
    # a check; s is as coarse as x, so that its steps are those that x resolves. s = 1 is x.
    coarsest = arrays.coarsest(point.scratch)
    origins = [leaf.array.reshape(-1) for leaf in point.floating]
    unit = _size(origins, least=1.0) / (_size(directions.entries) or 1.0)
    unit /= sum(tensor.size for tensor in origins) ** 0.25
    along = Along(
        replace(called, pairing=Pairing(weights, argument)),
        point.tree,
        point.leaves,
        {
            leaf.path: array
            for leaf, array in zip(point.floating, directions.tensors, strict=True)
            if array is not None
        },
        unit,
    )
    total = sum(
        float(np.vdot(weights[path], array.astype(float))) for path, array in claimed.items()
    )
    return Point(Called(along), {"s": np.ones(1, coarsest)}), np.array([unit * total])


def _size(tensors: Sequence[Array], *, least: float = 0.0) -> float:
    """Return the root mean square of all entries, at least `least`."""
    count = max(1, sum(tensor.size for tensor in tensors))
    return max(least, math.sqrt(sum(largest_and_square(t)[1] for t in tensors) / count))


def weights_like(found: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """Draw weights +-[1, 2], with which errors in different entries cannot cancel but by chance."""
    rng = np.random.default_rng(arrays.seed(seed))
    return {
        path: np.asarray(rng.uniform(1, 2, array.shape) * rng.choice([-1.0, 1.0], array.shape))
        for path, array in found.items()
    }


def check_adjoint(
    client: Connection,
    jvp: Function,
    vjp: Function,
    x: Any,
    *,
    cotangent: Any = None,
    resolution: float | None = None,
    max_evaluations: int = 2_000,
    max_seconds: float | None = None,
    miss_probability: float = 0.01,
    seed: int = 0,
    timeout: float | None = None,
    progress: Progress | None = None,
    transport: Transport = "auto",
    workers: Any = 1,
    vectorized: bool = False,
    journal: Any = None,
    name: str | None = None,
) -> Report:
    """Check that two products belong to one Jacobian: <c, J v> = <J^T c, v> for all v.

    J v is linear in v, so that J^T c is the gradient of <c, J v> at every v. Whether J is the
    Jacobian of f is for `check_jvp`, or `check_gradient` with a cotangent, to say.

    Parameters
    ----------
    jvp : callable
        Takes a tangent v of the structure of `x` and returns J v.
    vjp : callable
        Takes a cotangent c of the structure and library of J v and returns J^T c, as `x`.
    x : as for `check_gradient`
        The point of the Jacobian: v has its structure and moves around it.
    cotangent : as J v, optional
        c; by default weights +-[1, 2] drawn from `seed`.
    resolution, max_evaluations, max_seconds, miss_probability, seed
        As for `check_gradient`.
    timeout, progress, transport, workers, vectorized, journal, name
        As for `check_gradient`.

    Returns
    -------
    Report
        The verdict, on the tensors of `x`.
    """
    effort = Effort(
        resolution, max_evaluations, max_seconds, miss_probability, seed, pb.BLACK_BOX_CLAIM_ADJOINT
    )
    manner = Manner(timeout, progress, transport, workers, vectorized, journal)
    require_callable("jvp", jvp)
    require_callable("vjp", vjp)
    if cotangent is None:
        cotangent = _cotangent(jvp(trees.rooted(x)), seed)
    point = Point(Called(jvp, pairing=pairing(cotangent)), x)
    return check(client, point, vjp(cotangent), effort, manner, name=name or "J v and its adjoint")


def _cotangent(product: Any, seed: int) -> Any:
    """Draw weights of the structure, the types and the libraries of J v."""
    found = parts(product, "jvp")
    weights = weights_like(found, seed)
    made = []
    for path, _, node in trees.paths(trees.rooted(product)):
        array = weights[path].astype(found[path].dtype)
        made.append(arrays.from_numpy(array, node) if arrays.library(node) else array)
    return trees.rebuild(trees.rooted(product), made)


def check_hessian_vector_product(
    client: Connection,
    gradient: Function,
    x: Any,
    tangent: Any,
    product: Any,
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
    vectorized: bool = False,
    journal: Any = None,
    name: str | None = None,
) -> Report:
    """Check a Hessian-vector product H v by the gradient of the function, and that H is symmetric.

    H v is the gradient of <v, gradient(x)>, and it is what gradient(x) changes by along v: of the
    first each entry of `product` is known, and the second is the same if `gradient` is the gradient
    of a function, whose second derivatives do not depend on their order.

    Parameters
    ----------
    gradient : callable
        Takes what `x` is and returns the gradient there, of the structure of `x`.
    x, tangent : as for `check_gradient`
        The point, and v of the same structure.
    product : as `x`, or callable
        What is claimed: H v. A function is called with `x`, v and `args`.
    args, resolution, max_evaluations, max_seconds, miss_probability, seed
        As for `check_gradient`; the evaluations are those of `gradient`, for each of the two.
    timeout, progress, transport, workers, vectorized, journal, name
        As for `check_gradient`.

    Returns
    -------
    Report
        The verdict, on the tensors of `x`, or on "s", which moves x along v, where H v agrees with
        one of the two only.
    """
    effort = Effort(
        resolution,
        max_evaluations,
        max_seconds,
        miss_probability,
        seed,
        pb.BLACK_BOX_CLAIM_HESSIAN_VECTOR_PRODUCT,
    )
    manner = Manner(timeout, progress, transport, workers, vectorized, journal)
    require_callable("gradient", gradient)
    given = arguments(args)
    if callable(product) and not trees.is_module(product):
        product = product(x, tangent, *given)
    called = Called(gradient, given)
    weights = {
        path: array.astype(np.float64)
        for path, array in parts(trees.parameters(tangent), "tangent").items()
    }
    point = Point(replace(called, pairing=Pairing(weights, "tangent")), x)
    subject = name or f"the Hessian of the function of {name_of(gradient)}"
    across = check(client, point, product, effort, manner, name=subject)
    if across.verdict == "inconclusive" or effort.max_seconds is not None:
        return across
    line, slope = _along(called, x, tangent, product, argument="product", seed=seed)
    plain = replace(manner, vectorized=False, journal=None)
    along = check(client, line, {"s": slope}, effort, plain, name=f"{subject}, along v")
    if along.verdict in (across.verdict, "inconclusive"):
        return across
    return (along if across.passed else across).noted(
        "The two ways to take a second derivative disagree: the Jacobian of `gradient` is not "
        "symmetric, so `gradient` is the gradient of no function."
    )
