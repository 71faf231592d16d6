"""A server with a planted fault breaks a law: the laws can tell a wrong server from a right one.

Each fault replaces one function behind a server in this process; the laws run in a process of their
own and know an address alone, as they would of somebody else's server. By default only the file of
laws that should notice is run, with few examples; the profile "thorough" runs all of them.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradient_oracle
import numpy as np
import pytest

from oracle.checking import closed_form, derivatives, probes, verdict
from oracle.checking.black_box import coordinates
from oracle.gradcheck.v1 import tensor_pb2 as pb
from oracle.operators import softmax_cross_entropy_error
from oracle.reference import (
    activations,
    losses,
    mini_batch,
    requirements,
    simple_net,
    structured,
    training,
    two_layer_net,
)
from oracle.values import InvalidInput, TwoLayerNetParameters, Verdict
from oracle.wire import tensor
from oracle.wire.message import LARGE

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fault:
    """What is replaced, by what, and which laws should notice."""

    name: str
    module: Any
    function: str
    laws: str
    plant: Callable[[Callable[..., Any]], Callable[..., Any]]


def rows_of(y):
    return len(np.atleast_2d(y))


def softmax_without_shift(_):
    def wrong(a, **_):
        with np.errstate(all="ignore"):
            powers = np.exp(np.asarray(a, np.float64))
            return powers / powers.sum(axis=-1, keepdims=True)

    return wrong


def sigmoid_that_overflows(_):
    def wrong(a, **_):
        with np.errstate(all="ignore"):
            return np.exp(np.asarray(a, np.float64)) / (1 + np.exp(np.asarray(a, np.float64)))

    return wrong


def logarithm_of(y, t, delta, log):
    rows = np.atleast_2d(np.asarray(y, np.float64))
    t = np.asarray(t)
    soft = np.atleast_2d(t) if t.dtype.kind == "f" else np.eye(rows.shape[1])[np.atleast_1d(t)]
    with np.errstate(all="ignore"):
        return float(-np.sum(np.where(soft > 0, soft * log(rows + delta), 0)) / len(rows))


def without_replacement(_):
    return lambda train_size, batch_size, *, seed=0, **_: np.random.default_rng(
        seed % 2**32
    ).permutation(train_size)[:batch_size]


def one_sided(_):
    def wrong(parameters, x, t, *, h=1e-4, delta=1e-7, **_):
        tensors, here = parameters.tensors(), two_layer_net.loss(parameters, x, t, delta=delta)
        slope = {}
        for name, values in tensors.items():
            slope[name] = np.zeros(values.shape)
            for index in np.ndindex(values.shape):
                moved = values.copy()
                moved[index] += h
                there = TwoLayerNetParameters(**{**tensors, name: moved})
                slope[name][index] = (two_layer_net.loss(there, x, t, delta=delta) - here) / h
        return TwoLayerNetParameters(**slope)

    return wrong


def changed_gradient(name, change):
    def plant(right):
        def wrong(*inputs, **options):
            found = right(*inputs, **options)
            tensors = {**found.tensors, name: change(found.tensors[name], *inputs)}
            return replace(found, tensors=tensors)

        return wrong

    return plant


def changed_step(change):
    return lambda right: lambda x, *, step=1e-4, **o: right(x, step=change(step), **o)


def accuracy_of(pick):
    def wrong(parameters, x, t, **_):
        y, t = np.atleast_2d(two_layer_net.predict(parameters, x)), np.asarray(t)
        labels = np.argmax(t, axis=-1) if t.dtype.kind == "f" else t
        return float(np.mean(pick(y) == labels))

    return lambda _: wrong


def init_with(change):
    return lambda right: lambda *sizes, **options: change(right(*sizes, **options))


def with_option(option, value):
    return lambda right: lambda *inputs, **options: right(*inputs, **{**options, option: value})


def with_default(option, value):
    return lambda right: lambda *inputs, **options: right(*inputs, **{option: value, **options})


def with_verdict(verdict):
    return lambda right: lambda *inputs, **o: replace(right(*inputs, **o), verdict=verdict)


def tolerant_of_a_tenth(right):
    def wrong(W, x, t, gradient, **options):
        exact = derivatives.simple_net(W, x, t).tensors
        near = np.allclose(gradient["W"], exact["W"], rtol=0.1, atol=0)
        return right(W, x, t, exact if near else gradient, **options)

    return wrong


def with_budget(factor):
    def plant(right):
        def wrong(rounding, reference, checkpoint):
            allowed, scale = right(rounding, reference, checkpoint)
            return {name: factor * bound for name, bound in allowed.items()}, scale

        return wrong

    return plant


def first_entry_alone(right):
    def wrong(y, t, gradient, **options):
        looked_at = np.asarray(y - t)
        looked_at.flat[0] = gradient["y"].flat[0]
        return right(y, t, {"y": looked_at}, **options)

    return wrong


def missing_is_zero(right):
    def wrong(parameters, x, t, gradient, **options):
        zeros = {name: 0 * tensor for name, tensor in parameters.tensors().items()}
        given = {name: tensor for name, tensor in gradient.items() if tensor is not None}
        return right(parameters, x, t, zeros | given, **options)

    return wrong


def with_targets(change):
    return lambda right: lambda y_shape, t, *o: right(y_shape, change(np.asarray(t)), *o)


def one_hot_of_the_likeliest(_):
    def wrong(targets, scores):
        labels = targets if targets.dtype.kind == "i" else np.argmax(targets, axis=-1)
        return np.eye(scores[-1])[np.atleast_1d(labels)]

    return wrong


def refuse_a_label_in_a_row(right):
    def wrong(y_shape, t, *o):
        if len(y_shape) == 1 and np.shape(t) == (1,):
            raise InvalidInput("t", "be a number", "a vector")
        return right(y_shape, t, *o)

    return wrong


def changed_after(first):
    def plant(right):
        def wrong(train_size, batch_size, **options):
            found = right(train_size, batch_size, **options)
            found[first:] = found[: len(found) - first]
            return found

        return wrong

    return plant


def slopes_up_to(count):
    def plant(right):
        def wrong(x, **options):
            found = yield from right(x, **options)
            for slope in found.values():
                slope.reshape(-1)[count:] = 0
            return found

        return wrong

    return plant


def with_probe(change):
    return lambda right: lambda *asked: right(*change(*asked))


def labels_moved_on(right):
    def wrong(*asked):
        made, x, labels = right(*asked)
        return made, x, np.roll(labels, 1)

    return wrong


def decoded(change):
    return lambda right: lambda message, *o: change(right(message, *o))


def taken_as(**fields):
    """Decode a message after changing its fields, each by a function of its own."""

    def plant(right):
        def wrong(message, *o):
            copy = pb.Tensor(
                data_type=message.data_type,
                shape=message.shape,
                data=bytes(message.data),
                values=message.values,
            )
            for name, change in fields.items():
                changed = pb.Tensor(**{name: change(copy)})
                copy.ClearField(name)
                copy.MergeFrom(changed)
            return right(copy, *o)

        return wrong

    return plant


def bytes_of(message):
    """The bytes that a tensor should have had, cut from those that it has."""
    size = {1: 8, 2: 4, 3: 2, 4: 2, 5: 8, 6: 4, 7: 1}.get(message.data_type, 1)
    return message.data[: max(0, math.prod(message.shape)) * size]


def large_in_float32(right):
    def wrong(array):
        array = np.asarray(array)
        if array.nbytes >= LARGE and array.dtype == np.float64:
            array = array.astype(np.float32).astype(np.float64)
        return right(array)

    return wrong


def labels_that_wrap(right):
    def wrong(y_shape, t, *_):
        t = np.asarray(t)
        return right(y_shape, t % y_shape[-1] if t.dtype.kind == "i" else t)

    return wrong


LARGEST = float(np.finfo(np.float64).max)

FAULTS = [
    Fault(
        "a budget a hundred times too large",
        verdict,
        "_allowed",
        "test_checks.py",
        with_budget(100),
    ),
    Fault(
        "a check that compares one entry",
        closed_form,
        "check_mean_squared_error",
        "test_checks.py",
        first_entry_alone,
    ),
    Fault(
        "a missing tensor taken for zeros",
        closed_form,
        "check_two_layer_net",
        "test_checks.py",
        missing_is_zero,
    ),
    Fault(
        "a check of a net that ignores delta",
        closed_form,
        "check_two_layer_net",
        "test_checks.py",
        with_option("delta", 1e-7),
    ),
    Fault(
        "a check of a simple net that ignores delta",
        closed_form,
        "check_simple_net",
        "test_checks.py",
        with_option("delta", 1e-7),
    ),
    Fault(
        "a check that ignores the accumulation",
        closed_form,
        "check_two_layer_net",
        "test_checks.py",
        with_option("accumulation_dtype", None),
    ),
    Fault(
        "a certainty that is the reverse",
        derivatives,
        "mean_squared_error",
        "test_contract.py",
        lambda right: (
            lambda *i, **o: replace(
                right(*i, **o), correctly_rounded=not right(*i, **o).correctly_rounded
            )
        ),
    ),
    Fault("33 dimensions", tensor, "MAX_RANK", "test_contract.py", lambda _: 33),
    Fault(
        "whole numbers made of halves",
        tensor,
        "decode",
        "test_contract.py",
        taken_as(
            values=lambda m: [float(int(v)) if m.data_type >= 5 else v for v in m.values],
        ),
    ),
    Fault(
        "a truth that is neither",
        tensor,
        "decode",
        "test_contract.py",
        taken_as(data=lambda m: bytes(b & 1 for b in m.data) if m.data_type == 7 else m.data),
    ),
    Fault(
        "bytes that are left over", tensor, "decode", "test_contract.py", taken_as(data=bytes_of)
    ),
    Fault(
        "no sign of zero",
        tensor,
        "decode",
        "test_numerical.py",
        decoded(lambda a: a + np.zeros((), a.dtype) if a.dtype.kind == "f" else a),
    ),
    Fault(
        "bfloat16 read as float16",
        tensor,
        "numpy_dtype",
        "test_activations.py",
        lambda right: lambda name: right(name.removeprefix("b") if name != "bool" else name),
    ),
    Fault(
        "int32 read as int8",
        tensor,
        "decode",
        "test_losses.py",
        decoded(lambda a: a.astype(np.int8).astype(a.dtype) if a.dtype == np.int32 else a),
    ),
    Fault(
        "large answers in float32",
        tensor,
        "fields",
        "test_networks.py",
        large_in_float32,
    ),
    Fault(
        "a number answered as a row",
        tensor,
        "fields",
        "test_activations.py",
        lambda right: lambda array: right(np.atleast_1d(array)),
    ),
    Fault(
        "an overflow that is capped",
        losses,
        "mean_squared_error",
        "test_losses.py",
        lambda right: lambda *i, **o: min(right(*i, **o), LARGEST),
    ),
    Fault(
        "targets that are clipped",
        losses,
        "widen_targets",
        "test_losses.py",
        lambda right: lambda *i: np.clip(right(*i), -1e6, 1e6),
    ),
    Fault(
        "NaN in targets taken for zero",
        losses,
        "require_targets",
        "test_refusals.py",
        with_targets(np.nan_to_num),
    ),
    Fault(
        "soft targets taken for one-hot",
        softmax_cross_entropy_error,
        "distribution",
        "test_networks.py",
        one_hot_of_the_likeliest,
    ),
    Fault(
        "a label in a row refused",
        losses,
        "require_targets",
        "test_losses.py",
        refuse_a_label_in_a_row,
    ),
    Fault(
        "accuracy of the last of equal targets",
        two_layer_net,
        "accuracy",
        "test_networks.py",
        lambda right: (
            lambda p, x, t, **o: right(
                p,
                x,
                t if t.dtype.kind == "i" else t.shape[-1] - 1 - np.argmax(t[..., ::-1], axis=-1),
                **o,
            )
        ),
    ),
    Fault(
        "accuracy in half precision",
        two_layer_net,
        "accuracy",
        "test_networks.py",
        accuracy_of(lambda y: np.argmax(y.astype(np.float16), axis=-1)),
    ),
    Fault(
        "one prediction in a row",
        two_layer_net,
        "predict",
        "test_networks.py",
        lambda right: lambda *i, **o: np.atleast_2d(right(*i, **o)),
    ),
    Fault(
        "a simple net that ignores the step",
        structured,
        "simple_net",
        "test_networks.py",
        with_option("h", 1e-4),
    ),
    Fault(
        "slopes of the first coordinates alone",
        coordinates,
        "numerical_gradient",
        "test_numerical.py",
        slopes_up_to(coordinates.COORDINATES_PER_ASK),
    ),
    Fault(
        "a large mini-batch that repeats itself",
        mini_batch,
        "draw",
        "test_random.py",
        changed_after(2**16),
    ),
    Fault(
        "weights of half a seed",
        two_layer_net,
        "init",
        "test_random.py",
        lambda right: lambda *sizes, seed, **o: right(*sizes, seed=seed % 2**32, **o),
    ),
    Fault(
        "a probe of the one variant",
        probes,
        "probe",
        "test_probes.py",
        with_probe(lambda _, dtype, seed: ("standard", dtype, seed)),
    ),
    Fault(
        "a probe of the one seed",
        probes,
        "probe",
        "test_probes.py",
        with_probe(lambda variant, dtype, _: (variant, dtype, 0)),
    ),
    Fault("a probe of other labels", probes, "probe", "test_probes.py", labels_moved_on),
    Fault(
        "training that ignores delta",
        training,
        "train",
        "test_training.py",
        with_option("delta", 1e-7),
    ),
    Fault(
        "training that ignores the step",
        training,
        "train",
        "test_training.py",
        with_option("h", 1e-4),
    ),
    Fault(
        "training in one way only",
        training,
        "train",
        "test_training.py",
        with_option("method", "analytic"),
    ),
    Fault(
        "another delta if none is told",
        losses,
        "cross_entropy_error",
        "test_contract.py",
        with_default("delta", 1e-8),
    ),
    Fault(
        "another step if none is told",
        structured,
        "two_layer_net",
        "test_contract.py",
        with_default("h", 1e-5),
    ),
    Fault(
        "another learning rate if none is told",
        training,
        "train",
        "test_contract.py",
        with_default("lr", 0.01),
    ),
    Fault(
        "a check that always passes",
        closed_form,
        "check_two_layer_net",
        "test_checks.py",
        with_verdict(Verdict.PASS),
    ),
    Fault(
        "a check that always fails",
        closed_form,
        "check_cross_entropy_error",
        "test_checks.py",
        with_verdict(Verdict.FAIL),
    ),
    Fault(
        "a check with a tolerance",
        closed_form,
        "check_simple_net",
        "test_checks.py",
        tolerant_of_a_tenth,
    ),
    Fault(
        "labels that wrap around", losses, "require_targets", "test_refusals.py", labels_that_wrap
    ),
    Fault(
        "targets that are broadcast",
        losses,
        "mean_squared_error",
        "test_refusals.py",
        lambda right: lambda y, t, **o: right(y, np.resize(t, y.shape) if len(t) == 1 else t, **o),
    ),
    Fault(
        "negative probabilities",
        losses,
        "widen",
        "test_refusals.py",
        lambda right: lambda name, value, *o: np.abs(right(name, value, *o)),
    ),
    Fault(
        "a negative step",
        structured,
        "require_step",
        "test_refusals.py",
        lambda right: lambda h, *o, **arrays: right(abs(h), *o, **arrays),
    ),
    Fault(
        "NaN taken for zero",
        requirements,
        "require_floating",
        "test_refusals.py",
        lambda right: lambda name, value, *o: right(name, np.nan_to_num(value), *o),
    ),
    Fault(
        "squared error divided by N",
        losses,
        "mean_squared_error",
        "test_losses.py",
        lambda right: lambda y, t, **o: right(y, t, **o) / rows_of(y),
    ),
    Fault(
        "squared error without the half",
        losses,
        "mean_squared_error",
        "test_losses.py",
        lambda right: lambda y, t, **o: 2 * right(y, t, **o),
    ),
    Fault(
        "squared error in the type of its input",
        losses,
        "mean_squared_error",
        "test_losses.py",
        lambda _: lambda y, t, **_: float(0.5 * np.sum((y - t) ** 2, dtype=y.dtype)),
    ),
    Fault(
        "cross-entropy without delta",
        losses,
        "cross_entropy_error",
        "test_losses.py",
        lambda _: lambda y, t, **_: logarithm_of(y, t, 0, np.log),
    ),
    Fault(
        "cross-entropy with another delta",
        losses,
        "cross_entropy_error",
        "test_losses.py",
        with_option("delta", 1e-8),
    ),
    Fault(
        "cross-entropy in decimal digits",
        losses,
        "cross_entropy_error",
        "test_losses.py",
        lambda _: lambda y, t, *, delta=1e-7, **_: logarithm_of(y, t, delta, np.log10),
    ),
    Fault(
        "cross-entropy in bits",
        losses,
        "cross_entropy_error",
        "test_losses.py",
        lambda _: lambda y, t, *, delta=1e-7, **_: logarithm_of(y, t, delta, np.log2),
    ),
    Fault(
        "cross-entropy summed",
        losses,
        "cross_entropy_error",
        "test_losses.py",
        lambda right: lambda y, t, **o: right(y, t, **o) * rows_of(y),
    ),
    Fault(
        "cross-entropy of the likeliest target alone",
        losses,
        "cross_entropy_error",
        "test_losses.py",
        lambda right: (
            lambda y, t, **o: right(y, np.argmax(t, axis=-1) if t.dtype.kind == "f" else t, **o)
        ),
    ),
    Fault(
        "gradient of a loss without the mean",
        derivatives,
        "cross_entropy_error",
        "test_losses.py",
        changed_gradient("y", lambda g, *inputs: g * rows_of(inputs[0])),
    ),
    Fault(
        "gradient of a squared error of a wrong sign",
        derivatives,
        "mean_squared_error",
        "test_losses.py",
        changed_gradient("y", lambda g, *_: -g),
    ),
    Fault(
        "softmax without a shift",
        activations,
        "softmax",
        "test_activations.py",
        softmax_without_shift,
    ),
    Fault(
        "softmax over the first axis",
        activations,
        "softmax",
        "test_activations.py",
        lambda right: lambda a, **o: np.moveaxis(right(np.moveaxis(a, 0, -1), **o), -1, 0),
    ),
    Fault(
        "softmax of doubled scores",
        activations,
        "softmax",
        "test_activations.py",
        lambda right: lambda a, **o: right(a / 2, **o),
    ),
    Fault(
        "sigmoid that overflows",
        activations,
        "sigmoid",
        "test_activations.py",
        sigmoid_that_overflows,
    ),
    Fault(
        "sigmoid twice as steep",
        activations,
        "sigmoid",
        "test_activations.py",
        lambda _: lambda a, **_: (1 + np.tanh(a)) / 2,
    ),
    Fault(
        "simple scores of a wrong sign",
        simple_net,
        "predict",
        "test_networks.py",
        lambda right: lambda W, x, **o: -right(W, x, **o),
    ),
    Fault(
        "prediction without b1",
        two_layer_net,
        "predict",
        "test_networks.py",
        lambda right: lambda p, x, **o: right(replace(p, b1=0 * p.b1), x, **o),
    ),
    Fault(
        "accuracy of labels from one",
        two_layer_net,
        "accuracy",
        "test_networks.py",
        accuracy_of(lambda y: np.argmax(y, axis=-1) + 1),
    ),
    Fault(
        "accuracy of the last of equal scores",
        two_layer_net,
        "accuracy",
        "test_networks.py",
        accuracy_of(lambda y: y.shape[-1] - 1 - np.argmax(y[:, ::-1], axis=-1)),
    ),
    Fault(
        "accuracy in percent",
        two_layer_net,
        "accuracy",
        "test_networks.py",
        lambda right: lambda *inputs, **o: 100 * right(*inputs, **o),
    ),
    Fault("one-sided difference", structured, "two_layer_net", "test_networks.py", one_sided),
    Fault(
        "numerical gradient that ignores delta",
        structured,
        "two_layer_net",
        "test_networks.py",
        with_option("delta", 1e-7),
    ),
    Fault(
        "gradient without the mean",
        derivatives,
        "two_layer_net",
        "test_networks.py",
        changed_gradient("W2", lambda g, *inputs: g * rows_of(inputs[1])),
    ),
    Fault(
        "gradient of a wrong sign",
        derivatives,
        "two_layer_net",
        "test_networks.py",
        changed_gradient("b1", lambda g, *_: -g),
    ),
    Fault(
        "gradient that ignores delta",
        derivatives,
        "simple_net",
        "test_networks.py",
        with_option("delta", 1e-7),
    ),
    Fault(
        "a step ten times as large",
        coordinates,
        "numerical_gradient",
        "test_numerical.py",
        changed_step(lambda step: 10 * step),
    ),
    Fault(
        "a step that is never the caller's",
        coordinates,
        "numerical_gradient",
        "test_numerical.py",
        changed_step(lambda _: 1e-4),
    ),
    Fault(
        "descent that takes one step too many",
        coordinates,
        "gradient_descent",
        "test_numerical.py",
        lambda right: lambda *x, step_count, **o: right(*x, step_count=step_count + 1, **o),
    ),
    Fault(
        "mini-batch without replacement",
        mini_batch,
        "draw",
        "test_random.py",
        without_replacement,
    ),
    Fault(
        "mini-batch that ignores its seed",
        mini_batch,
        "draw",
        "test_random.py",
        with_option("seed", 0),
    ),
    Fault(
        "weights drawn too wide",
        two_layer_net,
        "init",
        "test_random.py",
        init_with(lambda p: replace(p, W2=math.sqrt(2) * p.W2)),
    ),
    Fault(
        "biases that are not zero",
        two_layer_net,
        "init",
        "test_random.py",
        init_with(lambda p: replace(p, b1=p.b1 + 0.01)),
    ),
    Fault(
        "training uphill",
        training,
        "_moved",
        "test_training.py",
        lambda right: lambda wide, slope, lr, *o, **k: right(wide, slope, -lr, *o, **k),
    ),
    Fault(
        "training on one mini-batch again and again",
        training,
        "outputs",
        "test_training.py",
        lambda right: lambda seed, *_: right(seed, 0, 1),
    ),
    Fault(
        "training at a rate of its own",
        training,
        "train",
        "test_training.py",
        with_option("lr", 0.1),
    ),
]


class Stranger:
    """A process that knows the laws and an address; each run is a fork that has all imports."""

    PROGRAM = """
