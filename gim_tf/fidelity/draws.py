"""What the authors' loss drew at random, as draws of our samplers.

Ours index the rows of the whole z in the order (example, time, lane); theirs
have an order of their own in each tree and sampling method, described in the
README of a golden set.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from gim_tf.errors import GoldenError
from gim_tf.losses.negatives import Draw


class Grid:
    """Sizes of one module's z and of the window that its loss looks at.

    Args:
      shape: (b, t, s) of the whole z.
      window: time steps of the window, at most t.
      offsets: between anchor and target, one a prediction step.
      num_negatives: of each anchor.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        window: int,
        offsets: Sequence[int],
        num_negatives: int,
    ) -> None:
        self.batch, self.time, self.lanes = shape
        self.window = window
        self.offsets = tuple(offsets)
        self.num_negatives = num_negatives

    def rows(
        self, example: np.ndarray, time: np.ndarray, lane: np.ndarray
    ) -> np.ndarray:
        """Row of the flattened z of each (example, time, lane)."""
        return (example * self.time + time) * self.lanes + lane


def recorded_draw(
    kind: str, drawn: Mapping[str, np.ndarray], grid: Grid
) -> Draw:
    """The draw of one module at one step.

    Args:
      kind: of the sampler, see `gim_tf.losses.negatives.SAMPLERS`.
      drawn: arrays by their last name, such as "perm1" or "negidx_k3".
      grid: what was drawn from.

    Raises:
      GoldenError: arrays that this sampler needs are not there.
    """
    read = {
        "uniform": _uniform,
        "permuted": _permuted,
        "shifted": _shifted,
        "sequence": _sequence,
    }[kind]
    drawn = {what: indices.astype(np.int64) for what, indices in drawn.items()}
    try:
        negatives = read(drawn, grid)
    except (KeyError, ValueError) as error:
        raise GoldenError(
            f"No draws of {kind!r} negatives among {sorted(drawn)}: {error}."
        ) from error
    return Draw(
        tf.constant(_start(drawn)),
        [tf.constant(rows.astype(np.int32)) for rows in negatives],
    )


def _uniform(drawn: Mapping[str, np.ndarray], grid: Grid) -> list[np.ndarray]:
    """Targets and anchors ordered (row, column, example), example fastest."""
    negatives = []
    for k, offset in enumerate(grid.offsets, 1):
        target, example = np.divmod(drawn[f"negidx_k{k}"], grid.batch)
        row, column = np.divmod(target, grid.lanes)
        rows = grid.rows(example, row + offset, column)
        shape = (-1, grid.lanes, grid.batch, grid.num_negatives)
        negatives.append(rows.reshape(shape).transpose(2, 0, 1, 3))
    return negatives


def _permuted(drawn: Mapping[str, np.ndarray], grid: Grid) -> list[np.ndarray]:
    """Step k reads the tail of every permutation of (example, time)."""
    permutations = _permutations(drawn, grid)
    negatives = []
    for offset in grid.offsets:
        anchors = grid.window - offset
        tail = permutations[:, -grid.batch * anchors * grid.lanes :]
        shape = (-1, grid.batch, anchors, grid.lanes)
        negatives.append(tail.reshape(shape).transpose(1, 2, 3, 0))
    return negatives


def _sequence(drawn: Mapping[str, np.ndarray], grid: Grid) -> list[np.ndarray]:
    """Step k reads a window of permuted times, from its k-th entry on."""
    begin = int(drawn["seq_begin2"]) if "seq_begin2" in drawn else 0
    times = _permutations(drawn, grid)[:, begin : begin + grid.window]
    example = np.arange(grid.batch)[:, None, None, None]
    lane = np.arange(grid.lanes)[:, None]
    return [
        grid.rows(example, times[:, offset:].T[:, None, :], lane)
        for offset in grid.offsets
    ]


def _shifted(drawn: Mapping[str, np.ndarray], grid: Grid) -> list[np.ndarray]:
    """Row r is contrasted with the targets (r + 1 + value) of its window."""
    negatives = []
    for k, offset in enumerate(grid.offsets, 1):
        anchors = grid.window - offset
        shape = (grid.batch, anchors, grid.lanes)
        count = np.prod(shape)
        value = drawn[f"multinomial{k}"].reshape(-1, count)
        row = (np.arange(count) + 1 + value) % count
        example, time, lane = np.unravel_index(row, shape)
        rows = grid.rows(example, time + offset + _start(drawn), lane)
        negatives.append(rows.reshape(-1, *shape).transpose(1, 2, 3, 0))
    return negatives


def _start(drawn: Mapping[str, np.ndarray]) -> int:
    """First time step of the window; there is none where z is short."""
    return int(drawn.get("seq_begin1", 0))


def _permutations(drawn: Mapping[str, np.ndarray], grid: Grid) -> np.ndarray:
    names = [f"perm{n}" for n in range(1, grid.num_negatives + 1)]
    return np.stack([drawn[name] for name in names])
