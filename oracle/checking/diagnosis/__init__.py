"""The names of bugs: what is wrong with a gradient that failed its check."""

from oracle.checking.diagnosis.losses import (
    explain_cross_entropy_error,
    explain_mean_squared_error,
)
from oracle.checking.diagnosis.simple_net import explain_simple_net
from oracle.checking.diagnosis.two_layer_net import explain_two_layer_net
from oracle.diagnosis.tensors import explain_tensors

__all__ = [
    "explain_cross_entropy_error",
    "explain_mean_squared_error",
    "explain_simple_net",
    "explain_tensors",
    "explain_two_layer_net",
]
