"""What people see and hear of recordings, and of phones in charts."""

import dataclasses
import io
import wave

import numpy as np
import pytest
from PIL import Image

from gim_tf import config
from gim_tf.data import windows
from gim_tf.errors import DataError
from gim_tf.inspection import (
    confusion,
    phones,
    plots,
    samples,
    spectrograms,
    style,
)
from gim_tf.inspection.spectrograms import Horizon, Strip

PHONES = (
    *("pau", "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh"),
    *("eh", "er", "ey", "f", "g", "hh", "ih", "iy", "jh", "k", "l", "m", "n"),
    *("ng", "ow", "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w"),
    *("y", "z", "zh"),
)
RATE = 16_000
WIDTH = round(style.WIDTH * 160)


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def has(png, colour):
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (decoded(png) == wanted).all(-1).any()


def tone(seconds, hertz=440.0):
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def drawn(figures, make):
    """The figure of one picture, its axes still there to be asked."""
    figures.clear()
    make()
    return figures[-1].axes


@pytest.fixture
def figures(monkeypatch):
    """Every figure that becomes a PNG."""
    kept, png = [], style.png

    def keep(figure):
        kept.append(figure)
        return png(figure)

    monkeypatch.setattr(style, "png", keep)
    return kept


@pytest.mark.parametrize("count", [1, 3, 8])
def test_each_window_has_its_spectrogram(figures, count):
    waves = np.stack([tone(0.3, 300.0 + 100 * i) for i in range(count)])
    axes = drawn(figures, lambda: spectrograms.spectrogram_grid(waves))
    levels = [ax.images[0].get_array() for ax in axes if ax.images]
    assert len(levels) == count
    for picture in levels:
        assert picture.shape == (40, 1 + (len(waves[0]) - 400) // 160)
    peaks = [int(picture[:, 5].argmax()) for picture in levels]
    assert sorted(peaks) == peaks
    assert len(set(peaks)) == count


def test_time_and_frequency_axes_tell_the_truth(figures):
    sound = np.zeros(RATE, np.float32)
    sound[8000:8400] = tone(0.025, 2000.0) * np.hanning(400)
    axes = drawn(figures, lambda: spectrograms.utterance_picture(sound))
    image = axes[1].images[0]
    left, right, bottom, top = image.get_extent()
    band, frame = np.unravel_index(
        image.get_array().argmax(), image.get_array().shape
    )
    rows, columns = image.get_array().shape
    # 8200 samples, the middle of the tone, and the tick of 2 kHz.
    assert left + (frame + 0.5) * (right - left) / columns == pytest.approx(
        8200 / RATE, abs=1e-6
    )
    ticks = dict(
        zip(
            [label.get_text() for label in axes[1].get_yticklabels()],
            axes[1].get_yticks(),
            strict=True,
        )
    )
    place = bottom + (band + 0.5) * (top - bottom) / rows
    assert abs(place - ticks["2"]) < 0.75


def test_labels_stand_where_they_are_spoken(figures):
    labels = [1] * 20 + [-1] * 5 + [29] * 73
    axes = drawn(
        figures,
        lambda: spectrograms.utterance_picture(
            tone(1.0), strips=[Strip("phones", labels)], names=PHONES
        ),
    )
    texts = {t.get_text(): t.get_position()[0] for t in axes[2].texts}
    # The middle of labels 0 to 19 is 9.5, of 25 to 97 it is 61.
    assert texts == pytest.approx(
        {"aa": (160 * 9.5 + 200) / RATE, "r": (160 * 61 + 200) / RATE}
    )


def test_wrong_predictions_are_marked_and_unlabelled_frames_are_not(figures):
    truth = np.array([1] * 49 + [-1] * 49)
    predicted = np.full(98, 1)

    def picture(labels):
        strip = Strip("module 6", labels, truth)
        return spectrograms.utterance_picture(
            tone(1.0), strips=[strip], names=PHONES
        )

    assert not has(picture(predicted), spectrograms._WRONG)
    predicted[10:20] = 2
    assert has(picture(predicted), spectrograms._WRONG)


def test_targets_are_marked_at_their_frames(figures):
    horizon = Horizon(160, 20.0, 3, skip_steps=1)
    axes = drawn(
        figures,
        lambda: spectrograms.utterance_picture(tone(0.5), horizon=horizon),
    )
    anchor, *targets = [
        (box.get_x() + box.get_width() / 2) * RATE for box in axes[-1].patches
    ]
    assert (anchor - 20) % 160 == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(
        np.subtract(targets, anchor), [2 * 160, 3 * 160, 4 * 160]
    )


def test_pictures_bear_silence_long_recordings_and_other_rates():
    for png in (
        spectrograms.utterance_picture(np.zeros(400)),
        spectrograms.utterance_picture(tone(9.0), strips=[Strip("x", [3])]),
        spectrograms.utterance_picture(tone(0.2), sample_rate=8_000),
        spectrograms.utterance_picture(
            tone(0.03), horizon=Horizon(160, 20.0, 12)
        ),
        spectrograms.spectrogram_grid(np.zeros((2, 800))),
    ):
        assert decoded(png).shape[1] == WIDTH
    # Silence is dark, however quiet the rest.
    silent = decoded(spectrograms.utterance_picture(np.zeros(8000)))
    assert (silent < 8).all(-1).mean() > 0.2


def test_wrong_shapes_are_refused():
    with pytest.raises(DataError, match="400 samples"):
        spectrograms.spectrogram_grid(np.zeros((2, 399)))
    with pytest.raises(DataError, match="one recording"):
        spectrograms.utterance_picture(np.zeros((2, 800)))


def test_phones_stand_beside_their_like():
    order, groups = phones.arrange(PHONES)
    assert sorted(order) == list(range(41))
    assert sum(count for _, count in groups) == 41
    assert [name for name, _ in groups] == list(phones.GROUPS)
    arranged = [PHONES[label] for label in order]
    assert abs(arranged.index("p") - arranged.index("b")) == 1
    assert phones.arrange(["AH0", "T"]).order == [0, 1]
    assert phones.arrange(["T", "AH0"]).order == [1, 0]
    assert phones.arrange(["t", "shirt"]) == ([0, 1], [])


def test_confusion_of_phones_is_in_their_order(figures):
    counts = np.diag(np.arange(41)) + np.eye(41, k=1, dtype=int)
    axes = drawn(figures, lambda: confusion.confusion_matrix(counts, PHONES))
    order, groups = phones.arrange(PHONES)
    names = [label.get_text() for label in axes[0].get_yticklabels()]
    assert names == [PHONES[label] for label in order]
    shown = axes[0].images[0].get_array()
    row = names.index("d")
    assert shown[row, row] == pytest.approx(10 / 11)
    assert shown[row, names.index("dh")] == pytest.approx(1 / 11)
    texts = {text.get_text() for text in axes[0].texts}
    assert {name for name, _ in groups} <= texts


def test_a_class_without_examples_has_no_shares(figures):
    counts = np.eye(20, dtype=int)
    counts[3] = 0
    names = [f"class {i}" for i in range(20)]
    axes = drawn(figures, lambda: confusion.confusion_matrix(counts, names))
    shown = np.ma.filled(axes[0].images[0].get_array(), np.nan)
    assert np.isnan(shown[3]).all()
    assert np.isfinite(np.delete(shown, 3, axis=0)).all()


def test_depth_chart_has_the_panels_and_controls_it_is_given(figures):
    modules = {
        f"module_{m}": {"linear_top1": 0.5, "held_out_voice_top1": None}
        for m in (1, 2)
    }
    controls = {"MFCC": 0.4, "log-mel": None, plots.GUESS: 0.1}
    panels = [
        plots.Panel("linear_top1", "Same voices", controls),
        plots.Panel("held_out_voice_top1", "Unheard", {}),
    ]
    axes = drawn(figures, lambda: plots.accuracy_by_depth(modules, panels))
    assert [ax.get_title(loc="left") for ax in axes] == ["Same voices"]
    (legend,) = figures[-1].legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names[2:] == ["MFCC (40.0%)", "a guess (10.0%)"]
    for module in modules.values():
        module["held_out_voice_top1"] = 0.3
    axes = drawn(figures, lambda: plots.accuracy_by_depth(modules, panels))
    assert len(axes) == 2
    # Not the same in both: written beside the line.
    assert "40.0" in {text.get_text() for text in axes[0].texts}


@pytest.fixture
def written(tiny_sequence, tmp_path):
    """A batch of two windows, written; the batch, pictures and events."""
    from tensorboard.backend.event_processing import plugin_event_multiplexer

    sounds = np.stack([tone(0.1), 4 * tone(0.1, 880.0)])  # one is too loud
    grids = windows.to_grid(
        windows.normalise(sounds, tiny_sequence.view), tiny_sequence.view
    )
    samples.write_training_samples(
        tiny_sequence,
        grids,
        directory=tmp_path / "pictures",
        tensorboard_dir=str(tmp_path / "logs"),
    )
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    events = multiplexer.AddRunsFromDirectory(str(tmp_path / "logs")).Reload()
    return sounds, tmp_path / "pictures", events


def test_tensorboard_plays_what_the_network_hears(written):
    sounds, _, events = written
    for number, sound in enumerate(sounds, start=1):
        (event,) = events.Tensors(".", f"audio/window_{number}")
        (content,) = event.tensor_proto.string_val
        with wave.open(io.BytesIO(content)) as file:
            assert file.getframerate() == RATE
            assert file.getnchannels() == 1
            heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        np.testing.assert_allclose(
            heard / 32768, np.clip(sound, -1, 1), atol=1e-4
        )


def test_tensorboard_and_the_run_directory_have_the_same_pictures(written):
    _, directory, events = written
    names = sorted(path.stem for path in directory.iterdir())
    assert names == ["spectrograms", "window"]
    for name in names:
        (event,) = events.Tensors(".", f"pictures/{name}")
        content = event.tensor_proto.string_val[2]
        saved = (directory / f"{name}.png").read_bytes()
        np.testing.assert_array_equal(decoded(content), decoded(saved))


def test_windows_too_short_for_a_spectrum_are_heard_only(tiny_sequence):
    view = dataclasses.replace(tiny_sequence.view, length=320)
    experiment = dataclasses.replace(tiny_sequence, view=view)
    grids = np.zeros((2, 320, 1, 1), np.float32)
    assert samples.training_pictures(experiment, grids) == {}


def test_a_run_without_prediction_marks_none(tiny_sequence):
    supervised = config.SupervisedConfig()
    stack = dataclasses.replace(tiny_sequence.stack, objective=supervised)
    assert samples._horizon(stack) is None
    assert samples._horizon(tiny_sequence.stack) == Horizon(160, 20.0, 2)


def test_pictures_of_views_have_no_sound(tiny):
    with pytest.raises(DataError, match="no sound"):
        samples.sequence_picture(tiny, np.zeros(800))
