"""Records: the round trip, what is refused, and that nothing is lost."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from gim_tf import jobs
from gim_tf.config import DataConfig, to_dict
from gim_tf.data import records, shards
from gim_tf.data.records import Record, Rejected, WorkItem
from gim_tf.errors import DataError

GOOD = [
    Record("a", 0, "train", b"one"),
    Record("é b", 1, "train", b"two"),
    Record("c", 1, "test", b"three"),
]


class ListSource:
    """A source of what it is given."""

    def __init__(self, found, **settings):
        self.data = DataConfig(
            source="list", class_names=("zero", "one"), **settings
        )
        self._found = found
        self.class_names = self.data.class_names
        self.frame_names = self.data.frame_names

    def work(self, split):
        return [WorkItem(split, split)]

    def read(self, item):
        for found in self._found:
            if getattr(found, "split", "train") == item.split:
                yield found

    def fingerprint(self):
        return "f"


def read(directory, split):
    files = records.record_files(directory, split)
    dataset = tf.data.TFRecordDataset(files, "GZIP")
    return [
        {key: value.numpy() for key, value in records.parse(batch).items()}
        for batch in dataset.batch(100)
    ]


def tree(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_written_records_are_read_back(tmp_path):
    counts = records.write_records(ListSource(GOOD), tmp_path / "records")
    assert counts == {"train": 2, "test": 1}
    (batch,) = read(tmp_path / "records", "train")
    assert batch["encoded"].tolist() == [b"one", b"two"]
    assert batch["label"].tolist() == [0, 1]
    assert batch["id"].tolist() == [b"a", "é b".encode()]
    assert batch["split"].tolist() == [b"train"] * 2
    facts = json.loads((tmp_path / "records" / "ingest.json").read_text())
    assert facts == {
        "fingerprint": "f",
        "data": to_dict(ListSource(GOOD).data),
        "counts": counts,
        "labels": {"train": {"0": 1, "1": 1}, "test": {"1": 1}},
        "num_rejected": 0,
    }


def test_parse_works_inside_a_dataset():
    serialized = [records.to_example(record) for record in GOOD]
    dataset = tf.data.Dataset.from_tensor_slices(serialized).batch(3)
    (batch,) = dataset.map(records.parse)
    assert batch["label"].numpy().tolist() == [0, 1, 1]


def test_equal_sources_give_equal_bytes(tmp_path):
    for name in ("first", "second"):
        records.write_records(ListSource(GOOD), tmp_path / name)
    assert tree(tmp_path / "first") == tree(tmp_path / "second")


def test_records_are_divided_into_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_RECORDS", 2)
    many = [Record(str(i), i % 2, "train", b"") for i in range(5)]
    records.write_records(ListSource([*many, GOOD[2]]), tmp_path / "records")
    files = records.record_files(tmp_path / "records", "train")
    assert [os.path.basename(file) for file in files] == [
        f"data_tfrecord-0000{i}-of-00003.gz" for i in range(3)
    ]
    assert [records.count_records([file]) for file in files] == [2, 2, 1]
    os.remove(files[1])
    with pytest.raises(DataError, match=r"2 shards of 3"):
        records.record_files(tmp_path / "records", "train")


def test_D1_too_many_rejected_are_named_and_keep_what_was_there(tmp_path):
    directory = tmp_path / "records"
    records.write_records(ListSource(GOOD), directory)
    before = tree(directory)
    bad = [Rejected("x y.png", "truncated"), Rejected("z", "empty")]
    with pytest.raises(DataError, match=r"2 unreadable.*x y.png: trunc") as e:
        records.write_records(ListSource([*GOOD, *bad], max_bad=1), directory)
    assert "\n" not in str(e.value)
    assert tree(directory) == before
    listing = tmp_path / "records.rejected.jsonl"
    lines = [json.loads(line) for line in listing.read_text().splitlines()]
    assert lines == [bad_one._asdict() for bad_one in bad]

    counts = records.write_records(
        ListSource([*GOOD, *bad], max_bad=2), directory
    )
    assert counts == {"train": 2, "test": 1}
    assert len((directory / "rejected.jsonl").read_text().splitlines()) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


@pytest.mark.parametrize(
    ("found", "settings", "message"),
    [
        (GOOD[:2], {}, "'test' has 0 examples"),
        (GOOD, {"min_examples": 2}, "'test' has 1 examples"),
        (GOOD[1:], {}, "no example of 1 class.*'zero'"),
        ([*GOOD, GOOD[0]], {}, "id 'a'"),
    ],
)
def test_D4_incomplete_data_are_refused(tmp_path, found, settings, message):
    with pytest.raises(DataError, match=message):
        records.write_records(ListSource(found, **settings), tmp_path / "r")
    assert not list(tmp_path.iterdir())


def test_a_split_without_examples_has_one_empty_shard(tmp_path):
    source = ListSource(GOOD[:2], min_examples=0)
    assert records.write_records(source, tmp_path / "r")["test"] == 0
    files = records.record_files(tmp_path / "r", "test")
    assert records.count_records(files) == 0


@pytest.mark.parametrize(
    ("split", "label", "is_right"),
    [
        ("train", 0, True),
        ("train", 1, True),
        ("train", 2, False),
        ("train", -1, False),
        ("test", -1, False),
        ("unlabelled", -1, True),
        ("unlabelled", -2, False),
    ],
)
def test_D4_labels_must_be_in_the_contract(split, label, is_right):
    data = ListSource([]).data
    record = Record("cat/1.png", label, split, b"")
    if is_right:
        records.check_label(record, data)
        return
    with pytest.raises(DataError, match=r"'cat/1.png'"):
        records.check_label(record, data)


@pytest.mark.parametrize("kind", ["truncated", "flipped", "text"])
def test_D6_damaged_records_are_named(tmp_path, kind):
    many = [Record(str(i), i % 2, "train", os.urandom(99)) for i in range(99)]
    records.write_records(ListSource([*many, GOOD[2]]), tmp_path / "r")
    (file,) = records.record_files(tmp_path / "r", "train")
    content = bytearray(Path(file).read_bytes())
    if kind == "truncated":
        content = content[: len(content) // 2]
    elif kind == "flipped":
        content[len(content) // 2] ^= 16
    else:
        content = b"no records at all"
    Path(file).write_bytes(content)
    with pytest.raises(DataError, match=r"data_tfrecord-00000-of-00001.gz"):
        records.count_records([file])


def test_D6_records_cut_anywhere_are_named(tmp_path, injected):
    """Behind a record, too, where TensorFlow takes the end for the end."""
    few = [Record(str(i), i % 2, "train", os.urandom(9)) for i in range(3)]
    records.write_records(ListSource([*few, GOOD[2]]), tmp_path / "r")
    (file,) = records.record_files(tmp_path / "r", "train")
    content = Path(file).read_bytes()
    assert records.count_records([file]) == 3
    missed, silent = [], 0
    cuts = range(0, len(content), 3)
    for length in cuts:
        Path(file).write_bytes(content[:length])
        dataset = tf.data.TFRecordDataset(file, compression_type="GZIP")
        with contextlib.suppress(tf.errors.OpError):
            silent += len(list(dataset)) < 4
        with contextlib.suppress(DataError):
            records.count_records([file])
            missed.append(length)
    assert silent > 6  # else this test would show nothing
    injected(len(cuts), missed)


def test_D6_a_probe_of_damaged_records_names_them(tiny, tmp_path):
    records.write_records(ListSource(GOOD), tmp_path / "r")
    train, test = (
        records.record_files(tmp_path / "r", split)
        for split in ("train", "test")
    )
    Path(test[0]).write_bytes(b"")
    with pytest.raises(DataError, match=r"Split-test/data_tfrecord"):
        jobs.probe(
            *(tiny, tmp_path / "no model", train, test, tmp_path / "probe"),
            tensorboard_dir=tmp_path / "tensorboard",
        )


def test_missing_records_are_named(tmp_path):
    with pytest.raises(DataError, match=r"No records of split 'train'"):
        records.record_files(tmp_path, "train")


def test_T7_a_full_disk_keeps_the_old_records(tmp_path):
    directory = tmp_path / "records"
    records.write_records(ListSource(GOOD), directory)
    before = tree(directory)
    large = [Record("l", 0, "train", os.urandom(2**20)), *GOOD]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    try:
        with pytest.raises(DataError, match=r"Cannot write") as error:
            records.write_records(ListSource(large), directory)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert tree(directory) == before
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (tmp_path / f".records.{killed}").mkdir()
    running = tmp_path / f".records.{os.getppid()}"
    running.mkdir()
    records.write_records(ListSource(GOOD), tmp_path / "records")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"records", running.name}


def test_T11_a_directory_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"Cannot write .*File exists"):
        records.write_records(ListSource(GOOD), tmp_path / "file" / "records")


def test_some_records_are_found_by_their_positions(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_RECORDS", 2)
    written = [
        Record(f"é {i}", i, "test", bytes([i]), (i, i + 1) if i % 2 else ())
        for i in range(5)
    ]
    with shards.ShardWriter(tmp_path / "Split-test") as writer:
        for record in written:
            writer.write(records.to_example(record))
    files = records.record_files(tmp_path, "test")
    assert len(files) == 3
    found = records.records_at(files, [3, 0, 4, 3])
    assert found == {i: written[i] for i in (0, 3, 4)}
    assert records.records_at(files, []) == {}
    with pytest.raises(DataError, match="number 7"):
        records.records_at(files, [1, 7])
