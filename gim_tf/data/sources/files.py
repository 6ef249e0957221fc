"""What the readers of files share: damage, compression, fingerprints."""

import contextlib
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from gim_tf.data.sources.verify import UnreadableError
from gim_tf.errors import DataError

WHOLE_BYTES = 64 * 2**20
END_BYTES = 64 * 2**10
MAX_BYTES = 2**29  # above the raw size of the largest image that is accepted


def is_gzip(path: Path) -> bool:
    """Whether a file is gzip by its first bytes, whatever its name says."""
    with damage(path), path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_stream(path: Path) -> BinaryIO:
    """Opens a file for reading, through gzip if its content is gzip."""
    with damage(path):
        if is_gzip(path):
            return cast(BinaryIO, gzip.open(path, "rb"))
        return path.open("rb")


@contextlib.contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turns what reading a damaged file raises into a one-line `DataError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except EOFError as error:
        raise DataError(f"{path} is truncated. Fetch it again.") from error
    except (OSError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {reason}.") from error


def visible_files(folder: Path) -> Iterator[str]:
    """All files below a folder, sorted folder by folder, but hidden ones."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(names):
            if name[0] != ".":
                yield os.path.join(root, name)


def mixing_key(name: str) -> bytes:
    """Sorts names in an order that mixes folders and is always the same."""
    return hashlib.sha256(os.fsencode(name)).digest()


def read_example(path: Path) -> bytes:
    """Content of a file that holds one example.

    Raises:
      UnreadableError: no regular file, larger than `MAX_BYTES`, or not
        readable.
    """
    if not path.is_file():  # a pipe would be waited for, for ever
        raise UnreadableError("no regular file, or a broken link")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableError(f"more than {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"not readable, {error.strerror}") from error


def fingerprint_files(root: Path, files: Iterable[Path]) -> str:
    """Hash of a set of files, cheap for large ones.

    Covered always: paths relative to `root`, of a file elsewhere its name, and
    sizes. Up to 64 MiB in all: every byte, and nothing else, so that a copy
    has the same fingerprint.
    Above: the time of modification and the first and last 64 KiB of each
    file; a change inside a large file that keeps its size and time is missed.
    """
    digest = hashlib.sha256()
    with damage(root):
        ordered = sorted(files)
        total = sum(path.stat().st_size for path in ordered)
        for path in ordered:
            stat = path.stat()
            inside = path.is_relative_to(root)
            name = path.relative_to(root).as_posix() if inside else path.name
            head = f"{name!r} {stat.st_size}".encode()
            digest.update(head)
            if total <= WHOLE_BYTES:
                digest.update(_sha256(path))
            else:
                digest.update(str(stat.st_mtime_ns).encode())
                digest.update(_ends(path, stat.st_size))
    return digest.hexdigest()


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()


def _ends(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        head = file.read(END_BYTES)
        file.seek(max(0, size - END_BYTES))
        return hashlib.sha256(head + file.read(END_BYTES)).digest()
