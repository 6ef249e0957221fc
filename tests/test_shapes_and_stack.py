"""The shape contract, partition, and what a stack returns."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build
from gim_tf.shapes import BatchApply, pool_grid, pool_local
from gim_tf.stack import GIMStack, partition


def test_batch_apply_treats_each_cell_alone():
    dense = keras.layers.Dense(3)
    layer = BatchApply(dense)
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    y = layer(x).numpy()
    assert y.shape == (2, 4, 5, 3)
    np.testing.assert_allclose(y[1, 2, 3], dense(x[1, 2, 3][None])[0], 1e-5)


def test_batch_apply_needs_a_static_grid():
    with pytest.raises(ValueError, match="static time and lanes"):
        BatchApply(keras.layers.Dense(1)).build((None, None, 1, 4))


def test_pooling_takes_means_over_the_right_axes():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6, 7))
    pooled = pool_local(tf.constant(x))
    np.testing.assert_allclose(pooled, x.mean((3, 4)))
    np.testing.assert_allclose(pool_grid(pooled), x.mean((1, 2, 3, 4)))
    # A sequence has no local axes: nothing to pool.
    frames = tf.zeros((2, 9, 1, 5))
    assert pool_local(frames) is frames


def test_partition_divides_in_order_or_refuses():
    assert partition(list("abcdef"), (1, 3, 2)) == [
        ["a"],
        ["b", "c", "d"],
        ["e", "f"],
    ]
    assert partition(list("ab"), (0, 2, 0)) == [[], ["a", "b"], []]
    for sizes in ((1, 2), (), (7, -1)):
        with pytest.raises(ValueError, match="sum to 6"):
            partition(list("abcdef"), sizes)


def test_a_stack_returns_every_module_s_pooled_representation(tiny, grid):
    stack = build.build_stack(tiny)
    x = tf.constant(grid[0])
    pooled, grids = stack(x), stack.grids(x)
    assert list(pooled) == ["module_1", "module_2", "module_3"]
    assert [v.shape[-1] for v in pooled.values()] == [4, 6, 8]
    for name, value in grids.items():
        assert value.shape[:3] == (3, 7, 7)
        np.testing.assert_allclose(
            pooled[name], value.numpy().mean((1, 2)), atol=1e-6
        )


def test_weights_are_a_function_of_the_seed(tiny):
    first, second = build.build_stack(tiny), build.build_stack(tiny)
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_stack_survives_serialization_with_the_same_weights(tiny, grid):
    stack = build.build_stack(tiny)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(stack)
    )
    x = tf.constant(grid[0])
    for name, value in stack(x).items():
        np.testing.assert_array_equal(copy(x)[name], value)
    assert [type(m.objective) for m in copy.gim_modules] == [
        type(m.objective) for m in stack.gim_modules
    ]


def test_an_empty_stack_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        GIMStack([])


def test_every_public_name_can_be_imported():
    import gim_tf

    for name in gim_tf.__all__:
        assert getattr(gim_tf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = gim_tf.Nothing
