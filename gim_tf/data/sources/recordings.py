"""What the sources of recordings share: their classes are the speakers."""

import abc
import functools
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gim_tf.config import DataConfig
from gim_tf.data.records import WorkItem
from gim_tf.data.sources.base import Found, Reader
from gim_tf.data.sources.files import (
    fingerprint_files,
    mixing_key,
    read_example,
)
from gim_tf.data.sources.verify_recording import verified_recording
from gim_tf.errors import ConfigError, DataError

PIECE = 256


class Recording(NamedTuple):
    """One file, by its path below `data.path`, and who speaks in it."""

    id: str
    speaker: str
    file: str


class RecordingsReader(Reader):
    """Base of the sources that read one recording a file.

    A label is the position of the speaker in `class_names`. The order is that
    of the ids' hashes, so that speakers mix. A recording is refused that has
    not `data.sample_rate` or has fewer than `data.min_samples` samples.
    """

    def __init__(self, data: DataConfig) -> None:
        super().__init__(data)
        if data.sample_rate is None or data.min_samples is None:
            raise ConfigError(
                f"Source {data.source!r} needs data.sample_rate and "
                "data.min_samples, such as 16000 and 20480."
            )

    def __getstate__(self) -> dict[str, Any]:
        # What was found stays behind: it can be large.
        return {"data": self.data}

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """`data.class_names`, or else all speakers of the source, sorted."""
        found = {one.speaker for one in self._recordings.values()}
        if not self.data.class_names:
            return tuple(sorted(found))
        known = tuple(map(normal, self.data.class_names))
        unknown = sorted(found - set(known))
        if unknown:
            raise DataError(
                f"{self.path} holds {len(unknown)} speaker(s) that "
                f"data.class_names lacks, the first is {unknown[0]!r}. Add "
                "them, or leave data.class_names empty."
            )
        return known

    def fingerprint(self) -> str:
        """Hash of the recordings and of what divides them."""
        files = [self.path / one.file for one in self._recordings.values()]
        return fingerprint_files(self.path, [*files, *self._split_files()])

    def _splits(self) -> tuple[str, ...]:
        return ("train",) if self._recordings else ()

    def _pieces(self, split: str) -> Iterator[WorkItem]:
        members = sorted(self._members(split), key=mixing_key)
        for start in range(0, len(members), PIECE):
            chosen = tuple(members[start : start + PIECE])
            yield WorkItem(split, split, members=chosen)

    def _examples(self, item: WorkItem) -> Iterator[Found]:
        labels = {name: label for label, name in enumerate(self.class_names)}
        for member in item.members:
            found = self._recordings[member]
            path = self.path / found.file
            yield Found(found.id, labels[found.speaker], path)

    def _encoded(self, raw: Path) -> bytes:
        return verified_recording(
            read_example(raw),
            sample_rate=self.data.sample_rate or 0,
            min_samples=self.data.min_samples or 0,
        )

    @functools.cached_property
    def _recordings(self) -> dict[str, Recording]:
        """All recordings by id, as they were when first asked for."""
        found: dict[str, Recording] = {}
        for one in self._listed():
            if one.id in found:
                raise DataError(
                    f"{self.path} holds {one.id!r} twice: "
                    f"{found[one.id].file} and {one.file}. Remove one, or "
                    "point data.path at one copy."
                )
            found[one.id] = one
        return found

    @abc.abstractmethod
    def _listed(self) -> Iterator[Recording]:
        """Lists the recordings below `data.path`, without opening them."""

    def _members(self, split: str) -> list[str]:
        """Ids of the recordings of one of the source's own splits."""
        return list(self._recordings)

    def _split_files(self) -> list[Path]:
        """Files that divide the recordings into splits."""
        return []


def normal(name: str) -> str:
    """A name as it is compared: accents in one form."""
    return unicodedata.normalize("NFC", name)
