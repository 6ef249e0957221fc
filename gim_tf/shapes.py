"""The shape contract: [batch, time, lanes, *local, channels].

Patches of a picture: time = rows, lanes = columns, local = positions inside a
patch. Sequences: time = frames, one lane, no local axes. What does not care
about the grid is applied with its three axes folded into one, as
`snt.BatchApply` does.
"""

import keras
import tensorflow as tf

GRID_AXES = 3
"""Leading axes of every activation: batch, time, lanes."""


@keras.saving.register_keras_serializable(package="gim_tf")
class BatchApply(keras.layers.Layer):
    """Applies a layer to each cell of the grid, all cells in one batch.

    Args:
      layer: maps [n, ...] to [n, ...]; n = b t s.
      **kwargs: of `keras.layers.Layer`.

    Input: [b, t, s, ...], with static time and lane axes.
    Output: [b, t, s, ...]; called with `with_mean`, where the layer knows how,
      also its mean over what is not grid or channels, [b, t, s, c].
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) <= GRID_AXES or None in input_shape[1:GRID_AXES]:
            raise ValueError(
                "BatchApply expects [batch, time, lanes, ...] with static time "
                f"and lanes, received shape {tuple(input_shape)}."
            )
        if not self.layer.built:
            self.layer.build((None, *input_shape[GRID_AXES:]))

    @property
    def supports_mean(self) -> bool:
        """Whether it can be called with `with_mean`, as the layer can."""
        return getattr(self.layer, "supports_mean", False)

    def call(
        self, x: tf.Tensor, training: bool = False, with_mean: bool = False
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        time, lanes = x.shape[1:GRID_AXES]
        folded = tf.reshape(x, (-1, *x.shape[GRID_AXES:]))

        def unfolded(y: tf.Tensor) -> tf.Tensor:
            return tf.reshape(y, (-1, time, lanes, *y.shape[1:]))

        if not with_mean:
            return unfolded(self.layer(folded, training=training))
        y, mean = self.layer(folded, training=training, with_mean=True)
        return unfolded(y), unfolded(mean)

    def get_config(self) -> dict[str, object]:
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer}

    @classmethod
    def from_config(cls, config: dict[str, object]) -> "BatchApply":
        config = dict(config)
        layer = keras.saving.deserialize_keras_object(config.pop("layer"))
        return cls(layer, **config)


def pool_local(x: tf.Tensor) -> tf.Tensor:
    """Mean over the local axes: [b, t, s, *local, c] -> [b, t, s, c]."""
    local_axes = tuple(range(GRID_AXES, x.shape.rank - 1))
    return tf.reduce_mean(x, local_axes) if local_axes else x


def pool_grid(grid: tf.Tensor) -> tf.Tensor:
    """Mean over time and lanes: [b, t, s, d] -> [b, d]."""
    return tf.reduce_mean(grid, (1, 2))


def pool_time(
    grid: tf.Tensor, *, ratio: int, shift: int, steps: tf.Tensor | int
) -> tf.Tensor:
    """Mean over groups of consecutive time steps.

    Args:
      grid: [b, t, s, d].
      ratio: time steps of a group.
      shift: time steps that the first group lacks at its start; every mean is
        over those steps of its group that there are. Below 0: time steps that
        lie before the first group, and are left out.
      steps: number of groups; what lies behind the last is left out.

    Returns:
      [b, steps, s, d].
    """
    if shift < 0:
        grid, shift = grid[:, -shift:], 0
    if ratio == 1 and shift == 0:
        return grid[:, :steps]
    length = tf.shape(grid)[1]
    behind = tf.maximum(steps * ratio - shift - length, 0)
    padding = [[0, 0], [shift, behind], [0, 0], [0, 0]]

    def sums(x: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(x, padding)[:, : steps * ratio]
        shape = (tf.shape(x)[0], steps, ratio, *x.shape[2:])
        return tf.reduce_sum(tf.reshape(padded, shape), 2)

    counts = sums(tf.ones((1, length, 1, 1), grid.dtype))
    return sums(grid) / counts
