"""Linear classification of frozen features, the paper's measure of quality.

Softmax regression by Adam to the last epoch, without model selection, as in
Löwe et al. (2019), section 4. Three things differ: features are computed once,
of the evaluation view; they are standardised with the training split's mean and
deviation, which the returned head absorbs (it stays one affine map of the raw
features); and the kernel starts at zero.
"""

from typing import NamedTuple

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
    kernel = tf.zeros((features.shape[1], num_classes))
    bias = tf.zeros((num_classes,))
    state = _State(tf.constant(0.0), kernel, bias, *[kernel, bias] * 2)
    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        order = generator.permutation(len(labels))
        state = _epoch(
            state,
            rows,
            targets,
            tf.constant(order, tf.int32),
            tf.constant(mean, tf.float32),
            tf.constant(scale),
            tf.constant(min(batch_size, len(labels))),
            tf.constant(learning_rate),
            tf.constant(l2),
        )
    learned = state.kernel.numpy() / scale[:, None]
    return LinearHead(
        kernel=learned.astype(np.float32),
        bias=(state.bias.numpy() - mean @ learned).astype(np.float32),
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


class _State(NamedTuple):
    """Step count, parameters, and Adam's two moments of each."""

    step: tf.Tensor
    kernel: tf.Tensor
    bias: tf.Tensor
    kernel_mean: tf.Tensor
    bias_mean: tf.Tensor
    kernel_square: tf.Tensor
    bias_square: tf.Tensor


_KERNEL = tf.TensorSpec((None, None), tf.float32)
_VECTOR = tf.TensorSpec((None,), tf.float32)
_SCALAR = tf.TensorSpec((), tf.float32)


# Traced once for all probes: a run fits a hundred of them.
@tf.function(
    input_signature=[
        _State(_SCALAR, *[_KERNEL, _VECTOR] * 3),
        _KERNEL,
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None,), tf.int32),
        _VECTOR,
        _VECTOR,
        tf.TensorSpec((), tf.int32),
        _SCALAR,
        _SCALAR,
    ]
)
def _epoch(
    state: _State,
    rows: tf.Tensor,
    targets: tf.Tensor,
    order: tf.Tensor,
    mean: tf.Tensor,
    scale: tf.Tensor,
    batch_size: tf.Tensor,
    learning_rate: tf.Tensor,
    l2: tf.Tensor,
) -> _State:
    """One pass over the rows in the given order, without what is left over."""
    for index in tf.range(tf.size(order) // batch_size):
        picked = order[index * batch_size : (index + 1) * batch_size]
        # Standardised batch by batch: a copy of all rows may be GB.
        x = (tf.gather(rows, picked) - mean) / scale
        classes = tf.one_hot(tf.gather(targets, picked), tf.size(state.bias))
        chances = tf.nn.softmax(tf.matmul(x, state.kernel) + state.bias)
        error = (chances - classes) / tf.cast(batch_size, tf.float32)
        gradient = tf.matmul(x, error, transpose_a=True)
        gradient += 2.0 * l2 * state.kernel
        state = _adam(state, gradient, tf.reduce_sum(error, 0), learning_rate)
    return state


def _adam(
    state: _State,
    kernel_gradient: tf.Tensor,
    bias_gradient: tf.Tensor,
    learning_rate: tf.Tensor,
) -> _State:
    """One step of Kingma and Ba (2015), algorithm 1."""
    step = state.step + 1.0

    def moved(
        value: tf.Tensor, mean: tf.Tensor, square: tf.Tensor, slope: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope * slope
        corrected = mean / (1.0 - 0.9**step)
        spread = tf.sqrt(square / (1.0 - 0.999**step)) + 1e-8
        return value - learning_rate * corrected / spread, mean, square

    kernel = moved(
        state.kernel, state.kernel_mean, state.kernel_square, kernel_gradient
    )
    bias = moved(state.bias, state.bias_mean, state.bias_square, bias_gradient)
    return _State(
        step, kernel[0], bias[0], kernel[1], bias[1], kernel[2], bias[2]
    )
