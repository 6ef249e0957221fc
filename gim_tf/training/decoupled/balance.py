"""Which modules share a worker, so that the slowest worker is fastest."""

import itertools
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf.data.input_pipeline import Batch
from gim_tf.stack import part
from gim_tf.training.trainer import GIMTrainer


class Division(NamedTuple):
    """Consecutive modules by worker.

    Attributes:
      sizes: modules of each worker.
      seconds: that a batch takes each.
    """

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def speed_up(self) -> float:
        """Of so many equal workers against one: sum / max."""
        return sum(self.seconds) / max(self.seconds)


def divide(seconds: Sequence[float], num_workers: int) -> Division:
    """Divides modules so that the largest sum of a worker is least.

    Exact: the best division of the first j modules among w workers ends with
    a group i .. j after the best division of the first i among w - 1.

    Args:
      seconds: that a batch takes each module, first to last.
      num_workers: from 1 to the number of modules.

    Raises:
      ValueError: there are more workers than modules, or none.
    """
    count = len(seconds)
    if not 1 <= num_workers <= count:
        raise ValueError(
            f"Expected 1 to {count} workers, received {num_workers}."
        )
    sums = [0.0, *itertools.accumulate(seconds)]
    # best[j]: (largest sum, where the groups end) of the first j modules.
    best: dict[int, tuple[float, tuple[int, ...]]] = {
        j: (sums[j], (j,)) for j in range(1, count + 1)
    }
    for groups in range(2, num_workers + 1):
        best = {
            j: min(
                (max(best[i][0], sums[j] - sums[i]), (*best[i][1], j))
                for i in range(groups - 1, j)
            )
            for j in range(groups, count + 1)
        }
    ends = (0, *best[count][1])
    pairs = list(itertools.pairwise(ends))
    return Division(
        sizes=tuple(end - start for start, end in pairs),
        seconds=tuple(sums[end] - sums[start] for start, end in pairs),
    )


def module_seconds(
    trainer: GIMTrainer, batch: Batch, *, steps: int = 5
) -> list[float]:
    """Seconds of each module's training step on a batch, medians.

    The modules are trained: give a trainer that is used for nothing else.

    Args:
      trainer: of the whole stack.
      batch: of the first module.
      steps: that are timed, after two that are not.
    """
    x, found = batch.x, []
    for index, optimizer in enumerate(trainer.optimizers, 1):
        one = GIMTrainer(part(trainer.stack, index, index), [optimizer])
        seconds = []
        for _ in range(2 + steps):
            started = time.monotonic()
            metrics, z = one.compiled_advance(x, batch.labels, (True,))
            _finished(z, metrics)
            seconds.append(time.monotonic() - started)
        found.append(float(np.median(seconds[2:])))
        x = z
    return found


def _finished(*tensors: object) -> None:
    """Waits until they are computed, wherever that is."""
    for tensor in tf.nest.flatten(tensors):
        tensor.numpy()
