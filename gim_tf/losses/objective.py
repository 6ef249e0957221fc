"""What every local objective is: a layer of (z, context, labels)."""

import abc
from typing import NamedTuple

import keras
import tensorflow as tf


class ObjectiveOutput(NamedTuple):
    """What an objective returns.

    Attributes:
      loss: [] float32; what the module descends. In nats, but for PredSim's,
        which is a weighted sum of a squared error and nats.
      accuracy: [] float32 in [0, 1].
      per_step: [K] float32, the accuracy of each of its K tasks.
    """

    loss: tf.Tensor
    accuracy: tf.Tensor
    per_step: tf.Tensor


class Objective(keras.layers.Layer, abc.ABC):
    """A loss with weights of its own, local to one module.

    Call it with `z` [b, t, s, d], `context` [b, t, s, c] and `labels`, int64,
    -1 where there is none: [b], or [b, l] of those that learn from frames.
    """

    @property
    @abc.abstractmethod
    def chance_loss(self) -> float:
        """Loss of a uniform guess, in units of the loss."""

    @property
    @abc.abstractmethod
    def chance_accuracy(self) -> float:
        """Accuracy of a uniform guess."""

    @abc.abstractmethod
    def call(
        self,
        z: tf.Tensor,
        context: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> ObjectiveOutput:
        """The objective on one batch."""
