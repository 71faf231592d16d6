"""The handwritten digits of the demonstration."""

from __future__ import annotations

from importlib import resources

import numpy as np
from numpy.typing import NDArray

from oracle.values import Float64


def load_digits() -> tuple[Float64, NDArray[np.int64]]:
    """Load the 1,797 digits of 8 x 8 pixels; `ATTRIBUTION.md` beside them says whose they are.

    Returns
    -------
    (1797, 64) float64, (1797,) int64
        Pixels, row by row, between 0 and 1 in steps of 1/16; labels, 0 to 9.
    """
    source = resources.files(__name__).joinpath("digits.npz")
    with source.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return archive["pixels"] / 16.0, archive["labels"].astype(np.int64)
