"""Norm-free pre-activation ResNet of Greedy InfoMax, as a list of blocks.

He et al., "Identity Mappings in Deep Residual Networks" (2016), without any
normalisation and with biases everywhere, as in the authors' `resnet_encoder`.
The list is cut into modules by `gim_tf.stack.partition`.
"""

import keras
import tensorflow as tf

from gim_tf import initializers
from gim_tf.encoders.convolution import biased_conv2d, every

STEM_KERNEL = 5


@keras.saving.register_keras_serializable(package="gim_tf")
class PaddedConv2D(keras.layers.Conv2D):
    """Convolution with symmetric zero padding of (kernel - 1) // 2.

    Keras' "same" pads an even input asymmetrically where the stride is 2:
    the same length, shifted by one position. Kernel and bias start uniform
    in +-1/sqrt(fan_in).

    Args:
      in_channels: channels of the input, which set the initial bias.
      filters: channels of the output.
      kernel_size: odd side of the kernel.
      strides: 1 or more.
      seed: of the initial weights.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel_size: int,
        *,
        strides: int = 1,
        seed: int = 0,
        **kwargs: object,
    ) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size must be odd, received {kernel_size}."
            )
        self._arguments = {
            "in_channels": in_channels,
            "filters": filters,
            "kernel_size": kernel_size,
            "strides": strides,
            "seed": seed,
        }
        seeds = initializers.seeds(seed)
        kernel_seed, bias_seed = next(seeds), next(seeds)
        fan_in = in_channels * kernel_size**2
        conv_strides = 1 if kernel_size == 1 else strides  # see `call`
        super().__init__(
            filters,
            kernel_size,
            strides=conv_strides,
            # An odd kernel at stride 1: "same" is symmetric, and needs no copy.
            padding="same" if conv_strides == 1 else "valid",
            kernel_initializer=initializers.uniform_fan_in(fan_in, kernel_seed),
            bias_initializer=initializers.uniform_fan_in(fan_in, bias_seed),
            **kwargs,
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        margin = (self._arguments["kernel_size"] - 1) // 2
        stride = self._arguments["strides"]
        if not margin and stride > 1:
            # The same sums as a strided 1x1 convolution, whose gradient of the
            # kernel oneDNN 3.3 (TensorFlow 2.16) gets wrong for under 16
            # channels: it writes past its workspace (AVX-512: the process
            # dies; AVX2, under 8 channels: a gradient wrong by 30 to 100 %).
            x = every(x, stride)
        if self.padding == "valid":
            x = tf.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]])
        return biased_conv2d(
            x,
            tf.convert_to_tensor(self.kernel),
            tf.convert_to_tensor(self.bias),
            strides=self.strides[0],
            padding=self.padding.upper(),
        )

    def mean(self, x: tf.Tensor) -> tf.Tensor:
        """The mean of `self(x)` over both sides, at stride 1: [n, filters].

        A convolution is linear: of each of its taps, the mean over positions
        is a product with the mean of what the tap reads. So neither the map
        nor its gradient is computed.
        """
        kernel_size = self._arguments["kernel_size"]
        if kernel_size == 1:
            read = tf.reduce_mean(x, (1, 2), keepdims=True)
        else:
            margin = kernel_size // 2
            x, sides = (
                tf.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]]),
                x.shape[1:3],
            )
            read = tf.nn.avg_pool2d(x, sides, 1, "VALID")
        y = biased_conv2d(
            read,
            tf.convert_to_tensor(self.kernel),
            tf.convert_to_tensor(self.bias),
            strides=1,
            padding="VALID",
        )
        return tf.squeeze(y, (1, 2))

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        batch, height, width, _ = input_shape
        stride = self._arguments["strides"]
        sides = (n and (n - 1) // stride + 1 for n in (height, width))
        return (batch, *sides, self.filters)

    def get_config(self) -> dict[str, object]:
        return {
            **keras.layers.Layer.get_config(self),
            **self._arguments,
        }


@keras.saving.register_keras_serializable(package="gim_tf")
class PreActivationBlock(keras.layers.Layer):
    """`y = relu(x); shortcut + conv(relu(conv(... y)))`, nothing after.

    The shortcut is x, or a 1x1 convolution of y where the shape changes.

    Args:
      kind: "basic", two 3x3; or "bottleneck", 1x1, 3x3, 1x1.
      in_channels: channels of the input.
      planes: width of the block's inner convolutions.
      strides: of the first 3x3.
      expansion: output channels of a bottleneck in units of `planes`.
      seed: of the initial weights.
      **kwargs: of `keras.layers.Layer`.

    Input: [n, h, w, in_channels]. Output: [n, h / strides, w / strides, c];
      called with `with_mean`, also its mean over both sides, [n, c], whose
      gradient is cheaper than that of a mean of the output: the last
      convolution commutes with it.
    """

    supports_mean = True

    def __init__(
        self,
        *,
        kind: str,
        in_channels: int,
        planes: int,
        strides: int = 1,
        expansion: int = 4,
        seed: int = 0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self._arguments = {
            "kind": kind,
            "in_channels": in_channels,
            "planes": planes,
            "strides": strides,
            "expansion": expansion,
            "seed": seed,
        }
        self.out_channels = output_channels(kind, planes, expansion)
        layer_seeds = initializers.seeds(seed)
        sizes = _branch_sizes(kind, in_channels, planes, strides, expansion)
        self.convolutions = [
            PaddedConv2D(
                cin,
                cout,
                kernel,
                strides=stride,
                seed=next(layer_seeds),
                dtype=self.dtype_policy,
                name=f"conv_{index}",
            )
            for index, (cin, cout, kernel, stride) in enumerate(sizes, 1)
        ]
        self.shortcut = None
        if strides != 1 or in_channels != self.out_channels:
            self.shortcut = PaddedConv2D(
                in_channels,
                self.out_channels,
                1,
                strides=strides,
                seed=next(layer_seeds),
                dtype=self.dtype_policy,
                name="shortcut",
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.shortcut is not None and not self.shortcut.built:
            self.shortcut.build(input_shape)
        shape = input_shape
        for convolution in self.convolutions:
            if not convolution.built:
                convolution.build(shape)
            shape = convolution.compute_output_shape(shape)

    def call(
        self, x: tf.Tensor, with_mean: bool = False
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        y = tf.nn.relu(x)
        residual = x if self.shortcut is None else self.shortcut(y)
        *rest, last = self.convolutions
        for convolution in rest:
            y = tf.nn.relu(convolution(y))
        z = last(y) + residual
        if not with_mean:
            return z
        return z, last.mean(y) + tf.reduce_mean(residual, (1, 2))

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        for convolution in self.convolutions:
            input_shape = convolution.compute_output_shape(input_shape)
        return input_shape

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), **self._arguments}


def resnet_blocks(
    *,
    in_channels: int,
    block: str,
    stem_channels: int,
    planes: tuple[int, ...],
    depths: tuple[int, ...],
    expansion: int = 4,
    stem_strides: int = 1,
    seed: int = 0,
) -> list[keras.layers.Layer]:
    """All blocks of the encoder in order: the stem, then stage by stage.

    Args:
      in_channels: channels of a patch.
      block: "basic" or "bottleneck".
      stem_channels: output channels of the 5x5 stem.
      planes: width of each stage; every stage but the first halves the side.
      depths: blocks of each stage.
      expansion: see `PreActivationBlock`.
      stem_strides: stride of the stem.
      seed: of the initial weights.

    Returns:
      1 + sum(depths) layers, each [n, h, w, c] -> [n, h', w', c'].
    """
    layer_seeds = initializers.seeds(seed)
    stem = PaddedConv2D(
        in_channels,
        stem_channels,
        STEM_KERNEL,
        strides=stem_strides,
        seed=next(layer_seeds),
        name="stem",
    )
    blocks: list[keras.layers.Layer] = [stem]
    channels = stem_channels
    for stage, (width, depth) in enumerate(zip(planes, depths, strict=True), 1):
        for index in range(1, depth + 1):
            blocks.append(
                PreActivationBlock(
                    kind=block,
                    in_channels=channels,
                    planes=width,
                    strides=2 if stage > 1 and index == 1 else 1,
                    expansion=expansion,
                    seed=next(layer_seeds),
                    name=f"stage_{stage}_block_{index}",
                )
            )
            channels = blocks[-1].out_channels
    return blocks


def output_channels(kind: str, planes: int, expansion: int) -> int:
    """Channels that leave a block of this kind and width."""
    if kind not in ("basic", "bottleneck"):
        raise ValueError(
            f"kind must be 'basic' or 'bottleneck', received {kind!r}."
        )
    return planes if kind == "basic" else planes * expansion


def _branch_sizes(
    kind: str, in_channels: int, planes: int, strides: int, expansion: int
) -> list[tuple[int, int, int, int]]:
    """(in, out, kernel, strides) of a residual branch, first to last."""
    out = output_channels(kind, planes, expansion)
    if kind == "basic":
        return [(in_channels, planes, 3, strides), (planes, planes, 3, 1)]
    return [
        (in_channels, planes, 1, 1),
        (planes, planes, 3, strides),
        (planes, out, 1, 1),
    ]
