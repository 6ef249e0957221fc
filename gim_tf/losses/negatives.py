"""Where the negatives of InfoNCE come from.

A sampler owns its randomness: its seed generator's state is a variable of the
layer that holds the sampler, and so part of every checkpoint.
"""

import abc
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf


class Draw(NamedTuple):
    """What the objective reads of one batch.

    Attributes:
      start: [] int32, first of the rows that anchors and targets lie in.
      negatives: for each offset o, [b, w - o, s, n] int32, indices into the
        rows of the whole z flattened in the order (b, t, s); w is the window.
      shared: the same negatives, where anchors of several offsets have them
        together; None: each anchor has its own.
    """

    start: tf.Tensor
    negatives: list[tf.Tensor]
    shared: "Shared | None" = None


class Shared(NamedTuple):
    """Negatives of anchors that share them, at most one anchor an offset.

    Attributes:
      places: [p, n] int32, as in `Draw.negatives`.
      place_of: for each offset o, [b, w - o, s] int32 below p: the place of
        each anchor.
    """

    places: tf.Tensor
    place_of: list[tf.Tensor]


class NegativeSampler(keras.layers.Layer, abc.ABC):
    """Draws a window of the time axis, and the negatives of its anchors.

    Letters: b batch, t time, s lanes of z; w window, n negatives; o offset,
    rows between an anchor and its target.

    Args:
      num_negatives: n, negatives of each anchor.
      seed: of the draws.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self, num_negatives: int, *, seed: int = 0, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        if num_negatives < 1:
            raise ValueError(
                f"num_negatives must be at least 1, received {num_negatives}."
            )
        self.num_negatives = num_negatives
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed, name="negatives")

    def draw(
        self, grid: tf.Tensor, window: int | None, offsets: Sequence[int]
    ) -> Draw:
        """Draws anew at every call.

        The window's start is uniform over 0..t-w, one a batch. (The authors
        never draw the last one.)

        Args:
          grid: [3] int32, the sizes b, t, s of z.
          window: w <= t; None: all of t, and no start is drawn.
          offsets: one a prediction step, ascending, below w.
        """
        batch, time, lanes = tf.unstack(grid)
        if window is None:
            span = _Span(batch, time, lanes, tf.constant(0), time)
        else:
            start = self._integers([], time - window + 1)
            span = _Span(batch, time, lanes, start, tf.constant(window))
        drawn = self._negatives(span, offsets)
        if isinstance(drawn, Shared):
            negatives = [
                tf.gather(drawn.places, place) for place in drawn.place_of
            ]
            return Draw(span.start, negatives, drawn)
        return Draw(span.start, drawn)

    @abc.abstractmethod
    def _negatives(
        self, span: "_Span", offsets: Sequence[int]
    ) -> list[tf.Tensor] | Shared:
        """`Draw.negatives`, or `Draw.shared` where anchors share them."""

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "num_negatives": self.num_negatives,
            "seed": self.seed,
        }

    def _next_seed(self) -> tf.Tensor:
        """[2] int32, of one draw; each replica of a strategy has its own.

        The generator's state is the same on all replicas, so that one
        checkpoint has all of it.
        """
        seed = tf.cast(self.generator.next(), tf.int32)
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return seed
        return tf.random.experimental.stateless_fold_in(
            seed, replica.replica_id_in_sync_group
        )

    def _integers(
        self, shape: Sequence[tf.Tensor], bound: tf.Tensor
    ) -> tf.Tensor:
        """Uniform over 0..bound-1, int32."""
        return tf.random.stateless_uniform(
            shape,
            seed=self._next_seed(),
            minval=0,
            maxval=bound,
            dtype=tf.int32,
        )

    def _permutations(self, size: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """[n, length]: as many entries of n permutations of 0..size-1.

        Any `length` places of a random permutation have the distribution of
        the first ones, and those are the places of the largest random keys.
        """
        keys = tf.random.stateless_uniform(
            [self.num_negatives, size],
            seed=self._next_seed(),
            minval=None,
            maxval=None,
            dtype=tf.int32,  # all 32 bits: ties favour low rows, and are rare
        )
        return tf.math.top_k(keys, length).indices


@keras.saving.register_keras_serializable(package="gim_tf")
class UniformNegatives(NegativeSampler):
    """Uniform with replacement from all targets of the prediction step.

    `negatives="uniform"`. Fresh for each anchor and step. The targets of
    offset o are the rows o..t-1 of the whole z; any example and lane may be
    drawn, the positive too.

    Source: the authors' loss on patches; there is no window there.
    """

    def _negatives(
        self, span: "_Span", offsets: Sequence[int]
    ) -> list[tf.Tensor]:
        return [self._step(span, offset) for offset in offsets]

    def _step(self, span: "_Span", offset: int) -> tf.Tensor:
        targets = (span.time - offset) * span.lanes
        drawn = self._integers(
            [*span.anchors(offset), self.num_negatives],
            span.batch * targets,
        )
        return span.rows(drawn, targets, first=offset)


@keras.saving.register_keras_serializable(package="gim_tf")
class PermutedNegatives(NegativeSampler):
    """From n permutations of all rows, shared by the prediction steps.

    `negatives="permuted"`. The n permutations of the b t s rows of the whole
    z are independent and drawn once. The anchors of a step, flattened
    (b, t, s), take the last entries of each, so that they are shifted from
    step to step. Positives and rows that are no targets may be drawn.

    Source: the authors' loss on sequences, `sampling_method` 1, its default.
    """

    def _negatives(self, span: "_Span", offsets: Sequence[int]) -> Shared:
        anchors = [span.anchors(offset) for offset in offsets]
        counts = [tf.reduce_prod(sizes) for sizes in anchors]
        rows = span.batch * span.time * span.lanes
        # What comes before the last entries of the first step is never read.
        places = tf.transpose(self._permutations(rows, counts[0]))
        return Shared(
            places,
            [
                tf.reshape(tf.range(counts[0] - count, counts[0]), sizes)
                for sizes, count in zip(anchors, counts, strict=True)
            ],
        )


@keras.saving.register_keras_serializable(package="gim_tf")
class ShiftedNegatives(NegativeSampler):
    """Targets of the same prediction step in the same window.

    `negatives="shifted"`. Fresh for each anchor and step: uniform over the
    step's targets in all examples and lanes, but never the anchor's own.
    (Where that is the only one, as in a batch of one position, it is drawn
    all the same.)

    Source: the authors' loss on sequences, `sampling_method` 0.
    """

    def _negatives(
        self, span: "_Span", offsets: Sequence[int]
    ) -> list[tf.Tensor]:
        return [self._step(span, offset) for offset in offsets]

    def _step(self, span: "_Span", offset: int) -> tf.Tensor:
        anchors = span.anchors(offset)
        count = tf.reduce_prod(anchors)
        own = tf.reshape(tf.range(count), [*anchors, 1])
        shift = self._integers(
            [*anchors, self.num_negatives], tf.maximum(count - 1, 1)
        )
        return span.rows(
            (own + 1 + shift) % count,
            (span.window - offset) * span.lanes,
            first=span.start + offset,
        )


@keras.saving.register_keras_serializable(package="gim_tf")
class SequenceNegatives(NegativeSampler):
    """Other times of the anchor's own example and lane.

    `negatives="sequence"`. n permutations of the t times of the whole z are
    drawn once, for all examples and steps; w consecutive entries of each are
    used. The negatives of the target in row j of the window are the entries
    j of the permutations. The positive may be drawn.

    Source: the authors' loss on sequences, `sampling_method` 2.
    """

    def _negatives(self, span: "_Span", offsets: Sequence[int]) -> Shared:
        times = tf.transpose(self._permutations(span.time, span.window))
        lane = tf.range(span.lanes)[:, None]
        first = tf.range(span.batch)[:, None, None, None] * span.time
        places = (first + times[:, None]) * span.lanes + lane
        grid = [span.batch, span.window, span.lanes]
        place = tf.reshape(tf.range(tf.reduce_prod(grid)), grid)
        return Shared(
            tf.reshape(places, (-1, self.num_negatives)),
            [place[:, offset:] for offset in offsets],
        )


@keras.saving.register_keras_serializable(package="gim_tf")
class RecordedNegatives(UniformNegatives):
    """Hands out the draw that was recorded last, to check given numbers.

    Before the first record it draws as `UniformNegatives` does, so that a
    layer which is built by calling it can be built. Records are not saved.
    """

    _recorded: Draw | None = None

    def record(self, draw: Draw) -> None:
        """Sets what `draw` returns from now on."""
        self._recorded = draw

    def draw(
        self, grid: tf.Tensor, window: int | None, offsets: Sequence[int]
    ) -> Draw:
        """The recorded draw, whatever the arguments."""
        if self._recorded is None:
            return super().draw(grid, window, offsets)
        return self._recorded


SAMPLERS: dict[str, type[NegativeSampler]] = {
    "uniform": UniformNegatives,
    "permuted": PermutedNegatives,
    "shifted": ShiftedNegatives,
    "sequence": SequenceNegatives,
}
"""The samplers that an experiment can name."""


class _Span(NamedTuple):
    """Sizes of z, and the part of its time axis that is read; [] int32."""

    batch: tf.Tensor
    time: tf.Tensor
    lanes: tf.Tensor
    start: tf.Tensor
    window: tf.Tensor

    def anchors(self, offset: int) -> list[tf.Tensor]:
        """[b, w - o, s], the grid of a step's anchors."""
        return [self.batch, self.window - offset, self.lanes]

    def rows(
        self, targets: tf.Tensor, per_example: tf.Tensor, first: tf.Tensor
    ) -> tf.Tensor:
        """From rows counted among targets to rows counted among all of z.

        Args:
          targets: rows of the targets flattened in the order (b, t, s).
          per_example: how many of them an example has.
          first: time of the first target.
        """
        left_out = self.time * self.lanes - per_example
        return targets + targets // per_example * left_out + first * self.lanes
