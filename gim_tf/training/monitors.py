"""Is a representation alive? Spread and effective rank of its features."""

import tensorflow as tf

from gim_tf.stack import GIMStack

COLLAPSED_SPREAD = 0.1
"""Alarm threshold: share of the deviation 1/sqrt(d) of isotropic features."""


def feature_std(features: tf.Tensor) -> tf.Tensor:
    """Mean deviation of the l2-normalised features: [n, d] -> [].

    Isotropic features give 1/sqrt(d), collapsed ones 0 (Chen & He, "Exploring
    Simple Siamese Representation Learning", 2021, section 4.1).
    """
    normalised = tf.math.l2_normalize(features, -1)
    return tf.reduce_mean(tf.math.reduce_std(normalised, 0))


def effective_rank(features: tf.Tensor) -> tf.Tensor:
    """exp(entropy) of the normalised singular values: [n, d] -> [] in [1, d].

    Of the centred features (Roy & Vetterli, "The effective rank", 2007); 1
    where they do not vary.
    """
    centred = features - tf.reduce_mean(features, 0)
    gram = tf.matmul(centred, centred, transpose_a=True)
    variances = tf.maximum(tf.linalg.eigvalsh(gram), 0.0)
    singular = tf.sqrt(variances)
    total = tf.reduce_sum(singular)
    share = tf.math.divide_no_nan(singular, total)
    return tf.exp(-tf.reduce_sum(tf.math.xlogy(share, share)))


def measure(stack: GIMStack, x: tf.Tensor) -> dict[str, dict[str, tf.Tensor]]:
    """Monitors of every module on one batch of grids, position by position.

    Returns:
      {"module_1": {"feature_std", "spread", "effective_rank"}, ...}, where
      spread is feature_std in units of 1/sqrt(d).
    """
    monitors = {}
    for name, module in zip(stack.module_names, stack.gim_modules, strict=True):
        x = module.encode(x)
        representation = tf.cast(module.represent(x), tf.float32)
        channels = representation.shape[-1]
        features = tf.reshape(representation, (-1, channels))
        std = feature_std(features)
        monitors[name] = {
            "feature_std": std,
            "spread": std * tf.sqrt(float(channels)),
            "effective_rank": effective_rank(features),
        }
    return monitors


def is_collapsed(spread: float) -> bool:
    """Whether features of this spread carry next to nothing."""
    return spread < COLLAPSED_SPREAD
