"""Windows: exact, aligned, and the same eagerly and in tf.data."""

import dataclasses
import io
import wave

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, experiments
from gim_tf.data import windows

EXPERIMENT = experiments.get("librispeech_gim")
VIEW = dataclasses.replace(EXPERIMENT.view, length=800)


def encoded(samples, rate=16_000):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def noise(count):
    drawn = np.random.default_rng(0).normal(size=count)
    return tf.constant(drawn, tf.float32)


def test_decoding_is_exact():
    samples = np.array([0, 1, -1, 32767, -32768], np.int16)
    decoded = windows.decode(tf.constant(encoded(samples)), VIEW)
    np.testing.assert_array_equal(decoded, samples / 32768)
    batch = windows.decode_batch(tf.constant([encoded(samples)] * 2), VIEW)
    np.testing.assert_array_equal(batch, [samples / 32768] * 2)


def test_another_sample_rate_is_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError, match="sample rate"):
        windows.decode(tf.constant(encoded(np.zeros(9), 8_000)), VIEW)


def test_windows_start_at_every_multiple_of_the_stride_and_nowhere_else():
    samples = tf.range(800 + 3 * 160 + 159, dtype=tf.float32)
    starts = set()
    for seed in range(60):
        window = windows.training_view(samples, tf.constant([seed, 5]), VIEW)
        back = np.rint(windows.denormalise(window, VIEW)).astype(int)
        np.testing.assert_array_equal(np.diff(back), 1)
        starts.add(int(back[0]))
    assert starts == {0, 160, 320, 480}


def test_frames_of_a_window_have_the_labels_that_stand_nearest():
    """Samples that are their own position tell where a window was cut."""
    samples = tf.range(800 + 7 * 160, dtype=tf.float32)
    labels = tf.range(9, dtype=tf.int64)  # at 200, 360, ... 1480
    centres = 20 + 160 * np.arange(5)
    for seed in range(40):
        chosen = tf.constant([seed, 5])
        window = windows.training_view(samples, chosen, VIEW)
        (start, *_) = np.rint(windows.denormalise(window, VIEW))
        found = windows.training_labels(
            samples, labels, chosen, VIEW, centres=centres
        )
        distances = np.abs(start + centres[:, None] - (200 + 160 * labels))
        expected = np.where(distances.min(1) <= 80, distances.argmin(1), -1)
        np.testing.assert_array_equal(found, expected)


def test_a_recording_as_long_as_the_window_is_taken_whole():
    samples = noise(800)
    window = windows.training_view(samples, tf.constant([1, 2]), VIEW)
    whole = windows.evaluation_view(samples, VIEW)
    np.testing.assert_array_equal(window, whole)


def test_views_are_the_same_in_tf_data():
    samples, seed = noise(2000), tf.constant([3, 4], tf.int64)
    eager = windows.training_view(samples, seed, VIEW)
    (mapped,) = tf.data.Dataset.from_tensors((samples, seed)).map(
        lambda x, s: windows.training_view(x, s, VIEW)
    )
    np.testing.assert_array_equal(eager, mapped)
    assert mapped.shape == (800,)


def test_the_corpus_constants_are_those_of_16_bit_samples():
    # The authors' constants in units of int16: -22.22 and 2064.57.
    np.testing.assert_allclose(VIEW.mean * 32768, -22.22, atol=0.005)
    np.testing.assert_allclose(VIEW.std * 32768, 2064.57, atol=0.005)


def test_the_grid_has_one_lane_and_one_channel():
    grid = build.build_to_grid(EXPERIMENT)(tf.zeros((2, 320)))
    assert grid.shape == (2, 320, 1, 1)
