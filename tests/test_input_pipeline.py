"""Batches are a function of (seed, step), whatever happened before."""

import itertools

import numpy as np
import pytest

from gim_tf import build, config
from gim_tf.data import input_pipeline
from gim_tf.data.input_pipeline import evaluation_batches, training_batches
from gim_tf.data.records import Record, record_files, to_example
from gim_tf.data.shards import ShardWriter
from gim_tf.errors import ConfigError
from tests.conftest import png


def take(experiment, directory, start, count):
    files = record_files(directory, "train")
    data = build.build_training_data(experiment, files, 40)
    batches = itertools.islice(training_batches(data, start), count)
    return [(b.x.numpy(), b.labels.numpy()) for b in batches]


def test_resuming_anywhere_gives_the_same_batches(tiny, tiny_records):
    whole = take(tiny, tiny_records, 0, 12)
    for start in (3, 5, 9):
        for (x, labels), (y, again) in zip(
            whole[start:], take(tiny, tiny_records, start, 12), strict=False
        ):
            np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(labels, again)


def test_an_epoch_has_each_example_once_in_a_new_order(tiny, tiny_records):
    whole = take(tiny, tiny_records, 0, 10)
    first, second = (
        np.concatenate([labels for _, labels in part])
        for part in (whole[:5], whole[5:])
    )
    assert sorted(first) == sorted(second) == sorted(list(range(10)) * 4)
    assert np.any(first != second)


def test_what_is_left_of_an_epoch_is_dropped_wherever_it_begins(
    tiny, tiny_records
):
    odd = config.resolve(tiny, ["training.batch_size=7"])  # 5 steps, 5 left
    whole = take(odd, tiny_records, 0, 11)
    for start in (4, 5, 10):
        for (x, labels), (y, again) in zip(
            whole[start:], take(odd, tiny_records, start, 11), strict=False
        ):
            np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(labels, again)


def test_epochs_after_the_first_trace_nothing(tiny, tiny_records):
    files = record_files(tiny_records, "train")
    data = build.build_training_data(tiny, files, 40)
    traced = []

    def decode(encoded):
        traced.append(encoded)
        return data.decode(encoded)

    batches = training_batches(data._replace(decode=decode), 0)
    for _ in range(4 * data.steps_per_epoch):
        next(batches)
    assert len(traced) == 1


def test_datasets_of_some_epochs_continue_each_other(
    tiny, tiny_records, monkeypatch
):
    whole = take(tiny, tiny_records, 0, 12)
    monkeypatch.setattr(input_pipeline, "_EPOCHS", 1)
    for (x, _), (y, _) in zip(
        whole, take(tiny, tiny_records, 0, 12), strict=True
    ):
        np.testing.assert_array_equal(x, y)


def test_another_seed_gives_other_batches(tiny, tiny_records):
    other = config.resolve(tiny, ["training.seed=1"])
    ((x, _),) = take(tiny, tiny_records, 0, 1)
    ((y, _),) = take(other, tiny_records, 0, 1)
    assert np.any(x != y)


def test_T12_evaluation_keeps_order_and_the_last_partial_batch(
    tiny, tiny_records
):
    files = record_files(tiny_records, "test")
    decode = build.build_decode_one(tiny)
    batches = list(evaluation_batches(files, decode, 8))
    assert [len(labels) for _, labels in batches] == [8, 8, 4]
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels, np.arange(20) % 10)


def test_T11_a_split_of_one_is_refused_or_trains_alone(tiny, tmp_path):
    with ShardWriter(tmp_path / "Split-train") as writer:
        picture = png(np.zeros((28, 28, 1), np.uint8))
        writer.write(to_example(Record("a", 0, "train", picture)))
    files = record_files(tmp_path, "train")
    with pytest.raises(ConfigError, match="1 example"):
        build.build_training_data(tiny, files, 1)
    alone = config.resolve(tiny, ["training.batch_size=1"])
    batches = training_batches(build.build_training_data(alone, files, 1), 0)
    assert [next(batches).x.shape[0] for _ in range(3)] == [1, 1, 1]


def test_T11_a_batch_larger_than_the_split_is_refused(tiny, tiny_records):
    large = config.resolve(tiny, ["training.batch_size=41"])
    with pytest.raises(ConfigError, match="has 40 examples"):
        take(large, tiny_records, 0, 1)
