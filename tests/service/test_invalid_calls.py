"""Every bad input is INVALID_ARGUMENT and names the field, what it must be, and what it was."""

from __future__ import annotations

import time

import grpc
import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oracle.gradcheck.v1 import black_box_pb2, report_pb2, tensor_pb2, two_layer_net_pb2
from oracle.wire import tensor
from oracle.wire.message import LARGE
from tests.service.conftest import describe, serving

MSE, CEE = "LossService/MeanSquaredError", "LossService/CrossEntropyError"
Y = np.full((3, 4), 0.25)
LABELS = np.array([0, 1, 3])
X = np.ones((3, 2))
WEIGHTS = {"w1": np.ones((2, 5)), "b1": np.zeros(5), "w2": np.ones((5, 4)), "b2": np.zeros(4)}
SIZES = {"input_size": 2, "hidden_size": 3, "output_size": 4}


def message(array):
    return array if isinstance(array, tensor_pb2.Tensor) else tensor.encode(array)


def raw(data=b"", shape=(), data_type=1, values=()):
    return tensor_pb2.Tensor(data_type=data_type, shape=shape, data=data, values=values)


def labels(array):
    return tensor_pb2.Targets(labels=message(array))


def soft(array):
    return tensor_pb2.Targets(probabilities=message(array))


def parameters(**changed):
    tensors = {**WEIGHTS, **changed}
    return two_layer_net_pb2.TwoLayerNetParameters(
        **{name: message(array) for name, array in tensors.items() if array is not None}
    )


def mse(y=Y, t=Y, **extra):
    return {"predictions": message(y), "targets": message(t), **extra}


def cee(y=Y, t=None, **extra):
    return {"predictions": message(y), "targets": t or labels(LABELS), **extra}


def simple(W=np.ones((2, 4)), x=X, t=None, **extra):  # noqa: B008 - never written
    found = {"weights": message(W), "inputs": message(x), "targets": t or labels(LABELS)}
    return {**found, **extra}


def net(x=X, t=None, changed=None, **extra):
    found = {"inputs": message(x), "targets": t or labels(LABELS)}
    return {"parameters": parameters(**(changed or {})), **found, **extra}


def without(request, name):
    return {field: value for field, value in request.items() if field != name}


WIDE = {"weights": message(np.ones((1, 6000))), "inputs": message(np.ones((6000, 1)))}
DEEP = {
    "parameters": parameters(
        w1=np.ones((1, 6000)), b1=np.zeros(6000), w2=np.ones((6000, 1)), b2=np.zeros(1)
    ),
    "inputs": message(np.ones((6000, 1))),
}
FARTHEST = np.full((3, 4), 1.7e308)
"""Numbers whose differences float64 does not hold."""
ALL_THE_SAME = labels(np.zeros(6000, int))

MALFORMED = [
    ("predictions.data", raw(b"1234567", (1,))),
    ("predictions.data", raw(b"", (1,))),
    ("predictions.data", raw(b"12345678" * 2, (1,))),
    ("predictions.data", raw(b"12345678", (2**40, 2**40))),
    ("predictions.data", raw(b"", (2**62, 2**62, 2**62))),
    ("predictions.shape", raw(b"12345678", (-1,))),
    ("predictions.shape", raw(b"12345678", (-1, -1))),
    ("predictions.shape", raw(b"12345678", (-(2**63),))),
    ("predictions.shape", raw(b"12345678", (1,) * 33)),
    ("predictions.shape", raw(b"", (2**62, 2**62, 0))),
    ("predictions.data_type", raw(b"12345678", (1,), 0)),
    ("predictions.data_type", raw(b"12345678", (1,), 99)),
    ("predictions.data_type", raw(b"12345678", (1,), -1)),
    ("predictions.values", raw(b"", (2,), 1, [1.0])),
    ("predictions.values", raw(b"", (1,), 5, [0.5])),
    ("predictions.values", raw(b"", (1,), 5, [float("nan")])),
    ("predictions.values", raw(b"", (1,), 5, [2.0**63])),
    ("predictions.values", raw(b"", (1,), 6, [2.0**31])),
    ("predictions.values", raw(b"", (1,), 7, [2.0])),
    ("predictions.data", raw(b"\x02", (1,), 7)),
    ("predictions", raw(b"12345678", (1,), 1, [1.0])),
]


