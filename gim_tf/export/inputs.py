"""What all signatures do with their inputs, and whom they belong to."""

from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

from gim_tf.data import records
from gim_tf.stack import GIMStack

Features = dict[str, tf.Tensor]

EXAMPLES = "examples"


class Servable(Protocol):
    """A `tf.Module` that knows its signatures."""

    def signatures(self) -> dict[str, Callable]:
        """Name -> function, for `tf.saved_model.save`."""


def strings(name: str) -> tf.TensorSpec:
    """The type of a batch of encoded files or serialized records."""
    return tf.TensorSpec((None,), tf.string, name)


def encoded(examples: tf.Tensor) -> tf.Tensor:
    """The encoded files in serialized records, [b] string both."""
    # The other features may be absent: they are not needed to encode.
    wanted = {"encoded": records.FEATURES["encoded"]}
    return tf.io.parse_example(not_empty(examples), wanted)["encoded"]


def not_empty(batch: tf.Tensor) -> tf.Tensor:
    """The batch [b, ...] again; b = 0 is an error of the graph."""
    check = tf.debugging.assert_positive(
        tf.shape(batch)[0], "The batch is empty; send at least one example."
    )
    with tf.control_dependencies([check]):
        return tf.identity(batch)


def finite(batch: tf.Tensor) -> tf.Tensor:
    """The batch again; a number in it that is none is an error of the graph."""
    check = tf.debugging.Assert(
        tf.reduce_all(tf.math.is_finite(batch)),
        ["Expected finite numbers, received some that are not"],
    )
    with tf.control_dependencies([check]):
        return tf.identity(batch)


def frozen(stack: GIMStack) -> list[tf.Variable]:
    """The bare variables that encoding uses, for a `tf.Module` to track."""
    return [
        variable.value
        for module in stack.gim_modules
        for variable in module.encoding_variables
    ]
