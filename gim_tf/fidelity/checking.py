"""Every array of a golden case against ours, and a verdict.

Deep networks amplify rounding: in full-size cases the last bit of the weights
decides more than the tolerances allow, in the authors' code as in ours. What
exceeds its tolerance there is judged once more, against the noise of float32
itself: how far our own result moves when every weight moves by at most half a
unit in its last place. A golden within a few times that is as near as float32
code can be; a ceiling keeps noise from excusing everything. Outputs and the
losses before the first update are not excused.
"""

import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf.errors import GimError
from gim_tf.fidelity.cases import Case, read_cases
from gim_tf.fidelity.comparisons import (
    AFTER,
    FIRST_LOSS,
    GRADIENT,
    LOSS,
    OUTPUT,
    SUMS,
    TYPICAL,
    Comparison,
    compare,
    compare_typical,
)
from gim_tf.fidelity.measured import Measured, measure
from gim_tf.fidelity.replay import Replay

_EXPECTED = (OUTPUT, LOSS, GRADIENT, AFTER)

# What arrays of another kind or shape than the format's may lead to.
_BROKEN = (
    GimError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
    tf.errors.OpError,
    zipfile.BadZipFile,
    zlib.error,
)

NOISE_RUNS = 3
NOISE_FACTOR, _SHARED_FACTOR = 4.0, 2.0
"""A golden may be this many times as far as the farthest of the noisy runs;
a gradient, as the farthest gradient of its case."""

_CEILING = {GRADIENT: 10.0, LOSS: 200.0, AFTER: 2.0, TYPICAL: 30.0}
"""In units of the tolerance: gradients by 5 % of the largest element, losses
by 0.02 nats, weights by twice what three updates can move them."""


class CaseResult(NamedTuple):
    """What came of one case.

    Attributes:
      name: of the case.
      comparisons: one an array.
      error: why it could not be computed or lacks arrays; empty if neither.
    """

    name: str
    comparisons: list[Comparison]
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether all arrays were there and as near as they must be."""
        return not self.error and all(c.passed for c in self.comparisons)

    def by_quantity(self) -> dict[str, list[Comparison]]:
        """The comparisons of each quantity."""
        found = defaultdict(list)
        for comparison in self.comparisons:
            found[comparison.quantity].append(comparison)
        return dict(found)


def check_directory(
    directory: str | Path,
    on_case: Callable[[CaseResult], None] = lambda result: None,
) -> list[CaseResult]:
    """Checks all cases of a directory, one after the other.

    Args:
      directory: has a `manifest.json`.
      on_case: hears of each result as it comes.

    Raises:
      GoldenError: no manifest that can be read.
    """
    results = []
    for case in read_cases(Path(directory)):
        results.append(check_case(case))
        on_case(results[-1])
    return results


def check_case(case: Case) -> CaseResult:
    """Computes one case and compares all that it holds.

    What cannot be computed or holds nothing to compare is a failure.
    """
    try:
        replay = Replay(case)
        measured = list(measure(replay))
        found = _compared(measured)
        if any(1.0 < c.excess <= _limit(c) for c in found):
            found = _judged_by_noise(replay, measured, found)
    except _BROKEN as error:
        lines = str(error).splitlines() or [""]
        return CaseResult(case.name, [], f"{type(error).__name__}: {lines[0]}")
    quantities = {comparison.quantity for comparison in found}
    expected = _EXPECTED if case.is_whole else _EXPECTED[:-1]
    missing = [name for name in expected if name not in quantities]
    missing += _without_output(found, case)
    problem = f"No golden of: {', '.join(missing)}." if missing else ""
    return CaseResult(case.name, found, problem)


def _without_output(found: list[Comparison], case: Case) -> list[str]:
    """Modules of which neither a map nor its checksum was compared."""
    names = [one.name for one in found]
    modules = (f"module{index}/z" for index in range(case.modules))
    return [one for one in modules if not any(one in name for name in names)]


def _compared(measured: Iterable[Measured]) -> list[Comparison]:
    found, differences = [], []
    for one in measured:
        found.append(compare(*one))
        if one.quantity == AFTER and np.isfinite(found[-1].absolute):
            differences.append(np.abs(one.ours - one.golden))
    if differences:
        weights = [c.relative for c in found if c.quantity == AFTER]
        found.append(compare_typical(differences, max(weights)))
    return found


def _judged_by_noise(
    replay: Replay, measured: list[Measured], found: list[Comparison]
) -> list[Comparison]:
    """The comparisons, each with what float32 itself leaves open."""
    noise: dict[str, float] = defaultdict(float)
    shared: dict[str, float] = defaultdict(float)
    for seed in range(NOISE_RUNS):
        replay.restart(seed)
        shaken = {one.name: one.ours for one in measure(replay)}
        moved = (
            one._replace(ours=shaken[one.name], golden=one.ours)
            for one in measured
        )
        for one in _compared(moved):
            noise[one.name] = max(noise[one.name], one.excess)
            shared[one.quantity] = max(shared[one.quantity], one.excess)
    return [
        one._replace(
            allowed=_allowed(one, noise[one.name], shared[one.quantity])
        )
        for one in found
    ]


def _allowed(comparison: Comparison, noise: float, shared: float) -> float:
    """Largest excess that passes, by the noise of the array and of all."""
    allowed = NOISE_FACTOR * noise
    if comparison.quantity == GRADIENT:
        # A unit that switches sides moves one gradient by much: whose, is
        # another one's in each run.
        allowed = max(allowed, _SHARED_FACTOR * shared)
    return max(1.0, min(_limit(comparison), allowed))


def _limit(comparison: Comparison) -> float:
    """Largest excess that noise may excuse; 1: none."""
    if comparison.name == FIRST_LOSS:
        return 1.0
    quantity = comparison.quantity.removesuffix(SUMS)
    return _CEILING.get(comparison.name, _CEILING.get(quantity, 1.0))