@pytest.mark.parametrize(("field", "bad"), MALFORMED)
def test_a_malformed_tensor_names_its_part(call, field, bad):
    """The path leads to the part of the tensor that is wrong."""
    found = call.failure(MSE, predictions=bad, targets=message(Y))
    assert (found.code, found.field, found.reason) == (
        "INVALID_ARGUMENT",
        field,
        "MALFORMED_TENSOR",
    )


VALUES = [
    ("predictions", MSE, without(mse(), "predictions")),
    ("targets", MSE, without(mse(), "targets")),
    ("targets", MSE, mse(t=Y[0])),
    ("targets", MSE, mse(t=Y.T)),
    ("targets", MSE, mse(t=Y * np.nan)),
    ("targets", MSE, mse(t=Y.astype(bool))),
    ("predictions", MSE, mse(y=Y * np.inf)),
    ("predictions", MSE, mse(Y[:0], Y[:0])),
    ("predictions", MSE, mse(np.ones((3, 4), int))),
    ("predictions", "LossService/MeanSquaredErrorGradient", mse(np.ones((3, 4), int))),
    ("predictions", CEE, cee(-Y)),
    ("predictions", CEE, cee(Y[None])),
    ("predictions", CEE, cee(Y[:0], labels(LABELS[:0]))),
    ("predictions", CEE, cee(Y.astype(bool))),
    ("targets", CEE, without(cee(), "targets")),
    ("targets", CEE, cee(t=tensor_pb2.Targets()) | {"targets": tensor_pb2.Targets()}),
    ("targets.labels", CEE, cee(t=labels(LABELS[:, None]))),
    ("targets.labels", CEE, cee(t=labels(LABELS + 1))),
    ("targets.labels", CEE, cee(t=labels(LABELS - 1))),
    ("targets.labels", CEE, cee(t=labels(LABELS[:2]))),
    ("targets.labels", CEE, cee(t=labels(LABELS.astype(float)))),
    ("targets.labels", CEE, cee(t=labels(LABELS.astype(bool)))),
    ("targets.labels.values", CEE, cee(t=labels(raw(b"", (3,), 0, [0, 0.5, 1])))),
    ("targets.labels.data", CEE, cee(t=labels(raw(b"123", (1,), 5)))),
    ("targets.probabilities", CEE, cee(t=soft(-Y))),
    ("targets.probabilities", CEE, cee(t=soft(Y[:2]))),
    ("targets.probabilities", CEE, cee(t=soft(Y * np.nan))),
    ("targets.probabilities", CEE, cee(t=soft(np.eye(4, dtype=int)[LABELS]))),
    ("targets.probabilities", CEE, cee(t=soft(np.eye(4, dtype=bool)[LABELS]))),
    ("delta", CEE, cee(delta=-1e-7)),
    ("delta", CEE, cee(delta=np.nan)),
    ("delta", "LossService/CrossEntropyErrorGradient", cee(delta=np.inf)),
    ("gradient", "LossService/CheckMeanSquaredError", mse()),
    ("gradient", "LossService/CheckMeanSquaredError", mse(gradient=message(LABELS))),
    ("gradient", "LossService/CheckCrossEntropyError", cee()),
    (
        "arithmetic.accumulation_data_type",
        "LossService/CheckMeanSquaredError",
        mse(
            gradient=message(Y),
            arithmetic=report_pb2.CandidateArithmetic(accumulation_data_type=2),  # type: ignore[arg-type]
        ),
    ),
    ("predictions", "LossService/MeanSquaredErrorGradient", mse(FARTHEST, -FARTHEST)),
    (
        "predictions",
        "LossService/CheckMeanSquaredError",
        mse(FARTHEST, -FARTHEST, gradient=message(Y)),
    ),
    (
        "predictions",
        "LossService/CrossEntropyErrorGradient",
        cee(np.full((3, 4), 5e-324), delta=0.0),
    ),
    (
        "arithmetic.accumulation_data_type",
        "LossService/CheckMeanSquaredError",
        mse(
            gradient=message(Y),
            arithmetic=report_pb2.CandidateArithmetic(accumulation_data_type=5),  # type: ignore[arg-type]
        ),
    ),
    ("scores", "ActivationService/Sigmoid", {}),
    ("scores", "ActivationService/Sigmoid", {"scores": message(LABELS)}),
    ("scores", "ActivationService/Softmax", {"scores": message(Y * np.inf)}),
    ("scores", "ActivationService/Softmax", {"scores": message(np.float64(1))}),
    ("scores", "ActivationService/Softmax", {"scores": message(Y[:, :0])}),
    ("weights", "SimpleNetService/Predict", {"inputs": message(X)}),
    ("inputs", "SimpleNetService/Predict", {"weights": message(X)}),
    ("weights", "SimpleNetService/Loss", simple(np.ones(2))),
    ("inputs", "SimpleNetService/Loss", simple(x=X.T)),
    ("inputs", "SimpleNetService/Loss", simple(x=X.astype(int))),
    ("targets.labels", "SimpleNetService/Loss", simple(t=labels(LABELS + 9))),
    ("step", "SimpleNetService/NumericalGradient", simple(step=0.0)),
    ("step", "SimpleNetService/NumericalGradient", simple(step=-1e-4)),
    ("step", "SimpleNetService/NumericalGradient", simple(step=1e-30)),
    ("step", "SimpleNetService/NumericalGradient", simple(step=np.nan)),
    ("step", "SimpleNetService/NumericalGradient", simple(step=np.inf)),
    ("step", "SimpleNetService/NumericalGradient", simple(step=1e308)),
    ("step", "SimpleNetService/NumericalGradient", simple(step=1.7e308)),
    ("weights", "SimpleNetService/NumericalGradient", simple(np.ones((2, 4), int))),
    ("gradient", "SimpleNetService/CheckGradient", simple()),
    ("parameters.w1", "TwoLayerNetService/Predict", {"inputs": message(X)}),
    ("parameters.b2", "TwoLayerNetService/Loss", net(changed={"b2": None})),
    ("parameters.w1", "TwoLayerNetService/Loss", net(changed={"w1": np.ones(5)})),
    ("parameters.w1.data", "TwoLayerNetService/Loss", net(changed={"w1": raw(b"1", (2,))})),
    ("parameters.b1", "TwoLayerNetService/Loss", net(changed={"b1": np.ones((5, 1))})),
    ("parameters.w2", "TwoLayerNetService/Loss", net(changed={"w2": np.ones((4, 5))})),
    ("parameters.b2", "TwoLayerNetService/Loss", net(changed={"b2": np.ones(3) * np.nan})),
    ("inputs", "TwoLayerNetService/Loss", net(X[:, :1])),
    ("inputs", "TwoLayerNetService/Loss", net(X[:0])),
    ("targets", "TwoLayerNetService/Accuracy", without(net(), "targets")),
    ("step", "TwoLayerNetService/NumericalGradient", net(step=0.0)),
    ("step", "TwoLayerNetService/NumericalGradient", net(step=1e-300)),
    ("step", "TwoLayerNetService/NumericalGradient", net(step=1e308)),
    ("delta", "TwoLayerNetService/Gradient", net(delta=-1.0)),
    ("gradient", "TwoLayerNetService/CheckGradient", net()),
    (
        "gradient.w1.data",
        "TwoLayerNetService/CheckGradient",
        net(gradient=parameters(w1=raw(b"1", (2,)))),
    ),
    ("input_size", "TwoLayerNetService/Initialize", {}),
    ("hidden_size", "TwoLayerNetService/Initialize", {**SIZES, "hidden_size": -1}),
    ("output_size", "TwoLayerNetService/Initialize", {**SIZES, "output_size": 2**62}),
    ("weight_init_std", "TwoLayerNetService/Initialize", {**SIZES, "weight_init_std": np.nan}),
    ("weight_init_std", "TwoLayerNetService/Initialize", {**SIZES, "weight_init_std": 1.7e308}),
    ("weight_scale", "SelfTestService/RunSelfTest", {"weight_scale": 1e39, "data_type": 2}),
    ("weight_scale", "SelfTestService/RunSelfTest", {"weight_scale": np.inf}),
    ("data_type", "SelfTestService/RunSelfTest", {"data_type": 99}),
    ("variant", "TwoLayerNetService/Probe", {"variant": 9}),
    ("variant", "TwoLayerNetService/Probe", {"variant": -1}),
    ("data_type", "TwoLayerNetService/Probe", {"data_type": 5}),
    ("data_type", "TwoLayerNetService/Probe", {"data_type": 99}),
    ("step_num", "TwoLayerNetService/Train", net(step_num=0)),
    ("step_num", "TwoLayerNetService/Train", net(step_num=-(2**63))),
    ("batch_size", "TwoLayerNetService/Train", net(batch_size=0)),
    ("batch_size", "TwoLayerNetService/Train", net(batch_size=2**62)),
    ("report_every", "TwoLayerNetService/Train", net(report_every=0)),
    ("report_every", "TwoLayerNetService/Train", net(report_every=-5)),
    ("learning_rate", "TwoLayerNetService/Train", net(learning_rate=0.0)),
    ("learning_rate", "TwoLayerNetService/Train", net(learning_rate=np.inf)),
    ("learning_rate", "TwoLayerNetService/Train", net(learning_rate=1e308, step_num=5)),
    ("method", "TwoLayerNetService/Train", net(method=9)),
    ("inputs", "TwoLayerNetService/Train", net(X[0], labels(LABELS[0]))),
    ("step", "TwoLayerNetService/Train", net(step=-1.0)),
    ("step", "TwoLayerNetService/Train", net(step=1e-30)),
    ("weights", "SimpleNetService/Loss", simple(np.full((2, 4), 1e200), 1e200 * X)),
    (
        "parameters.w1",
        "TwoLayerNetService/Loss",
        net(1e200 * X, None, {"w1": WEIGHTS["w1"] * 1e200}),
    ),
    ("inputs", "SimpleNetService/Predict", WIDE),
    ("inputs", "SimpleNetService/NumericalGradient", WIDE | {"targets": ALL_THE_SAME}),
    ("inputs", "TwoLayerNetService/Predict", DEEP),
    ("inputs", "TwoLayerNetService/Gradient", DEEP | {"targets": ALL_THE_SAME}),
    ("inputs", "TwoLayerNetService/NumericalGradient", DEEP | {"targets": ALL_THE_SAME}),
    (
        "batch_size",
        "TwoLayerNetService/Train",
        DEEP | {"targets": ALL_THE_SAME, "batch_size": 6000},
    ),
    ("train_size", "MiniBatchService/Draw", {"batch_size": 1}),
    ("batch_size", "MiniBatchService/Draw", {"train_size": 1}),
    ("batch_size", "MiniBatchService/Draw", {"train_size": 1, "batch_size": 2**62}),
    ("turn", "BlackBoxService/Step", {}),
    ("token", "BlackBoxService/Step", {"token": b"another's"}),
]


