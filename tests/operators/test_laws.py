"""What holds of every operator of the table; a new one is held to it by being there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from oracle.arithmetic.balls import BallNumbers, enclose, precision
from oracle.arithmetic.dtypes import arithmetic
from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.rounded import RoundedNumbers
from oracle.graphs.graph import is_floating
from oracle.operators.operator import REQUIRED
from oracle.operators.table import OPERATORS
from tests.operators.evaluated import Evaluated

operators = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
SEEDS = range(3)

APART = 1e-4
"""How far slips are apart, of the largest entry: what bounds of float32 are held to is 3e-5."""


def drawn(operator, seed, dtype="float64", draw=None):
    """Return a case: arguments in order as arrays of a type, their names, and attributes."""
    case = (draw or operator.draw)(np.random.default_rng(seed))
    signature = operator.signature
    arguments, places = [], []
    for one in signature.inputs:
        given = case.inputs.get(one.name)
        for array in given if one.variadic else [given]:
            floating = array is not None and not one.constant and is_floating(np.asarray(array))
            arguments.append(np.asarray(array).astype(dtype) if floating else array)
            places.append(one)
    return arguments, places, operator.complete(case.attributes)


def numbers(xp, arguments, places):
    """Return the arguments as a kind of number; what is constant stays an array."""
    return [
        array if array is None or one.constant else xp.held(array)
        for array, one in zip(arguments, places, strict=True)
    ]


def cotangents(seed, outputs, dtype="float64"):
    rng = np.random.default_rng(1000 + seed)
    return [np.asarray(rng.normal(size=out.shape)).astype(dtype) for out in outputs]


def differentiable(found):
    """Return pairs of a place among the inputs and the derivative by it."""
    for name, gradient in found.items():
        several = gradient if isinstance(gradient, list) else [gradient]
        yield from ((name, k, one) for k, one in enumerate(several))


def shapes_of(arguments, places):
    return [
        array if array is None or one.constant else tuple(array.shape)
        for array, one in zip(arguments, places, strict=True)
    ]


@operators
@pytest.mark.parametrize("seed", SEEDS)
def test_the_derivative_is_that_of_the_value(operator, seed):
    """Central differences of the value alone, in balls of 1000 bits, are a second derivation."""
    arguments, places, attributes = drawn(operator, seed)
    rng = np.random.default_rng(seed)
    step = 2.0**-200
    with precision(1000):
        xp = BallNumbers()
        held = numbers(xp, arguments, places)
        outputs = operator.value(xp, held, attributes)
        above = [xp.held(a) for a in cotangents(seed, outputs)]
        found = operator.vjp(xp, above, held, attributes)
        checked = 0
        for name, k, gradient in differentiable(found):
            place = [p for p, one in enumerate(places) if one.name == name][k]
            assert gradient.shape == held[place].shape
            direction = xp.exact(rng.normal(size=gradient.shape))
            ends = []
            for sign in (1, -1):
                moved = list(held)
                moved[place] = held[place] + xp.exact(np.asarray(sign * step)) * direction
                ends.append(operator.value(xp, moved, attributes))
            slope = sum(
                ((up - down) * c).sum().item() for up, down, c in zip(*ends, above, strict=True)
            ) / (2 * step)
            gap = abs(slope - (gradient * direction).sum().item())
            assert float(gap.upper()) < 1e-50 * (1 + abs(float(slope.mid()))), (name, k)
            checked += 1
        expected = sum(
            not one.constant and array is not None and is_floating(np.asarray(array))
            for array, one in zip(arguments, places, strict=True)
        )
        assert checked == expected > 0


@operators
@pytest.mark.parametrize("seed", SEEDS)
def test_float64_agrees_with_balls_within_its_bound(operator, seed):
    """The three kinds of number evaluate one formula."""
    arguments, places, attributes = drawn(operator, seed)

    def evaluate(xp):
        held = numbers(xp, arguments, places)
        outputs = operator.value(xp, held, attributes)
        above = [xp.held(a) for a in cotangents(seed, outputs)]
        found = {f"output {k}": out for k, out in enumerate(outputs)}
        for name, k, gradient in differentiable(operator.vjp(xp, above, held, attributes)):
            found[f"{name} {k}"] = gradient
        return found

    proven, _ = enclose(evaluate)
    bounded, plain = evaluate(RoundedNumbers(arithmetic("float64"))), evaluate(Float64Numbers())
    for name, exact in proven.tensors.items():
        allowed = bounded[name].budget + proven.radius[name]
        assert np.all(np.abs(bounded[name].value - exact) <= allowed), name
        assert np.all(np.abs(plain[name] - exact) <= allowed), name
        assert plain[name].shape == exact.shape


@operators
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["numpy", "serial", "reversed", "shuffled", "lanes"])
def test_any_evaluation_stays_within_the_bound(operator, dtype, order):
    """In float32 and float64, in any order of sums; the bound is no more than it has to be."""
    used = []
    for seed in range(6):
        arguments, places, attributes = drawn(operator, seed, dtype)
        with np.errstate(all="ignore"):
            xp = Evaluated(dtype, order, np.random.default_rng(seed))
            held = numbers(xp, arguments, places)
            outputs = operator.value(xp, held, attributes)
            above = cotangents(seed, outputs, dtype)
            theirs = list(outputs)
            found = operator.vjp(xp, above, held, attributes)
            theirs += [g for _, _, g in differentiable(found)]
        how = RoundedNumbers(arithmetic(dtype))
        held = numbers(how, arguments, places)
        bounds = list(operator.value(how, held, attributes))
        found = operator.vjp(how, [how.held(a) for a in above], held, attributes)
        bounds += [g for _, _, g in differentiable(found)]

        def exactly(xp, arguments=arguments, places=places, attributes=attributes, above=above):
            held = numbers(xp, arguments, places)
            outputs = operator.value(xp, held, attributes)
            found = operator.vjp(xp, [xp.held(a) for a in above], held, attributes)
            each = [*outputs, *(g for _, _, g in differentiable(found))]
            return {str(k): one for k, one in enumerate(each)}

        proven, _ = enclose(exactly)
        for k, (their, bound) in enumerate(zip(theirs, bounds, strict=True)):
            assert their.dtype == dtype
            allowed = bound.budget + proven.radius[str(k)]
            gap = np.abs(their.astype(np.float64) - proven.tensors[str(k)])
            assert np.all(gap <= allowed), k
            scale = np.abs(proven.tensors[str(k)]).max(initial=0.0)
            used.append(bound.budget.max(initial=0.0) / scale if scale else 0.0)
    unit = 2.0 ** (-53 if dtype == "float64" else -24)
    assert np.median(used) < 500 * unit


@operators
def test_the_value_is_that_of_the_standard(operator):
    """ONNX's reference evaluator computes the same outputs."""
    if operator.signature.domain:
        pytest.skip("ONNX has no such operator")
    onnx = pytest.importorskip("onnx")
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    for seed in SEEDS:
        arguments, places, attributes = drawn(operator, seed, "float32", operator.agreed)
        known = operator.signature.attributes
        attributes |= {name: known[name] for name in operator.signature.ours & set(known)}
        given = {f"i{k}": a for k, a in enumerate(arguments) if a is not None}
        names = [f"i{k}" if a is not None else "" for k, a in enumerate(arguments)]
        while names and not names[-1]:
            names.pop()
        xp = Float64Numbers()
        ours = operator.value(xp, numbers(xp, arguments, places), attributes)
        outputs = [f"o{k}" for k in range(len(ours))]
        stated = {
            n: v
            for n, v in attributes.items()
            if v is not None and n not in operator.signature.ours
        }
        node = helper.make_node(operator.name, names, outputs, **stated)
        kinds = {n: helper.np_dtype_to_tensor_dtype(a.dtype) for n, a in given.items()}
        graph = helper.make_graph(
            [node],
            "one",
            [helper.make_tensor_value_info(n, kinds[n], a.shape) for n, a in given.items()],
            [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in outputs],
        )
        version = max(operator.signature.version, 18)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
        theirs = ReferenceEvaluator(model).run(None, given)
        for our, their in zip(ours, theirs, strict=True):
            assert our.shape == np.shape(their)
            scale = np.abs(our).max(initial=0.0) + 1e-30
            assert np.allclose(our / scale, their / scale, rtol=0, atol=2e-5)


