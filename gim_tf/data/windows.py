"""Windows of recordings: random for training, all of it for evaluation.

The recipe of the paper's audio experiment, with the same functions as `views`
has for pictures. Every function is pure: what is random takes its seed.
"""

import numpy as np
import tensorflow as tf

from gim_tf.config import WindowViewConfig
from gim_tf.data import flac
from gim_tf.data.alignments import FIELD, HOP


def example_shape(view: WindowViewConfig) -> tuple[int | None, ...]:
    """Shape of one decoded example: a recording of any length."""
    return (None,)


def view_shape(view: WindowViewConfig) -> tuple[int, ...]:
    """Shape of one training view."""
    return (view.length,)


def to_grid(samples: tf.Tensor, view: WindowViewConfig) -> tf.Tensor:
    """Samples [b, n] -> grids [b, n, 1, 1]: one lane, one channel."""
    return samples[..., None, None]


def decode(encoded: tf.Tensor, view: WindowViewConfig) -> tf.Tensor:
    """Decodes the bytes of a WAV or FLAC file to [n] float32 in [-1, 1].

    Args:
      encoded: [] string, 16-bit samples of one channel.
      view: names the sample rate; another one is an error of the graph.
    """
    samples = tf.cond(
        flac.is_flac(encoded),
        lambda: _decode_flac(encoded, view),
        lambda: _decode_wav(encoded, view),
    )
    return tf.ensure_shape(samples, example_shape(view))


def decode_batch(encoded: tf.Tensor, view: WindowViewConfig) -> tf.Tensor:
    """Decodes WAV files [b] string, equally long, to [b, n] float32.

    By operations of TensorFlow alone, so that a graph with it loads anywhere.
    """
    return tf.map_fn(
        lambda one: _decode_wav(one, view),
        encoded,
        fn_output_signature=tf.TensorSpec(example_shape(view), tf.float32),
    )


def training_view(
    samples: tf.Tensor, seed: tf.Tensor, view: WindowViewConfig
) -> tf.Tensor:
    """A random window, normalised.

    It starts at a multiple of `view.stride`, each equally likely.

    Args:
      samples: [n] float32 in [-1, 1], n at least `view.length`.
      seed: [2] int, decides the start.
      view: length, stride, mean and deviation.

    Returns:
      [length] float32.
    """
    window = tf.slice(samples, [_start(samples, seed, view)], [view.length])
    return normalise(tf.ensure_shape(window, view_shape(view)), view)


def training_labels(
    samples: tf.Tensor,
    frame_labels: tf.Tensor,
    seed: tf.Tensor,
    view: WindowViewConfig,
    *,
    centres: np.ndarray,
) -> tf.Tensor:
    """The labels of the window that `training_view` cuts with the same seed.

    Args:
      samples: [n], see `training_view`.
      frame_labels: [l] int64, label i centred on sample 160 i + 200, see
        `gim_tf.data.alignments`.
      seed: [2] int.
      view: see `training_view`.
      centres: [t] float, samples from the window's start to the centres of
        the frames that want a label.

    Returns:
      [t] int64, of each frame the label whose centre is nearest, -1 where the
      recording has none within half of the labels' distance.
    """
    start = tf.cast(_start(samples, seed, view), tf.float32)
    at = (start + tf.constant(centres, tf.float32) - FIELD / 2) / HOP
    nearest = tf.cast(tf.round(at), tf.int32)
    count = tf.shape(frame_labels)[0]
    # Behind the last one, and before the first one, stands a label "none".
    padded = tf.concat([frame_labels, tf.constant([-1], tf.int64)], 0)
    there = tf.logical_and(nearest >= 0, nearest < count)
    return tf.gather(padded, tf.where(there, nearest, count))


def evaluation_view(samples: tf.Tensor, view: WindowViewConfig) -> tf.Tensor:
    """All of the recordings, normalised: [..., n] -> [..., n]."""
    return normalise(samples, view)


def normalise(samples: tf.Tensor, view: WindowViewConfig) -> tf.Tensor:
    """(x - mean) / std."""
    return (samples - view.mean) / view.std


def denormalise(windows: tf.Tensor, view: WindowViewConfig) -> tf.Tensor:
    """Inverse of `normalise`."""
    return windows * view.std + view.mean


def _start(
    samples: tf.Tensor, seed: tf.Tensor, view: WindowViewConfig
) -> tf.Tensor:
    """First sample [] int32 of the random window of that seed."""
    starts = (tf.shape(samples)[0] - view.length) // view.stride + 1
    return view.stride * tf.random.stateless_uniform(
        (), seed, minval=0, maxval=starts, dtype=tf.int32
    )


def _decode_wav(encoded: tf.Tensor, view: WindowViewConfig) -> tf.Tensor:
    is_wav = tf.debugging.Assert(
        tf.equal(tf.strings.substr(encoded, 0, 4), b"RIFF"),
        ["Expected a WAV file; FLAC needs a model of the FLAC variant"],
    )
    with tf.control_dependencies([is_wav]):
        samples, rate = tf.audio.decode_wav(tf.identity(encoded))
    channels = tf.shape(samples)[1]
    # Told to give one channel, the decoder drops the others without a word.
    has_one = tf.debugging.Assert(
        tf.equal(channels, 1), ["Expected one channel, received", channels]
    )
    with tf.control_dependencies([has_one, _check_rate(rate, view)]):
        return samples[:, 0]


def _decode_flac(encoded: tf.Tensor, view: WindowViewConfig) -> tf.Tensor:
    rate = flac.sample_rate(encoded)
    with tf.control_dependencies([_check_rate(rate, view)]):
        return flac.decode_flac(encoded)


def _check_rate(rate: tf.Tensor, view: WindowViewConfig) -> tf.Operation:
    expected = view.sample_rate
    return tf.debugging.Assert(
        tf.equal(rate, expected),
        [f"Expected a sample rate of {expected}, received", rate],
    )
