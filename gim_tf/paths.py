"""Paths of a file system, and of object stores that TensorFlow reaches.

`as_path` makes one of either: a `pathlib.Path`, or for a URL such as
`gs://bucket/run` a `RemotePath`, which has the few methods of a Path that this
package calls and raises `OSError` as they do, so that one code serves both.
TensorFlow itself is imported when the first URL is read or written.
"""

import contextlib
import errno
import glob
import io
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NamedTuple, cast

from gim_tf.errors import ConfigError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# What pathlib makes of a URL: one slash is lost.
_SQUEEZED = re.compile(r"(gs|s3|hdfs|az|ram|https?):/[^/]")


class Stat(NamedTuple):
    """Of `os.stat_result` what is asked for: bytes, and ns since 1970."""

    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True, order=True)
class RemotePath:
    """A place behind a URL; immutable, compared and ordered by its text.

    An object store has no folders: `mkdir` and `is_dir` do what TensorFlow
    makes of them there, and one file is replaced at once, a folder is not.

    Args:
      url: scheme://..., without regard to a slash at the end.

    Raises:
      ConfigError: from any method that looks there, if TensorFlow does not
        know the scheme.
    """

    url: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str | PurePath) -> "RemotePath":
        return RemotePath(f"{self.url}/{PurePath(name).as_posix()}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> "RemotePath":
        """All but the last part; itself where there is one part."""
        scheme, _, rest = self.url.partition("://")
        above = rest.rpartition("/")[0]
        return RemotePath(f"{scheme}://{above}") if above else self

    def with_name(self, name: str) -> "RemotePath":
        """The same with another last part."""
        return RemotePath(f"{self.url[: -len(self.name)]}{name}")

    def absolute(self) -> "RemotePath":
        """Itself."""
        return self

    def exists(self) -> bool:
        """Whether a file or folder is there."""
        with _store(self.url) as store:
            return store.exists(self.url)

    def is_dir(self) -> bool:
        """Whether a folder is there."""
        with _store(self.url) as store:
            return store.isdir(self.url)

    def is_file(self) -> bool:
        """Whether a file is there."""
        return self.exists() and not self.is_dir()

    def stat(self) -> Stat:
        """Size and time of modification of a file."""
        with _store(self.url) as store:
            found = store.stat(self.url)
            return Stat(found.length, found.mtime_nsec)

    def mkdir(self, *, parents: bool = True, exist_ok: bool = True) -> None:
        """Makes the folder and those above it; it may be there."""
        del parents, exist_ok  # are what TensorFlow does in any case
        with _store(self.url) as store:
            store.makedirs(self.url)

    def iterdir(self) -> Iterator["RemotePath"]:
        """What the folder holds."""
        with _store(self.url) as store:
            names = store.listdir(self.url)
        return iter([self / name.rstrip("/") for name in names])

    def read_bytes(self) -> bytes:
        """The content of the file."""
        with _store(self.url) as store, store.GFile(self.url, "rb") as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """The content of the file, as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Writes the file; made or replaced."""
        with _store(self.url) as store, store.GFile(self.url, "wb") as file:
            file.write(content)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Writes the file, as text."""
        self.write_bytes(text.encode(encoding))

    def touch(self) -> None:
        """Makes an empty file, unless there is one."""
        if not self.exists():
            self.write_bytes(b"")

    def open(self, mode: str = "rb") -> BinaryIO:
        """The file, opened for reading bytes, which can be sought."""
        if mode != "rb":
            raise ValueError(f"Expected mode 'rb', received {mode!r}.")
        return cast(BinaryIO, io.BufferedReader(_Raw(self.url), 2**20))

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Removes the file."""
        try:
            with _store(self.url) as store:
                store.remove(self.url)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def replace(self, target: "RemotePath") -> None:
        """Renames the file; what was at `target` is replaced."""
        with _store(self.url) as store:
            store.rename(self.url, target.url, overwrite=True)


Place = Path | RemotePath
AnyPath = str | Path | RemotePath


def is_remote(path: AnyPath) -> bool:
    """Whether this is a URL, such as gs://bucket/run, but file://."""
    return isinstance(as_path(path), RemotePath)


def as_path(path: AnyPath) -> Place:
    """A path of a file system, or behind a URL; file:// is of the first kind.

    Raises:
      ConfigError: a URL that went through pathlib, which takes a slash of it.
    """
    if isinstance(path, RemotePath):
        return path
    if _URL.match(str(path)):
        scheme, _, rest = str(path).partition("://")
        return Path(rest) if scheme.lower() == "file" else RemotePath(str(path))
    if isinstance(path, Path) and _SQUEEZED.match(str(path)):
        raise ConfigError(
            f"{path} looks like a URL that became a pathlib.Path, which "
            "removes a slash; give it as text."
        )
    return Path(path)


def local_path(path: AnyPath) -> Path:
    """A path of a file system.

    Raises:
      ConfigError: it is a URL.
    """
    found = as_path(path)
    if isinstance(found, RemotePath):
        raise ConfigError(
            f"Expected a path of a file system here, received {found}. Give "
            "such a path and copy the files, or mount the store."
        )
    return found


def check_known(*paths: AnyPath) -> None:
    """Raises `ConfigError` for a URL that TensorFlow cannot read or write."""
    for path in filter(is_remote, paths):
        with _store(str(path)):
            pass


def matching(pattern: str) -> list[Place]:
    """Files and folders by a pattern with * or ?, sorted."""
    if not is_remote(pattern):
        return in_order(Path(p) for p in glob.glob(pattern, recursive=True))
    with _store(pattern) as store:
        return in_order(RemotePath(found) for found in store.glob(pattern))


def in_order(places: Iterable[Place]) -> list[Place]:
    """Sorted part by part, as pathlib does."""
    return sorted(places, key=lambda place: PurePath(str(place)))


def files_below(folder: Place) -> list[str]:
    """Names of all files below a folder, relative to it, with /, sorted."""
    if isinstance(folder, Path):
        return sorted(
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file()
        )
    found = []
    with _store(folder.url) as store:
        for at, _, names in store.walk(folder.url):
            below = at.rstrip("/")[len(folder.url) :].strip("/")
            found += [f"{below}/{name}".lstrip("/") for name in names]
    return sorted(found)


def append_text(path: Place, text: str) -> None:
    """Adds text to a file, or makes one.

    Behind a URL the file is read and written anew, whole or not at all:
    objects of a store do not grow.
    """
    if isinstance(path, Path):
        with path.open("a") as file:
            file.write(text)
        return
    before = path.read_text() if path.exists() else ""
    write_whole(path, before + text)


def write_whole(path: Place, text: str, *, writer: str = "") -> None:
    """Writes a file whole or not at all, by way of `<name><writer>.partial`.

    Args:
      path: made or replaced.
      text: of the file.
      writer: tells this writer from others of the same file.
    """
    partial = path.with_name(f"{path.name}{writer}.partial")
    partial.write_text(text, encoding="utf-8")
    if isinstance(partial, RemotePath):
        partial.replace(RemotePath(str(path)))
    else:
        partial.replace(str(path))


def move_file(source: Path, target: Place) -> None:
    """Moves a file of this machine to any place; replaces what is there."""
    if isinstance(target, Path):
        source.replace(target)
        return
    with _store(target.url) as store:
        store.copy(str(source), target.url, overwrite=True)
    source.unlink()


def remove_tree(folder: Place) -> None:
    """Removes a folder with all in it; whatever fails is left there."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    with contextlib.suppress(OSError), _store(folder.url) as store:
        store.rmtree(folder.url)


def upload(source: Path, target: RemotePath) -> None:
    """Puts a folder of this machine in the place of one behind a URL.

    That takes a call for each file, so it can be cut short. The files of the
    folder itself go first and come last: a reader that needs one of them, such
    as a manifest, finds nothing before all that lies in subfolders is there.
    """
    with _store(target.url) as store:
        for path in target.iterdir() if target.is_dir() else ():
            if path.is_file():
                path.unlink()
        remove_tree(target)
        names = files_below(source)
        for name in sorted(names, key=lambda name: ("/" not in name, name)):
            to = target / name
            to.parent.mkdir()
            store.copy(str(source / name), to.url, overwrite=True)


class _Raw(io.RawIOBase):
    """A remote file as Python's own readers want one."""

    def __init__(self, url: str) -> None:
        self._url = url
        with _store(url) as store:
            self._file = store.GFile(url, "rb")
            self._size = self._file.size()  # fails where there is no file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _store(self._url):
            found = self._file.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}
        with _store(self._url):
            self._file.seek(start.get(whence, 0) + offset)
        return self.tell()

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


@contextlib.contextmanager
def _store(url: str) -> Iterator[Any]:
    """TensorFlow's functions for files, with the errors of `os`."""
    import tensorflow as tf

    _check_scheme(url, tf.io.gfile)
    try:
        yield tf.io.gfile
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(
            errno.ENOENT, "No such file or folder", url
        ) from error
    except (
        tf.errors.PermissionDeniedError,
        tf.errors.UnauthenticatedError,
    ) as error:
        raise PermissionError(errno.EACCES, _reason(error), url) from error
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, _reason(error), url) from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def _check_scheme(url: str, store: Any) -> None:
    scheme = url.partition("://")[0]
    if scheme in store.get_registered_schemes():
        return
    # Those of tensorflow-io, such as s3, are known once it is imported.
    with contextlib.suppress(ImportError):
        import tensorflow_io  # noqa: F401

    known = sorted(filter(None, store.get_registered_schemes()))
    if scheme not in known:
        raise ConfigError(
            f"{url} has the scheme {scheme!r}, TensorFlow here knows "
            f"{', '.join(known)}. Copy the files to one of these, or to a "
            "file system."
        )
