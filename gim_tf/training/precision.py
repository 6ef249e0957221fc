"""Mixed precision: gradients of half the bits, scaled so that none is lost.

Micikevicius et al., "Mixed Precision Training" (2018): float16 has no numbers
below 6e-8, where many gradients are. Each module scales its own loss, since no
other module sees its gradients. bfloat16 has the range of float32 and needs no
scale.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf


def loss_scaled(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.LossScaleOptimizer:
    """The optimizer behind a dynamic loss scale, which starts at 2^15.

    A step whose scaled gradients overflow changes no weight and halves the
    scale; 2,000 steps without one double it.
    """
    return keras.optimizers.LossScaleOptimizer(
        optimizer, name=f"{optimizer.name}_scaled"
    )


def gradient_norm(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Global norm of gradients, without the scale that the loss had: [].

    0 for a step that the optimizer skips. Not finite where the scale, having
    fallen below 1, cannot be the reason.
    """
    norm = tf.linalg.global_norm(gradients)
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return norm
    scale = tf.convert_to_tensor(optimizer.dynamic_scale)
    is_skipped = ~tf.math.is_finite(norm) & (scale >= 1.0)
    return tf.where(is_skipped, 0.0, norm / scale)
