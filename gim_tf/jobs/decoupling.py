"""Pretraining by decoupled workers: division, running, and the whole of it."""

import itertools
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from gim_tf import build
from gim_tf.accelerators import grow_gpu_memory
from gim_tf.config import Experiment
from gim_tf.data import records
from gim_tf.errors import CheckpointError, ConfigError
from gim_tf.jobs import (
    decoupled_division,
    decoupled_part,
    opening,
    supervising,
)
from gim_tf.jobs.decoupled_plan import Plan, Workers, write_plan
from gim_tf.jobs.run_log import RunLog
from gim_tf.paths import AnyPath, local_path
from gim_tf.stack import part
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.decoupled import worker
from gim_tf.training.decoupled.memory import MemoryMailbox
from gim_tf.training.interrupts import Interrupts
from gim_tf.training.loop import LogLine
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.trainer import GIMTrainer


def pretrain(
    experiment: Experiment,
    files: Sequence[str],
    run: RunDirectory,
    *,
    tensorboard_dir: AnyPath,
    resume: str,
    data_fingerprint: str,
    workers: Workers,
) -> dict[str, Any]:
    """Trains, and leaves the run directory of any other schedule.

    Below it `workers/modules_*` has each worker's checkpoints and history.

    Args:
      experiment: see `gim_tf.jobs.pretrain`, as all here.
      files: likewise.
      run: likewise.
      tensorboard_dir: likewise.
      resume: "auto" or "never".
      data_fingerprint: likewise.
      workers: who trains.

    Raises:
      ConfigError: workers that cannot share modules or devices, another
        `resume`, or a run behind a URL: workers share a file system.
      CheckpointError: the run was divided otherwise, and more of `pretrain`.
      WorkerLostError: a worker did not answer in time; all are saved.
      WorkerFailedError: a worker process ended with an error.
    """
    run_dir = local_path(run.path)
    with run.locked():
        _check_resume(run_dir, resume)
        if experiment.training.deterministic:
            tf.config.experimental.enable_op_determinism()
        if workers.kind == "processes":
            grow_gpu_memory()  # workers need the rest
        data = build.build_training_data(
            experiment, files, records.count_records(files)
        )
        opening.bind(run, experiment, {"data_fingerprint": data_fingerprint})
        shares = decoupled_division.shares(experiment, data, run_dir, workers)
        plan = Plan(
            experiment=experiment,
            files=tuple(files),
            run_dir=run_dir,
            tensorboard_dir=str(tensorboard_dir),
            sizes=shares.sizes,
            replicas=shares.replicas,
            silence_seconds=workers.silence_seconds,
            threads=workers.threads,
        )
        opening.show_inputs(run, experiment, data, tensorboard_dir)
        write_plan(plan)
        if not plan.is_done(0):
            _run(plan, workers)
        section = _whole(plan, run)
        run.write_json("pretrain.json", section)
    return section


def _check_resume(run_dir: Path, resume: str) -> None:
    if resume not in ("auto", "never"):
        raise ConfigError(
            "A decoupled run has a checkpoint a worker, not one to resume from "
            f"by its path; expected 'auto' or 'never', received {resume!r}."
        )
    if resume == "never" and any(run_dir.glob("workers/*/ckpt-*.index")):
        raise CheckpointError(
            f"{run_dir} already holds checkpoints, and resume is 'never'; "
            "choose another directory."
        )


def _run(plan: Plan, workers: Workers) -> None:
    with Interrupts() as interrupts:
        if workers.kind == "threads":
            _run_threads(plan, interrupts)
        elif workers.kind == "processes":
            supervising.run_processes(plan, interrupts)
        else:
            supervising.run_task(plan, 0, workers.addresses, interrupts)


