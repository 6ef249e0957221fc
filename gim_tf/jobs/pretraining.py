"""The job `pretrain`: from records to a run directory."""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from gim_tf import build
from gim_tf.accelerators import grow_gpu_memory
from gim_tf.config import Experiment
from gim_tf.data import records
from gim_tf.data.input_pipeline import TrainingData
from gim_tf.errors import CheckpointError, ConfigError
from gim_tf.jobs import decoupling, opening
from gim_tf.jobs.deciding import deciding
from gim_tf.jobs.decoupled_plan import Workers
from gim_tf.jobs.run_log import RunLog
from gim_tf.paths import AnyPath, check_known
from gim_tf.stack import GIMStack
from gim_tf.training import schedules
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.loop import LoopSettings, train
from gim_tf.training.replicas import (
    Replicas,
    check_division,
    check_equal,
    make_replicas,
)
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.threads import run_operations_in_turn
from gim_tf.training.trainer import GIMTrainer

_LOG = logging.getLogger(__name__)


def pretrain(
    experiment: Experiment,
    files: Sequence[str],
    run_dir: AnyPath,
    *,
    tensorboard_dir: AnyPath,
    resume: str = "auto",
    data_fingerprint: str = "",
    below: GIMStack | None = None,
    workers: Workers | None = None,
    replicas: Replicas | None = None,
) -> dict[str, Any]:
    """Trains the stack and leaves a run directory.

    Writes `config.json`, `ckpt-*`, `history.jsonl`, `pretrain.json` and
    `pictures/*.png`.

    Args:
      experiment: decides everything about the run.
      files: TFRecord files of the pretraining split.
      run_dir: continued if it holds checkpoints; may be a URL. Of several
        processes each has its own; those that are not the chief leave
        `config.json` only.
      tensorboard_dir: for scalars and pictures.
      resume: "auto": from the newest readable checkpoint, if any; "never":
        only in a directory without any; else a checkpoint's prefix.
      data_fingerprint: of the source, recorded with the settings.
      below: a trained stack, whose modules the first ones here start as.
      workers: of the schedule "decoupled"; none: a thread a module.
      replicas: that train together; None: those of this process that
        `training.strategy` names.

    Returns:
      The "pretrain" section of summary.json; {} where this is not the chief.

    Raises:
      CheckpointError: the directory is in use, has other settings or only
        damaged checkpoints, or cannot be written.
      ConfigError: a batch is larger than the split, or cannot be divided;
        workers have other settings or data than the chief.
      DataError: damaged records.
      TrainingError: a loss or gradient is not finite.
      InterruptedRunError: SIGTERM or SIGINT; saved.
      WorkerLostError: another process is gone.
      WorkerFailedError: see `gim_tf.jobs.decoupling`.
    """
    check_known(tensorboard_dir)
    grow_gpu_memory()
    if experiment.training.operations_in_turn:
        run_operations_in_turn()
    run = RunDirectory(run_dir)
    if experiment.training.schedule == "decoupled":
        _check_none_below(below)
        return decoupling.pretrain(
            experiment,
            files,
            run,
            tensorboard_dir=tensorboard_dir,
            resume=resume,
            data_fingerprint=data_fingerprint,
            workers=workers or Workers(),
        )
    replicas = replicas or make_replicas(experiment.training.strategy)
    check_division(experiment, replicas)
    with run.locked(), replicas.watched():
        data = build.build_training_data(
            experiment, files, records.count_records(files)
        )._replace(part=replicas.worker, num_parts=replicas.num_workers)
        with replicas.scope():
            stack = build.build_training_stack(experiment)
        origin = _start_as(stack, below) if below is not None else {}
        settings = {
            **({"replicas": replicas.count} if replicas.count > 1 else {}),
            "data_fingerprint": data_fingerprint,
            **origin,
        }
        opening.bind(run, experiment, settings)
        check_equal(replicas, {**deciding(experiment), **settings})
        if experiment.training.deterministic:
            tf.config.experimental.enable_op_determinism()
        with replicas.scope():
            trainer = build.build_trainer(experiment, stack, replicas.strategy)
        section = _trained(
            experiment, trainer, data, run, replicas, tensorboard_dir, resume
        )
    return section


def _trained(
    experiment: Experiment,
    trainer: GIMTrainer,
    data: TrainingData,
    run: RunDirectory,
    replicas: Replicas,
    tensorboard_dir: AnyPath,
    resume: str,
) -> dict[str, Any]:
    """Trains what has been built; see `pretrain`."""
    stack = trainer.stack
    stopping = build.build_stopping(experiment, stack)
    checkpoints = RunCheckpoints(run.path, trainer, stopping=stopping)
    settings = opening.loop_settings(experiment)
    start, log = 0, None
    if replicas.is_chief:
        start = _start(checkpoints, resume)
        _check_work_left(start, settings, run)
        opening.show_inputs(run, experiment, data, tensorboard_dir)
        log = RunLog(run, start, stack, tensorboard_dir, settings, stopping)
    start = replicas.gathered(start)[0]
    replicas.copy_from_chief(checkpoints.variables)
    train(
        trainer,
        data,
        settings,
        checkpoints=checkpoints,
        start_step=start,
        on_log=log.add if log else lambda line: None,
        heldout=build.build_heldout(experiment, stack, data),
        stopping=stopping,
        replicas=replicas,
    )
    section = {}
    if log:
        section = log.summary()
        run.write_json("pretrain.json", section)
    replicas.gathered(0)  # None goes before all is written.
    return section


def _check_none_below(below: GIMStack | None) -> None:
    if below is not None:
        raise ConfigError(
            "training.schedule 'decoupled' starts from no other run's modules; "
            "use 'simultaneous' or 'last'."
        )


def _start_as(stack: GIMStack, below: GIMStack) -> dict[str, str]:
    """Gives the first modules the weights of `below`; says which they are."""
    digest = hashlib.sha256()
    for module, trained in zip(
        stack.gim_modules, below.gim_modules, strict=False
    ):
        pairs = zip(module.variables, trained.variables, strict=True)
        for variable, value in pairs:
            variable.assign(value)
            digest.update(value.numpy().tobytes())
    return {"below": digest.hexdigest()}


def _start(checkpoints: RunCheckpoints, resume: str) -> int:
    if resume == "auto":
        start = checkpoints.restore_latest()
    elif resume == "never":
        if checkpoints.steps():
            raise CheckpointError(
                f"{checkpoints.directory} already holds checkpoints, and "
                "resume is 'never'; choose another directory."
            )
        start = 0
    else:
        start = checkpoints.restore(resume.removesuffix(".index"))
    if start:
        _LOG.info("Resuming after step %d.", start)
    return start


def _check_work_left(
    start: int, settings: LoopSettings, run: RunDirectory
) -> None:
    end = schedules.total_steps(settings.phases)
    last = [line["step"] for line in run.history()[-1:]]
    if start == end and last and last != [end]:
        raise CheckpointError(
            f"{run.path} is trained to step {end}, but its log ends at step "
            f"{last[0]}: it is damaged. Bring history.jsonl back, or take an "
            "earlier checkpoint."
        )
    if start > end or (start == end and not last):
        raise CheckpointError(
            f"The checkpoint is of step {start} and training.num_steps ends "
            f"at step {end}; raise it, or take an earlier checkpoint."
        )
