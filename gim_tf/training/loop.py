"""The training loop: steps, log lines, checkpoints, interruptions."""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from gim_tf.data.input_pipeline import Batch, TrainingData, training_batches
from gim_tf.errors import (
    InterruptedRunError,
    TrainingError,
    WorkerLostError,
)
from gim_tf.training import monitors
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.heldout import LOSS, HeldOut
from gim_tf.training.interrupts import Interrupts, StopWaiting
from gim_tf.training.replicas import Replicas
from gim_tf.training.schedules import (
    Phase,
    phase_ends,
    total_steps,
    trained_at,
    with_stops,
)
from gim_tf.training.stopping import EarlyStopping
from gim_tf.training.trainer import GIMTrainer, Metrics
from gim_tf.training.window import Window

_LOG = logging.getLogger(__name__)

LogLine = dict[str, Any]


class LoopSettings(NamedTuple):
    """How long, how often.

    Attributes:
      phases: the schedule.
      log_every: steps between log lines; one more ends each phase.
      checkpoint_every: steps between checkpoints.
      show_progress: whether there may be a bar on a terminal.
    """

    phases: list[Phase]
    log_every: int
    checkpoint_every: int
    show_progress: bool = True


class Flow(NamedTuple):
    """What comes to a loop from outside, and what leaves it.

    Attributes:
      batches: of the steps that are left.
      batch_size: examples in each.
      interrupts: whose signals end the loop.
      on_output: receives (step, z, labels) of each step, z as
        `GIMTrainer.advance` gives it. It and `batches` may raise
        `StopWaiting` or `WorkerLostError`: what was done is saved.
    """

    batches: Iterator[Batch]
    batch_size: int
    interrupts: Interrupts
    on_output: Callable[[int, tf.Tensor, tf.Tensor], None] | None = None


def train(
    trainer: GIMTrainer,
    data: TrainingData,
    settings: LoopSettings,
    *,
    start_step: int,
    **options: Any,
) -> None:
    """`train_on` batches of `data`; SIGTERM and SIGINT end it.

    Args:
      trainer: in the state of `start_step`.
      data: whose batch number s is used by step s.
      settings: see there.
      start_step: steps already done.
      **options: of `train_on`.
    """
    with Interrupts() as interrupts:
        flow = Flow(
            training_batches(data, start_step), data.batch_size, interrupts
        )
        train_on(trainer, flow, settings, start_step=start_step, **options)


def train_on(
    trainer: GIMTrainer,
    flow: Flow,
    settings: LoopSettings,
    *,
    checkpoints: RunCheckpoints,
    start_step: int,
    on_log: Callable[[LogLine], None],
    heldout: HeldOut | None = None,
    stopping: EarlyStopping | None = None,
    replicas: Replicas | None = None,
) -> None:
    """Trains from `start_step` to the end of the schedule.

    Args:
      trainer: in the state of `start_step`.
      flow: whose first batch is that of the next step.
      settings: see there.
      checkpoints: saved every so often, at the end, and when interrupted.
      start_step: steps already done.
      on_log: receives each log line: {"step", "seconds",
        "examples_per_second", "data_wait", "module_1": {"loss", "accuracy",
        "per_step", "gradient_norm", "feature_std", "spread",
        "effective_rank"}, ...}; losses, accuracies and norms are means since
        the line before, `data_wait` the share of that time in which there was
        no batch to train on. After an evaluation also what `HeldOut` found of
        the modules that were trained, and "stopped", the names of those that
        ended with it, if any.
      heldout: evaluated every so often and at the end of each phase.
      stopping: in the state of `start_step`; told of each evaluation.
      replicas: of the trainer; None: one device. Of several processes all
        call this, in the same state; only the chief logs and saves.

    Raises:
      TrainingError: a loss or gradient is not finite; nothing is saved.
      InterruptedRunError: SIGTERM or SIGINT, to any of the processes; saved
        at the step's end.
      WorkerLostError: from `flow`; saved likewise.
    """
    replicas = replicas or Replicas()
    phases = _phases(settings, stopping)
    batches = _Timed(flow.batches)
    window = Window(flow.batch_size, checkpoints.window)
    measure = tf.function(
        lambda x: monitors.measure(trainer.stack, x), autograph=False
    )
    progress = tqdm(
        total=total_steps(phases),
        initial=start_step,
        unit="step",
        disable=not (settings.show_progress and sys.stderr.isatty()),
    )
    saving = Saving(checkpoints, flow.interrupts, start_step, window)
    with progress, saving as done:
        while done.step < total_steps(phases):
            step = done.step + 1
            batch = next(batches)
            trained = trained_at(phases, step - 1)
            found, z = _advanced(trainer, flow, batch, trained)
            done.step = step
            metrics = _numbers(found)
            _check_finite(metrics, step)
            window.add(metrics, batches.waited)
            progress.update()
            progress.set_postfix_str(_losses(metrics), refresh=False)
            is_end = step in phase_ends(phases)
            evaluated: LogLine = {}
            if heldout is not None and (step % heldout.every == 0 or is_end):
                evaluated = _evaluated(
                    heldout, stopping, trained, step, replicas
                )
                phases = _phases(settings, stopping)
            is_last = step == total_steps(phases)
            if is_end or evaluated or step % settings.log_every == 0:
                if replicas.is_chief:
                    on_log(_log_line(step, window, measure, batch, evaluated))
                window.restart()
            if flow.on_output is not None:
                flow.on_output(step, z, batch.labels)
            stop = _first_signal(
                replicas.gathered(flow.interrupts.received or 0)
            )
            saves = is_last or stop or step % settings.checkpoint_every == 0
            if saves and replicas.is_chief:
                checkpoints.save(step, window.state())
            if stop:
                raise _interrupted(stop, step)


