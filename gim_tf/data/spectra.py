"""Log-mel spectra and MFCCs of recordings: what learned features must beat.

A frame is about the same samples as a phone label (`alignments`): frame t is
of samples 160 t to 160 t + 400 and weighs the one in their middle most. The
mel scale is HTK's, 1127 ln(1 + f / 700), and so are the cepstra and their
deltas (Young et al., The HTK Book 3.4, 5.4 to 5.9). Pure functions, the same
eagerly and in `tf.data`.
"""

import functools

import numpy as np
import tensorflow as tf

from gim_tf.data.alignments import FIELD, HOP

SAMPLE_RATE = 16_000
NUM_BANDS = 40
NUM_CEPSTRA = 13
FFT_LENGTH = 512  # samples, FIELD of them and zeros
LOWEST = 80.0  # Hz, where the first band begins
HIGHEST = 0.475  # of the sample rate, where the last one ends: 7600 Hz
# Of a band's energy, for samples in [-1, 1]: what rounding to 16 bits leaves
# in a narrow one, FIELD * 3/8 / 12 / 2**30.
FLOOR = 1e-8

_REACH = 2  # frames on each side that a delta is the slope of


def log_mel(samples: tf.Tensor, *, sample_rate: int = SAMPLE_RATE) -> tf.Tensor:
    """Natural logarithms of the energy in bands that are as wide in mel.

    Args:
      samples: [b, n] float32 in [-1, 1], n at least 400.
      sample_rate: in Hz; windows have 400 samples at any rate.

    Returns:
      [b, 1 + (n - 400) // 160, 40] float32, no value below log(1e-8).
    """
    spectrum = tf.signal.stft(samples, FIELD, HOP, FFT_LENGTH)
    power = tf.square(tf.math.real(spectrum)) + tf.square(
        tf.math.imag(spectrum)
    )
    energy = tf.matmul(power, _filters(sample_rate))
    return tf.math.log(tf.maximum(energy, FLOOR))


def mfcc(samples: tf.Tensor, *, sample_rate: int = SAMPLE_RATE) -> tf.Tensor:
    """Mel cepstra with their slopes and the slopes of those.

    Args:
      samples: as `log_mel` takes them.
      sample_rate: likewise.

    Returns:
      [b, 1 + (n - 400) // 160, 39] float32: 13 coefficients from the zeroth
      on, a frame's slope in each, and the slope of the slopes.
    """
    bands = log_mel(samples, sample_rate=sample_rate)
    cepstra = tf.signal.mfccs_from_log_mel_spectrograms(bands)
    cepstra = cepstra[..., :NUM_CEPSTRA]
    slopes = deltas(cepstra)
    return tf.concat([cepstra, slopes, deltas(slopes)], axis=-1)


def deltas(frames: tf.Tensor) -> tf.Tensor:
    """Least-squares slope over two frames on each side, a frame as the unit.

    Args:
      frames: [b, t, c]; the first and the last frame are repeated beyond the
        ends.

    Returns:
      [b, t, c].
    """
    time = tf.shape(frames)[1]
    first, last = frames[:, :1], frames[:, -1:]
    padded = tf.concat([first] * _REACH + [frames] + [last] * _REACH, axis=1)
    total = tf.zeros_like(frames)
    for step in range(1, _REACH + 1):
        ahead = padded[:, _REACH + step :][:, :time]
        behind = padded[:, _REACH - step :][:, :time]
        total += float(step) * (ahead - behind)
    return total / (2.0 * sum(step**2 for step in range(1, _REACH + 1)))


def band_of(
    frequency: float | np.ndarray, *, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
    """The position in `log_mel` of a frequency in Hz, fractions between two."""
    low, high = _mel(LOWEST), _mel(HIGHEST * sample_rate)
    spacing = (high - low) / (NUM_BANDS + 1)
    return np.asarray((_mel(frequency) - low) / spacing - 1.0)


def _mel(frequency: float | np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(frequency) / 700.0)


@functools.cache
def _filters(sample_rate: int) -> np.ndarray:
    """Triangles, as high as each other and straight in mel: [257, 40]."""
    # Not a tensor: one that was made in a graph must not leave it.
    with tf.init_scope():
        matrix = tf.signal.linear_to_mel_weight_matrix(
            NUM_BANDS,
            FFT_LENGTH // 2 + 1,
            sample_rate,
            LOWEST,
            HIGHEST * sample_rate,
            tf.float64,
        )
        return matrix.numpy().astype(np.float32)
