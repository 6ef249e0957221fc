"""What people read: charts, the report, TensorBoard and projector files."""

import dataclasses
import html.parser
import io
import math
import subprocess
import sys

import numpy as np
import pytest
from google.protobuf import text_format
from matplotlib.colors import to_rgb
from PIL import Image

from gim_tf import config, experiments
from gim_tf.errors import DataError
from gim_tf.inspection import pictures, plots, style
from gim_tf.inspection.findings import findings, headline
from gim_tf.inspection.report import ReportData, render, summarise_table
from gim_tf.inspection.task_charts import probe_chart
from gim_tf.inspection.tasks import Task

CHANCE = math.log(17)
EXPERIMENT = config.to_dict(experiments.get("fashion_mnist_gim"))


def module(loss, **values):
    return {"loss": loss, "accuracy": 0.5, "per_step": [0.6, 0.4], **values}


def make_history():
    return [
        {
            "step": step,
            "examples_per_second": 100.0,
            **{
                f"module_{m}": module(
                    CHANCE - step * m / 100,
                    spread=0.9,
                    effective_rank=10.0 + m,
                )
                for m in (1, 2, 3)
            },
        }
        for step in (0, 20, 40)
    ]


def make_summary():
    modules = {
        f"module_{m}": {
            "loss": 1.5 - m / 10,
            "chance_loss": CHANCE,
            "accuracy": 0.5,
            "effective_rank": 20.0,
        }
        for m in (1, 2, 3)
    }
    probes = {
        f"module_{m}": {
            "linear_top1": 0.7 + m / 20,
            "linear_grid_top1": 0.86,
            "knn_top1": 0.75,
            "untrained_linear_top1": 0.7,
            "untrained_linear_grid_top1": 0.85,
            "untrained_knn_top1": 0.7,
        }
        for m in (1, 2, 3)
    }
    return {
        "experiment": "fashion_mnist_gim",
        "seed": 0,
        "versions": {"tensorflow": "2.16.2"},
        "data": {
            "unlabelled": 10_000,
            "train": 10_000,
            "test": 2_000,
            "fingerprint": "f00d",
        },
        "pretrain": {
            "steps": 40,
            "seconds": 9.5,
            "examples_per_second": 100.0,
            "modules": modules,
        },
        "probes": probes,
        "controls": {"raw_top1": 0.83, "chance": 0.1},
        "blessed": True,
        "pushed_to": "out/my models/gim/3",
        "report": "out/report.html",
    }


def make_data(**changes):
    views = np.random.default_rng(0).random((6, 32, 32, 1))
    data = ReportData(
        experiment=EXPERIMENT,
        summary=make_summary(),
        history=make_history(),
        tasks={
            "class": {
                "confusion": (90 * np.eye(10, dtype=int) + 1).tolist(),
                "class_names": EXPERIMENT["data"]["class_names"],
            }
        },
        pictures={
            "views": pictures.view_grid(views),
            "neurons": pictures.view_grid(views[:1]),
            "something_else": pictures.view_grid(views[1:2]),
        },
        execution=[
            {
                "component": "ingest",
                "state": "CACHED",
                "seconds": 0.1,
                "peak_mib": None,
                "outputs": [{"id": 1, "type": "Examples"}],
            },
            {
                "component": "trainer",
                "state": "COMPLETE",
                "seconds": 60.0,
                "peak_mib": 900.0,
                "inputs": [1],
                "outputs": [2],
            },
        ],
        blessing={"blessed": True, "reasons": []},
        tensorboard_dir="out/tensorboard",
    )
    return dataclasses.replace(data, **changes)


