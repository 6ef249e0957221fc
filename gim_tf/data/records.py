"""The record contract: what every source yields and all later steps read.

A record is a tf.Example. `encoded` is a whole encoded file that the graph
decoder can read, `label` an int64 (-1: unlabelled), `id` is unique in its
source, `split` is the split that it belongs to, and `frame_labels`, where there
are any, has a label for each 10 ms. Records lie in
`DIRECTORY/Split-<split>/data_tfrecord-00000-of-0000N.gz`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from gim_tf.config import DataConfig, to_dict
from gim_tf.data import corpus
from gim_tf.data.shards import (
    ShardWriter,
    count_in_shard,
    disk_errors,
    replaced_directory,
)
from gim_tf.errors import DataError
from gim_tf.paths import AnyPath, as_path, move_file

UNLABELLED = "unlabelled"

FEATURES = {
    "encoded": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
    "id": tf.io.FixedLenFeature([], tf.string),
    "split": tf.io.FixedLenFeature([], tf.string),
    "frame_labels": tf.io.FixedLenSequenceFeature(
        [], tf.int64, allow_missing=True, default_value=-1
    ),
}


class Record(NamedTuple):
    """One example; `label` is -1, `frame_labels` empty where it has none."""

    id: str
    label: int
    split: str
    encoded: bytes
    frame_labels: tuple[int, ...] = ()


class Rejected(NamedTuple):
    """One example that cannot be used, and why, in a few words."""

    id: str
    reason: str


class WorkItem(NamedTuple):
    """A piece of a split that one worker reads; small and picklable.

    Attributes:
      split: the split that the piece's records get.
      path: a file, or what else the source calls the piece.
      start: first example of a range.
      stop: end of the range, exclusive.
      members: names of the piece's examples, where they are listed.
      divided: whether train and test share this piece, by a hash of the ids.
    """

    split: str
    path: str
    start: int = 0
    stop: int = 0
    members: tuple[str, ...] = ()
    divided: bool = False


class Source(Protocol):
    """What all readers offer; picklable, so that workers can share it."""

    data: DataConfig

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class, in label order."""
        ...

    @property
    def frame_names(self) -> tuple[str, ...]:
        """One name a frame label; none where there are none."""
        ...

    def work(self, split: str) -> list[WorkItem]:
        """Cuts a split into pieces, cheaply, in a fixed order."""
        ...

    def read(self, item: WorkItem) -> Iterator[Record | Rejected]:
        """Yields the examples of one piece, one at a time."""
        ...

    def fingerprint(self) -> str:
        """Hash that changes when the source's content does."""
        ...