def _run_threads(plan: Plan, interrupts: Interrupts) -> None:
    """All workers as threads of this process.

    An error of one ends the others as a signal would, and is raised here.
    """
    capacity = plan.experiment.training.decoupled_queue
    boxes = [MemoryMailbox(capacity) for _ in plan.sizes[1:]]
    inboxes, outboxes = [None, *boxes], [*boxes, None]
    errors: list[BaseException] = []
    threads = []
    devices = _devices()
    for task, ends in enumerate(zip(inboxes, outboxes, strict=True)):
        device = devices[task % len(devices)]
        # Layers are built here: Keras keeps what it is told by thread.
        with tf.device(device):
            built = decoupled_part.build_worker(
                plan,
                task,
                decoupled_part.build_trainer(plan, task),
                decoupled_part.Ends(*ends),
                interrupts,
            )
        threads.append(
            threading.Thread(
                target=_guarded,
                args=(_on(device, plan, task, built), errors, interrupts),
                name=f"worker-{task + 1}",
                daemon=True,
            )
        )
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # so that signals are noted in between
            thread.join(timeout=0.2)
    if errors:
        raise errors[0]


def _guarded(
    job: Callable[[], None],
    errors: list[BaseException],
    interrupts: Interrupts,
) -> None:
    try:
        job()
    except BaseException as error:
        errors.append(error)
        interrupts.received = interrupts.received or signal.SIGTERM


def _on(
    device: str, plan: Plan, task: int, built: worker.Worker
) -> Callable[[], None]:
    def job() -> None:
        with tf.device(device):
            decoupled_part.run_worker(plan, task, built)

    return job


def _devices() -> list[str]:
    found = tf.config.list_logical_devices("GPU")
    found = found or tf.config.list_logical_devices("CPU")
    return [device.name for device in found]


def _whole(plan: Plan, run: RunDirectory) -> dict[str, Any]:
    """Makes one checkpoint and one history of those of the workers."""
    experiment = plan.experiment
    stack = build.build_training_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    steps = experiment.training.num_steps
    for task in range(plan.num_workers):
        first, last = plan.modules(task)
        of_part = GIMTrainer(
            part(stack, first, last), trainer.optimizers[first - 1 : last]
        )
        checkpoints = RunCheckpoints(plan.part_dir(task), of_part)
        found = checkpoints.restore_latest()
        if found != steps:
            raise CheckpointError(
                f"{plan.part_dir(task)} is done, but its newest readable "
                f"checkpoint is of step {found}, expected {steps}. Remove its "
                "done.json and run again."
            )
    RunCheckpoints(run.path, trainer).save(steps)
    log = RunLog(run, 0, stack, None, opening.loop_settings(experiment))
    for line in _merged(_histories(plan)):
        log.record(line)
    return {**log.summary(), "workers": list(plan.sizes)}


def _histories(plan: Plan) -> list[list[LogLine]]:
    """The lines of each worker, all of which end at the last step."""
    steps = plan.experiment.training.num_steps
    found = []
    for task in range(plan.num_workers):
        directory = plan.part_dir(task)
        lines = RunDirectory(directory).history()
        end = lines[-1]["step"] if lines else 0
        if end != steps:
            raise CheckpointError(
                f"{directory} is trained to step {steps}, but its log ends at "
                f"step {end}: it is damaged. Bring history.jsonl back, or "
                "train in another directory."
            )
        found.append(lines)
    return found


def _merged(histories: Sequence[Sequence[LogLine]]) -> list[LogLine]:
    """Lines of the same step as one, which is as slow as the slowest part."""
    merged: list[LogLine] = []
    before = 0.0
    for lines in zip(*histories, strict=True):
        modules = itertools.chain.from_iterable(line.items() for line in lines)
        seconds = max(line["seconds"] for line in lines)
        alarms = [name for line in lines for name in line.get("alarms", [])]
        merged.append(
            {
                **dict(modules),
                "seconds": max(seconds - before, 0.0),
                "examples_per_second": min(
                    line["examples_per_second"] for line in lines
                ),
                "data_wait": sum(line["data_wait"] for line in lines)
                / len(lines),
                **({"alarms": alarms} if alarms else {}),
            }
        )
        before = max(seconds, before)
    return merged