class Page(html.parser.HTMLParser):
    """Collects links, headings and text; refuses tags that do not nest."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.words = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        named = dict(attrs)
        self.links += [named[k] for k in ("src", "href") if k in named]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_report_and_charts_need_no_tensorflow():
    code = (
        "import sys, gim_tf.inspection.report as r;"
        "r.render(r.ReportData());"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_report_is_one_file_that_tells_the_result():
    page = Page(render(make_data()))
    assert all(
        u.startswith(("data:image/png;base64,", "#")) for u in page.links
    )
    assert page.tags.count("img") == 9
    assert "module 3 lets a simple linear classifier name 85.0 %" in page.text
    assert "the same network before training gives 70.0 %" in page.text
    assert "blessed and pushed" in page.text
    assert "f00d" in page.text
    assert "-v \"$PWD\"/'out/my models/gim':/models/gim:ro" in page.text
    assert "tensorboard --logdir out/tensorboard" in page.text
    assert "#1 Examples" in page.text
    assert "What excites single neurons" in page.text
    assert "the test patches at which it answers most" in page.text
    assert "Something else" in page.text


def test_report_shows_each_class():
    by_class = {
        "<boot>": {"accuracy": 0.75, "examples": 1000},
        "bag": {"accuracy": None, "examples": 0},
    }
    evaluation = {"accuracy": 0.5, "by_class": by_class}
    data = ReportData(summary={"evaluation": evaluation})
    text = Page(render(data)).text
    assert "<boot>" in text
    assert "75.0 %" in text
    assert "1,000" in text
    assert "nan" not in text


def test_report_is_the_same_for_the_same_data():
    data = ReportData(experiment=EXPERIMENT, history=make_history())
    assert render(data) == render(data)


def test_every_part_can_stand_alone():
    assert "img" not in Page(render(ReportData())).tags
    whole = make_data()
    for name in (f.name for f in dataclasses.fields(ReportData)):
        if name != "summary":
            Page(render(ReportData(**{name: getattr(whole, name)})))
    for key, value in whole.summary.items():
        Page(render(ReportData(summary={key: value})))


def test_report_escapes_what_it_shows():
    evil = "<script>alert('$x')</script>"
    summary = make_summary() | {"pushed_to": f"/m/{evil}/1"}
    summary["data"]["fingerprint"] = evil
    page = Page(
        render(
            make_data(
                experiment=EXPERIMENT | {"name": evil, "summary": evil},
                summary=summary,
                tasks={
                    "class": {
                        "confusion": np.eye(10).tolist(),
                        "class_names": [evil, "$\\frac"] * 5,
                    }
                },
                blessing={"blessed": False, "reasons": [evil]},
                execution=[{"component": evil, "state": evil}],
                pictures={evil: make_data().pictures["views"]},
                tensorboard_dir=evil,
            )
        )
    )
    assert "script" not in page.tags
    assert evil in page.text


def test_report_of_a_refused_encoder_says_why():
    summary = make_summary() | {"pushed_to": None}
    reason = "module_3 reaches 0.85, needs 0.90"
    blessing = {"blessed": False, "reasons": [reason]}
    data = ReportData(summary=summary, blessing=blessing)
    text = Page(render(data)).text
    assert "not blessed, not pushed" in text
    assert reason in text
    assert "docker" not in text


def test_table_for_the_terminal():
    summary = make_summary()
    del summary["probes"]["module_1"]["knn_top1"]
    lines = summarise_table(summary).splitlines()
    assert lines[0].split()[0] == "module"
    first = "module 1 1.400 / 2.833 50.0 % 75.0 % 86.0 % - 70.0 % +5.0"
    assert " ".join(lines[2].split()) == first
    assert " ".join(lines[-2].split()) == "linear on raw input 83.0 %"
    assert " ".join(lines[-1].split()) == "a guess 10.0 % 10.0 % 10.0 %"
    assert len({len(line) for line in lines}) == 1
    assert max(map(len, lines)) <= 100
    assert summarise_table({})


def test_nothing_to_remark_on_a_good_run():
    assert findings(make_summary(), make_history()) == []


def test_collapse_unlearned_and_useless_modules_raise_alarms():
    summary = make_summary()
    summary["pretrain"]["modules"]["module_1"]["effective_rank"] = 1.1
    summary["pretrain"]["modules"]["module_2"]["loss"] = CHANCE
    summary["probes"]["module_3"]["linear_top1"] = 0.69
    history = make_history()
    history[0]["alarms"] = ["module_2"]
    history[-1]["alarms"] = ["module_1"]
    found = findings(summary, history)
    alarms = " ".join(f.text for f in found if f.kind == "alarm")
    notes = " ".join(f.text for f in found if f.kind == "note")
    assert "Module 1 ended in the collapse alarm" in alarms
    assert "features of module 1 have collapsed" in alarms
    assert "Module 2 has learned nothing" in alarms
    assert "training did not help" in alarms
    assert "Module 2 was in the collapse alarm" in notes
    assert "module 2 is best, at 80.0 %" in notes
    assert "raw input 83.0 %" in notes


def test_headline_does_not_deny_labels_that_were_used():
    for kind, words in (
        ("supervised", "Trained with labels, "),
        ("predsim", "Trained with labels, "),
        ("info_nce", "Trained without a single label, "),
        ("deep_infomax", "Trained without a single label, "),
    ):
        trained = {"stack": {"objective": {"kind": kind}}}
        assert headline(make_summary(), trained).startswith(words)
    assert headline({}, EXPERIMENT) == ""


def test_charts_bear_gaps_many_modules_and_one_class():
    history = [
        {"step": 1, "module_1": module(math.nan)},
        {"step": 2, "module_12": module(None)},
    ]
    wide = {f"module_{m}": {"linear_top1": 0.5} for m in range(1, 13)}
    for png in (
        plots.loss_curves(history, {}),
        plots.accuracy_per_step(history, None),
        plots.feature_health(history),
        probe_chart(Task("class", wide, {})),
        plots.confusion_matrix([[0]], ["only"]),
        plots.confusion_matrix(np.eye(251, dtype=int), ["x"] * 251),
        plots.time_and_memory([{"component": "alone"}]),
    ):
        assert decoded(png).shape[1] == round(style.WIDTH * 160)


def test_a_single_log_line_is_seen():
    history = [{"step": 1, "module_1": module(2.0)}]
    colour = np.array(to_rgb(style.module_colour("module_1")))
    for png in (plots.loss_curves(history, {}), plots.feature_health(history)):
        pixels = decoded(png)[..., :3] / 255
        chart = pixels[:, : pixels.shape[1] // 2]  # left of what is written
        near = np.abs(chart - colour).max(-1) < 0.02
        assert near.sum() > 20


def test_labels_at_the_right_move_apart_as_little_as_they_can():
    spread = style._spread
    assert spread([0.0, 1.0, 0.5], 0.2) == [0.0, 1.0, 0.5]
    np.testing.assert_allclose(spread([0.5, 0.5], 0.2), [0.4, 0.6])
    heights = np.random.default_rng(1).random(12)
    places = np.asarray(spread(heights, 0.05))
    assert np.diff(np.sort(places)).min() > 0.05 - 1e-9
    assert (np.argsort(places) == np.argsort(heights)).all()
    assert places.mean() == pytest.approx(heights.mean())


def test_view_grid_shows_every_pixel():
    views = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 1), np.uint8)
    shown = decoded(pictures.view_grid(views, columns=3))
    factor = shown.shape[1] // (3 * (6 + 2) + 2)
    small = shown[::factor, ::factor, 0]
    np.testing.assert_array_equal(small[2:6, 10:16], views[1, ..., 0])
    np.testing.assert_array_equal(small[8:12, 2:8], views[3, ..., 0])
    assert (small[8:12, 18:24] == 255).all()


def test_real_pixels_are_scaled_over_all_views():
    values = np.array([[-1.0, 0.0], [1.0, np.nan]])
    np.testing.assert_array_equal(
        pictures.to_pixels(values), [[0, 128], [255, 128]]
    )
    clipped = pictures.to_pixels(np.array([-9.0, 9.0]), low=0.0, high=1.0)
    np.testing.assert_array_equal(clipped, [0, 255])


def test_patch_grid_marks_the_targets_of_the_objective():
    view = np.random.default_rng(0).random((16, 16, 3))
    patches = np.stack(
        [[view[r : r + 8, c : c + 8] for c in (0, 4, 8)] for r in (0, 4, 8)]
    )
    plain = pictures.patch_grid(view, patches, stride=4)
    marked = pictures.patch_grid(view, patches, stride=4, prediction_steps=2)
    blue = np.array([0x56, 0xB4, 0xE9])
    assert not (decoded(plain) == blue).all(-1).any()
    assert (decoded(marked) == blue).all(-1).any()
    assert pictures._marks(7, 7, 5, 1)[1:][0][0] == (2, 3)


@pytest.mark.parametrize("shape", [(0, 4, 4, 1), (4, 4, 1), (2, 4, 4, 2)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(DataError, match="Expected"):
        pictures.view_grid(np.zeros(shape))


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    from gim_tf.inspection import tensorboard

    directory = str(tmp_path_factory.mktemp("logs"))
    summary = make_summary()
    results = {
        "modules": summary["probes"],
        "controls": summary["controls"],
        "confusion": np.eye(10, dtype=int).tolist(),
        "class_names": EXPERIMENT["data"]["class_names"],
    }
    tensorboard.write_configuration(directory, EXPERIMENT)
    tensorboard.write_pictures(directory, make_data().pictures)
    tensorboard.write_probes(
        directory, {"class": results}, experiment=EXPERIMENT, step=40
    )
    return directory


@pytest.fixture(scope="module")
def events(log_dir):
    from tensorboard.backend.event_processing import plugin_event_multiplexer

    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    return multiplexer.AddRunsFromDirectory(log_dir).Reload()


def numbers(events, run, tag):
    from tensorboard.util import tensor_util

    return {
        event.step: float(tensor_util.make_ndarray(event.tensor_proto))
        for event in events.Tensors(run, tag)
    }


def test_tensorboard_reads_the_probes_by_step_and_by_depth(events):
    tag = "probe/module_3/linear_top1"
    assert numbers(events, ".", tag) == {40: pytest.approx(0.85)}
    expected = {
        "by_depth_trained": [0.75, 0.8, 0.85],
        "by_depth_untrained": [0.7] * 3,
        "by_depth_raw": [0.83] * 3,
        "by_depth_chance": [0.1] * 3,
    }
    assert set(events.Runs()) == {".", *expected}
    for run, values in expected.items():
        points = numbers(events, run, "by_depth/linear_top1")
        assert points == pytest.approx(
            dict(zip((1, 2, 3), values, strict=True))
        )


def test_controls_are_drawn_beside_the_result_that_they_are_of(tmp_path):
    from tensorboard.backend.event_processing import plugin_event_multiplexer

    from gim_tf.inspection import tensorboard

    scores = {"linear_top1": 0.6, "held_out_voice_top1": 0.4}
    controls = {
        "chance": 0.1,
        "mfcc_linear_top1": 0.5,
        "mfcc_held_out_voice_top1": 0.3,
        "log_mel_linear_top1": 0.45,
        "log_mel_held_out_voice_top1": None,
    }
    results = {"modules": {"module_1": scores}, "controls": controls}
    tensorboard.write_probes(
        str(tmp_path), {"phone": results}, experiment=EXPERIMENT
    )
    events = plugin_event_multiplexer.EventMultiplexer()
    events.AddRunsFromDirectory(str(tmp_path)).Reload()

    def drawn(run, result):
        return numbers(events, f"by_depth_{run}", f"by_depth/phone/{result}")

    assert drawn("mfcc", "linear_top1") == {1: pytest.approx(0.5)}
    assert drawn("mfcc", "held_out_voice_top1") == {1: pytest.approx(0.3)}
    assert drawn("chance", "held_out_voice_top1") == {1: pytest.approx(0.1)}
    assert drawn("log_mel", "linear_top1") == {1: pytest.approx(0.45)}
    with pytest.raises(KeyError):
        drawn("log_mel", "held_out_voice_top1")


def test_tensorboard_reads_pictures_and_configuration(events):
    for tag in ("pictures/views", "confusion/last_module"):
        width, height, png = events.Tensors(".", tag)[0].tensor_proto.string_val
        shape = decoded(png).shape
        assert (int(height), int(width)) == shape[:2]
    text = events.Tensors(".", "configuration")[0].tensor_proto.string_val[0]
    size = EXPERIMENT["training"]["batch_size"]
    assert f"| `training.batch_size` | {size} |".encode() in text


def test_hparams_plugin_finds_the_trial_and_its_metrics(log_dir, events):
    from tensorboard.backend.event_processing import data_provider
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import (
        api_pb2,
        backend_context,
        list_session_groups,
    )

    provider = data_provider.MultiplexerDataProvider(events, log_dir)
    context = backend_context.Context(
        base_plugin.TBContext(data_provider=provider, logdir=log_dir)
    )
    statuses = [api_pb2.STATUS_UNKNOWN]
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=10, allowed_statuses=statuses
    )
    handler = list_session_groups.Handler(
        RequestContext(), context, "", request
    )
    (group,) = handler.run().session_groups
    name, seed, settings = group.name.split(", ")
    assert (name, seed, len(settings)) == ("fashion_mnist_gim", "seed 0", 6)
    size = EXPERIMENT["training"]["batch_size"]
    assert group.hparams["training.batch_size"].number_value == size
    metrics = {m.name.tag: m.value for m in group.metric_values}
    assert metrics["probe/module_1/linear_top1"] == pytest.approx(0.75)
    assert len(metrics) == 9


def test_projector_files_agree_with_each_other(tmp_path):
    from tensorboard.plugins.projector import ProjectorConfig

    from gim_tf.inspection.projector import write_projector

    features = np.arange(30.0).reshape(10, 3) / 7
    views = np.arange(10, dtype=np.uint8)[:, None, None, None]
    views = np.broadcast_to(views, (10, 5, 6, 1))
    count = write_projector(
        str(tmp_path),
        {"module_1": features, "module_2": features[:, :2]},
        {"class": ["a\tb"] * 10, "id": [str(i) for i in range(10)]},
        views=views,
        limit=4,
    )
    assert count == 4
    text = (tmp_path / "projector_config.pbtxt").read_text()
    parsed = text_format.Parse(text, ProjectorConfig())
    first = parsed.embeddings[0]
    table = np.loadtxt(tmp_path / first.tensor_path)
    assert list(first.tensor_shape) == list(table.shape) == [4, 3]
    rows = (tmp_path / first.metadata_path).read_text().splitlines()
    assert rows[0] == "class\tid"
    ids = [int(row.split("\t")[1]) for row in rows[1:]]
    assert rows[1] == "a b\t0"
    np.testing.assert_allclose(table, features[ids], rtol=1e-4)
    sprite = Image.open(tmp_path / first.sprite.image_path)
    width, height = first.sprite.single_image_dim
    assert (width, height) == (6, 5)
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    assert [sprite.getpixel(c)[0] for c in corners] == ids


def test_projector_keeps_the_sprite_within_a_texture(tmp_path):
    from gim_tf.inspection.projector import MAX_SPRITE, write_projector

    views = np.zeros((5, 1, MAX_SPRITE // 2, 1), np.uint8)
    features = {"module_1": np.zeros((5, 2))}
    written = write_projector(
        str(tmp_path), features, {"id": list("abcde")}, views=views
    )
    assert written == 4
    assert (tmp_path / "projector/metadata.tsv").read_text() == "a\nb\nc\nd\n"
    sprite = Image.open(tmp_path / "projector/sprite.png")
    assert max(sprite.size) <= MAX_SPRITE


def test_projector_refuses_tables_that_do_not_match(tmp_path):
    from gim_tf.inspection.projector import write_projector

    with pytest.raises(DataError, match="same length"):
        write_projector(
            str(tmp_path), {"module_1": np.zeros((3, 2))}, {"id": ["a"]}
        )


def test_controls_stand_under_the_results_that_they_are_of():
    modules = {
        "module_1": {
            "linear_top1": 0.5,
            "untrained_linear_top1": 0.4,
            "whole_stats_top1": 0.6,
            "untrained_whole_stats_top1": 0.3,
        }
    }
    controls = {
        "chance": 0.1,
        "mfcc_linear_top1": 0.2,
        "log_mel_linear_top1": 0.7,
        "log_mel_whole_stats_top1": 0.8,
    }
    summary = {
        "probes": {"speaker": modules},
        "controls": {"speaker": controls},
    }
    lines = summarise_table(summary).splitlines()
    table = {" ".join(line.split()) for line in lines}
    assert "MFCC with deltas 20.0 %" in table
    assert "log-mel 70.0 % 80.0 %" in table
    assert len({len(line) for line in lines}) == 1
    column = lines[0].index("one vector") + len("one vector")
    (log_mel,) = (line for line in lines if line.startswith("log-mel"))
    assert log_mel[:column].endswith("80.0 %")
