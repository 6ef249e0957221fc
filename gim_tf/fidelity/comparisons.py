"""How far two arrays are apart, and how far they may be.

The tolerances are those of the golden sets' README: a few times the noise of
the authors' code against itself with two convolution back ends.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

OUTPUT, LOSS, GRADIENT = "output", "loss", "gradient"
AFTER, COUNT, FROZEN = "after 3 steps", "parameters", "frozen"

_RELATIVE = {OUTPUT: 1e-5, GRADIENT: 5e-3}
"""Largest difference, in units of the tensor's largest element."""

_LOSS_FIRST, _LOSS_LATER = 1e-5, 1e-4
"""Largest difference of a loss in nats, at step 0 and after updates."""

_AFTER_TYPICAL, _AFTER_LARGEST = 2e-5, 6e-4
"""Of weights: 99.9th percentile over a case, and largest."""

_SUM = 1e-5
"""Of sums over a tensor, in units of the sum of its absolutes."""


class Comparison(NamedTuple):
    """One array against its golden.

    Attributes:
      quantity: what kind of array it is.
      name: the golden's.
      absolute: largest absolute difference.
      relative: that, in units of the golden's largest absolute element.
      excess: difference in units of the tolerance; at most 1 passes.
      differences: all absolute differences, where a percentile is needed.
    """

    quantity: str
    name: str
    absolute: float
    relative: float
    excess: float
    differences: np.ndarray | None = None

    @property
    def passed(self) -> bool:
        """Whether it is within its tolerance."""
        return self.excess <= 1.0


def compare(
    quantity: str, name: str, ours: np.ndarray, golden: np.ndarray
) -> Comparison:
    """Outputs and gradients: relative to the golden's largest element."""
    absolute, relative = _differ(ours, golden)
    return Comparison(
        quantity, name, absolute, relative, relative / _RELATIVE[quantity]
    )


def compare_losses(
    step: int, name: str, ours: np.ndarray, golden: np.ndarray
) -> Comparison:
    """Losses in nats: absolute, tighter before the first update."""
    absolute, relative = _differ(ours, golden)
    tolerance = _LOSS_LATER if step else _LOSS_FIRST
    return Comparison(LOSS, name, absolute, relative, absolute / tolerance)


def compare_weights(
    name: str, ours: np.ndarray, golden: np.ndarray
) -> Comparison:
    """Weights after three updates; `typical_weights` judges them together."""
    absolute, relative = _differ(ours, golden)
    differences = np.abs(ours - golden).ravel()
    excess = absolute / _AFTER_LARGEST
    return Comparison(AFTER, name, absolute, relative, excess, differences)


def typical_weights(compared: Sequence[Comparison]) -> Comparison:
    """The 99.9th percentile of the differences of all weights of a case."""
    everything = np.concatenate([one.differences for one in compared])
    typical = float(np.percentile(everything, 99.9))
    largest = max(one.relative for one in compared)
    name = "99.9th percentile of all weights"
    return Comparison(AFTER, name, typical, largest, typical / _AFTER_TYPICAL)


def compare_sums(
    quantity: str, name: str, ours: np.ndarray, golden: np.ndarray
) -> Comparison:
    """Whole tensors by [sum, sum of absolutes, sum of squares]."""
    sums = checksum(ours)
    scale = np.array([golden[1], golden[1], golden[2]])
    differences = np.abs(sums - golden)
    relative = float(np.max(differences / np.maximum(scale, 1e-30)))
    tolerance = max(_RELATIVE.get(quantity, 0.0), _SUM)
    if quantity == AFTER:
        # Every element may be off by the typical tolerance.
        tolerance = _AFTER_TYPICAL * ours.size / max(golden[1], 1e-30)
        relative = float(differences[1] / max(golden[1], 1e-30))
    return Comparison(
        quantity, name, float(differences[1]), relative, relative / tolerance
    )


def compare_counts(name: str, ours: int, golden: int) -> Comparison:
    """Parameter counts: equal or not."""
    absolute = float(abs(ours - golden))
    excess = 0.0 if ours == golden else np.inf
    return Comparison(COUNT, name, absolute, absolute / golden, excess)


def compare_frozen(
    name: str, before: np.ndarray, after: np.ndarray
) -> Comparison:
    """What must not be updated: equal to the bit or not."""
    absolute, relative = _differ(after, before)
    excess = 0.0 if np.array_equal(before, after) else np.inf
    return Comparison(FROZEN, name, absolute, relative, excess)


def checksum(array: np.ndarray) -> np.ndarray:
    """[sum, sum of absolutes, sum of squares] in float64."""
    x = np.asarray(array, np.float64)
    return np.array([x.sum(), np.abs(x).sum(), np.square(x).sum()])


def _differ(ours: np.ndarray, golden: np.ndarray) -> tuple[float, float]:
    """(largest difference, the same in units of the largest element).

    Both infinite where one is not finite or shapes differ: never a pass.
    """
    if ours.shape != golden.shape or not np.all(np.isfinite(ours)):
        return np.inf, np.inf
    absolute = float(np.max(np.abs(ours - golden), initial=0.0))
    largest = float(np.max(np.abs(golden), initial=0.0))
    if largest == 0.0:
        return absolute, 0.0 if absolute == 0.0 else np.inf
    return absolute, absolute / largest
