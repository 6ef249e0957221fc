"""Batches as a function of (seed, step), so that a run can resume anywhere.

An epoch reads the records through a shuffle buffer whose seed is derived from
the run's seed and the epoch's number; a view's seed is derived from the run's
seed and the example's position in the run. Resuming at a step skips records
before they are decoded: nothing but the step needs to be saved.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf.data import records

Decode = Callable[[tf.Tensor], tf.Tensor]
View = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
ToGrid = Callable[[tf.Tensor], tf.Tensor]


class Batch(NamedTuple):
    """One training batch.

    Attributes:
      x: [b, t, s, *local, c] float32, the grid of the views.
      labels: [b] int64, -1 where there is none.
    """

    x: tf.Tensor
    labels: tf.Tensor


class TrainingData(NamedTuple):
    """What training reads, and how.

    Attributes:
      files: TFRecord files of one split.
      num_examples: records in them.
      batch_size: examples a batch; the rest of an epoch is dropped.
      decode: [] string -> one example.
      view: (one example, [2] int seed) -> one view.
      to_grid: views [b, ...] -> grids [b, t, s, *local, c].
      seed: of order and views.
      shuffle_buffer: records held for shuffling.
    """

    files: Sequence[str]
    num_examples: int
    batch_size: int
    decode: Decode
    view: View
    to_grid: ToGrid
    seed: int
    shuffle_buffer: int

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the records."""
        return self.num_examples // self.batch_size


def training_batches(data: TrainingData, start_step: int) -> Iterator[Batch]:
    """Endless batches from `start_step` on; the same for the same arguments."""
    epoch, skipped = divmod(start_step, data.steps_per_epoch)
    while True:
        yield from _epoch(data, epoch, skipped)
        epoch, skipped = epoch + 1, 0


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


def _epoch(data: TrainingData, epoch: int, skipped: int) -> tf.data.Dataset:
    order_seed, view_seed = np.random.SeedSequence(
        (data.seed, epoch)
    ).generate_state(2)

    def to_view(index: tf.Tensor, serialized: tf.Tensor) -> Batch:
        record = tf.io.parse_single_example(serialized, records.FEATURES)
        seed = tf.stack([tf.cast(int(view_seed), tf.int64), index])
        example = data.decode(record["encoded"])
        return Batch(data.view(example, seed), record["label"])

    return (
        _serialized(data.files)
        .shuffle(
            min(data.shuffle_buffer, data.num_examples), seed=int(order_seed)
        )
        .enumerate()
        .skip(skipped * data.batch_size)
        .map(to_view, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(data.batch_size, drop_remainder=True)
        .map(lambda batch: Batch(data.to_grid(batch.x), batch.labels))
        .prefetch(tf.data.AUTOTUNE)
    )


def _serialized(files: Sequence[str]) -> tf.data.TFRecordDataset:
    return tf.data.TFRecordDataset(list(files), compression_type="GZIP")
