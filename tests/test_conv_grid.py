"""Convolutions over the grid equal their definition, and fit a stack."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config
from gim_tf.encoders import GridConv2D, conv2d_blocks
from gim_tf.errors import ConfigError
from tests import reference

PIXELS = (
    "view.patch_size=1",
    "view.patch_stride=1",
    "stack.objective.kind=supervised",
    "stack.encoder.kind=conv_grid",
    "stack.encoder.channels=[8, 16, 24]",
    "stack.encoder.kernel_sizes=[3, 3, 4]",
    "stack.encoder.strides=[1, 2, 1]",
    "stack.encoder.paddings=[1, 1, 0]",
    "stack.encoder.pool_sizes=[1, 2, 2]",
    "stack.encoder.pool_strides=[1, 2, 2]",
    "stack.encoder.width=0.5",
    "stack.module_sizes=[1, 1, 1]",
)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "pool", "pool_stride"),
    [
        (3, 1, 1, 1, 1),
        (3, 1, 1, 2, 2),
        (3, 1, 0, 3, 2),
        (4, 2, 1, 1, 1),
        (1, 2, 0, 1, 1),
        (3, 1, 1, 1, 2),
    ],
)
def test_it_equals_the_slow_twin(kernel, stride, padding, pool, pool_stride):
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)
    layer = GridConv2D(
        3,
        5,
        kernel,
        strides=stride,
        padding=padding,
        pool_size=pool,
        pool_strides=pool_stride,
        seed=1,
    )
    y = layer(x)
    wanted = reference.grid_conv(
        x.astype(np.float64),
        layer.kernel.numpy(),
        layer.bias.numpy(),
        stride=stride,
        padding=padding,
        pool=pool,
        pool_stride=pool_stride,
    )
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == wanted.shape
    assert layer.compute_output_shape((None,) * 4) == (None, None, None, 5)


def test_what_is_inside_a_cell_becomes_channels():
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 2, 2, 3)).astype("f")
    layer = GridConv2D(12, 5, 3, padding=1)
    flat = tf.reshape(x, (2, 4, 4, 12))
    np.testing.assert_array_equal(layer(x), layer(flat))


def test_it_survives_serialization():
    (block,) = conv2d_blocks(
        in_channels=2,
        channels=(3,),
        kernel_sizes=(3,),
        strides=(1,),
        paddings=(1,),
        pool_sizes=(2,),
        pool_strides=(2,),
        seed=4,
    )
    x = tf.ones((1, 4, 4, 2))
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(block)
    )
    assert copy.get_config() == block.get_config()
    np.testing.assert_array_equal(copy(x), block(x))


def test_a_stack_of_it_shrinks_the_grid_as_its_configuration_says(tiny):
    experiment = config.resolve(tiny, PIXELS)
    encoder = experiment.stack.encoder
    assert encoder.widths == (4, 8, 12)
    x = build.build_to_grid(experiment)(tf.zeros((2, 32, 32, 1)))
    assert x.shape == (2, 32, 32, 1, 1, 1)
    grids = build.build_stack(experiment).grids(x)
    for depth, (grid, width) in enumerate(
        zip(grids.values(), encoder.widths, strict=True), 1
    ):
        side = encoder.time_steps(32, depth)
        assert grid.shape == (2, side, side, width)
    assert side == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stack.encoder.pool_sizes=[1, 2]", "same length"),
        ("stack.encoder.width=0.0", "must be > 0"),
        ("stack.encoder.kernel_sizes=[3, 3, 6]", "nothing is left"),
    ],
)
def test_what_cannot_run_is_refused(tiny, override, message):
    with pytest.raises(ConfigError, match=message):
        config.resolve(tiny, [*PIXELS, override])


def test_a_grid_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="Nothing is left"):
        GridConv2D(1, 2, 5)(tf.zeros((1, 3, 3, 1)))
