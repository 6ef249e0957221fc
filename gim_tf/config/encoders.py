"""What the blocks of an encoder are, a dataclass a kind."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """A norm-free pre-activation ResNet, as a list of blocks.

    Attributes:
      block: "basic" (two 3x3) or "bottleneck" (1x1, 3x3, 1x1 with expansion).
      stem_channels: output channels of the first convolution (5x5).
      stem_strides: its stride; 1 in the paper.
      planes: width of each stage; a bottleneck's output is `expansion` times
        as wide.
      depths: blocks of each stage.
      expansion: output channels of a bottleneck, in units of its width.
    """

    block: Literal["basic", "bottleneck"]
    stem_channels: int
    planes: tuple[int, ...]
    depths: tuple[int, ...]
    expansion: int = 4
    stem_strides: int = 1
    kind: Literal["resnet"] = "resnet"

    @property
    def num_blocks(self) -> int:
        """The stem and the blocks of all stages."""
        return 1 + sum(self.depths)

    def time_steps(self, length: int, blocks: int) -> int:
        """Time steps that leave the first `blocks` blocks: all that enter."""
        return length


@dataclass(frozen=True, kw_only=True)
class Conv1DConfig:
    """Convolutions along time with ReLU, one a block.

    Attributes:
      channels: output channels of each.
      kernel_sizes: frames that each reads.
      strides: frames of its input between two of its output.
      paddings: zero frames that each adds on both sides of its input.
    """

    channels: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    strides: tuple[int, ...]
    paddings: tuple[int, ...]
    kind: Literal["conv_audio"] = "conv_audio"

    @property
    def num_blocks(self) -> int:
        """One a convolution."""
        return len(self.kernel_sizes)

    def time_steps(self, length: int, blocks: int) -> int:
        """Time steps that leave the first `blocks` blocks."""
        for kernel, stride, padding in self._sizes(blocks):
            length = (length + 2 * padding - kernel) // stride + 1
        return length

    def hop(self, blocks: int) -> int:
        """Input steps between two frames that leave the first `blocks`."""
        return math.prod(self.strides[:blocks])

    def centre(self, blocks: int) -> float:
        """Input position in the middle of what their frame 0 reads itself.

        Frame j stands at `centre + j * hop`.
        """
        position, hop = 0.0, 1
        for kernel, stride, padding in self._sizes(blocks):
            position += hop * ((kernel - 1) / 2 - padding)
            hop *= stride
        return position

    def field(self, blocks: int) -> int:
        """Input steps that a frame which leaves the first `blocks` reads."""
        sizes = zip(self.kernel_sizes[:blocks], range(blocks), strict=True)
        return 1 + sum((kernel - 1) * self.hop(i) for kernel, i in sizes)

    def _sizes(self, blocks: int) -> list[tuple[int, int, int]]:
        sizes = zip(self.kernel_sizes, self.strides, self.paddings, strict=True)
        return list(sizes)[:blocks]


@dataclass(frozen=True, kw_only=True)
class Conv2DConfig:
    """Convolutions over the grid itself with ReLU, one a block.

    Where each cell of the grid is one pixel (a view whose `patch_size` and
    `patch_stride` are 1) this is a plain network on whole pictures. What is
    inside a larger cell is read as channels.

    Attributes:
      channels: output channels of each, at `width` 1.
      kernel_sizes: side of each kernel.
      strides: cells of its input between two of its output.
      paddings: zero cells that each adds on all sides of its input.
      pool_sizes: side of the max-pooling before each; 1: none.
      pool_strides: cells of the block's input between two that are pooled.
      width: multiplies all channels, which are rounded.
    """

    channels: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    strides: tuple[int, ...]
    paddings: tuple[int, ...]
    pool_sizes: tuple[int, ...]
    pool_strides: tuple[int, ...]
    width: float = 1.0
    kind: Literal["conv_grid"] = "conv_grid"

    @property
    def num_blocks(self) -> int:
        """One a convolution."""
        return len(self.kernel_sizes)

    @property
    def widths(self) -> tuple[int, ...]:
        """Output channels of each block, 1 or more."""
        return tuple(max(1, round(c * self.width)) for c in self.channels)

    def time_steps(self, length: int, blocks: int) -> int:
        """Rows that leave the first `blocks` blocks."""
        for kernel, stride, padding in self._windows(blocks):
            length = (length + 2 * padding - kernel) // stride + 1
        return length

    def cells(self, blocks: int) -> tuple[int, int, int]:
        """(start, hop, field) of what leaves the first `blocks` blocks.

        Row i reads `field` rows of the input from `start + i * hop` on; below
        0 is padding. Columns likewise.
        """
        start, hop, field = 0, 1, 1
        for kernel, stride, padding in self._windows(blocks):
            start -= padding * hop
            field += (kernel - 1) * hop
            hop *= stride
        return start, hop, field

    def _windows(self, blocks: int) -> list[tuple[int, int, int]]:
        """(size, stride, padding) of each pooling and each convolution."""
        pools = zip(self.pool_sizes, self.pool_strides, strict=True)
        convolutions = zip(
            self.kernel_sizes, self.strides, self.paddings, strict=True
        )
        both = list(zip(pools, convolutions, strict=True))[:blocks]
        return [
            window
            for (size, stride), convolution in both
            for window in ((size, stride, 0), convolution)
        ]
