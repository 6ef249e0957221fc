"""Probes of frames and windows find what is there, aligned, and no more."""

import numpy as np
import pytest
import tensorflow as tf

from gim_tf.errors import DataError
from gim_tf.probes import sequences
from gim_tf.probes.sequences import Sequence

FIT = sequences.Fit(
    num_classes=3,
    epochs=30,
    batch_size=32,
    learning_rate=0.05,
    l2=0.0,
    seed=0,
)
HOP = 10


def frame_numbers(samples):
    """An encoder whose features are the number of the frame."""
    count = samples.shape[1] // HOP
    numbers = tf.range(count, dtype=tf.float32)[None, :, None]
    return {"module_1": tf.tile(numbers, (samples.shape[0], 1, 1))}


def framed(samples):
    """An encoder whose frames are HOP samples each."""
    return {
        "module_1": tf.reshape(samples, (samples.shape[0], -1, HOP))[..., :2]
    }


def recording(num_frames, voice=0, num_labels=None, seed=0):
    generator = np.random.default_rng(seed)
    samples = generator.normal(size=num_frames * HOP).astype(np.float32)
    count = num_frames if num_labels is None else num_labels
    return Sequence(samples, voice, np.arange(count))


@pytest.mark.parametrize(
    ("alignment", "frames", "first_label"),
    [("end", [2, 3, 4, 5, 6], 0), ("centre", [1, 2, 3, 4, 5], 0)],
)
def test_labels_meet_the_frames_that_the_alignment_names(
    alignment, frames, first_label
):
    rows = sequences.collect_frames(
        frame_numbers,
        [recording(7, num_labels=5)],
        lead=1,
        alignment=alignment,
    )
    assert rows.features["module_1"][:, 0].tolist() == frames
    assert rows.labels.tolist() == [first_label + i for i in range(5)]


def test_more_labels_than_frames_lose_those_that_have_none():
    frames, labels = sequences.pair(3, 5, lead=1, alignment="end")
    assert (frames, labels) == (slice(0, 3), slice(2, 5))
    frames, labels = sequences.pair(3, 5, lead=1, alignment="centre")
    assert (frames, labels) == (slice(1, 3), slice(0, 2))


def test_labels_before_the_first_frame_have_none():
    """An encoder without padding: frame 0 is nearest to label 2."""
    pairs = sequences.pair(4, 7, lead=-2, alignment="centre")
    assert pairs == (slice(0, 4), slice(2, 6))
    pairs = sequences.pair(6, 7, lead=-2, alignment="centre")
    assert pairs == (slice(0, 5), slice(2, 7))


def test_a_share_of_the_frames_is_drawn_evenly_and_repeatably():
    one = recording(2000)
    rows = [
        sequences.collect_frames(
            frame_numbers, [one], lead=0, alignment="end", share=0.25, seed=3
        )
        for _ in range(2)
    ]
    assert len(rows[0].labels) == pytest.approx(500, abs=60)
    np.testing.assert_array_equal(rows[0].labels, rows[1].labels)
    np.testing.assert_array_equal(
        rows[0].features["module_1"][:, 0], rows[0].labels
    )
    assert np.mean(rows[0].labels) == pytest.approx(1000, abs=100)


def test_recordings_without_labels_are_left_out_and_none_at_all_is_an_error():
    bare = recording(5, num_labels=0)
    rows = sequences.collect_frames(
        frame_numbers, [bare, recording(5)], lead=0, alignment="end"
    )
    assert set(rows.recordings) == {1}
    with pytest.raises(DataError, match="labels of frames"):
        sequences.collect_frames(frame_numbers, [bare], lead=0, alignment="end")


def test_windows_are_consecutive_and_described_by_mean_and_deviation():
    length = 3 * HOP
    one = recording(8, voice=2)
    rows = sequences.collect_windows(framed, [one], length=length)
    frames = one.samples[: 2 * length].reshape(2, 3, HOP)[..., :2]
    expected = np.concatenate([frames.mean(1), frames.std(1)], 1)
    np.testing.assert_allclose(rows.features["module_1"], expected, atol=1e-6)
    np.testing.assert_allclose(
        sequences.means(rows.features["module_1"]), frames.mean(1), atol=1e-6
    )
    assert rows.labels.tolist() == [2, 2]


def rows_of(features, labels, voices, recordings=None):
    if recordings is None:
        recordings = np.arange(len(labels))
    return sequences.Rows({"module_1": features}, labels, voices, recordings)


def test_what_only_some_voices_tell_is_not_found_in_unheard_ones():
    """Each voice codes the label in a unit of its own."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 900)
    voices = generator.integers(0, 4, 900)
    features = np.zeros((900, 12), np.float32)
    features[np.arange(900), 3 * voices + labels] = 1.0
    rows = rows_of(features, labels, voices)
    score = sequences.score_frames(rows, rows, FIT, folds=4)["module_1"]
    assert score.top1 == 1.0
    assert score.held_out_voice_top1 < 0.45


def test_what_all_voices_tell_alike_is_found_in_unheard_ones():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 600)
    features = np.eye(3, dtype=np.float32)[labels]
    for voices in (labels * 0 + 1, generator.integers(0, 4, 600)):
        rows = rows_of(features, labels, voices)
        score = sequences.score_frames(rows, rows, FIT, folds=4)["module_1"]
        assert score.top1 == 1.0
        alone = len(set(voices)) == 1
        assert score.held_out_voice_top1 == (None if alone else 1.0)


def test_recordings_are_told_by_the_sum_over_their_windows():
    generator = np.random.default_rng(0)
    voices = np.repeat(np.arange(3), 40)
    recordings = np.repeat(np.arange(12), 10)
    centres = np.array([[1, 0], [-0.5, 0.9], [-0.5, -0.9]])[voices]

    def noisy():
        noise = generator.normal(size=(120, 4)) * 1.5
        noise[:, :2] += centres
        return rows_of(noise.astype(np.float32), voices, voices, recordings)

    train, test = noisy(), noisy()
    score = sequences.score_windows(train, test, FIT)["module_1"]
    logits = score.head.logits(test.features["module_1"][:, :2])
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    by_hand = [
        log_p[recordings == r].sum(0).argmax() == r // 4 for r in range(12)
    ]
    assert score.recording_top1 == pytest.approx(np.mean(by_hand))
    assert score.recording_top1 > score.top1
    assert set(score.accuracies()) == {
        "linear_top1",
        "linear_stats_top1",
        "recording_top1",
        "recording_stats_top1",
        "whole_stats_top1",
    }


def test_windows_of_a_recording_are_joined_as_if_they_were_one():
    length = 3 * HOP
    one, two = recording(9, voice=1), recording(6, voice=2, seed=1)
    rows = sequences.collect_windows(framed, [one, two], length=length)
    joined = sequences.whole(rows)
    assert joined.labels.tolist() == [1, 2]
    for index, whole in enumerate((one, two)):
        frames = whole.samples.reshape(-1, HOP)[:, :2]
        expected = np.concatenate([frames.mean(0), frames.std(0)])
        np.testing.assert_allclose(
            joined.features["module_1"][index], expected, atol=1e-5
        )
