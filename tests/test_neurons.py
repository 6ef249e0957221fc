"""What excites single neurons: the top-k, its positions and its pictures."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gim_tf import build, cli, config, experiments
from gim_tf.data import records, views
from gim_tf.data.shards import ShardWriter
from gim_tf.errors import ConfigError, DataError
from gim_tf.inspection import neuron_pictures, spectrograms, style
from gim_tf.inspection.neurons import (
    Hit,
    Neuron,
    TopActivations,
    Watch,
    most_varied,
)
from gim_tf.jobs import exciting as job
from tests import reference, speech_files
from tests.conftest import TINY, png
from tests.saved_models import write_untrained


def drawn(seed, count=23, steps=(3, 3), width=5, levels=4):
    """Examples [t, s, d] with many equal activations; t may differ."""
    generator = np.random.default_rng(seed)
    return [
        generator.integers(
            0, levels, (generator.integers(steps[0], steps[1] + 1), 2, width)
        ).astype(np.float32)
        for _ in range(count)
    ]


def in_batches(examples, sizes):
    """(first, batch) of as many examples as each size, cyclically."""
    first, turn = 0, 0
    while first < len(examples):
        batch = examples[first : first + sizes[turn % len(sizes)]]
        yield first, np.stack(batch)
        first, turn = first + len(batch), turn + 1


@pytest.mark.parametrize("one_per_example", [True, False])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 4, 30])
def test_streaming_equals_a_sort_of_all_activations(seed, k, one_per_example):
    examples = drawn(seed)
    for sizes in ([1], [7], [2, 5, 1], [23]):
        top = TopActivations(k, one_per_example=one_per_example)
        for first, batch in in_batches(examples, sizes):
            top.add(batch, first)
        for channel in range(5):
            expected = reference.top_activations(
                examples, channel, k, one_per_example=one_per_example
            )
            assert list(top.neuron("m", channel).hits) == expected


def test_sequences_may_differ_in_length():
    examples = drawn(0, steps=(1, 9), levels=50)
    top = TopActivations(3)
    for number, one in enumerate(examples):
        top.add(one[None], number)
    assert list(top.neuron("m", 2).hits) == reference.top_activations(
        examples, 2, 3, one_per_example=True
    )


def test_one_example_does_not_take_all_places():
    bright = np.zeros((6, 4, 4, 1), np.float32)
    bright[2] = 9.0 + np.arange(16).reshape(4, 4, 1)
    bright[4, 1, 3] = 1.0
    several, single = (
        TopActivations(4, one_per_example=one) for one in (False, True)
    )
    several.add(bright, 0)
    single.add(bright, 0)
    assert [h.example for h in several.neuron("m", 0).hits] == [2] * 4
    assert single.neuron("m", 0).hits == [
        Hit(24.0, 2, 3, 3),
        Hit(1.0, 4, 1, 3),
        Hit(0.0, 0, 0, 0),
        Hit(0.0, 1, 0, 0),
    ]


def test_moments_are_those_of_all_positions():
    generator = np.random.default_rng(0)
    values = generator.normal(100.0, 3.0, (40, 2, 3, 4)).astype(np.float32)
    top = TopActivations(2)
    for first, batch in in_batches(values, [3, 8]):
        top.add(batch, first)
    flat = values.reshape(-1, 4).astype(np.float64)
    np.testing.assert_allclose(top.deviations, flat.std(0), rtol=1e-6)
    found = [top.neuron("m", i).mean for i in range(4)]
    np.testing.assert_allclose(found, flat.mean(0), rtol=1e-7)


def test_what_is_held_does_not_grow_with_the_examples():
    generator = np.random.default_rng(0)
    batch = generator.normal(size=(2000, 2, 2, 16)).astype(np.float32)
    top, held = TopActivations(4), set()
    for first in range(0, 100_000, len(batch)):
        top.add(batch + first, first)
        held.add(top.num_held)
    # k values and k positions of three numbers, and two moments.
    assert held == {16 * (4 * (1 + 3) + 2)}
    best = top.neuron("m", 0).hits
    assert all(hit.example >= 98_000 for hit in best)


def test_bad_activations_are_refused():
    good = np.zeros((2, 1, 1, 3), np.float32)
    top = TopActivations(2)
    top.add(good, 0)
    with pytest.raises(DataError, match="from number 2 on"):
        top.add(good, 1)
    with pytest.raises(DataError, match=r"\[b, t, s, 3\]"):
        top.add(np.zeros((2, 1, 1, 4), np.float32), 2)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(DataError, match="finite"):
            top.add(good + bad, 2)
    with pytest.raises(ConfigError, match="at least 1"):
        TopActivations(0)


def test_neurons_are_chosen_by_deviation_without_repeats():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(60, 1, 1, 5)) * [1.0, 8.0, 0.0, 2.0, 4.0]
    values[..., 2] = 7.0 * values[..., 1] / 8.0  # repeats channel 1
    top = TopActivations(4)
    top.add(values.astype(np.float32), 0)
    assert most_varied(top, 3) == [1, 4, 3]
    # All of them: the repeat too, as there is no other.
    assert most_varied(top, 9) == [1, 4, 3, 0, 2]


def test_named_neurons_are_shown_of_every_module_that_has_them():
    watch = Watch(2)
    watch(0, {"module_2": np.ones((3, 4, 6)), "module_1": np.ones((3, 4, 2))})
    found = [(n.module, n.channel) for n in watch.neurons(4, (5, 1))]
    assert found == [("module_1", 1), ("module_2", 5), ("module_2", 1)]
    assert len(watch.neurons(1)) == 2
    with pytest.raises(ConfigError, match="No neuron"):
        watch.neurons(4, (6,))


def bright_spot(view, row, column):
    """A picture that is black but for one pixel."""
    pixels = np.zeros((view.size, view.size, view.channels), np.uint8)
    pixels[row, column] = 255
    return pixels


@pytest.mark.parametrize("spot", [(0, 0), (13, 5), (27, 27), (4, 20)])
def test_the_patch_of_a_hit_holds_what_excites(tiny, spot):
    """A neuron that answers to light: its patch has the only light."""
    view, span = tiny.view, job.patch_spans(tiny)[0]
    picture = bright_spot(view, *spot)
    grids = build.build_preprocess(tiny).to_grid(
        tf.constant(picture[None], tf.float32)
    )
    watch = Watch(49, one_per_example=False)
    watch(0, {"module_1": tf.reduce_mean(grids, (3, 4)).numpy()})
    (neuron,) = watch.neurons(1)
    lit = [h for h in neuron.hits if h.activation > neuron.hits[-1].activation]
    found = {(h.row, h.column) for h in lit}
    inside = set()
    for hit in neuron.hits:
        top, left, bottom, right = job.patch_box(
            view, span, hit.row, hit.column
        )
        assert (bottom - top, right - left) == (view.patch_size,) * 2
        if top <= spot[0] < bottom and left <= spot[1] < right:
            inside.add((hit.row, hit.column))
    assert found == inside != set()


def test_cells_show_the_pixels_that_the_network_read(tiny):
    view, span = tiny.view, job.patch_spans(tiny)[-1]
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (28, 28, 1), np.uint8)
    encoded = tf.constant(picture[None], tf.float32)
    grids = build.build_preprocess(tiny).to_grid(encoded)
    seen = views.denormalise(
        views.evaluation_view(encoded[0], view), view
    ).numpy()
    for row, column in ((0, 0), (3, 6), (6, 2)):
        cell = neuron_pictures.PatchCell(seen, 4 * row, 4 * column, 8, "")
        read = views.denormalise(grids[0, row, column], view).numpy()
        np.testing.assert_array_equal(cell.patch, read)
        top, left, bottom, right = job.patch_box(view, span, row, column)
        stored = picture[max(top, 0) : bottom, max(left, 0) : right]
        inside = cell.patch[max(-top, 0) :, max(-left, 0) :]
        height, width = stored.shape[:2]
        np.testing.assert_array_equal(inside[:height, :width], stored)


def test_a_position_s_span_is_exactly_what_its_convolutions_read():
    """Of an encoder over pixels: its positions are no patches of the view."""
    vgg = experiments.get("cifar10_predsim_vgg8b")
    words = ("stack.encoder.width=0.02", "training.batch_size=4")
    experiment = config.resolve(vgg, words)
    stack = build.build_stack(experiment)
    spans = job.patch_spans(experiment)
    grid = np.random.default_rng(0).normal(size=(1, 32, 32, 1, 1, 1))
    for depth in (1, 2, 3, 4):
        span, position = spans[depth - 1], 5
        start = span.start + position * span.hop
        ends = [start - 1, start, start + span.side - 1, start + span.side]
        changed = np.repeat(grid, 1 + 2 * len(ends), 0).astype(np.float32)
        for index, row in enumerate(ends):
            # Whole rows, up and down: so large that no ReLU stays as it is.
            changed[1 + 2 * index, row] += 1e4
            changed[2 + 2 * index, row] -= 1e4
        found = stack.grids(tf.constant(changed))[f"module_{depth}"]
        column = found.numpy()[:, position]
        moved = np.any(column[1:] != column[0], axis=(1, 2))
        assert moved.reshape(-1, 2).any(1).tolist() == [
            False,
            True,
            True,
            False,
        ]


def test_a_patch_that_reaches_beyond_the_view_is_black_there():
    view = np.full((6, 6, 1), 9, np.uint8)
    cell = neuron_pictures.PatchCell(view, -2, 3, 5, "")
    assert cell.outline == (0, 3, 3, 3)
    expected = np.zeros((5, 5, 1))
    expected[2:, :3] = 9
    np.testing.assert_array_equal(cell.patch, expected)


def test_a_frame_s_span_is_exactly_what_its_convolutions_read(tiny_sequence):
    """Samples inside change the frame, samples outside do not."""
    frames = build.build_frames(tiny_sequence, build.build_stack(tiny_sequence))
    spans = job.frame_spans(tiny_sequence)[:5]  # the sixth has all the past
    sound = np.random.default_rng(0).normal(size=(1, 1600, 1, 1))
    frame = 5
    ends = []  # the last sample before, first, last, first behind
    for span in spans:
        start = span.start + frame * span.hop
        stop = start + span.length
        ends += [start - 1, start, stop - 1, stop]
    # So large that no ReLU stays as it is.
    changed = np.repeat(sound, 1 + 2 * len(ends), 0).astype(np.float32)
    for number, end in enumerate(ends):
        changed[1 + 2 * number : 3 + 2 * number, end, 0, 0] = [1e3, -1e3]
    found = frames(changed)
    for index in range(len(spans)):
        same, *others = found[f"module_{index + 1}"].numpy()[:, frame]
        differs = [(one != same).any() for one in others]
        pairs = np.reshape(differs, (-1, 2)).any(1)
        expected = [False, True, True, False]
        assert list(pairs[4 * index : 4 * index + 4]) == expected


def test_the_autoregressor_s_past_is_told(tiny_sequence, tiny):
    assert job._notes(tiny_sequence, "all before") == {"module_6": "all before"}
    assert job._notes(tiny, "rows above") == {}
    on_z = config.resolve(tiny_sequence, ["stack.representation=z"])
    assert job._notes(on_z, "all before") == {}
    with pytest.raises(ConfigError, match="no frames"):
        job.frame_spans(tiny)


@pytest.fixture
def figures(monkeypatch):
    kept, to_png = [], style.png

    def keep(figure):
        kept.append(figure)
        return to_png(figure)

    monkeypatch.setattr(style, "png", keep)
    return kept


def sheet(samples, labels, start, stop, **settings):
    neuron = Neuron("module_1", 3, 0.5, 1.0, [Hit(2.0, 0, 5, 0)])
    cell = neuron_pictures.SequenceCell(samples, labels, start, stop)
    return neuron_pictures.sequence_sheet(
        [neuron], [[cell]], split="test", sample_rate=16_000, **settings
    )


@pytest.mark.parametrize("middle", [300, 9000, 15_900])
def test_labels_stand_below_what_was_heard(figures, middle):
    samples = np.zeros(16_000, np.float32)
    generator = np.random.default_rng(0)
    noise = slice(middle - 80, middle + 80)
    samples[noise] = generator.normal(scale=0.3, size=160)
    labels = np.zeros(98, np.int64)
    spoken = int(np.clip(round((middle - 200) / 160), 0, 97))
    labels[spoken] = 1
    sheet(samples, labels, middle - 80, middle + 80, names=["pau", "s"])
    (ax,) = figures[-1].axes
    (image,) = ax.images
    left, right, *_ = image.get_extent()
    levels = np.asarray(image.get_array())
    assert levels.shape == (40, 40)
    frame = right - left
    loudest = left + (levels.sum(0).argmax() + 0.5) * frame / 40
    boxes = [
        (p.get_x(), p.get_x() + p.get_width())
        for p in ax.patches
        if p.get_facecolor() == facecolour(spectrograms.label_tint("s", 1))
    ]
    ((begin, end),) = boxes
    assert begin - frame / 40 <= loudest <= end + frame / 40
    (outline,) = (p for p in ax.patches if not p.get_fill())
    read = outline.get_x() + outline.get_width() / 2
    assert begin - frame / 40 <= read <= end + frame / 40


def facecolour(colour):
    from matplotlib.colors import to_rgba

    return to_rgba(colour)


def test_short_and_unlabelled_recordings_have_pictures(figures):
    for labels in ((), [1, -1, 0]):
        content = sheet(np.zeros(800, np.float32), labels, 0, 165)
        picture = Image.open(io.BytesIO(content))
        assert picture.width == round(style.WIDTH * 160)
    texts = [t.get_text() for t in figures[0].axes[0].texts]
    assert "neuron 3" in texts
    assert not any("spoken" in text for text in texts)


def write_spots(directory, view, count=12):
    """Records of pictures with one bright pixel, at a diagonal."""
    spots = [(2 * i + 2, 26 - 2 * i) for i in range(count)]
    with ShardWriter(directory / "Split-test") as writer:
        for number, spot in enumerate(spots):
            found = records.Record(
                f"spot-{number}",
                number % 10,
                "test",
                png(bright_spot(view, *spot)),
            )
            writer.write(records.to_example(found))
    return spots


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(directory with model and records, experiment, spots)."""
    experiment = config.resolve(experiments.get("fashion_mnist_gim"), TINY)
    directory = tmp_path_factory.mktemp("run")
    write_untrained(experiment, directory / "model")
    spots = write_spots(directory / "records", experiment.view)
    return directory, experiment, spots


