"""Local losses on examples that are never trained on."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from gim_tf.data.input_pipeline import Batch
from gim_tf.module import GIMModule, ModuleOutput
from gim_tf.stack import GIMStack

LOSS = "heldout_loss"
ACCURACY = "heldout_accuracy"

_STATE = "seed_generator_state"  # as Keras' `SeedGenerator` names it


class HeldOut:
    """Measures modules on batches and negatives that never change.

    Two values differ only by the weights. Nothing that training reads is
    written: neither weights nor the states of random generators.

    Args:
      stack: built.
      batches: the same examples and views at each call.
      every: steps between two calls.
      seed: of the negatives.
    """

    def __init__(
        self,
        stack: GIMStack,
        batches: Sequence[Batch],
        *,
        every: int,
        seed: int,
    ) -> None:
        if not batches:
            raise ValueError("HeldOut needs at least one batch.")
        self.every = every
        self._stack = stack
        self._batches = list(batches)
        draws = np.random.SeedSequence(seed, spawn_key=(1,))
        words = draws.generate_state(2 * len(self._batches))
        self._draws = words.reshape(-1, 2).astype(np.int64)
        self._compiled = tf.function(
            self._measure, reduce_retracing=True, autograph=False
        )

    def __call__(
        self, trained: tuple[bool, ...]
    ) -> dict[str, dict[str, float]]:
        """{"module_1": {"heldout_loss", "heldout_accuracy"}, ...}.

        Means over all batches, of the modules that are `trained` now.
        """
        found = [
            self._compiled(batch.x, batch.labels, tf.constant(draw), trained)
            for batch, draw in zip(self._batches, self._draws, strict=True)
        ]
        return {
            name: {
                key: float(np.mean([one[name][key].numpy() for one in found]))
                for key in (LOSS, ACCURACY)
            }
            for name in found[0]
        }

    def _measure(
        self,
        x: tf.Tensor,
        labels: tf.Tensor,
        draw: tf.Tensor,
        trained: tuple[bool, ...],
    ) -> dict[str, dict[str, tf.Tensor]]:
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
            found[name] = {
                LOSS: output.loss,
                ACCURACY: output.metrics["accuracy"],
            }
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
