"""What is wrong with a gradient of the document's TwoLayerNet.

W2 and b2 determine the output error dY that the caller used, W1 and b1 then the error dA1 of the
hidden layer. So each stage is explained by itself, given the stage behind it, and mistakes in
different stages are found together, under any factor.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from oracle.checking.backward import Pass, backward, forward
from oracle.checking.diagnosis import hidden, recovery
from oracle.checking.diagnosis.earlier import at_other_parameters
from oracle.checking.diagnosis.elimination import located, nearly_right
from oracle.checking.diagnosis.faults import decayed, decayed_alike, fault
from oracle.checking.mistakes import OUTPUTS, SAMPLES, SLOPES, Mistake, other_forwards
from oracle.diagnosis.alone import clipped
from oracle.diagnosis.comparison import LARGER, Comparison
from oracle.diagnosis.evidence import even, independent, misfit, tells
from oracle.diagnosis.returned import changed, in_place_of_parameters
from oracle.diagnosis.tensors import (
    best_factor,
    common_factor,
    explain_each,
    factor_findings,
    fitted_factor,
    is_known,
    listed,
    low_precision,
    merged,
    moved,
    near_1,
    representable_in,
    tensor_factor,
    unexplained,
)
from oracle.findings import FindingKind as Kind
from oracle.values import DELTA, Array, Finding, TwoLayerNetParameters

Tensors = dict[str, Array]
Sizes = Mapping[str, int]
Hypothesis = tuple["Finding | None", Array]

USUAL = 0.1
"""Share of what rounding may do that it does: explanations this near to each other fit alike."""

CONDITIONAL = {
    Kind.TENSOR_FACTOR,
    Kind.SAMPLE_WEIGHTS,
    Kind.DROPPED_SAMPLES,
    Kind.WRONG_INPUTS,
    Kind.MISSING_ACTIVATION_DERIVATIVE,
    Kind.WRONG_ACTIVATION_DERIVATIVE,
    Kind.BIAS_REDUCTION,
    Kind.SINGLE_ENTRIES,
    Kind.WEIGHT_DECAY,
    Kind.PERMUTED,
}
"""What is said of a tensor in layer 1 only beside a dY that is known."""

FACTORS = {
    Kind.CONSTANT_FACTOR,
    Kind.MISSING_BATCH_MEAN,
    Kind.EXTRA_BATCH_MEAN,
    Kind.SIGN_FLIPPED,
}
"""What is said of every tensor, if it is said of none by name."""

FEWEST = 3
"""Equations that have to check a fitted number where each has few digits."""

SAMPLED = 48
"""Rows of W1 that a hypothesis has to agree with before it is computed for all of them."""


def explain_two_layer_net(
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    comparison: Comparison,
    *,
    delta: float = DELTA,
) -> tuple[Finding, ...]:
    """Name what is wrong with a gradient of the two-layer net that failed its check.

    Every hypothesis is computed, with `delta` and without, and named only where the candidate
    equals it within rounding.

    Parameters
    ----------
    parameters, x, t : TwoLayerNetParameters, (N, D) array, (N,) or (N, K) array
        The network, its inputs and its targets.
    comparison : Comparison
        The candidate beside the reference.
    delta : float
        The constant inside the logarithm.

    Returns
    -------
    tuple of Finding
        At least one; `UNEXPLAINED` where no known cause fits.
    """
    found = low_precision(comparison)
    if found:
        return found
    passes = [
        forward(parameters, x, t, delta=d, checkpoint=comparison.checkpoint)
        for d in dict.fromkeys((delta, 0.0))
    ]
    found = _best(passes, comparison)
    if _unknown(found):
        narrow = representable_in(comparison)
        found = found if narrow is None else _best(passes, narrow[1])
    if _unknown(found) and any(comparison.is_coarse(n) for n in comparison.candidate):
        # A part of an explanation has few digits to stand on: what needs none remains.
        return tuple(f for f in found if f.kind in {Kind.ZERO_TENSOR, Kind.UNEXPLAINED})
    return found


def _best(passes: list[Pass], comparison: Comparison) -> tuple[Finding, ...]:
    """Return the first explanation without a gap, or else the last of those with the fewest."""
    best: tuple[Finding, ...] = ()
    for found in _explanations(passes, comparison):
        if _denies_what_is_right(found, comparison):
            continue
        if found and not _unknown(found):
            return found
        if found and (not best or _unknown(found) <= _unknown(best)):
            best = found
    return best


def _denies_what_is_right(findings: tuple[Finding, ...], comparison: Comparison) -> bool:
    """Tell whether a tensor that is right would be said to be wrong, as two errors that cancel."""
    said = {n for f in findings for n in NAME.findall(f.tensor) if f.kind is not Kind.UNEXPLAINED}
    return any(comparison.within(n) for n in said if n in comparison.candidate)


NAME = re.compile(r"[Wb][12]")
"""A tensor in what a finding says of one or of several."""


def _unknown(findings: tuple[Finding, ...]) -> int:
    """Count what is not explained; causes that are not told apart are an answer."""
    return sum(f.kind is Kind.UNEXPLAINED and "causes" not in f.evidence for f in findings)


def _explanations(passes: list[Pass], comparison: Comparison) -> Iterator[tuple[Finding, ...]]:
    """Yield what each test finds, the simplest first; the last always finds something."""
    D, H = passes[0].W1.shape
    sizes = {"N": passes[0].N, "K": passes[0].K, "H": H, "D": D}
    views = [comparison, *(moved(comparison, _only(comparison, backward(p))) for p in passes[1:])]
    if not any(np.any(g) for g in comparison.candidate.values()) or passes[0].K == 1:
        # With one class y is 1, whatever the weights, and nothing can be told from the gradient.
        yield explain_each(comparison, sizes)
        return
    if len(views) > 1 and all(_is(views[1], comparison, n) for n in comparison.candidate):
        message = "This is the derivative of the loss without delta inside the logarithm."
        yield (Finding(Kind.DELTA_IGNORED, "", message, "dY = (y - t) / N * p / (p + delta)"),)
    layer_2 = {"W2", "b2"} & set(comparison.candidate)
    told = recovery.equations(passes[0], comparison) if layer_2 else 2
    weights = {n: getattr(passes[0], n) for n in comparison.candidate}
    for view in views:
        yield in_place_of_parameters(weights, view)
        if found := changed(view):
            yield found
            return
    if not any(comparison.is_coarse(n) for n in comparison.candidate):
        # A delta takes a share of the only sample, so a factor without one may be plainer.
        yield from sorted((common_factor(view, sizes, told) for view in views), key=_is_odd)
    if told < 2 and any(common_factor(view, sizes) for view in views):
        yield (_one_number(comparison, sizes),)
        return
    if set(comparison.candidate) != {"W1", "b1", "W2", "b2"}:
        yield explain_each(comparison, sizes)
        return
    stages = [_Stages(p, comparison, sizes) for p in passes]
    # A delta changes the weight of every sample, so whether there is one comes first.
    nearest = max((len(of_pass.right), of_pass.scale == 1) for of_pass in stages)
    stages = [s for s in stages if (len(s.right), s.scale == 1) == nearest]
    yield from sorted((of_pass.explain(known=True) for of_pass in stages), key=len)
    yield from (at_other_parameters(p, comparison) for p in passes)
    yield from sorted((_of_other_forward(p, comparison, sizes) for p in passes), key=len)
    yield explain_each(comparison, sizes)
    # What is fitted to the plain (y - t) / N first: it would take a delta for a weight.
    yield from (of_pass.explain(known=False) for of_pass in reversed(stages))


def _is(view: Comparison, comparison: Comparison, name: str) -> bool:
    """Tell whether a tensor is what a view expects, and near to it if the check failed there.

    Where rounding may do more than the tensor is large, its budget holds anything.
    """
    size = min(view.sent(name), view.largest(name))
    near = LARGER * view.error(name) <= size or comparison.within(name)
    return near and view.within(name)


def _is_odd(found: tuple[Finding, ...]) -> bool:
    """Tell whether a factor is none that is known."""
    return any("factor" in f.evidence and f.kind is Kind.CONSTANT_FACTOR for f in found)


def _one_number(comparison: Comparison, sizes: Sizes) -> Finding:
    """Say that a factor is all that can be told where dY holds one number."""
    factor = best_factor(comparison, comparison.reference, sizes) or 0.0
    message = (
        f"Every tensor is {factor:.6g} times the right one. On this input dY holds one number, and "
        "whatever is wrong with it looks like a factor."
    )
    remedy = "Check it with several samples and more than two classes."
    return Finding(Kind.UNEXPLAINED, "", message, remedy, {"factor": factor})


def _only(comparison: Comparison, tensors: Tensors) -> Tensors:
    return {n: tensors[n] for n in comparison.candidate}


def _of_other_forward(p: Pass, comparison: Comparison, sizes: Sizes) -> tuple[Finding, ...]:
    """Find another forward pass that W2 and b2 are right for, the one that leaves least to say."""
    best: tuple[Finding, ...] = ()
    last, explains = p, False
    for text, remedy, other, slope in other_forwards(p):
        if other is not last:
            same = np.array_equal(other.y, p.y) and np.array_equal(other.x, p.x)
            last, explains = other, not same and _explains_layer_2(other, comparison)
        if not explains:
            continue
        found = (Finding(Kind.WRONG_FORWARD, "", f"{text}.", remedy),)
        stages = _Stages(other, comparison, sizes, slope)
        if {"W2", "b2"} <= set(stages.right) and stages.differs_from(p):
            rest = stages.explain(known=True)
            if not _unknown(rest) and (not best or len(rest) + 1 < len(best)):
                best = (*found, *rest)
            if len(best) == 1:
                return best  # None leaves less to say.
    return best


def _explains_layer_2(p: Pass, comparison: Comparison) -> bool:
    """Tell whether W2 and b2 may be a multiple of what a pass gives, before W1 is computed."""
    dY = p.output_error

    def may_be(name: str, g: Array) -> bool:
        factor = fitted_factor(comparison, {name: g})
        return g.size == 1 or factor is not None or comparison.fits(name, g)

    return may_be("b2", dY.sum(axis=0)) and may_be("W2", p.z1.T @ dY)


@dataclass(frozen=True)
class _Layer:
    """The tensors of a layer, and the inputs that multiply its error in the gradient."""

    weights: str
    biases: str
    inputs: Array

    def gradient(self, error: Array) -> Tensors:
        """Return the gradient that follows from the error of the layer."""
        return {self.weights: self.inputs.T @ error, self.biases: error.sum(axis=0)}


@dataclass(frozen=True)
class _Stage:
    """The error of a layer, dY or dA1, that its tensors come from, and what it says.

    `fitting` are the tensors that follow from it; `factor` is included in the error.
    """

    error: Array
    findings: tuple[Finding, ...]
    factor: float
    fitting: tuple[str, ...]


@dataclass(frozen=True)
class _Stages:
    """One forward pass, and the candidate that is explained by it.

    `slope` is the derivative that belongs to it, z1 (1 - z1) if None. `scale` is the factor that
    the most tensors share with the right gradient, 1 if in doubt; `right` are those that equal it.
    """

    p: Pass
    comparison: Comparison
    sizes: Sizes
    slope: Array | None = None
    equations: int = field(init=False)
    scale: float = field(init=False)
    right: tuple[str, ...] = field(init=False)
    in_vain: Tensors = field(init=False, default_factory=dict)
    asked: list[tuple[Tensors, list[str], dict[str, Finding | None]]] = field(
        init=False, default_factory=list
    )

    def __post_init__(self) -> None:
        """Find the scale."""
        object.__setattr__(self, "equations", recovery.equations(self.p, self.comparison))
        expected = backward(self.p, derivative=self.slope)
        factors = [
            best_factor(
                self.comparison, {n: g}, self.sizes, equations=independent(self.comparison, n)
            )
            for n, g in expected.items()
            if g.size > 1
        ]
        right: dict[float, tuple[str, ...]] = {}
        for factor in dict.fromkeys((1.0, *(f for f in factors if f is not None))):
            right[factor] = tuple(
                n for n, g in expected.items() if self.comparison.fits(n, factor * g)
            )
        if self.equations < 2:
            # Of one number any other is a multiple.
            right = {f: names for f, names in right.items() if is_known(f, self.sizes)}
        if any(self.comparison.is_coarse(n) for n in expected):
            # A factor stands beside whatever is as near to it, and no stage begins with one.
            right = {1.0: right[1.0]}
        scale = max(right, key=lambda f: len(right[f]) if f == 1 or len(right[f]) > 1 else 0)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "right", right[scale])

    def differs_from(self, p: Pass) -> bool:
        """Tell whether W2 and b2 say that the pass is another than `p`, where that takes digits."""
        ours, theirs = (self.scale * q.output_error for q in (self.p, p))
        expected, right = (
            _Layer("W2", "b2", q.z1).gradient(error) for q, error in ((self.p, ours), (p, theirs))
        )
        coarse = any(self.comparison.is_coarse(n) for n in expected)
        plain = is_known(self.scale, self.sizes)
        return not coarse or (plain and tells(self.comparison, expected, right, fitted=False))

    def explain(self, *, known: bool) -> tuple[Finding, ...]:
        """Explain dY by W2 and b2, then dA1 by W1 and b1, then what does not follow from them.

        Only by mistakes in the tables if they have to be `known`, else by recovered numbers too.
        """
        p, scale = self.p, self.scale
        upper, lower = _Layer("W2", "b2", p.z1), _Layer("W1", "b1", p.x)
        beyond = {"W1", "b1"} <= set(self.right)
        right = scale * p.output_error
        guesses = iter(()) if beyond else self._output_errors(known, self._tried(upper, right))
        output = self._stage(upper, right, guesses, known=known)
        self._remember(upper, right, output)
        if beyond and not output.findings and output.factor != 1:
            names = " and ".join(output.fitting)
            local = (tensor_factor(names, output.factor, self.sizes),)
            findings = [*local, *factor_findings(scale, self.sizes)]
            inner = replace(output, error=scale * self._back(p.output_error), fitting=("W1", "b1"))
        else:
            total = output.factor * (1 if output.findings else scale)
            back = self._back(output.error)
            inner = self._stage(
                lower,
                back,
                self._hidden_errors(output.error, known, self._tried(lower, back)),
                known=known,
                spread=bool(output.findings),
            )
            self._remember(lower, back, inner)
            findings = [*output.findings, *(_times(f, inner.factor) for f in inner.findings)]
            if not (findings and _near_one(total)):
                findings += factor_findings(total, self.sizes)
            if inner.factor != 1 and not inner.findings:
                names = " and ".join(inner.fitting)
                findings.append(tensor_factor(names, inner.factor, self.sizes))
        return self._with_faults(findings, (upper, output), (lower, inner), known=known)

    def _tried(self, layer: _Layer, right: Array) -> bool:
        """Tell whether the tables were searched in vain beside the same right error."""
        before = self.in_vain.get(layer.weights)
        return before is not None and np.array_equal(before, right)

    def _remember(self, layer: _Layer, right: Array, stage: _Stage) -> None:
        if not stage.findings:
            self.in_vain[layer.weights] = right

    def _of_those_left(
        self, findings: list[Finding], lost: list[str], layers: tuple[tuple[_Layer, _Stage], ...]
    ) -> list[Finding]:
        """Say a factor of every tensor of those only that have it, if nothing else is said."""
        factors = [f for f in findings if f.kind in FACTORS and not f.tensor]
        if not factors:
            return findings
        kept = [f for f in findings if f not in factors]
        names = [n for _, stage in layers for n in stage.fitting if n not in lost]
        coarse = any(self.comparison.is_coarse(n) for n in self.comparison.candidate)
        if names and not coarse and not any(stage.findings for _, stage in layers):
            factor = float(factors[0].evidence["factor"])
            kept.insert(0, tensor_factor(listed(names), factor, self.sizes))
        return kept

    def _back(self, dY: Array) -> Array:
        slope = self.p.z1 * (1 - self.p.z1) if self.slope is None else self.slope
        return np.asarray((dY @ self.p.W2.T) * slope)

    def _output_errors(self, known: bool, tried: bool) -> Iterator[tuple[Finding, Array]]:
        if not tried:
            yield from self._known_output_errors()
        if not known:
            yield from recovery.outputs(self.p, self.comparison)

    def _known_output_errors(self) -> Iterator[tuple[Finding, Array]]:
        p = self.p
        yield from _known(OUTPUTS, p, p.output_error, lambda error: error)
        if p.delta:
            # As delta weighs the right label, whatever else stands in place of y - t.
            plain, weight = replace(p, delta=0.0), p.weight
            yield from _known(OUTPUTS, plain, plain.output_error, lambda error: weight * error)
        yield from _known(SAMPLES, p, p.output_error, lambda error: error, scaled=True)
        yield from recovery.dropped_samples(p, self.comparison)
        yield from recovery.unreached_classes(p, self.comparison)

    def _hidden_errors(
        self, dY: Array, known: bool, tried: bool
    ) -> Iterator[tuple[Finding, Array]]:
        back = dY @ self.p.W2.T
        right = self.p.z1 * (1 - self.p.z1)
        if not tried:
            yield from _known(SLOPES, self.p, right, lambda slope: back * slope)
            yield from hidden.unreached_units(self.p, dY, self.comparison)
        if not known:
            yield from hidden.hidden_errors(self.p, dY, self.comparison)

    def _stage(
        self,
        layer: _Layer,
        right: Array,
        guesses: Iterator[tuple[Finding, Array]],
        *,
        known: bool,
        spread: bool = False,
    ) -> _Stage:
        """Return the first error that both tensors follow from, or else the weights alone.

        The right one stands if none fits, and wherever the weights follow from it. `spread` allows
        every entry what the worst may err, as a stage does whose inputs are not the right ones.
        """
        expected = layer.gradient(right)
        allowed = {n: even(self.comparison, n) if spread else None for n in expected}
        fitting = tuple(
            n for n, g in expected.items() if self.comparison.fits(n, g, allowed=allowed[n])
        )
        if layer.weights in fitting:
            return _Stage(right, (), 1.0, fitting)
        stands = expected
        told = self.equations
        if layer.weights == "W1":
            told = min(len(right), layer.inputs.shape[1] + 1) * right.shape[1]
        coarse = any(self.comparison.is_coarse(n) for n in expected)
        partly: _Stage | None = None
        whole: list[tuple[float, _Stage]] = []
        sampled = self._sampled(layer)
        hypotheses: Iterable[Hypothesis] = itertools.chain([(None, right)], guesses)
        for finding, error in hypotheses:
            if sampled is not None and not self._promising(sampled, layer, error):
                continue
            expected = layer.gradient(error)
            findings = () if finding is None else (finding,)
            wide = spread or finding is not None
            # Few numbers say first that nothing fits.
            biases = {layer.biases: expected[layer.biases]}
            may = not np.any(biases[layer.biases]) or bool(fitted_factor(self.comparison, biases))
            factor = (
                best_factor(self.comparison, expected, self.sizes, spread=wide, equations=told)
                if may
                else None
            )
            if factor is not None and self._tells(
                factor, expected, stands, known=known, spare=FEWEST if finding is None else told - 1
            ):
                stage = _Stage(factor * error, findings, factor, tuple(expected))
                if finding is None and not coarse:
                    return stage
                whole.append((misfit(self.comparison, expected, factor), stage))
            elif (
                may
                and not fitting
                and finding
                and (known or not coarse)
                and (factor := self._beneath_decay(layer, expected)) is not None
            ):
                whole.append((0.0, _Stage(factor * error, findings, factor, (layer.biases,))))
            elif partly is None and not fitting and finding and expected[layer.weights].size > 3:
                weights = {layer.weights: expected[layer.weights]}
                factor = best_factor(self.comparison, weights, self.sizes, spread=wide)
                if factor is not None:
                    partly = _Stage(factor * error, findings, factor, tuple(weights))
        if whole:
            closest = 4 * min(gap for gap, _ in whole) + USUAL
            alike = [stage for gap, stage in whole if gap <= closest or stage.factor == 1]
            if coarse:
                alike = self._without_factors(alike, known=known)
            # A recovered error has its factor in itself; one of a table does best without.
            alike = sorted(alike, key=lambda s: s.factor != 1) if known else alike
            return _joined(alike, self.comparison, coarse=coarse)
        return partly or _Stage(right, (), 1.0, fitting)

    def _without_factors(self, alike: list[_Stage], *, known: bool) -> list[_Stage]:
        """Return the mistakes in a table that need no factor, if there are: they fit no number.

        A right error beneath a factor stands beside them if the factor has a meaning, and alone
        otherwise.
        """
        fixed = [s for s in alike if known and s.findings and s.factor == 1]
        plain = [s for s in alike if not s.findings]
        meant = [s for s in plain if is_known(s.factor, self.sizes)]
        return [*meant, *fixed] if fixed else plain or alike

    def _tells(
        self, factor: float, expected: Tensors, right: Tensors, *, known: bool, spare: int
    ) -> bool:
        fitted = not (known and is_known(factor, self.sizes))
        if fitted and spare < FEWEST and any(self.comparison.is_coarse(n) for n in expected):
            return False
        scaled = {n: factor * g for n, g in expected.items()}
        return tells(self.comparison, scaled, right, fitted=fitted)

    def _beneath_decay(self, layer: _Layer, expected: Tensors) -> float | None:
        """Return the factor of the biases, if the weights follow too but for some decay."""
        biases = {layer.biases: expected[layer.biases]}
        factor = best_factor(self.comparison, biases, self.sizes, spread=True)
        if factor is None:
            return None
        view = moved(self.comparison, {n: factor * g for n, g in expected.items()})
        return None if decayed(self.p, view, layer.weights) is None else factor

    def _sampled(self, layer: _Layer) -> tuple[Array, Comparison] | None:
        """Return some rows of large weights, the largest, and the candidate in these rows alone."""
        name = layer.weights
        reference = self.comparison.reference[name]
        if len(reference) <= 2 * SAMPLED:
            return None
        rows = np.argsort(-np.abs(reference).max(axis=1))[:SAMPLED]
        only = Comparison(
            {name: self.comparison.candidate[name][rows]},
            {name: reference[rows]},
            {name: self.comparison.allowed[name][rows]},
            self.comparison.unit_roundoff,
            self.comparison.checkpoint,
        )
        return rows, only

    def _promising(self, sampled: tuple[Array, Comparison], layer: _Layer, error: Array) -> bool:
        rows, only = sampled
        part = {layer.weights: layer.inputs[:, rows].T @ error}
        return best_factor(only, part, self.sizes, spread=True) is not None

    def _faults(
        self, view: Comparison, errors: Tensors, wrong: list[str]
    ) -> dict[str, Finding | None]:
        """Return what is wrong with each tensor; the same errors are asked about once."""
        for before, names, found in self.asked:
            if names == wrong and all(np.array_equal(before[n], errors[n]) for n in errors):
                return dict(found)
        found = {n: fault(self.p, view, n, errors[n], self.sizes) for n in wrong}
        self.asked.append((errors, wrong, found))
        return dict(found)

    def _with_faults(
        self, findings: list[Finding], *layers: tuple[_Layer, _Stage], known: bool
    ) -> tuple[Finding, ...]:
        """Add what is wrong with each tensor that does not follow from its layer's error."""
        expected = {n: g for layer, stage in layers for n, g in layer.gradient(stage.error).items()}
        view = moved(self.comparison, expected)
        errors = {n: stage.error for layer, stage in layers for n in (layer.weights, layer.biases)}
        wrong = [n for n in errors if not any(n in stage.fitting for _, stage in layers)]
        found = self._faults(view, errors, wrong)
        if any(f is not None and f.kind is Kind.CLIPPED for f in found.values()):
            found = {n: clipped(view, n, fewest=1) or f for n, f in found.items()}
        if None in found.values():
            # That few entries of a small tensor are wrong says little beside one that is lost.
            few = [n for n, f in found.items() if f and f.kind is Kind.SINGLE_ENTRIES]
            found |= dict.fromkeys(few)
        lost = [n for n, f in found.items() if f is None]
        fitted = layers[0][1].findings
        if "W1" in lost and fitted and not known:
            # Numbers fitted to W2 and b2, from which W1 does not follow, are none of the code's.
            findings = [f for f in findings if f not in (*fitted, *layers[1][1].findings)]
            lost = list(dict.fromkeys(("W2", "b2", *lost)))
        elif {"W2", "b2"} <= set(lost):
            # What is said of layer 1 rests on a dY that is not the one it used.
            lower = [n for n in ("W1", "b1") if n in wrong or layers[1][1].findings]
            rests = [n for n in lower if (f := found.get(n)) is None or f.kind in CONDITIONAL]
            found |= dict.fromkeys(rests)
            findings = [f for f in findings if f not in layers[1][1].findings]
            lost = [n for n in errors if n in found and found[n] is None]
        decays = [f for f in found.values() if f and f.kind is Kind.WEIGHT_DECAY]
        for name in [n for n in lost if n in found] if decays else ():
            if same := decayed_alike(self.p, view, name, decays[0]):
                found[name] = same
                lost.remove(name)
        findings += [f for f in found.values() if f is not None]
        if lost:
            findings = self._of_those_left(findings, lost, layers)
            output = layers[0][1]
            right = moved(self.comparison, _only(self.comparison, backward(self.p)))
            if not known and (nearly := nearly_right(right)):
                return nearly
            where = () if known else located(self.p, output.error, self.comparison, lost)
            findings += where or [unexplained(self.comparison, n) for n in lost]
        return merged(findings)


