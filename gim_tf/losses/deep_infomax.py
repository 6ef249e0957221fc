"""Local Deep InfoMax: every part of an example tells of its whole.

Hjelm et al., "Learning Deep Representations by Mutual Information Estimation
and Maximization" (2019), section 3.3, with the noise-contrastive estimator of
their equation 5; details as in the authors' code (rdevon/DIM).
"""

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from gim_tf import initializers
from gim_tf.losses.objective import Objective, ObjectiveOutput
from gim_tf.shapes import pool_grid

_EXCLUDED = -1e9
"""Score of what is no negative: it adds nothing to a sum of exponentials."""
_ROUNDING = 1e-5
"""Of float32 sums of some hundred products, relative to the largest score."""
_LN_EPSILON = 1e-5
_SHORTCUT_NOISE = 0.01


@keras.saving.register_keras_serializable(package="gim_tf")
class DeepInfoMax(Objective):
    """Pick an example's own part among the parts of all others.

        l_bi = LayerNorm(f(z_bi))        for each position i of the grid
        g_b  = h(mean over i of context_bi)
        loss = -mean_bi log softmax(l_bi . g_b | l_b'j . g_b, all b' != b, j)

    f and h are networks of one hidden layer with a linear shortcut around it,
    of `mi_units` channels throughout. A guess has loss log(N + 1) and accuracy
    1 / (N + 1) with N = (batch - 1) t s. Ties share.

    Letters: b batch, t time, s lanes, d channels of z, c channels of the
    context, u = mi_units.

    Where it differs from the paper, whose local features come from a layer in
    the middle of the encoder and whose global vector is the encoder's output:
    here both are made from the output of the module, the local features from
    z, the global vector from the mean of the context over the grid (which is
    z where there is no autoregressor). Without batch normalisation in f and h.
    The authors' code leaves an example's own positions among its negatives,
    with a score of -10; here they are left out.

    No [b, t s, b t s] scores are made: the negatives of all positions of an
    example are the same, and so is their part of the softmax.

    Args:
      batch_size: examples of a training batch, which `chance_loss` depends
        on; a batch of another size may be given all the same.
      mi_units: u, 1024 in the paper.
      seed: of the initial weights.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      ValueError: fewer than two examples, which have no negatives, or units.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        mi_units: int = 1024,
        seed: int = 0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if batch_size < 2 or mi_units < 2:
            raise ValueError(
                "Expected batch_size >= 2, so that there are negatives, and "
                f"mi_units >= 2, received {batch_size} and {mi_units}."
            )
        self.batch_size = batch_size
        self.mi_units = mi_units
        self.seed = seed
        seeds = initializers.seeds(seed)
        policy = self.dtype_policy
        self.local_net = _ShortcutMLP(
            mi_units, next(seeds), name="local", dtype=policy
        )
        self.global_net = _ShortcutMLP(
            mi_units, next(seeds), name="global", dtype=policy
        )
        self.normalise = keras.layers.LayerNormalization(
            epsilon=_LN_EPSILON,
            # It would add the same to all scores of an example: no gradient.
            center=False,
            name="normalise",
            dtype=policy,
        )
        self._positions: int | None = None

    @property
    def chance_loss(self) -> float:
        """log(N + 1), in nats; known once the layer is built."""
        return math.log(self._choices())

    @property
    def chance_accuracy(self) -> float:
        """1 / (N + 1); known once the layer is built."""
        return 1.0 / self._choices()

    def build(
        self,
        z_shape: Sequence[int],
        context_shape: Sequence[int],
    ) -> None:
        if None in z_shape[1:]:
            raise ValueError(
                "DeepInfoMax needs a static grid, received z of shape "
                f"{tuple(z_shape)}; give the lengths of axes 1 and 2."
            )
        self._positions = z_shape[1] * z_shape[2]
        self.local_net.build((None, z_shape[-1]))
        self.global_net.build((None, context_shape[-1]))
        self.normalise.build((None, self.mi_units))

    def call(
        self,
        z: tf.Tensor,
        context: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> ObjectiveOutput:
        positions = z.shape[1] * z.shape[2]
        parts = self.normalise(self.local_net(tf.reshape(z, (-1, z.shape[-1]))))
        wholes = self.global_net(pool_grid(context))
        scores = tf.matmul(wholes, parts, transpose_b=True)
        batch = tf.shape(wholes)[0]
        scores = tf.reshape(scores, (batch, batch, positions))
        own = tf.eye(batch, dtype=tf.bool)[:, :, None]
        positive = tf.reduce_sum(tf.where(own, scores, 0.0), 1)
        negative = tf.reshape(
            tf.where(own, _EXCLUDED, scores), (batch, batch * positions)
        )
        rest = tf.reduce_logsumexp(negative, -1, keepdims=True)
        # log(e^positive + e^rest) - positive.
        nats = tf.nn.softplus(rest - positive)
        accuracy = tf.reduce_mean(_wins(positive, negative))
        return ObjectiveOutput(
            loss=tf.reduce_mean(nats),
            accuracy=accuracy,
            per_step=accuracy[None],
        )

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "batch_size": self.batch_size,
            "mi_units": self.mi_units,
            "seed": self.seed,
        }

    def _choices(self) -> int:
        if self._positions is None:
            raise ValueError(
                "The negatives of DeepInfoMax depend on the grid of z; build "
                "or call it first."
            )
        return 1 + (self.batch_size - 1) * self._positions


class _ShortcutMLP(keras.layers.Layer):
    """`relu(x A + a) B + b + x C`: the authors' `MI1x1ConvNet` and `MIFCNet`.

    C starts as a noisy copy, 1 on the diagonal and U(+-0.01) elsewhere, where
    there are as many units as channels; A, B, a, b (and C elsewhere) start
    uniform in +-1/sqrt(fan_in). Without batch normalisation, so with a bias.

    Input: [n, c]. Output: [n, units].
    """

    def __init__(self, units: int, seed: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.units, self.seed = units, seed

    def build(self, input_shape: tuple[None, int]) -> None:
        channels, units = input_shape[-1], self.units
        seeds = initializers.seeds(self.seed)

        def weight(name: str, *shape: int, fan_in: int) -> keras.Variable:
            initial = initializers.uniform_fan_in(fan_in, next(seeds))
            return self.add_weight(name=name, shape=shape, initializer=initial)

        self.hidden = weight("hidden", channels, units, fan_in=channels)
        self.hidden_bias = weight("hidden_bias", units, fan_in=channels)
        self.output_kernel = weight("output", units, units, fan_in=units)
        self.output_bias = weight("output_bias", units, fan_in=units)
        noise = next(seeds)
        self.shortcut = self.add_weight(
            name="shortcut",
            shape=(channels, units),
            initializer=(
                _noisy_copy(noise)
                if units >= channels
                else initializers.uniform_fan_in(channels, noise)
            ),
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.relu(tf.matmul(x, self.hidden) + self.hidden_bias)
        residual = tf.matmul(hidden, self.output_kernel) + self.output_bias
        return residual + tf.matmul(x, self.shortcut)


def _noisy_copy(seed: int) -> Callable[..., tf.Tensor]:
    """An initializer: 1 on the diagonal, U(+-0.01) elsewhere."""
    noise = keras.initializers.RandomUniform(
        -_SHORTCUT_NOISE, _SHORTCUT_NOISE, seed=seed
    )

    def initial(shape: Sequence[int], dtype: str) -> tf.Tensor:
        drawn = noise(shape, dtype)
        return tf.linalg.set_diag(drawn, tf.ones((min(shape),), dtype))

    return initial


def _wins(positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    """1 where the positive wins, 1 / m in a tie of m: [b, l].

    Args:
      positive: [b, l].
      negative: [b, n], of each example, the same for all its positions.
    """
    best = tf.reduce_max(negative, -1, keepdims=True)
    rounding = _ROUNDING * tf.maximum(
        tf.reduce_max(tf.abs(positive), -1, keepdims=True), tf.abs(best)
    )
    ties = tf.math.count_nonzero(
        negative >= best - rounding, -1, keepdims=True, dtype=positive.dtype
    )
    margin = positive - best
    share = tf.where(margin > rounding, 1.0, 1.0 / (1.0 + ties))
    return tf.where(margin >= -rounding, share, 0.0)
