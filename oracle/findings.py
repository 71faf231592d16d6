"""The fixed codes: what a check can find, and why it can be unable to tell."""

from __future__ import annotations

import enum
import re
from typing import Any, Self

_WORDS = re.compile(r"[a-z]\w*", re.ASCII)


class Code(enum.StrEnum):
    """A fixed code, or the number of one that only a newer version of the contract names.

    Examples
    --------
    >>> FindingKind("transposed") is FindingKind.TRANSPOSED
    True
    >>> FindingKind("99").value
    '99'
    """

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if not (isinstance(value, str) and value.isdecimal()):
            return None
        return cls._unnamed(value)

    @classmethod
    def _unnamed(cls, code: str) -> Self:
        """Return a member that has no name here, so that an answer that holds it can be read."""
        made = str.__new__(cls, code)
        made._name_ = made._value_ = code
        return made


class InconclusiveReason(Code):
    """Why a check could not tell."""

    NOT_FINITE = "not_finite"
    VACUOUS_BUDGET = "vacuous_budget"
    SIZE_LIMIT = "size_limit"
    NOISE = "noise"
    KINK = "kink"
    JUMP = "jump"
    NOT_DETERMINISTIC = "not_deterministic"
    DOMAIN = "domain"
    BUDGET_SPENT = "budget_spent"
    RESOLUTION = "resolution"


class FindingKind(Code):
    """What a check can find; operators have further codes of their own, which are words.

    Examples
    --------
    >>> FindingKind("mean_term_missing").value
    'mean_term_missing'
    """

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if isinstance(value, str) and _WORDS.fullmatch(value):
            return cls._unnamed(value)
        return super()._missing_(value)

    SHAPE_MISMATCH = "shape_mismatch"
    DTYPE_MISMATCH = "dtype_mismatch"
    MISSING_TENSOR = "missing_tensor"
    NOT_FINITE = "not_finite"
    DELTA_IGNORED = "delta_ignored"
    MISSING_BATCH_MEAN = "missing_batch_mean"
    EXTRA_BATCH_MEAN = "extra_batch_mean"
    SIGN_FLIPPED = "sign_flipped"
    CONSTANT_FACTOR = "constant_factor"
    TENSOR_FACTOR = "tensor_factor"
    ZERO_TENSOR = "zero_tensor"
    TRANSPOSED = "transposed"
    SWAPPED_TENSORS = "swapped_tensors"
    PERMUTED = "permuted"
    MISSING_ACTIVATION_DERIVATIVE = "missing_activation_derivative"
    WRONG_ACTIVATION_DERIVATIVE = "wrong_activation_derivative"
    SOFTMAX_JACOBIAN = "softmax_jacobian"
    SOFTMAX_TWICE = "softmax_twice"
    SOFTMAX_AXIS = "softmax_axis"
    WRONG_TARGETS = "wrong_targets"
    BIAS_REDUCTION = "bias_reduction"
    STALE_BUFFER = "stale_buffer"
    ACCUMULATED = "accumulated"
    WEIGHT_DECAY = "weight_decay"
    WRONG_WEIGHTS = "wrong_weights"
    DROPPED_SAMPLES = "dropped_samples"
    SAMPLE_WEIGHTS = "sample_weights"
    LOW_PRECISION = "low_precision"
    SINGLE_ENTRIES = "single_entries"
    SUBGRADIENT = "subgradient"
    UNEXPLAINED = "unexplained"
    CLIPPED = "clipped"
    WRONG_INPUTS = "wrong_inputs"
    WRONG_FORWARD = "wrong_forward"
    STAIRS = "stairs"
