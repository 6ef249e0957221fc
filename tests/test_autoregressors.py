"""Contexts: their twins, what they see, and where their gradients end."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf.encoders import GRUContext, MaskedConvContext
from gim_tf.encoders.autoregressors import GatedMaskedConv
from tests import reference


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def count(layer):
    return sum(int(np.prod(v.shape)) for v in layer.trainable_variables)


def influence(layer, x, row):
    """[t, s]: the largest gradient of row `row` of the context."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x)[:, row])
    return np.abs(tape.gradient(loss, x)).max((0, 3))


def weight_gradients(layer, context):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(context() ** 2)
    return tape.gradient(loss, [v.value for v in layer.trainable_variables])


@pytest.mark.parametrize("backpropagate", [True, False])
def test_the_recurrent_context_is_its_twin(backpropagate):
    layer = GRUContext(3, 4, backpropagate_through_time=backpropagate, seed=1)
    x = noise(2, 6, 2, 3)
    y = layer(x)
    weights = (v.numpy() for v in layer.gru.trainable_variables)
    np.testing.assert_allclose(y, reference.gru(x, *weights), atol=1e-6)
    assert layer.compute_output_shape(x.shape) == tuple(y.shape)


def test_the_recurrent_context_has_the_paper_s_parameters_and_bound():
    layer = GRUContext(512, 256, seed=0)
    layer.build((None, 128, 1, 512))
    assert count(layer) == 591_360
    for variable in layer.trainable_variables:
        assert 0.99 / 16 < np.abs(variable.numpy()).max() <= 1 / 16


def test_the_recurrent_context_sees_the_past_of_its_own_lane():
    layer = GRUContext(3, 4)
    seen = influence(layer, noise(1, 6, 1, 3), row=3)
    assert np.all(seen[:4] > 0)
    assert np.all(seen[4:] == 0)
    x = noise(1, 6, 2, 3)
    moved = x + np.array([0, 1], np.float32)[:, None]
    np.testing.assert_array_equal(layer(x)[:, :, 0], layer(moved)[:, :, 0])


def test_without_bptt_no_gradient_crosses_time():
    layer = GRUContext(3, 4, backpropagate_through_time=False)
    x = noise(2, 6, 2, 3)
    seen = influence(layer, x, row=3)
    assert np.all(seen[3] > 0)
    assert np.all(np.delete(seen, 3, axis=0) == 0)

    def step_by_step():
        states, sequence = [tf.zeros((2, 4))], tf.constant(x[:, :, 0])
        for t in range(6):
            before = tf.constant(states[-1].numpy())
            states.append(layer.gru.cell(sequence[:, t], before)[0])
        return tf.stack(states[1:], 1)

    whole = weight_gradients(layer, lambda: layer(x[:, :, :1]))
    stepped = weight_gradients(layer, step_by_step)
    for ours, expected in zip(whole, stepped, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)
    unlike = GRUContext(3, 4)
    through = weight_gradients(unlike, lambda: unlike(x[:, :, :1]))
    assert np.abs(through[1] - whole[1]).max() > 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_what_is_exported_from_a_machine_with_a_gpu_needs_none(
    monkeypatch, training
):
    layer = GRUContext(3, 4)
    layer(noise(1, 2, 1, 3))
    gpu = [tf.config.LogicalDevice("/device:GPU:0", "GPU")]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: gpu)
    traced = tf.function(lambda x: layer(x, training=training), autograph=False)
    graph = traced.get_concrete_function(tf.zeros((1, 2, 1, 3))).graph
    kernels = [op.type for op in graph.get_operations() if "Cudnn" in op.type]
    assert bool(kernels) == training


@pytest.mark.parametrize("num_layers", [1, 2, 4])
def test_the_masked_context_is_its_twin(num_layers):
    layer = MaskedConvContext(3, num_layers=num_layers, seed=1)
    x = noise(2, 5, 4, 3)
    y = layer(x)
    expected = reference.masked_conv_context(
        x, [masked(block) for block in layer.blocks], weights(layer.output_conv)
    )
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == tuple(y.shape)


