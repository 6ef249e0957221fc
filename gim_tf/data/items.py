"""What can be embedded: files, folders of files, and records.

A source is cut into pieces in a fixed order, so that a job that was killed can
tell which of them are done. An item's id leads back to its encoded file.
"""

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import tensorflow as tf

from gim_tf.data import corpus, records
from gim_tf.data.sources.files import (
    fingerprint_files,
    read_example,
    visible_files,
)
from gim_tf.data.sources.verify import UnreadableError
from gim_tf.errors import DataError
from gim_tf.paths import local_path

_RECORD_FILES = "Split-*/data_tfrecord-*"


class Item(NamedTuple):
    """One encoded file to be embedded.

    Attributes:
      id: of the record; of a file below a folder its path below it; of any
        other file its path as it was given.
      split: None where it is not known.
      label: -1 where it is not known.
      encoded: the file's content.
    """

    id: str
    split: str | None
    label: int
    encoded: bytes


class Piece(NamedTuple):
    """Some items in a row, which one worker reads; small and picklable.

    Attributes:
      path: file of records, or the folder that `members` are below.
      start: first record.
      stop: end of the records, exclusive.
      members: files, where it is no file of records.
    """

    path: str
    start: int = 0
    stop: int = 0
    members: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The number of items."""
        return len(self.members) or self.stop - self.start


class Items(Protocol):
    """What all kinds of sources offer."""

    def pieces(self, size: int) -> list[Piece]:
        """Cuts the source into pieces of at most `size` items, in order."""
        ...

    def fingerprint(self) -> str:
        """Hash that changes when what is embedded does."""
        ...

    def find(self, ids: Iterable[str]) -> dict[str, Item]:
        """Those of the ids that the source has, with their items."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class, in label order; none where they are not known."""
        ...


def open_items(
    source: str | Path | Sequence[str | Path],
    *,
    suffixes: Sequence[str],
    split: str | None = None,
    root: str | Path | None = None,
) -> Items:
    """What a source holds.

    Args:
      source: a folder, a directory of records as ingest writes them, or
        files.
      suffixes: lower-case endings of the files that count in a folder; those
        that are hidden or have others are left alone.
      split: of records, the only one; None: all.
      root: what files with a relative path are below; None: the current
        directory.

    Raises:
      DataError: there is nothing, or no such split, or one file twice.
    """
    paths = [source] if isinstance(source, str | Path) else list(source)
    folders = [path for path in paths if local_path(path).is_dir()]
    if folders and len(paths) > 1:
        raise DataError(
            f"Expected files, or one folder and nothing else, received "
            f"{len(paths)} sources with the folder {folders[0]} among them. "
            "Embed each folder into an output of its own."
        )
    is_records = bool(folders) and any(Path(paths[0]).glob(_RECORD_FILES))
    if is_records:
        return _Records(Path(paths[0]), split)
    if split is not None:
        raise DataError(
            f"Only records have splits, received split {split!r} for "
            f"{paths[0]}. Leave it out, or point at a directory of records."
        )
    if folders:
        folder = Path(paths[0]).absolute()
        return _Files(_below(folder, suffixes), folder)
    return _Files([str(path) for path in paths], Path(root or "").absolute())


def read_piece(piece: Piece) -> Iterator[Item | records.Rejected]:
    """Yields the items of a piece, one at a time, in order.

    Raises:
      DataError: a file of records is damaged or shorter than it was.
    """
    if piece.members:
        for member in piece.members:
            yield _read_file(piece.path, member)
    else:
        yield from _read_records(piece)


