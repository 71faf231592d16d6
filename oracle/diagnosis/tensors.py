"""Causes that show in the numbers of any gradient, whatever the function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from oracle.diagnosis.comparison import TELLING, Comparison
from oracle.diagnosis.evidence import (
    DECISIVE,
    beyond_doubt,
    digits,
    even,
    independent,
    lost,
    tells,
)
from oracle.findings import FindingKind as Kind
from oracle.slices import largest_size, parts
from oracle.values import Array, Entry, Finding, Float64

FEWEST_LEVELS = 6
"""Different numbers that must lie on equal steps: two of them always do, and each other one of any
numbers does with a probability of 0.002.
"""

MOST_LEVELS = 2**16
"""More steps than this are no steps."""

LARGEST_SHOWN = 1024
"""So many of the largest numbers are looked at for how many digits they have."""

COMMON = (1.0, 2.0, 0.5)
"""Factors that need no other sign of what they come from."""

NARROW = (("float32", 2.0**-24), ("float16", 2.0**-11), ("bfloat16", 2.0**-8))


def explain_tensors(comparison: Comparison, sizes: Mapping[str, int]) -> tuple[Finding, ...]:
    """Name what is wrong with a gradient that failed, from its numbers alone.

    Parameters
    ----------
    comparison : Comparison
        The candidate beside the reference.
    sizes : mapping of str to int
        Sizes that factors may equal, such as `N` for the batch and `K` for the classes.

    Returns
    -------
    tuple of Finding
        At least one; `UNEXPLAINED` where no known cause fits within rounding.
    """
    found = low_precision(comparison)
    if found:
        return found
    factor = common_factor(comparison, sizes)
    if factor:
        return factor
    return explain_each(comparison, sizes)


def wrong_tensors(comparison: Comparison) -> list[str]:
    """Return the names of the tensors that are outside their budget."""
    return [name for name in comparison.candidate if not comparison.within(name)]


def fits_all(comparison: Comparison, hypothesis: Mapping[str, Array]) -> bool:
    """Tell whether every tensor of the candidate equals the hypothesis within rounding."""
    return all(comparison.fits(name, hypothesis[name]) for name in comparison.candidate)


def low_precision(comparison: Comparison) -> tuple[Finding, ...]:
    """Tell whether the candidate is right in a narrower arithmetic than the one it was sent in."""
    error = max(relative_error(comparison, n) for n in comparison.candidate)
    found = representable_in(comparison)
    if found is not None and not wrong_tensors(found[1]) and error <= 1e-2:
        dtype = found[0]
        message = f"Right for {dtype}, but sent as a wider type: every entry is a {dtype} number."
        remedy = f"Compute in the wider type throughout, or send {dtype}."
    else:
        what = _rounded_to(comparison) or _levels(comparison)
        if not what:
            return ()
        message = f"Right, but every entry is rounded to {what}."
        remedy = "Send the numbers as they were computed, not as they were printed."
    return (Finding(Kind.LOW_PRECISION, "", message, remedy, {"relative_error": error}),)


def _rounded_to(comparison: Comparison) -> str:
    """Return how all entries are rounded, if they are right but for that, or nothing."""
    values = np.concatenate([g.ravel() for g in comparison.candidate.values()])
    if values.size > LARGEST_SHOWN:
        values = values[np.argpartition(np.abs(values), -LARGEST_SHOWN)[-LARGEST_SHOWN:]]
    shown = values
    if len(np.unique(shown)) < 8:
        return ""

    def near(half: float, relative: float) -> bool:
        return all(
            np.all(
                np.abs(g.astype(np.float64) - comparison.reference[n])
                <= half + relative * np.abs(comparison.reference[n]) + comparison.allowed[n]
            )
            for n, g in comparison.candidate.items()
        )

    for places in range(2, 13):
        rounded = np.round(shown.astype(np.float64), places).astype(shown.dtype)
        if np.array_equal(rounded, shown) and near(0.501 * 10.0**-places, 0.0):
            return f"{places} decimal places"
    for count in range(3, 13):
        # Few numbers say first that there are more digits.
        if any(_to_digits(value, count, shown.dtype) != value for value in shown[:4]):
            continue
        texts = [f"{value:.{count - 1}e}" for value in shown.astype(np.float64)]
        rounded = np.array(texts, dtype=np.float64).astype(shown.dtype)
        if np.array_equal(rounded, shown) and near(0.0, 5.01 * 10.0**-count):
            return f"{count} significant digits"
    return ""


def _to_digits(value: Array, count: int, dtype: np.dtype[Any]) -> Array:
    return np.asarray(float(f"{float(value):.{count - 1}e}"), dtype=dtype)


def _levels(comparison: Comparison) -> str:
    """Return on how many steps of the same height all entries of a tensor lie, or nothing."""
    largest = max(comparison.candidate, key=lambda n: comparison.candidate[n].size)
    flat = comparison.candidate[largest].ravel()
    if len(np.unique(flat[: 4 * MOST_LEVELS])) > 2 * MOST_LEVELS:
        return ""
    values = np.unique(np.abs(flat.astype(np.float64)))
    if not FEWEST_LEVELS <= len(values) <= MOST_LEVELS:
        return ""
    top = float(values[-1])
    count = np.rint(top / np.diff(values).min())
    if not 3 <= count < MOST_LEVELS:
        return ""
    for same in (False, True):
        for name, g in comparison.candidate.items():
            step = (top if same else float(np.abs(g).max())) / count
            steps = g.astype(np.float64) / step if step else 0 * g
            gap = np.abs(g - comparison.reference[name]) - comparison.allowed[name]
            if np.any(np.abs(steps - np.rint(steps)) > 1e-3) or np.any(gap > 0.501 * step):
                break
        else:
            return f"one of {int(count)} steps of the same height from zero"
    return ""


def representable_in(comparison: Comparison) -> tuple[str, Comparison] | None:
    """Return the narrowest type that holds the candidate exactly, and the budget of that type."""
    values = {n: g.astype(np.float64) for n, g in comparison.candidate.items()}
    if sum(np.count_nonzero(g) for g in values.values()) < 4:
        return None
    for dtype, unit in reversed(NARROW):
        kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
        if unit <= comparison.unit_roundoff:
            continue
        with np.errstate(over="ignore"):
            exact = all(
                np.array_equal(g.astype(kind).astype(np.float64), g) for g in values.values()
            )
        if exact:
            wider = unit / comparison.unit_roundoff
            allowed = {
                n: a * wider + (2.0**-24 if dtype == "float16" else 0.0)
                for n, a in comparison.allowed.items()
            }
            return dtype, replace(comparison, allowed=allowed, unit_roundoff=unit)
    return None


def common_factor(
    comparison: Comparison, sizes: Mapping[str, int], equations: int = 2
) -> tuple[Finding, ...]:
    """Name one factor that turns the reference into the candidate in every tensor."""
    reference = {n: comparison.reference[n] for n in comparison.candidate}
    factor = best_factor(comparison, reference, sizes, equations=equations)
    if factor is None:
        return ()
    expected = {n: factor * r for n, r in reference.items()}
    fitted = not is_known(factor, sizes)
    if not tells(comparison, expected, reference, fitted=fitted):
        return ()
    return factor_findings(factor, sizes, comparison)


def best_factor(
    comparison: Comparison,
    expected: Mapping[str, Array],
    sizes: Mapping[str, int],
    *,
    spread: bool = False,
    equations: int = 2,
) -> float | None:
    """Return the factor that turns what is expected into the candidate, or None.

    A known factor, 1 before all, is preferred to the fitted one, which takes two `equations` to be
    told. `spread` allows every entry of a tensor what the worst may err, as is right for other
    stages than those of the reference.
    """
    fitted = fitted_factor(comparison, expected)
    if fitted is None or not np.isfinite(fitted) or fitted == 0:
        return None
    allowed = {n: even(comparison, n) if spread else None for n in expected}
    if all(lost(comparison, n) for n in expected):
        # Rounding hides the candidate, unless it shrank with the factor.
        small = abs(fitted)
        shrunk = not spread and all(
            comparison.fits(n, fitted * e, allowed=small * comparison.allowed[n])
            for n, e in expected.items()
        )
        return fitted if shrunk else None
    for factor in _likely(fitted, sizes, 2 * comparison.unit_roundoff):
        if (equations > 1 or is_known(factor, sizes)) and all(
            comparison.fits(n, factor * e, allowed=allowed[n]) for n, e in expected.items()
        ):
            return factor
    return None


def is_known(factor: float, sizes: Mapping[str, int]) -> bool:
    """Tell whether a factor is a size, its inverse, a usual constant, twice or half."""
    known = (*COMMON, *equals(abs(factor), sizes).values())
    return any(math.isclose(abs(factor), k, rel_tol=1e-12) for k in known)


def _likely(fitted: float, sizes: Mapping[str, int], rounding: float) -> Iterator[float]:
    """Yield the factors that a fitted one may stand for, those with a meaning before itself."""
    sign = math.copysign(1.0, fitted)
    if math.isclose(abs(fitted), 1.0, rel_tol=max(1e-2, 2 * rounding)):
        yield sign
    near = max(NEAR, rounding)
    yield from (sign * known for known in COMMON if math.isclose(abs(fitted), known, rel_tol=near))
    yield from (sign * known for known in equals(abs(fitted), sizes, near).values())
    short = float(f"{fitted:.3g}")
    if math.isclose(fitted, short, rel_tol=1e-3):
        yield short
    yield fitted


EXACT = 1e-12
"""A fitted number is no nearer to what it stands for."""


def near_1(factor: float, precision: int = 6) -> str:
    """Return a factor in digits that tell it from 1."""
    short = f"{factor:.{precision}g}"
    return f"1 {factor - 1:+.2g}" if short == "1" and abs(factor - 1) > EXACT else short


def factor_findings(
    factor: float, sizes: Mapping[str, int], comparison: Comparison | None = None
) -> tuple[Finding, ...]:
    """Name a factor that is the same in every tensor: what it equals, and what that means."""
    size = abs(factor)
    sign = math.copysign(1.0, factor)

    def fits(known: float) -> bool:
        if comparison is None:
            return _close(size, known)
        return fits_all(
            comparison, {n: sign * known * comparison.reference[n] for n in comparison.candidate}
        )

    equal = [name for name, known in equals(size, sizes).items() if fits(known)]
    evidence = {"factor": factor}
    findings = []
    if factor < 0:
        message = "Every tensor has the opposite sign."
        remedy = "Start from y - t, not t - y, and subtract the gradient in the update only."
        findings.append(Finding(Kind.SIGN_FLIPPED, "", message, remedy, evidence))
    if "N" in equal:
        message = (
            f"The gradient is {size:.6g} times too large in every tensor. {_means(size, equal)}: "
            "the mean over the batch is missing."
        )
        remedy = "Divide once by x.shape[0]."
        findings.append(Finding(Kind.MISSING_BATCH_MEAN, "", message, remedy, evidence))
    elif "1/N" in equal:
        message = f"The gradient is {1 / size:.6g} times too small in every tensor. The factor is "
        message += f"{_or(equal)}: the mean over the batch is taken twice"
        message += ", or one over the classes too." if "1/K" in equal else "."
        kind = Kind.CONSTANT_FACTOR if "1/K" in equal else Kind.EXTRA_BATCH_MEAN
        remedy = "Divide once by x.shape[0], and by nothing else."
        findings.append(Finding(kind, "", message, remedy, evidence))
    elif size != 1.0:
        message = f"The gradient is {near_1(size)} times the right one in every tensor"
        message += f", which is {_or(equal)}." if equal else "."
        if math.isclose(size, 2.0, rel_tol=1e-3):
            message += " A gradient added to itself (a buffer not cleared) looks the same."
        remedy = f"Look for a factor of {near_1(size)} in the loss or in the update."
        findings.append(Finding(Kind.CONSTANT_FACTOR, "", message, remedy, evidence))
    return tuple(findings)


def tensor_factor(name: str, factor: float, sizes: Mapping[str, int]) -> Finding:
    """Name a factor of one tensor, or of those of one layer."""
    equal = [n for n, known in equals(abs(factor), sizes).items() if _close(abs(factor), known)]
    what = f" ({'-' if factor < 0 else ''}{_or(equal)})" if equal else ""
    verb = "are" if " and " in name else "is"
    message = f"{name} {verb} {near_1(factor)}{what} times the right one."
    has = "have" if verb == "are" else "has"
    remedy = f"Look for a factor of {near_1(factor)} that {name} alone {has}."
    return Finding(Kind.TENSOR_FACTOR, name, message, remedy, {"factor": factor})


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=3e-5)


def _means(size: float, equal: list[str]) -> str:
    """Say that a factor is the batch size, or what else it may be."""
    return f"{size:.6g} is {_or(equal) if len(equal) > 1 else 'N, the batch size'}"


def moved(comparison: Comparison, expected: Mapping[str, Array]) -> Comparison:
    """Return the candidate beside another expectation, with the rounding that goes with it."""
    reference = {n: np.asarray(g, np.float64) for n, g in expected.items()}
    allowed = {}
    for n, values in reference.items():
        largest = comparison.largest(n)
        grown = float(np.abs(values).max(initial=0.0)) / largest if largest else 1.0
        allowed[n] = comparison.allowed[n] * max(1.0, grown)
    candidate = {n: comparison.candidate[n] for n in reference}
    return replace(comparison, candidate=candidate, reference=reference, allowed=allowed)


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Say once what several tensors have in common."""
    groups: dict[tuple[Kind, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, _without_name(finding.message, finding)), []).append(
            finding
        )
    return tuple(_of_all(text, alike) for (_, text), alike in groups.items())


