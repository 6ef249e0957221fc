"""Cross-entropy of a linear head: supervised and greedy supervised training.

With one module it is end-to-end supervision, with several it is the paper's
"greedy supervised" baseline: a head a module, gradients cut in between.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from gim_tf import initializers
from gim_tf.losses.objective import Objective, ObjectiveOutput
from gim_tf.shapes import pool_grid


@keras.saving.register_keras_serializable(package="gim_tf")
class Supervised(Objective):
    """Mean over the grid, linear layer, softmax cross-entropy in nats.

    Examples with label -1 are left out of loss and accuracy; a batch without
    any label has loss 0 and no gradient.

    Args:
      num_classes: C, width of the head.
      seed: of the initial weights.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self, *, num_classes: int, seed: int = 0, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        if num_classes < 2:
            raise ValueError(
                f"num_classes must be at least 2, received {num_classes}."
            )
        self.num_classes = num_classes
        self.seed = seed

    @property
    def chance_loss(self) -> float:
        """log(C), in nats."""
        return math.log(self.num_classes)

    @property
    def chance_accuracy(self) -> float:
        """1 / C."""
        return 1.0 / self.num_classes

    def build(
        self,
        z_shape: Sequence[int],
        context_shape: Sequence[int],
    ) -> None:
        channels = context_shape[-1]
        layer_seeds = initializers.seeds(self.seed)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(channels, self.num_classes),
            initializer=initializers.uniform_fan_in(
                channels, next(layer_seeds)
            ),
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(self.num_classes,),
            initializer=initializers.uniform_fan_in(
                channels, next(layer_seeds)
            ),
        )

    def call(
        self,
        z: tf.Tensor,
        context: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> ObjectiveOutput:
        if labels is None:
            raise ValueError("Supervised needs labels, received None.")
        logits = tf.matmul(pool_grid(context), self.kernel) + self.bias
        loss, accuracy = cross_entropy(logits, labels)
        return ObjectiveOutput(
            loss=loss, accuracy=accuracy, per_step=accuracy[None]
        )

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="gim_tf")
class SupervisedFrames(Supervised):
    """Linear layer on the context around each label, softmax cross-entropy.

    Labels are [b, l] int64, evenly spread over the t >= l time steps. Where
    there are more steps than labels, as in lower modules, the context is
    averaged to l steps first, as the authors do: label i is told from steps
    floor(i t / l) to ceil((i + 1) t / l), in each lane.
    """

    def call(
        self,
        z: tf.Tensor,
        context: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> ObjectiveOutput:
        if labels is None or labels.shape.rank != 2:
            raise ValueError(
                "SupervisedFrames needs labels [b, l], received "
                f"{None if labels is None else labels.shape}."
            )
        steps, lanes = context.shape[1:3]
        means = _means(steps, labels.shape[1])
        if means is not None:
            context = tf.einsum(
                "lt,btsc->blsc", tf.constant(means, context.dtype), context
            )
        logits = tf.matmul(context, self.kernel) + self.bias
        loss, accuracy = cross_entropy(
            tf.reshape(logits, (-1, self.num_classes)),
            tf.reshape(tf.repeat(labels[..., None], lanes, axis=2), (-1,)),
        )
        return ObjectiveOutput(
            loss=loss, accuracy=accuracy, per_step=accuracy[None]
        )


def _means(steps: int, labels: int) -> np.ndarray | None:
    """[l, t]: row i averages the steps of label i; None if each has one.

    Raises:
      ValueError: fewer steps than labels.
    """
    if steps < labels:
        raise ValueError(
            f"Expected a time step a label at least, received {steps} steps "
            f"for {labels} labels."
        )
    if steps == labels:
        return None
    index, step = np.arange(labels)[:, None], np.arange(steps)
    first = index * steps // labels
    end = -(-(index + 1) * steps // labels)
    inside = (step >= first) & (step < end)
    return inside / inside.sum(1, keepdims=True)


def cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Loss [] in nats and accuracy [], means over examples with a label.

    Args:
      logits: [b, C].
      labels: [b] int64, -1 where there is none; both are 0 without any.
    """
    known = tf.cast(labels >= 0, logits.dtype)
    safe = tf.maximum(labels, 0)
    total = tf.maximum(tf.reduce_sum(known), 1.0)
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(safe, logits)
    right = tf.cast(tf.argmax(logits, -1, safe.dtype) == safe, logits.dtype)
    return (
        tf.reduce_sum(known * nats) / total,
        tf.reduce_sum(known * right) / total,
    )