@operators
def test_every_slip_changes_the_gradient_and_is_told_apart(operator):
    """On its own probe a slip is wrong by more than rounding, and looks like no other."""
    seen = {}
    for slip in operator.slips:
        assert slip.says
        assert slip.remedy
        seen[slip.says] = []
    several = [slip.says for slip in operator.slips]
    once = [slip for k, slip in enumerate(operator.slips) if several.index(slip.says) == k]
    for seed in range(8):
        arguments, places, attributes = drawn(operator, seed)
        xp = Float64Numbers()
        held = numbers(xp, arguments, places)
        outputs = operator.value(xp, held, attributes)
        above = cotangents(seed, outputs)
        right = operator.vjp(xp, above, held, attributes)
        for slip in once:
            with np.errstate(all="ignore"):
                wrong = slip.wrong(xp, *above, *held, **attributes)
                found = {**right, **wrong}
                line = [
                    np.ravel(one() if callable(one) else one)
                    for gradient in found.values()
                    for one in (gradient if isinstance(gradient, list) else [gradient])
                ]
            assert set(wrong) <= set(right), slip.says
            seen[slip.says].append(np.concatenate(line))
        seen.setdefault("right", []).append(
            np.concatenate([np.ravel(g) for _, _, g in differentiable(right)])
        )

    def apart(a, b):
        gaps = []
        for one, other in zip(seen[a], seen[b], strict=True):
            scale = np.abs(seen["right"][0]).max() or 1.0
            gaps.append(np.nanmax(np.abs(one - other), initial=0.0) / scale)
        return max(gaps)

    for a, b in itertools.combinations(seen, 2):
        assert apart(a, b) > APART, (a, b)


