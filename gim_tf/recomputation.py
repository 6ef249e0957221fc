"""Time for memory: activations computed twice instead of kept.

Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016), over the
batch instead of over depth: a module is shallow, and its examples do not see
each other before the loss.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Encode = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def recomputed(
    encode: Encode, x: tf.Tensor, groups: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """`encode(x)`, for whose gradient nothing but x is kept.

    The activations of one group of examples exist at a time, forward and
    backward. The gradient reaches the variables, and not x.

    Args:
      encode: [b, ...] -> z and its pooled map [b, ...]; each example by
        itself. Only the pooled map has a gradient.
      x: [b, ...].
      groups: divides b.

    Raises:
      ValueError: it does not; where b is not static, TensorFlow's
        `InvalidArgumentError` when it runs.
    """
    if x.shape[0] is not None and x.shape[0] % groups:
        raise ValueError(
            f"recompute_groups must divide the batch of {x.shape[0]}, "
            f"received {groups}."
        )

    if x.shape[0] is None:
        rest = tf.debugging.assert_equal(
            tf.shape(x)[0] % groups,
            0,
            f"recompute_groups must divide the batch, received {groups}",
        )
        with tf.control_dependencies([rest]):
            x = tf.identity(x)

    @tf.custom_gradient
    def run(x: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Any]:
        def gradient(
            _: tf.Tensor,
            upstream: tf.Tensor,
            variables: Sequence[tf.Variable] = (),
        ) -> tuple[None, list[tf.Tensor]]:
            totals: list[tf.Tensor] = []
            for part, wanted in zip(
                _parts(x, groups), _parts(upstream, groups), strict=True
            ):
                # One group after the other.
                with tf.control_dependencies(totals):
                    part = tf.identity(part)
                with tf.GradientTape() as tape:
                    _, pooled = encode(part)
                found = tape.gradient(pooled, variables, wanted)
                totals = _added(totals, found)
            return None, totals

        done: list[tuple[tf.Tensor, tf.Tensor]] = []
        for part in _parts(x, groups):
            with tf.control_dependencies(done[-1] if done else []):
                part = tf.identity(part)
            done.append(encode(part))
        z, pooled = (tf.concat(parts, 0) for parts in zip(*done, strict=True))
        return (z, pooled), gradient

    return run(x)


def _parts(x: tf.Tensor, groups: int) -> list[tf.Tensor]:
    """Equal parts of the first axis, which are views: `tf.split` copies."""
    size = (x.shape[0] or tf.shape(x)[0]) // groups
    return [x[i * size : (i + 1) * size] for i in range(groups)]


def _added(
    totals: Sequence[tf.Tensor], found: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    if not totals:
        return list(found)
    return [a + b for a, b in zip(totals, found, strict=True)]
