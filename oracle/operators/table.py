"""The table of operators, from which service, client, command line, docs and tests follow."""

from __future__ import annotations

from oracle.operators import (
    cross_entropy_error,
    gemm,
    mean_squared_error,
    negative_log_likelihood_loss,
    relu,
    sigmoid,
    softmax_cross_entropy_error,
    softmax_cross_entropy_loss,
)
from oracle.operators.operator import Operator

_MODULES = (
    cross_entropy_error,
    gemm,
    mean_squared_error,
    negative_log_likelihood_loss,
    relu,
    sigmoid,
    softmax_cross_entropy_error,
    softmax_cross_entropy_loss,
)

OPERATORS = {operator.name: operator for operator in map(Operator.of, _MODULES)}
