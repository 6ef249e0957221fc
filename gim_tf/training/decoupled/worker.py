"""One worker: trains its part of a stack, and goes back when asked to."""

import logging
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow as tf

from gim_tf.data.input_pipeline import Batch
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.decoupled.links import (
    Outputs,
    Receiver,
    RewindError,
    Sender,
)
from gim_tf.training.interrupts import Interrupts
from gim_tf.training.loop import (
    Flow,
    LogLine,
    LoopSettings,
    Saving,
    train_on,
)
from gim_tf.training.schedules import total_steps
from gim_tf.training.trainer import GIMTrainer

_LOG = logging.getLogger(__name__)

OnLog = Callable[[LogLine], None]


class Worker(NamedTuple):
    """A part of a stack, and what surrounds it.

    Attributes:
      trainer: of the part.
      checkpoints: of the part alone, see `checkpoints_to_keep`.
      settings: whose phases have the part's modules.
      receive: gives the batches from a number on.
      batch_size: examples in each.
      send: takes the outputs; None for the last part.
      log_from: makes what takes the log lines after a step.
      interrupts: whose signals end the worker.
    """

    trainer: GIMTrainer
    checkpoints: RunCheckpoints
    settings: LoopSettings
    receive: Receiver
    batch_size: int
    send: Sender | None
    log_from: Callable[[int], OnLog]
    interrupts: Interrupts


def run(worker: Worker) -> None:
    """Trains to the end, and stays until those above need nothing more.

    Raises:
      CheckpointError: the worker above needs batches from before the oldest
        checkpoint.
      InterruptedRunError, TrainingError, WorkerLostError: see
        `gim_tf.training.loop.train_on`.
    """
    step = _start(worker.checkpoints)
    while True:
        try:
            _run_from(worker, step)
            return
        except RewindError as rewind:
            step = worker.checkpoints.restore_latest(up_to=rewind.step)
            _LOG.info(
                "Going back to step %d: batches from %d on are needed again.",
                step,
                rewind.step + 1,
            )


def checkpoints_to_keep(every: int, num_workers: int, capacity: int) -> int:
    """Checkpoints among which is one that each worker above can ask for.

    A worker is ahead of one above it by what may wait in between, and that
    one may have lost what it did since its last checkpoint. Two more, for
    damaged ones.

    Args:
      every: steps between two.
      num_workers: in all.
      capacity: batches that may wait between two neighbours.
    """
    ahead = num_workers * (capacity + 2) + every
    return 2 + math.ceil(ahead / every)


def _start(checkpoints: RunCheckpoints) -> int:
    """Restores; a part without a checkpoint gets one of step 0.

    The first batches may be needed again before anything else is saved.
    """
    step = checkpoints.restore_latest()
    if not checkpoints.steps():
        checkpoints.save(0)
    elif step:
        _LOG.info("Resuming after step %d.", step)
    return step


def _run_from(worker: Worker, step: int) -> None:
    batches = worker.receive(step + 1)
    send = worker.send
    flow = Flow(
        batches,
        worker.batch_size,
        worker.interrupts,
        on_output=None if send is None else send.send,
    )
    train_on(
        worker.trainer,
        flow,
        worker.settings,
        checkpoints=worker.checkpoints,
        start_step=step,
        on_log=worker.log_from(step),
    )
    last = total_steps(worker.settings.phases)
    if send is not None:
        with Saving(worker.checkpoints, worker.interrupts, last):
            send.finish(last, _encoded(worker, batches))


def _encoded(worker: Worker, batches: Iterator[Batch]) -> Outputs:
    """Outputs of a part that trains no more."""

    def encode(x: tf.Tensor) -> tf.Tensor:
        for module in worker.trainer.stack.gim_modules:
            x = module.encode(x)
        return x

    compiled = tf.function(encode, reduce_retracing=True, autograph=False)
    for batch in batches:
        yield compiled(batch.x), batch.labels
