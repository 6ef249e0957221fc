"""InfoNCE, the local objective of Greedy InfoMax.

van den Oord et al., "Representation Learning with Contrastive Predictive
Coding" (2018), equation 4; Löwe et al. (2019), equation 2.
"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from gim_tf import initializers
from gim_tf.losses.negatives import UniformNegatives
from gim_tf.losses.objective import Objective, ObjectiveOutput


@keras.saving.register_keras_serializable(package="gim_tf")
class InfoNCE(Objective):
    """Pick z_{t+k} among N negatives, given the context c_t.

        score_k(z, c) = z^T W_k c,                       k = 1..K
        loss_k = -mean log softmax(score_k(z_{t+k+skip}, c_t) | negatives)
        loss   = mean over k of loss_k

    A guess has loss log(N + 1) and accuracy 1 / (N + 1). Ties share: where
    all scores are equal (a collapsed encoder) the accuracy is 1 / (N + 1).

    Letters: b batch, t time, s lanes, d channels of z, c channels of the
    context, k prediction step, n negatives.

    Args:
      prediction_steps: K, how many offsets are predicted.
      num_negatives: N, negatives of each anchor.
      skip_steps: rows left out between anchor and nearest target, because
        they overlap the anchor: offsets are skip + 1 .. skip + K.
      negatives: "uniform", see `UniformNegatives`.
      seed: of the initial weights and of the negatives.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: at construction for a step or negative count below one; at
        build where the grid has no row left for the largest offset.
    """

    def __init__(
        self,
        *,
        prediction_steps: int,
        num_negatives: int,
        skip_steps: int = 0,
        negatives: str = "uniform",
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
        if negatives != "uniform":
            raise ValueError(
                f"negatives must be 'uniform', received {negatives!r}."
            )
        self.prediction_steps = prediction_steps
        self.num_negatives = num_negatives
        self.skip_steps = skip_steps
        self.negatives = negatives
        self.seed = seed
        self.offsets = tuple(
            k + skip_steps for k in range(1, prediction_steps + 1)
        )
        sampler_seed, self._weight_seed = _two(seed)
        self.sampler = UniformNegatives(num_negatives, seed=sampler_seed)

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
        time = z_shape[1]
        if time <= self.offsets[-1]:
            raise ValueError(
                "prediction_steps + skip_steps must be smaller than the "
                f"{time} time steps of z, received {self.offsets[-1]}."
            )
        channels, context_channels = z_shape[-1], context_shape[-1]
        self.w_k = self.add_weight(
            name="w_k",
            shape=(self.prediction_steps, context_channels, channels),
            # W_k is applied to the target in the authors' code: fan-in = d.
            initializer=initializers.uniform_fan_in(
                channels, self._weight_seed
            ),
        )

    def call(
        self,
        z: tf.Tensor,
        context: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> ObjectiveOutput:
        predictions = tf.einsum("btsc,kcd->kbtsd", context, self.w_k)
        rows = tf.reshape(z, (-1, z.shape[-1]))
        drawn = self.sampler.draw(tf.shape(z)[:3], self.offsets)
        losses, accuracies = [], []
        for step, offset in enumerate(self.offsets):
            predicted = predictions[step, :, :-offset]
            positive = tf.einsum("btsd,btsd->bts", predicted, z[:, offset:])
            negative = tf.einsum(
                "btsd,btsnd->btsn", predicted, tf.gather(rows, drawn[step])
            )
            losses.append(_contrastive_loss(positive, negative))
            accuracies.append(_contrastive_accuracy(positive, negative))
        per_step = tf.stack(accuracies)
        return ObjectiveOutput(
            loss=tf.reduce_mean(tf.stack(losses)),
            accuracy=tf.reduce_mean(per_step),
            per_step=per_step,
        )

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "prediction_steps": self.prediction_steps,
            "num_negatives": self.num_negatives,
            "skip_steps": self.skip_steps,
            "negatives": self.negatives,
            "seed": self.seed,
        }


def _contrastive_loss(positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """-mean log softmax of the positive; [b, t, s] and [b, t, s, n] -> []."""
    scores = tf.concat([positive[..., None], negative], -1)
    return tf.reduce_mean(tf.reduce_logsumexp(scores, -1) - positive)


def _contrastive_accuracy(
    positive: tf.Tensor, negative: tf.Tensor
) -> tf.Tensor:
    """Share of anchors whose positive wins; a tie of m counts 1 / m."""
    best = tf.reduce_max(negative, -1)
    ties = tf.reduce_sum(
        tf.cast(negative == positive[..., None], positive.dtype), -1
    )
    wins = tf.cast(positive >= best, positive.dtype)
    return tf.reduce_mean(wins / (1.0 + ties))


def _two(seed: int) -> tuple[int, int]:
    stream = initializers.seeds(seed)
    return next(stream), next(stream)
