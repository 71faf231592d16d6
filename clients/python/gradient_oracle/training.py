"""What methods of the two-layer net return besides numbers and arrays."""

from __future__ import annotations

from dataclasses import dataclass

from gradient_oracle.errors import OracleError
from oracle.values import Array


@dataclass(frozen=True)
class Probe:
    """A case to compute a gradient for: parameters by name, inputs (N, D) and labels (N,)."""

    params: dict[str, Array]
    x: Array
    labels: Array


@dataclass(frozen=True)
class Progress:
    """How far training is: steps done, steps asked for, loss of the last mini-batch."""

    step: int
    step_num: int
    loss: float


class Trained(dict[str, Array]):
    """Trained parameters by name, with the number of steps and the loss of the last mini-batch."""

    def __init__(self, parameters: dict[str, Array], step: int, loss: float) -> None:
        super().__init__(parameters)
        self.step = step
        self.loss = loss


class Unfinished:
    """A training that runs on the server, and what it has led to so far."""

    def __init__(self) -> None:
        self.trained: Trained | None = None

    @property
    def parameters(self) -> Trained:
        """The trained parameters.

        Raises
        ------
        OracleError
            If the run was not read to its end.
        """
        if self.trained is None:
            raise OracleError("the training is not finished: read the run to its end, or result()")
        return self.trained
