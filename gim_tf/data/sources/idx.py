"""IDX files, the format of MNIST and of Debian's dataset-fashion-mnist.

Format: big-endian; two zero bytes, the type (8: uint8), the number of
dimensions, each dimension as int32, then the values.
"""

import math
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from gim_tf.data.records import WorkItem
from gim_tf.data.sources.base import Found, Reader
from gim_tf.data.sources.files import damage, fingerprint_files, open_stream
from gim_tf.data.sources.verify import MAX_PIXELS, encode_pixels
from gim_tf.errors import DataError
from gim_tf.paths import Place

PREFIXES = {"train": "train", "test": "t10k"}
PIECE = 10_000
BLOCK = 256
BLOCK_BYTES = 2**26


class IdxReader(Reader):
    """A folder, perhaps behind a URL, with up to four IDX files, plain or gzip.

    `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with
    `t10k` for the split "test"; each may end in `.gz`. Pixels are stored as
    PNG. The fingerprint covers the four files (see `fingerprint_files`).
    """

    layout = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..."

    def fingerprint(self) -> str:
        """Hash of the IDX files."""
        files = [
            file
            for split in self._splits()
            for file in (self._images(split), self._labels(split))
        ]
        return fingerprint_files(self.place, files)

    def _splits(self) -> tuple[str, ...]:
        names = [path.name for path in self.place.iterdir()]
        return tuple(
            split
            for split, prefix in PREFIXES.items()
            if any(
                name.startswith(f"{prefix}-images-idx3-ubyte") for name in names
            )
        )

    def _pieces(self, split: str) -> Iterator[WorkItem]:
        images, labels = self._images(split), self._labels(split)
        shape, count = _shape(images, 3), _shape(labels, 1)
        if shape[0] != count[0]:
            raise DataError(
                f"{images} holds {shape[0]} images but {labels} holds "
                f"{count[0]} labels. Fetch both again."
            )
        for start in range(0, shape[0], PIECE):
            stop = min(start + PIECE, shape[0])
            yield WorkItem(split, split, start, stop)

    def _examples(self, item: WorkItem) -> Iterator[Found]:
        images = _blocks(self._images(item.path), 3, item)
        labels = _blocks(self._labels(item.path), 1, item)
        index = item.start
        for pixels, numbers in zip(images, labels, strict=True):
            for picture, label in zip(pixels, numbers, strict=True):
                yield Found(f"{item.path}-{index:05d}", int(label), picture)
                index += 1

    def _encoded(self, raw: np.ndarray) -> bytes:
        return encode_pixels(raw)

    def _images(self, split: str) -> Place:
        return self._file(f"{PREFIXES[split]}-images-idx3-ubyte")

    def _labels(self, split: str) -> Place:
        return self._file(f"{PREFIXES[split]}-labels-idx1-ubyte")

    def _file(self, name: str) -> Place:
        for candidate in (name, f"{name}.gz"):
            if (self.place / candidate).is_file():
                return self.place / candidate
        raise DataError(f"Expected {name} or {name}.gz in {self.place}.")


class Header(NamedTuple):
    """The dimensions of an IDX file, and the bytes before its values."""

    shape: tuple[int, ...]
    size: int


def read_header(file: BinaryIO, path: Place, rank: int) -> Header:
    """Reads the header of a uint8 IDX file with `rank` dimensions."""
    size = 4 + 4 * rank
    start = file.read(size)
    if len(start) < size or start[:4] != bytes((0, 0, 8, rank)):
        raise DataError(
            f"{path} is no IDX file of uint8 with {rank} dimension(s): "
            f"expected it to start with 00 00 08 {rank:02x}, received "
            f"{start[:4].hex(' ') or 'nothing'}."
        )
    shape = struct.unpack(f">{rank}i", start[4:])
    each = math.prod(shape[1:])
    if shape[0] < 0 or min(shape[1:], default=1) < 1 or each > MAX_PIXELS:
        raise DataError(
            f"{path} says that it holds {shape[0]} items of "
            f"{'x'.join(map(str, shape[1:])) or 'one value'}: expected sizes "
            f"of at least 1 and at most {MAX_PIXELS} values an item. Fetch it "
            "again."
        )
    return Header(shape, size)


def _shape(path: Place, rank: int) -> tuple[int, ...]:
    with damage(path), open_stream(path) as file:
        return read_header(file, path, rank).shape


def _blocks(path: Place, rank: int, item: WorkItem) -> Iterator[np.ndarray]:
    """Yields [<= BLOCK, ...] arrays of the item's range."""
    with damage(path), open_stream(path) as file:
        header = read_header(file, path, rank)
        each = math.prod(header.shape[1:])
        file.seek(header.size + item.start * each)
        # What is asked for is set aside at once, whatever the file holds.
        block = max(1, min(BLOCK, BLOCK_BYTES // each))
        for start in range(item.start, item.stop, block):
            count = min(block, item.stop - start)
            values = file.read(count * each)
            if len(values) != count * each:
                raise DataError(f"{path} is truncated. Fetch it again.")
            yield np.frombuffer(values, np.uint8).reshape(
                count, *header.shape[1:]
            )
        # Reading on to the end makes gzip compare its checksum.
        if item.stop == header.shape[0] and file.read(1):
            raise DataError(
                f"{path} is longer than its header says. Fetch it again."
            )
