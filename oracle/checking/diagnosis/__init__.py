"""The names of bugs: what is wrong with a gradient that failed its check."""

from oracle.checking.diagnosis.tensors import explain_tensors
from oracle.checking.diagnosis.two_layer_net import explain_two_layer_net

__all__ = ["explain_tensors", "explain_two_layer_net"]