class Saving:
    """Saves, once, what was done when a wait for another worker ends.

    Attributes:
      step: steps done.
    """

    def __init__(
        self,
        checkpoints: RunCheckpoints,
        interrupts: Interrupts,
        step: int,
        window: Window | None = None,
    ) -> None:
        self.step = step
        self._window = window
        self._checkpoints = checkpoints
        self._interrupts = interrupts

    def __enter__(self) -> "Saving":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, StopWaiting | WorkerLostError):
            return
        if self.step not in self._checkpoints.steps():
            state = self._window.state() if self._window else {}
            self._checkpoints.save(self.step, state)
        if self._interrupts.received is not None:
            raise _interrupted(self._interrupts.received, self.step) from error


def _interrupted(signal_number: int, step: int) -> InterruptedRunError:
    return InterruptedRunError(
        f"Interrupted by signal {signal_number} after step {step}, which is "
        "saved; run again to resume.",
        signal_number,
    )


def _advanced(
    trainer: GIMTrainer, flow: Flow, batch: Batch, trained: tuple[bool, ...]
) -> tuple[Metrics, tf.Tensor | None]:
    """One step; z only where somebody wants it."""
    if flow.on_output is None:
        return trainer.compiled_step(batch.x, batch.labels, trained), None
    return trainer.compiled_advance(batch.x, batch.labels, trained)


def _first_signal(received: list[int]) -> int | None:
    """What one of the processes was sent, if any was."""
    return next((number for number in received if number), None)


def _phases(
    settings: LoopSettings, stopping: EarlyStopping | None
) -> list[Phase]:
    """What is left of the schedule."""
    if stopping is None:
        return settings.phases
    return with_stops(settings.phases, stopping.stopped_at())


def _evaluated(
    heldout: HeldOut,
    stopping: EarlyStopping | None,
    trained: tuple[bool, ...],
    step: int,
    replicas: Replicas,
) -> LogLine:
    """What an evaluation adds to the log line."""
    found: LogLine = dict(heldout(trained))
    if stopping is None:
        return found
    # The chief's, lest processes that differ in a digit part ways.
    agreed = replicas.from_chief(
        np.array([values[LOSS] for values in found.values()], np.float64)
    )
    losses = {
        name: float(loss) for name, loss in zip(found, agreed, strict=True)
    }
    stopped = stopping.update(losses, step)
    for name in stopped:
        best = stopping.watches()[name]
        _LOG.info(
            "step %d: %s stops, with its weights of step %d (held-out loss "
            "%.4f)",
            step,
            name,
            best.best_step,
            best.best,
        )
    return {**found, "stopped": stopped} if stopped else found


class _Timed:
    """Batches, and the seconds `waited` for the last one."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.waited = 0.0

    def __next__(self) -> Batch:
        started = time.monotonic()
        batch = next(self._batches)
        self.waited = time.monotonic() - started
        return batch


def _log_line(
    step: int,
    window: Window,
    measure: Callable[[tf.Tensor], Metrics],
    batch: Batch,
    evaluated: LogLine,
) -> LogLine:
    line: LogLine = {
        "step": step,
        "seconds": window.seconds(),
        "examples_per_second": window.examples_per_second(),
        "data_wait": window.data_wait(),
        **window.means(),
    }
    for key, found in evaluated.items():
        line[key] = found if key == "stopped" else {**line[key], **found}
    for name, measured in _numbers(measure(batch.x)).items():
        values = {key: float(value) for key, value in measured.items()}
        is_trained = name in line
        line.setdefault(name, {}).update(values)
        if is_trained and monitors.is_collapsed(values["spread"]):
            line.setdefault("alarms", []).append(name)
            _LOG.warning(
                "step %d: %s has collapsed: the deviation of its features is "
                "%.3f of an isotropic one",
                step,
                name,
                values["spread"],
            )
    return line


def _losses(metrics: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    losses = (f"{values['loss']:.3f}" for values in metrics.values())
    return f"loss {' '.join(losses)}"


def _numbers(metrics: Metrics) -> dict[str, dict[str, np.ndarray]]:
    return {
        name: {key: value.numpy() for key, value in values.items()}
        for name, values in metrics.items()
    }


def _check_finite(
    metrics: Mapping[str, Mapping[str, np.ndarray]], step: int
) -> None:
    for name, values in metrics.items():
        for key in ("loss", "gradient_norm"):
            value = float(values[key])
            if not math.isfinite(value):
                raise TrainingError(
                    f"The {key} of {name} is {value} at step {step}. Lower "
                    "training.learning_rate or look at the data; earlier "
                    "checkpoints are kept."
                )
