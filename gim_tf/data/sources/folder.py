"""A folder of image files, in folders by class, or without classes."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from gim_tf.data.records import UNLABELLED, WorkItem
from gim_tf.data.sources.base import Found, Reader
from gim_tf.data.sources.files import (
    damage,
    fingerprint_files,
    mixing_key,
    read_example,
    visible_files,
)
from gim_tf.errors import DataError

PIECE = 256


class FolderReader(Reader):
    """Splits "train" and "test" from folders by class, and "unlabelled".

    Any of these, below `data.path`:

        CLASS/...                     train (and test, with data.holdout)
        train/CLASS/... test/CLASS/...
        unlabelled/...  or files without a folder: unlabelled

    CLASS is one of `data.class_names`; folders in it are searched too. Every
    file counts, whatever its name, except hidden ones (leading dot): what is
    no image is rejected by name. An id is the path below `data.path`. The
    order is that of the ids' hashes, so that classes mix. The fingerprint
    covers all files (see `fingerprint_files`).
    """

    layout = "CLASS/*.png, train/CLASS/*.png, test/CLASS/*.png or *.png"

    def fingerprint(self) -> str:
        """Hash of all files that are not hidden."""
        files = [Path(name) for name in visible_files(self.path)]
        return fingerprint_files(
            self.path, (file for file in files if file.is_file())
        )

    def _splits(self) -> tuple[str, ...]:
        found = {
            "train": bool(self._class_folders("train")),
            "test": bool(self._class_folders("test")),
            UNLABELLED: (self.path / UNLABELLED).is_dir()
            or any(not entry.is_dir() for entry in _entries(self.path)),
        }
        return tuple(split for split, is_there in found.items() if is_there)

    def _pieces(self, split: str) -> Iterator[WorkItem]:
        root = os.fspath(self.path)
        members = sorted(
            (os.path.relpath(file, root) for file in self._members(split)),
            key=mixing_key,
        )
        if not members:
            raise DataError(
                f"No files for split {split!r} in {self.path}; expected "
                f"{self.layout}."
            )
        for start in range(0, len(members), PIECE):
            chosen = tuple(members[start : start + PIECE])
            yield WorkItem(split, split, members=chosen)

    def _examples(self, item: WorkItem) -> Iterator[Found]:
        labels = {
            _normal(name): i for i, name in enumerate(self.data.class_names)
        }
        nested = self._root(item.path) != self.path
        for member in item.members:
            parts = Path(member).parts
            label = -1
            if item.path != UNLABELLED:
                label = labels[_normal(parts[1 if nested else 0])]
            yield Found(Path(member).as_posix(), label, self.path / member)

    def _encoded(self, raw: Path) -> bytes:
        return super()._encoded(read_example(raw))

    def _root(self, split: str) -> Path:
        """Folder whose folders are the classes of a split."""
        folder = self.path / split
        is_class = _normal(split) in map(_normal, self.data.class_names)
        flat = split == "train" and (is_class or not folder.is_dir())
        return self.path if flat else folder

    def _class_folders(self, split: str) -> list[Path]:
        root = self._root(split)
        if not root.is_dir():
            return []
        reserved = {"train", "test", UNLABELLED} if root == self.path else set()
        reserved -= set(self.data.class_names)
        return [
            entry
            for entry in _entries(root)
            if entry.is_dir() and entry.name not in reserved
        ]

    def _members(self, split: str) -> Iterator[str]:
        if split == UNLABELLED:
            folder = self.path / UNLABELLED
            if folder.is_dir():
                yield from visible_files(folder)
                return
            for entry in _entries(self.path):
                if not entry.is_dir():
                    yield os.fspath(entry)
            return
        known = set(map(_normal, self.data.class_names))
        for folder in self._class_folders(split):
            if _normal(folder.name) not in known:
                raise DataError(
                    f"{folder} is no class of this experiment; expected "
                    f"{', '.join(self.data.class_names)}. Rename or remove "
                    "it, or add its name to data.class_names."
                )
            yield from visible_files(folder)


def _entries(folder: Path) -> list[Path]:
    with damage(folder):
        return sorted(
            entry for entry in folder.iterdir() if entry.name[0] != "."
        )


def _normal(name: str) -> str:
    # Some file systems keep accents as separate letters.
    return unicodedata.normalize("NFC", name)
