"""Writes numbered TFRecord shards into a directory that appears at once.

Layout and names are those of TFX's example artifacts:
`Split-train/data_tfrecord-00000-of-00002.gz`.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import tensorflow as tf

from gim_tf.errors import DataError
from gim_tf.paths import Place, RemotePath, upload

SHARD_BYTES = 64 * 2**20
SHARD_RECORDS = 50_000

_FRAME = 16  # bytes of TFRecord around each record
_LEAST = 20  # bytes of a gzip file that holds nothing


class ShardWriter:
    """Writes one split as gzip TFRecord shards; a context manager.

    Equal records give equal files. A split without records has one empty
    shard, so that it can be told from a split that was never written.

    Args:
      directory: the split's folder, made by this class.

    Raises:
      DataError: the disk is full or the folder cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writer: tf.io.TFRecordWriter | None = None
        self._shards = 0
        self._bytes = 0
        self._records = 0

    def __enter__(self) -> "ShardWriter":
        with disk_errors(self._directory):
            self._directory.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            with contextlib.suppress(tf.errors.OpError, OSError):
                self._close()
            return
        with disk_errors(self._directory):
            if not self._shards:
                self._writer = self._open()
            self._close()
            for index in range(self._shards):
                name = f"data_tfrecord-{index:05d}-of-{self._shards:05d}.gz"
                self._shard(index).rename(self._directory / name)

    def write(self, serialized: bytes) -> None:
        """Appends one serialized record, opening a new shard when due."""
        with disk_errors(self._directory):
            full = self._bytes >= SHARD_BYTES or self._records >= SHARD_RECORDS
            if self._writer is None or full:
                self._close()
                self._writer = self._open()
            self._writer.write(serialized)
        self._bytes += len(serialized)
        self._records += 1

    def _open(self) -> tf.io.TFRecordWriter:
        # Level 1: encoded pictures and sound hardly shrink at any level.
        options = tf.io.TFRecordOptions(
            compression_type="GZIP", compression_level=1
        )
        path = self._shard(self._shards)
        self._shards += 1
        self._bytes = self._records = 0
        return tf.io.TFRecordWriter(str(path), options)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _shard(self, index: int) -> Path:
        return self._directory / f"shard-{index:05d}"


def count_in_shard(file: str) -> int:
    """Counts the records of a shard by reading it to its end.

    TensorFlow takes a gzip file that ends early for one that ends, if it ends
    behind a record, or is empty. So the size of what was read is compared to
    that in the file's last four bytes.

    Raises:
      DataError: the file is damaged; the message names it.
    """
    dataset = tf.data.TFRecordDataset(file, compression_type="GZIP")
    none = tf.zeros(2, tf.int64)
    try:
        count, size = dataset.reduce(none, _add_record).numpy().tolist()
        is_whole = _held(file) == size % 2**32
    except tf.errors.OpError as error:
        raise _damaged(file) from error
    if not is_whole:
        raise _damaged(file)
    return int(count)


def _add_record(total: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
    size = tf.cast(tf.strings.length(record), tf.int64) + _FRAME
    return total + tf.stack([tf.ones_like(size), size])


def _held(file: str) -> int | None:
    """Bytes, modulo 2^32, that a gzip file says it holds; None: no gzip."""
    with tf.io.gfile.GFile(file, "rb") as opened:
        size = opened.size()
        if size < _LEAST:
            return None
        opened.seek(size - 4)
        return int.from_bytes(opened.read(4), "little")


def _damaged(file: str) -> DataError:
    return DataError(f"{file} is damaged. Ingest the data again.")


@contextlib.contextmanager
def replaced_directory(directory: Place) -> Iterator[Path]:
    """Yields an empty folder that takes the place of `directory` at the end.

    What stood there before is kept if the body raises, and what a killed
    process left behind is removed. The folder of a `directory` behind a URL
    is one of this machine, which is copied in the end.

    Raises:
      DataError: the disk is full or the folder cannot be written.
    """
    if isinstance(directory, RemotePath):
        with _uploaded(directory) as partial:
            yield partial
        return
    with disk_errors(directory):
        directory = directory.absolute()
        directory.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(directory)
        partial = directory.with_name(f".{directory.name}.{os.getpid()}")
        partial.mkdir()
    try:
        yield partial
        with disk_errors(directory):
            _swap(partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def disk_errors(path: Place) -> Iterator[None]:
    """Turns failures of the file system into a one-line `DataError`."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = str(getattr(error, "strerror", None) or error).split("\n")[0]
        raise DataError(
            f"Cannot write {path}: {reason}. Free space there, or choose "
            "another output directory."
        ) from error


@contextlib.contextmanager
def _uploaded(directory: RemotePath) -> Iterator[Path]:
    with disk_errors(directory):
        directory.mkdir()  # fails here rather than after all the work
    with tempfile.TemporaryDirectory(prefix="gim-") as scratch:
        partial = Path(scratch, "new")
        partial.mkdir()
        yield partial
        with disk_errors(directory):
            upload(partial, directory)


def _swap(partial: Path, directory: Path) -> None:
    old = partial.with_name(f"{partial.name}.old")
    if directory.exists():
        directory.rename(old)
    partial.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(directory: Path) -> None:
    for path in directory.parent.glob(f".{directory.name}.*"):
        owner = path.name.removeprefix(f".{directory.name}.").split(".")[0]
        if owner.isdigit() and not _is_alive(int(owner)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
