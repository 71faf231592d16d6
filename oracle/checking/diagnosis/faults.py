"""What is wrong with one tensor of the two-layer net, given the error that it should come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from oracle.checking.backward import Pass, sigmoid
from oracle.checking.mistakes import INPUTS, REDUCTIONS, SLOPES
from oracle.diagnosis.alone import (
    clipped,
    of_parameters,
    one_line,
    some_entries,
    with_parameters,
    zero_lines,
)
from oracle.diagnosis.comparison import LARGER, ROUNDINGS, TELLING, Comparison
from oracle.diagnosis.evidence import (
    beyond_doubt,
    clear_of,
    even,
    hiding,
    independent,
    lost,
    resolved,
)
from oracle.diagnosis.linear import least_squares, svd
from oracle.diagnosis.tensors import (
    best_factor,
    explain_tensor,
    near_1,
    some,
    tensor_factor,
)
from oracle.findings import FindingKind as Kind
from oracle.values import Array, Finding, Float64

Test = Callable[[Pass, Comparison, str, Array], "Finding | None"]

SAMPLED = 48
"""Rows of the weights that the numbers of a family are fitted to."""

POOL = 1024
"""Rows, evenly far apart, from which these are chosen."""

MOST_SAMPLES = 512
"""More samples than this are not searched for those that a tensor is the sum of."""


def fault(
    p: Pass, view: Comparison, name: str, error: Array, sizes: Mapping[str, int]
) -> Finding | None:
    """Name what is wrong in one tensor; `view` expects what follows from the `error`."""
    if not np.any(view.candidate[name]):
        return explain_tensor(view, name, sizes)
    if (lines := zero_lines(view, name)) is not None:
        return lines
    if view.largest(name) > hiding(view, name) and lost(view, name):
        return _cancelled(view, name, error)
    found = _reduction(p, view, name, error, sizes) or explain_tensor(view, name, sizes)
    if not found and not beyond_doubt(view, name):
        return None
    tests: tuple[Test, ...] = (
        *(_part, _derivative, _inputs, _parameters, _clipped, _line, _few, _other_inputs),
    )
    return found or next((f for test in tests if (f := test(p, view, name, error))), None)


def _cancelled(view: Comparison, name: str, error: Array) -> Finding | None:
    """Say that rounding hides a tensor, and no more: much agrees with next to nothing."""
    if view.is_coarse(name):
        return None
    held = _wide(view, name)
    if name == "b2" and view.within("W2") and held.size > 2:
        if np.ptp(held) == 0:
            return _one_for_all(name)
        # The sums of a right dY over the classes are what its rounding leaves of zero.
        left = ROUNDINGS * view.unit_roundoff * error.shape[1] * np.abs(error).max()
        if np.abs(held).max() <= left:
            return _reduced(name, "the sum over the units, one value per sample")
    message = f"{name} is zero but for rounding: what is summed there cancels."
    return Finding(Kind.UNEXPLAINED, name, message, f"Compute {name}.")


def _one_for_all(name: str) -> Finding:
    message = f"{name} holds one number for all units: it was summed over them too."
    return Finding(Kind.BIAS_REDUCTION, name, message, _sum_over_samples(name))


def _holds_as_many(view: Comparison, name: str, sums: Array) -> bool:
    return sums.ndim == 0 or sums.shape == view.candidate[name].shape


def _reduced(name: str, text: str) -> Finding:
    layer = "dA1" if name == "b1" else "dY"
    message = f"{name} holds {text} of {layer}, in place of the sum over the samples."
    return Finding(Kind.BIAS_REDUCTION, name, message, _sum_over_samples(name))


def _wide(view: Comparison, name: str) -> Float64:
    return view.candidate[name].astype(np.float64)


def _reduction(
    p: Pass, view: Comparison, name: str, error: Array, sizes: Mapping[str, int]
) -> Finding | None:
    if view.candidate[name].ndim > 1 or not beyond_doubt(view, name):
        return None
    if _constant(view, name):
        return _one_for_all(name)
    for text, reduce in REDUCTIONS:
        held = np.asarray(reduce(error))
        if not _holds_as_many(view, name, held):
            continue
        wrong = np.broadcast_to(held, view.candidate[name].shape)
        if view.fits(name, wrong, allowed=even(view, name)):
            return _reduced(name, text)
    if view.fits(name, -view.reference[name]):
        return tensor_factor(name, -1.0, sizes)
    inputs = p.x if name == "b1" else p.z1
    weights = "W1" if name == "b1" else "W2"
    lines = (
        (f"the sum of the rows of {weights}", inputs.sum(axis=1)),
        (f"the mean of the rows of {weights}", inputs.mean(axis=1)),
        (f"the first row of {weights}", inputs[:, 0]),
        (f"the last row of {weights}", inputs[:, -1]),
    )
    for text, used in lines:
        if view.fits(name, used @ error, allowed=even(view, name)):
            message = f"{name} holds {text}, in place of the sum over the samples."
            return Finding(Kind.BIAS_REDUCTION, name, message, _sum_over_samples(name))
    return None


def _sum_over_samples(name: str) -> str:
    return f"Write {name} = {'dA1' if name == 'b1' else 'dY'}.sum(axis=0)."


def _constant(view: Comparison, name: str) -> bool:
    """Tell whether all entries are one number, where those of the reference are far apart."""
    g, spread = _wide(view, name), float(np.ptp(view.reference[name]))
    exactly = bool(np.ptp(g) == 0)
    near = np.ptp(g) <= float(even(view, name).max(initial=0.0)) and not view.is_coarse(name)
    return bool(g.size > 2 and (exactly or near) and spread > clear_of(view, name))


def _sampled(view: Comparison, name: str) -> tuple[slice | Array, Comparison]:
    """Return the rows of large weights that a hypothesis has to agree with first, and the view."""
    reference = view.reference[name]
    if len(reference) <= 2 * SAMPLED:
        return slice(None), view
    pool = np.arange(0, len(reference), max(1, len(reference) // POOL))
    rows = pool[np.argsort(-np.abs(reference[pool]).max(axis=1))[:SAMPLED]]
    candidate, ours, allowed = (
        {name: tensors[name][rows]} for tensors in (view.candidate, view.reference, view.allowed)
    )
    return rows, replace(view, candidate=candidate, reference=ours, allowed=allowed)


def _follows(view: Comparison, name: str, inputs: Array, error: Array) -> bool:
    """Tell whether weights are inputs.T @ error, some of them first."""
    rows, some_of = _sampled(view, name)
    return some_of.fits(name, inputs[:, rows].T @ error, allowed=even(some_of, name)) and view.fits(
        name, inputs.T @ error, allowed=even(view, name)
    )


def _derivative(p: Pass, view: Comparison, name: str, error: Array) -> Finding | None:
    """Find a tensor of layer 1 that alone has another derivative of the hidden layer."""
    slope = p.z1 * (1 - p.z1)
    if name in {"W2", "b2"} or not slope.min() > 0:
        return None
    for mistake in SLOPES:
        with np.errstate(all="ignore"):
            other = error / slope * mistake.compute(p)
        if (
            _follows(view, name, p.x, other)
            if name == "W1"
            else view.fits(name, other.sum(axis=0), allowed=even(view, name))
        ):
            message = f"{mistake.message}, in {name} alone."
            return Finding(mistake.kind, name, message, mistake.remedy)
    return None


def _inputs(p: Pass, view: Comparison, name: str, error: Array) -> Finding | None:
    if view.candidate[name].ndim == 1:
        return None
    place, before = ("x", p.x) if name == "W1" else ("z1", p.a1)
    what = _in_table(p, view, name, error) or _recovered(p, view, name, error, before)
    if not what:
        return None
    message = f"{name} is formed with {what} in place of {place}."
    right = "W1 = x.T @ dA1" if name == "W1" else "W2 = z1.T @ dY"
    return Finding(Kind.WRONG_INPUTS, name, message, f"Write {right}.")


def _in_table(p: Pass, view: Comparison, name: str, error: Array) -> str:
    rows, some_of = _sampled(view, name)
    told = independent(view, name)

    def fits(view: Comparison, inputs: Array) -> bool:
        wrong = {name: inputs.T @ error}
        return best_factor(view, wrong, {}, spread=True, equations=told) is not None

    for used in INPUTS:
        if used.tensor == name:
            inputs = used.compute(p)
            if fits(some_of, inputs[:, rows]) and fits(view, inputs):
                return used.name
    return ""


def _recovered(p: Pass, view: Comparison, name: str, error: Array, before: Array) -> str:
    """Say that the inputs are another function of what is `before` them, or in another order."""
    if _is_function(view, name, error, before):
        return f"another function of {'x' if name == 'W1' else 'a1'}"
    inputs = p.x if name == "W1" else p.z1
    order = _order(inputs, error, _wide(view, name))
    if order is not None and _follows(view, name, inputs[order], error):
        return f"the samples in the order {some(order)}"
    return ""


BASES: tuple[Callable[[Array], Array], ...] = (
    np.ones_like,
    lambda a: a,
    np.square,
    lambda a: a**3,
    np.abs,
    np.exp,
    lambda a: np.where(a > 0, 1.0, 0.0),
    sigmoid,
    lambda a: sigmoid(a) ** 2,
)
"""Functions of the inputs, of which other functions are sums."""


def _is_function(view: Comparison, name: str, error: Array, before: Array) -> bool:
    """Tell whether a sum of functions of what is `before` the inputs stands in their place."""
    if _inputs_told(view, name, error) < 3 * len(BASES):
        return False
    rows, some_of = _sampled(view, name)
    with np.errstate(all="ignore"):
        terms = [basis(before[:, rows]).T @ error for basis in BASES]
        shares = _shares(terms, _wide(some_of, name))
        if shares is None:
            return False
        used = sum((c * basis(before) for c, basis in zip(shares, BASES, strict=True)), 0 * before)
    return _follows(view, name, used, error)


def _inputs_told(view: Comparison, name: str, error: Array) -> int:
    """Return how many numbers a tensor tells about the inputs that met this error."""
    return resolved(error, np.ones(1), clear_of(view, name)) * len(view.candidate[name])


def _shares(terms: list[Float64], g: Float64) -> Float64 | None:
    """Return the multiples of the terms whose sum is nearest to g."""
    columns = np.column_stack([term.ravel() for term in terms])
    norms = np.linalg.norm(columns, axis=0)
    if not np.all((norms > 0) & np.isfinite(norms)):
        return None
    return np.asarray(least_squares(columns / norms, g.ravel(), 1e-13) / norms)


def _order(inputs: Float64, error: Array, g: Float64) -> Array | None:
    """Return the order of the samples in which `inputs` met their errors, if g tells."""
    count = len(inputs)
    if not 1 < count <= min(inputs.shape[1], MOST_SAMPLES):
        return None
    met = least_squares(inputs.T, g)
    squares = (met**2).sum(axis=1)[:, None] + (error**2).sum(axis=1)[None]
    nearest = np.argmin(squares - 2 * met @ error.T, axis=1)
    if len(np.unique(nearest)) < count:
        return None
    return np.argsort(nearest)


def _part(p: Pass, view: Comparison, name: str, error: Array) -> Finding | None:
    """Find the samples that a tensor is the sum of, or their weights in it."""
    if not 1 < p.N <= MOST_SAMPLES:
        return None
    if view.candidate[name].ndim == 1:
        return _range(p, view, name, error)
    inputs = p.x if name == "W1" else p.z1
    ends = (slice(p.N - 1, p.N), slice(0, 1), slice(0, p.N - 1), slice(1, p.N))
    for kept in ends:
        if _follows(view, name, inputs[kept], error[kept]):
            return _dropped(p, name, f"the samples {some(np.arange(p.N)[kept])}")
    return _weighted(p, view, name, error)


def _weighted(p: Pass, view: Comparison, name: str, error: Array) -> Finding | None:
    left = p.x if name == "W1" else p.z1
    rows = np.argsort(-np.abs(view.reference[name]).max(axis=1))[:SAMPLED]
    units = np.argsort(-np.abs(view.reference[name]).max(axis=0))[:SAMPLED]
    columns = np.einsum("nd,nh->dhn", left[:, rows], error[:, units]).reshape(-1, p.N)
    norms = np.linalg.norm(columns, axis=0)
    told = resolved(left, error, clear_of(view, name)) * independent(view, name) // len(left.T)
    if told < 2 * p.N or not np.all(norms > 0):
        return None
    g = _wide(view, name)[np.ix_(rows, units)].ravel()
    weights = least_squares(columns / norms, g) / norms
    largest = float(np.abs(weights).max())
    if np.ptp(weights) <= 1e-3 * largest:
        return None  # They are one factor.
    near = max(1e-2, ROUNDINGS * view.unit_roundoff) * largest
    dropped = np.abs(weights) < near
    level = weights[~dropped].mean() if np.ptp(weights[~dropped]) < near else weights
    used = np.where(dropped, 0.0, level)[:, None] * error
    if not view.fits(name, left.T @ used, allowed=even(view, name)):
        return None
    if dropped.any():
        return _dropped(p, name, f"the samples {some(np.flatnonzero(~dropped))}")
    if view.is_coarse(name):
        return None  # Many numbers take many digits.
    message = f"The samples do not count equally in {name}: their weights are from "
    message += f"{near_1(weights.min())} to {near_1(weights.max())}."
    remedy = f"Give every sample the same weight in {name}."
    return Finding(Kind.SAMPLE_WEIGHTS, name, message, remedy)


def _dropped(p: Pass, name: str, which: str) -> Finding:
    message = f"{name} is the sum over {which} only, of {p.N}."
    remedy = f"Add every sample to {name}: += in place of =."
    return Finding(Kind.DROPPED_SAMPLES, name, message, remedy)


def _range(p: Pass, view: Comparison, name: str, error: Array) -> Finding | None:
    """Find one sample, the first or the last samples, whose sum a bias is."""
    begun = np.cumsum(error, axis=0)
    sums = (error, begun[1:-1], (begun[-1] - begun)[:-2])
    texts = ("sample {0}", "samples 0 to {1}", "samples {1} to {2}")
    starts: tuple[Callable[[int], slice], ...] = (
        lambda n: slice(n, n + 1),
        lambda n: slice(0, n + 2),
        lambda n: slice(n + 1, p.N),
    )
    # What fits is as near as this, and most are not.
    g, size = _wide(view, name), view.sent(name)
    grown = max(1.0, LARGER * size / view.largest(name)) if view.largest(name) else 1.0
    near = size / TELLING if view.is_coarse(name) else 4 * grown * view.widest(name)
    for values, text, kept in zip(sums, texts, starts, strict=True):
        for n in np.flatnonzero(np.abs(values - g).max(axis=1) <= near):
            some_of = error[kept(int(n))].sum(axis=0)
            if view.fits(name, some_of, allowed=even(view, name)):
                return _dropped(p, name, text.format(n, n + 1, p.N - 1))
    return None


def _parameters(p: Pass, view: Comparison, name: str, _: Array) -> Finding | None:
    return decayed(p, view, name)


def decayed(p: Pass, view: Comparison, name: str) -> Finding | None:
    """Find a gradient with a multiple of the parameters, or of their signs, added to it."""
    w = getattr(p, name)
    if w.ndim == 2:
        rows, some_of = _sampled(view, name)
        if some_of is not view and with_parameters(some_of, name, w[rows]) is None:
            return None
    return with_parameters(view, name, w)


def decayed_alike(p: Pass, view: Comparison, name: str, other: Finding) -> Finding | None:
    """Tell that a tensor too small to fit a number to has the decay that another one has."""
    kept, times = (float(other.evidence[key]) for key in ("gradient", "parameters"))
    signs, w = "the signs of" in other.message, getattr(p, name)
    expected = kept * view.reference[name] + times * (np.sign(w) if signs else w)
    if not view.fits(name, expected, allowed=even(view, name)):
        return None
    what = f"the signs of {name}" if signs else name
    return of_parameters(name, what, kept, times, {"gradient": kept, "parameters": times})


def _line(_: Pass, view: Comparison, name: str, __: Array) -> Finding | None:
    return one_line(view, name)


def _few(_: Pass, view: Comparison, name: str, __: Array) -> Finding | None:
    return some_entries(view, name)


def _clipped(_: Pass, view: Comparison, name: str, __: Array) -> Finding | None:
    return clipped(view, name, fewest=4)


def _other_inputs(_: Pass, view: Comparison, name: str, error: Array) -> Finding | None:
    """Find weights whose rows are combinations of the right errors, as those of any inputs are."""
    g, r, bias = _wide(view, name), view.reference[name], f"b{name[-1]}"
    # The bias, and layer 1 besides for W2, say that the error is the right one.
    told = ("b1",) if name == "W1" else ("W1", "b1", "b2")
    right = bias in view.candidate and all(
        view.fits(n, view.reference[n], allowed=even(view, n)) for n in told
    )
    if (
        g.ndim < 2
        or view.is_coarse(name)
        or not right
        or np.linalg.norm(g - r) <= 0.01 * np.linalg.norm(r)
    ):
        return None
    # Rows that are right, or zero, are combinations of whatever there is.
    seen = g[np.any(np.abs(g - r) > 4 * even(view, name), axis=1) & np.any(g, axis=1)]
    if len(seen) < 4 or not _spans(view, name, error, seen):
        return None
    place, layer = ("x", "dA1") if name == "W1" else ("z1", "dY")
    message = f"The rows of {name} are combinations of the rows of the right {layer}, but "
    message += f"not those that {place} gives: it is formed with something else."
    remedy = f"Write {name} = {place}.T @ {layer}, with the {place} of this forward pass."
    return Finding(Kind.WRONG_INPUTS, name, message, remedy)


def _spans(view: Comparison, name: str, error: Array, seen: Array) -> bool:
    """Tell whether the errors span what was sent within rounding, and far from all that could be.

    Other targets give nearly the same rows of dY where y hardly varies, and in dA1 a few directions
    hold nearly all: what is spanned but for some percent may be anything.
    """
    # Rows that sum to zero have one direction fewer.
    width = independent(view, name) // len(view.candidate[name])
    _, sizes, directions = svd(error)
    rank = int(np.count_nonzero(sizes > 1e-12 * sizes[0]))
    spare = (width - rank) * len(seen)
    if 4 * max(spare, 0) < width * len(seen) or rank >= width:
        return False
    basis = directions[:rank]
    return view.fits(name, _wide(view, name) @ basis.T @ basis, allowed=even(view, name))
