"""Adam with epsilon where Kingma & Ba (2015) put it, algorithm 1.

    variable -= learning_rate * m_hat / (sqrt(v_hat) + epsilon)

Keras adds epsilon to sqrt(v) before its bias is corrected, which makes it
larger by 1 / sqrt(1 - beta_2^t), 32 times at the first step. The authors'
framework follows the paper.
"""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="gim_tf")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, epsilon added after both bias corrections.

    One fused operation updates a variable and its moments in place: Keras'
    own update writes five temporary tensors of the variable's size.

    Args:
      learning_rate: a number or a schedule.
      **kwargs: of `keras.optimizers.Adam`.

    Raises:
      ValueError: `amsgrad`, which the fused operation does not have.
    """

    def __init__(self, learning_rate: Any = 1e-3, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        if self.amsgrad:
            raise ValueError(
                "Expected amsgrad=False, received True; take "
                "keras.optimizers.Adam."
            )

    def update_step(
        self,
        gradient: tf.Tensor,
        variable: tf.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        """One update of one variable; see the file's formula."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1_power = tf.pow(tf.cast(self.beta_1, variable.dtype), step)
        beta_2_power = tf.pow(tf.cast(self.beta_2, variable.dtype), step)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1_power,
            beta2_power=beta_2_power,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            # The operation has Keras' formula: this is the same as dividing
            # by sqrt(v_hat) + epsilon.
            epsilon=self.epsilon * tf.sqrt(1.0 - beta_2_power),
            grad=gradient,
        )

    def _all_reduce_sum_gradients(
        self, grads_and_vars: Iterable[tuple[tf.Tensor, Any]]
    ) -> list[tuple[tf.Tensor, Any]]:
        """Keras sums over replicas here; the trainer has averaged already."""
        return list(grads_and_vars)
