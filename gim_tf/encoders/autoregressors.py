"""Contexts: what a position knows of its past, along time.

A recurrent one over each lane, and a masked convolution over time and lanes
(van den Oord et al., "Conditional Image Generation with PixelCNN Decoders",
2016), as the authors of Greedy InfoMax use them.
"""

import functools
from typing import Any

import keras
import tensorflow as tf

from gim_tf import initializers


@keras.saving.register_keras_serializable(package="gim_tf")
class GRUContext(keras.layers.Layer):
    """A gated recurrent unit along time, from a state of zeros in each lane.

    Args:
      in_channels: channels of the input.
      units: channels of the context.
      backpropagate_through_time: False: the state before a step is a constant
        of that step, so no gradient crosses time. The output is the same.
      seed: of the initial weights, uniform in +-1/sqrt(units).
      **kwargs: of `keras.layers.Layer`.

    Attributes:
      gru: its trainable variables are kernel [in_channels, 3 units],
        recurrent_kernel [units, 3 units] and bias [2, 3 units] (of the input
        and of the state); gates in the order update, reset, candidate.

    Input: [b, t, s, in_channels]; t and b may be unknown.
    Output: [b, t, s, units].
    """

    def __init__(
        self,
        in_channels: int,
        units: int,
        *,
        backpropagate_through_time: bool = True,
        seed: int = 0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self._arguments = {
            "in_channels": in_channels,
            "units": units,
            "backpropagate_through_time": backpropagate_through_time,
            "seed": seed,
        }
        seeds = initializers.seeds(seed)
        kernel, recurrent, bias = (
            initializers.uniform_fan_in(units, next(seeds)) for _ in range(3)
        )
        self.gru = keras.layers.GRU(
            units,
            kernel_initializer=kernel,
            recurrent_initializer=recurrent,
            bias_initializer=bias,
            return_sequences=True,
            seed=next(seeds),  # of a dropout of 0: a variable all the same
            dtype=self.dtype_policy,
            name="gru",
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if not self.gru.built:
            self.gru.build((None, None, self._arguments["in_channels"]))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        # A graph traced with cuDNN's kernel runs nowhere but on GPUs.
        self.gru.use_cudnn = "auto" if training else False
        _, time, lanes, channels = keras.ops.shape(x)
        sequences = tf.transpose(x, (0, 2, 1, 3))
        sequences = tf.reshape(sequences, (-1, time, channels))
        states = self.gru(sequences)
        if not self._arguments["backpropagate_through_time"]:
            states = self._one_step_each(sequences, states)
        states = tf.reshape(states, (-1, lanes, time, self.gru.units))
        return tf.transpose(states, (0, 2, 1, 3))

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.gru.units)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), **self._arguments}

    def _one_step_each(
        self, sequences: tf.Tensor, states: tf.Tensor
    ) -> tf.Tensor:
        """The states again, each from the one before as a constant.

        Known states make the steps independent: all are one batch, forward
        and backward, where a loop would take them in turn.
        """
        before = tf.pad(states[:, :-1], [[0, 0], [1, 0], [0, 0]])
        before = tf.reshape(tf.stop_gradient(before), (-1, self.gru.units))
        inputs = tf.reshape(sequences, (-1, sequences.shape[-1]))
        after, _ = self.gru.cell(inputs, before)
        return tf.reshape(after, tf.shape(states))


