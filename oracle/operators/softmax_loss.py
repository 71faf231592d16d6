"""The softmax with its cross-entropy, which several operators share.

    E = -1/N Σ_n Σ_k t_nk log(y_nk + delta),   y = softmax(a)
    dE/da_j = (y_j Σ_{k != j} w_k - w_j Σ_{k != j} y_k) / N,   w_k = t_k y_k / (y_k + delta)

With one label per row and delta = 0 this is (y - t) / N. It is written so that nothing cancels
where a row is saturated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oracle.arithmetic.errors import Error, largest, one_sign
from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.rounded import Rounded, RoundedNumbers, SoftmaxRows, growth, sum_growth
from oracle.arithmetic.special import others
from oracle.operators.operator import Curve, Family, Slip
from oracle.values import Array, Float64


def loss(xp: Numbers, a: Number, rows: Float64, delta: float) -> Number:
    """Return the loss of scores (N, K)."""
    logarithm = xp.log(xp.softmax(a) + delta) if delta else a - xp.logsumexp(a, keepdims=True)
    return -(xp.sum(xp.held(rows) * logarithm) / float(len(rows)))


def derivative(xp: Numbers, a: Number, rows: Float64, delta: float) -> Number:
    """Return the derivative of the loss by the scores, (N, K)."""
    y, t = xp.softmax(a), xp.held(rows)
    w = t * (y / (y + delta)) if delta else t
    return (y * xp.others(w) - w * xp.others(y)) / float(len(rows))


def rounded_derivative(xp: RoundedNumbers, a: Rounded, rows: Float64, delta: float) -> Rounded:
    """Return the derivative with what the usual ways of evaluation may have done to it.

    Its size without cancellation is h = y_j Σ_{k != j} w_k + w_j Σ_{k != j} y_k, which is |g| N for
    one label per row. y - t and the division by N round 2 u h. Backpropagation through
    log(y + delta) rounds the mean, y + delta, the quotient, a difference and a product,
    (f + 4) u h, as does y_t / (y_t + delta) (y - t) / N. The former is charged with the softmax by
    the logarithm, the latter with that by the quotient: whoever has the logarithm of y divides by
    no y. The larger counts. The rounding of Σ_k w_k and of the products in it, which is an absolute
    error 2 u where y is near t, comes to both. w_k is as uncertain as delta / (y_k + delta) times
    the relative error of y_k.

    The primitives alone would charge the cancellation of y_j Σ w_k - w_j, and 1 / (y + delta) where
    y is small, which nobody's evaluation suffers.
    """
    how = xp.how
    N, K = a.shape
    u = how.u
    soft = SoftmaxRows.of(a, how)
    y = soft.y
    sums = how.v * sum_growth(K)
    guarded = np.maximum(y + delta, np.finfo(np.float64).smallest_subnormal)
    w = np.where(rows > 0, rows * y / guarded, 0.0) if delta else rows
    total = w.sum(axis=1, keepdims=True)
    size = y * others(w) + w * others(y)

    def of(relative: Error) -> Error:
        bound = relative.times(y * growth(relative.total(y.shape))).at_most(1.0)
        return bound.plus(one_sign(np.full(y.shape, how.tiny)))

    e_y, e_soft = of(soft.by_logarithm), of(soft.by_quotient)
    direct = e_y.times(total).plus(one_sign(2.0 * u * size))
    through = e_soft.times(total).plus(one_sign((how.f + 4.0) * u * size))
    error = largest([direct, through])
    e_w = one_sign(np.array(how.input_error(rows)))
    if delta:
        # A product of two outputs may have become zero before it is divided by y + delta.
        lost = how.tiny * (rows / guarded).sum(axis=1, keepdims=True)
        error = error.plus(one_sign(np.broadcast_to(lost, y.shape)))
        # An entry of y below `tiny` may have become zero; w never exceeds t.
        least = np.maximum(guarded - e_y.total(y.shape), 0.5 * guarded)
        moved = e_y.times(delta * rows / guarded / least)
        rounded_delta = max(how.constant_error(delta), how.u * delta)
        moved = moved.plus(one_sign(rows * y * rounded_delta / guarded / least))
        e_w = e_w.plus(moved.at_most(rows))
    row_sums = e_w.moved(_row_sums, (0, None))
    error = error.plus(row_sums.times(y), e_w)
    error = error.plus(one_sign((sums + 2.0 * u) * y * total + how.tiny))
    error = error.times(np.full(y.shape, 1.0 / N)).plus(one_sign(np.full(y.shape, how.tiny)))
    return Rounded((y * others(w) - w * others(y)) / N, error, how)


def _row_sums(b: Float64) -> Float64:
    return np.broadcast_to(b.sum(axis=1, keepdims=True), b.shape)


Of = Callable[[Float64, Float64, Float64], Float64]
"""(y, t, a) to N times the derivative by the scores."""


def _softmax(a: Float64, axis: int | None = 1) -> Float64:
    powers = np.exp(a - a.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def _but_last(y: Float64) -> Array:
    return np.arange(y.shape[1]) < y.shape[1] - 1


def _onehot(labels: Array, y: Float64) -> Float64:
    return np.eye(y.shape[1])[labels]


def _sorted(t: Float64) -> Float64:
    return t[np.argsort(t.argmax(axis=1), kind="stable")]


def _through(y: Float64, g: Float64) -> Float64:
    """Return g taken through the Jacobian of the softmax."""
    return np.asarray(y * (g - (g * y).sum(axis=1, keepdims=True)))


_USUAL = "Write (y - t) / N, the derivative of the loss by the scores."
_J, _F, _T = "softmax_jacobian", "wrong_forward", "wrong_targets"

WRONG: tuple[tuple[str, str, Of], ...] = (
    (_J, "the derivative of the softmax is missing", lambda y, t, a: -t / y),
    (_J, "only the diagonal of the softmax's Jacobian is used", lambda y, t, a: -t * (1 - y)),
    (_J, "y - t is multiplied by y (1 - y)", lambda y, t, a: (y - t) * y * (1 - y)),
    (_J, "y - t is multiplied by y", lambda y, t, a: (y - t) * y),
    (_J, "y - t is multiplied by 1 - y", lambda y, t, a: (y - t) * (1 - y)),
    (_J, "it is that of a squared error behind the softmax", lambda y, t, a: _through(y, y - t)),
    (_J, "y - t is zero at the label", lambda y, t, a: (y - t) * (1 - t)),
    (_J, "y - t has the wrong sign but at the label", lambda y, t, a: (y - t) * (2 * t - 1)),
    (_J, "it is -(y + t)", lambda y, t, a: -(y + t)),
    (_J, "it is that of a binary cross-entropy", lambda y, t, a: (y - t) / (y * (1 - y))),
    (
        _J,
        "it is that of a binary cross-entropy behind the softmax",
        lambda y, t, a: _through(y, (y - t) / (y * (1 - y))),
    ),
    (_J, "it is the sign of y - t", lambda y, t, a: np.sign(y - t)),
    (_J, "the last class is left out", lambda y, t, a: (y - t) * _but_last(y)),
    (
        "softmax_twice",
        "a second softmax is differentiated too",
        lambda y, t, a: _through(y, _softmax(y) - t),
    ),
    (
        "sample_weights",
        "the samples are weighted by the probability of their label",
        lambda y, t, a: (y - t) * (y * t).sum(axis=1, keepdims=True),
    ),
    (_T, "the targets are the network's own answers", lambda y, t, a: y - _onehot(y.argmax(1), y)),
    (_T, "the targets are the least likely classes", lambda y, t, a: y - _onehot(y.argmin(1), y)),
    (_T, "the targets are missing", lambda y, t, a: y),
    (_T, "the targets are one class too high", lambda y, t, a: y - np.roll(t, 1, axis=1)),
    (_T, "the targets are one class too low", lambda y, t, a: y - np.roll(t, -1, axis=1)),
    (_T, "the targets are those of the sample before", lambda y, t, a: y - np.roll(t, 1, axis=0)),
    (_T, "the targets are those of the sample after", lambda y, t, a: y - np.roll(t, -1, axis=0)),
    (_T, "the targets are in reverse order", lambda y, t, a: y - t[::-1]),
    (_T, "the targets are in sorted order", lambda y, t, a: y - _sorted(t)),
    (_T, "the targets are those of the first sample", lambda y, t, a: y - t[:1]),
    (_T, "the targets hold a 1 for every label of the batch", lambda y, t, a: y - (t.sum(0) > 0)),
    (_T, "the targets count the labels of the batch", lambda y, t, a: y - t.sum(axis=0)),
    (
        _T,
        "the targets were read in the other memory order",
        lambda y, t, a: y - t.T.reshape(t.shape),
    ),
    (
        _T,
        "the label itself is subtracted from every output",
        lambda y, t, a: y - t.argmax(axis=1)[:, None],
    ),
    (_T, "the targets count twice", lambda y, t, a: y - 2 * t),
    (_T, "the targets are -1 and 1", lambda y, t, a: y - (2 * t - 1)),
)
"""What people write in place of y - t: the code, what it is, and N times the derivative."""


OUTPUTS: tuple[tuple[str, str, Of], ...] = (
    ("softmax_twice", "the softmax is applied twice", lambda y, t, a: _softmax(y)),
    ("softmax_twice", "the softmax is applied three times", lambda y, t, a: _softmax(_softmax(y))),
    ("softmax_axis", "the softmax runs over the samples", lambda y, t, a: _softmax(a, 0)),
    ("softmax_axis", "the softmax runs over the whole batch", lambda y, t, a: _softmax(a, None)),
    (_F, "the exponentials are not divided by their sum", lambda y, t, a: np.exp(a)),
    (_F, "there is no softmax", lambda y, t, a: a),
    (_F, "the logarithm of the softmax stands in its place", lambda y, t, a: np.log(y)),
    (
        _F,
        "the exponentials are divided by their largest, not by their sum",
        lambda y, t, a: y / y.max(axis=1, keepdims=True),
    ),
    (_F, "a sigmoid stands in place of the softmax", lambda y, t, a: 1 / (1 + np.exp(-a))),
    (_F, "the softmax has powers of 2, not of e", lambda y, t, a: _softmax(a * np.log(2.0))),
    (_F, "the softmax has powers of 10, not of e", lambda y, t, a: _softmax(a * np.log(10.0))),
)
"""What stands in place of the softmax in y - t: the code, what it is, and the outputs."""

FAMILIES: tuple[tuple[str, str, Callable[[Float64, Float64], Sequence[Float64]]], ...] = (
    (
        _T,
        "the derivative by the scores is ({0} y - {1} t + {2}) / N, not (y - t) / N",
        lambda y, t: [y, -t, np.ones_like(y)],
    ),
    (
        _J,
        "the derivative by the scores is another function of y and t than (y - t) / N",
        lambda y, t: [np.ones_like(y), y, t, y**2, y * t, y**3, y**2 * t],
    ),
)
"""What may be mixed to N times the derivative by the scores: targets that are smoothed, say."""


def families(arguments: Callable[..., tuple[str, Float64, Float64, float]]) -> tuple[Family, ...]:
    """Return the families of an operator; `arguments` as for `slips`."""

    def family(code: str, says: str, bases: Callable[..., Sequence[Float64]], w: bool) -> Family:
        def each(xp: Numbers, *given: Number, **attributes: float) -> list[dict[str, Number]]:
            name, a, t, dE = arguments(*given, **attributes)
            y = _softmax(a)
            scale = dE / len(a) * (_seen(y, t, attributes.get("delta", 0.0)) if w else 1.0)
            return [{name: np.reshape(scale * basis, a.shape)} for basis in bases(y, t)]

        return Family(code, says, each, _USUAL)

    return tuple(family(*one, w) for one in FAMILIES for w in (False, True))


def curves(arguments: Callable[..., tuple[str, Float64, Float64, float]]) -> tuple[Curve, ...]:
    """Return the curves of an operator; `arguments` as for `slips`."""

    def temperature(
        c: float, xp: Numbers, *given: Number, **attributes: float
    ) -> dict[str, Number]:
        name, a, t, dE = arguments(*given, **attributes)
        y = _softmax(c * a)
        return {name: dE / len(a) * _seen(y, t, attributes.get("delta", 0.0)) * (y - t)}

    def guarded(c: float, xp: Numbers, *given: Number, **attributes: float) -> dict[str, Number]:
        name, a, t, dE = arguments(*given, **attributes)
        y = _softmax(a)
        w = t * y / (y + 10.0**c)
        return {name: dE / len(a) * (y * w.sum(axis=1, keepdims=True) - w)}

    says = "the derivative is that of {0} times the scores: a temperature of the softmax"
    return (
        Curve(_F, says, temperature, _USUAL, lambda _: 1.0, (0.5, 2.0, -1.0)),
        Curve(
            "wrong_forward",
            "the derivative is that of log(y + 10^{0})",
            guarded,
            "Differentiate the loss with its own guard in the logarithm.",
            lambda attributes: np.log10(attributes.get("delta") or 1e-300),
            (-8.0, -5.0, -2.0),
        ),
    )


Read = Sequence[tuple[str, str, str, Float64, float]]


def read(error: Float64, a: Float64, t: Float64, delta: float) -> Read:
    """Read targets, whole numbers or bounds off a derivative by the scores that is not right."""
    N, K = a.shape
    y = _softmax(a)
    w = _seen(y, t, delta)
    found: list[tuple[str, str, str, Float64, float]] = []
    with np.errstate(all="ignore"):
        for scale in dict.fromkeys((1.0, float(N))):
            used = y - N * error / w / scale
            whole = np.rint(used)
            if np.all(np.abs(used - whole) <= 0.05) and not np.array_equal(whole, t):
                labels = ", ".join(str(k) for k in whole.argmax(axis=1)[:8])
                if np.all(whole.sum(axis=1) == 1) and np.all((whole == 0) | (whole == 1)):
                    says = f"the gradient is that of other labels: {labels}"
                else:
                    says = "the rows of the targets do not hold a single 1"
                meant = scale * w * (y - whole) / N
                found.append((_T, says, _USUAL, meant, N * np.log2(max(2, K))))
            numbers = np.rint(N * error / scale)
            if np.all(np.abs(N * error / scale - numbers) <= 1e-3) and numbers.any():
                says = "the derivative by the scores holds whole numbers over N, as that of a hinge"
                found.append((_F, says, _USUAL, scale * numbers / N, 2.0 * numbers.size))
        right = w * (y - t) / N
        low, high = float(error.min()), float(error.max())
        margin = 1e-6 * (high - low)
        if error.size >= 9 and np.sum((error <= low + margin) | (error >= high - margin)) >= 3:
            says = f"the derivative by the scores is cut off at {low:.4g} and {high:.4g}"
            remedy = "Switch clipping off for the check."
            found.append(("clipped", says, remedy, np.clip(right, low, high), 40.0))
    return found


def _seen(y: Float64, t: Float64, delta: float) -> Float64 | float:
    """Return what delta makes of each sample: p / (p + delta), p the probability of its label."""
    if not delta:
        return 1.0
    return np.asarray((t * (y / (y + delta))).sum(axis=1, keepdims=True))


def slips(arguments: Callable[..., tuple[str, Float64, Float64, float]]) -> tuple[Slip, ...]:
    """Return the slips of an operator.

    `arguments` takes what its vjp gets and returns the name of the scores, the scores, the rows of
    targets, and the cotangent.
    """

    def slip(code: str, says: str, of: Of, weighted: bool) -> Slip:
        def wrong(xp: Numbers, *given: Number, **attributes: float) -> dict[str, Number]:
            name, a, t, dE = arguments(*given, **attributes)
            with np.errstate(all="ignore"):
                y = _softmax(a)
                w = _seen(y, t, attributes.get("delta", 0.0)) if weighted else 1.0
                return {name: np.asarray(dE * w * of(y, t, a) / len(a)).reshape(a.shape)}

        return Slip(code, says, wrong, _USUAL)

    def output(code: str, says: str, of: Of, weighted: bool) -> Slip:
        def wrong(xp: Numbers, *given: Number, **attributes: float) -> dict[str, Number]:
            name, a, t, dE = arguments(*given, **attributes)
            with np.errstate(all="ignore"):
                y = of(_softmax(a), t, a)
                w = _seen(y, t, attributes.get("delta", 0.0)) if weighted else 1.0
                return {name: np.asarray(dE * w * (y - t) / len(a)).reshape(a.shape)}

        return Slip(code, says, wrong, _USUAL)

    # Whoever knows of delta multiplies each sample by what it makes of it.
    both = (False, True)
    return (
        *(slip(*one, weighted) for one in WRONG for weighted in both),
        *(output(*one, weighted) for one in OUTPUTS for weighted in both),
    )