import os, sys
import grpc, hypothesis, numpy, pytest
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        code = pytest.main(line.split())
        sys.stdout.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

    def __init__(self, address: str, log: Path) -> None:
        self.address, self.log = address, log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self.PROGRAM],
                cwd=ROOT,
                env={**os.environ, "HYPOTHESIS_PROFILE": "few", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def run(self, files: str) -> tuple[int, str]:
        """Run laws up to the first broken one; return pytest's exit code and what it printed."""
        begin = self.log.stat().st_size
        options = "-q -x --tb=line -p no:cacheprovider -W ignore::pytest.PytestAssertRewriteWarning"
        line = f"tests/laws/{files} {options} --gradient-oracle-address {self.address}"
        print(line, file=self.process.stdin, flush=True)
        code = int(self.process.stdout.readline())
        return code, self.log.read_text()[begin:]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    with gradient_oracle.embedded() as client:
        laws = Stranger(client.address, tmp_path_factory.mktemp("laws") / "log")
        yield laws
        laws.process.stdin.close()
        laws.process.stdout.close()
        laws.process.wait(10)


def test_a_right_server_breaks_no_law(stranger):
    """The laws need an address and nothing else."""
    code, printed = stranger.run("")
    assert code == 0, printed


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_a_wrong_server_breaks_a_law(fault, stranger, monkeypatch):
    """A server that stops working is no test of the laws: it has to answer, and wrongly."""
    right = getattr(fault.module, fault.function)
    monkeypatch.setattr(fault.module, fault.function, fault.plant(right))
    thorough = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
    code, printed = stranger.run("" if thorough else fault.laws)
    assert code == 1, printed
    assert "\nFAILED" in printed
    assert "ServerFailure" not in printed