def _times(finding: Finding, factor: float) -> Finding:
    """Say that a mistake comes with a factor of its own."""
    if _near_one(factor):
        return finding
    if finding.kind is Kind.MISSING_ACTIVATION_DERIVATIVE and 0 < factor < 1:
        message = f"The hidden layer uses {factor:.6g} as the derivative of the sigmoid for any a1."
        return replace(finding, kind=Kind.WRONG_ACTIVATION_DERIVATIVE, message=message)
    message = f"{finding.message} W1 and b1 are {factor:.6g} times what follows from that."
    return replace(finding, message=message, evidence={**finding.evidence, "factor": factor})


def _near_one(factor: float) -> bool:
    """Tell whether a factor beside another mistake is what rounding or delta make of 1."""
    return abs(factor - 1) < 2e-3


def _joined(stages: list[_Stage], comparison: Comparison, *, coarse: bool) -> _Stage:
    """Return the first of the stages that fit equally well, which says what else it may be.

    Where rounding is what makes them alike, none of them is named.
    """
    first = stages[0]
    if len(stages) == 1:
        return first
    said = [s.findings[0] if s.findings else _scaled_by(s.factor) for s in stages]
    finding = said[0]
    others = [other for other in said if other.kind is not finding.kind]
    if not others:
        return first
    messages = dict.fromkeys(other.message.removesuffix(".") for other in others)
    what = "; ".join([*messages][:2])
    if coarse and not all(_same(s.error, first.error) for s in stages):
        dtype = comparison.candidate["W2"].dtype
        message = f"Rounding in {dtype} does not tell these apart: {finding.message} {what}."
        evidence = {"causes": float(len(stages))}
        unsure = Finding(Kind.UNEXPLAINED, "", message, "Check it in a wider type.", evidence)
        return replace(first, findings=(unsure,))
    message = f"{finding.message} On this input it looks the same if: {what}."
    return replace(first, findings=(replace(finding, message=message),))


