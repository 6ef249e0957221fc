"""InfoNCE, the local objective of Greedy InfoMax.

van den Oord et al., "Representation Learning with Contrastive Predictive
Coding" (2018), equation 4; Löwe et al. (2019), equation 2.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

from gim_tf import initializers
from gim_tf.losses.negatives import SAMPLERS, NegativeSampler
from gim_tf.losses.objective import Objective, ObjectiveOutput


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
        start, drawn = self.sampler.draw(tf.shape(z)[:3], window, self.offsets)
        targets = z
        if window is not None:
            targets = z[:, start : start + window]
            context = context[:, start : start + window]
        predicted = [
            tf.einsum("btsc,cd->btsd", context[:, :-offset], w)
            for w, offset in zip(
                tf.unstack(self.w_k), self.offsets, strict=True
            )
        ]
        positive = [
            tf.einsum("btsd,btsd->bts", prediction, targets[:, offset:])
            for prediction, offset in zip(predicted, self.offsets, strict=True)
        ]
        # The anchors of all steps in one piece: one gather and one gradient.
        negative = _negative_scores(
            _flat(predicted, z.shape[-1]),
            tf.reshape(z, (-1, z.shape[-1])),
            _flat(drawn, self.num_negatives),
        )
        scores = tf.concat([_flat(positive, 1), negative], -1)
        sizes = tf.stack([tf.size(step) for step in positive])
        losses = _step_means(_nats(scores, self.log_offset), sizes)
        accuracies = _step_means(_wins(scores), sizes)
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


def _flat(steps: Sequence[tf.Tensor], width: int) -> tf.Tensor:
    """The anchors of all steps, one after the other: [r, width]."""
    return tf.concat([tf.reshape(step, (-1, width)) for step in steps], 0)


@tf.custom_gradient
def _negative_scores(
    predicted: tf.Tensor, rows: tf.Tensor, drawn: tf.Tensor
) -> tuple[tf.Tensor, Any]:
    """Scores of the rows that were drawn: [r, d], [m, d], [r, n] -> [r, n].

    The drawn rows are n times as large as the predictions: they are gathered
    a second time for the gradient instead of being kept until then.
    """

    def gradient(
        upstream: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, None]:
        to_predicted = tf.einsum("rn,rnd->rd", upstream, tf.gather(rows, drawn))
        with tf.control_dependencies([to_predicted]):  # frees what it gathered
            to_drawn = tf.einsum("rn,rd->rnd", upstream, predicted)
        to_rows = tf.math.unsorted_segment_sum(
            to_drawn, drawn, tf.shape(rows)[0]
        )
        return to_predicted, to_rows, None

    return tf.einsum("rd,rnd->rn", predicted, tf.gather(rows, drawn)), gradient


def _nats(scores: tf.Tensor, log_offset: float) -> tf.Tensor:
    """-log(softmax of the positive + offset): [r, 1 + n] -> [r]."""
    nats = tf.reduce_logsumexp(scores, -1) - scores[:, 0]
    if log_offset == 0.0:
        return nats
    return -tf.math.log(tf.exp(-nats) + log_offset)


def _wins(scores: tf.Tensor) -> tf.Tensor:
    """1 where the positive wins, 1 / m in a tie of m: [r, 1 + n] -> [r]."""
    positive, negative = scores[:, :1], scores[:, 1:]
    wins = tf.reduce_all(positive >= negative, -1)
    ties = tf.math.count_nonzero(positive == negative, -1, dtype=scores.dtype)
    return tf.cast(wins, scores.dtype) / (1.0 + ties)


def _step_means(anchors: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Mean over each step's anchors: [r] and [K] -> [K]."""
    return tf.stack([tf.reduce_mean(step) for step in tf.split(anchors, sizes)])


def _two(seed: int) -> tuple[int, int]:
    stream = initializers.seeds(seed)
    return next(stream), next(stream)
