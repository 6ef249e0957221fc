"""Early stopping of single modules, on their held-out local losses.

A module that no longer learns what holds for other examples stops, gets the
weights of its best evaluation back, and is frozen; the others go on.

Prechelt, "Early Stopping - But When?" (1998): the criterion UP, counted in
evaluations.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from gim_tf.stack import GIMStack


class Watch(NamedTuple):
    """What is remembered of a module.

    Attributes:
      best: its lowest held-out loss, in nats.
      best_step: steps after which it was measured.
      waited: evaluations since.
      stopped_at: steps after which the module stopped; 0: it has not.
    """

    best: float = math.inf
    best_step: int = 0
    waited: int = 0
    stopped_at: int = 0


def watched(
    watch: Watch, loss: float, step: int, *, patience: int, min_delta: float
) -> Watch:
    """The watch after one more evaluation.

    Args:
      watch: before it.
      loss: that was measured; one that is no number is no better.
      step: steps that were done.
      patience: evaluations that may pass without a better loss.
      min_delta: nats by which a loss must be lower to be better.
    """
    if loss < watch.best - min_delta:
        return Watch(best=loss, best_step=step)
    waited = watch.waited + 1
    stopped_at = step if waited >= patience else 0
    return watch._replace(waited=waited, stopped_at=stopped_at)


class EarlyStopping:
    """Stops modules; its state, best weights included, is for checkpoints.

    Args:
      stack: built.
      patience: see `watched`.
      min_delta: likewise.
    """

    def __init__(
        self, stack: GIMStack, *, patience: int, min_delta: float
    ) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self._modules = dict(
            zip(stack.module_names, stack.gim_modules, strict=True)
        )
        self._watches = {
            name: tf.Variable(Watch(), dtype=tf.float64, trainable=False)
            for name in self._modules
        }
        self._best = {
            name: [
                tf.Variable(variable.value, trainable=False)
                for variable in module.trainable_variables
            ]
            for name, module in self._modules.items()
        }

    @property
    def state(self) -> tf.train.Checkpoint:
        """All that must be saved."""
        return tf.train.Checkpoint(watches=self._watches, best=self._best)

    @property
    def variables(self) -> list[tf.Variable]:
        """The same, as a list of their own."""
        best = [kept for module in self._best.values() for kept in module]
        return [*self._watches.values(), *best]

    def watches(self) -> dict[str, Watch]:
        """What is remembered, by module."""
        found = {}
        for name, variable in self._watches.items():
            best, *steps = variable.numpy().tolist()
            found[name] = Watch(best, *map(int, steps))
        return found

    def stopped_at(self) -> tuple[int, ...]:
        """As `gim_tf.training.schedules.with_stops` takes it."""
        return tuple(watch.stopped_at for watch in self.watches().values())

    def update(self, losses: Mapping[str, float], step: int) -> list[str]:
        """Takes note of an evaluation; modules may stop.

        Args:
          losses: held-out losses by module, of those that train.
          step: steps that were done.

        Returns:
          The modules that stopped just now.
        """
        before = self.watches()
        stopped = []
        for name, loss in losses.items():
            watch = watched(
                before[name],
                loss,
                step,
                patience=self.patience,
                min_delta=self.min_delta,
            )
            self._watches[name].assign(watch)
            variables = self._modules[name].trainable_variables
            pairs = zip(self._best[name], variables, strict=True)
            if not watch.waited:
                for kept, variable in pairs:
                    kept.assign(variable.value)
            elif watch.stopped_at:
                stopped.append(name)
                for kept, variable in pairs:
                    variable.assign(kept)
        return stopped
