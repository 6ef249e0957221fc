"""Readers: exact pixels, and every kind of bad data counted and named."""

import gzip
import io
import os
import pickle
import struct
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gim_tf.config import DataConfig
from gim_tf.data import records
from gim_tf.data.records import Record, Rejected
from gim_tf.data.sources import open_source, verify
from gim_tf.data.sources.base import is_held_out
from gim_tf.data.sources.embedded import FOLDER
from gim_tf.data.sources.verify import UnreadableError, verified
from gim_tf.errors import ConfigError, DataError
from tools import make_embedded_data

CIFAR = (
    Path(__file__).resolve().parents[2]
    / "shared/data/cifar10-train.tfrecord.gz"
)


def open_(source, path=None, classes=("cat", "dog"), **settings):
    data = DataConfig(
        source=source,
        path=None if path is None else str(path),
        class_names=classes,
        **settings,
    )
    return pickle.loads(pickle.dumps(open_source(data)))


def read(source, split):
    return [x for item in source.work(split) for x in source.read(item)]


def decode(encoded, channels):
    return tf.io.decode_image(
        encoded, channels=channels, expand_animations=False
    ).numpy()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encode(image, kind="PNG", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


# Embedded and IDX.


def idx(array):
    header = bytes((0, 0, 8, array.ndim))
    return (
        header + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()
    )


def write_idx(folder, images, labels, prefix="train", suffix=""):
    pack = gzip.compress if suffix else bytes
    names = (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
    for name, array in zip(names, (images, labels), strict=True):
        put(folder / f"{name}{suffix}", pack(idx(array)))


def test_embedded_data_are_the_first_of_fashion_mnist():
    source = open_("embedded", classes=tuple("0123456789"))
    (train,) = source.work("train")
    (test,) = source.work("test")
    assert (train.stop, test.stop) == (10_000, 2_000)
    found = read(source, "test")
    labels = [record.label for record in found]
    # The ten first of the published test set, and its balance.
    assert labels[:10] == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert min(Counter(labels).values()) == 188
    assert decode(found[0].encoded, 1).shape == (28, 28, 1)
    assert len({record.id for record in found}) == 2_000
    total = sum(path.stat().st_size for path in FOLDER.iterdir())
    assert total < 6e6
    assert "MIT License" in (FOLDER / "LICENSE").read_text()
    assert source.fingerprint() == open_("embedded").fingerprint()


def test_embedded_data_take_no_path():
    with pytest.raises(ConfigError, match=r"reads no data.path"):
        open_("embedded", "here").work("train")


@pytest.mark.skipif(
    not make_embedded_data.DEBIAN.is_dir(),
    reason="needs the package dataset-fashion-mnist",
)
def test_the_tool_makes_the_committed_bytes(tmp_path, monkeypatch):
    # Only the test half: the whole takes seven seconds.
    monkeypatch.setattr(make_embedded_data, "COUNTS", {"t10k": 2_000})
    monkeypatch.setattr("sys.argv", ["tool", "--output", str(tmp_path)])
    make_embedded_data.main()
    for path in tmp_path.iterdir():
        made, committed = path.read_bytes(), (FOLDER / path.name).read_bytes()
        assert gzip.decompress(made) == gzip.decompress(committed)
        if zlib.ZLIB_RUNTIME_VERSION.startswith("1.2"):
            assert made == committed


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_pixels_are_exact(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("gim_tf.data.sources.idx.PIECE", 300)
    images, labels = noise(700, 5, 4), noise(700) % 2
    write_idx(tmp_path, images, labels, suffix=suffix)
    write_idx(tmp_path, images[:3], labels[:3], "t10k", suffix)
    source = open_("idx", tmp_path)
    assert len(source.work("train")) == 3
    found = read(source, "train")
    assert [record.label for record in found] == labels.tolist()
    stored = [decode(record.encoded, 1)[..., 0] for record in found]
    np.testing.assert_array_equal(stored, images)
    assert [record.id for record in read(source, "test")] == [
        f"test-0000{i}" for i in range(3)
    ]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("kind", ["truncated", "flipped", "text", "longer"])
def test_damaged_idx_files_are_named(tmp_path, suffix, kind):
    write_idx(tmp_path, noise(99, 28, 28), noise(99) % 2, suffix=suffix)
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    content = path.read_bytes()
    if kind == "truncated":
        content = content[:-5]
    elif kind == "flipped":
        middle = 2 if not suffix else len(content) // 2
        flipped = bytes([content[middle] ^ 16])
        content = content[:middle] + flipped + content[middle + 1 :]
    elif kind == "text":
        content = b"<html>not found</html>"
    else:
        content += b"\0"
    path.write_bytes(content)
    if kind == "longer" and suffix:
        return  # gzip allows zeros after its end
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte") as error:
        read(open_("idx", tmp_path), "train")
    assert "\n" not in str(error.value)


def test_idx_files_must_agree(tmp_path):
    write_idx(tmp_path, noise(4, 5, 5), noise(3) % 2)
    with pytest.raises(DataError, match=r"4 images but .* 3 labels"):
        open_("idx", tmp_path).work("train")


def test_a_label_without_a_class_is_named(tmp_path):
    write_idx(tmp_path, noise(3, 5, 5), np.array([0, 1, 2], np.uint8))
    with pytest.raises(DataError, match=r"'train-00002'.* label 2"):
        read(open_("idx", tmp_path), "train")


# Splits.


def test_holdout_divides_by_id_once_and_for_all(tmp_path):
    write_idx(tmp_path, noise(1000, 2, 2), noise(1000) % 2)
    source = open_("idx", tmp_path, holdout=0.2)
    train, test = read(source, "train"), read(source, "test")
    train_ids = {record.id for record in train}
    test_ids = {record.id for record in test}
    assert len(train_ids | test_ids) == 1000
    assert not train_ids & test_ids
    assert 160 < len(test_ids) < 240
    assert {record.split for record in test} == {"test"}
    assert is_held_out("train-00000", 0.2) == ("train-00000" in test_ids)


def test_a_missing_test_split_asks_for_holdout(tmp_path):
    write_idx(tmp_path, noise(4, 5, 5), noise(4) % 2)
    with pytest.raises(DataError, match=r"has no split 'test'.*data.holdout"):
        open_("idx", tmp_path).work("test")
    with pytest.raises(DataError, match=r"has no split 'unlabelled'; it has"):
        open_("idx", tmp_path, holdout=0.5).work("unlabelled")


@pytest.mark.parametrize("name", ["idx", "folder", "stl10", "tfrecord"])
def test_nothing_to_read_is_one_line(tmp_path, name):
    with pytest.raises(DataError, match=str(tmp_path)) as error:
        open_(name, tmp_path).work("train")
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=r"absent does not exist"):
        open_(name, tmp_path / "absent").work("train")
    with pytest.raises(ConfigError, match=r"needs data.path"):
        open_(name).work("train")


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(ConfigError, match=r"nearest known one is 'folder'"):
        open_("foldr")


# Folders.


def test_folder_pixels_and_labels(tmp_path):
    images = noise(4, 6, 7, 3)
    names = ["cat/1.png", "cat/deep er/2.PNG", "dög/ä 3.png", "dög/4.bmp"]
    for name, image in zip(names, images, strict=True):
        put(tmp_path / name, encode(image, name[-3:].upper()))
    put(tmp_path / "cat" / ".DS_Store", b"hidden")
    source = open_("folder", tmp_path, ("cat", "dög"))
    found = {record.id: record for record in read(source, "train")}
    assert sorted(found) == sorted(names)
    for name, image in zip(names, images, strict=True):
        assert found[name].label == ("dög" in name)
        np.testing.assert_array_equal(decode(found[name].encoded, 3), image)


def test_class_names_match_however_accents_are_written(tmp_path):
    put(tmp_path / "do\N{COMBINING DIAERESIS}g" / "1.png", encode(noise(2, 2)))
    (record,) = read(open_("folder", tmp_path, ("cat", "dög")), "train")
    assert record.label == 1


def test_folder_with_splits(tmp_path):
    for name in ("train/cat/1", "train/dog/1", "test/dog/1", "unlabelled/a/b"):
        put(tmp_path / f"{name}.png", encode(noise(2, 2)))
    source = open_("folder", tmp_path, holdout=0.5)
    found = [
        (record.id, record.label, record.split)
        for split in ("train", "test", "unlabelled")
        for record in sorted(read(source, split))
    ]
    assert found == [
        ("train/cat/1.png", 0, "train"),
        ("train/dog/1.png", 1, "train"),
        ("test/dog/1.png", 1, "test"),
        ("unlabelled/a/b.png", -1, "unlabelled"),
    ]


def test_images_without_folders_are_unlabelled(tmp_path):
    put(tmp_path / "1.png", encode(noise(2, 2)))
    put(tmp_path / "notes.txt", b"no image")
    put(tmp_path / "cat" / "1.png", encode(noise(2, 2)))
    source = open_("folder", tmp_path)
    found = {x.id: x for x in read(source, "unlabelled")}
    assert found["1.png"].label == -1
    assert isinstance(found["notes.txt"], Rejected)
    assert [record.id for record in read(source, "train")] == ["cat/1.png"]


def test_an_unknown_class_folder_is_named(tmp_path):
    put(tmp_path / "cow" / "1.png", encode(noise(2, 2)))
    with pytest.raises(DataError, match=r"cow is no class.*expected cat, dog"):
        open_("folder", tmp_path).work("train")


def test_20000_files_mix_their_classes(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(10_000):
            os.mknod(tmp_path / name / f"{index} é.png")
    source = open_("folder", tmp_path)
    items = source.work("train")
    assert sum(len(item.members) for item in items) == 20_000
    cats = sum(member.startswith("cat") for member in items[0].members)
    assert 0.3 < cats / len(items[0].members) < 0.7
    assert len(pickle.dumps(items[0])) < 20_000
    assert items == open_("folder", tmp_path).work("train")


def test_a_name_that_is_not_utf8_reaches_the_records(tmp_path):
    name = os.path.join(os.fsencode(tmp_path), b"cat", b"\xff.png")
    put(tmp_path / "cat" / "1.png", encode(noise(2, 2)))
    with open(name, "wb") as file:
        file.write(encode(noise(2, 2)))
    found = read(open_("folder", tmp_path), "train")
    ids = {
        records.parse([records.to_example(x)])["id"].numpy()[0] for x in found
    }
    assert ids == {b"cat/1.png", b"cat/\\udcff.png"}


def test_bad_images_of_a_folder_are_counted_and_named(tmp_path):
    good = encode(noise(9, 9, 3))
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 16
    bad = {
        "truncated.png": good[:-6],
        "flipped.png": bytes(flipped),
        "empty.png": b"",
        "foreign.png": b"%PDF-1.4",
        "notes.txt": b"hello",
    }
    root = tmp_path / "data"
    for name, content in {**bad, "good.png": good}.items():
        put(root / "cat" / name, content)
        put(root / "dog" / "good.png", good)
    put(root / "test" / "cat" / "good.png", good)
    source = open_("folder", root, max_bad=5)
    found = read(source, "train")
    rejected = {x.id for x in found if isinstance(x, Rejected)}
    assert rejected == {f"cat/{name}" for name in bad}
    counts = records.write_records(source, tmp_path / "records")
    assert counts == {"train": 2, "test": 1}
    with pytest.raises(DataError, match=r"5 unreadable.*cat/"):
        records.write_records(
            open_("folder", root, max_bad=4), tmp_path / "records"
        )


def test_fingerprints_follow_the_content(tmp_path):
    for folder in ("one", "two"):
        put(tmp_path / folder / "cat" / "1.png", b"same")
    one = open_("folder", tmp_path / "one")
    before = one.fingerprint()
    assert before == open_("folder", tmp_path / "two").fingerprint()
    put(tmp_path / "one" / "cat" / "1.png", b"edit")
    assert one.fingerprint() != before


def test_fingerprints_of_large_files_follow_time_and_ends(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("gim_tf.data.sources.files.WHOLE_BYTES", 10)
    path = tmp_path / "cat" / "1.png"
    source = open_("folder", tmp_path)
    seen = set()
    for content, time in ((b"a" * 99, 1), (b"a" * 99, 2), (b"b" * 99, 1)):
        put(path, content)
        os.utime(path, (time, time))
        seen.add(source.fingerprint())
    assert len(seen) == 3


# Verification of encoded images.


def gray():
    return (np.add.outer(np.arange(20), np.arange(30)) * 5 % 256).astype("u1")


def color():
    return np.stack([gray(), gray()[::-1], gray()[:, ::-1]], -1)


def variants():
    rgb, grey = Image.fromarray(color()), Image.fromarray(gray())
    rgba = rgb.copy()
    rgba.putalpha(grey)
    palette = rgb.quantize(64)
    return {
        "png": (encode(rgb), rgb),
        "png gray": (encode(grey), grey),
        "png bits": (encode(grey.convert("1")), grey.convert("1")),
        "png alpha": (encode(rgba), rgba),
        "png gray alpha": (encode(grey.convert("LA")), grey),
        "png palette": (encode(palette), palette),
        "png hole": (encode(palette, transparency=3), palette),
        "png 16 bit": (encode(gray().astype("u2") * 257), grey),
        "tiff 16 bit": (encode(gray().astype("u2") * 257, "TIFF"), grey),
        "bmp": (encode(rgb, "BMP"), rgb),
        "bmp gray": (encode(grey, "BMP"), grey),
        "bmp palette": (encode(palette, "BMP"), palette),
        "gif": (encode(palette, "GIF"), palette),
        "webp": (encode(rgb, "WEBP", lossless=True), rgb),
        "tiff": (encode(rgb, "TIFF"), rgb),
        "1x1": (encode(noise(1, 1)), Image.fromarray(noise(1, 1))),
    }


@pytest.mark.parametrize("name", variants())
def test_the_graph_decodes_what_is_stored(name):
    encoded, image = variants()[name]
    stored = verified(encoded)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(stored, 3), expected)
    expected = np.asarray(image.convert("L"), int)[..., None]
    assert abs(decode(stored, 1) - expected).max() <= 1  # rounding of the sum


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_the_graph_decodes_stored_jpegs(mode):
    rows = np.linspace(0, 255, 20).astype("u1")
    image = Image.fromarray(np.tile(rows, (9, 1))).convert("RGB").convert(mode)
    stored = verified(encode(image, "JPEG", quality=95))
    difference = decode(stored, 3) - np.asarray(image.convert("RGB"), int)
    assert abs(difference).max() <= 6
    assert decode(stored, 1).shape == (9, 20, 1)


def test_intact_jpeg_and_png_are_stored_unchanged():
    for kind in ("JPEG", "PNG"):
        encoded = encode(color(), kind)
        assert verified(encoded) == encoded


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_truncated_images_are_rejected(kind, kept):
    encoded = encode(noise(40, 50), kind)
    with pytest.raises(UnreadableError):
        verified(encoded[: int(len(encoded) * kept)])


def test_every_flipped_bit_of_a_png_is_found_or_harmless():
    encoded = encode(color())
    for position in range(0, len(encoded), 7):
        flipped = bytearray(encoded)
        flipped[position] ^= 1
        try:
            stored = verified(bytes(flipped))
        except UnreadableError:
            continue
        np.testing.assert_array_equal(decode(stored, 3), color())


def test_sizes_are_refused_before_they_are_decoded():
    bomb = bytearray(encode(np.zeros((8, 8), "u1")))
    for side, reason in ((8001, "8001x8001"), (60_000, "too large")):
        bomb[16:24] = struct.pack(">ii", side, side)
        bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
        with pytest.raises(UnreadableError, match=reason):
            verified(bytes(bomb))


def test_8000_by_8000_is_the_largest(monkeypatch):
    assert verify.MAX_PIXELS == 8000 * 8000
    monkeypatch.setattr(verify, "MAX_PIXELS", 20 * 30)
    assert verified(encode(gray()))
    monkeypatch.setattr(verify, "MAX_PIXELS", 20 * 30 - 1)
    with pytest.raises(UnreadableError, match=r"30x20 pixels"):
        verified(encode(gray()))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_are_rejected(kind):
    first, second = (Image.fromarray(noise(9, 9, seed=s)) for s in (1, 2))
    encoded = encode(first, kind, save_all=True, append_images=[second])
    with pytest.raises(UnreadableError, match=r"2 frames"):
        verified(encoded)


def test_float_images_are_rejected():
    with pytest.raises(UnreadableError, match=r"mode F"):
        verified(encode(np.zeros((3, 3), np.float32), "TIFF"))


# STL-10.


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


def test_damaged_stl10_files_are_named(tmp_path):
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


# TFRecord.


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
def test_tfrecord_by_content_not_by_name(tmp_path, compression):
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
def test_damaged_tfrecords_are_named(tmp_path, compression, kind):
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


# TFDS.


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
