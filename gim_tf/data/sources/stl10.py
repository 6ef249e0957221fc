"""STL-10's own binary files, memory-mapped.

Format (Coates, Ng and Lee 2011): uint8, each image 3x96x96 in column-major
order; labels 1 to 10, one byte each; no labels for the unlabelled images.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gim_tf.data.records import UNLABELLED, WorkItem
from gim_tf.data.sources.base import Found, Reader
from gim_tf.data.sources.files import damage, fingerprint_files
from gim_tf.data.sources.verify import encode_pixels
from gim_tf.errors import DataError

PREFIXES = {UNLABELLED: "unlabeled", "train": "train", "test": "test"}
SIDE = 96
IMAGE_BYTES = 3 * SIDE * SIDE
PIECE = 1_000


class Stl10Reader(Reader):
    """A folder with `unlabeled_X.bin`, `train_X.bin`, `train_y.bin`, ...

    A file is needed only if its split is in use. Pixels are stored as PNG.
    The fingerprint covers the files that are there (see `fingerprint_files`).
    """

    layout = "unlabeled_X.bin, train_X.bin, train_y.bin, test_X.bin, test_y.bin"

    def fingerprint(self) -> str:
        """Hash of the .bin files."""
        names = (f"{prefix}_?.bin" for prefix in PREFIXES.values())
        files = [file for name in names for file in self.path.glob(name)]
        return fingerprint_files(self.path, files)

    def _splits(self) -> tuple[str, ...]:
        return tuple(split for split in PREFIXES if self._file(split).is_file())

    def _pieces(self, split: str) -> Iterator[WorkItem]:
        count = len(_images(self._file(split)))
        if split != UNLABELLED:
            labels = len(self._labels(split))
            if labels != count:
                raise DataError(
                    f"{self._file(split)} holds {count} images but "
                    f"{self._file(split, 'y')} holds {labels} labels. Fetch "
                    "both again."
                )
        for start in range(0, count, PIECE):
            yield WorkItem(split, split, start, min(start + PIECE, count))

    def _examples(self, item: WorkItem) -> Iterator[Found]:
        images = _images(self._file(item.path))
        labels = None if item.path == UNLABELLED else self._labels(item.path)
        for index in range(item.start, item.stop):
            example_id = f"{item.path}-{index:06d}"
            label = -1
            if labels is not None:
                label = int(labels[index]) - 1
                if not 0 <= label < 10:
                    raise DataError(
                        f"{self._file(item.path, 'y')} has label {label + 1} "
                        f"for {example_id!r}; expected 1 to 10."
                    )
            yield Found(example_id, label, images[index])

    def _encoded(self, raw: np.ndarray) -> bytes:
        return encode_pixels(raw)

    def _file(self, split: str, kind: str = "X") -> Path:
        return self.path / f"{PREFIXES[split]}_{kind}.bin"

    def _labels(self, split: str) -> np.ndarray:
        path = self._file(split, "y")
        with damage(path):
            return np.frombuffer(path.read_bytes(), np.uint8)


def _images(path: Path) -> np.ndarray:
    """[n, 96, 96, 3] uint8, read from the disk as it is indexed."""
    with damage(path):
        size = path.stat().st_size
        if not size or size % IMAGE_BYTES:
            raise DataError(
                f"{path} is truncated: expected a multiple of {IMAGE_BYTES} "
                f"bytes, received {size}. Fetch it again."
            )
        flat = np.memmap(path, np.uint8, "r").reshape(-1, 3, SIDE, SIDE)
        return flat.transpose(0, 3, 2, 1)
