"""Recordings up to the data gate: the same records and facts as without Beam.

And the schema: frame labels may be missing, but are integers.
"""

import dataclasses
import json
from pathlib import Path

import pytest
import tensorflow as tf

from gim_tf import experiments
from gim_tf.config import DataConfig
from gim_tf.data import corpus, records
from gim_tf.data.records import Record, to_example
from gim_tf.data.sources import open_source
from tests.source_files import put
from tests.speech_files import IDS, encode, flac_name, samples

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Recordings of two speakers in 8 pieces, some of them with labels."""
    root = tmp_path_factory.mktemp("speech")
    names = [f"{name[:-4]}{i}{name[-3:]}" for i in range(8) for name in IDS]
    for seed, name in enumerate(names):
        content = encode(samples(1600 + seed, seed, 100 * (1 + seed)))
        put(root / flac_name(name), content)
    labels = "".join(f"{name} {'3 ' * 7}40\n" for name in names[::2])
    put(root / "converted_aligned_phones.txt", labels.encode())
    return dataclasses.replace(
        experiments.get("librispeech_gim").data,
        path=str(root),
        min_samples=800,
        holdout=0.3,
    )


@pytest.fixture(scope="module")
def gated(data, tmp_path_factory):
    """Folders of the artifacts of a run up to the gate, by component."""
    from tfx import v1 as tfx

    from pipelines import pipeline
    from pipelines.record_schema import write_schema
    from pipelines.settings import Places

    experiment = dataclasses.replace(
        experiments.get("librispeech_gim"), data=data
    )
    root = tmp_path_factory.mktemp("run")
    places = Places.under(
        str(root), name="n", schema_file=write_schema(data, f"{root}/schema")
    )
    fingerprint = open_source(data).fingerprint()
    parts = pipeline._data_components(experiment, places, fingerprint)
    store = tfx.orchestration.metadata.sqlite_metadata_connection_config(
        f"{root}/store.db"
    )
    runner = tfx.orchestration.LocalDagRunner()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gim_tf.data.sources.containers.Folder.piece", 16)
        runner.run(
            tfx.dsl.Pipeline(
                pipeline_name="n",
                pipeline_root=f"{root}/artifacts",
                components=parts.components,
                metadata_connection_config=store,
            )
        )
    return {
        path.parents[1].name: path
        for path in Path(root, "artifacts").glob("*/*/*")
        if path.name.isdigit()
    }


def content(directory, split):
    files = records.record_files(directory, split)
    return sorted(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())


def test_beam_writes_what_the_library_writes(data, gated, tmp_path):
    examples = gated["RecordGen"]
    counts = records.write_records(open_source(data), tmp_path / "records")
    facts = (tmp_path / "records" / corpus.NAME).read_bytes()
    assert (examples / corpus.NAME).read_bytes() == facts
    assert json.loads(facts)["class_names"] == ["10", "9"]
    shards = list((examples / "Split-train").iterdir())
    assert len(shards) > 1
    for split, count in counts.items():
        made = content(examples, split)
        assert made == content(tmp_path / "records", split)
        assert len(made) == count


def test_the_gate_reports_classes_and_frame_labels(data, gated):
    (path,) = gated["DataGate"].parent.parent.rglob("data.json")
    report = json.loads(path.read_text())
    assert set(report["labels"]["train"]) == {"9", "10"}
    assert sum(report["counts"].values()) == 128
    frames = report["frame_labels"]
    labelled = sum(found["examples"] for found in frames.values())
    assert labelled == 64
    for found in frames.values():
        count = found["examples"]
        assert found["labels"] == {"3": 7 * count, "40": count}


@pytest.fixture(scope="module")
def schema():
    from pipelines.record_schema import record_schema

    names = tuple(map(str, range(41)))
    return record_schema(DataConfig(source="x", frame_names=names))


def anomalies(schema, examples, path):
    import tensorflow_data_validation as tfdv

    with tf.io.TFRecordWriter(str(path)) as writer:
        for serialized in examples:
            writer.write(serialized)
    statistics = tfdv.generate_statistics_from_tfrecord(
        str(path), stats_options=tfdv.StatsOptions(schema=schema)
    )
    found = tfdv.validate_statistics(statistics, schema)
    return set(found.anomaly_info)


@pytest.mark.parametrize("lengths", [(0, 0), (3, 0, 700)])
def test_frame_labels_may_be_of_any_number(schema, lengths, tmp_path):
    made = [
        to_example(Record(str(i), 0, "train", b"x", (7,) * length))
        for i, length in enumerate(lengths)
    ]
    assert anomalies(schema, made, tmp_path / "r") == set()


@pytest.mark.parametrize("name", ["encoded", "id", "label", "split"])
@pytest.mark.parametrize("fault", ["missing", "wrong type"])
def test_D10_a_column_that_is_missing_or_wrong_is_an_anomaly(
    schema, name, fault, tmp_path
):
    example = tf.train.Example.FromString(
        to_example(Record("a", 0, "train", b"x", (7, 8)))
    )
    feature = example.features.feature
    del feature[name]
    if fault == "wrong type":
        feature[name].float_list.value.append(0.5)
    made = [example.SerializeToString()]
    assert anomalies(schema, made, tmp_path / "r") == {name}


def test_D10_a_column_too_many_is_an_anomaly(schema, tmp_path):
    example = tf.train.Example.FromString(
        to_example(Record("a", 0, "train", b"x", (7, 8)))
    )
    example.features.feature["speaker"].int64_list.value.append(3)
    made = [example.SerializeToString()]
    assert anomalies(schema, made, tmp_path / "r") == {"speaker"}


@pytest.mark.parametrize("kind", ["bytes", "float", "high", "low"])
def test_D10_other_frame_labels_are_an_anomaly(schema, kind, tmp_path):
    example = tf.train.Example.FromString(
        to_example(Record("a", 0, "train", b"x", (7, 8)))
    )
    feature = example.features.feature["frame_labels"]
    if kind == "bytes":
        feature.bytes_list.value.append(b"7")
    elif kind == "float":
        feature.float_list.value.append(7.5)
    else:
        feature.int64_list.value.append(41 if kind == "high" else -1)
    made = [example.SerializeToString()]
    assert anomalies(schema, made, tmp_path / "r") == {"frame_labels"}
