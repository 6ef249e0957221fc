"""Probes find what is linear, near, or not there at all."""

import numpy as np
import pytest
import tensorflow as tf

from gim_tf.errors import DataError
from gim_tf.probes import evaluation, representations
from gim_tf.probes.knn import knn_predict
from gim_tf.probes.linear_probe import (
    confusion_matrix,
    fit_linear_probe,
    top1,
)

SETTINGS = evaluation.ProbeSettings(
    num_classes=3,
    epochs=30,
    batch_size=32,
    learning_rate=0.05,
    l2=0.0,
    knn_k=5,
    knn_temperature=0.07,
    seed=0,
)


def clusters(count, seed, spread=0.3):
    """Three Gaussian classes, badly scaled on purpose, and one dead unit."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    centres = np.array([[1, 0], [-0.5, 0.9], [-0.5, -0.9]])
    points = centres[labels] + spread * generator.normal(size=(count, 2))
    scaled = points * [1000.0, 0.001] + [5.0, -3.0]
    features = np.concatenate([scaled, np.full((count, 1), 7.0)], 1)
    return features.astype(np.float32), labels


def test_the_linear_probe_separates_what_is_linear():
    features, labels = clusters(400, 0)
    head = evaluation.fit(features, labels, SETTINGS)
    test, test_labels = clusters(400, 1)
    assert top1(head.predict(test), test_labels) > 0.95


def test_the_linear_probe_finds_nothing_in_noise():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(600, 4)).astype(np.float32)
    labels = generator.integers(0, 3, 600)
    head = evaluation.fit(features[:300], labels[:300], SETTINGS)
    assert top1(head.predict(features[300:]), labels[300:]) < 0.45


def test_the_head_absorbs_the_standardisation():
    features, labels = clusters(100, 0)
    head = evaluation.fit(features, labels, SETTINGS)
    mean, scale = features.mean(0), features.std(0)
    scale[2] = 1.0  # the dead unit
    standardised = (features - mean) / scale
    by_hand = evaluation.fit(standardised, labels, SETTINGS)
    np.testing.assert_allclose(
        features @ head.kernel + head.bias,
        standardised @ by_hand.kernel + by_hand.bias,
        atol=1e-2,
    )


def test_the_linear_probe_repeats_with_its_seed():
    features, labels = clusters(100, 0)
    first, again = (
        evaluation.fit(features, labels, SETTINGS) for _ in range(2)
    )
    np.testing.assert_array_equal(first.kernel, again.kernel)


def test_labels_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="received 3 and 4"):
        fit_linear_probe(
            np.zeros((4, 2)),
            np.zeros(3, int),
            num_classes=2,
            epochs=1,
            batch_size=1,
        )


def test_knn_equals_its_definition():
    generator = np.random.default_rng(0)
    train = generator.normal(size=(50, 4))
    labels = generator.integers(0, 3, 50)
    queries = generator.normal(size=(7, 4))
    expected = []
    for query in queries:
        cosine = [
            query @ t / np.linalg.norm(query) / np.linalg.norm(t) for t in train
        ]
        votes = np.zeros(3)
        for i in np.argsort(cosine)[::-1][:6]:
            votes[labels[i]] += np.exp(cosine[i] / 0.1)
        expected.append(votes.argmax())
    for chunk in (2, 100):
        found = knn_predict(
            train,
            labels,
            queries,
            num_classes=3,
            k=6,
            temperature=0.1,
            chunk=chunk,
        )
        np.testing.assert_array_equal(found, expected)


def test_knn_with_more_neighbours_than_examples_uses_all():
    train = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    found = knn_predict(
        train,
        np.array([0, 0, 1]),
        np.array([[0.1, 1.0]]),
        num_classes=2,
        k=200,
        temperature=0.07,
    )
    assert found.tolist() == [1]


def batches(labels):
    for start in range(0, len(labels), 2):
        chunk = labels[start : start + 2]
        yield tf.constant(chunk, tf.float32), tf.constant(chunk, tf.int64)


def grid_of(x):
    """[b] -> two modules of a 2x1 grid, returned in no order of depth."""
    grid = tf.stack([x, x + 1.0], -1)[:, :, None, None]
    return {"module_10": grid, "module_2": 2.0 * grid, "module_1": grid}


def test_collecting_keeps_labelled_examples_by_depth():
    found = representations.collect(
        grid_of, batches([0, -1, 2, 1, -1, -1, 2]), with_grid=True
    )
    assert list(found.pooled) == ["module_1", "module_2", "module_10"]
    np.testing.assert_array_equal(found.labels, [0, 2, 1, 2])
    np.testing.assert_allclose(found.pooled["module_2"][:, 0], [1, 5, 3, 5])
    np.testing.assert_allclose(found.grid["module_1"][1], [2, 3])
    lean = representations.collect(grid_of, batches([0, 1]), with_grid=False)
    assert lean.grid == {}


def test_a_split_without_labels_is_refused():
    with pytest.raises(DataError, match="no labelled example"):
        representations.collect(grid_of, batches([-1, -1]), with_grid=False)


def test_confusion_and_majority():
    labels = np.array([0, 0, 1, 2])
    counts = confusion_matrix(np.array([0, 1, 1, 0]), labels, 3)
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 1, 0], [1, 0, 0]])
    assert evaluation.majority_top1(np.array([2, 2, 0]), labels) == 0.25


def test_a_watch_sees_every_batch_with_its_place_in_the_split():
    seen = []
    representations.collect(
        grid_of,
        [*batches([0, 1]), *batches([-1, -1]), *batches([2, -1])],
        with_grid=False,
        watch=lambda first, grids: seen.append((first, len(grids["module_2"]))),
    )
    assert seen == [(0, 2), (4, 2)]
