"""InfoNCE, the local objective of Greedy InfoMax.

van den Oord et al., "Representation Learning with Contrastive Predictive
Coding" (2018), equation 4; Löwe et al. (2019), equation 2.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import keras
import tensorflow as tf

from gim_tf import initializers
from gim_tf.losses import scoring
from gim_tf.losses.negatives import SAMPLERS, Draw, NegativeSampler
from gim_tf.losses.objective import Objective, ObjectiveOutput

_ROUNDING = 1e-5
"""Of float32 sums of some hundred products, relative to the largest score."""


@keras.saving.register_keras_serializable(package="gim_tf")
class InfoNCE(Objective):
    """Pick z_{t+k} among N negatives, given the context c_t.

        score_k(z, c) = c^T W_k z,                       k = 1..K
        loss_k = -mean log softmax(score_k(z_{t+k+skip}, c_t) | negatives)
        loss   = mean over k of loss_k

    A guess has loss log(N + 1) and accuracy 1 / (N + 1). Ties share: where
    all scores are equal (a collapsed encoder) the accuracy is 1 / (N + 1).

    Letters: b batch, t time, s lanes, d channels of z, c channels of the
    context, w window, n negatives; r all anchors of all steps.

    The authors' two trees, for patches on a grid and for sequences, differ.
    Each reading is an option:

        option      patches     sequences                        default
        negatives   "uniform"   "permuted" ("shifted" and        "uniform"
                                "sequence" on request)
        window      None        128                              None
        fan_in      "target"    "context"                        "target"
        log_offset  1e-11       0.0                              0.0

    Args:
      prediction_steps: K, how many offsets are predicted.
      num_negatives: N, negatives of each anchor.
      skip_steps: rows left out between anchor and nearest target, because
        they overlap the anchor: offsets are skip + 1 .. skip + K.
      negatives: a key of `negatives.SAMPLERS`, whose classes describe them,
        or a sampler with the same `num_negatives`.
      window: anchors and targets lie in as many consecutive rows of time,
        the same for the whole batch and new in each call; negatives may lie
        outside of it. None, or not below t: all rows.
      fan_in: the initial W_k is U(+-1/sqrt(d)) for "target", as if it were
        applied to z, and U(+-1/sqrt(c)) for "context".
      log_offset: a in -log(p + a), p the softmax of the positive; 0.0: the
        stable log-softmax. With 1e-11 the loss never exceeds 25.3 and the
        gradient fades there, to zero where p underflows: the anchors that
        are most wrong teach nothing. The default has neither fault.
      seed: of the initial weights and of the negatives.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: at construction for a value out of range; at build where
        the grid has no row left for the largest offset.
    """

    def __init__(
        self,
        *,
        prediction_steps: int,
        num_negatives: int,
        skip_steps: int = 0,
        negatives: str | NegativeSampler = "uniform",
        window: int | None = None,
        fan_in: Literal["target", "context"] = "target",
        log_offset: float = 0.0,
        seed: int = 0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if prediction_steps < 1 or num_negatives < 1 or skip_steps < 0:
            raise ValueError(
                "Expected prediction_steps >= 1, num_negatives >= 1 and "
                f"skip_steps >= 0, received {prediction_steps}, "
                f"{num_negatives} and {skip_steps}."
            )
        if fan_in not in ("target", "context"):
            raise ValueError(
                f"fan_in must be 'target' or 'context', received {fan_in!r}."
            )
        if log_offset < 0:
            raise ValueError(
                f"log_offset must not be negative, received {log_offset}."
            )
        self.prediction_steps = prediction_steps
        self.num_negatives = num_negatives
        self.skip_steps = skip_steps
        self.window = window
        self.fan_in = fan_in
        self.log_offset = log_offset
        self.seed = seed
        self.offsets = tuple(
            k + skip_steps for k in range(1, prediction_steps + 1)
        )
        if window is not None:
            self._require_rows(window, "rows of the window")
        sampler_seed, self._weight_seed = _two(seed)
        self.sampler = _sampler(negatives, num_negatives, sampler_seed)
        self._sampler_name = negatives if isinstance(negatives, str) else None

    @property
    def chance_loss(self) -> float:
        """log(N + 1), in nats."""
        return math.log(self.num_negatives + 1)

    @property
    def chance_accuracy(self) -> float:
        """1 / (N + 1)."""
        return 1.0 / (self.num_negatives + 1)

    def build(
        self,
        z_shape: Sequence[int],
        context_shape: Sequence[int],
    ) -> None:
        time: int | None = z_shape[1]
        if time is None:
            raise ValueError(
                "InfoNCE needs a static time axis, received z of shape "
                f"{tuple(z_shape)}; give the length of axis 1."
            )
        self._require_rows(time, "time steps of z")
        channels, context_channels = z_shape[-1], context_shape[-1]
        fan_in = channels if self.fan_in == "target" else context_channels
        self.w_k = self.add_weight(
            name="w_k",
            shape=(self.prediction_steps, context_channels, channels),
            initializer=initializers.uniform_fan_in(fan_in, self._weight_seed),
        )

    def call(
        self,
        z: tf.Tensor,
        context: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> ObjectiveOutput:
        window = self.window
        if window is not None and window >= z.shape[1]:
            window = None
        draw = self.sampler.draw(tf.shape(z)[:3], window, self.offsets)
        anchors = _Anchors(tf.shape(z), draw.start, window or z.shape[1])
        rows = tf.reshape(z, (-1, z.shape[-1]))
        contexts = rows  # one gradient then, not the sum of two
        if context is not z:
            contexts = tf.reshape(context, (-1, context.shape[-1]))
        # Every step has the first one's anchors here; the last rows have no
        # target in the others, and count for nothing.
        predicted = tf.matmul(
            tf.gather(contexts, anchors.rows(0, self.offsets[0])), self.w_k
        )
        has_target = anchors.have_targets(self.offsets)
        scores = scoring.scores(
            tf.reshape(predicted, (-1, z.shape[-1])),
            rows,
            anchors.contrast(draw, self.offsets),
        )
        scores = tf.reshape(
            scores, (self.prediction_steps, -1, self.num_negatives + 1)
        )
        losses = _step_means(_nats(scores, self.log_offset), has_target)
        accuracies = _step_means(_wins(scores), has_target)
        return ObjectiveOutput(
            loss=tf.reduce_mean(losses),
            accuracy=tf.reduce_mean(accuracies),
            per_step=accuracies,
        )

    def get_config(self) -> dict[str, object]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "prediction_steps": self.prediction_steps,
            "num_negatives": self.num_negatives,
            "skip_steps": self.skip_steps,
            "negatives": self._sampler_name or serialize(self.sampler),
            "window": self.window,
            "fan_in": self.fan_in,
            "log_offset": self.log_offset,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "InfoNCE":
        negatives = config["negatives"]
        if isinstance(negatives, dict):
            negatives = keras.saving.deserialize_keras_object(negatives)
        return cls(**{**config, "negatives": negatives})

    def _require_rows(self, rows: int, what: str) -> None:
        if rows <= self.offsets[-1]:
            raise ValueError(
                "prediction_steps + skip_steps must be smaller than the "
                f"{rows} {what}, received {self.offsets[-1]}."
            )


def _sampler(
    negatives: str | NegativeSampler, num_negatives: int, seed: int
) -> NegativeSampler:
    if isinstance(negatives, str) and negatives in SAMPLERS:
        return SAMPLERS[negatives](num_negatives, seed=seed)
    if not isinstance(negatives, NegativeSampler):
        names = ", ".join(map(repr, SAMPLERS))
        raise ValueError(
            f"negatives must be one of {names} or a NegativeSampler, received "
            f"{negatives!r}."
        )
    if negatives.num_negatives != num_negatives:
        raise ValueError(
            f"num_negatives is {num_negatives}, but the given sampler draws "
            f"{negatives.num_negatives}; make them equal."
        )
    return negatives


class _Anchors(NamedTuple):
    """The anchors of a draw: those of the first step, for every step.

    Attributes:
      sizes: [4] int32, b, t, s and d of the whole z.
      start: [] int32, first row of the window.
      window: its rows.
    """

    sizes: tf.Tensor
    start: tf.Tensor
    window: int

    def rows(self, shift: int, first_offset: int) -> tf.Tensor:
        """Row of z, `shift` below each anchor but in the window: [a]."""
        batch, time, lanes, _ = tf.unstack(self.sizes)
        row = tf.range(self.window - first_offset) + shift
        row = self.start + tf.minimum(row, self.window - 1)
        example = tf.range(batch)[:, None, None] * time
        grid = (example + row[:, None]) * lanes + tf.range(lanes)
        return tf.reshape(grid, (-1,))

    def have_targets(self, offsets: Sequence[int]) -> tf.Tensor:
        """[K, a] bool."""
        batch, _, lanes, _ = tf.unstack(self.sizes)
        row = tf.range(self.window - offsets[0])
        last = self.window - tf.constant(offsets)[:, None]
        grid = (row < last)[:, None, :, None]
        grid = tf.tile(grid, [1, batch, 1, lanes])
        return tf.reshape(grid, (len(offsets), -1))

    def contrast(self, draw: Draw, offsets: Sequence[int]) -> scoring.Contrast:
        """What every step's anchors are contrasted with, K a of them."""
        steps = len(offsets)
        if draw.shared is None:
            places = tf.concat(
                [
                    tf.reshape(step, (-1, step.shape[-1]))
                    for step in draw.negatives
                ],
                0,
            )
            counts = [tf.size(step[..., 0]) for step in draw.negatives]
            firsts = tf.cumsum(counts, exclusive=True)
            slots = [
                tf.reshape(first + tf.range(count), tf.shape(step[..., 0]))
                for first, count, step in zip(
                    tf.unstack(firsts), counts, draw.negatives, strict=True
                )
            ]
            sharing = 1
        else:
            places, sharing = draw.shared.places, steps
            slots = [
                place * steps + k
                for k, place in enumerate(draw.shared.place_of)
            ]
        padded = [
            tf.pad(
                step,
                [[0, 0], [0, offset - offsets[0]], [0, 0]],
                constant_values=-1,
            )
            for step, offset in zip(slots, offsets, strict=True)
        ]
        return scoring.Contrast(
            positives=tf.concat(
                [self.rows(offset, offsets[0]) for offset in offsets], 0
            ),
            places=places,
            slots=tf.concat([tf.reshape(step, (-1,)) for step in padded], 0),
            sharing=sharing,
        )