def _scaled_by(factor: float) -> Finding:
    message = f"The error is {near_1(factor)} times the right one."
    return Finding(Kind.CONSTANT_FACTOR, "", message)


def _same(error: Array, other: Array) -> bool:
    """Tell whether two errors are equal but for the rounding of float64."""
    return bool(np.abs(error - other).max() <= 2.0**-40 * np.abs(error).max())


def _differ(wrong: Array, right: Array, *, scaled: bool) -> bool:
    """Tell whether a stage differs by more than delta does, and not by a factor if `scaled`."""
    bottom = float((right * right).sum())
    factor = float((wrong * right).sum()) / bottom if scaled and bottom else 1.0
    return bool(np.abs(wrong - factor * right).max() > 1e-4 * np.abs(wrong).max())


def _known(
    mistakes: Iterable[Mistake],
    p: Pass,
    right: Array,
    error_of: Callable[[Array], Array],
    *,
    scaled: bool = False,
) -> Iterator[tuple[Finding, Array]]:
    """Yield what a table holds, where it shows, as more than a factor if `scaled`."""
    for mistake in mistakes:
        with np.errstate(all="ignore"):
            wrong = mistake.compute(p)
        # With two classes, as with one sample, other errors may be multiples of the right one.
        plain = scaled or p.N == 1 or p.K == 2
        shows = np.all(np.isfinite(wrong)) and _differ(wrong, right, scaled=plain)
        if shows:
            found = Finding(mistake.kind, "", f"{mistake.message}.", mistake.remedy)
            yield found, error_of(wrong)