@pytest.mark.integration
def test_command_shows_the_patches_of_an_export(exported, tmp_path, capsys):
    directory, tiny, spots = exported
    output = tmp_path / "seen" / "neurons.png"
    arguments = ["neurons", "--output-dir", str(directory), "--k", "3"]
    arguments += ["--output", str(output)]
    assert cli.main(arguments) == 0
    table = capsys.readouterr().out
    assert f"Picture: {output}" in table
    found = json.loads(output.with_suffix(".json").read_text())
    assert [n["module"] for n in found] == [
        f"module_{m}" for m in (1, 2, 3) for _ in range(4)
    ]
    Image.open(output).load()
    encode = job.load_encoder(directory / "model").signatures["grid"]
    for neuron in found:
        hits = neuron["hits"]
        assert len({hit["id"] for hit in hits}) == 3
        assert hits == sorted(hits, key=lambda h: -h["activation"])
        for hit in hits:
            assert hit["id"] == f"spot-{hit['example']}"
            picture = bright_spot(tiny.view, *spots[hit["example"]])
            grid = encode(images=tf.constant(picture[None], tf.float32))
            answers = grid[neuron["module"]].numpy()[0, ..., neuron["neuron"]]
            assert hit["activation"] == pytest.approx(answers.max(), abs=1e-6)
            place = answers[hit["row"], hit["column"]]
            assert place == pytest.approx(answers.max(), abs=1e-6)