@pytest.mark.parametrize(
    ("field", "method", "request_fields"), VALUES, ids=[f"{m}-{f}" for f, m, _ in VALUES]
)
def test_an_invalid_call_names_its_field(call, field, method, request_fields):
    """The reason is for programs, the text for people: "`field` must ..., got ..."."""
    found = call.failure(method, **request_fields)
    assert (found.code, found.field) == ("INVALID_ARGUMENT", field)
    assert found.text.startswith(f"`{field}` must ")
    assert ", got " in found.text


FLOAT64, FLOAT16, BFLOAT16, INT64 = 1, 3, 4, 5


def one(**changed):
    """Return what the oracle is told of one tensor of a black box."""
    told = {"name": "x", "shape": [3], "data_type": FLOAT64, "largest": 1.0, "mean_square": 1.0}
    told |= {"gradient_largest": 1.0, "gradient_norm": 1.0}
    return black_box_pb2.BlackBoxTensor(**(told | changed))


def a_class(**changed):
    """Return what the oracle is told of entries of one size: all three of that tensor."""
    return black_box_pb2.BlackBoxClass(**({"count": 3} | changed))


def named(array, name="x"):
    return tensor_pb2.NamedTensor(name=name, tensor=message(array))


def check(*tensors, **extra):
    found = {"tensors": tensors or [one()], "value_data_type": FLOAT64, **extra}
    return {"check": black_box_pb2.BlackBoxCheck(**found)}


