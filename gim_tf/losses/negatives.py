"""Where the negatives of InfoNCE come from.

A sampler owns its randomness: its seed generator's state is a variable of the
layer that holds the sampler, and so part of every checkpoint.
"""

from collections.abc import Sequence
from typing import Protocol

import keras
import tensorflow as tf


class NegativeSampler(Protocol):
    """Draws the rows of flattened z that serve as negatives."""

    def draw(self, grid: tf.Tensor, offsets: Sequence[int]) -> list[tf.Tensor]:
        """Indices into the rows of z, flattened in the order (b, t, s).

        Args:
          grid: [3] int32, the sizes b, t, s of z.
          offsets: rows between anchor and target, one a prediction step.

        Returns:
          For each offset o, [b, t - o, s, n] int32.
        """


class UniformNegatives(keras.layers.Layer):
    """Uniform with replacement from all targets of the same prediction step.

    Any example, row and lane of the batch may be drawn, the positive too. The
    targets of offset o are the rows o..t-1.

    Args:
      num_negatives: n, negatives of each anchor.
      seed: of the draws.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self, num_negatives: int, *, seed: int | None = None, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.num_negatives = num_negatives
        self.generator = keras.random.SeedGenerator(seed, name="negatives")

    def draw(self, grid: tf.Tensor, offsets: Sequence[int]) -> list[tf.Tensor]:
        """See `NegativeSampler.draw`."""
        return [self._draw(grid, offset) for offset in offsets]

    def _draw(self, grid: tf.Tensor, offset: int) -> tf.Tensor:
        batch, time, lanes = tf.unstack(grid)
        targets = time - offset
        drawn = tf.random.stateless_uniform(
            tf.stack([batch, targets, lanes, self.num_negatives]),
            seed=tf.cast(self.generator.next(), tf.int32),
            minval=0,
            maxval=batch * targets * lanes,
            dtype=tf.int32,
        )
        # From rows counted among the targets to rows counted among all of z.
        per_example = targets * lanes
        example = drawn // per_example
        return drawn + (example + 1) * offset * lanes
