"""Log-mel spectra and MFCCs: their formulas, and where their frames stand."""

import numpy as np
import pytest
import tensorflow as tf

from gim_tf.data import alignments, spectra
from tests import reference

RATE = 16_000


def noise(*shape):
    drawn = np.random.default_rng(0).normal(size=shape) * 0.06
    return drawn.astype(np.float32)


def tone(hertz, seconds=0.2):
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("kind", ["log_mel", "mfcc"])
def test_spectra_are_those_of_the_slow_twin(kind):
    samples = np.stack([noise(3000), 10 * noise(3000) * noise(3000)])
    got = getattr(spectra, kind)(tf.constant(samples))
    expected = [getattr(reference, kind)(one) for one in samples]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [400, 559, 560, 1000, 20_480])
def test_there_is_a_frame_a_label(count):
    samples = tf.constant(noise(2, count))
    labels = alignments.align(count, np.zeros(1 + (count - 400) // 160))
    assert spectra.log_mel(samples).shape == (2, len(labels.centres), 40)
    assert spectra.mfcc(samples).shape == (2, len(labels.centres), 39)


def test_a_frame_is_centred_where_its_label_is():
    labels = alignments.align(4000, np.zeros(1 + (4000 - 400) // 160))
    for frame, centre in enumerate(labels.centres):
        impulse = np.zeros((1, 4000), np.float32)
        impulse[0, centre] = 1.0
        energy = tf.reduce_sum(tf.exp(spectra.log_mel(impulse)), -1)[0]
        assert int(tf.argmax(energy)) == frame
        # As far before as after: the neighbours hear it equally well.
        near = energy[max(frame - 1, 0) : frame + 2].numpy()
        if len(near) == 3:
            np.testing.assert_allclose(near[0], near[2], rtol=1e-3)


@pytest.mark.parametrize("hertz", [200, 440, 1000, 3000, 7000])
def test_a_tone_peaks_in_its_band(hertz):
    frames = spectra.log_mel(tone(hertz)[None])[0]
    expected = spectra.band_of(hertz)
    assert np.abs(np.argmax(frames, -1) - expected).max() <= 0.75


def test_bands_begin_and_end_where_they_should():
    np.testing.assert_allclose(spectra.band_of(80.0), -1)
    np.testing.assert_allclose(spectra.band_of(7600.0), 40)
    edges = np.linspace(reference.mel(80.0), reference.mel(7600.0), 42)
    hertz = 700 * np.expm1(edges / 1127)
    places = spectra.band_of(hertz)
    np.testing.assert_allclose(places, np.arange(-1, 41), atol=1e-9)


def test_silence_is_the_floor_and_has_no_slope():
    silence = tf.zeros((1, 2000))
    np.testing.assert_allclose(spectra.log_mel(silence), np.log(1e-8))
    np.testing.assert_allclose(spectra.mfcc(silence)[..., 1:], 0, atol=1e-4)


def test_a_slope_is_a_slope():
    line = 3.0 * tf.range(9, dtype=tf.float32)[None, :, None] + 1.0
    np.testing.assert_allclose(spectra.deltas(line)[0, 2:-2, 0], 3, rtol=1e-6)
    np.testing.assert_allclose(spectra.deltas(line[:, :1]), 0)


def test_louder_moves_the_zeroth_coefficient_alone():
    samples = noise(1, 2000)
    change = spectra.mfcc(2 * samples) - spectra.mfcc(samples)
    expected = np.zeros(39)
    # Four times the energy in each of 40 bands, and sqrt(2 / 40) of the sum.
    expected[0] = np.sqrt(2 * 40) * np.log(4)
    np.testing.assert_allclose(change, np.tile(expected, (1, 11, 1)), atol=2e-3)


@pytest.mark.parametrize("kind", ["log_mel", "mfcc"])
def test_spectra_are_the_same_in_tf_data(kind):
    function = getattr(spectra, kind)
    spectra._filters.cache_clear()  # first made inside the graph
    recordings = [noise(400), noise(1999)]
    mapped = tf.data.Dataset.from_generator(
        lambda: iter(recordings),
        output_signature=tf.TensorSpec((None,), tf.float32),
    ).map(lambda one: function(one[None])[0])
    for one, got in zip(recordings, mapped, strict=True):
        np.testing.assert_allclose(
            got, function(one[None])[0], rtol=1e-5, atol=1e-4
        )


def test_other_rates_keep_their_bands_below_half_of_them():
    assert spectra.log_mel(noise(1, 800), sample_rate=8_000).shape == (1, 3, 40)
    np.testing.assert_allclose(spectra.band_of(3800.0, sample_rate=8_000), 40)