def weights(convolution):
    return convolution.kernel.numpy(), convolution.bias.numpy()


def masked(block):
    """The convolutions of a block, the vertical one with its hidden row."""
    names = ["vertical_to_horizontal", "horizontal", "output_conv"]
    if block.vertical_residual is not None:
        names.append("vertical_residual")
    kernel, bias = weights(block.vertical)
    hidden = np.full_like(kernel[:1], 9)
    vertical = (np.concatenate([kernel, hidden]), bias)
    rest = {name: weights(getattr(block, name)) for name in names}
    return {"vertical": vertical, **rest}


def test_the_masked_context_sees_its_own_row_and_those_above():
    layer = MaskedConvContext(4, num_layers=4)
    seen = influence(layer, noise(1, 7, 7, 4), row=4)
    assert np.all(seen[5:] == 0)
    assert np.all(seen[:5] > 0)
    # One layer sees one row above its own.
    seen = influence(MaskedConvContext(4, num_layers=1), noise(1, 7, 7, 4), 4)
    assert list(np.flatnonzero(seen.max(1))) == [3, 4]


def test_only_the_blocks_between_carry_the_vertical_map_on():
    blocks = MaskedConvContext(2, num_layers=4).blocks
    residuals = [block.vertical_residual is not None for block in blocks]
    assert residuals == [False, True, True, False]
    x = noise(1, 3, 3, 2)
    v, _ = GatedMaskedConv(2, first=True, last=True)(x, x)
    np.testing.assert_array_equal(v, x)


def test_masked_weights_are_uniform_in_one_over_root_fan_in():
    block = GatedMaskedConv(32, seed=0)
    block(noise(1, 3, 3, 32), noise(1, 3, 3, 32))
    fan_ins = {
        "vertical": 32 * 9,  # a masked weight is one of the fan as well
        "vertical_to_horizontal": 64,
        "horizontal": 32 * 3,
        "output_conv": 32,
        "vertical_residual": 32,
    }
    for name, fan_in in fan_ins.items():
        for values in weights(getattr(block, name)):
            bound = 1 / np.sqrt(fan_in)
            assert 0.85 * bound < np.abs(values).max() <= bound, name


def test_no_two_weights_of_a_context_start_alike():
    for layer in (GRUContext(8, 8), MaskedConvContext(8)):
        layer(noise(1, 2, 2, 8))
        values = [v.numpy().ravel()[:8] for v in layer.trainable_variables]
        assert len({v.tobytes() for v in values}) == len(values)


@pytest.mark.parametrize(
    "layer",
    [
        GRUContext(3, 3),
        GRUContext(3, 3, backpropagate_through_time=False),
        MaskedConvContext(3, num_layers=2),
    ],
    ids=lambda layer: layer.name,
)
def test_a_graph_takes_any_length_and_any_batch(layer):
    layer(noise(1, 2, 1, 3))
    signature = [tf.TensorSpec((None, None, 1, 3), tf.float32)]
    graph = tf.function(layer, input_signature=signature, autograph=False)
    for batch, time in ((1, 1), (2, 9), (3, 40)):
        x = noise(batch, time, 1, 3)
        np.testing.assert_allclose(graph(x), layer(x), atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        GRUContext(3, 4, backpropagate_through_time=False, seed=5),
        MaskedConvContext(3, num_layers=2, seed=5),
    ],
    ids=lambda layer: layer.name,
)
def test_contexts_survive_serialization(layer):
    copy = copied(layer)
    x = noise(2, 3, 2, 3)
    np.testing.assert_array_equal(layer(x), copy(x))
    assert copy.get_config() == layer.get_config()


def test_a_gated_layer_survives_serialization():
    layer = GatedMaskedConv(3, first=True, seed=5)
    copy, x = copied(layer), noise(2, 3, 2, 3)
    for ours, theirs in zip(layer(x, 2 * x), copy(x, 2 * x), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def copied(layer):
    return keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )


def test_a_context_needs_a_layer():
    with pytest.raises(ValueError, match="at least 1, received 0"):
        MaskedConvContext(3, num_layers=0)