def _without_name(text: str, finding: Finding) -> str:
    return text.replace(finding.tensor, "{}") if finding.tensor else text


def _of_all(text: str, alike: Sequence[Finding]) -> Finding:
    first = alike[0]
    if len(alike) == 1 or not first.tensor:
        return first
    names = listed([f.tensor for f in alike])
    remedies = dict.fromkeys(f.remedy for f in alike)
    patterns = {_without_name(f.remedy, f) for f in alike}
    # Code is of one tensor, a sentence may be of all.
    if len(patterns) == 1 and not any(mark in first.remedy for mark in ("=", ".T")):
        remedies = {_plural(patterns.pop(), names): None}
    message = _plural(text, names)
    return replace(first, tensor=names, message=message, remedy=" ".join(remedies))


def _plural(text: str, names: str) -> str:
    for one, many in (("{} is", "{} are"), ("{} holds", "{} hold"), ("alone has", "alone have")):
        text = text.replace(one, many)
    return text.replace("{}", names)


def explain_each(comparison: Comparison, sizes: Mapping[str, int]) -> tuple[Finding, ...]:
    """Name what is wrong in each wrong tensor by itself."""
    wrong = wrong_tensors(comparison)
    swapped = _swapped(comparison, wrong)
    if swapped:
        return swapped
    findings = [explain_tensor(comparison, name, sizes) for name in wrong]
    named = [f for f in findings if f is not None]
    if len(named) == len(wrong) and named:
        return tuple(named)
    entries = _single_entries(comparison, wrong)
    if entries:
        return entries
    if named:
        rest = [
            unexplained(comparison, n) for n, f in zip(wrong, findings, strict=True) if f is None
        ]
        return (*named, *rest)
    return (unexplained(comparison, wrong[0] if len(wrong) == 1 else ""),)


