"""What a conversation may start, and what must hold of it: a task, or the wrong field."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.checking.black_box import chance, coordinates, wording
from oracle.checking.black_box.conversation import CheckTask, SizeClass, TensorSpec
from oracle.findings import FindingKind
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.reference.requirements import FLOATING_TYPES, require_step
from oracle.service.estimates import Need
from oracle.service.requests import require, require_printable, require_room
from oracle.values import STEP, Array, Finding, InvalidInput, never_stop
from oracle.wire import black_box, tensor

MAX_EVALUATIONS = 1_000_000
MAX_ENTRIES = 10_000_000_000
"""Entries of all tensors of a check: 80 GB in float64, of which the oracle is sent none."""
CLASSES = 36
"""Size classes that black_box.proto numbers."""
MAX_TENSORS = 10_000
"""Tensors of one x. Each turn goes through all, and of tiny ones a message would hold millions."""


TENSOR_BYTES = 2048
"""Bytes that a check holds for each tensor: 1.3 KB of 10,000 tensors before the first answer."""
POINTS = 6
"""Points that a descent holds: the first, this one, the next, its gradient, and two in messages."""


@dataclass(frozen=True)
class Task:
    """A conversation to be held: its generator, what it may use, and the memory it begins with."""

    generator: Any
    evaluations: int
    need: Need
    seconds: float | None = None


def begin(start: pb.Start, max_message_bytes: int) -> Task:
    """Return the task of a start, whose result must fit into a message."""
    task = start.WhichOneof("task")
    if task == "check":
        return _check(start.check, "turn.start.check")
    if task == "numerical_gradient":
        field = "turn.start.numerical_gradient"
        return _numerical_gradient(start.numerical_gradient, field, max_message_bytes)
    if task == "gradient_descent":
        return _gradient_descent(start.gradient_descent, "turn.start.gradient_descent")
    raise InvalidInput("turn.start.task", "be set", "nothing")


def _check(request: pb.BlackBoxCheck, field: str) -> Task:
    shapes = _shapes(request.tensors, f"{field}.tensors")
    entries = sum(map(math.prod, shapes))
    requirement = f"hold at most {MAX_ENTRIES} entries (max_entries)"
    require(entries <= MAX_ENTRIES, f"{field}.tensors", requirement, entries)
    most = request.max_evaluations if request.HasField("max_evaluations") else 2_000
    valid = 1 <= most <= MAX_EVALUATIONS
    require(valid, f"{field}.max_evaluations", f"be 1 to {MAX_EVALUATIONS}", most)
    miss = request.miss_probability if request.HasField("miss_probability") else 0.01
    require(0 < miss < 1, f"{field}.miss_probability", "be between 0 and 1", miss)
    resolution = request.resolution if request.HasField("resolution") else None
    seconds = request.max_seconds if request.HasField("max_seconds") else None
    step = request.central_step if request.HasField("central_step") else None
    positive = {"resolution": resolution, "max_seconds": seconds, "central_step": step}
    for name, given in positive.items():
        valid = given is None or (math.isfinite(given) and given > 0)
        require(valid, f"{field}.{name}", "be finite and positive", given)
    accuracy = request.value_accuracy
    require(0 <= accuracy < 1, f"{field}.value_accuracy", "be at least 0 and below 1", accuracy)
    require_printable(request.subject, f"{field}.subject")
    task = CheckTask(
        tensors=tuple(
            _tensor_spec(message, shape, f"{field}.tensors[{index}]")
            for index, (message, shape) in enumerate(zip(request.tensors, shapes, strict=True))
        ),
        value_dtype=black_box.decode_dtype(request.value_data_type, f"{field}.value_data_type"),
        resolution=resolution,
        max_evaluations=most,
        miss_probability=miss,
        seed=request.seed,
        subject=request.subject or "f",
        max_seconds=math.inf if seconds is None else seconds,
        value_accuracy=accuracy,
    )
    # The judgement is loaded by the first check: the document's own functions do without it.
    judgement = importlib.import_module("oracle.checking.black_box.judgement")
    needed = Need(f"{field}.tensors", TENSOR_BYTES * len(shapes))
    claim = _claim(request.claim, f"{field}.claim")
    if step is not None:
        judgement = importlib.import_module("oracle.checking.black_box.central")
        return Task(judgement.check(task, step), most, needed, seconds)
    watched = chance.watched(judgement.check(task), task)
    return Task(wording.worded(watched, claim), most, needed, seconds)


def _claim(number: int, field: str) -> wording.Claim:
    claims = list(wording.Claim)
    require(0 <= number < len(claims), field, "be a claim that this version knows", number)
    return claims[number]


def _numerical_gradient(
    request: pb.BlackBoxNumericalGradient, field: str, max_message_bytes: int
) -> Task:
    shapes = _shapes(request.tensors, f"{field}.tensors")
    size = sum(map(math.prod, shapes))
    require_room(f"{field}.tensors", f"{size} entries", size, max_message_bytes)
    step = _step(request, field)
    templates = {}
    for index, (message, shape) in enumerate(zip(request.tensors, shapes, strict=True)):
        place = f"{field}.tensors[{index}]"
        dtype = np.dtype(black_box.decode_dtype(message.data_type, f"{place}.data_type"))
        ends = _ends(message.largest, dtype, f"{place}.largest")
        _require_step(ends, step, field, message.name)
        # It takes no memory of its own.
        templates[message.name] = np.broadcast_to(np.zeros((), dtype), shape)
    needed = Need(f"{field}.tensors", 2 * sum(template.nbytes for template in templates.values()))
    return Task(coordinates.numerical_gradient(templates, step=step), 2 * size, needed)


def _gradient_descent(request: pb.BlackBoxGradientDescent, field: str) -> Task:
    _require_names(request.initial, f"{field}.initial")
    step = _step(request, field)
    rate = request.learning_rate if request.HasField("learning_rate") else 0.01
    require(math.isfinite(rate), f"{field}.learning_rate", "be finite", rate)
    count = request.step_count if request.HasField("step_count") else 100
    require(count >= 0, f"{field}.step_count", "be at least 0", count)
    initial = black_box.decode_tensors(request.initial, f"{field}.initial")
    for index, (name, array) in enumerate(initial.items()):
        place = f"initial[{index}]"
        known = array.dtype.name in FLOATING_TYPES
        require(known, f"{field}.{place}.tensor", "be of a floating type", array.dtype)
        finite = bool(np.isfinite(array).all())
        require(finite, f"{field}.{place}.tensor", "be finite", "NaN or infinity")
        _require_step(array, step, field, name)
    generator = coordinates.gradient_descent(
        initial, step=step, learning_rate=rate, step_count=count
    )
    evaluations = 2 * count * sum(array.size for array in initial.values())
    held = POINTS * sum(array.nbytes for array in initial.values())
    return Task(generator, evaluations, Need(f"{field}.initial", held))


def _step(request: Any, field: str) -> float:
    step = float(request.step) if request.HasField("step") else STEP
    valid = math.isfinite(step) and step > 0
    require(valid, f"{field}.step", "be finite and positive", step)
    return step


def _require_step(x: Array, step: float, field: str, name: str) -> None:
    """Raise unless the step changes every number of x in its type, both up and down."""
    try:
        require_step(step, never_stop, **{f"`{name}`": x})
    except InvalidInput as error:
        raise InvalidInput(f"{field}.step", error.requirement, error.was) from None


def _ends(largest: float, dtype: np.dtype[Any], field: str) -> Array:
    """Return the numbers up to a size that are the hardest to change by a step.

    These are the two outermost of either sign: a step of half their distance, whose sums round to
    the even neighbour, changes one of the two and not the other.
    """
    with np.errstate(over="ignore"):
        end = np.array([_number(largest, field)]).astype(dtype)
    require(bool(np.isfinite(end).all()), field, f"be finite in {dtype}", largest)
    inner = np.nextafter(end, np.zeros_like(end))
    return np.concatenate([end, inner, -end, -inner])


def _require_names(messages: Sequence[Any], field: str) -> None:
    count = len(messages)
    require(1 <= count <= MAX_TENSORS, field, f"have 1 to {MAX_TENSORS} entries", count)
    known: set[str] = set()
    for index, message in enumerate(messages):
        name, place = message.name, f"{field}[{index}].name"
        require(name != "", place, "not be empty", "nothing")
        require(name not in known, place, "differ from the names before it", repr(name))
        require_printable(name, place)
        known.add(name)


def _shapes(messages: Sequence[pb.BlackBoxTensor], field: str) -> list[tuple[int, ...]]:
    """Return the shapes of tensors, whose names must differ."""
    _require_names(messages, field)
    return [
        _shape(message.shape, f"{field}[{index}].shape") for index, message in enumerate(messages)
    ]


def _shape(lengths: Sequence[int], field: str) -> tuple[int, ...]:
    """Return a shape of which the product may be taken."""
    most = tensor.MAX_RANK
    require(len(lengths) <= most, field, f"have at most {most} dimensions", len(lengths))
    shape = tuple(lengths)
    require(min(shape, default=0) >= 0, field, "not be negative", shape)
    size = math.prod(length for length in shape if length)
    require(size <= tensor.MOST_PLACES, field, "fit in memory", shape)
    return shape


def _number(number: float, field: str) -> float:
    require(math.isfinite(number) and number >= 0, field, "be finite and at least 0", number)
    return number


def _tensor_spec(message: pb.BlackBoxTensor, shape: tuple[int, ...], field: str) -> TensorSpec:
    given = message.gradient_data_type or message.data_type
    return TensorSpec(
        message.name,
        shape,
        black_box.decode_dtype(message.data_type, f"{field}.data_type"),
        math.prod(shape),
        **_sizes(message, field),
        fault=_fault(message, shape, field),
        gradient_dtype=black_box.decode_dtype(given, f"{field}.gradient_data_type"),
        classes=_classes(message, shape, f"{field}.classes"),
    )


def _sizes(message: pb.BlackBoxTensor | pb.BlackBoxClass, field: str) -> dict[str, float]:
    names = ("largest", "mean_square", "gradient_largest", "gradient_norm")
    return {name: _number(getattr(message, name), f"{field}.{name}") for name in names}


def _classes(
    message: pb.BlackBoxTensor, shape: tuple[int, ...], field: str
) -> tuple[SizeClass, ...]:
    """Return the classes of a tensor, which are those of all of its entries."""
    size, before, classes = math.prod(shape), -1, []
    for index, given in enumerate(message.classes):
        place = f"{field}[{index}]"
        requirement = f"be {before + 1} to {CLASSES - 1}, in increasing order"
        require(before < given.number < CLASSES, f"{place}.number", requirement, given.number)
        before = given.number
        require(1 <= given.count <= size, f"{place}.count", f"be 1 to {size}", given.count)
        require(0 <= given.first < size, f"{place}.first", f"be 0 to {size - 1}", given.first)
        sizes = _sizes(given, place)
        classes.append(SizeClass(given.number, given.count, given.first, **sizes))
    total = sum(given.count for given in classes)
    require(not classes or total == size, field, f"count {size} entries", total)
    return tuple(classes)


def _fault(message: pb.BlackBoxTensor, shape: tuple[int, ...], field: str) -> Finding | None:
    name = message.name
    match message.WhichOneof("gradient_fault"):
        case "gradient_missing":
            text = f"{name} is missing from the gradient"
            return Finding(FindingKind.MISSING_TENSOR, name, text)
        case "gradient_shape":
            was = _shape(message.gradient_shape.lengths, f"{field}.gradient_shape")
            require(was != shape, f"{field}.gradient_shape", "differ from `shape`", was)
            text = f"{name} has the shape {was} in the gradient, and {shape} in x"
            return Finding(FindingKind.SHAPE_MISMATCH, name, text)
        case "gradient_not_finite":
            count, size = message.gradient_not_finite, math.prod(shape)
            valid = 1 <= count <= size
            require(valid, f"{field}.gradient_not_finite", f"be 1 to {size}", count)
            text = f"{name} holds {count:,} of {size:,} entries that are not finite"
            return Finding(FindingKind.NOT_FINITE, name, text, evidence={"entries": float(count)})
    return None
