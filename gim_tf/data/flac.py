"""FLAC in graphs; imports tensorflow-io, and only if it is used.

Its operations are not part of TensorFlow: a graph that holds one loads only
where tensorflow-io is imported.
"""

import tensorflow as tf

PACKAGE = "tensorflow-io"


def register_operations() -> None:
    """Makes TensorFlow know the operations of `decode_flac`, to load a graph.

    Raises:
      ImportError: tensorflow-io is not installed, or not for this TensorFlow.
    """
    try:
        with tf.Graph().as_default():
            decode_flac(tf.constant(b""))
    except NotImplementedError as error:  # it found no library that fits
        raise ImportError(str(error)) from error


def is_flac(encoded: tf.Tensor) -> tf.Tensor:
    """Whether the bytes [] string begin as a FLAC file does; [] bool."""
    return tf.equal(tf.strings.substr(encoded, 0, 4), b"fLaC")


def sample_rate(encoded: tf.Tensor) -> tf.Tensor:
    """Samples a second of a FLAC file [] string, by its header; [] int32."""
    octets = _header(encoded)
    return octets[0] * 2**12 + octets[1] * 2**4 + octets[2] // 2**4


def decode_flac(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a FLAC file to [n] float32 in [-1, 1].

    Args:
      encoded: [] string, 16 bits a sample with one channel; others are errors
        of the graph.
    """
    # Imported here: nothing else needs it.
    import tensorflow_io as tfio

    with tf.control_dependencies(_checks(encoded)):
        # The shape: any length, one channel.
        samples = tfio.audio.decode_flac(
            tf.identity(encoded), shape=[-1, 1], dtype=tf.int16
        )
    return tf.cast(samples[:, 0], tf.float32) / 32768.0


def to_wav(encoded: tf.Tensor) -> tf.Tensor:
    """The WAV file of a FLAC file's samples; any other file as it is.

    Args:
      encoded: [] string; see `decode_flac`.
    """
    # Exact: encoding multiplies by 32768 and rounds, decoding divides.
    return tf.cond(
        is_flac(encoded),
        lambda: tf.audio.encode_wav(
            decode_flac(encoded)[:, tf.newaxis], sample_rate(encoded)
        ),
        lambda: tf.identity(encoded),
    )


def _header(encoded: tf.Tensor) -> tf.Tensor:
    """Rate (20 bits), channels - 1 (3) and bits - 1 (5); [4] int32, octets."""
    # Of STREAMINFO, which is always the first block (RFC 9639, 8.2).
    whole = tf.debugging.Assert(
        tf.strings.length(encoded) >= 42,
        ["Expected a FLAC file, received its beginning"],
    )
    with tf.control_dependencies([whole]):
        header = tf.strings.substr(encoded, 18, 4)
    return tf.cast(tf.io.decode_raw(header, tf.uint8), tf.int32)


def _checks(encoded: tf.Tensor) -> list[tf.Operation]:
    octets = _header(encoded)
    channels = octets[2] % 2**4 // 2 + 1
    bits = octets[2] % 2 * 2**4 + octets[3] // 2**4 + 1
    return [
        tf.debugging.Assert(
            tf.equal(channels, 1), ["Expected one channel, received", channels]
        ),
        tf.debugging.Assert(
            tf.equal(bits, 16), ["Expected 16 bits a sample, received", bits]
        ),
    ]
