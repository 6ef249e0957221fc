"""PredSim: similarity matching and a local classifier, layer by layer.

Nøkland & Eidnes, "Training Neural Networks with Local Error Signals" (2019),
section 2.3; details as in the authors' code (anokland/local-loss).
"""

import math
from collections.abc import Sequence
from typing import Literal

import keras
import tensorflow as tf

from gim_tf import initializers
from gim_tf.losses.objective import Objective, ObjectiveOutput
from gim_tf.losses.supervised import cross_entropy
from gim_tf.shapes import pool_grid

_SIDE = 3
"""Cells of the grid that the convolution before the comparison reads."""
_VARIANCE_EPSILON = 1e-12
"""Keeps the gradient of a deviation finite where a channel is constant."""
_NORM_EPSILON = 1e-16
"""The square of the authors' 1e-8."""


@keras.saving.register_keras_serializable(package="gim_tf")
class PredSim(Objective):
    """Make examples alike where their labels are, and say which label.

        S(x)  = cosine similarities of all pairs, each x less its mean
        sim   = mean over pairs of (S(features of conv(context)) - S(y))^2
        pred  = cross-entropy of a linear head on the mean over the grid
        loss  = w sim + (1 - w) pred,     w = 0.99

    y is the one-hot label: S(y) is 1 for the same class and -1 / (C - 1) for
    two different ones. conv is 3x3 over the grid (3 along time where there is
    one lane), without bias, and its output has as many channels as its input.

    Examples with label -1 are left out; a batch without any label has loss 0.
    The loss is in nats by its second part only.

    Of the authors' code it has the zero weights that the head starts from and
    the features; their head reads the map pooled to at most 4096 numbers.
    Here, as in `Supervised`, it reads the mean over the grid.

    Args:
      num_classes: C.
      batch_size: examples of a training batch, which `chance_loss` depends
        on; a batch of another size may be given all the same.
      similarity_weight: w.
      similarity_of: the features that are compared: "deviations", of each
        channel over the grid (the authors' default, [b, c]), or "positions",
        the whole map ([b, t s c]); of a grid of one cell always the latter.
      seed: of the initial weights.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: a value out of range.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        batch_size: int,
        similarity_weight: float = 0.99,
        similarity_of: Literal["deviations", "positions"] = "deviations",
        seed: int = 0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if num_classes < 2 or batch_size < 2:
            raise ValueError(
                "Expected num_classes >= 2 and batch_size >= 2, received "
                f"{num_classes} and {batch_size}."
            )
        if not 0.0 <= similarity_weight < 1.0:
            raise ValueError(
                "similarity_weight must be in [0, 1), received "
                f"{similarity_weight}."
            )
        if similarity_of not in ("deviations", "positions"):
            raise ValueError(
                "similarity_of must be 'deviations' or 'positions', received "
                f"{similarity_of!r}."
            )
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.similarity_weight = similarity_weight
        self.similarity_of = similarity_of
        self.seed = seed

    @property
    def chance_loss(self) -> float:
        """Of similarity 0 between any two examples, and of equal chances.

        The best that can be said without a look at the examples, in the mean
        over batches of equally frequent classes: w (1 - 1 / b) / (C - 1) +
        (1 - w) log(C).
        """
        similarity = (1.0 - 1.0 / self.batch_size) / (self.num_classes - 1)
        weight = self.similarity_weight
        nats = math.log(self.num_classes)
        return weight * similarity + (1.0 - weight) * nats

    @property
    def chance_accuracy(self) -> float:
        """1 / C."""
        return 1.0 / self.num_classes

    def build(
        self,
        z_shape: Sequence[int],
        context_shape: Sequence[int],
    ) -> None:
        _, time, lanes, channels = context_shape
        seeds = initializers.seeds(self.seed)
        sides = [1 if cells == 1 else _SIDE for cells in (time, lanes)]
        self.similarity_kernel = self.add_weight(
            name="similarity_kernel",
            shape=(*sides, channels, channels),
            initializer=initializers.uniform_fan_in(
                math.prod(sides) * channels, next(seeds)
            ),
        )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(channels, self.num_classes),
            initializer="zeros",
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(self.num_classes,),
            initializer=initializers.uniform_fan_in(channels, next(seeds)),
        )

    def call(
        self,
        z: tf.Tensor,
        context: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> ObjectiveOutput:
        if labels is None:
            raise ValueError("PredSim needs labels, received None.")
        known = tf.cast(labels >= 0, context.dtype)
        total = tf.maximum(tf.reduce_sum(known), 1.0)
        wanted = _similarities(
            tf.one_hot(tf.maximum(labels, 0), self.num_classes)
        )
        errors = tf.square(_similarities(self._features(context)) - wanted)
        pairs = known[:, None] * known
        similarity = tf.reduce_sum(pairs * errors) / tf.square(total)
        logits = tf.matmul(pool_grid(context), self.kernel) + self.bias
        prediction, accuracy = cross_entropy(logits, labels)
        weight = self.similarity_weight
        return ObjectiveOutput(
            loss=weight * similarity + (1.0 - weight) * prediction,
            accuracy=accuracy,
            per_step=accuracy[None],
        )

    def _features(self, context: tf.Tensor) -> tf.Tensor:
        """What examples are compared by: [b, t, s, c] -> [b, features]."""
        x = tf.nn.conv2d(context, self.similarity_kernel, 1, "SAME")
        cells, channels = math.prod(x.shape[1:3]), x.shape[-1]
        if self.similarity_of == "positions" or cells == 1:
            return tf.reshape(x, (-1, cells * channels))
        variance = tf.math.reduce_variance(x, (1, 2))
        return tf.sqrt(variance + _VARIANCE_EPSILON)

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "batch_size": self.batch_size,
            "similarity_weight": self.similarity_weight,
            "similarity_of": self.similarity_of,
            "seed": self.seed,
        }


def _similarities(x: tf.Tensor) -> tf.Tensor:
    """Adjusted cosine similarities of all pairs of rows: [b, f] -> [b, b]."""
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    unit = tf.math.l2_normalize(centred, -1, epsilon=_NORM_EPSILON)
    return tf.matmul(unit, unit, transpose_b=True)
