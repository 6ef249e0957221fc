"""Adam equals the paper's algorithm, where epsilon matters most."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf.training.adam import Adam
from tests import reference


def updated(optimizer, gradients):
    variable = keras.Variable(np.zeros(gradients.shape[1:], np.float32))
    optimizer.build([variable])
    apply = tf.function(
        lambda g: optimizer.apply([g], [variable]), autograph=False
    )
    for gradient in gradients:
        apply(tf.constant(gradient))
    return variable.numpy()


@pytest.mark.parametrize("size", [1e-8, 1e-7, 1.0])
def test_it_equals_the_slow_twin(size):
    drawn = np.random.default_rng(0).normal(size=(5, 100)) * size
    gradients = drawn.astype(np.float32)
    expected = reference.adam(gradients, 2e-4, epsilon=1e-8)
    ours = updated(Adam(2e-4, epsilon=1e-8), gradients)
    # float32: 1 - beta_2^t keeps five digits at the first step.
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-10)


def test_keras_differs_where_gradients_are_as_small_as_epsilon():
    gradients = np.full((1, 1), 1e-8, np.float32)
    expected = reference.adam(gradients, 1.0, epsilon=1e-8)
    theirs = updated(keras.optimizers.Adam(1.0, epsilon=1e-8), gradients)
    np.testing.assert_allclose(expected, -0.5, rtol=1e-6)
    np.testing.assert_allclose(theirs, -1 / (1 + 1 / 0.001**0.5), rtol=1e-3)


def test_it_survives_serialization():
    optimizer = Adam(1e-3, beta_1=0.8, epsilon=1e-6, name="module_1")
    config = keras.saving.serialize_keras_object(optimizer)
    back = keras.saving.deserialize_keras_object(config)
    assert isinstance(back, Adam)
    assert back.get_config() == optimizer.get_config()


def test_what_the_fused_operation_lacks_is_refused():
    with pytest.raises(ValueError, match="amsgrad"):
        Adam(learning_rate=1e-3, amsgrad=True)
