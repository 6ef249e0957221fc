"""The whole pipeline on this machine: caching, gates, reports.

One process and one output directory for most scenarios, since TFX takes half
a minute to import and a run takes one.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gim_tf.errors import CheckpointError, DataError
from tests.pipelines.conftest import (
    DATA,
    DECIDING,
    LEARNING,
    ran,
    run,
    write_source,
)

pytestmark = pytest.mark.pipeline

SECRET = "hunter2-the-secret"


def versions(result):
    from pipelines import pusher

    name = result.summary["experiment"]
    return pusher.versions(str(result.output_dir / "serving" / name))


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def first(small, tmp_path_factory, lines):
    directory = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIM_TEST_TOKEN", SECRET)
        return run(small, directory, report=lines.append)


def test_a_first_run_does_everything(first, lines):
    assert ran(first) == DATA | LEARNING | DECIDING
    assert lines[0] == "ImportSchemaGen: started"
    assert any("step 6/6" in line for line in lines)
    assert lines[-1].startswith("Report: done in ")
    assert len([line for line in lines if line.endswith(": started")]) == 12


def test_the_summary_is_complete(first):
    summary = json.loads((first.output_dir / "summary.json").read_text())
    assert summary == first.summary
    assert summary["data"]["unlabelled"] == summary["data"]["train"] == 60
    assert summary["data"]["test"] == 30
    assert summary["pretrain"]["steps"] == 6
    for name in ("module_1", "module_2"):
        assert summary["pretrain"]["modules"][name].keys() >= {
            "loss",
            "chance_loss",
            "accuracy",
            "feature_std",
            "effective_rank",
        }
        assert summary["probes"][name].keys() >= {
            "linear_top1",
            "linear_grid_top1",
            "knn_top1",
            "untrained_linear_top1",
        }
    assert summary["controls"].keys() >= {"raw_top1", "chance"}
    assert summary["blessed"] is True
    assert summary["versions"]["tfx"] == "1.16.0"
    assert summary["pretrain"]["steps"] == 6
    kept = json.loads((first.output_dir / "config.json").read_text())
    assert kept["training"]["num_steps"] == 6
    page = Path(summary["report"]).read_text()
    assert Path(summary["report"]) == first.output_dir / "report.html"
    assert "RecordGen" in page
    for one in summary["components"]:
        assert one["seconds"] >= 0
        assert one["peak_mib"] > 100
        assert one["outputs"] or one["component"] == "Baseline"


def test_the_evaluator_agrees_with_the_probe(first):
    import tensorflow_model_analysis as tfma

    by_name = {c.component: c for c in first.components}
    evaluation = tfma.load_eval_result(
        by_name["Evaluator"].output("evaluation")
    )
    accuracy = {
        slices: metrics[""][""]["sparse_categorical_accuracy"]["doubleValue"]
        for slices, metrics in evaluation.slicing_metrics
    }
    assert len(accuracy) == 4
    last = first.summary["probes"]["module_2"]["linear_top1"]
    assert accuracy[()] == pytest.approx(last, abs=1e-6)
    shown = first.summary["evaluation"]
    assert shown["accuracy"] == accuracy[()]
    assert list(shown["by_class"]) == ["dark", "light", "noise"]
    for label, one in enumerate(shown["by_class"].values()):
        assert one["accuracy"] == accuracy[(("label", label),)]
        assert one["examples"] == 10


def test_S6_what_was_probed_is_what_is_served(first, injected):
    pushed = Path(first.summary["pushed_to"])
    by_name = {c.component: c for c in first.components}
    probed = Path(by_name["LinearProbe"].output("probed")) / "Format-Serving"
    files = [p.relative_to(probed) for p in probed.rglob("*") if p.is_file()]
    assert Path("manifest.json") in files
    injected(
        len(files),
        [
            file
            for file in files
            if (pushed / file).read_bytes() != (probed / file).read_bytes()
        ],
    )


def test_P1_a_second_run_is_cached(first, small):
    second = run(small, first.output_dir)
    assert ran(second) == set()
    assert versions(second) == [1]
    assert second.summary["pushed_to"] == first.summary["pushed_to"]


def test_the_bench_tells_what_a_cached_run_took_and_would_take(first, small):
    from pipelines.costs import costs

    again = run(small, first.output_dir)
    found = costs(first.output_dir)
    made = {one["component"]: one for one in found["components"]}
    assert list(made) == [one.component for one in again.components]
    assert made["Trainer"]["state"] == "cached"
    trained = next(c for c in first.components if c.component == "Trainer")
    assert made["Trainer"]["made_in_s"] == trained.seconds
    busy = sum(one["seconds"] for one in found["components"])
    assert found["seconds"] == pytest.approx(busy + found["between_s"])


def test_a_rollback_is_not_undone(first, small, tmp_path):
    pushed = Path(first.summary["pushed_to"])
    shutil.move(pushed, tmp_path / "aside")
    lines = []
    again = run(small, first.output_dir, report=lines.append)
    assert ran(again) == set()
    assert again.summary["pushed_to"] is None
    assert not pushed.exists()
    assert any(f"{pushed} was removed since" in line for line in lines)
    shutil.move(tmp_path / "aside", pushed)
    restored = run(small, first.output_dir)
    assert restored.summary["pushed_to"] == str(pushed)


def test_P5_a_threshold_changes_only_the_decision(first, small):
    strict = run(small, first.output_dir, ["blessing.margin=2.0"])
    assert ran(strict) == DECIDING
    assert not strict.blessed
    assert strict.summary["pushed_to"] is None
    assert versions(strict) == [1]
    assert strict.reasons[0].startswith("failed: module_2 reaches 0.")


def test_P1_a_training_setting_leaves_the_data_cached(first, small):
    lines = []
    other = run(
        small,
        first.output_dir,
        ["training.learning_rate=0.01"],
        report=lines.append,
    )
    assert ran(other) == LEARNING | DECIDING
    assert versions(other) == [1, 2]
    assert len(other.reasons) == 2  # compared with the first model
    runs = list((first.output_dir / "training").iterdir())
    assert len(runs) == 2
    (said,) = [line for line in lines if "Starting anew" in line]
    assert any(str(before) in said for before in runs)


def test_a_part_can_run_alone(first, small):
    part = run(small, first.output_dir, to_nodes=["StatisticsGen"])
    assert {c.component for c in part.components} < DATA
    assert part.summary == {}


def test_other_probe_settings_have_no_baseline(first, small):
    other = run(small, first.output_dir, ["probe.epochs=1"])
    assert ran(other) == LEARNING - {"Trainer"} | DECIDING
    assert len(other.reasons) == 1


def test_bulk_inference_embeds_as_the_export_does(first, small):
    from gim_tf.data import embeddings
    from gim_tf.data.items import open_items
    from gim_tf.export.embedder import Embedder

    result = run(small, first.output_dir, bulk_infer=True)
    assert ran(result) - DECIDING == {"BulkInferrer"}
    assert result.embeddings == first.output_dir / "embeddings.parquet"
    parts = list(embeddings.read_rows(result.embeddings))
    by_name = {c.component: c for c in result.components}
    records = by_name["RecordGen"].output("examples")
    source = open_items(records, suffixes=())
    items = source.find(one for part in parts for one in part.ids)
    assert len(items) == 90
    embedder = Embedder(result.summary["pushed_to"])
    for part in parts:
        asked = [items[one] for one in part.ids]
        assert part.splits == [one.split for one in asked]
        assert part.labels == [one.label for one in asked]
        expected = embedder([(one.id, one.encoded) for one in asked]).features
        assert list(part.features) == list(expected) == ["module_1", "module_2"]
        for name, values in expected.items():
            assert values.std() > 1e-3
            np.testing.assert_allclose(part.features[name], values, atol=1e-5)


def test_what_was_inferred_is_a_table_as_gim_embed_writes_it(first, small):
    from gim_tf import jobs

    table = first.output_dir / "embeddings.parquet"
    before = {path: path.stat().st_mtime_ns for path in table.iterdir()}
    again = run(small, first.output_dir, bulk_infer=True)
    assert ran(again) == set()
    assert {p: p.stat().st_mtime_ns for p in table.iterdir()} == before
    page = first.output_dir / "neighbors.html"
    found = jobs.neighbors(table, "test-00003", k=3, page=page)
    assert found.result.size == 89
    assert found.class_names == ("dark", "light", "noise")
    assert page.read_text().count("data:image/png;base64,") == 4


def test_a_model_that_is_not_blessed_infers_nothing(first, small):
    table = first.output_dir / "embeddings.parquet"
    before = (table / "_embeddings.json").read_bytes()
    strict = ["blessing.margin=2.0"]
    result = run(small, first.output_dir, strict, bulk_infer=True)
    assert ran(result) - DECIDING == {"BulkInferrer"}
    assert result.embeddings is None
    by_name = {c.component: c for c in result.components}
    written = Path(by_name["BulkInferrer"].output("output_examples"))
    assert not [path for path in written.rglob("*") if path.is_file()]
    assert (table / "_embeddings.json").read_bytes() == before


def test_a_failed_run_leaves_the_results_of_the_last(first, small):
    names = ("config.json", "summary.json", "report.html")
    files = [first.output_dir / name for name in names]
    before = [file.read_bytes() for file in files]
    few = ["data.min_examples=1000", "training.seed=8"]
    with pytest.raises(DataError, match="has 60 examples"):
        run(small, first.output_dir, few)
    assert [file.read_bytes() for file in files] == before
    log = (first.output_dir / "pipeline.log").read_text()
    assert "Traceback" in log.rpartition("gim.run: The run failed.")[2]


def test_resuming_never_refuses_checkpoints(first, small):
    with pytest.raises(CheckpointError, match="already holds checkpoints"):
        run(small, first.output_dir, resume="never")


def test_changed_data_run_again(first, small, tmp_path):
    write_source(tmp_path, train=45)
    moved = [f"data.path={tmp_path}"]
    result = run(small, first.output_dir, moved, to_nodes=["DataGate"])
    assert ran(result) == DATA - {"ImportSchemaGen"}
    report = Path(result.components[-1].output("report"), "data.json")
    assert json.loads(report.read_text())["counts"]["train"] == 45


def test_ingest_gives_the_same_bytes_on_two_workers(first, small, tmp_path):
    flags = ("--direct_running_mode=multi_threading", "--direct_num_workers=2")
    other = run(small, tmp_path, to_nodes=["RecordGen"], beam_args=flags)
    folders = [
        Path(
            next(c for c in r.components if c.component == "RecordGen").output(
                "examples"
            )
        )
        for r in (first, other)
    ]
    files = [sorted(folder.rglob("data_tfrecord-*")) for folder in folders]
    assert [f.name for f in files[0]] == [f.name for f in files[1]]
    for ours, theirs in zip(*files, strict=True):
        assert ours.read_bytes() == theirs.read_bytes()


def test_D10_the_gate_stops_before_training(small, tmp_path):
    few = ["data.min_examples=1000"]
    with pytest.raises(DataError, match="'train' has 60 examples") as caught:
        run(small, tmp_path, few)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "training").exists()


def test_D4_a_label_out_of_range_is_one_line(small, tmp_path):
    classes = ['data.class_names=["dark", "light"]']
    with pytest.raises(DataError, match="label 2") as caught:
        run(small, tmp_path, classes)
    assert "\n" not in str(caught.value)
    assert "while running" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 0.5])
def test_P4_a_truncated_metadata_store_is_named(first, small, tmp_path, kept):
    whole = (first.output_dir / "metadata.sqlite").read_bytes()
    store = tmp_path / "metadata.sqlite"
    store.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CheckpointError, match=r"metadata\.sqlite") as caught:
        run(small, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["run#1", "a%41b", "why?"])
def test_P4_a_whole_metadata_store_is_read_wherever_it_lies(
    first, tmp_path, name
):
    from pipelines.lineage import check_store

    folder = tmp_path / name
    folder.mkdir()
    store = folder / "metadata.sqlite"
    store.write_bytes((first.output_dir / "metadata.sqlite").read_bytes())
    check_store(store)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_P8_no_secret_of_the_environment_is_stored(first, injected):
    files = [p for p in first.output_dir.rglob("*") if p.is_file()]
    injected(1, [p for p in files if SECRET.encode() in p.read_bytes()])
