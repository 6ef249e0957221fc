"""Where recordings lie: a folder, or an archive that is not unpacked."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from gim_tf.data.sources.files import damage, read_example, visible_files
from gim_tf.errors import DataError


class Opened(NamedTuple):
    """One file of a container.

    `content` reads it, until the next file is asked for, and raises
    `UnreadableError` where that fails.
    """

    name: str
    content: Callable[[], bytes]


class Container(Protocol):
    """Files by their names: paths with "/", relative to the container.

    Attributes:
      path: of the container itself.
      piece: how many files one worker should read.
    """

    path: Path
    piece: int

    def names(self) -> Iterator[str]:
        """All files but hidden ones."""
        ...

    def find(self, name: str) -> str | None:
        """A file by its name, at the root or in the corpus' own folder."""
        ...

    def text(self, name: str) -> str:
        """The content of a text file; `DataError` if it is none."""
        ...

    def head(self, name: str) -> BinaryIO:
        """An open file that has at least the header of a recording."""
        ...

    def read(self, names: Iterable[str]) -> Iterator[Opened]:
        """Opens files one after the other, in the order that is fastest."""
        ...

    def sources(self, names: Iterable[str]) -> list[Path]:
        """The files on the disk that these are read from."""
        ...


class Folder:
    """A folder and the folders in it; see `Container`."""

    piece = 256

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> Iterator[str]:
        """All files but hidden ones, folder by folder."""
        for name in visible_files(self.path):
            yield Path(name).relative_to(self.path).as_posix()

    def find(self, name: str) -> str | None:
        """A file by its name, at the root or in the folder LibriSpeech."""
        found = (name, f"LibriSpeech/{name}")
        return next((one for one in found if (self.path / one).is_file()), None)

    def text(self, name: str) -> str:
        """The content of a text file; `DataError` if it is none."""
        path = self.path / name
        with damage(path):
            return as_text(path.read_bytes(), path)

    def head(self, name: str) -> BinaryIO:
        """The open file; `OSError` where it cannot be opened."""
        path = self.path / name
        if not path.is_file():  # a pipe would be waited for, for ever
            raise FileNotFoundError(path)
        return path.open("rb")

    def read(self, names: Iterable[str]) -> Iterator[Opened]:
        """Opens files in the order given."""
        for name in names:
            yield Opened(name, partial(read_example, self.path / name))

    def sources(self, names: Iterable[str]) -> list[Path]:
        """The files themselves."""
        return [self.path / name for name in names]


def as_text(content: bytes, path: Path) -> str:
    """UTF-8 as text; `DataError` naming `path` if it is something else."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file.") from error
