"""Tar archives, plain or through gzip, read without being unpacked.

Nothing in an archive names a place to write to or to read from: members are
found by where their bytes lie, and links are not followed.
"""

import io
import logging
import tarfile
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from gim_tf.data.sources.containers import Opened, as_text
from gim_tf.data.sources.files import MAX_BYTES, damage, is_gzip, open_stream
from gim_tf.data.sources.verify import UnreadableError
from gim_tf.errors import DataError

MAX_MEMBERS = 2_000_000  # LibriSpeech has 300,000 with its folders

_HEAD_BYTES = 64
_MAX_HEADER = 2**20  # longest names and comments that tar writes: kilobytes
_BLOCK = 2**20

_log = logging.getLogger(__name__)


class Member(NamedTuple):
    """A regular file: where its bytes lie, and the first of them."""

    name: str
    start: int
    size: int
    head: bytes


class Archive:
    """The regular members of a tar archive; see `Container`.

    Links, devices, sparse files and names that leave the archive (absolute,
    or with "..") are left out, and a warning counts them.

    Raises:
      DataError: (when first read) damaged, truncated, or more than
        `MAX_MEMBERS` members.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A worker reads through all that lies before its members.
        self.piece = 4096 if is_gzip(path) else 256

    def names(self) -> Iterator[str]:
        """All members but hidden ones, in the archive's order."""
        for member in self._members:
            if not any(part[0] == "." for part in member.name.split("/")):
                yield member.name

    def find(self, name: str) -> str | None:
        """A member by its name, at the root or in the only top folder."""
        tops = {one.partition("/")[0] for one in self.names()}
        places = ["", *(f"{top}/" for top in tops if len(tops) == 1)]
        found = (f"{place}{name}" for place in places)
        return next((one for one in found if one in self._by_name), None)

    def text(self, name: str) -> str:
        """The content of a text file; `DataError` if it is none."""
        try:
            # Read while it is open: with the next one it is closed.
            (content,) = (content() for _, content in self.read([name]))
            return as_text(content, self.path / name)
        except UnreadableError as error:
            raise DataError(f"{self.path / name} is {error}.") from error

    def head(self, name: str) -> BinaryIO:
        """The first bytes of a member."""
        return io.BytesIO(self._by_name[name].head)

    def read(self, names: Iterable[str]) -> Iterator[Opened]:
        """Opens members in the order in which they lie in the archive."""
        members = sorted(map(self._by_name.__getitem__, names), key=_start)
        with open_stream(self.path) as stream:
            for member in members:
                yield Opened(
                    member.name, partial(self._content, stream, member)
                )

    def sources(self, names: Iterable[str]) -> list[Path]:
        """The archive."""
        return [self.path]

    def _content(self, stream: BinaryIO, member: Member) -> bytes:
        if member.size > MAX_BYTES:
            raise UnreadableError(f"more than {MAX_BYTES} bytes")
        with damage(self.path):
            stream.seek(member.start)
            return stream.read(member.size)

    @cached_property
    def _by_name(self) -> dict[str, Member]:
        return {member.name: member for member in self._members}

    @cached_property
    def _members(self) -> list[Member]:
        found: list[Member] = []
        left_out: list[str] = []
        for info, head in self._scanned():
            name = PurePosixPath(info.name)
            is_plain = (
                info.type in tarfile.REGULAR_TYPES and not info.issparse()
            )
            if not info.isdir() and (
                not is_plain or name.is_absolute() or ".." in name.parts
            ):
                left_out.append(info.name)
            elif is_plain and name.parts:
                found.append(
                    Member(str(name), info.offset_data, info.size, head)
                )
        if left_out:
            _log.warning(
                "%s: %d member(s) are links, no plain files, or have names "
                "that lead out of it; they are left out, the first is %r.",
                self.path,
                len(left_out),
                left_out[0],
            )
        return found

    def _scanned(self) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        """Every member and its first bytes; checks that the end is there."""
        with open_stream(self.path) as stream, damage(self.path):
            headers: Any = _Headers(stream)
            try:
                with tarfile.open(fileobj=headers, mode="r:") as tar:
                    for info in _each(tar):
                        stream.seek(info.offset_data)
                        yield info, stream.read(min(info.size, _HEAD_BYTES))
            except tarfile.TarError as error:
                raise DataError(
                    f"{self.path} is no intact tar archive, plain or through "
                    f"gzip: {error}. Fetch it again."
                ) from error
            # tarfile takes whatever is no header for the end.
            if headers.last != bytes(tarfile.BLOCKSIZE):
                raise DataError(
                    f"{self.path} is truncated or damaged at byte "
                    f"{tar.offset}. Fetch it again."
                )
            while stream.read(_BLOCK):  # gzip has a checksum at its end
                pass


class _Headers:
    """A stream of which tar headers of a sane size can be read.

    tarfile reads a whole extended header, of any size that it announces.

    Attributes:
      last: what was read last.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek = stream.seek
        self.tell = stream.tell
        self.last = b""

    def read(self, size: int) -> bytes:
        """As of any file, up to `_MAX_HEADER` bytes."""
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self._stream.read(size)
        return self.last


def _each(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    count = 0  # and not `in tar`, which keeps all members
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]
        count += 1
        if count > MAX_MEMBERS:
            raise tarfile.ReadError(f"more than {MAX_MEMBERS} members")
        if info.size < 0:
            raise tarfile.ReadError(f"a member of {info.size} bytes")
        yield info


def _start(member: Member) -> int:
    return member.start
