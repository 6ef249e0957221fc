"""How far two arrays are apart, and how far they may be.

The tolerances are those of the golden sets' README: a few times the noise of
the authors' code against itself with two convolution back ends.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

OUTPUT, LOSS, GRADIENT = "output", "loss", "gradient"
AFTER, COUNT, FROZEN = "after 3 steps", "parameters", "frozen"
SUMS = " (sums)"
"""Suffix of a quantity of which only a checksum is compared."""

FIRST_LOSS = "loss/step0"
TYPICAL = "99.9th percentile of all weights"

_RELATIVE = {
    OUTPUT: 1e-5,
    GRADIENT: 5e-3,
    OUTPUT + SUMS: 1e-5,
    GRADIENT + SUMS: 5e-3,
}
"""Largest difference, in units of the golden's largest element; of sums, in
units of the sum of absolutes, or of squares."""

_LOSS_FIRST, _LOSS_LATER = 1e-5, 1e-4
"""Largest difference of a loss in nats, before and after any update."""

_AFTER_TYPICAL, _AFTER_LARGEST = 2e-5, 6e-4
"""Of weights: 99.9th percentile over a case, and largest."""


class Comparison(NamedTuple):
    """One array against its golden.

    Attributes:
      quantity: what kind of array it is.
      name: the golden's.
      absolute: largest absolute difference.
      relative: that, in units of the golden's largest absolute element.
      excess: difference in units of the tolerance.
      allowed: largest excess that passes.
    """

    quantity: str
    name: str
    absolute: float
    relative: float
    excess: float
    allowed: float = 1.0

    @property
    def passed(self) -> bool:
        """Whether it is as near as it must be."""
        return self.excess <= self.allowed


def compare(
    quantity: str, name: str, ours: np.ndarray, golden: np.ndarray, size: int
) -> Comparison:
    """One array; see `Measured` for the arguments."""
    is_empty = golden.size == 0
    finite = np.isfinite(ours).all() and np.isfinite(golden).all()
    if is_empty or not finite or ours.shape != golden.shape:
        return Comparison(quantity, name, np.inf, np.inf, np.inf)
    differences = np.abs(np.subtract(ours, golden, dtype=np.float64))
    absolute = float(np.max(differences, initial=0.0))
    largest = float(np.max(np.abs(golden), initial=0.0))
    relative = _ratio(absolute, largest)
    if quantity.endswith(SUMS):
        # The sum may cancel: it is as certain as the sum of absolutes.
        scale = (golden[1], golden[1], golden[2])
        relative = max(map(_ratio, differences, scale))
    if quantity in (COUNT, FROZEN):
        excess = 0.0 if absolute == 0.0 else np.inf
    elif quantity == LOSS:
        tolerance = _LOSS_FIRST if name == FIRST_LOSS else _LOSS_LATER
        excess = absolute / tolerance
    elif quantity == AFTER:
        excess = absolute / _AFTER_LARGEST
    elif quantity == AFTER + SUMS:
        # Every element may be off by the typical tolerance.
        moved = _AFTER_TYPICAL * size
        squares = 2.0 * _AFTER_TYPICAL * golden[1] + _AFTER_TYPICAL**2 * size
        excess = max(*differences[:2] / moved, differences[2] / squares)
    else:
        excess = relative / _RELATIVE[quantity]
    return Comparison(quantity, name, absolute, relative, float(excess))


def compare_typical(
    differences: Sequence[np.ndarray], largest: float
) -> Comparison:
    """The 99.9th percentile of the differences of all weights of a case.

    Args:
      differences: absolute, of each array.
      largest: relative difference of any array.
    """
    flat = np.concatenate([one.ravel() for one in differences])
    typical = float(np.percentile(flat, 99.9))
    excess = typical / _AFTER_TYPICAL
    return Comparison(AFTER, TYPICAL, typical, largest, excess)


def checksum(array: np.ndarray) -> np.ndarray:
    """[sum, sum of absolutes, sum of squares] in float64."""
    x = np.asarray(array, np.float64)
    return np.array([x.sum(), np.abs(x).sum(), np.square(x).sum()])


def _ratio(difference: float, scale: float) -> float:
    if difference == 0.0:
        return 0.0
    return float(difference / scale) if scale else np.inf