class _Files:
    class_names: tuple[str, ...] = ()

    def __init__(self, members: Sequence[str], root: Path) -> None:
        self._members = tuple(members)
        self._root = root
        for member, count in Counter(members).most_common(1):
            if count > 1:
                raise DataError(
                    f"{member} is given {count} times; once is enough."
                )

    def pieces(self, size: int) -> list[Piece]:
        root, members = str(self._root), self._members
        return [
            Piece(root, members=members[start : start + size])
            for start in range(0, len(members), size)
        ]

    def fingerprint(self) -> str:
        # What is missing is rejected by name when it is read.
        paths = [self._root / member for member in self._members]
        there = filter(Path.is_file, paths)
        found = fingerprint_files(self._root, there)
        return _hash(found, self._members)

    def find(self, ids: Iterable[str]) -> dict[str, Item]:
        members = {_text(member): member for member in self._members}
        read = (
            _read_file(str(self._root), members[one])
            for one in ids
            if one in members
        )
        return {one.id: one for one in read if isinstance(one, Item)}


class _Records:
    def __init__(self, directory: Path, split: str | None) -> None:
        self._directory = directory
        found = sorted(directory.glob("Split-*"))
        splits = [path.name.removeprefix("Split-") for path in found]
        if split is not None and split not in splits:
            raise DataError(
                f"{directory} has no split {split!r}; it has "
                f"{', '.join(map(repr, splits))}."
            )
        self._splits = splits if split is None else [split]

    @functools.cached_property
    def _files(self) -> list[str]:
        return [
            file
            for split in self._splits
            for file in records.record_files(self._directory, split)
        ]

    def pieces(self, size: int) -> list[Piece]:
        cut = []
        for file in self._files:
            count = records.count_records([file])
            for start in range(0, count, size):
                cut.append(Piece(file, start, min(start + size, count)))
        return cut

    def fingerprint(self) -> str:
        files = list(map(Path, self._files))
        return _hash(fingerprint_files(self._directory, files), self._splits)

    def find(self, ids: Iterable[str]) -> dict[str, Item]:
        wanted = set(ids)
        found: dict[str, Item] = {}
        for file in self._files:
            if len(found) == len(wanted):
                break
            for item in _read_records(Piece(file)):
                if item.id in wanted:
                    found[item.id] = item
        return found

    @property
    def class_names(self) -> tuple[str, ...]:
        facts = corpus.read_corpus(self._directory)
        return tuple(facts.get("class_names", ()))


def _below(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Paths below a folder, sorted folder by folder."""
    found = [
        Path(os.path.relpath(file, folder)).as_posix()
        for file in visible_files(folder)
        if file.lower().endswith(tuple(suffixes))
    ]
    if not found:
        raise DataError(
            f"{folder} holds no file that ends in {', '.join(suffixes)}, and "
            "no records (Split-*/data_tfrecord-*)."
        )
    return found


def _read_file(root: str, member: str) -> Item | records.Rejected:
    try:
        encoded = read_example(Path(root, member))
        return Item(_text(member), None, -1, encoded)
    except UnreadableError as error:
        return records.Rejected(_text(member), str(error))


def _read_records(piece: Piece) -> Iterator[Item]:
    """The records of a piece; all of the file if it has no end."""
    dataset = tf.data.TFRecordDataset(piece.path, compression_type="GZIP")
    dataset = dataset.skip(piece.start)
    if piece.stop:
        dataset = dataset.take(piece.size)
    found = piece.start
    try:
        for serialized in dataset.as_numpy_iterator():
            found += 1
            yield _item(serialized)
    except tf.errors.OpError as error:
        raise DataError(
            f"{piece.path} is damaged. Ingest the data again."
        ) from error
    if found < piece.stop:
        raise DataError(
            f"{piece.path} has {found} records and had {piece.stop} before. "
            "Let nothing write there, and run again."
        )


def _item(serialized: bytes) -> Item:
    feature = tf.train.Example.FromString(serialized).features.feature
    text = {
        name: feature[name].bytes_list.value[0].decode()
        for name in ("id", "split")
    }
    return Item(
        text["id"],
        text["split"],
        feature["label"].int64_list.value[0],
        feature["encoded"].bytes_list.value[0],
    )


def _text(path: str) -> str:
    # File names that are not UTF-8 reach Python as lone surrogates.
    return path.encode("utf-8", "backslashreplace").decode()


def _hash(*parts: object) -> str:
    text = json.dumps(parts).encode()
    return hashlib.sha256(text).hexdigest()
