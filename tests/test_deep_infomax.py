"""Local Deep InfoMax against its slow twin, its gradient and a guess."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf.losses import DeepInfoMax
from tests import reference

SHAPE = (4, 3, 2, 5)


@pytest.fixture
def drawn():
    generator = np.random.default_rng(0)
    z = generator.normal(size=SHAPE) + generator.normal(size=(4, 1, 1, 5))
    rest = generator.normal(size=(*SHAPE[:3], 1))
    context = np.concatenate([z, rest], -1)
    return z.astype(np.float32), context.astype(np.float32)


def weights(net):
    return [
        np.asarray(weight, np.float64)
        for weight in (
            net.hidden,
            net.hidden_bias,
            net.output_kernel,
            net.output_bias,
            net.shortcut,
        )
    ]


def twin(objective, z, context):
    return reference.deep_infomax(
        z,
        context,
        weights(objective.local_net),
        weights(objective.global_net),
        np.asarray(objective.normalise.gamma, np.float64),
    )


@pytest.mark.parametrize("units", [3, 8], ids=["narrow", "wide"])
def test_it_equals_the_slow_twin(drawn, units):
    objective = DeepInfoMax(batch_size=4, mi_units=units, seed=1)
    objective(*drawn)
    objective.normalise.gamma.assign(np.linspace(0.5, 1.5, units))
    output = objective(*drawn)
    loss, accuracy = twin(objective, *drawn)
    np.testing.assert_allclose(output.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(output.accuracy, accuracy, rtol=1e-6)
    if units == 8:  # as wide as z: it starts as a copy, noisy
        assert 0 < accuracy < 1


def test_its_gradient_is_that_of_the_twin(drawn):
    """By central differences of the twin, in float64."""
    z, context = drawn
    objective = DeepInfoMax(batch_size=4, mi_units=8, seed=1)
    objective(z, context)
    inputs = [tf.constant(z), tf.constant(context)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = objective(*inputs).loss
    found = tape.gradient(loss, inputs)
    step = 1e-5
    for which, places in enumerate(([(0, 0, 0, 0), (3, 2, 1, 4)],) * 2):
        for place in places:
            ends = []
            for sign in (1, -1):
                moved = [x.astype(np.float64) for x in drawn]
                moved[which][place] += sign * step
                ends.append(twin(objective, *moved)[0])
            wanted = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(
                found[which][place], wanted, rtol=1e-3, atol=1e-6
            )


def test_a_guess_has_the_logarithm_of_all_choices(drawn):
    objective = DeepInfoMax(batch_size=4, mi_units=8)
    objective(*drawn)
    for variable in objective.global_net.variables:
        variable.assign(tf.zeros_like(variable))
    output = objective(*drawn)
    choices = 1 + 3 * 3 * 2
    assert objective.chance_loss == pytest.approx(np.log(choices))
    assert output.loss.numpy() == pytest.approx(np.log(choices), rel=1e-6)
    assert objective.chance_accuracy == 1 / choices
    assert output.accuracy.numpy() == pytest.approx(1 / choices)


def test_a_batch_of_one_has_nothing_to_tell_apart(drawn):
    """What `build_stack` makes variables with: finite, without gradient."""
    objective = DeepInfoMax(batch_size=4, mi_units=8)
    z, context = (tf.constant(x[:1]) for x in drawn)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = objective(z, context).loss
    assert loss.numpy() == 0.0
    assert not np.any(tape.gradient(loss, z))


def test_scores_are_of_wholes_and_parts_not_of_all_pairs_of_parts(drawn):
    objective = DeepInfoMax(batch_size=4, mi_units=8)
    objective(*drawn)
    graph = (
        tf.function(lambda z, context: objective(z, context).loss)
        .get_concrete_function(*(tf.constant(x) for x in drawn))
        .graph
    )
    largest = max(
        np.prod(output.shape)
        for op in graph.get_operations()
        for output in op.outputs
        if output.shape.is_fully_defined()
    )
    batch, positions = SHAPE[0], SHAPE[1] * SHAPE[2]
    assert largest < batch * positions * batch * positions


def test_it_survives_serialization(drawn):
    objective = DeepInfoMax(batch_size=4, mi_units=8, seed=3)
    loss = objective(*drawn).loss
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(objective)
    )
    assert copy.get_config() == objective.get_config()
    assert copy(*drawn).loss.numpy() == loss.numpy()
    assert len(objective.trainable_variables) == 11


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="batch_size >= 2"):
        DeepInfoMax(batch_size=1)
    objective = DeepInfoMax(batch_size=2)
    with pytest.raises(ValueError, match="depend on the grid"):
        _ = objective.chance_loss
    with pytest.raises(ValueError, match="static grid"):
        objective.build((None, None, 1, 4), (None, None, 1, 4))
