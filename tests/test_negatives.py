"""Each sampler against the rows that it may draw, and how often it does."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf.losses.negatives import (
    SAMPLERS,
    Draw,
    NegativeSampler,
    RecordedNegatives,
    UniformNegatives,
)
from tests import reference

GRID = (2, 7, 3)
OFFSETS = (2, 3)
WINDOWS = [None, 5]


def draw(sampler, grid=GRID, window=None, offsets=OFFSETS):
    """One draw as (start, negatives of each offset), in NumPy."""
    drawn = sampler.draw(tf.constant(grid), window, offsets)
    return int(drawn.start), [rows.numpy() for rows in drawn.negatives]


def many(kind, window, times=60):
    """The draws of one sampler."""
    sampler = SAMPLERS[kind](60, seed=1)
    return [draw(sampler, window=window) for _ in range(times)]


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("window", WINDOWS)
def test_exactly_the_allowed_rows_are_drawn(kind, window):
    width = window or GRID[1]
    seen, allowed = {}, {}
    for start, negatives in many(kind, window):
        for offset, rows in zip(OFFSETS, negatives, strict=True):
            assert rows.shape == (GRID[0], width - offset, GRID[2], 60)
            for anchor in np.ndindex(rows.shape[:3]):
                key = (start, offset, anchor)
                seen.setdefault(key, set()).update(rows[anchor])
    for start, offset, anchor in seen:
        allowed[start, offset, anchor] = reference.negative_candidates(
            kind, GRID, start, width, offset, anchor
        )
    assert {start for start, *_ in seen} == set(range(GRID[1] - width + 1))
    assert seen == allowed


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("window", WINDOWS)
def test_allowed_rows_are_equally_likely(kind, window):
    anchor, offset = (1, 1, 2), OFFSETS[0]
    width = window or GRID[1]
    sampler = SAMPLERS[kind](3, seed=2)
    found, expected = np.zeros(math.prod(GRID)), np.zeros(math.prod(GRID))
    times = 600
    for _ in range(times):
        start, (rows,) = draw(sampler, window=window, offsets=[offset])
        candidates = reference.negative_candidates(
            kind, GRID, start, width, offset, anchor
        )
        expected[list(candidates)] += 3 / len(candidates)
        np.add.at(found, rows[anchor], 1)
    assert found.sum() == pytest.approx(expected.sum())
    surprise = (found - expected) / np.sqrt(np.maximum(expected, 1e-9))
    assert np.abs(surprise).max() < 4.5


@pytest.mark.parametrize("window", WINDOWS)
def test_permutations_are_shared_by_the_steps_from_their_end(window):
    _, (first, second) = draw(SAMPLERS["permuted"](6, seed=3), window=window)
    first, second = (rows.reshape(-1, 6) for rows in (first, second))
    np.testing.assert_array_equal(second, first[-len(second) :])
    for permutation in first.T:
        assert len(set(permutation)) == len(permutation)
    for one, other in itertools.combinations(first.T, 2):
        assert np.any(one != other)


@pytest.mark.parametrize("window", WINDOWS)
def test_permuted_times_are_shared_by_examples_lanes_and_steps(window):
    _, (first, second) = draw(SAMPLERS["sequence"](6, seed=3), window=window)
    times = [rows // GRID[2] % GRID[1] for rows in (first, second)]
    np.testing.assert_array_equal(times[1], times[0][:, 1:])
    for rows in times:
        assert np.all(rows == rows[:1, :, :1])
        for permutation in rows[0, :, 0].T:
            assert len(set(permutation)) == len(permutation)


def test_uniform_negatives_are_fresh_for_each_step():
    for kind in ("uniform", "shifted"):
        _, (first, second) = draw(SAMPLERS[kind](50, seed=4), offsets=[2, 2])
        assert np.mean(first != second) > 0.5


def test_uniform_negatives_are_those_of_the_first_release():
    # Runs that were saved then continue with the batches they would have had.
    _, (first, _) = draw(UniformNegatives(3, seed=7))
    expected = [[35, 18, 30], [34, 17, 15], [34, 29, 7]]
    assert first[0, 0].tolist() == expected


def test_a_single_position_is_its_own_negative():
    start, (rows,) = draw(SAMPLERS["shifted"](2), grid=(1, 2, 1), offsets=[1])
    assert (start, rows.tolist()) == (0, [[[[1, 1]]]])


@pytest.mark.parametrize("kind", SAMPLERS)
def test_draws_differ_between_calls_and_repeat_with_the_seed(kind):
    first, again, other = (SAMPLERS[kind](4, seed=seed) for seed in (7, 7, 8))
    a, b, c, d = (draw(s, window=5) for s in (first, first, again, other))
    np.testing.assert_array_equal(a[1][0], c[1][0])
    assert a[0] == c[0]
    assert np.any(a[1][0] != b[1][0])
    assert np.any(a[1][0] != d[1][0])


@pytest.mark.parametrize("kind", SAMPLERS)
def test_graphs_draw_the_same_whatever_is_static(kind):
    eager, traced = (SAMPLERS[kind](4, seed=9) for _ in range(2))
    any_grid = tf.function(
        lambda grid: traced.draw(grid, 5, OFFSETS),
        autograph=False,
        input_signature=[tf.TensorSpec([3], tf.int32)],
    )
    for _ in range(2):
        start, negatives = draw(eager, window=5)
        drawn = any_grid(tf.constant(GRID))
        assert int(drawn.start) == start
        for rows, expected in zip(drawn.negatives, negatives, strict=True):
            np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_the_generator_s_state_decides_what_comes_next(kind):
    first, second = SAMPLERS[kind](4, seed=1), SAMPLERS[kind](4, seed=2)
    draw(first)
    (state,), (copied,) = first.variables, second.variables
    copied.assign(state)
    np.testing.assert_array_equal(draw(first)[1][1], draw(second)[1][1])


@pytest.mark.parametrize("sampler", [*SAMPLERS.values(), RecordedNegatives])
def test_a_sampler_survives_serialization(sampler):
    original = sampler(4, seed=11, name="mine")
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(original)
    )
    assert type(copy) is sampler
    assert copy.get_config() == original.get_config()
    np.testing.assert_array_equal(draw(original)[1][0], draw(copy)[1][0])


def test_a_record_is_handed_out_until_the_next():
    sampler = RecordedNegatives(4)
    assert draw(sampler)[1][0].shape == (*GRID[:1], 5, 3, 4)
    for start in (1, 2):
        given = Draw(tf.constant(start), [tf.zeros((1, 1, 1, 4), tf.int32)])
        sampler.record(given)
        for _ in range(2):
            assert sampler.draw(tf.constant(GRID), 5, OFFSETS) == given


def test_no_negatives_are_no_sampler():
    with pytest.raises(ValueError, match="at least 1, received 0"):
        UniformNegatives(0)
    with pytest.raises(TypeError, match="abstract"):
        NegativeSampler(1)


@pytest.mark.parametrize("kind", ["permuted", "sequence"])
@pytest.mark.parametrize("window", [None, 5])
def test_shared_negatives_serve_each_place_once_a_step(kind, window):
    drawn = SAMPLERS[kind](4).draw(tf.constant(GRID), window, OFFSETS)
    for rows, place in zip(drawn.negatives, drawn.shared.place_of, strict=True):
        np.testing.assert_array_equal(
            rows, tf.gather(drawn.shared.places, place)
        )
        assert len(np.unique(place)) == tf.size(place)
