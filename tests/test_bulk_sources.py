"""STL-10, TFRecord files and TFDS: exact pixels, damage named."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gim_tf.data import records
from gim_tf.data.records import Record, Rejected
from gim_tf.errors import DataError
from tests.source_files import decode, encode, noise, open_, put, read

CIFAR = (
    Path(__file__).resolve().parents[2]
    / "shared/data/cifar10-train.tfrecord.gz"
)


def write_stl10(folder, images, labels, prefix="train"):
    content = images.transpose(0, 3, 2, 1).tobytes()
    put(folder / f"{prefix}_X.bin", content)
    if labels is not None:
        put(folder / f"{prefix}_y.bin", (labels + 1).astype("u1").tobytes())


STL10_CLASSES = tuple("abcdefghij")


def test_stl10_pixels_are_exact(tmp_path):
    images, labels = noise(10, 96, 96, 3), np.arange(10)
    write_stl10(tmp_path, images, labels)
    write_stl10(tmp_path, images[:2], None, "unlabeled")
    source = open_("stl10", tmp_path, STL10_CLASSES)
    found = read(source, "train")
    assert [record.label for record in found] == list(range(10))
    stored = [decode(record.encoded, 3) for record in found]
    np.testing.assert_array_equal(stored, images)
    assert [record.label for record in read(source, "unlabelled")] == [-1, -1]


def test_D1_damaged_stl10_files_are_named(tmp_path):
    write_stl10(tmp_path, noise(3, 96, 96, 3), np.array([0, 9, 10]))
    source = open_("stl10", tmp_path, STL10_CLASSES)
    with pytest.raises(DataError, match=r"train_y.bin has label 11"):
        read(source, "train")
    with pytest.raises(DataError, match=r"no split 'unlabelled'"):
        source.work("unlabelled")
    with open(tmp_path / "train_X.bin", "ab") as file:
        file.truncate(5 * 27648 // 2)
    with pytest.raises(DataError, match=r"train_X.bin is truncated"):
        source.work("train")
    write_stl10(tmp_path, noise(3, 96, 96, 3), np.array([0, 9]))
    with pytest.raises(DataError, match=r"3 images but .* 2 labels"):
        source.work("train")
    (tmp_path / "train_y.bin").unlink()
    with pytest.raises(DataError, match=r"train_y.bin does not exist"):
        source.work("train")


def example(**features):
    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(
                bytes_list=tf.train.BytesList(value=[value])
            )
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    made = {name: feature(value) for name, value in features.items()}
    return tf.train.Example(
        features=tf.train.Features(feature=made)
    ).SerializeToString()


def write_tfrecord(path, examples, compression=""):
    options = tf.io.TFRecordOptions(compression_type=compression)
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for serialized in examples:
            writer.write(serialized)


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_D6_tfrecord_by_content_not_by_name(tmp_path, compression):
    images = noise(3, 4, 4, 3)
    for name in ("a.tfrecord", "a.tfrecord.gz"):
        examples = [
            example(image=encode(image), label=i % 2)
            for i, image in enumerate(images)
        ]
        write_tfrecord(tmp_path / name, examples, compression)
        found = read(open_("tfrecord", tmp_path / name), "train")
        assert [x.id for x in found] == [f"{name}:000000{i}" for i in range(3)]
        assert [x.label for x in found] == [0, 1, 0]
        stored = [decode(x.encoded, 3) for x in found]
        np.testing.assert_array_equal(stored, images)


def test_tfrecord_folders_and_patterns(tmp_path):
    picture = encode(noise(2, 2))
    for index, name in enumerate(("x-train-1", "x-train-2", "x_test")):
        made = example(image=picture, label=1, id=f"é{index}".encode())
        write_tfrecord(tmp_path / f"{name}.tfrecord", [made])
    write_tfrecord(tmp_path / "unlabelled.tfrecord", [example(image=picture)])
    put(tmp_path / "README", b"not read")
    folder = open_("tfrecord", tmp_path)
    pattern = open_("tfrecord", tmp_path / "*.tfrecord")
    for source in (folder, pattern):
        assert [x.id for x in read(source, "train")] == ["é0", "é1"]
        assert [x.id for x in read(source, "test")] == ["é2"]
        assert [x.label for x in read(source, "unlabelled")] == [-1]
    assert folder.fingerprint() == pattern.fingerprint()
    with pytest.raises(DataError, match=r"\?.absent holds no data"):
        open_("tfrecord", tmp_path / "?.absent").work("train")


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("kind", ["truncated", "last byte", "flipped", "text"])
def test_D6_damaged_tfrecords_are_named(tmp_path, compression, kind):
    path = tmp_path / "a.tfrecord"
    picture = encode(noise(20, 20))
    made = [example(image=picture, label=0) for _ in range(9)]
    write_tfrecord(path, made, compression)
    content = bytearray(path.read_bytes())
    if kind == "flipped":
        content[len(content) // 2] ^= 16
    kept = {"truncated": len(content) // 2, "last byte": len(content) - 1}
    content = content[: kept.get(kind)] if kind != "text" else b"hello " * 9
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.tfrecord") as error:
        read(open_("tfrecord", path), "train")
    assert "\n" not in str(error.value)


def test_tfrecords_of_other_shape_are_named(tmp_path):
    path = tmp_path / "a.tfrecord"
    picture = encode(noise(2, 2))
    cases = {
        b"no example \xff": "record 0 is no tf.Example",
        example(label=0): "one value of 'image'.*features are label",
        example(image=picture): "one value of 'label'",
        example(image=picture, label=b"0"): r"one value of 'label' \(int64",
        example(image=picture, label=-1): "label -1; expected 0 to 1",
    }
    for content, message in cases.items():
        write_tfrecord(path, [content])
        with pytest.raises(DataError, match=message):
            read(open_("tfrecord", path), "train")
    write_tfrecord(path, [])
    with pytest.raises(DataError, match=r"holds no records"):
        read(open_("tfrecord", path), "train")


def test_bad_images_of_a_tfrecord_are_named(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, [example(image=b"no", label=0, id=b"left/1")])
    (rejected,) = read(open_("tfrecord", path), "train")
    assert isinstance(rejected, Rejected)
    assert rejected.id == "left/1"


@pytest.mark.skipif(not CIFAR.is_file(), reason=f"needs {CIFAR.name}")
def test_real_cifar10_is_divided_by_id():
    classes = tuple("0123456789")
    source = open_("tfrecord", CIFAR, classes, holdout=0.01)
    found = read(source, "test")
    assert all(isinstance(x, Record) for x in found)
    assert 440 < len(found) < 560
    assert decode(found[0].encoded, 3).shape == (32, 32, 3)
    labels = {x.id.split("/")[1]: x.label for x in found}
    assert labels["airplane"] == 0
    assert labels["truck"] == 9


@pytest.mark.slow
def test_tfds_stl10_from_made_files(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    binary = tmp_path / "fetched" / "stl10_binary"
    images = noise(20, 96, 96, 3)
    write_stl10(binary, images, np.arange(20) % 10)
    write_stl10(binary, images[:10], np.arange(10), "test")
    write_stl10(binary, images[:5], None, "unlabeled")
    put(binary / "class_names.txt", "\n".join(STL10_CLASSES).encode())
    monkeypatch.setattr(
        tfds.download.DownloadManager,
        "download_and_extract",
        lambda self, url: str(tmp_path / "fetched"),
    )
    path = f"stl10@{tmp_path / 'prepared'}"
    source = open_("tfds", path, STL10_CLASSES, pretrain_split="unlabelled")
    monkeypatch.setattr("gim_tf.data.sources.tfds.PIECE", 7)
    assert len(source.work("train")) == 3
    found = read(source, "train")
    assert Counter(x.label for x in found) == dict.fromkeys(range(10), 2)
    stored = {decode(x.encoded, 3).tobytes() for x in found}
    assert stored == {image.tobytes() for image in images}
    counts = records.write_records(source, tmp_path / "records")
    assert counts == {"unlabelled": 5, "train": 20, "test": 10}
    assert source.fingerprint() == source.fingerprint()
    with pytest.raises(DataError, match=r"has 10 classes, data.class_names"):
        open_("tfds", path).work("train")


def test_an_unknown_tfds_name_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"TFDS cannot prepare 'no_such'") as e:
        open_("tfds", f"no_such@{tmp_path}").work("train")
    assert "\n" not in str(e.value)
