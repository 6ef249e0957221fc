"""InfoNCE against its slow twin, its value by chance, and its negatives."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf.losses import InfoNCE
from gim_tf.losses.negatives import UniformNegatives
from tests import reference

SHAPE = (2, 5, 3, 4)


def build(z, context, **kwargs):
    objective = InfoNCE(prediction_steps=2, num_negatives=6, **kwargs)
    objective(z, context)
    return objective


class Recorded:
    """A sampler that hands out given negatives."""

    def __init__(self, drawn):
        self.drawn = drawn

    def draw(self, grid, offsets):
        return self.drawn


@pytest.mark.parametrize("skip_steps", [0, 1])
def test_loss_and_accuracy_equal_the_paper_s_equation(skip_steps):
    generator = np.random.default_rng(0)
    z = generator.normal(size=SHAPE).astype(np.float32)
    context = generator.normal(size=(*SHAPE[:3], 5)).astype(np.float32)
    objective = build(z, context, skip_steps=skip_steps)
    w_k = generator.normal(size=(2, 5, 4)).astype(np.float32)
    objective.w_k.assign(w_k)
    drawn = objective.sampler.draw(tf.constant(SHAPE[:3]), objective.offsets)
    objective.sampler = Recorded(drawn)
    output = objective(z, context)
    loss, per_step = reference.info_nce(
        z, context, w_k, skip_steps, [d.numpy() for d in drawn]
    )
    assert output.loss.numpy() == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(output.per_step, per_step, atol=1e-6)
    assert output.accuracy.numpy() == pytest.approx(per_step.mean(), abs=1e-6)


@pytest.mark.parametrize("num_negatives", [1, 16])
def test_features_that_do_not_vary_score_exactly_chance(num_negatives):
    objective = InfoNCE(prediction_steps=3, num_negatives=num_negatives)
    constant = tf.ones((2, 7, 7, 4))
    output = objective(constant, constant)
    chance = math.log(num_negatives + 1)
    assert output.loss.numpy() == pytest.approx(chance, abs=1e-6)
    assert objective.chance_loss == pytest.approx(chance)
    np.testing.assert_allclose(
        output.per_step, objective.chance_accuracy, atol=1e-6
    )


def test_features_that_never_vary_along_time_are_solved_by_matching():
    # Orthogonal lanes, the same at each time: c W c = 1 only for the lane.
    lanes = tf.eye(8)[None, None] * 10.0
    z = tf.tile(lanes, (1, 7, 1, 1))
    objective = InfoNCE(prediction_steps=1, num_negatives=1, seed=3)
    objective(z, z)
    objective.w_k.assign(tf.eye(8)[None])
    drawn = objective.sampler.draw(tf.constant([1, 7, 8]), [1])
    objective.sampler = Recorded(drawn)
    clash = np.mean(drawn[0].numpy() % 8 == np.arange(8)[None, None, :, None])
    loss = objective(z, z).loss.numpy()
    # A negative of the same lane ties (log 2); every other one is beaten.
    assert loss == pytest.approx(clash * math.log(2), abs=1e-5)


def test_negatives_are_targets_and_cover_all_of_them():
    sampler = UniformNegatives(50, seed=0)
    (drawn,) = sampler.draw(tf.constant([3, 5, 2]), [2])
    assert drawn.shape == (3, 3, 2, 50)
    rows = np.unique(drawn.numpy())
    time_of_row = (rows // 2) % 5
    assert set(time_of_row) == {2, 3, 4}
    assert len(rows) == 3 * 3 * 2
    counts = np.bincount(drawn.numpy().ravel(), minlength=30)
    expected = drawn.numpy().size / len(rows)
    assert np.abs(counts[rows] - expected).max() < 5 * math.sqrt(expected)


def test_negatives_differ_between_calls_and_repeat_with_the_seed():
    first, again = (UniformNegatives(4, seed=7) for _ in range(2))
    grid = tf.constant([2, 4, 4])
    a, b = first.draw(grid, [1])[0], first.draw(grid, [1])[0]
    assert np.any(a.numpy() != b.numpy())
    np.testing.assert_array_equal(a, again.draw(grid, [1])[0])
    other = UniformNegatives(4, seed=8).draw(grid, [1])[0]
    assert np.any(a.numpy() != other.numpy())


def test_mistakes_are_named_at_construction_or_build():
    with pytest.raises(ValueError, match="prediction_steps >= 1"):
        InfoNCE(prediction_steps=0, num_negatives=1)
    with pytest.raises(ValueError, match="'uniform'"):
        InfoNCE(prediction_steps=1, num_negatives=1, negatives="all")
    objective = InfoNCE(prediction_steps=5, num_negatives=1, skip_steps=2)
    with pytest.raises(ValueError, match="smaller than the 7 time steps"):
        objective(tf.ones((1, 7, 7, 2)), tf.ones((1, 7, 7, 2)))


def test_it_survives_serialization():
    objective = InfoNCE(prediction_steps=2, num_negatives=3, seed=5)
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(objective)
    )
    z = tf.random.stateless_normal(SHAPE, (1, 2))
    assert objective(z, z).loss.numpy() == copy(z, z).loss.numpy()
