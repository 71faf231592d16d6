"""What people write instead of the derivative of a softmax with its cross-entropy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Curve, Family, Slip
from oracle.values import Array, Float64

Of = Callable[[Float64, Float64, Float64], Float64]
"""(y, t, a) to N times the derivative by the scores."""


@dataclass(frozen=True)
class Given:
    """What a derivative is made of: scores (N, K), rows of targets, and the factor of each row.

    `scale` is the cotangent over N, or a column of one number for each row. `back` brings what was
    formed of them to the shape of the input called `name`.
    """

    name: str
    a: Float64
    t: Float64
    scale: Float64 | float
    back: Callable[[Float64], Float64]


Arguments = Callable[..., Given]
"""What a vjp gets to what its slips are made of."""


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
"""What people write instead of y - t: the code, what it is, and N times the derivative."""


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
    (_F, "a sigmoid is used instead of the softmax", lambda y, t, a: 1 / (1 + np.exp(-a))),
    (_F, "the softmax has powers of 2, not of e", lambda y, t, a: _softmax(a * np.log(2.0))),
    (_F, "the softmax has powers of 10, not of e", lambda y, t, a: _softmax(a * np.log(10.0))),
)
"""What is used instead of the softmax in y - t: the code, what it is, and the outputs."""

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


def families(arguments: Arguments) -> tuple[Family, ...]:
    """Return the families of an operator; `arguments` as for `slips`."""

    def family(code: str, says: str, bases: Callable[..., Sequence[Float64]], w: bool) -> Family:
        def each(xp: Numbers, *given: Number, **attributes: float) -> list[dict[str, Number]]:
            of = arguments(*given, **attributes)
            y = _softmax(of.a)
            scale = of.scale * (_seen(y, of.t, attributes.get("delta", 0.0)) if w else 1.0)
            return [{of.name: of.back(scale * basis)} for basis in bases(y, of.t)]

        return Family(code, says, each, _USUAL)

    return tuple(family(*one, w) for one in FAMILIES for w in (False, True))


def curves(arguments: Arguments) -> tuple[Curve, ...]:
    """Return the curves of an operator; `arguments` as for `slips`."""

    def temperature(
        c: float, xp: Numbers, *given: Number, **attributes: float
    ) -> dict[str, Number]:
        of = arguments(*given, **attributes)
        y = _softmax(c * of.a)
        seen = _seen(y, of.t, attributes.get("delta", 0.0))
        return {of.name: of.back(of.scale * seen * (y - of.t))}

    def guarded(c: float, xp: Numbers, *given: Number, **attributes: float) -> dict[str, Number]:
        of = arguments(*given, **attributes)
        y = _softmax(of.a)
        w = of.t * y / (y + np.float_power(10.0, min(c, 0.0)))
        return {of.name: of.back(of.scale * (y * w.sum(axis=1, keepdims=True) - w))}

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


def slips(arguments: Arguments) -> tuple[Slip, ...]:
    """Return the slips of an operator."""

    def slip(code: str, says: str, of: Of, weighted: bool, output: bool) -> Slip:
        def wrong(xp: Numbers, *given: Number, **attributes: float) -> dict[str, Number]:
            its = arguments(*given, **attributes)
            with np.errstate(all="ignore"):
                y = _softmax(its.a)
                w = _seen(y, its.t, attributes.get("delta", 0.0)) if weighted else 1.0
                formed = of(y, its.t, its.a) - its.t if output else of(y, its.t, its.a)
                return {its.name: its.back(np.asarray(its.scale * w * formed))}

        return Slip(code, says, wrong, _USUAL)

    # Whoever knows of delta multiplies each sample by what it makes of it.
    both = (False, True)
    return (
        *(slip(*one, weighted, False) for one in WRONG for weighted in both),
        *(slip(*one, weighted, True) for one in OUTPUTS for weighted in both),
    )