def unexplained(comparison: Comparison, tensor: str) -> Finding:
    """Say that no known cause fits, with the size of the error and its angle per tensor."""
    evidence = {f"relative_error_{n}": relative_error(comparison, n) for n in comparison.candidate}
    right = [n for n in comparison.candidate if comparison.within(n)]
    place = f" {listed(right)} {'is' if len(right) == 1 else 'are'} right." if right else ""
    message = f"None of the known causes fits within rounding.{place}"
    return Finding(Kind.UNEXPLAINED, tensor, message, "", evidence)


def fitted_factor(comparison: Comparison, expected: Mapping[str, Array]) -> float | None:
    """Return the least-squares factor between what is expected and the candidate.

    None if what it leaves is by far more than rounding may.
    """
    top = bottom = sent = allowed = 0.0
    for name, values in expected.items():
        unit = largest_size(values, comparison.checkpoint) or 1.0
        theirs, ours = comparison.candidate[name].ravel(), values.ravel()
        for part in parts(ours.size, comparison.checkpoint):
            g, r = theirs[part].astype(np.float64) / unit, ours[part] / unit
            top += float(np.dot(g, r))
            bottom += float(np.dot(r, r))
            sent += float(np.dot(g, g))
        most = _most_left(comparison, name) / unit
        allowed += ours.size * most * most
    if not bottom > 0:
        return None
    left = sent - top * top / bottom
    # Half of the digits are lost in the squares.
    return top / bottom if not left > 2 * allowed + 1e-12 * sent else None