def _nats(scores: tf.Tensor, log_offset: float) -> tf.Tensor:
    """-log(softmax of the positive + offset): [K, a, 1 + n] -> [K, a]."""
    nats = tf.reduce_logsumexp(scores, -1) - scores[..., 0]
    if log_offset == 0.0:
        return nats
    return -tf.math.log(tf.exp(-nats) + log_offset)


def _wins(scores: tf.Tensor) -> tf.Tensor:
    """1 where the positive wins, 1 / m in a tie of m: [K, a, 1 + n] -> [K, a].

    Scores tie within what rounding does to equal rows of z.
    """
    positive, negative = scores[..., :1], scores[..., 1:]
    largest = tf.reduce_max(tf.abs(scores), -1, keepdims=True)
    margin, rounding = positive - negative, _ROUNDING * largest
    wins = tf.reduce_all(margin >= -rounding, -1)
    ties = tf.math.count_nonzero(
        tf.abs(margin) <= rounding, -1, dtype=scores.dtype
    )
    return tf.cast(wins, scores.dtype) / (1.0 + ties)


def _step_means(anchors: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    """Mean over each step's anchors that count: [K, a] twice -> [K]."""
    total = tf.reduce_sum(tf.where(counted, anchors, 0.0), -1)
    return total / tf.reduce_sum(tf.cast(counted, anchors.dtype), -1)


def _two(seed: int) -> tuple[int, int]:
    stream = initializers.seeds(seed)
    return next(stream), next(stream)
