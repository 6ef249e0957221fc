"""Convolutions along time: their twin, lengths, and inputs of any length."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf.encoders import conv1d_blocks
from gim_tf.encoders.conv_audio import PaddedConv1D
from tests import reference

PAPER = {
    "kernel_sizes": (10, 8, 4, 4, 4),
    "strides": (5, 4, 2, 2, 2),
    "paddings": (2, 2, 2, 2, 1),
}
ANY_LENGTH = tf.TensorSpec((None, None, 1, 1), tf.float32)


def paper_blocks(channels, seed=0):
    return conv1d_blocks(
        in_channels=1, channels=(channels,) * 5, seed=seed, **PAPER
    )


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def apply(blocks, x):
    for block in blocks:
        x = block(x)
    return x


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(10, 5, 2), (8, 4, 2), (4, 2, 1), (5, 2, 2), (3, 1, 1), (2, 3, 0)],
)
@pytest.mark.parametrize("time", [11, 24])
def test_it_is_a_convolution_along_time_alone(kernel, stride, padding, time):
    layer = PaddedConv1D(2, 3, kernel, strides=stride, padding=padding)
    x = noise(2, time, 3, 2)
    y = layer(x)
    expected = reference.conv1d(
        x, layer.kernel.numpy(), layer.bias.numpy(), stride, padding
    )
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == tuple(y.shape)


def test_its_gradient_is_that_of_tensorflow_s_convolution():
    layer = PaddedConv1D(2, 3, 7, strides=3, padding=2, seed=1)
    x = tf.constant(noise(2, 20, 2, 2))
    layer.build(x.shape)

    def gradients(convolve):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(convolve(x) ** 3)
        return tape.gradient(loss, [x, layer.kernel.value, layer.bias.value])

    def convolve(x):
        margins = [[0, 0], [2, 2], [0, 0], [0, 0]]
        y = tf.nn.conv2d(x, layer.kernel, [1, 3, 1, 1], margins)
        return tf.nn.relu(y + layer.bias)

    for ours, theirs in zip(gradients(layer), gradients(convolve), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_paper_s_encoder_has_the_paper_s_lengths_and_parameters():
    shape, lengths, counts = (None, 20_480, 1, 1), [], []
    for block in paper_blocks(512):
        block.build(shape)
        shape = block.compute_output_shape(shape)
        lengths.append(shape[1])
        counts.append(sum(np.prod(v.shape) for v in block.variables))
    assert lengths == [4095, 1023, 512, 257, 128]
    assert counts == [5_632, 2_097_664, 1_049_088, 1_049_088, 1_049_088]
    assert apply(paper_blocks(2), tf.zeros((1, 20_480, 1, 1))).shape[1] == 128


def test_initial_weights_are_uniform_in_one_over_root_fan_in():
    layer = PaddedConv1D(32, 64, 8, seed=0)
    layer.build((None, 16, 1, 32))
    bound = 1 / np.sqrt(32 * 8)
    for values in (layer.kernel.numpy(), layer.bias.numpy()):
        assert 0.9 * bound < np.abs(values).max() <= bound
        assert np.std(values) == pytest.approx(bound / np.sqrt(3), rel=0.25)


def test_no_two_blocks_start_alike():
    blocks = paper_blocks(8)
    apply(blocks, tf.zeros((1, 600, 1, 1)))
    values = [v.numpy().ravel()[:8] for b in blocks for v in b.variables]
    assert len({v.tobytes() for v in values}) == 10


def test_a_graph_takes_any_length_and_any_batch(tmp_path):
    blocks = paper_blocks(4)
    apply(blocks, tf.zeros((1, 600, 1, 1)))
    servable = tf.Module()
    servable.variables_ = [v.value for b in blocks for v in b.variables]
    servable.encode = tf.function(
        lambda x: apply(blocks, x),
        input_signature=[ANY_LENGTH],
        autograph=False,
    )
    assert servable.encode.get_concrete_function().output_shapes[-1] == 4
    tf.saved_model.save(servable, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for batch, time in ((1, 465), (2, 1600), (3, 2081)):
        x = noise(batch, time, 1, 1)
        np.testing.assert_allclose(
            loaded.encode(x), apply(blocks, x), atol=1e-6
        )


def test_it_survives_serialization():
    layer = PaddedConv1D(2, 3, 4, strides=2, padding=1, seed=5, name="conv")
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    x = noise(2, 9, 2, 2)
    np.testing.assert_array_equal(layer(x), copy(x))
    assert copy.get_config() == layer.get_config()


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="at least 6 time steps, received 5"):
        PaddedConv1D(1, 2, 10, padding=2).build((None, 5, 1, 1))
    with pytest.raises(ValueError, match="expected axis -1"):
        PaddedConv1D(1, 2, 3)(tf.zeros((1, 8, 1, 2)))
    with pytest.raises(ValueError, match="zip"):
        conv1d_blocks(in_channels=1, channels=(8, 8), **PAPER)