def slope(*tensors, **extra):
    found = {"tensors": tensors or [one()], **extra}
    return {"numerical_gradient": black_box_pb2.BlackBoxNumericalGradient(**found)}


def descent(*initial, **extra):
    found = {"initial": initial or [named(np.ones(3))], **extra}
    return {"gradient_descent": black_box_pb2.BlackBoxGradientDescent(**found)}


def shape(*lengths):
    return black_box_pb2.BlackBoxShape(lengths=lengths)


SHAPES = [(-1,), (2**62, 2**62), (1,) * 33, (0,) * 65, (0, 2**62), (2**62,) * 50_000]
STARTS = [
    ("task", {}),
    ("check.tensors", {"check": black_box_pb2.BlackBoxCheck(value_data_type=FLOAT64)}),
    ("check.tensors", check(one(shape=[10**12]))),
    ("check.tensors", check(*(one(name=f"{i}", shape=[10**8]) for i in range(200)))),
    ("check.tensors", check(*(one(name=f"{i}") for i in range(10_001)))),
    ("check.tensors[1].name", check(one(), one())),
    ("check.tensors[0].name", check(one(name=""))),
    ("check.tensors[0].name", check(one(name="\x1b[31mred"))),
    ("check.subject", check(subject="two\nlines")),
    ("check.tensors[0].data_type", check(one(data_type=INT64))),
    ("check.value_data_type", check(value_data_type=0)),
    *(
        (f"check.tensors[0].{name}", check(one(**{name: value})))
        for name in ("largest", "mean_square", "gradient_largest", "gradient_norm")
        for value in (np.nan, np.inf, -1.0)
    ),
    *(("check.tensors[0].shape", check(one(shape=lengths))) for lengths in SHAPES),
    ("check.tensors[0].gradient_not_finite", check(one(gradient_not_finite=-1))),
    ("check.tensors[0].gradient_not_finite", check(one(gradient_not_finite=0))),
    ("check.tensors[0].gradient_not_finite", check(one(gradient_not_finite=4))),
    ("check.tensors[0].gradient_data_type", check(one(gradient_data_type=INT64))),
    ("check.tensors[0].classes", check(one(classes=[a_class(), a_class(number=1)]))),
    ("check.tensors[0].classes[1].number", check(one(classes=[a_class(), a_class()]))),
    ("check.tensors[0].classes[0].number", check(one(classes=[a_class(number=36)]))),
    ("check.tensors[0].classes[0].count", check(one(classes=[a_class(count=0)]))),
    ("check.tensors[0].classes[0].first", check(one(classes=[a_class(first=3)]))),
    ("check.tensors[0].classes[0].largest", check(one(classes=[a_class(largest=np.nan)]))),
    ("check.tensors[0].gradient_shape", check(one(gradient_shape=shape(3)))),
    ("check.tensors[0].gradient_shape", check(one(gradient_shape=shape(-3)))),
    ("check.tensors[0].gradient_shape", check(one(gradient_shape=shape(*[1] * 33)))),
    ("check.max_evaluations", check(max_evaluations=0)),
    ("check.max_evaluations", check(max_evaluations=1_000_001)),
    ("check.miss_probability", check(miss_probability=1.0)),
    ("check.resolution", check(resolution=np.inf)),
    ("check.max_seconds", check(max_seconds=0.0)),
    (
        "numerical_gradient.tensors",
        {"numerical_gradient": black_box_pb2.BlackBoxNumericalGradient()},
    ),
    ("numerical_gradient.tensors", slope(one(shape=[10**8]))),
    (
        "numerical_gradient.tensors",
        slope(*(one(name=f"{i}", shape=[10**8]) for i in range(10_000))),
    ),
    *(("numerical_gradient.tensors[0].shape", slope(one(shape=lengths))) for lengths in SHAPES),
    ("numerical_gradient.tensors[1].name", slope(one(), one())),
    ("numerical_gradient.tensors[0].data_type", slope(one(data_type=0))),
    ("numerical_gradient.tensors[0].largest", slope(one(largest=np.inf))),
    ("numerical_gradient.tensors[0].largest", slope(one(largest=1e6, data_type=FLOAT16))),
    *(("numerical_gradient.step", slope(step=step)) for step in (0.0, -1.0, np.nan, 1e308, 1e-20)),
    ("numerical_gradient.step", slope(one(largest=1e13))),
    ("numerical_gradient.step", slope(one(largest=4, data_type=FLOAT16))),
    ("numerical_gradient.step", slope(one(largest=1, data_type=BFLOAT16), step=2.0**-9)),
    ("numerical_gradient.step", slope(one(largest=6e4, data_type=FLOAT16), step=1e4)),
    ("gradient_descent.initial", {"gradient_descent": black_box_pb2.BlackBoxGradientDescent()}),
    ("gradient_descent.initial[1].name", descent(named(np.ones(3)), named(np.ones(2)))),
    ("gradient_descent.initial[0].name", descent(named(np.ones(3), ""))),
    ("gradient_descent.initial[0].tensor", descent(tensor_pb2.NamedTensor(name="x"))),
    ("gradient_descent.initial[0].tensor", descent(named(np.ones(3, int)))),
    ("gradient_descent.initial[0].tensor", descent(named(np.ones(3, bool)))),
    ("gradient_descent.initial[0].tensor", descent(named(np.array([np.nan])))),
    ("gradient_descent.initial[0].tensor.data", descent(named(raw(b"1234567", (1,))))),
    *(("gradient_descent.step", descent(step=step)) for step in (0.0, np.inf, 1e308, 1e-20)),
    ("gradient_descent.step", descent(named(np.array([1e13, 1.0])))),
    ("gradient_descent.step", descent(named(np.array([3, 4], np.float16), "h"))),
    ("gradient_descent.learning_rate", descent(learning_rate=np.nan)),
    ("gradient_descent.step_count", descent(step_count=-1)),
]


