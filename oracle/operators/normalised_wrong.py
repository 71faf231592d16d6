"""What people write instead of the formulas of a normalisation's derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from oracle.operators.normalised import Flow
from oracle.values import Float64


@dataclass(frozen=True)
class Rows:
    """The rows of a normalisation: x less its mean, h, r and g, and the scale; all are arrays."""

    x: Float64
    c: Float64
    dY: Float64
    scale: Float64
    epsilon: float
    centred: bool
    more: Callable[[Float64, Float64], Float64]

    @property
    def n(self) -> int:
        """Length of a row."""
        return self.x.shape[1]

    @property
    def g(self) -> Float64:
        """Cotangent of h."""
        return self.dY * self.scale

    @property
    def v(self) -> Float64:
        """Variance."""
        return _mean(self.c * self.c)

    @property
    def r(self) -> Float64:
        """One over the deviation."""
        return 1.0 / np.sqrt(self.v + self.epsilon)

    @property
    def h(self) -> Float64:
        """Normalised rows."""
        return self.c * self.r

    def dx(
        self,
        g: Float64 | None = None,
        h: Float64 | None = None,
        r: Float64 | None = None,
        *,
        mean: float = 1.0,
        variance: float = 1.0,
    ) -> Float64:
        """Return dx with another g, h or r, and its two terms so many times."""
        g = self.g if g is None else g
        h = self.h if h is None else h
        r = self.r if r is None else r
        inner = g - variance * h * _mean(g * h)
        return r * (inner - mean * _mean(g) if self.centred else inner)

    @classmethod
    def of(cls, flow: Flow) -> Rows:
        """Return the rows of a flow in float64."""
        xp, layout = flow.xp, flow.layout
        x = np.asarray(layout.rows(xp, flow.X))
        dY = np.asarray(layout.rows(xp, flow.dY))
        full = np.ones(flow.X.shape) * (1.0 if flow.scale is None else flow.scale)
        c = x - _mean(x) if flow.centred else x
        scale = np.asarray(layout.rows(xp, full))
        return cls(x, c, dY, scale, flow.epsilon, flow.centred, lambda h, r: 0.0 * h)


def _mean(a: Float64) -> Float64:
    return np.asarray(a.mean(axis=1, keepdims=True))


def _deviation(q: Rows, v: Float64) -> Float64:
    return np.asarray(1.0 / np.sqrt(v + q.epsilon))


def _of_unbiased(q: Rows) -> Float64:
    """Return the derivative of what has N - 1 in its variance, which is right for that."""
    r = _deviation(q, q.v * q.n / max(q.n - 1, 1))
    return q.dx(r=r, h=q.c * r, variance=q.n / max(q.n - 1, 1))


def _across(q: Rows) -> Float64:
    """Return the derivative of what is normalised over the rows."""
    turned = Rows(
        q.x.T, q.x.T - _mean(q.x.T) * q.centred, q.dY.T, q.scale.T, q.epsilon, q.centred, q.more
    )
    return turned.dx().T


Of = Callable[[Rows], Float64]

DX = "Write dX = r (g - mean(g) - h mean(g h)), with g = dY Scale, h normalised, r = 1 / deviation."
DX_PLAIN = (
    "Write dX = r (g - h mean(g h)), with g = dY Scale, h normalised, r = 1 / root mean square."
)

CENTRED: tuple[tuple[str, str, Of], ...] = (
    ("mean_term_missing", "the mean of g is not subtracted in dX", lambda q: q.dx(mean=0.0)),
    ("mean_term_twice", "the mean of g is subtracted twice in dX", lambda q: q.dx(mean=2.0)),
    ("mean_term_sign", "the mean of g is added in dX, not subtracted", lambda q: q.dx(mean=-1.0)),
    (
        "statistics_constant",
        "mean and variance are treated as constants in dX",
        lambda q: q.dx(mean=0.0, variance=0.0),
    ),
    (
        "mean_not_divided",
        "the sum of g is subtracted in dX, not its mean",
        lambda q: q.dx(mean=float(q.n)),
    ),
    (
        "means_not_divided",
        "the sums stand in dX, not the means",
        lambda q: q.dx(mean=float(q.n), variance=float(q.n)),
    ),
    (
        "centre_missing",
        "the input is not centred in dX",
        lambda q: q.dx(h=q.x * q.r),
    ),
    (
        "centre_missing",
        "dX is that of a root mean square norm",
        lambda q: replace(q, c=q.x, centred=False).dx(),
    ),
)
PLAIN: tuple[tuple[str, str, Of], ...] = (
    (
        "mean_term_added",
        "the mean of g is subtracted in dX, as for a layer norm",
        lambda q: replace(q, centred=True).dx(),
    ),
    (
        "mean_term_added",
        "dX is that of a layer norm",
        lambda q: replace(q, c=q.x - _mean(q.x), centred=True).dx(),
    ),
)
BOTH: tuple[tuple[str, str, Of], ...] = (
    (
        "variance_term_missing",
        "the term of the variance, h mean(g h), is missing in dX",
        lambda q: q.dx(variance=0.0),
    ),
    (
        "variance_term_twice",
        "the term of the variance, h mean(g h), is subtracted twice in dX",
        lambda q: q.dx(variance=2.0),
    ),
    (
        "variance_term_half",
        "the term of the variance, h mean(g h), is halved in dX",
        lambda q: q.dx(variance=0.5),
    ),
    (
        "variance_term_sign",
        "the term of the variance, h mean(g h), is added in dX",
        lambda q: q.dx(variance=-1.0),
    ),
    (
        "variance_not_divided",
        "the sum of g h stands in dX, not its mean",
        lambda q: q.dx(variance=float(q.n)),
    ),
    ("scale_missing", "dY is not multiplied by Scale in dX", lambda q: q.dx(g=q.dY)),
    (
        "scale_outside",
        "dX is multiplied by Scale at the end, outside the means",
        lambda q: q.scale * q.dx(g=q.dY),
    ),
    ("scale_twice", "dY is multiplied by Scale twice in dX", lambda q: q.dx(g=q.g * q.scale)),
    ("scale_divided", "dY is divided by Scale in dX", lambda q: q.dx(g=q.dY / q.scale)),
    (
        "unbiased_variance",
        "the variance is divided by N - 1 in dX, not by N",
        lambda q: q.dx(
            r=_deviation(q, q.v * q.n / max(q.n - 1, 1)),
            h=q.c * _deviation(q, q.v * q.n / max(q.n - 1, 1)),
        ),
    ),
    (
        "unbiased_variance",
        "dX is that of a variance that is divided by N - 1",
        _of_unbiased,
    ),
    (
        "unbiased_means",
        "the means in dX are divided by N - 1",
        lambda q: q.dx(mean=q.n / max(q.n - 1, 1), variance=q.n / max(q.n - 1, 1)),
    ),
    (
        "epsilon_outside_root",
        "epsilon is added to the deviation, outside the root",
        lambda q: q.dx(r=1.0 / (np.sqrt(q.v) + q.epsilon), h=q.c / (np.sqrt(q.v) + q.epsilon)),
    ),
    (
        "epsilon_missing",
        "epsilon is missing in dX",
        lambda q: q.dx(r=1.0 / np.sqrt(q.v), h=q.c / np.sqrt(q.v)),
    ),
    (
        "epsilon_missing",
        "epsilon is missing in the term of the variance",
        lambda q: q.dx(h=q.c * np.sqrt(q.r / np.sqrt(q.v))),
    ),
    (
        "deviation_missing",
        "dX is not divided by the deviation",
        lambda q: q.dx(r=np.ones_like(q.r)),
    ),
    (
        "deviation_twice",
        "dX is divided by the variance, not by the deviation",
        lambda q: q.dx(r=q.r * q.r),
    ),
    (
        "deviation_inverted",
        "dX is multiplied by the deviation, not divided by it",
        lambda q: q.dx(r=1.0 / q.r),
    ),
    (
        "input_not_normalised",
        "the input is used instead of the normalised one in dX",
        lambda q: q.dx(h=q.c),
    ),
    (
        "input_not_normalised",
        "h mean(g h) has one factor that is not normalised",
        lambda q: q.dx(h=q.c * np.sqrt(q.r)),
    ),
    ("wrong_axis", "dX is normalised over the other axes", _across),
    (
        "wrong_axis",
        "the means in dX run over the other axes",
        lambda q: (
            q.r
            * (
                q.g
                - q.g.mean(axis=0, keepdims=True) * q.centred
                - q.h * (q.g * q.h).mean(axis=0, keepdims=True)
            )
        ),
    ),
    (
        "wrong_axis",
        "the means in dX run over all axes",
        lambda q: q.r * (q.g - q.g.mean() * q.centred - q.h * (q.g * q.h).mean()),
    ),
)
"""What people write instead of dX: the code, what it is, and the rows of it."""

SCALES: tuple[tuple[str, str, Callable[[Rows], Float64]], ...] = (
    (
        "input_not_normalised",
        "dScale is formed with the input, not with the normalised one",
        lambda q: q.dY * q.x,
    ),
    ("input_missing", "dScale is the sum of dY, without the normalised input", lambda q: q.dY),
    ("scale_in_dscale", "dScale is multiplied by Scale", lambda q: q.g * q.h),
    ("dscale_of_absolutes", "dScale is the sum of |dY h|", lambda q: np.abs(q.dY * q.h)),
    ("epsilon_missing", "epsilon is missing in dScale", lambda q: q.dY * q.c / np.sqrt(q.v)),
    (
        "unbiased_variance",
        "the variance is divided by N - 1 in dScale, not by N",
        lambda q: q.dY * q.c * _deviation(q, q.v * q.n / max(q.n - 1, 1)),
    ),
    (
        "deviation_twice",
        "dScale is divided by the variance, not by the deviation",
        lambda q: q.dY * q.h * q.r,
    ),
)
OFF_CENTRE = (
    (
        "input_not_normalised",
        "dScale is formed with the centred input, not divided by its deviation",
        lambda q: q.dY * q.c,
    ),
    (
        "centre_missing",
        "dScale is formed with an input that is not centred",
        lambda q: q.dY * q.x * q.r,
    ),
)

DSCALE = "Write dScale = (dY * h) summed over the rows, with h normalised."
DBIAS = "Write dB = dY summed over the rows."
