"""Every array of a golden case against ours, and a verdict."""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf.errors import GimError
from gim_tf.fidelity import comparisons
from gim_tf.fidelity.cases import Case, read_cases
from gim_tf.fidelity.comparisons import (
    AFTER,
    GRADIENT,
    LOSS,
    OUTPUT,
    Comparison,
)
from gim_tf.fidelity.replay import Replay
from gim_tf.interop import parameter_count

_LOG = logging.getLogger(__name__)

# At the third step of these cases the loss is 9 to 11 and ill-conditioned:
# the README of the sets says to use steps 0 and 1.
_ILL_CONDITIONED = re.compile(r"vision_full_r50_")
_ILL_STEP = 2

# Excerpts of large maps hold these patches and the first channels.
_PATCHES = (0, 10, 50, 97)

_EXPECTED = (OUTPUT, LOSS, GRADIENT, AFTER)


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
        """Whether all arrays were there and within their tolerances."""
        return not self.error and all(c.passed for c in self.comparisons)

    def worst(self) -> dict[str, Comparison]:
        """The comparison nearest to or furthest beyond its tolerance."""
        by_quantity = defaultdict(list)
        for comparison in self.comparisons:
            by_quantity[comparison.quantity].append(comparison)
        return {
            quantity: max(found, key=lambda c: c.excess)
            for quantity, found in by_quantity.items()
        }


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
    found: list[Comparison] = []
    try:
        found.extend(_compare(case))
    except (GimError, KeyError, ValueError, tf.errors.OpError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return CaseResult(case.name, found, what)
    quantities = {comparison.quantity for comparison in found}
    missing = [name for name in _EXPECTED if name not in quantities]
    error = f"No golden of: {', '.join(missing)}." if missing else ""
    return CaseResult(case.name, found, error)


def _compare(case: Case) -> Iterator[Comparison]:
    replay = Replay(case)
    yield comparisons.compare_counts(
        "nparam",
        parameter_count(replay.stack).authors,
        int(case.entry["nparam"]),
    )
    initial = replay.weights()
    for name, weights in initial.items():
        yield from _checksum(case, f"weights_csum/{name}", OUTPUT, weights)
    yield from _outputs(replay)
    yield from _gradients(replay)
    yield from _training(replay)
    yield from _weights(replay, initial)


def _outputs(replay: Replay) -> Iterator[Comparison]:
    arrays, x = replay.case.arrays, replay.grid(0)
    for index, (z, pooled, context) in enumerate(replay.forward(x)):
        module = f"module{index}"
        outputs = {
            f"out/{module}/z": _flat_patches(z.numpy()),
            f"out/{module}/h": pooled.numpy().transpose(0, 3, 1, 2),
            f"out/{module}/c": context.numpy()[:, :, 0],
            "out/cpc/c": context.numpy().transpose(0, 3, 1, 2),
        }
        for name, ours in outputs.items():
            if name in arrays:
                golden = arrays[name]
                yield comparisons.compare(
                    OUTPUT, name, _excerpt(ours, golden), golden
                )
            sums = name.replace("out/", "out_csum/", 1)
            yield from _checksum(replay.case, sums, OUTPUT, ours)
    yield from _layers(replay)


def _layers(replay: Replay) -> Iterator[Comparison]:
    prefix, arrays = "out/forward_through_n_layers/", replay.case.arrays
    if f"{prefix}0" not in arrays:
        return
    for index, ours in enumerate(replay.layers(replay.grid(0))):
        golden = arrays[f"{prefix}{index}"]
        yield comparisons.compare(
            OUTPUT,
            f"{prefix}{index}",
            ours.numpy()[:, : golden.shape[1], 0],
            golden,
        )


def _gradients(replay: Replay) -> Iterator[Comparison]:
    arrays, ours = replay.case.arrays, replay.gradients()
    for name, gradient in ours.items():
        golden = arrays[f"grad/{name}"]
        visible = _visible(replay, name)
        yield comparisons.compare(
            GRADIENT,
            f"grad/{name}",
            _head(gradient * visible, golden),
            golden * _head(visible, golden),
        )
        if visible.all():
            sums = f"grad_csum/{name}"
            yield from _checksum(replay.case, sums, GRADIENT, gradient)


def _training(replay: Replay) -> Iterator[Comparison]:
    case = replay.case
    for step, losses in enumerate(replay.train()):
        if step == _ILL_STEP and _ILL_CONDITIONED.match(case.name):
            continue
        name = f"loss/step{step}"
        yield comparisons.compare_losses(step, name, losses, case.arrays[name])


def _weights(
    replay: Replay, initial: dict[str, np.ndarray]
) -> Iterator[Comparison]:
    """After the last step; what has no gradient there must not have moved."""
    arrays, compared = replay.case.arrays, []
    for name, ours in replay.weights().items():
        if f"grad_none/{name}" in arrays:
            yield comparisons.compare_frozen(name, initial[name], ours)
            continue
        golden = arrays[f"after3/{name}"]
        visible = _visible(replay, name)
        compared.append(
            comparisons.compare_weights(
                f"after3/{name}",
                _head(ours, golden),
                golden * _head(visible, golden),
            )
        )
        if visible.all():
            yield from _checksum(
                replay.case, f"after3_csum/{name}", AFTER, ours
            )
    yield from compared
    yield comparisons.typical_weights(compared)


def _checksum(
    case: Case, name: str, quantity: str, ours: np.ndarray
) -> Iterator[Comparison]:
    if name in case.arrays:
        yield comparisons.compare_sums(quantity, name, ours, case.arrays[name])


def _visible(replay: Replay, name: str) -> np.ndarray:
    """1 where an array of theirs is not masked away, in their layout."""
    entry = replay.entries[name]
    return entry.extract(np.ones(entry.variable.shape, np.float32))


def _head(ours: np.ndarray, golden: np.ndarray) -> np.ndarray:
    """As much of ours as the golden holds: all, or the first elements."""
    if ours.shape == golden.shape:
        return ours
    return ours.ravel()[: golden.size].reshape(golden.shape)


def _flat_patches(z: np.ndarray) -> np.ndarray:
    """[b, t, s, h, w, d] -> [b t s, d, h, w]; [b, t, 1, d] -> [b, t, d]."""
    if z.ndim == 4:
        return z[:, :, 0]
    return z.reshape(-1, *z.shape[3:]).transpose(0, 3, 1, 2)


def _excerpt(ours: np.ndarray, golden: np.ndarray) -> np.ndarray:
    """The part of a map that the golden holds."""
    if ours.shape == golden.shape:
        return ours
    if ours.ndim == 4:
        patches = [min(index, len(ours) - 1) for index in _PATCHES]
        return ours[patches][:, : golden.shape[1]]
    return ours[:, : golden.shape[1]]