def _most_left(comparison: Comparison, name: str) -> float:
    """Return a bound of what a factor of anything that fits leaves in an entry of a tensor."""
    sent, largest = comparison.sent(name), comparison.largest(name)
    if comparison.is_coarse(name) or not largest:
        return max(sent, largest)
    # What fits is as large as what was sent, and is allowed as much more than the reference.
    return 8 * comparison.widest(name) * max(1.0, 2 * sent / largest)


NEAR = 1e-3
"""Share by which a fitted factor may be off from what it stands for, at least."""


def equals(size: float, sizes: Mapping[str, int], near: float = NEAR) -> dict[str, float]:
    """Return what a factor is near to, by name: sizes, their inverses, known constants."""
    known: dict[str, float] = {}
    for name, value in sizes.items():
        known |= {
            name: value,
            f"1/{name}": 1 / value,
            f"{name}²": value**2,
            f"1/{name}²": value**-2,
        }
    if "N" in sizes and "K" in sizes:
        known |= {"N K": sizes["N"] * sizes["K"], "1/(N K)": 1 / (sizes["N"] * sizes["K"])}
    if sizes.get("N", 1) > 1:
        known |= {"N/(N-1)": sizes["N"] / (sizes["N"] - 1), "(N-1)/N": 1 - 1 / sizes["N"]}
    known |= {"1/ln 10": 1 / math.log(10), "ln 10": math.log(10)}
    known |= {"1/ln 2": 1 / math.log(2), "ln 2": math.log(2)}
    return {
        name: value
        for name, value in known.items()
        if math.isclose(size, value, rel_tol=near) and value != 1
    }


