"""Linear classification of frozen features, the paper's measure of quality.

Softmax regression by Adam to the last epoch, without model selection, as in
Löwe et al. (2019), section 4. Three things differ: features are computed once,
of the evaluation view; they are standardised with the training split's mean and
deviation, which the returned head absorbs (it stays one affine map of the raw
features); and the kernel starts at zero.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf


class LinearHead(NamedTuple):
    """An affine classifier: logits = features @ kernel + bias.

    Attributes:
      kernel: [d, c] float32.
      bias: [c] float32.
    """

    kernel: np.ndarray
    bias: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The most likely class of each row: [n, d] -> [n] int64."""
        return np.argmax(self.logits(features), axis=-1)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Unnormalised log-probabilities: [n, d] -> [n, c]."""
        return features @ self.kernel + self.bias


def fit_linear_probe(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    num_classes: int,
    epochs: int,
    batch_size: int,
    learning_rate: float = 1e-3,
    l2: float = 0.0,
    seed: int = 0,
) -> LinearHead:
    """Fits softmax regression on frozen features.

    Args:
      features: [n, d] float32.
      labels: [n] int64 in [0, num_classes).
      num_classes: c.
      epochs: passes over the features.
      batch_size: rows a step; at most n.
      learning_rate: Adam's.
      l2: weight of the sum of squared (standardised) kernel entries.
      seed: of the order of the rows.

    Raises:
      ValueError: features and labels do not match.
    """
    if len(features) != len(labels) or not len(labels):
        raise ValueError(
            f"Expected as many labels as feature rows and at least one, "
            f"received {len(labels)} and {len(features)}."
        )
    mean, scale = features.mean(0), features.std(0)
    # A dead unit has no deviation; any positive scale leaves it at zero.
    scale = np.where(scale > 1e-6, scale, 1.0).astype(np.float32)
    rows = tf.constant(features, tf.float32)
    targets = tf.constant(labels, tf.int64)
    kernel = tf.Variable(tf.zeros((features.shape[1], num_classes)))
    bias = tf.Variable(tf.zeros((num_classes,)))
    optimizer = keras.optimizers.Adam(learning_rate, epsilon=1e-8)
    variables = [keras.Variable(kernel), keras.Variable(bias)]
    optimizer.build(variables)
    batch_size = min(batch_size, len(labels))
    steps = len(labels) // batch_size

    @tf.function
    def run_epoch(order: tf.Tensor) -> None:
        for step in tf.range(steps):
            picked = order[step * batch_size : (step + 1) * batch_size]
            # Standardised batch by batch: a copy of all rows may be GB.
            x = (tf.gather(rows, picked) - mean) / scale
            y = tf.gather(targets, picked)
            with tf.GradientTape() as tape:
                logits = tf.matmul(x, variables[0]) + variables[1]
                nats = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
                loss = tf.reduce_mean(nats)
                loss += l2 * tf.reduce_sum(tf.square(variables[0]))
            weights = [v.value for v in variables]
            optimizer.apply(tape.gradient(loss, weights), variables)

    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        run_epoch(tf.constant(generator.permutation(len(labels)), tf.int32))
    learned = variables[0].numpy() / scale[:, None]
    return LinearHead(
        kernel=learned.astype(np.float32),
        bias=(variables[1].numpy() - mean @ learned).astype(np.float32),
    )


def top1(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of predictions that equal their label, in [0, 1]."""
    return float(np.mean(predicted == labels))


def confusion_matrix(
    predicted: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
    """Counts [c, c]: rows are true classes, columns predicted ones."""
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts
