"""PredSim against its slow twin, its gradient and the best guess."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf.losses import PredSim
from tests import reference

SHAPE = (6, 3, 4, 5)
LABELS = np.array([0, 3, -1, 2, 2, -1])


def build(shape, similarity_of="deviations"):
    """With a head that is not zero, so that all of it is compared."""
    objective = PredSim(
        num_classes=4, batch_size=6, similarity_of=similarity_of, seed=1
    )
    objective.build(shape, shape)
    objective.kernel.assign(
        np.random.default_rng(1).normal(size=objective.kernel.shape)
    )
    return objective


def drawn(shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def twin(objective, context, positions):
    return reference.predsim(
        context,
        LABELS,
        *(
            np.asarray(weight, np.float64)
            for weight in (
                objective.similarity_kernel,
                objective.kernel,
                objective.bias,
            )
        ),
        weight=0.99,
        positions=positions,
    )


@pytest.mark.parametrize(
    ("shape", "similarity_of", "positions"),
    [
        (SHAPE, "deviations", False),
        (SHAPE, "positions", True),
        ((6, 9, 1, 5), "deviations", False),
        ((6, 1, 1, 5), "deviations", True),
    ],
    ids=["deviations", "positions", "one_lane", "one_cell"],
)
def test_it_equals_the_slow_twin(shape, similarity_of, positions):
    objective, context = build(shape, similarity_of), drawn(shape)
    output = objective(context, context, LABELS)
    loss, accuracy = twin(objective, context, positions)
    np.testing.assert_allclose(output.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(output.accuracy, accuracy)


@pytest.mark.parametrize("similarity_of", ["deviations", "positions"])
def test_its_gradient_is_that_of_the_twin(similarity_of):
    """By central differences of the twin, in float64."""
    objective, context = build(SHAPE, similarity_of), drawn(SHAPE)
    x = tf.constant(context)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = objective(x, x, LABELS).loss
    found, step = tape.gradient(loss, x).numpy(), 1e-5
    for place in ((0, 0, 0, 0), (4, 2, 3, 1)):
        ends = []
        for sign in (1, -1):
            moved = context.astype(np.float64)
            moved[place] += sign * step
            ends.append(twin(objective, moved, similarity_of == "positions")[0])
        wanted = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(found[place], wanted, rtol=1e-3, atol=1e-7)
    assert not found[[2, 5]].any()  # without a label


def test_the_best_guess_is_the_mean_over_random_labels():
    """Of the similarities of labels, 0 is the best guess, and costs this."""
    generator = np.random.default_rng(0)
    classes, size = 5, 8
    objective = PredSim(num_classes=classes, batch_size=size)
    costs = []
    for _ in range(400):
        labels = np.eye(classes)[generator.integers(0, classes, size)]
        errors = [
            reference.similarity(a, b) ** 2
            for i, a in enumerate(labels)
            for j, b in enumerate(labels)
            if i != j
        ]
        costs.append(sum(errors) / size**2)
    wanted = 0.99 * np.mean(costs) + 0.01 * np.log(classes)
    assert objective.chance_loss == pytest.approx(wanted, rel=0.03)
    assert objective.chance_accuracy == 1 / classes


def test_a_constant_channel_and_no_label_have_finite_gradients():
    objective = build(SHAPE)
    x = tf.zeros(SHAPE)
    for labels in (LABELS, np.full(6, -1)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = objective(x, x, labels).loss
        assert np.all(np.isfinite(tape.gradient(loss, x)))
    assert loss.numpy() == 0.0


def test_it_survives_serialization():
    context = drawn(SHAPE)
    objective = PredSim(num_classes=4, batch_size=6, seed=3)
    loss = objective(context, context, LABELS).loss
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(objective)
    )
    assert copy.get_config() == objective.get_config()
    assert copy(context, context, LABELS).loss.numpy() == loss.numpy()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_classes": 1}, "num_classes >= 2"),
        ({"batch_size": 1}, "batch_size >= 2"),
        ({"similarity_weight": 1.0}, r"in \[0, 1\)"),
        ({"similarity_of": "means"}, "'deviations' or 'positions'"),
    ],
)
def test_what_cannot_be_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PredSim(**{"num_classes": 2, "batch_size": 2, **wrong})


def test_labels_are_needed():
    context = drawn(SHAPE)
    with pytest.raises(ValueError, match="needs labels"):
        build(SHAPE)(context, context)
