"""The file with a label every 10 ms, and the names of its labels."""

from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from gim_tf.data import alignments
from gim_tf.data.sources.containers import Container, Folder
from gim_tf.errors import DataError

USUAL = "converted_aligned_phones.txt"
NAMES = "phones.txt"


class LabelFile(NamedTuple):
    """A file of `gim_tf.data.alignments` and where it lies.

    Attributes:
      container: what holds it.
      name: of the file.
      names: of the file beside it with a name a label, where there is one.
    """

    container: Container
    name: str
    names: str | None

    def frame_names(self) -> tuple[str, ...]:
        """One name a label; numbers where no file has them."""
        if self.names is None:
            return tuple(map(str, range(alignments.NUM_PHONES)))
        found = self.container.text(self.names).split()
        if not found or len(set(found)) < len(found):
            raise DataError(
                f"{self.container.path / self.names} must name each frame "
                "label once, in order, a line a name."
            )
        return tuple(found)

    def labels(self, num_labels: int) -> dict[str, np.ndarray]:
        """For each id, its labels: [t] int16."""
        text = self.container.text(self.name)
        where = str(self.container.path / self.name)
        return alignments.parse_labels(text.splitlines(), where, num_labels)

    def sources(self) -> list[Path]:
        """The files on the disk that these are read from."""
        names = [self.name, *([self.names] if self.names else [])]
        return self.container.sources(names)


def find_labels(container: Container, wanted: str | None) -> LabelFile | None:
    """Finds the file of frame labels.

    Args:
      container: of the recordings.
      wanted: `data.frame_labels`: a path of its own, or of a file in the
        container; None: the usual name in the container, if it is there.

    Raises:
      DataError: there is no such file.
    """
    if wanted and Path(wanted).is_file():
        path = Path(wanted).absolute()
        return _beside(Folder(path.parent), path.name)
    name = container.find(wanted or USUAL)
    if name:
        return _beside(container, name)
    if wanted:
        raise DataError(
            f"data.frame_labels {wanted!r} is no file, and none in "
            f"{container.path}."
        )
    return None


def _beside(container: Container, name: str) -> LabelFile:
    names = str(PurePosixPath(name).with_name(NAMES))
    return LabelFile(container, name, container.find(names))