@pytest.mark.integration
def test_command_takes_chosen_neurons_and_refuses_others(
    exported, tmp_path, capsys
):
    directory, *_ = exported
    places = ["--model", str(directory / "model")]
    places += ["--records", str(directory / "records")]
    output = ["--output", str(tmp_path / "n.png")]
    run = ["neurons", *places, *output]
    assert cli.main([*run, "--neurons", "7,0", "--repeats"]) == 0
    found = json.loads((tmp_path / "n.json").read_text())
    assert {n["neuron"] for n in found} == {0, 7}
    for wrong, message in (
        ([*run, "--neurons", "999"], "No neuron to show"),
        ([*run, "--k", "0"], "at least 1"),
        ([*run, "--split", "train"], "No records"),
        (["neurons", *output], "Give --output-dir"),
        (["neurons", *places, "--output", "x.svg"], "must end in .png"),
        (
            ["neurons", "--output-dir", str(tmp_path / "none"), *output],
            "is missing",
        ),
    ):
        assert cli.main(wrong) == 2
        assert message in capsys.readouterr().err


@pytest.mark.integration
def test_recordings_are_shown_with_what_is_spoken(tiny_sequence, tmp_path):
    experiment = config.resolve(
        tiny_sequence,
        ["data.frame_names=['ah','ee']", "data.class_names=['a','b']"],
    )
    write_untrained(experiment, tmp_path / "model")
    with ShardWriter(tmp_path / "records" / "Split-test") as writer:
        for number in range(5):
            count = 8000 + 160 * number
            labels = [0] * 30 + [1] * (1 + (count - 400) // 160 - 30)
            sound = speech_files.samples(count, number)
            encoded = speech_files.encode(sound, "WAV")
            found = records.Record(
                f"r-{number}", 0, "test", encoded, tuple(labels)
            )
            writer.write(records.to_example(found))
    found = job.neurons(
        tmp_path / "model", tmp_path / "records", tmp_path / "heard.png"
    )
    assert [n["module"] for n in found.neurons] == [
        f"module_{m}" for m in range(1, 7) for _ in range(2)
    ]
    Image.open(tmp_path / "heard.png").load()
    for neuron in found.neurons:
        assert len({hit["id"] for hit in neuron["hits"]}) == 4
        for hit in neuron["hits"]:
            start, stop = hit["samples"]
            number = int(hit["id"][-1])
            assert 0 <= start < stop <= 8000 + 160 * number
            middle = (start + stop) / 2
            assert abs(middle - (20 + 160 * hit["row"])) <= 240
