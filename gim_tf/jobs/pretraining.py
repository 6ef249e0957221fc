"""The job `pretrain`: from records to a run directory."""

import dataclasses
import hashlib
import itertools
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from gim_tf import build, config
from gim_tf.config import BlessingConfig, Experiment, ProbeConfig
from gim_tf.data import records
from gim_tf.data.input_pipeline import TrainingData, training_batches
from gim_tf.errors import CheckpointError
from gim_tf.inspection import samples, tensorboard
from gim_tf.stack import GIMStack
from gim_tf.training import heldout, schedules
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.loop import LogLine, LoopSettings, train
from gim_tf.training.replicas import (
    Replicas,
    check_division,
    check_equal,
    make_replicas,
)
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.stopping import EarlyStopping
from gim_tf.training.summaries import ScalarWriter
from gim_tf.training.threads import run_operations_in_turn
from gim_tf.training.trainer import GIMTrainer

_LOG = logging.getLogger(__name__)


_HELDOUT_SETTINGS = (
    "heldout_every",
    "heldout_examples",
    "patience",
    "min_delta",
)
"""Of `TrainingConfig`: without the first, the others decide nothing."""
_MEMORY_SETTINGS = ("recompute_groups", "operations_in_turn")
"""Of `TrainingConfig`: they change weights by rounding only."""
_PLACE_SETTINGS = ("strategy",)
"""Likewise: how many replicas there are decides, not where they are."""


def pretrain(
    experiment: Experiment,
    files: Sequence[str],
    run_dir: str | Path,
    *,
    tensorboard_dir: str | Path,
    resume: str = "auto",
    data_fingerprint: str = "",
    below: GIMStack | None = None,
    replicas: Replicas | None = None,
) -> dict[str, Any]:
    """Trains the stack and leaves a run directory.

    Writes `config.json`, `ckpt-*`, `history.jsonl`, `pretrain.json` and
    `pictures/*.png`.

    Args:
      experiment: decides everything about the run.
      files: TFRecord files of the pretraining split.
      run_dir: continued if it holds checkpoints. Of several processes each
        has its own; those that are not the chief leave `config.json` only.
      tensorboard_dir: for scalars and pictures.
      resume: "auto": from the newest readable checkpoint, if any; "never":
        only in a directory without any; else a checkpoint's prefix.
      data_fingerprint: of the source, recorded with the settings.
      below: a trained stack, whose modules the first ones here start as.
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
    """
    if experiment.training.operations_in_turn:
        run_operations_in_turn()
    replicas = replicas or make_replicas(experiment.training.strategy)
    check_division(experiment, replicas)
    run = RunDirectory(run_dir)
    with run.locked(), replicas.watched():
        data = build.build_training_data(
            experiment, files, records.count_records(files)
        )._replace(part=replicas.worker, num_parts=replicas.num_workers)
        with replicas.scope():
            stack = build.build_stack(
                experiment, precision=experiment.training.precision
            )
        origin = _start_as(stack, below) if below is not None else {}
        settings = {
            **deciding(experiment),
            **({"replicas": replicas.count} if replicas.count > 1 else {}),
            "data_fingerprint": data_fingerprint,
            **origin,
        }
        run.bind(settings)
        check_equal(replicas, settings)
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
    tensorboard_dir: str | Path,
    resume: str,
) -> dict[str, Any]:
    """Trains what has been built; see `pretrain`."""
    stack = trainer.stack
    stopping = build.build_stopping(experiment, stack)
    checkpoints = RunCheckpoints(run.path, trainer, stopping=stopping)
    settings = _loop_settings(experiment)
    start, log = 0, None
    if replicas.is_chief:
        start = _start(checkpoints, resume)
        _check_work_left(start, settings, run)
        samples.write_training_samples(
            experiment,
            next(training_batches(data, 0)).x,
            directory=run.path / "pictures",
            tensorboard_dir=str(tensorboard_dir),
        )
        tensorboard.write_configuration(
            str(tensorboard_dir), config.to_dict(experiment)
        )
        log = _Log(run, start, stack, tensorboard_dir, settings, stopping)
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


