"""One worker of a decoupled run: built from the plan, and run to its end."""

import logging
import os
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from gim_tf import build
from gim_tf.data import records
from gim_tf.data.input_pipeline import training_batches
from gim_tf.jobs.decoupled_plan import Plan
from gim_tf.jobs.opening import loop_settings
from gim_tf.jobs.run_log import RunLog
from gim_tf.stack import GIMStack, part
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.decoupled import links, worker
from gim_tf.training.interrupts import Interrupts
from gim_tf.training.loop import LoopSettings
from gim_tf.training.replicas import check_division, make_replicas
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.schedules import Phase
from gim_tf.training.threads import run_operations_in_turn
from gim_tf.training.trainer import GIMTrainer

_LOG = logging.getLogger(__name__)


def bind_to_cores(plan: Plan, task: int) -> None:
    """Gives a worker's process cores of its own, if it is to have so many."""
    cores = sorted(os.sched_getaffinity(0))
    if not 0 < plan.threads * plan.num_workers <= len(cores):
        return
    first = task * plan.threads
    os.sched_setaffinity(0, cores[first : first + plan.threads])


class Ends(NamedTuple):
    """A worker's ends of the links to its neighbours.

    Attributes:
      inbox: from the worker below; None for the first.
      outbox: to the worker above; None for the last.
    """

    inbox: links.Inbox | None
    outbox: links.Outbox | None


def start_tensorflow(plan: Plan, task: int) -> None:
    """What must be set before any operation runs in a worker's process.

    Of several accelerators it sees its own: by default a process takes the
    memory of all. Where there are none, its replicas are logical processors.
    """
    count = plan.replicas[task] if plan.replicas else 0
    own = tf.config.list_physical_devices("GPU")
    if own and count:
        first = sum(plan.replicas[:task])
        own = [own[(first + k) % len(own)] for k in range(count)]
        tf.config.set_visible_devices(own, "GPU")
    for accelerator in own:
        tf.config.experimental.set_memory_growth(accelerator, True)
    if not own and count > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * count,
        )
    if plan.threads:
        tf.config.threading.set_intra_op_parallelism_threads(plan.threads)
        # Replicas wait for each other inside of an operation.
        tf.config.threading.set_inter_op_parallelism_threads(
            max(plan.threads, count)
        )
    if plan.experiment.training.operations_in_turn:
        run_operations_in_turn()
    if plan.experiment.training.deterministic:
        tf.config.experimental.enable_op_determinism()


def z_dtype(plan: Plan) -> tf.DType:
    """Type of what workers hand on."""
    policy = keras.dtype_policies.get(plan.experiment.training.precision)
    return tf.as_dtype(policy.compute_dtype)


def build_trainer(plan: Plan, task: int) -> GIMTrainer:
    """The worker's modules, as in the whole stack, and their optimizers."""
    experiment = plan.experiment
    replicas = make_replicas(experiment.training.strategy)
    check_division(experiment, replicas)
    with replicas.scope():
        stack = build.build_training_stack(experiment)
        return build.build_trainer(
            experiment, part(stack, *plan.modules(task)), replicas.strategy
        )


def build_worker(
    plan: Plan,
    task: int,
    trainer: GIMTrainer,
    ends: Ends,
    interrupts: Interrupts,
) -> worker.Worker:
    """Everything that a worker needs.

    Args:
      plan: of the run.
      task: number of the worker, from 0.
      trainer: of `build_trainer`.
      ends: of its links.
      interrupts: whose signals end it.
    """
    training = plan.experiment.training
    patience = links.Patience(interrupts, plan.silence_seconds)
    settings = _settings(plan, task)
    capacity = training.decoupled_queue
    return worker.Worker(
        trainer=trainer,
        checkpoints=RunCheckpoints(
            plan.part_dir(task),
            trainer,
            keep=worker.checkpoints_to_keep(
                training.checkpoint_every, plan.num_workers, capacity
            ),
        ),
        settings=settings,
        receive=_receiver(plan, task, ends.inbox, patience),
        batch_size=training.batch_size,
        send=_sender(plan, task, ends.outbox, patience),
        log_from=_log_from(plan, task, trainer.stack, settings),
        interrupts=interrupts,
    )


def run_worker(plan: Plan, task: int, built: worker.Worker) -> None:
    """Runs it, in its locked directory, and leaves word that it is done.

    Raises:
      CheckpointError: another process is at work there, or it was started
        with other replicas, and more of
        `gim_tf.training.decoupled.worker.run`.
    """
    run = RunDirectory(plan.part_dir(task))
    with run.locked():
        # Another number would draw other negatives.
        run.bind({"replicas": built.trainer.num_replicas})
        worker.run(built)
        plan.set_done(task)
        _LOG.info("%s is done.", plan.name(task))
        if isinstance(built.receive, links.FreeReceiver):
            _LOG.info("It had %s.", built.receive.account)


def _settings(plan: Plan, task: int) -> LoopSettings:
    """Those of the whole, for a part of the modules."""
    whole = loop_settings(plan.experiment, show_progress=False)
    steps = plan.experiment.training.num_steps
    return whole._replace(phases=[Phase(steps, (True,) * plan.sizes[task])])


def _log_from(
    plan: Plan, task: int, stack: GIMStack, settings: LoopSettings
) -> Callable[[int], worker.OnLog]:
    run = RunDirectory(plan.part_dir(task))
    return lambda step: (
        RunLog(run, step, stack, plan.tensorboard_dir, settings).add
    )


def _receiver(
    plan: Plan, task: int, inbox: links.Inbox | None, patience: links.Patience
) -> links.Receiver:
    training = plan.experiment.training
    if inbox is None:
        data = build.build_training_data(
            plan.experiment, plan.files, records.count_records(plan.files)
        )
        return lambda first: training_batches(data, first - 1)
    below = plan.name(task - 1)
    if training.decoupled_mode == "free_running":
        return links.FreeReceiver(
            inbox, patience, below, keep=training.decoupled_queue
        )
    return links.OrderedReceiver(inbox, patience, below)


def _sender(
    plan: Plan, task: int, outbox: links.Outbox | None, patience: links.Patience
) -> links.Sender | None:
    if outbox is None:
        return None
    is_free = plan.experiment.training.decoupled_mode == "free_running"
    kind = links.FreeSender if is_free else links.OrderedSender
    above = task + 1
    return kind(outbox, patience, plan.name(above), lambda: plan.is_done(above))
