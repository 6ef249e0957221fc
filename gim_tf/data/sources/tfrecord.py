"""TFRecord files of tf.Examples with an encoded image and a label."""

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import tensorflow as tf

from gim_tf.data.records import UNLABELLED, WorkItem
from gim_tf.data.sources.base import Found, Reader
from gim_tf.data.sources.files import (
    damage,
    fingerprint_files,
    is_gzip,
    open_stream,
)
from gim_tf.errors import DataError
from gim_tf.paths import Place, as_path, in_order, matching

BLOCK = 64

_SPLIT_WORDS = {
    "train": "train",
    "test": "test",
    "unlabelled": UNLABELLED,
    "unlabeled": UNLABELLED,
}


class TFRecordReader(Reader):
    """One file, a pattern such as `data/part-*`, or a folder of files.

    Each of them may be a URL.

    In a folder, files with "tfrecord" in their name are read. Each file is
    gzip or plain by its content. A file with the word train, test, unlabelled
    or unlabeled in its name is of that split, others are of "train".

    Features: `image` (an encoded image), `label` (int64; may be missing in
    the split "unlabelled") and, if there, `id`; else the id is made of the
    file's name and the position in it. The fingerprint covers the files (see
    `fingerprint_files`).
    """

    layout = "TFRecord files with features image, label and perhaps id"

    @property
    def place(self) -> Place:
        """The file or folder, or the folder part before a pattern."""
        if not self._is_pattern():
            return super().place
        place = as_path(self.data.path or "")
        while glob.has_magic(str(place)) and place.parent != place:
            place = place.parent
        return place

    def fingerprint(self) -> str:
        """Hash of all files."""
        root = self.place if self.place.is_dir() else self.place.parent
        return fingerprint_files(root, self._files())

    def _splits(self) -> tuple[str, ...]:
        found = set(map(_split, self._files()))
        return tuple(s for s in ("train", "test", UNLABELLED) if s in found)

    def _pieces(self, split: str) -> Iterator[WorkItem]:
        for path in self._files():
            if _split(path) == split:
                yield WorkItem(split, str(path))

    def _examples(self, item: WorkItem) -> Iterator[Found]:
        path = as_path(item.path)
        for index, serialized in enumerate(_records(path)):
            where = f"{path}, record {index}"
            features = _features(serialized, where)
            example_id = f"{path.name}:{index:07d}"
            if "id" in features:
                value = _only(features, "id", "bytes_list", where)
                example_id = value.decode("utf-8", "backslashreplace")
            label = -1
            if "label" in features or _split(path) != UNLABELLED:
                label = _only(features, "label", "int64_list", where)
            image = _only(features, "image", "bytes_list", where)
            yield Found(example_id, label, image)

    def _files(self) -> list[Place]:
        place = self.place
        if self._is_pattern():
            files = matching(self.data.path or "")
        elif place.is_dir():
            files = [p for p in place.iterdir() if "tfrecord" in p.name]
        else:
            files = [place]
        return in_order(file for file in files if file.is_file())

    def _is_pattern(self) -> bool:
        path = self.data.path or ""
        return glob.has_magic(path) and not as_path(path).exists()


def _split(path: PurePath | Place) -> str:
    words = re.split(r"[^a-z]+", path.name.lower())
    found = [_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS]
    return found[0] if found else "train"


def _records(path: Place) -> Iterator[bytes]:
    """Yields serialized records; never skips a damaged one."""
    compression = "GZIP" if is_gzip(path) else ""
    if compression:
        _check_gzip(path)
    dataset = tf.data.TFRecordDataset(str(path), compression_type=compression)
    count = 0
    try:
        for block in dataset.batch(BLOCK).as_numpy_iterator():
            count += len(block)
            yield from block
    except tf.errors.OpError as error:
        raise DataError(
            f"{path} is no intact TFRecord file: it cannot be read "
            f"beyond record {count}. Fetch or write it again."
        ) from error
    if not count:
        raise DataError(f"{path} holds no records.")


def _check_gzip(path: Place) -> None:
    # TensorFlow reads no checksum at the end: a file cut there would pass.
    with damage(path), open_stream(path) as file:
        while file.read(2**20):
            pass


def _features(serialized: bytes, where: str) -> dict[str, tf.train.Feature]:
    try:
        example = tf.train.Example.FromString(serialized)
    except Exception as error:  # protobuf's class moves between versions
        raise DataError(f"{where} is no tf.Example.") from error
    return dict(example.features.feature)


def _only(
    features: dict[str, tf.train.Feature], name: str, kind: str, where: str
) -> Any:
    values: Sequence[Any] = ()
    if name in features:
        values = getattr(features[name], kind).value
    if len(values) != 1:
        raise DataError(
            f"{where}: expected one value of {name!r} ({kind}), received "
            f"{len(values)}; its features are {', '.join(sorted(features))}."
        )
    return values[0]