@pytest.mark.parametrize(("field", "task"), STARTS, ids=[field for field, _ in STARTS])
def test_an_invalid_start_names_its_field(call, field, task):
    """It costs no more than its bytes to be refused, however much it speaks of."""
    began = time.process_time()
    start = black_box_pb2.Start(**task)
    found = call.failure("BlackBoxService/Step", turn=black_box_pb2.Turn(start=start))
    assert (found.code, found.field) == ("INVALID_ARGUMENT", f"turn.start.{field}")
    assert " must " in found.text
    assert ", got " in found.text
    assert len(found.text) < 1000
    assert time.process_time() - began < 1


ONE_EVALUATION = {"value": 1.0, "predicted": 0.0, "moved": 0.0}


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("", {"value": None}),
        *((".predicted", {"predicted": value}) for value in (np.nan, np.inf, -np.inf)),
        *((".moved", {"moved": value}) for value in (np.nan, np.inf, -1e-9)),
    ],
)
def test_an_invalid_evaluation_names_its_field(call, field, changed):
    """A verdict on numbers that cannot be would be worth nothing."""
    first = call("BlackBoxService/Step", turn={"start": black_box_pb2.Start(**check())})
    evaluations = [ONE_EVALUATION for _ in first.reply.ask.probes]
    evaluations[1] = ONE_EVALUATION | changed
    answer = black_box_pb2.Answer(number=0, evaluations=evaluations)
    found = call.failure("BlackBoxService/Step", token=first.token, turn={"answer": answer})
    assert found.code == "INVALID_ARGUMENT"
    assert found.field == f"turn.answer.evaluations[1]{field}"


