"""InfoNCE against its slow twin, its value by chance, and its options."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf.losses import (
    Draw,
    InfoNCE,
    RecordedNegatives,
    UniformNegatives,
    scoring,
)
from gim_tf.losses.negatives import SAMPLERS
from tests import reference

SHAPE = (2, 7, 3, 4)
SIZES = {"prediction_steps": 2, "num_negatives": 6}


def inputs(scale=1.0):
    """z, context of other width, and weights."""
    generator = np.random.default_rng(0)
    shapes = (SHAPE, (*SHAPE[:3], 5), (2, 5, 4))
    z, context, w_k = (generator.normal(size=shape) for shape in shapes)
    return [(a * scale).astype(np.float32) for a in (z, context, w_k)]


def build(w_k, **kwargs):
    objective = InfoNCE(**{**SIZES, **kwargs})
    objective.build(SHAPE, (*SHAPE[:3], len(w_k[0])))
    objective.w_k.assign(w_k)
    return objective


def recorded(kind, window=None, skip_steps=0):
    """A sampler of known negatives, and these."""
    offsets = [skip_steps + 1, skip_steps + 2]
    drawn = SAMPLERS[kind](6).draw(tf.constant(SHAPE[:3]), window, offsets)
    sampler = RecordedNegatives(6)
    sampler.record(drawn)
    return sampler, drawn


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("window", [None, 5, 7, 9])
@pytest.mark.parametrize("skip_steps", [0, 1])
def test_loss_and_accuracy_equal_the_paper_s_equation(kind, window, skip_steps):
    z, context, w_k = inputs()
    width = window if window == 5 else None
    sampler, drawn = recorded(kind, width, skip_steps)
    objective = build(
        w_k, skip_steps=skip_steps, negatives=sampler, window=window
    )
    output = objective(z, context)
    loss, per_step = reference.info_nce(
        z,
        context,
        w_k,
        skip_steps,
        [rows.numpy() for rows in drawn.negatives],
        start=int(drawn.start),
        window=width,
    )
    assert output.loss.numpy() == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(output.per_step, per_step, atol=1e-6)
    assert output.accuracy.numpy() == pytest.approx(per_step.mean(), abs=1e-6)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_window_of_all_rows_draws_as_none_does(kind):
    z, context, w_k = inputs()
    wanted = build(w_k, negatives=kind)(z, context).loss.numpy()
    for window in (7, 9):
        objective = build(w_k, negatives=kind, window=window)
        assert objective(z, context).loss.numpy() == wanted


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_the_offset_is_added_to_the_softmax(scale):
    z, context, w_k = inputs(scale)
    sampler, drawn = recorded("uniform")
    output = build(w_k, negatives=sampler, log_offset=1e-3)(z, context)
    negatives = [rows.numpy() for rows in drawn.negatives]
    loss, _ = reference.info_nce(z, context, w_k, 0, negatives, log_offset=1e-3)
    assert output.loss.numpy() == pytest.approx(loss, rel=1e-5)


def gradients(objective, z, context):
    with tf.GradientTape() as tape:
        tape.watch([z, context])
        loss = objective(z, context).loss
    return loss, tape.gradient(loss, [z, context, objective.w_k.value])


def test_gradients_equal_those_of_the_plain_formula():
    z, context, w_k = (tf.constant(a) for a in inputs())
    sampler, drawn = recorded("permuted", window=5)
    _, found = gradients(build(w_k, negatives=sampler, window=5), z, context)
    with tf.GradientTape() as tape:
        tape.watch([z, context, w_k])
        losses = []
        for k, rows in enumerate(drawn.negatives):
            read = slice(drawn.start, drawn.start + 5)
            candidates = tf.concat(
                [
                    z[:, read][:, k + 1 :, :, None],
                    tf.gather(tf.reshape(z, (-1, 4)), rows),
                ],
                3,
            )
            scores = tf.einsum(
                "btsc,cd,btsnd->btsn",
                context[:, read][:, : -k - 1],
                w_k[k],
                candidates,
            )
            losses.append(-tf.reduce_mean(tf.nn.log_softmax(scores)[..., 0]))
        loss = tf.reduce_mean(losses)
    expected = tape.gradient(loss, [z, context, w_k])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_small_offset_changes_nothing_where_the_softmax_is_not_small():
    z, context, w_k = (tf.constant(a) for a in inputs(0.5))
    (plain, wanted), (offset, found) = (
        gradients(
            build(w_k, negatives=recorded_once(), log_offset=a), z, context
        )
        for a in (0.0, 1e-11)
    )
    assert offset.numpy() == pytest.approx(plain.numpy(), rel=1e-6)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def recorded_once():
    sampler = RecordedNegatives(6)
    zeros = [tf.zeros((2, 7 - o, 3, 6), tf.int32) for o in (1, 2)]
    sampler.record(Draw(tf.constant(0), zeros))
    return sampler


def test_the_offset_loses_the_anchors_that_are_most_wrong():
    # Row 1, the only target, scores -200 against 200 of the negatives.
    z = tf.constant([10.0, -20.0])[None, :, None, None]
    rows = tf.zeros((1, 1, 1, 1), tf.int32)
    losses, sizes = [], []
    for log_offset in (0.0, 1e-11):
        sampler = RecordedNegatives(1)
        sampler.record(Draw(tf.constant(0), [rows]))
        objective = InfoNCE(
            prediction_steps=1,
            num_negatives=1,
            negatives=sampler,
            log_offset=log_offset,
        )
        objective.build(z.shape, z.shape)
        objective.w_k.assign([[[1.0]]])
        loss, (_, _, gradient) = gradients(objective, z, z)
        losses.append(loss.numpy())
        sizes.append(abs(gradient.numpy().item()))
    assert losses == pytest.approx([300.0, 11 * math.log(10)], rel=1e-6)
    assert sizes == pytest.approx([300.0, 0.0])


@pytest.mark.parametrize("num_negatives", [1, 16])
@pytest.mark.parametrize("kind", SAMPLERS)
def test_features_that_do_not_vary_score_exactly_chance(kind, num_negatives):
    objective = InfoNCE(
        prediction_steps=3,
        num_negatives=num_negatives,
        negatives=kind,
        window=6,
    )
    constant = tf.ones((2, 7, 7, 4))
    output = objective(constant, constant)
    chance = math.log(num_negatives + 1)
    assert output.loss.numpy() == pytest.approx(chance, abs=1e-6)
    assert objective.chance_loss == pytest.approx(chance)
    np.testing.assert_allclose(
        output.per_step, objective.chance_accuracy, atol=1e-6
    )


@pytest.mark.parametrize("log_offset", [0.0, 1e-11])
def test_weights_of_zero_score_exactly_chance(log_offset):
    z, context, w_k = inputs()
    output = build(0 * w_k, log_offset=log_offset)(z, context)
    assert output.loss.numpy() == pytest.approx(math.log(7), abs=1e-6)


def test_features_that_never_vary_along_time_are_solved_by_matching():
    # Orthogonal lanes, the same at each time: c W c = 1 only for the lane.
    lanes = tf.eye(8)[None, None] * 10.0
    z = tf.tile(lanes, (1, 7, 1, 1))
    sampler = RecordedNegatives(1, seed=3)
    drawn = sampler.draw(tf.constant([1, 7, 8]), None, [1])
    sampler.record(drawn)
    objective = InfoNCE(prediction_steps=1, num_negatives=1, negatives=sampler)
    objective.build(z.shape, z.shape)
    objective.w_k.assign(tf.eye(8)[None])
    lane = drawn.negatives[0].numpy() % 8
    clash = np.mean(lane == np.arange(8)[None, None, :, None])
    loss = objective(z, z).loss.numpy()
    # A negative of the same lane ties (log 2); every other one is beaten.
    assert loss == pytest.approx(clash * math.log(2), abs=1e-5)


@pytest.mark.parametrize(("fan_in", "bound"), [("target", 0.5), ("context", 1)])
def test_initial_weights_are_bounded_by_the_chosen_fan_in(fan_in, bound):
    objective = InfoNCE(prediction_steps=99, num_negatives=1, fan_in=fan_in)
    objective.build((2, 100, 3, 4), (2, 100, 3, 1))
    largest = np.abs(objective.w_k.numpy()).max()
    assert 0.95 * bound < largest <= bound


@pytest.mark.parametrize("kind", SAMPLERS)
def test_traced_and_eager_steps_draw_and_score_alike(kind):
    z, context, w_k = inputs()
    eager, traced = (build(w_k, negatives=kind, window=5) for _ in range(2))
    compiled = tf.function(
        traced,
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, *SHAPE[1:]]),
            tf.TensorSpec([None, *SHAPE[1:3], 5]),
        ],
    )
    losses = []
    for _ in range(3):
        output, expected = compiled(z, context), eager(z, context)
        np.testing.assert_allclose(output.loss, expected.loss, rtol=1e-6)
        np.testing.assert_array_equal(output.per_step, expected.per_step)
        losses.append(float(output.loss))
    assert len(set(losses)) == 3


def test_records_may_be_arguments_of_a_traced_step():
    z, context, w_k = inputs()
    sampler = RecordedNegatives(6)
    objective = build(w_k, negatives=sampler, window=5)

    @tf.function(autograph=False)
    def step(draw):
        sampler.record(draw)
        return objective(z, context).loss

    for _ in range(2):
        known, drawn = recorded("shifted", window=5)
        expected = build(w_k, negatives=known, window=5)(z, context).loss
        np.testing.assert_allclose(step(drawn), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_sampler_s_generator_is_a_variable_of_the_objective(kind):
    z, context, w_k = inputs()
    one, other = (
        build(w_k, negatives=kind, seed=seed, window=5) for seed in (1, 2)
    )
    one(z, context)
    assert len(one.variables) == 2
    assert len(one.trainable_variables) == 1
    for mine, theirs in zip(one.variables, other.variables, strict=True):
        theirs.assign(mine)
    assert one(z, context).loss.numpy() == other(z, context).loss.numpy()


def test_mistakes_are_named_at_construction_or_build():
    for match, wrong in {
        "prediction_steps >= 1": {"prediction_steps": 0},
        "'uniform', .* or a NegativeSampler": {"negatives": "all"},
        "num_negatives is 6, .* draws 5": {"negatives": UniformNegatives(5)},
        "'target' or 'context'": {"fan_in": "both"},
        "must not be negative, received -1": {"log_offset": -1.0},
        "smaller than the 2 rows of the window, received 2": {"window": 2},
    }.items():
        with pytest.raises(ValueError, match=match):
            InfoNCE(**{**SIZES, **wrong})
    objective = InfoNCE(prediction_steps=5, num_negatives=1, skip_steps=2)
    with pytest.raises(ValueError, match="smaller than the 7 time steps"):
        objective(tf.ones((1, 7, 7, 2)), tf.ones((1, 7, 7, 2)))
    with pytest.raises(ValueError, match="static time axis"):
        InfoNCE(**SIZES).build((1, None, 7, 2), (1, None, 7, 2))


@pytest.mark.parametrize("negatives", [*SAMPLERS, "given"])
def test_it_survives_serialization(negatives):
    if negatives == "given":
        negatives = UniformNegatives(6, seed=9, name="mine")
    objective = InfoNCE(
        **SIZES,
        negatives=negatives,
        window=6,
        fan_in="context",
        log_offset=1e-11,
        seed=5,
    )
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(objective)
    )
    assert copy.get_config() == objective.get_config()
    assert type(copy.sampler) is type(objective.sampler)
    z = tf.random.stateless_normal(SHAPE, (1, 2))
    assert objective(z, z).loss.numpy() == copy(z, z).loss.numpy()


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("window", [None, 5])
def test_a_table_and_gathered_negatives_give_the_same(
    monkeypatch, kind, window
):
    z, context, w_k = (tf.constant(a) for a in inputs())
    results = []
    for table_rows in (0, 128):
        monkeypatch.setattr(scoring, "TABLE_ROWS", table_rows)
        objective = build(w_k, negatives=kind, window=window)
        loss, found = gradients(objective, z, context)
        results.append([loss, *map(tf.convert_to_tensor, found)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
