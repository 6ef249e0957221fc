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
from gim_tf.paths import Place, in_order

WHOLE_BYTES = 64 * 2**20
END_BYTES = 64 * 2**10
MAX_BYTES = 2**29  # above the raw size of the largest image that is accepted


def is_gzip(path: Place) -> bool:
    """Whether a file is gzip by its first bytes, whatever its name says."""
    with damage(path), path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_stream(path: Place) -> BinaryIO:
    """Opens a file for reading, through gzip if its content is gzip."""
    with damage(path):
        if is_gzip(path):
            inside = path if isinstance(path, Path) else path.open("rb")
            return cast(BinaryIO, gzip.open(inside, "rb"))
        return path.open("rb")


@contextlib.contextmanager
def damage(path: Place) -> Iterator[None]:
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


def fingerprint_files(root: Place, files: Iterable[Place]) -> str:
    """Hash of a set of files, cheap for large ones.

    Covered always: paths relative to `root`, of a file elsewhere its name, and
    sizes. Up to 64 MiB in all: every byte, and nothing else, so that a copy
    has the same fingerprint.
    Above: the time of modification and the first and last 64 KiB of each
    file; a change inside a large file that keeps its size and time is missed.
    """
    digest = hashlib.sha256()
    with damage(root):
        ordered = in_order(files)
        total = sum(path.stat().st_size for path in ordered)
        for path in ordered:
            stat = path.stat()
            name = _name_below(root, path)
            head = f"{name!r} {stat.st_size}".encode()
            digest.update(head)
            if total <= WHOLE_BYTES:
                digest.update(_sha256(path))
            else:
                digest.update(str(stat.st_mtime_ns).encode())
                digest.update(_ends(path, stat.st_size))
    return digest.hexdigest()


def _name_below(root: Place, path: Place) -> str:
    if isinstance(root, Path) and isinstance(path, Path):
        inside = path.is_relative_to(root)
        return path.relative_to(root).as_posix() if inside else path.name
    inside = str(path).startswith(f"{root}/")
    return str(path).removeprefix(f"{root}/") if inside else path.name


def _sha256(path: Place) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()


def _ends(path: Place, size: int) -> bytes:
    with path.open("rb") as file:
        head = file.read(END_BYTES)
        file.seek(max(0, size - END_BYTES))
        return hashlib.sha256(head + file.read(END_BYTES)).digest()
