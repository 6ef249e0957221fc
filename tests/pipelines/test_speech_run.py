"""The same pipeline on speech: both tasks, records in FLAC, a model without."""

import json

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from gim_tf import config, experiments
from gim_tf.errors import ConfigError
from gim_tf.export.manifest import verify_manifest
from tests.test_speech_run import SMALL

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def speech():
    return config.resolve(
        experiments.get("flite_gim"),
        [
            *(s for s in SMALL if not s.startswith("view")),
            "view.length=20480",
            "stack.objective.skip_steps=0",
            "blessing.margin=-1.0",
            "blessing.tolerance=1.0",
        ],
    )


@pytest.fixture(scope="module")
def first(speech, tmp_path_factory):
    from pipelines import local_runner

    return local_runner.run(speech, tmp_path_factory.mktemp("speech"))


def test_both_tasks_are_in_the_summary_and_the_first_one_blesses(first):
    summary = json.loads((first.output_dir / "summary.json").read_text())
    assert summary["data"] | {"fingerprint": ""} == {
        "unlabelled": 59,
        "train": 59,
        "test": 13,
        "fingerprint": "",
        "rejected": 0,
    }
    for task in ("phone", "speaker"):
        assert list(summary["probes"][task]) == [
            f"module_{m}" for m in range(1, 7)
        ]
        assert "mfcc_linear_top1" in summary["controls"][task]
    assert summary["blessed"] is True
    assert "phone, module_6" in summary["reasons"][0]
    # The Evaluator read the records, whose recordings are FLAC.
    assert set(summary["evaluation"]["by_class"]) == {"1", "2", "3", "4"}
    page = (first.output_dir / "report.html").read_text()
    assert "audio_bytes" in page
    kept = json.loads((first.output_dir / "config.json").read_text())
    assert kept["view"]["std"] == pytest.approx(0.04156, abs=1e-4)
    assert len(kept["data"]["frame_names"]) == 41


def test_what_is_pushed_loads_where_tensorflow_io_is_not(first):
    """No operation of another package is in the served graph."""
    pushed = first.summary["pushed_to"]
    manifest = verify_manifest(pushed)
    assert "requires" not in manifest
    assert manifest["frames"]["hop"] == 160
    proto = saved_model_pb2.SavedModel()
    with tf.io.gfile.GFile(f"{pushed}/saved_model.pb", "rb") as file:
        proto.ParseFromString(file.read())
    graph = proto.meta_graphs[0].graph_def
    nodes = [
        *graph.node,
        *(n for f in graph.library.function for n in f.node_def),
    ]
    assert not [n.op for n in nodes if n.op.startswith("IO>")]
    signatures = set(proto.meta_graphs[0].signature_def)
    assert {"classify", "classify_frames", "tensor"} <= signatures


def test_what_the_evaluator_reads_has_a_card_with_the_results(first):
    by_name = {c.component: c for c in first.components}
    model = by_name["RecordReader"].output("reader") + "/Format-Serving"
    with open(f"{model}/MODEL_CARD.md") as file:
        text = file.read()
    assert "decodes FLAC besides WAV" in text
    assert "### Phones" in text
    with open(f"{first.summary['pushed_to']}/MODEL_CARD.md") as file:
        assert "FLAC" not in file.read()


def test_a_second_run_is_cached(speech, first):
    from pipelines import local_runner

    second = local_runner.run(speech, first.output_dir)
    ran = {c.component for c in second.components if c.state == "ran"}
    assert ran <= {"Baseline"}
    assert second.summary["probes"] == first.summary["probes"]


def test_bulk_inference_is_refused_before_anything_is_built(speech, tmp_path):
    from pipelines.pipeline import create_pipeline
    from pipelines.settings import Options, Places

    with pytest.raises(ConfigError, match=r"on recordings.*`gim embed "):
        create_pipeline(
            speech,
            Places.under(str(tmp_path), name="s", schema_file="s"),
            data_fingerprint="f" * 12,
            options=Options(bulk_infer=True),
        )


def test_without_a_task_of_classes_nothing_is_evaluated(speech, tmp_path):
    from pipelines.pipeline import create_pipeline
    from pipelines.settings import Places

    phones = config.resolve(speech, ["probe.tasks=['phone']"])
    pipeline = create_pipeline(
        phones,
        Places.under(str(tmp_path), name="p", schema_file="s"),
        data_fingerprint="f" * 12,
    )
    names = {component.id for component in pipeline.components}
    assert "Evaluator" not in names
    assert {"LinearProbe", "Bless", "Report"} <= names
