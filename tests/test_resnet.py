"""The encoder's shapes, parameters, padding and initial weights."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config, experiments
from gim_tf.encoders.convolution import every
from gim_tf.encoders.resnet import PaddedConv2D, PreActivationBlock
from tests import reference

# Threads that do not divide the patches: each begins inside a picture.
STRIDED_GRADIENTS = """
import numpy as np
import tensorflow as tf
from gim_tf.encoders.resnet import PaddedConv2D

tf.config.threading.set_intra_op_parallelism_threads(3)
draws = np.random.default_rng(0)
for width, filters in 3 * [(6, 10), (8, 16), (12, 16), (16, 32)]:
    x = draws.normal(size=(7, 16, 16, width)).astype(np.float32)
    layer = PaddedConv2D(width, filters, 1, strides=2)
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        y = layer(x)
        half_square = tf.reduce_sum(y**2) / 2
    gradient = tape.gradient(half_square, layer.kernel.value)[0, 0]
    expected = np.einsum("nhwc,nhwd->cd", x[:, ::2, ::2], y)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-2)
print("equal")
"""


def count(layer):
    return sum(int(np.prod(v.shape)) for v in layer.trainable_variables)


def test_the_paper_s_vision_model_has_the_paper_s_parameters():
    stack = build.build_stack(experiments.get("stl10_gim"))
    encoders = [count(m.encoder) for m in stack.gim_modules]
    predictors = [count(m.objective) for m in stack.gim_modules]
    assert encoders == [216_064, 1_216_000, 7_088_128]
    assert predictors == [327_680, 1_310_720, 5_242_880]
    assert count(stack) == 15_401_472
    x = tf.zeros((1, 7, 7, 16, 16, 1))
    shapes = []
    for module in stack.gim_modules:
        x = module.encode(x)
        shapes.append(tuple(x.shape[3:]))
    assert shapes == [(16, 16, 256), (8, 8, 512), (4, 4, 1024)]


def test_the_resnet_34_variant_has_its_parameters():
    experiment = config.resolve(
        experiments.get("stl10_gim"), ["stack.encoder.block=basic"]
    )
    stack = build.build_stack(experiment)
    assert sum(count(m.encoder) for m in stack.gim_modules) == 8_157_568


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [7, 8])
def test_convolutions_pad_symmetrically(kernel, stride, side):
    layer = PaddedConv2D(2, 3, kernel, strides=stride, seed=1)
    x = np.random.default_rng(0).normal(size=(2, side, side, 2))
    y = layer(x.astype(np.float32))
    expected = reference.conv2d(
        x, layer.kernel.numpy(), layer.bias.numpy(), stride
    )
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == tuple(y.shape)


# TensorFlow 2.16's own strided 1x1 convolution dies of the first (on a CPU
# that has it), and gives a wrong gradient of 6 channels with the second.
@pytest.mark.integration
@pytest.mark.parametrize("instructions", ["AVX512_CORE", "AVX2"])
def test_a_narrow_shortcut_has_its_gradient_in_odd_batches(instructions):
    run = subprocess.run(
        [sys.executable, "-c", STRIDED_GRADIENTS],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": instructions},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, (run.returncode, run.stderr[-2000:])
    assert run.stdout == "equal\n"


def test_initial_weights_are_uniform_in_one_over_root_fan_in():
    layer = PaddedConv2D(16, 64, 3, seed=0)
    layer.build((None, 8, 8, 16))
    bound = 1 / np.sqrt(16 * 9)
    for values in (layer.kernel.numpy(), layer.bias.numpy()):
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.9 * bound
        assert np.std(values) == pytest.approx(bound / np.sqrt(3), rel=0.25)


def test_no_two_layers_start_alike():
    stack = build.build_stack(experiments.get("fashion_mnist_gim"))
    kernels = [
        v.numpy().ravel()[:8]
        for v in stack.trainable_variables
        if v.shape.num_elements() >= 8
    ]
    assert len({k.tobytes() for k in kernels}) == len(kernels)


def test_a_block_has_its_activation_first_and_none_after():
    block = PreActivationBlock(kind="basic", in_channels=3, planes=3, seed=0)
    x = -tf.ones((1, 4, 4, 3))
    block(x)
    for convolution in block.convolutions:
        convolution.bias.assign(tf.zeros_like(convolution.bias))
    # relu(x) = 0, so only the identity shortcut is left, negative as it is.
    np.testing.assert_array_equal(block(x), x)


def test_blocks_survive_serialization():
    block = PreActivationBlock(
        kind="bottleneck", in_channels=4, planes=2, strides=2, seed=3
    )
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(block)
    )
    x = tf.random.stateless_normal((2, 6, 6, 4), (0, 1))
    np.testing.assert_array_equal(block(x), copy(x))
    assert block.compute_output_shape((2, 6, 6, 4)) == (2, 3, 3, 8)


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="odd"):
        PaddedConv2D(1, 1, 4)


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@pytest.mark.parametrize("strides", [1, 2])
def test_the_mean_of_a_block_is_the_mean_of_its_map(kind, strides):
    block = PreActivationBlock(
        kind=kind, in_channels=6, planes=4, strides=strides, seed=1
    )
    block.build((None, 8, 8, 6))
    x = tf.constant(
        np.random.default_rng(0).normal(size=(3, 8, 8, 6)), "float32"
    )
    weights = tf.random.stateless_normal((3, block.out_channels), (0, 1))
    losses, gradients = [], []
    for with_mean in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            if with_mean:
                z, mean = block(x, with_mean=True)
                np.testing.assert_array_equal(z, block(x))
            else:
                mean = tf.reduce_mean(block(x), (1, 2))
            losses.append(tf.reduce_sum(mean * weights))
        gradients.append(
            tape.gradient(losses[-1], [x, *block.trainable_variables])
        )
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("side", [8, 7])
def test_every_is_a_strided_slice(side):
    x = tf.random.stateless_normal((2, side, side, 3), (0, 1))
    np.testing.assert_array_equal(every(x, 2), x[:, ::2, ::2])
