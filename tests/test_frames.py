"""Frames of all modules at one rate, each around the same moment."""

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config, experiments
from gim_tf.config import validation
from gim_tf.data import alignments
from gim_tf.errors import ConfigError
from gim_tf.shapes import pool_time


def slow_pool_time(grid, ratio, shift, steps):
    """Group by group, over those steps that there are."""
    groups = []
    for index in range(steps):
        first = index * ratio - shift
        inside = range(max(first, 0), min(first + ratio, grid.shape[1]))
        groups.append(np.mean([grid[:, i] for i in inside], 0))
    return np.stack(groups, 1)


@pytest.mark.parametrize("shift", [-5, -1, 0, 1, 3])
@pytest.mark.parametrize("length", [16, 17, 19, 23])
def test_groups_of_time_steps_are_averaged(length, shift):
    grid = np.random.default_rng(0).normal(size=(2, length, 1, 3))
    steps = (length + shift - 1) // 4 + 1
    pooled = pool_time(tf.constant(grid), ratio=4, shift=shift, steps=steps)
    expected = slow_pool_time(grid, 4, shift, steps)
    np.testing.assert_allclose(pooled, expected, atol=1e-12)
    short = pool_time(tf.constant(grid), ratio=4, shift=shift, steps=2)
    np.testing.assert_allclose(short, expected[:, :2], atol=1e-12)


def test_frames_stand_where_the_convolutions_say():
    """The input that a single frame reads is centred on its position."""
    encoder = experiments.get("librispeech_gim").stack.encoder
    for blocks in range(1, encoder.num_blocks + 1):
        low = high = 40  # a frame in the middle
        for block in reversed(range(blocks)):
            low = low * encoder.strides[block] - encoder.paddings[block]
            high = (
                high * encoder.strides[block]
                - encoder.paddings[block]
                + encoder.kernel_sizes[block]
                - 1
            )
        position = encoder.centre(blocks) + 40 * encoder.hop(blocks)
        assert position == (low + high) / 2
    assert (encoder.hop(5), encoder.centre(5)) == (160, 20.0)


@pytest.mark.parametrize("paddings", [[2, 2, 2, 2, 1], [0, 0, 0, 0, 0]])
def test_an_impulse_is_seen_around_the_same_frame_by_every_module(
    tiny_sequence, paddings
):
    """Its place is that of the common grid, first + hop j."""
    tiny_sequence = config.resolve(
        tiny_sequence, [f"stack.encoder.paddings={paddings}"]
    )
    stack = build.build_stack(tiny_sequence)
    frames = build.build_frames(tiny_sequence, stack)
    hop, first = build.frame_grid(tiny_sequence)
    quiet = np.zeros((1, 8000, 1, 1), np.float32)
    loud = quiet.copy()
    loud[0, int(first) + 25 * hop] = 30.0
    before, after = frames(tf.constant(quiet)), frames(tf.constant(loud))
    for name in list(after)[:-1]:  # the GRU remembers
        change = np.abs(after[name] - before[name]).sum((0, 2))
        heard = np.flatnonzero(change > 1e-9)
        assert 25 in heard, name
        # As far to either side: 465 samples are read by the last convolution.
        assert 25 - heard.min() <= 1, name
        assert heard.max() - 25 <= 1, name
    assert len({x.shape[1] for x in after.values()}) == 1


def test_patches_have_no_frames(tiny):
    with pytest.raises(ConfigError, match="convolutions along time"):
        build.frame_grid(tiny)


def test_what_ingest_finds_fills_in_only_what_is_open():
    given = experiments.get("librispeech_gim")
    corpus = {
        "class_names": ["a", "b"],
        "frame_names": ["x", "y"],
        "mean": 0.0,
        "std": 0.5,
    }
    completed = config.completed(given, corpus)
    assert completed.view == given.view  # the authors' constants stand
    assert completed.data.class_names == ("a", "b")
    open_ = config.resolve(given, ["view.mean=none", "view.std=none"])
    found = config.completed(open_, corpus)
    assert (found.view.mean, found.view.std) == (0.0, 0.5)
    with pytest.raises(ConfigError, match="not known before ingest"):
        build.build_preprocess(open_)


def test_a_task_without_labels_is_refused():
    given = experiments.get("librispeech_gim")
    with pytest.raises(ConfigError, match="no recording has frame labels"):
        config.completed(given, {"class_names": ["a", "b"]})
    speakers = config.resolve(given, ["probe.tasks=['speaker']"])
    assert config.completed(speakers, {"class_names": ["a", "b"]})
    with pytest.raises(ConfigError, match="1 speaker"):
        config.completed(speakers, {"class_names": ["a"]})


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["probe.tasks=[]"], "probe.tasks must name"),
        (["probe.tasks=['phone','phone']"], "probe.tasks must name"),
        (["probe.tasks=['accent']"], "probe.tasks must name"),
        (["probe.kind=examples"], "does not probe what"),
        (["probe.phone.epochs=0"], "probe.phone.epochs must be >= 1"),
        (["probe.speaker.learning_rate=0.0"], "must be > 0"),
        (["view.mean=none"], "both be left to ingest"),
        (
            ["stack.encoder.strides=[5, 4, 2, 2, 1]"],
            "needs a frame every 160 samples .* one every 80 at 16000 Hz",
        ),
        (
            ["view.sample_rate=8000", "data.sample_rate=8000"],
            "one every 160 at 8000 Hz",
        ),
        (["data.train_share=0.5"], "both be above 0"),
        (["data.train_share=0.6", "data.test_share=0.5"], "at most 1"),
        (
            [
                "data.train_share=0.6",
                "data.test_share=0.3",
                "data.holdout=0.1",
            ],
            "set one",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(overrides, reason):
    with pytest.raises(ConfigError, match=reason):
        config.resolve(experiments.get("librispeech_gim"), overrides)


def test_speakers_are_told_at_any_rate_of_frames():
    resolved = config.resolve(
        experiments.get("librispeech_gim"),
        ["stack.encoder.strides=[5, 4, 2, 2, 1]", "probe.tasks=['speaker']"],
    )
    assert resolved.stack.encoder.hop(5) == 80
    assert validation.LABEL_HOP == alignments.HOP


def test_pictures_are_not_probed_as_sequences():
    with pytest.raises(ConfigError, match="does not probe what"):
        config.resolve(
            experiments.get("fashion_mnist_gim"), ["probe.kind=sequences"]
        )
