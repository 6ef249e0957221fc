"""Overlapping patches of a view, as the grid that the stack reads."""

import numpy as np
import tensorflow as tf


def to_patches(images: tf.Tensor, *, size: int, stride: int) -> tf.Tensor:
    """Cuts [b, h, w, c] into a grid [b, rows, columns, size, size, c].

    Row r, column q starts at pixel (r stride, q stride); pixels that no whole
    patch covers are left out.

    Args:
      images: [b, h, w, c] with static height, width and channels.
      size: side of a patch, in pixels.
      stride: distance between neighbouring patches, in pixels.
    """
    channels = images.shape[-1]
    patches = tf.image.extract_patches(
        images,
        sizes=[1, size, size, 1],
        strides=[1, stride, stride, 1],
        rates=[1, 1, 1, 1],
        padding="VALID",
    )
    rows, columns = patches.shape[1:3]
    return tf.reshape(patches, (-1, rows, columns, size, size, channels))


def from_patches(grid: np.ndarray, *, stride: int) -> np.ndarray:
    """Inverse of `to_patches`: [b, r, q, size, size, c] -> [b, h, w, c]."""
    batch, rows, columns, size, _, channels = grid.shape
    height, width = ((n - 1) * stride + size for n in (rows, columns))
    images = np.zeros((batch, height, width, channels), grid.dtype)
    for row in range(rows):
        for column in range(columns):
            y, x = row * stride, column * stride
            images[:, y : y + size, x : x + size] = grid[:, row, column]
    return images
