"""Views of pictures: random for training, fixed for evaluation.

The recipe of the paper's vision experiment. Every function is pure, so that
it gives the same result eagerly, in `tf.data` and in an exported graph: what
is random takes its seed as an argument.
"""

import tensorflow as tf

from gim_tf.config import PatchViewConfig
from gim_tf.data import patches

# ITU-R 601 luma in 16-bit fixed point, as the imaging library behind the
# authors' transforms computes it: (r, g, b) and the rounding half.
_LUMA = (19595, 38470, 7471)
_LUMA_HALF = 0x8000
_LUMA_SHIFT = 16


def example_shape(view: PatchViewConfig) -> tuple[int | None, ...]:
    """Shape of one decoded example."""
    return (view.size, view.size, view.channels)


def view_shape(view: PatchViewConfig) -> tuple[int, ...]:
    """Shape of one training view."""
    return (view.crop_size, view.crop_size, view.channels)


def to_grid(pictures: tf.Tensor, view: PatchViewConfig) -> tf.Tensor:
    """Views [b, h, w, c] -> grids [b, rows, columns, patch, patch, c]."""
    return patches.to_patches(
        pictures, size=view.patch_size, stride=view.patch_stride
    )


def decode(encoded: tf.Tensor, view: PatchViewConfig) -> tf.Tensor:
    """Decodes one picture to [size, size, channels] float32 in [0, 255].

    A picture of another size is scaled so that its shorter side fits and its
    centre is taken; one of the right size passes unchanged.

    Args:
      encoded: [] string, the bytes of a PNG, JPEG, BMP or GIF file.
      view: names the size and the channels.
    """
    colour = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    colour.set_shape([None, None, 3])
    picture = colour if view.channels == 3 else to_luma(colour)
    picture = tf.cast(picture, tf.float32)
    picture = _fit(picture, view.size)
    return tf.ensure_shape(picture, example_shape(view))


def decode_batch(encoded: tf.Tensor, view: PatchViewConfig) -> tf.Tensor:
    """`decode` of each of [b] strings: [b, size, size, channels] float32."""
    return tf.map_fn(
        lambda one: decode(one, view),
        encoded,
        fn_output_signature=tf.TensorSpec(example_shape(view), tf.float32),
    )


def to_luma(colour: tf.Tensor) -> tf.Tensor:
    """ITU-R 601 luma, rounded: [..., 3] uint8 -> [..., 1] uint8."""
    weighted = tf.cast(colour, tf.int32) * tf.constant(_LUMA)
    total = tf.reduce_sum(weighted, -1, keepdims=True) + _LUMA_HALF
    return tf.cast(tf.bitwise.right_shift(total, _LUMA_SHIFT), tf.uint8)


def training_view(
    picture: tf.Tensor, seed: tf.Tensor, view: PatchViewConfig
) -> tf.Tensor:
    """Random crop and horizontal flip, normalised.

    Args:
      picture: [size, size, channels] float32 in [0, 255].
      seed: [2] int, decides the view.
      view: sizes, probability of a flip, mean and deviation.

    Returns:
      [crop_size, crop_size, channels] float32.
    """
    seeds = tf.random.split(seed, 2)
    cropped = tf.image.stateless_random_crop(
        _pad(picture, view), view_shape(view), seeds[0]
    )
    flip = tf.random.stateless_uniform((), seeds[1]) < view.flip_probability
    flipped = tf.where(flip, tf.reverse(cropped, [-2]), cropped)
    return normalise(flipped, view)


def evaluation_view(pictures: tf.Tensor, view: PatchViewConfig) -> tf.Tensor:
    """Centre crop, normalised: [..., size, size, c] -> [..., crop, crop, c]."""
    padded = _pad(pictures, view)
    start = (view.pad_to - view.crop_size) // 2
    stop = start + view.crop_size
    return normalise(padded[..., start:stop, start:stop, :], view)


def normalise(pictures: tf.Tensor, view: PatchViewConfig) -> tf.Tensor:
    """(x / 255 - mean) / std, per channel."""
    mean = tf.constant(view.mean, tf.float32)
    std = tf.constant(view.std, tf.float32)
    return (pictures / 255.0 - mean) / std


def denormalise(views: tf.Tensor, view: PatchViewConfig) -> tf.Tensor:
    """Inverse of `normalise`, rounded and clipped to uint8."""
    mean = tf.constant(view.mean, tf.float32)
    std = tf.constant(view.std, tf.float32)
    return tf.cast(
        tf.clip_by_value(tf.round((views * std + mean) * 255.0), 0, 255),
        tf.uint8,
    )


def _fit(picture: tf.Tensor, size: int) -> tf.Tensor:
    """Scales the shorter side to `size` and takes the centre square."""
    height, width = tf.unstack(tf.shape(picture)[:2])
    shorter = tf.minimum(height, width)

    def scaled() -> tf.Tensor:
        def side(length: tf.Tensor) -> tf.Tensor:
            # At least `size`, so that rounding never leaves a gap to pad.
            return tf.maximum(size, length * size // shorter)

        resized = tf.image.resize(
            picture, (side(height), side(width)), antialias=True
        )
        return tf.image.resize_with_crop_or_pad(resized, size, size)

    exact = tf.logical_and(tf.equal(height, size), tf.equal(width, size))
    return tf.cond(exact, lambda: picture, scaled)


def _pad(pictures: tf.Tensor, view: PatchViewConfig) -> tf.Tensor:
    """Zero (black) border, evenly: [..., size, size, c] to `pad_to`."""
    margin = view.pad_to - view.size
    if not margin:
        return pictures
    before, after = margin // 2, margin - margin // 2
    unpadded = [[0, 0]] * (pictures.shape.rank - 3)
    sides = [[before, after]] * 2
    return tf.pad(pictures, [*unpadded, *sides, [0, 0]])
