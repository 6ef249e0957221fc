"""Checkpoints: everything that decides the rest of a run, as one unit.

Weights, optimizers, step, and the state of every random generator (which
`tf.train.Checkpoint` does not save for Keras 3 by itself). The data position
is a function of the step, the learning rate a setting. The checkpoints in the
directory are the truth, whatever TensorFlow's state file says; `SAVED` only
tells a directory that has had one from one whose first was never finished.
"""

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from gim_tf.errors import CheckpointError
from gim_tf.paths import (
    AnyPath,
    Place,
    as_path,
    in_order,
    remove_tree,
    write_whole,
)
from gim_tf.training.stopping import EarlyStopping
from gim_tf.training.trainer import GIMTrainer

_LOG = logging.getLogger(__name__)
_SAVED = "SAVED"
_WINDOW = ".window.json"
_INDEX = re.compile(r"ckpt-(\d+)\.index")
_PARTIAL = re.compile(r"ckpt-.*_temp")
_UNREADABLE = (tf.errors.OpError, IndexError, ValueError, AssertionError)


class RunCheckpoints:
    """Saves and restores a trainer in one directory.

    Args:
      directory: holds `ckpt-<step>.index`, `.data-*` and `.window.json`;
        created if missing; of a file system, or a URL.
      trainer: whose stack and optimizers are saved, all built.
      stopping: saved too, if there is one.
      keep: newest checkpoints that are kept; at least 2, so that a damaged
        one has one before it.

    Attributes:
      variables: all that is saved, but the step.
      window: what was saved of the log with the restored checkpoint, see
        `gim_tf.training.window`; {} if nothing was.
    """

    def __init__(
        self,
        directory: AnyPath,
        trainer: GIMTrainer,
        *,
        stopping: EarlyStopping | None = None,
        keep: int = 3,
    ) -> None:
        if keep < 2:
            raise ValueError(f"keep must be at least 2, received {keep}.")
        self.directory = as_path(directory)
        self.keep = keep
        self.window: dict[str, Any] = {}
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        more = {} if stopping is None else {"stopping": stopping.state}
        self.variables = [] if stopping is None else stopping.variables
        self._checkpoint = tf.train.Checkpoint(
            step=self._step,
            **more,
            **{
                name: self._tracked(module.variables)
                for name, module in zip(
                    trainer.stack.module_names,
                    trainer.stack.gim_modules,
                    strict=True,
                )
            },
            **{
                name.replace("module", "optimizer"): self._tracked(
                    [
                        variable
                        for variable in optimizer.variables
                        if variable.path != optimizer.learning_rate.path
                    ]
                )
                for name, optimizer in zip(
                    trainer.stack.module_names,
                    trainer.optimizers,
                    strict=True,
                )
            },
        )

    def steps(self) -> list[int]:
        """Steps of the checkpoints in the directory, ascending."""
        found = (_INDEX.fullmatch(p.name) for p in self._entries())
        return sorted(int(match.group(1)) for match in found if match)

    def save(
        self, step: int, window: Mapping[str, Any] = MappingProxyType({})
    ) -> str:
        """Writes `ckpt-<step>`, then removes the oldest beyond `keep`.

        Checkpoints of later steps, left by a run that went further, go too:
        they belong to another future.

        Args:
          step: steps done.
          window: of the log, plain JSON values.

        Raises:
          CheckpointError: it could not be written (disk full, read-only);
            checkpoints from before are whole.
        """
        self._step.assign(step)
        prefix = str(self.directory / f"ckpt-{step}")
        is_new = False
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # A run that is stopped where it began writes the same once more.
            is_new = step not in self.steps()
            write_whole(
                self.directory / f"ckpt-{step}{_WINDOW}",
                json.dumps(dict(window)),
            )
            self._checkpoint.write(prefix)
            (self.directory / _SAVED).touch()
        except (OSError, tf.errors.OpError) as error:
            if is_new:
                self._remove(step)
            remove_tree(self.directory / f"ckpt-{step}_temp")
            raise CheckpointError(
                f"Could not write {prefix}: {_first_line(error)}. Earlier "
                "checkpoints are whole; free the disk and run again to resume."
            ) from error
        steps = self.steps()
        kept = [other for other in steps if other <= step][-self.keep :]
        for other in set(steps) - set(kept):
            self._remove(other)
        return prefix

    def restore_latest(self, up_to: int | None = None) -> int:
        """Restores the newest readable checkpoint; returns its step, or 0.

        A damaged checkpoint is passed over with a warning that names it.

        Args:
          up_to: the latest step to restore; None: any.

        Raises:
          CheckpointError: there are or were checkpoints but none, of these
            steps, can be read; never starts over silently.
        """
        for path in self._entries():
            if _PARTIAL.fullmatch(path.name):
                remove_tree(path)
        limit = math.inf if up_to is None else up_to
        steps = [step for step in self.steps() if step <= limit]
        for step in reversed(steps):
            prefix = str(self.directory / f"ckpt-{step}")
            try:
                return self.restore(prefix)
            except CheckpointError as error:
                _LOG.warning("%s Falling back to the one before.", error)
        # An index is written last: where there is one, a checkpoint was whole.
        if steps or (self.directory / _SAVED).exists():
            which = "" if up_to is None else f" of step {up_to} or before"
            raise CheckpointError(
                f"{self.directory} has had checkpoints but none{which} can be "
                "read. "
                "Remove the directory to start over, or bring the files back."
            )
        return 0

    def restore(self, prefix: str) -> int:
        """Restores one checkpoint; returns its step.

        Raises:
          CheckpointError: missing, damaged, or of another model.
        """
        try:
            status = self._checkpoint.read(prefix)
            status.assert_consumed().assert_existing_objects_matched()
        except _UNREADABLE as error:
            raise CheckpointError(
                f"Checkpoint {prefix} cannot be read: {_first_line(error)}."
            ) from error
        self.window = _window(as_path(f"{prefix}{_WINDOW}"))
        return int(self._step.numpy())

    def _tracked(self, variables: Sequence[Any]) -> tf.train.Checkpoint:
        """Keras variables by position, seed generators' states included."""
        values = [variable.value for variable in variables]
        self.variables.extend(values)
        return tf.train.Checkpoint(
            **{f"v{i:03d}": value for i, value in enumerate(values)}
        )

    def _entries(self) -> list[Place]:
        if not self.directory.is_dir():
            return []
        return in_order(self.directory.iterdir())

    def _remove(self, step: int) -> None:
        # The index goes first: without it the rest is no checkpoint.
        for path in reversed(self._entries()):
            if path.name.startswith(f"ckpt-{step}."):
                path.unlink(missing_ok=True)
        remove_tree(self.directory / f"ckpt-{step}_temp")


def _window(path: Place) -> dict[str, Any]:
    """A log's window; {} of an earlier version's checkpoint.

    One that is damaged is {} with a warning.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        _LOG.warning("%s cannot be read (%s).", path, error)
        return {}
    return found


def _first_line(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0].rstrip(".")