def listed(names: Sequence[str]) -> str:
    """Return names in a row, the last after an "and"."""
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def some(numbers: Array) -> str:
    """Return the first of the numbers, as text."""
    return ", ".join(str(int(n)) for n in numbers[:8]) + (", ..." if len(numbers) > 8 else "")


def _or(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{' or '.join(names)}, which are equal here"


_LAYOUTS: Mapping[str, Callable[[Float64], Float64]] = {
    "transposed": lambda tensor: tensor.T,
    "in the other memory order": lambda tensor: tensor.T.reshape(tensor.shape),
    "in the other memory order (written as one, read as the other)": (
        lambda tensor: tensor.ravel().reshape(tensor.shape, order="F")
    ),
}


def explain_tensor(comparison: Comparison, name: str, sizes: Mapping[str, int]) -> Finding | None:
    """Name what is wrong in one tensor, if it is a factor, a layout, an order, or all zeros."""
    g = comparison.candidate[name].astype(np.float64)
    r = comparison.reference[name]
    if not np.any(g):
        return Finding(Kind.ZERO_TENSOR, name, f"{name} is all zeros.", f"Compute {name}.")
    # Of one number any other is a multiple.
    free = independent(comparison, name)
    factor = best_factor(comparison, {name: r}, sizes, equations=free)
    if (
        factor is not None
        and beyond_doubt(comparison, name)
        and (
            is_known(factor, sizes)
            or (
                (free - 1) * digits(comparison, name, factor * r) >= DECISIVE
                and tells(comparison, {name: factor * r}, {name: r}, fitted=True)
            )
        )
    ):
        return tensor_factor(name, factor, sizes)
    if r.ndim == 2:
        for what, layout in _LAYOUTS.items():
            moved, allowed = layout(r), layout(comparison.allowed[name])
            if moved.shape != r.shape:
                continue
            for sign, also in ((1, ""), (-1, ", and has the opposite sign")):
                if comparison.fits(name, sign * moved, allowed=allowed):
                    remedy = f"Write {name} row by row, as its parameter is."
                    if what == "transposed":
                        remedy = f"Return {name}.T."
                    message = f"{name} is {what}{also}."
                    return Finding(Kind.TRANSPOSED, name, message, remedy)
    return _permuted(comparison, name, g, r)


MOST_NUMBERS = 2**20
"""Tensors of more numbers are not sorted, and their lines compared by some numbers each."""

TELLING_NUMBERS = 64
"""Of these, that many."""

MOST_ROWS = 2048
"""Tensors of more rows are not searched for an exchange of rows."""


def _permuted(comparison: Comparison, name: str, g: Float64, r: Float64) -> Finding | None:
    """Find the right lines or numbers in another order, if rounding tells them from each other."""
    if not beyond_doubt(comparison, name):
        return None
    for axis, lines in enumerate(("rows", "columns")[: r.ndim] if r.ndim == 2 else ()):
        theirs, ours = (np.moveaxis(a, axis, 0) for a in (g, r))
        if not 1 < len(ours) <= MOST_ROWS:
            continue
        remedy = f"Check the order in which the {lines} of {name} are filled."
        moves = (
            ("in reverse order", np.flip(r, axis)),
            ("moved by one", np.roll(r, 1, axis)),
            ("moved back by one", np.roll(r, -1, axis)),
        )
        for how, order in moves:
            if comparison.fits(name, order, allowed=even(comparison, name)):
                message = f"{name} holds the right {lines} {how}."
                return Finding(Kind.PERMUTED, name, message, remedy)
        nearest = _nearest(theirs, ours)
        moved = int(np.count_nonzero(nearest != np.arange(len(ours))))
        order = np.take(r, nearest, axis=axis)
        if not moved or len(np.unique(nearest)) < len(ours):
            continue
        if comparison.fits(name, order, allowed=even(comparison, name)):
            message = f"{name} holds the right {lines} in another order: {moved} are elsewhere."
            return Finding(Kind.PERMUTED, name, message, remedy)
    if r.size > MOST_NUMBERS:
        return None
    order = np.empty_like(r)
    order.flat[np.argsort(g, axis=None)] = np.sort(r, axis=None)
    # n numbers have n! orders, one of which comes near to whatever was sent.
    orders = math.lgamma(r.size + 1) / math.log(2)
    clear = DECISIVE + orders <= r.size * digits(comparison, name, order)
    if comparison.is_coarse(name):
        # Numbers that lie close together are nearly right in any order.
        moved = int(np.count_nonzero(np.abs(g - r) > comparison.quiet(name)))
        clear = clear and 4 * moved >= g.size
    if clear and comparison.fits(name, order, allowed=even(comparison, name)):
        message = f"{name} holds the right numbers in another order."
        remedy = f"Check the order in which {name} is filled."
        return Finding(Kind.PERMUTED, name, message, remedy)
    return None


def _nearest(theirs: Float64, ours: Float64) -> Array:
    """Return which of our lines is nearest to each of theirs, by the numbers that tell the most."""
    if ours.size > MOST_NUMBERS:
        telling = np.argsort(-np.abs(ours).max(axis=0))[:TELLING_NUMBERS]
        theirs, ours = theirs[:, telling], ours[:, telling]
    squares = (theirs**2).sum(axis=1)[:, None] + (ours**2).sum(axis=1)[None]
    return np.asarray(np.argmin(squares - 2 * theirs @ ours.T, axis=1))


def _swapped(comparison: Comparison, wrong: list[str]) -> tuple[Finding, ...]:
    for i, first in enumerate(wrong):
        for second in wrong[i + 1 :]:
            a, b = comparison.reference[first], comparison.reference[second]
            if a.shape != b.shape:
                continue
            allowed = comparison.allowed
            if comparison.fits(first, b, allowed=allowed[second]) and comparison.fits(
                second, a, allowed=allowed[first]
            ):
                message = f"{first} and {second} stand in each other's place."
                remedy = f"{first}, {second} = {second}, {first}"
                return (Finding(Kind.SWAPPED_TENSORS, first, message, remedy),)
    return ()


def _single_entries(comparison: Comparison, wrong: list[str]) -> tuple[Finding, ...]:
    findings = []
    for name in wrong:
        size = comparison.reference[name].size
        bad = outliers(comparison, name)
        if not 0 < len(bad) <= max(1, size // 20) or len(bad) == size:
            return ()
        findings.append(right_but_for(comparison, name, bad, entries_of(bad, size)))
    return tuple(findings)


def outliers(comparison: Comparison, name: str) -> Array:
    """Return the entries that are wrong, if all others are right; those that stand out, if coarse.

    None if more than half are: the others would say little. Where rounding is coarse the others
    have to be right to a small share of the largest error.
    """
    gap = np.abs(comparison.candidate[name].astype(np.float64) - comparison.reference[name])
    if not comparison.is_coarse(name):
        bad, right = gap > 4 * comparison.allowed[name], True
    else:
        bad = gap > float(gap.max(initial=0.0)) / TELLING
        others = np.all(bad | (gap <= comparison.quiet(name)))
        right = beyond_doubt(comparison, name) and bool(others)
    few = right and 2 * np.count_nonzero(bad) <= bad.size
    return np.argwhere(bad) if few else np.empty((0, gap.ndim), np.int64)


def entries_of(where: Array, size: int) -> str:
    """Say which entries are wrong."""
    one = f"the entry {where[0].tolist()}"
    return one if len(where) == 1 else f"{len(where)} of {size} entries"


def right_but_for(comparison: Comparison, name: str, where: Array, which: str) -> Finding:
    """Say that a tensor is right but for some entries."""
    g, r = comparison.candidate[name], comparison.reference[name]
    places = [tuple(int(k) for k in place) for place in where[:8]]
    entries = tuple(
        Entry(i, float(g[i]), float(r[i]), float(comparison.allowed[name][i])) for i in places
    )
    message = f"{name} is right but for {which}."
    remedy = f"Look at how {name} is filled there: the bounds of a loop, or an index."
    evidence = {"wrong_entries": float(len(where))}
    return Finding(Kind.SINGLE_ENTRIES, name, message, remedy, evidence, entries)


def _flat(comparison: Comparison, name: str) -> tuple[Float64, Float64]:
    g = comparison.candidate[name].astype(np.float64).ravel()
    return g, comparison.reference[name].ravel()


def relative_error(comparison: Comparison, name: str) -> float:
    """Return the norm of the error over the norm of the tensor."""
    g, r = _flat(comparison, name)
    scale = float(np.linalg.norm(r))
    return float(np.linalg.norm(g - r)) / scale if scale > 0 else float(np.linalg.norm(g))
