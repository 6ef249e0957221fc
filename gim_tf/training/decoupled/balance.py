"""What each module costs, measured: by it they are divided among workers."""

import time

import numpy as np
import tensorflow as tf

from gim_tf.data.input_pipeline import Batch
from gim_tf.stack import part
from gim_tf.training.trainer import GIMTrainer


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
