"""Embedded data, IDX files and folders: exact pixels, bad data named."""

import gzip
import os
import pickle
import struct
import tracemalloc
import zlib
from collections import Counter

import numpy as np
import pytest

from gim_tf.data import records
from gim_tf.data.records import Rejected, WorkItem
from gim_tf.data.sources.base import is_held_out
from gim_tf.data.sources.embedded import FOLDER
from gim_tf.errors import ConfigError, DataError
from tests.source_files import (
    decode,
    encode,
    noise,
    open_,
    put,
    read,
    write_idx,
)
from tools import make_embedded_data


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
def test_D1_damaged_idx_files_are_named(tmp_path, suffix, kind):
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


@pytest.mark.parametrize(
    "shape", [(-1, 5, 4), (3, 0, 4), (3, -5, 4), (3, 2**15, 2**15)]
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_D1_sizes_that_cannot_be_are_refused_before_reading(
    tmp_path, shape, suffix
):
    write_idx(tmp_path, noise(3, 5, 4), noise(3) % 2, suffix=suffix)
    header = bytes((0, 0, 8, 3)) + struct.pack(">3i", *shape)
    pack = gzip.compress if suffix else bytes
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    path.write_bytes(pack(header + bytes(60)))
    with pytest.raises(DataError, match=r"expected sizes of at least 1"):
        read(open_("idx", tmp_path), "train")


def test_D1_a_header_of_more_than_there_is_takes_no_memory(tmp_path):
    write_idx(tmp_path, noise(3, 5, 4), noise(3) % 2)
    for kind, each in (("images-idx3", (5000, 5000)), ("labels-idx1", ())):
        header = bytes((0, 0, 8, 1 + len(each)))
        header += struct.pack(f">{1 + len(each)}i", 2**31 - 1, *each)
        (tmp_path / f"train-{kind}-ubyte").write_bytes(header + bytes(60))
    source = open_("idx", tmp_path)
    item = WorkItem("train", "train", 0, 10_000)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"is truncated"):
        list(source.read(item))
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()


def test_idx_files_must_agree(tmp_path):
    write_idx(tmp_path, noise(4, 5, 5), noise(3) % 2)
    with pytest.raises(DataError, match=r"4 images but .* 3 labels"):
        open_("idx", tmp_path).work("train")


def test_D4_a_label_without_a_class_is_named(tmp_path):
    write_idx(tmp_path, noise(3, 5, 5), np.array([0, 1, 2], np.uint8))
    with pytest.raises(DataError, match=r"'train-00002'.* label 2"):
        read(open_("idx", tmp_path), "train")


def test_D8_holdout_divides_by_id_once_and_for_all(tmp_path):
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
def test_T11_nothing_to_read_is_one_line(tmp_path, name):
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


def test_D9_class_names_match_however_accents_are_written(tmp_path):
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


def test_D9_20000_files_mix_their_classes(tmp_path, injected):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(10_000):
            os.mknod(tmp_path / name / f"{index} é.png")
    source = open_("folder", tmp_path)
    items = source.work("train")
    listed = [member for item in items for member in item.members]
    made = {f"{c}/{i} é.png" for c in ("cat", "dog") for i in range(10_000)}
    injected(len(listed), made ^ set(listed))
    assert len(listed) == 20_000
    cats = sum(member.startswith("cat") for member in items[0].members)
    assert 0.3 < cats / len(items[0].members) < 0.7
    assert len(pickle.dumps(items[0])) < 20_000
    assert items == open_("folder", tmp_path).work("train")


def test_D9_a_name_that_is_not_utf8_reaches_the_records(tmp_path):
    name = os.path.join(os.fsencode(tmp_path), b"cat", b"\xff.png")
    put(tmp_path / "cat" / "1.png", encode(noise(2, 2)))
    with open(name, "wb") as file:
        file.write(encode(noise(2, 2)))
    found = read(open_("folder", tmp_path), "train")
    ids = {
        records.parse([records.to_example(x)])["id"].numpy()[0] for x in found
    }
    assert ids == {b"cat/1.png", b"cat/\\udcff.png"}


def test_D1_bad_images_of_a_folder_are_counted_and_named(tmp_path, injected):
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
    injected(len(bad), rejected ^ {f"cat/{name}" for name in bad})
    counts = records.write_records(source, tmp_path / "records")
    assert counts == {"train": 2, "test": 1}
    with pytest.raises(DataError, match=r"5 unreadable.*cat/"):
        records.write_records(
            open_("folder", root, max_bad=4), tmp_path / "records"
        )


def test_D1_what_is_no_regular_file_is_rejected(tmp_path):
    put(tmp_path / "cat" / "1.png", encode(noise(2, 2)))
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "cat" / "link.png").symlink_to(tmp_path / "gone.png")
    with open(tmp_path / "cat" / "large.png", "wb") as file:
        file.truncate(2**29 + 1)
    source = open_("folder", tmp_path)
    rejected = {x.id for x in read(source, "train") if len(x) == 2}
    assert rejected == {f"cat/{name}.png" for name in ("pipe", "link", "large")}
    assert source.fingerprint()


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
