"""Linear heads on representations, with the names of their classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf.export.inputs import Features


class Head(NamedTuple):
    """An affine classifier.

    Attributes:
      kernel: [d, c] float32.
      bias: [c] float32.
      class_names: c names.
    """

    kernel: tf.Tensor | np.ndarray
    bias: tf.Tensor | np.ndarray
    class_names: Sequence[str]


class Classes(tf.Module):
    """Scores and classes of features, by a frozen head.

    Input: [..., d] float32.
    Output: {"scores": [..., c] float32, probabilities,
      "class_index": [...] int64, "class_name": [...] string}.

    Args:
      head: its arrays become variables of this module.

    Raises:
      ValueError: not one bias and one name a class.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        classes = (head.kernel.shape[1], len(head.bias), len(head.class_names))
        if len(set(classes)) > 1:
            raise ValueError(
                "Expected one column, one bias and one name a class, received "
                f"{classes[0]}, {classes[1]} and {classes[2]}."
            )
        self.kernel = tf.Variable(head.kernel, trainable=False, name="kernel")
        self.bias = tf.Variable(head.bias, trainable=False, name="bias")
        self._names = tf.constant(list(head.class_names))

    def __call__(self, features: tf.Tensor) -> Features:
        """See the class."""
        logits = tf.matmul(features, self.kernel) + self.bias
        index = tf.argmax(logits, -1)
        return {
            "scores": tf.nn.softmax(logits),
            "class_index": index,
            "class_name": tf.gather(self._names, index),
        }
