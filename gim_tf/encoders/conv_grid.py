"""Convolutions over the grid itself, as a list of blocks.

With cells of one pixel it is a plain network on whole pictures: the encoders
of Nøkland & Eidnes (2019, "VGG8b") and of Hjelm et al. (2019, after AlexNet),
without the batch normalisation and the dropout of theirs.
"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from gim_tf import initializers
from gim_tf.encoders.convolution import biased_conv2d, every
from gim_tf.shapes import GRID_AXES


@keras.saving.register_keras_serializable(package="gim_tf")
class GridConv2D(keras.layers.Layer):
    """`relu(conv(max_pool(x)))` over time and lanes.

    Pooling comes first, so that a local objective sees the map before it, as
    in the authors' networks. Kernel and bias start uniform in
    +-1/sqrt(fan_in).

    Args:
      in_channels: channels of the input, those of all local positions.
      filters: channels of the output.
      kernel_size: side of the kernel.
      strides: cells between outputs.
      padding: zeros on all four sides, after pooling.
      pool_size: side of what is pooled, without padding; 1, with strides of 1:
        no pooling.
      pool_strides: cells between two that are pooled.
      seed: of the initial weights.
      **kwargs: of `keras.layers.Layer`.

    Input: [b, t, s, *local, c]; what is inside a cell is read as its
      channels, of which there are `in_channels`.
    Output: [b, t', s', filters].

    Raises:
      ValueError: when built for a grid of which nothing would be left.
    """

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel_size: int,
        *,
        strides: int = 1,
        padding: int = 0,
        pool_size: int = 1,
        pool_strides: int = 1,
        seed: int = 0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self._arguments = {
            "in_channels": in_channels,
            "filters": filters,
            "kernel_size": kernel_size,
            "strides": strides,
            "padding": padding,
            "pool_size": pool_size,
            "pool_strides": pool_strides,
            "seed": seed,
        }
        self.filters, self.kernel_size = filters, kernel_size
        self.strides, self.padding = strides, padding
        self.pool_size, self.pool_strides = pool_size, pool_strides

    def build(self, input_shape: Sequence[int | None]) -> None:
        _, *sides, _ = self.compute_output_shape(input_shape)
        if any(side is not None and side < 1 for side in sides):
            raise ValueError(
                f"Nothing is left of a grid of {tuple(input_shape[1:3])} after "
                f"pooling {self.pool_size} and a kernel of {self.kernel_size}; "
                "give larger views or fewer blocks."
            )
        channels = self._arguments["in_channels"]
        seeds = initializers.seeds(self._arguments["seed"])
        fan_in = channels * self.kernel_size**2
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, channels, self.filters),
            initializer=initializers.uniform_fan_in(fan_in, next(seeds)),
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(self.filters,),
            initializer=initializers.uniform_fan_in(fan_in, next(seeds)),
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        if x.shape.rank > GRID_AXES + 1:
            sides, inside = x.shape[1:GRID_AXES], x.shape[GRID_AXES:]
            x = tf.reshape(x, (-1, *sides, math.prod(inside)))
        if max(self.pool_size, self.pool_strides) > 1:
            x = tf.nn.max_pool2d(x, self.pool_size, self.pool_strides, "VALID")
        # An odd kernel at stride 1: "same" is symmetric, and needs no copy.
        same = self.strides == 1 and 2 * self.padding + 1 == self.kernel_size
        if self.padding and not same:
            margin = [self.padding, self.padding]
            x = tf.pad(x, [[0, 0], margin, margin, [0, 0]])
        strides = self.strides
        if self.kernel_size == 1 and strides > 1:
            x, strides = every(x, strides), 1  # see `PaddedConv2D`
        y = biased_conv2d(
            x,
            tf.convert_to_tensor(self.kernel),
            tf.convert_to_tensor(self.bias),
            strides=strides,
            padding="SAME" if same else "VALID",
        )
        return tf.nn.relu(y)

    def compute_output_shape(
        self, input_shape: Sequence[int | None]
    ) -> tuple[int | None, ...]:
        batch, *sides = input_shape[:GRID_AXES]
        return (batch, *map(self._side, sides), self.filters)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), **self._arguments}

    def _side(self, length: int | None) -> int | None:
        if length is None:
            return None
        length = (length - self.pool_size) // self.pool_strides + 1
        spare = length + 2 * self.padding - self.kernel_size
        return spare // self.strides + 1


def conv2d_blocks(
    *,
    in_channels: int,
    channels: Sequence[int],
    kernel_sizes: Sequence[int],
    strides: Sequence[int],
    paddings: Sequence[int],
    pool_sizes: Sequence[int],
    pool_strides: Sequence[int],
    seed: int = 0,
) -> list[keras.layers.Layer]:
    """All blocks of the encoder in order, one convolution each.

    Args:
      in_channels: channels of a cell of the input, times what is inside it.
      channels: output channels of each block.
      kernel_sizes: of each block.
      strides: of each block.
      paddings: of each block.
      pool_sizes: of each block.
      pool_strides: of each block.
      seed: of the initial weights.

    Returns:
      len(channels) layers, each [b, t, s, ...] -> [b, t', s', c'].

    Raises:
      ValueError: the sequences are not of one length.
    """
    seeds = initializers.seeds(seed)
    widths = (in_channels, *channels)
    settings = zip(
        channels,
        kernel_sizes,
        strides,
        paddings,
        pool_sizes,
        pool_strides,
        strict=True,
    )
    return [
        GridConv2D(
            widths[index],
            filters,
            kernel_size,
            strides=stride,
            padding=padding,
            pool_size=pool_size,
            pool_strides=pool_stride,
            seed=next(seeds),
            name=f"conv_{index + 1}",
        )
        for index, (
            filters,
            kernel_size,
            stride,
            padding,
            pool_size,
            pool_stride,
        ) in enumerate(settings)
    ]