def test_where_f_has_no_value_the_other_numbers_do_not_count(call):
    """A caller that could not evaluate has nothing to say about its point."""
    first = call("BlackBoxService/Step", turn={"start": black_box_pb2.Start(**check())})
    evaluations = [ONE_EVALUATION for _ in first.reply.ask.probes]
    evaluations[1] = {"outside": "a pole", "predicted": np.nan, "moved": -1.0}
    answer = black_box_pb2.Answer(number=0, evaluations=evaluations)
    assert call("BlackBoxService/Step", token=first.token, turn={"answer": answer}).reply


@st.composite
def random_tensors(draw):
    """Draw bytes and a header, most of them nonsense; some headers fit their bytes."""
    dtype = draw(st.integers(-1, 9))
    data = draw(st.binary(max_size=64))
    lengths = st.sampled_from([0, 1, 2, 3, 8, 2**31, 2**62, -1])
    shape = draw(st.lists(lengths, max_size=4))
    if draw(st.booleans()) and 1 <= dtype <= 7:
        size = (8, 4, 2, 2, 8, 4, 1)[dtype - 1]
        data = data[: len(data) // size * size]
        shape = [len(data) // size]
    values = draw(st.lists(st.floats(), max_size=3)) if draw(st.booleans()) else []
    return tensor_pb2.Tensor(data_type=dtype, shape=shape, data=data, values=values)


@example(y=raw(bytes(2), data_type=3), t=raw(b"\0\1", data_type=3), form="probabilities")
@example(y=raw(values=[0.0]), t=raw(values=[0.0]), form="probabilities")
@given(y=random_tensors(), t=random_tensors(), form=st.sampled_from(["labels", "probabilities"]))
def test_random_tensors_are_answered_or_refused(call, y, t, form):
    """Whatever arrives, the answer is a number or INVALID_ARGUMENT, never an internal error."""
    requests = [
        (MSE, {"predictions": y, "targets": t}),
        (CEE, {"predictions": y, "targets": tensor_pb2.Targets(**{form: t})}),
        ("LossService/CheckMeanSquaredError", {"predictions": y, "targets": y, "gradient": t}),
        ("ActivationService/Softmax", {"scores": y}),
        ("SimpleNetService/Predict", {"weights": y, "inputs": t}),
        ("TwoLayerNetService/Loss", net(changed={"w1": y, "b2": t})),
    ]
    for method, fields in requests:
        assert call.code(method, **fields) in {"OK", "INVALID_ARGUMENT"}, method


@example(data=b"\xff")
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_message_break_nothing(call, data):
    """What protobuf cannot parse is an argument as any other, and the next call is served."""
    method = call.channel.unary_unary("/oracle.gradcheck.v1.LossService/MeanSquaredError")
    with pytest.raises(grpc.RpcError) as caught:
        method(data, timeout=10)
    assert caught.value.code().name == "INVALID_ARGUMENT"
    assert call(MSE, **mse()).error == 0


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (MSE, "unary_unary"),
        ("TwoLayerNetService/Train", "unary_stream"),
        ("BlackBoxService/Converse", "stream_stream"),
    ],
)
@pytest.mark.parametrize("size", [1, LARGE + 1])
def test_bytes_that_are_no_message_are_told_so(call, caplog, method, kind, size):
    """With a status of ours, and without a traceback in the log for every such message."""
    data = b"\xff" * size
    ask = getattr(call.channel, kind)(f"/oracle.gradcheck.v1.{method}")
    requests = iter([data]) if kind == "stream_stream" else data
    with pytest.raises(grpc.RpcError) as caught:
        list(ask(requests, timeout=10))
    found = describe(caught.value)
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
    assert "is not a valid oracle.gradcheck.v1." in found.text
    assert found.text.endswith(f"message ({size} bytes)")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