def to_example(record: Record) -> bytes:
    """Serialized tf.Example of a record; equal records give equal bytes."""
    feature = {
        "encoded": _bytes_feature(record.encoded),
        "label": tf.train.Feature(
            int64_list=tf.train.Int64List(value=[record.label])
        ),
        "id": _bytes_feature(_utf8(record.id)),
        "split": _bytes_feature(_utf8(record.split)),
    }
    if record.frame_labels:
        feature["frame_labels"] = tf.train.Feature(
            int64_list=tf.train.Int64List(value=record.frame_labels)
        )
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses a batch of records.

    Args:
      serialized: [b] string, serialized tf.Examples.

    Returns:
      `encoded` [b] string, `label` [b] int64, `id` and `split` [b] string,
      `frame_labels` [b, t] int64, t of the longest, -1 behind shorter ones.
    """
    return tf.io.parse_example(serialized, FEATURES)


def check_label(record: Record, data: DataConfig) -> None:
    """Raises `DataError` for a label outside the contract.

    -1 may stand in the split "unlabelled", and in others that no probe reads.
    """
    probed = record.split in (data.train_split, data.test_split)
    lowest = 0 if probed and record.split != UNLABELLED else -1
    highest = data.max_label
    if record.label < lowest or (
        highest is not None and record.label > highest
    ):
        raise DataError(
            f"Example {record.id!r} of split {record.split!r} has label "
            f"{record.label}; expected {label_range(lowest, highest)}."
        )


def label_range(
    lowest: int, highest: int | None, names: str = "class_names"
) -> str:
    """The labels that may stand, in words; `names` is the setting with them."""
    if highest is None:
        return f"{lowest} or more"
    return f"{lowest} to {highest}, the positions in data.{names}"


def check_rejected(
    data: DataConfig, rejected: Sequence[Rejected], count: int, listing: str
) -> None:
    """Raises `DataError` if more examples are bad than `data.max_bad`.

    Args:
      data: holds `max_bad`.
      rejected: some of them, to be named in the message.
      count: how many there are in all.
      listing: where all are listed.
    """
    if count > data.max_bad:
        named = "; ".join(f"{bad.id}: {bad.reason}" for bad in rejected[:3])
        raise DataError(
            f"{count} unreadable example(s), data.max_bad allows "
            f"{data.max_bad}: {named}{'; ...' if count > 3 else ''}. Mend or "
            f"remove them, or raise data.max_bad; all are listed in {listing}."
        )


def check_counts(
    data: DataConfig, labels: Mapping[str, Mapping[int, int]]
) -> None:
    """Raises `DataError` for a split too small or lacking a class.

    Args:
      data: says how many examples a split needs and which classes exist.
      labels: for each split, the number of examples of each label.
    """
    for split in data.splits:
        count = sum(labels.get(split, {}).values())
        if count < data.min_examples:
            raise DataError(
                f"Split {split!r} has {count} examples, data.min_examples "
                f"asks for {data.min_examples}. Check data.path and "
                "data.holdout."
            )
    present = labels.get(data.train_split, {})
    missing = [
        name
        for label, name in enumerate(data.class_names)
        if not present.get(label)
    ]
    if present and missing and data.train_split != UNLABELLED:
        raise DataError(
            f"Split {data.train_split!r} has no example of "
            f"{len(missing)} class(es), the first is {missing[0]!r}. Add "
            "examples there, or remove the class from data.class_names and "
            "the data."
        )


def write_records(source: Source, directory: AnyPath) -> dict[str, int]:
    """Writes all splits in use, and replaces `directory` only if all is well.

    Beside the splits stand `rejected.jsonl` (one `{"id", "reason"}` a line),
    `ingest.json` (fingerprint, counts, counts by label, number rejected) and
    `corpus.json` (see `gim_tf.data.corpus`).
    If too many are rejected, nothing is replaced and their list is left beside
    the directory, as `<directory>.rejected.jsonl`. Equal sources give equal
    bytes.

    Returns:
      The number of examples of each split.

    Raises:
      DataError: more than `data.max_bad` unreadable examples, a split too
        small, a class without examples, a label out of range, an id that
        occurs twice, damaged source files, or a disk that is full.
    """
    directory = as_path(directory)
    data = source.data
    listing = directory.with_name(f"{directory.name}.rejected.jsonl")
    with replaced_directory(directory) as partial:
        tally = _write_splits(source, partial)
        with disk_errors(listing):
            listing.unlink(missing_ok=True)
            if tally.num_bad > data.max_bad:
                move_file(partial / "rejected.jsonl", listing)
        check_rejected(data, tally.first_bad, tally.num_bad, str(listing))
        names = (source.class_names, source.frame_names)
        check_counts(replace(data, class_names=names[0]), tally.labels)
        with disk_errors(directory):
            corpus.write_corpus(partial, *names, tally.heard)
            facts = {
                "fingerprint": source.fingerprint(),
                "data": to_dict(data),
                **tally.facts(),
            }
            text = json.dumps(facts, indent=2, sort_keys=True) + "\n"
            (partial / "ingest.json").write_text(text)
    return tally.counts()


def record_files(directory: AnyPath, split: str) -> list[str]:
    """Sorted shard files of a split; `DataError` if there are none or gaps."""
    folder = as_path(directory) / f"Split-{split}"
    files = sorted(
        str(path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.name.startswith("data_tfrecord-")
    )
    if not files:
        raise DataError(
            f"No records of split {split!r} in {directory}; expected "
            f"{folder}/data_tfrecord-*.gz. Ingest the data first."
        )
    expected = re.search(r"-of-(\d+)", files[-1])
    if expected and int(expected.group(1)) != len(files):
        raise DataError(
            f"{folder} holds {len(files)} shards of "
            f"{int(expected.group(1))}. Ingest the data again."
        )
    return files


def records_at(
    files: Iterable[str], positions: Iterable[int]
) -> dict[int, Record]:
    """Some records by their positions in all files, in file order, from 0.

    Raises:
      DataError: a file is damaged, or there are fewer records.
    """
    wanted = set(positions)
    found: dict[int, Record] = {}
    dataset = tf.data.TFRecordDataset(list(files), compression_type="GZIP")
    try:
        for position, serialized in enumerate(dataset.as_numpy_iterator()):
            if len(found) == len(wanted):
                break
            if position in wanted:
                found[position] = _from_example(serialized)
    except tf.errors.OpError as error:
        raise DataError(
            "A file of the records is damaged. Ingest the data again."
        ) from error
    if len(found) < len(wanted):
        missing = sorted(wanted - found.keys())
        raise DataError(f"There is no record of number {missing[0]}.")
    return found


def count_records(files: Iterable[str]) -> int:
    """Counts the records by reading every file to its end.

    Raises:
      DataError: a file is damaged; the message names it.
    """
    return sum(count_in_shard(file) for file in files)


@dataclass
class _Tally:
    """What has been seen so far; a million ids take about 70 MB."""

    data: DataConfig
    labels: dict[str, Counter[int]] = field(default_factory=dict)
    heard: corpus.Moments = field(default_factory=corpus.Moments)
    first_bad: list[Rejected] = field(default_factory=list)
    num_bad: int = 0
    id_hashes: set[int] = field(default_factory=set)

    def counts(self) -> dict[str, int]:
        return {split: seen.total() for split, seen in self.labels.items()}

    def facts(self) -> dict[str, Any]:
        labels = {
            split: {str(label): count for label, count in seen.items()}
            for split, seen in self.labels.items()
        }
        return {
            "counts": self.counts(),
            "labels": labels,
            "num_rejected": self.num_bad,
        }

    def add(self, record: Record) -> None:
        if hash(record.id) in self.id_hashes:
            raise DataError(
                f"Two examples have the id {record.id!r}; ids must be unique."
            )
        self.id_hashes.add(hash(record.id))
        self.labels[record.split][record.label] += 1
        if corpus.counts(self.data, record.split):
            self.heard += corpus.moments(record.encoded)


def _write_splits(source: Source, directory: Path) -> _Tally:
    tally = _Tally(source.data)
    listing = directory / "rejected.jsonl"
    with disk_errors(listing), listing.open("w", encoding="utf-8") as rejected:
        for split in source.data.splits:
            tally.labels[split] = Counter()
            with ShardWriter(directory / f"Split-{split}") as writer:
                for item in source.work(split):
                    for found in source.read(item):
                        if isinstance(found, Record):
                            tally.add(found)
                            writer.write(to_example(found))
                            continue
                        tally.num_bad += 1
                        tally.first_bad = [*tally.first_bad, found][:3]
                        rejected.write(json.dumps(found._asdict()) + "\n")
    return tally


def _from_example(serialized: bytes) -> Record:
    feature = tf.train.Example.FromString(serialized).features.feature
    return Record(
        feature["id"].bytes_list.value[0].decode(),
        feature["label"].int64_list.value[0],
        feature["split"].bytes_list.value[0].decode(),
        feature["encoded"].bytes_list.value[0],
        tuple(feature["frame_labels"].int64_list.value),
    )


def _bytes_feature(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _utf8(text: str) -> bytes:
    # File names that are not UTF-8 reach Python as lone surrogates.
    return text.encode("utf-8", "backslashreplace")
