"""What the BulkInferrer writes, read again; without TFX."""

import numpy as np
import pytest
import tensorflow as tf

from gim_tf.data import records
from gim_tf.data.records import Record
from gim_tf.errors import DataError
from pipelines.predictions import read_predictions, write_embeddings


def write_predictions(path, count=3):
    """Records with two modules, as TFX names and writes them."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(count, 14)).astype("f")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for index, row in enumerate(features):
            record = Record(f"r-{index}", index - 1, "test", b"encoded")
            example = tf.train.Example.FromString(records.to_example(record))
            feature = example.features.feature
            feature["module_10"].float_list.value.extend(row[:4])
            feature["module_2"].float_list.value.extend(row[4:])
            writer.write(example.SerializeToString())
    return features


def test_rows_have_modules_by_depth_and_what_the_records_have(tmp_path):
    file = tmp_path / "Split-test" / "examples-00000-of-00001.gz"
    features = write_predictions(file)
    (rows,) = read_predictions(file)
    assert rows.ids == ["r-0", "r-1", "r-2"]
    assert rows.splits == ["test"] * 3
    assert rows.labels == [-1, 0, 1]
    assert list(rows.features) == ["module_2", "module_10"]
    np.testing.assert_array_equal(rows.features["module_10"], features[:, :4])
    np.testing.assert_array_equal(rows.features["module_2"], features[:, 4:])


def test_damage_and_gaps_are_named(tmp_path):
    file = tmp_path / "Split-test" / "examples-00000-of-00002.gz"
    write_predictions(file)
    places = {"records": tmp_path, "model_dir": tmp_path}
    with pytest.raises(DataError, match="has 1 of 2 files"):
        write_embeddings(tmp_path, tmp_path / "out.parquet", **places)
    with pytest.raises(DataError, match="nothing is inferred by a model that"):
        write_embeddings(tmp_path / "none", tmp_path / "out.parquet", **places)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="is damaged"):
        list(read_predictions(file))