HALF = np.float16
DEEP_IN_HALF = {
    "w1": np.ones((1, 1500), HALF),
    "b1": np.ones(1500, HALF),
    "w2": np.ones((1500, 1), HALF),
    "b2": np.ones(1, HALF),
}
ROW = np.ones((1, 4000), HALF)
ONES = np.ones((3, 1), HALF)
NONE = labels(np.zeros(3, int))
RANDOM = np.random.default_rng(0).normal(size=1500)
"""What a token cannot pack more tightly."""
LARGE_ANSWERS = [
    ("scores", "ActivationService/Sigmoid", {"scores": message(ROW)}),
    ("scores", "ActivationService/Softmax", {"scores": message(ROW)}),
    ("predictions", "LossService/MeanSquaredErrorGradient", mse(ROW, ROW)),
    (
        "predictions",
        "LossService/CrossEntropyErrorGradient",
        cee(ROW, labels(np.zeros(1, int))),
    ),
    ("inputs", "SimpleNetService/Predict", without(simple(ROW, ONES), "targets")),
    ("weights", "SimpleNetService/NumericalGradient", simple(ROW, ONES, NONE, step=0.5)),
    ("weights", "SimpleNetService/Gradient", simple(ROW, ONES, NONE)),
    (
        "inputs",
        "TwoLayerNetService/Predict",
        {
            "parameters": parameters(
                w1=np.ones((1, 1)), b1=np.ones(1), w2=np.ones((1, 900)), b2=np.ones(900)
            ),
            "inputs": message(ONES),
        },
    ),
    ("parameters", "TwoLayerNetService/NumericalGradient", net(ONES, NONE, DEEP_IN_HALF)),
    ("parameters", "TwoLayerNetService/Gradient", net(ONES, NONE, DEEP_IN_HALF)),
    ("parameters", "TwoLayerNetService/Train", net(ONES, NONE, DEEP_IN_HALF)),
    ("output_size", "TwoLayerNetService/Initialize", {**SIZES, "output_size": 4000}),
    ("batch_size", "MiniBatchService/Draw", {"train_size": 9, "batch_size": 4000}),
    (
        "turn.start.numerical_gradient.tensors",
        "BlackBoxService/Step",
        {"turn": {"start": black_box_pb2.Start(**slope(one(shape=[4000])))}},
    ),
    (
        "token",
        "BlackBoxService/Step",
        {"turn": {"start": black_box_pb2.Start(**descent(named(RANDOM)))}},
    ),
]