@keras.saving.register_keras_serializable(package="gim_tf")
class GatedMaskedConv(keras.layers.Layer):
    """A layer of two maps: v sees the rows above, h reads v in its own row.

    Rows are time steps. Nothing sees a row below its own, in which all
    lanes are seen: predictions are of later rows.

    Args:
      channels: of both maps, before and after.
      first: h starts here: no residual connections.
      last: v ends here and is returned as it came.
      seed: of the initial weights, uniform in +-1/sqrt(fan_in).
      **kwargs: of `keras.layers.Layer`.

    Attributes:
      vertical: kernel [2, 3, c, 2c], the rows of a masked 3x3 that see
        something; its fan-in counts all three.
      vertical_to_horizontal: kernel [1, 1, 2c, 2c].
      horizontal: kernel [1, 3, c, 2c].
      output_conv: kernel [1, 1, c, c].
      vertical_residual: kernel [1, 1, c, 2c]; None in the first and the last.

    Input: v and h, [b, t, s, channels] each. Output: both, the same shapes.
    """

    def __init__(
        self,
        channels: int,
        *,
        first: bool = False,
        last: bool = False,
        seed: int = 0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self._arguments = {
            "channels": channels,
            "first": first,
            "last": last,
            "seed": seed,
        }
        c, seeds = channels, initializers.seeds(seed)
        conv = functools.partial(_conv, dtype=self.dtype_policy)
        self.vertical = conv(2 * c, (2, 3), 9 * c, next(seeds), "vertical")
        self.vertical_to_horizontal = conv(
            2 * c, 1, 2 * c, next(seeds), "vertical_to_horizontal"
        )
        self.horizontal = conv(2 * c, (1, 3), 3 * c, next(seeds), "horizontal")
        self.output_conv = conv(c, 1, c, next(seeds), "output_conv")
        self.vertical_residual = None
        if not (first or last):
            self.vertical_residual = conv(
                2 * c, 1, c, next(seeds), "vertical_residual"
            )

    def build(
        self,
        v_shape: tuple[int | None, ...],
        h_shape: tuple[int | None, ...],
    ) -> None:
        for convolution, factor in (
            (self.vertical, 1),
            (self.vertical_to_horizontal, 2),
            (self.horizontal, 1),
            (self.output_conv, 1),
            (self.vertical_residual, 1),
        ):
            if convolution is not None and not convolution.built:
                width = factor * self._arguments["channels"]
                convolution.build((None, None, None, width))

    def call(self, v: tf.Tensor, h: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seen = self.vertical(tf.pad(v, [[0, 0], [1, 0], [1, 1], [0, 0]]))
        across = tf.pad(h, [[0, 0], [0, 0], [1, 1], [0, 0]])
        gates = self.horizontal(across) + self.vertical_to_horizontal(seen)
        out = self.output_conv(_gate(gates))
        if not self._arguments["first"]:
            out = out + h
        if self._arguments["last"]:
            return v, out
        if self.vertical_residual is not None:
            seen = seen + self.vertical_residual(v)
        return _gate(seen), out

    def compute_output_shape(
        self,
        v_shape: tuple[int | None, ...],
        h_shape: tuple[int | None, ...],
    ) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        return v_shape, h_shape

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), **self._arguments}


@keras.saving.register_keras_serializable(package="gim_tf")
class MaskedConvContext(keras.layers.Layer):
    """The gated convolutions that see their own row and `num_layers` above.

    Args:
      channels: of the input and of the context.
      num_layers: gated layers before the last convolution.
      seed: of the initial weights.
      **kwargs: of `keras.layers.Layer`.

    Attributes:
      blocks: the gated layers, first to last.
      output_conv: kernel [1, 1, channels, channels].

    Input, output: [b, t, s, channels].
    """

    def __init__(
        self,
        channels: int,
        *,
        num_layers: int = 4,
        seed: int = 0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if num_layers < 1:
            raise ValueError(
                f"num_layers must be at least 1, received {num_layers}."
            )
        self._arguments = {
            "channels": channels,
            "num_layers": num_layers,
            "seed": seed,
        }
        seeds = initializers.seeds(seed)
        self.blocks = [
            GatedMaskedConv(
                channels,
                first=index == 1,
                last=index == num_layers,
                seed=next(seeds),
                dtype=self.dtype_policy,
                name=f"block_{index}",
            )
            for index in range(1, num_layers + 1)
        ]
        self.output_conv = _conv(
            channels,
            1,
            channels,
            next(seeds),
            "output_conv",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for block in self.blocks:
            if not block.built:
                block.build(input_shape, input_shape)
        if not self.output_conv.built:
            self.output_conv.build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        v, h = x, x
        for block in self.blocks:
            v, h = block(v, h)
        return self.output_conv(h)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), **self._arguments}


def _gate(x: tf.Tensor) -> tf.Tensor:
    value, gate = tf.split(x, 2, axis=-1)
    return tf.tanh(value) * tf.sigmoid(gate)


def _conv(
    filters: int,
    kernel_size: Any,
    fan_in: int,
    seed: int,
    name: str,
    *,
    dtype: Any,
) -> keras.layers.Conv2D:
    seeds = initializers.seeds(seed)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        kernel_initializer=initializers.uniform_fan_in(fan_in, next(seeds)),
        bias_initializer=initializers.uniform_fan_in(fan_in, next(seeds)),
        dtype=dtype,
        name=name,
    )
