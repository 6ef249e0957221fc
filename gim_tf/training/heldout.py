"""Local losses on examples that are never trained on, and on some that are."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from gim_tf.data.input_pipeline import Batch
from gim_tf.module import GIMModule, ModuleOutput
from gim_tf.stack import GIMStack

LOSS = "heldout_loss"
ACCURACY = "heldout_accuracy"
SEEN_LOSS = "seen_loss"
SEEN_ACCURACY = "seen_accuracy"
KEYS = (LOSS, ACCURACY, SEEN_LOSS, SEEN_ACCURACY)
"""What an evaluation adds to a module's line of the log."""

_STATE = "seed_generator_state"  # as Keras' `SeedGenerator` names it


class HeldOut:
    """Measures modules on batches and negatives that never change.

    Two values differ only by the weights. Nothing that training reads is
    written: neither weights nor the states of random generators. Batches that
    are trained on are measured in the same way, since the losses of training
    itself are means over steps, and over weights that change: only what is
    measured alike tells whether a module overfits.

    Args:
      stack: built.
      batches: the same examples and views at each call, never trained on.
      seen: likewise, trained on; none: not measured.
      every: steps between two calls.
      seed: of the negatives.
    """

    def __init__(
        self,
        stack: GIMStack,
        batches: Sequence[Batch],
        seen: Sequence[Batch] = (),
        *,
        every: int,
        seed: int,
    ) -> None:
        if not batches:
            raise ValueError("HeldOut needs at least one batch.")
        self.every = every
        self._stack = stack
        self._batches, self._seen = list(batches), list(seen)
        draws = np.random.SeedSequence(seed, spawn_key=(1,))
        words = draws.generate_state(2 * max(len(batches), len(seen)))
        self._draws = words.reshape(-1, 2).astype(np.int64)
        self._compiled = tf.function(
            self._measure, reduce_retracing=True, autograph=False
        )

    def __call__(
        self, trained: tuple[bool, ...]
    ) -> dict[str, dict[str, float]]:
        """{"module_1": {"heldout_loss", "heldout_accuracy"}, ...}.

        Means over all batches, of the modules that are `trained` now; and
        "seen_loss" and "seen_accuracy" of the batches that are trained on.
        """
        found = self._means(self._batches, trained, (LOSS, ACCURACY))
        if self._seen:
            keys = (SEEN_LOSS, SEEN_ACCURACY)
            for name, values in self._means(self._seen, trained, keys).items():
                found[name].update(values)
        return found

    def _means(
        self,
        batches: Sequence[Batch],
        trained: tuple[bool, ...],
        keys: tuple[str, str],
    ) -> dict[str, dict[str, float]]:
        """Loss and accuracy by these keys, of each module."""
        found = [
            self._compiled(batch.x, batch.labels, tf.constant(draw), trained)
            for batch, draw in zip(batches, self._draws, strict=False)
        ]
        return {
            name: {
                key: float(np.mean([one[name][i].numpy() for one in found]))
                for i, key in enumerate(keys)
            }
            for name in found[0]
        }

    def _measure(
        self,
        x: tf.Tensor,
        labels: tf.Tensor,
        draw: tf.Tensor,
        trained: tuple[bool, ...],
    ) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """(loss, accuracy) of each module."""
        found = {}
        last = max(i for i, is_trained in enumerate(trained) if is_trained)
        for name, module, is_trained in zip(
            self._stack.module_names[: last + 1],
            self._stack.gim_modules,
            trained,
            strict=False,
        ):
            if not is_trained:
                x = module.encode(x)
                continue
            output = _with_draw(module, x, labels, draw)
            found[name] = output.loss, output.metrics["accuracy"]
            x = output.z
        return found


def _with_draw(
    module: GIMModule, x: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor
) -> ModuleOutput:
    """The module's output, its generators in state `draw` for this call only.

    Inside of the scope an assignment to a variable stays in the scope.
    """
    states = [
        variable
        for variable in module.non_trainable_variables
        if variable.name == _STATE
    ]
    with keras.StatelessScope([(state, draw) for state in states]):
        return module(x, labels)
