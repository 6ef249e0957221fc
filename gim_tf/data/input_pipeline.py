"""Batches as a function of (seed, step), so that a run can resume anywhere.

An epoch reads the records through a shuffle buffer whose seed is derived from
the run's seed and the epoch's number; a view's seed is derived from the run's
seed and the example's position in the run. Resuming at a step skips records
before they are decoded: nothing but the step needs to be saved.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf.data import heldout, records

Decode = Callable[[tf.Tensor], tf.Tensor]
View = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
ToGrid = Callable[[tf.Tensor], tf.Tensor]
FrameLabels = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

# Epochs of one dataset. Tracing one takes half a second, several steps of a
# small split; and within one, an epoch is read while the last is trained on.
_EPOCHS = 1000


class Batch(NamedTuple):
    """One training batch.

    Attributes:
      x: [b, t, s, *local, c] float32, the grid of the views.
      labels: [b] int64, or [b, l] of l frames; -1 where there is none.
    """

    x: tf.Tensor
    labels: tf.Tensor


class TrainingData(NamedTuple):
    """What training reads, and how.

    Attributes:
      files: TFRecord files of one split.
      num_examples: records in them that are trained on.
      batch_size: examples a batch; the rest of an epoch is dropped.
      decode: [] string -> one example.
      view: (one example, [2] int seed) -> one view.
      to_grid: views [b, ...] -> grids [b, t, s, *local, c].
      seed: of order and views.
      shuffle_buffer: records held for shuffling.
      left_out: bound of the hashes of the ids that are never trained on, see
        `gim_tf.data.heldout`; 0: all records are.
      frame_labels: (one example, its frame labels, the view's seed) -> labels
        [l] of the view; None: the label is the record's own, [].
      part: which of `num_parts` equal parts of each batch is read, from 0.
      num_parts: divides the batch.
    """

    files: Sequence[str]
    num_examples: int
    batch_size: int
    decode: Decode
    view: View
    to_grid: ToGrid
    seed: int
    shuffle_buffer: int
    left_out: int = 0
    frame_labels: FrameLabels | None = None
    part: int = 0
    num_parts: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the records."""
        return self.num_examples // self.batch_size


def training_batches(data: TrainingData, start_step: int) -> Iterator[Batch]:
    """Endless batches from `start_step` on; the same for the same arguments."""
    epoch, skipped = divmod(start_step, data.steps_per_epoch)
    for first in itertools.count(epoch, _EPOCHS):
        yield from _epochs(data, range(first, first + _EPOCHS), skipped)
        skipped = 0


def held_out_batches(data: TrainingData) -> list[Batch]:
    """Whole batches of the records that are left out, in memory.

    Each example has one random view, as in training, but always the same: so
    that losses on them compare with those of training and with each other.
    """
    return _fixed_batches(data, lambda hashed: hashed < data.left_out)


def seen_batches(data: TrainingData, count: int) -> list[Batch]:
    """As `held_out_batches`, of at most `count * batch_size` trained on."""
    return _fixed_batches(data, lambda hashed: hashed >= data.left_out, count)


def _fixed_batches(
    data: TrainingData,
    keep: Callable[[tf.Tensor], tf.Tensor],
    count: int | None = None,
) -> list[Batch]:
    """Batches of the records whose hashed ids are kept; None: all of them."""
    seeds = np.random.SeedSequence(data.seed, spawn_key=(0,)).generate_state(2)
    kept = _serialized(data.files).filter(
        lambda one: keep(heldout.id_hash(one))
    )
    return list(
        # Else a batch might be of one class, and its negatives harder.
        kept.shuffle(data.shuffle_buffer, seed=int(seeds[0]))
        .take(-1 if count is None else count * data.batch_size)
        .enumerate()
        .map(
            lambda index, one: _viewed(
                data, tf.stack([tf.constant(seeds[1], tf.int64), index]), one
            )
        )
        .batch(data.batch_size, drop_remainder=True)
        .map(lambda batch: Batch(data.to_grid(batch.x), batch.labels))
    )


def evaluation_batches(
    files: Sequence[str], decode: Decode, batch_size: int
) -> tf.data.Dataset:
    """Decoded examples and labels in file order, the last batch partial."""

    def to_pair(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        record = tf.io.parse_single_example(serialized, records.FEATURES)
        return decode(record["encoded"]), record["label"]

    return (
        _serialized(files)
        .map(to_pair, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def evaluation_sequences(
    files: Sequence[str], decode: Decode
) -> tf.data.Dataset:
    """(example, label [], frame labels [l]) of each record, in file order."""

    def to_sequence(serialized: tf.Tensor) -> tuple[tf.Tensor, ...]:
        record = tf.io.parse_single_example(serialized, records.FEATURES)
        return (
            decode(record["encoded"]),
            record["label"],
            record["frame_labels"],
        )

    return (
        _serialized(files)
        .map(to_sequence, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _epochs(
    data: TrainingData, epochs: Sequence[int], skipped: int
) -> tf.data.Dataset:
    """All batches of consecutive epochs but the first `skipped` ones."""
    seeds = np.array(
        [
            np.random.SeedSequence((data.seed, epoch)).generate_state(2)
            for epoch in epochs
        ],
        np.int64,
    )

    def in_order(seed: tf.Tensor) -> tf.data.Dataset:
        """(view seed, place in the epoch, record), without what is left."""
        buffer = min(data.shuffle_buffer, data.num_examples)
        return (
            _trained_on(data)
            .shuffle(buffer, seed=seed[0])
            .take(data.steps_per_epoch * data.batch_size)
            .enumerate()
            .map(lambda index, serialized: (seed[1], index, serialized))
        )

    own = data.batch_size // data.num_parts

    def in_part(examples: tf.data.Dataset) -> tf.data.Dataset:
        """The examples of this part of each batch, before they are decoded."""
        if data.num_parts == 1:
            return examples
        return examples.filter(
            lambda seed, index, serialized: (
                index % data.batch_size // own == data.part
            )
        )

    def to_view(
        seed: tf.Tensor, index: tf.Tensor, serialized: tf.Tensor
    ) -> Batch:
        return _viewed(data, tf.stack([seed, index]), serialized)

    return (
        tf.data.Dataset.from_tensor_slices(seeds)
        .flat_map(in_order)
        .skip(skipped * data.batch_size)
        .apply(in_part)
        .map(to_view, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(own, drop_remainder=True)
        .map(lambda batch: Batch(data.to_grid(batch.x), batch.labels))
        .prefetch(tf.data.AUTOTUNE)
        .with_options(_own_threads())
    )


def _viewed(
    data: TrainingData, seed: tf.Tensor, serialized: tf.Tensor
) -> Batch:
    """One record as a view and its label or labels."""
    record = tf.io.parse_single_example(serialized, records.FEATURES)
    example = data.decode(record["encoded"])
    labels = record["label"]
    if data.frame_labels is not None:
        labels = data.frame_labels(example, record["frame_labels"], seed)
    return Batch(data.view(example, seed), labels)


def _trained_on(data: TrainingData) -> tf.data.Dataset:
    serialized = _serialized(data.files)
    if not data.left_out:
        return serialized
    return serialized.filter(lambda one: heldout.id_hash(one) >= data.left_out)


def _own_threads() -> tf.data.Options:
    """Threads beside those of training, where one operation runs at a time."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = len(os.sched_getaffinity(0))
    return options


def _serialized(files: Sequence[str]) -> tf.data.TFRecordDataset:
    return tf.data.TFRecordDataset(list(files), compression_type="GZIP")