@operators
def test_shapes_are_those_of_the_value_and_wrong_ones_are_refused(operator):
    """`shapes` says what `value` returns, and an unknown attribute is refused with a name."""
    for seed in SEEDS:
        arguments, places, attributes = drawn(operator, seed)
        xp = Float64Numbers()
        outputs = operator.value(xp, numbers(xp, arguments, places), attributes)
        said = operator.shapes(*shapes_of(arguments, places), **attributes)
        assert [tuple(s) for s in said] == [out.shape for out in outputs]
    from oracle.values import InvalidInput

    with pytest.raises(InvalidInput, match="be an attribute of"):
        operator.complete({"no_such_attribute": 1})


@operators
def test_the_text_says_the_formula_and_its_source(operator):
    """The docs are made of the docstring of the module."""
    assert operator.text.startswith(operator.name)
    assert "Reference:" in operator.text


@operators
def test_the_signature_is_that_of_the_standard(operator):
    """Names, order and defaults are ONNX's; a default is the number that its float32 stands for.

    An operator may leave out optional inputs and outputs at the end, and attributes. What is `ours`
    is an attribute that ONNX lacks, or an input that only here may be left out.
    """
    signature = operator.signature
    if signature.domain:
        pytest.skip("ONNX has no such operator")
    onnx = pytest.importorskip("onnx")
    schema = onnx.defs.get_schema(signature.name, signature.version)
    assert schema.since_version == signature.version
    option = onnx.defs.OpSchema.FormalParameterOption
    theirs = [
        (i.name, i.option == option.Optional, i.option == option.Variadic) for i in schema.inputs
    ]
    ours = [
        (i.name, i.optional and i.name not in signature.ours, i.variadic) for i in signature.inputs
    ]
    assert ours == theirs[: len(ours)]
    assert all(optional for _, optional, _ in theirs[len(ours) :])
    outputs = [o.name for o in schema.outputs]
    assert list(signature.outputs) == outputs[: len(signature.outputs)]
    for name in set(signature.attributes) - signature.ours:
        attribute, ours = schema.attributes[name], signature.attributes[name]
        assert (ours is REQUIRED) == attribute.required
        if attribute.default_value.type == onnx.AttributeProto.UNDEFINED:
            assert ours is None or ours is REQUIRED
            continue
        default = onnx.helper.get_attribute_value(attribute.default_value)
        if isinstance(default, float):
            assert np.float32(ours) == np.float32(default)
        else:
            several = default if isinstance(default, list) else [default]
            plain = [one.decode() if isinstance(one, bytes) else one for one in several]
            assert ours == (plain if isinstance(default, list) else plain[0])
