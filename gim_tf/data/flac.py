"""FLAC in graphs; the only file that imports tensorflow-io, and only if used.

Its operations are not part of TensorFlow: a graph that holds one loads only
where tensorflow-io is imported.
"""

import tensorflow as tf


def is_flac(encoded: tf.Tensor) -> tf.Tensor:
    """Whether the bytes [] string begin as a FLAC file does; [] bool."""
    return tf.equal(tf.strings.substr(encoded, 0, 4), b"fLaC")


def sample_rate(encoded: tf.Tensor) -> tf.Tensor:
    """Samples a second of a FLAC file [] string, by its header; [] int32."""
    # 20 bits of STREAMINFO, which is always the first block (RFC 9639, 8.2).
    header = tf.io.decode_raw(tf.strings.substr(encoded, 18, 3), tf.uint8)
    octets = tf.cast(header, tf.int32)
    return octets[0] * 2**12 + octets[1] * 2**4 + octets[2] // 2**4


def decode_flac(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a FLAC file to [n] float32 in [-1, 1].

    Args:
      encoded: [] string, 16 bits a sample with one channel.
    """
    # Imported here: nothing else needs it.
    import tensorflow_io as tfio

    # The shape: any length, one channel.
    samples = tfio.audio.decode_flac(encoded, shape=[-1, 1], dtype=tf.int16)
    return tf.cast(samples[:, 0], tf.float32) / 32768.0