@pytest.fixture(scope="module")
def narrow():
    with serving(max_message_bytes=20_000) as caller:
        yield caller


@pytest.mark.parametrize(
    ("field", "method", "request_fields"), LARGE_ANSWERS, ids=[m for _, m, _ in LARGE_ANSWERS]
)
def test_an_answer_that_is_too_large_is_refused_as_a_request(narrow, field, method, request_fields):
    """Before the work is done, and with the limit: gRPC would say RESOURCE_EXHAUSTED after it."""
    found = narrow.failure(method, **request_fields)
    assert (found.code, found.field) == ("INVALID_ARGUMENT", field)
    assert "max_message_bytes" in found.text


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_every_floating_type_is_taken(call, dtype):
    """A quarter is one in all of them."""
    assert call(MSE, **mse(Y.astype(dtype), 0 * Y)).error == 12 * 0.25**2 / 2


def test_a_tensor_written_by_hand_needs_no_type(call):
    """`values` without a type are float64, as the contract says."""
    ones = raw(shape=(2,), data_type=0, values=[1.0, 2.0])
    assert call(MSE, predictions=ones, targets=message(np.zeros(2))).error == 2.5


def test_as_many_classes_as_a_message_holds_are_answered(call):
    """One-hot rows are made for the samples: the square of the classes would be 3 TB."""
    classes = 600_000
    wide = simple(np.zeros((1, classes)), np.ones((1, 1)), labels(np.array([7])))
    slope = call("SimpleNetService/NumericalGradient", **wide).gradient
    assert tensor.decode(slope)[0, 7] < 0
    net_of_one = {"w1": np.zeros((1, 1)), "b1": np.zeros(1)}
    net_of_one |= {"w2": np.zeros((1, classes)), "b2": np.zeros(classes)}
    deep = net(np.ones((1, 1)), labels(np.array([7])), net_of_one, step_num=1, batch_size=1)
    for method in (1, 2):
        assert len(call("TwoLayerNetService/Train", **deep, method=method)) == 2
