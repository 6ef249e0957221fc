"""Where the log lines of a training run go: history, TensorBoard, terminal."""

import itertools
import logging
import sys
from typing import Any

from gim_tf.paths import AnyPath
from gim_tf.stack import GIMStack
from gim_tf.training import heldout, schedules
from gim_tf.training.loop import LogLine, LoopSettings
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.stopping import EarlyStopping
from gim_tf.training.summaries import ScalarWriter

_LOG = logging.getLogger(__name__)


class RunLog:
    """Sends log lines to the run's history, TensorBoard and the terminal.

    Args:
      run: whose history is continued.
      start: steps already done; lines of later ones are dropped.
      stack: whose modules the lines are of.
      tensorboard_dir: for scalars; None: none.
      settings: of the loop.
      stopping: whose stops the summary has.
    """

    def __init__(
        self,
        run: RunDirectory,
        start: int,
        stack: GIMStack,
        tensorboard_dir: AnyPath | None,
        settings: LoopSettings,
        stopping: EarlyStopping | None = None,
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
        self._writer = (
            None
            if tensorboard_dir is None
            else ScalarWriter(tensorboard_dir, self._objectives)
        )
        has_bar = sys.stderr.isatty() and settings.show_progress
        self._level = logging.DEBUG if has_bar else logging.INFO
        self._num_steps = schedules.total_steps(settings.phases)

    def record(self, line: LogLine) -> None:
        """Adds a line, whose seconds are those since the one before."""
        before = self._lines[-1]["seconds"] if self._lines else 0.0
        line["seconds"] += before
        self._lines.append(line)
        self._run.append_history(line)
        if self._writer is not None:
            self._writer.write(line)

    def add(self, line: LogLine) -> None:
        """Adds a line, and shows it."""
        self.record(line)
        losses = "  ".join(
            f"{name} {line[name]['loss']:.3f}"
            for name in self._objectives
            if "loss" in line.get(name, {})
        )
        # On a terminal the progress bar shows the same.
        _LOG.log(
            self._level,
            "step %d/%d  loss: %s  %.0f examples/s",
            line["step"],
            self._num_steps,
            losses,
            line["examples_per_second"],
        )

    def summary(self) -> dict[str, Any]:
        """The "pretrain" section of summary.json; closes the scalars."""
        if self._writer is not None:
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
            for key in heldout.KEYS
            if key in line[name]
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