def deciding(experiment: Experiment) -> dict[str, Any]:
    """What decides the weights: no probes, no prose, no trade for memory.

    A run that needs too much memory can go on with other settings of it.
    """
    deciding = dataclasses.replace(
        experiment,
        summary="",
        paper="",
        cost="",
        probe=ProbeConfig(),
        blessing=BlessingConfig(),
    )
    settings = config.to_dict(deciding)
    held_out = experiment.training.heldout_every > 0
    undecided = () if held_out else _HELDOUT_SETTINGS
    for name in (*_MEMORY_SETTINGS, *_PLACE_SETTINGS, *undecided):
        del settings["training"][name]
    return settings


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


class _Log:
    """Sends log lines to the run's history, TensorBoard and the terminal."""

    def __init__(
        self,
        run: RunDirectory,
        start: int,
        stack: GIMStack,
        tensorboard_dir: str | Path,
        settings: LoopSettings,
        stopping: EarlyStopping | None,
    ) -> None:
        self._stopping = stopping
        self._run = run
        self._lines = run.rewind_history(start)
        self._objectives = {
            name: module.objective
            for name, module in zip(
                stack.module_names, stack.gim_modules, strict=True
            )
        }
        self._writer = ScalarWriter(tensorboard_dir, self._objectives)
        self._num_steps = schedules.total_steps(settings.phases)

    def add(self, line: LogLine) -> None:
        before = self._lines[-1]["seconds"] if self._lines else 0.0
        line["seconds"] += before
        self._lines.append(line)
        self._run.append_history(line)
        self._writer.write(line)
        losses = "  ".join(
            f"{name} {line[name]['loss']:.3f}"
            for name in self._objectives
            if "loss" in line.get(name, {})
        )
        # On a terminal the progress bar shows the same.
        _LOG.log(
            logging.DEBUG if sys.stderr.isatty() else logging.INFO,
            "step %d/%d  loss: %s  %.0f examples/s",
            line["step"],
            self._num_steps,
            losses,
            line["examples_per_second"],
        )

    def summary(self) -> dict[str, Any]:
        self._writer.close()
        last = self._lines[-1]
        examples = sum(
            line["examples_per_second"] * seconds
            for line, seconds in zip(
                self._lines, self._durations(), strict=True
            )
        )
        return {
            "steps": last["step"],
            "seconds": last["seconds"],
            "examples_per_second": examples / last["seconds"],
            "modules": {
                name: {
                    **self._newest(name),
                    **self._kept(name),
                    "chance_loss": objective.chance_loss,
                }
                for name, objective in self._objectives.items()
            },
            "alarms": sorted(last.get("alarms", [])),
            "stopped": self._stopped(),
        }

    def _stopped(self) -> dict[str, dict[str, Any]]:
        """The modules that stopped early: when, and why."""
        if self._stopping is None:
            return {}
        reason = (
            f"no held-out loss lower by {self._stopping.min_delta:g} in "
            f"{self._stopping.patience} evaluations"
        )
        return {
            name: {
                "step": watch.stopped_at,
                "kept_step": watch.best_step,
                "reason": reason,
            }
            for name, watch in self._stopping.watches().items()
            if watch.stopped_at
        }

    def _kept(self, name: str) -> dict[str, float]:
        """Held-out results of the weights that a stopped module went back to.

        Its other figures are those of the step at which it stopped.
        """
        step = self._stopped().get(name, {}).get("kept_step")
        return {
            key: line[name][key]
            for line in self._lines
            if line["step"] == step
            for key in (heldout.LOSS, heldout.ACCURACY)
        }

    def _durations(self) -> list[float]:
        stamps = [0.0, *(line["seconds"] for line in self._lines)]
        return [b - a for a, b in itertools.pairwise(stamps)]

    def _newest(self, name: str) -> dict[str, Any]:
        """Newest value of each quantity: a frozen module has no new loss."""
        values: dict[str, Any] = {}
        for line in self._lines:
            values.update(line.get(name, {}))
        return values


def _loop_settings(experiment: Experiment) -> LoopSettings:
    training = experiment.training
    return LoopSettings(
        phases=build.build_phases(experiment),
        log_every=training.log_every,
        checkpoint_every=training.checkpoint_every,
    )


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
    if start > end or (start == end and not run.history()):
        raise CheckpointError(
            f"The checkpoint is of step {start} and training.num_steps ends "
            f"at step {end}; raise it, or take an earlier checkpoint."
        )
