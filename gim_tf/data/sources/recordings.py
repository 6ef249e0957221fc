"""What the sources of one recording a file share; dividing them in time."""

import abc
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from gim_tf.config import DataConfig
from gim_tf.data import pcm
from gim_tf.data.records import UNLABELLED, Record, WorkItem
from gim_tf.data.sources.base import Found
from gim_tf.data.sources.containers import Container, Folder
from gim_tf.data.sources.files import fingerprint_files, mixing_key
from gim_tf.data.sources.speech import SpeechReader
from gim_tf.data.sources.verify_recording import check_sound
from gim_tf.errors import ConfigError, DataError


class Recording(NamedTuple):
    """One file, by its name in the container, and who speaks in it."""

    id: str
    speaker: str
    file: str


class RecordingsReader(SpeechReader):
    """Base of the sources that read one recording a file.

    The order is that of the ids' hashes, so that speakers mix.

    With `data.train_share` every recording of `data.min_divided` samples or
    more is divided in time: its start is an example `ID#train`, its end one
    `ID#test`, and its start again, without a label, one `ID#unlabelled`. So
    are the shorter recordings as a whole. Nothing of a test part is in
    another split. Only who has a divided recording is a class.
    """

    follows: ClassVar = (*SpeechReader.follows, "train_share")

    def __init__(self, data: DataConfig) -> None:
        super().__init__(data)
        shortest = int(
            data.min_divided * min(data.train_share, data.test_share)
        )
        if data.train_share and shortest < (data.min_samples or 0):
            raise ConfigError(
                f"data.min_divided {data.min_divided} leaves {shortest} "
                "samples for the smaller of data.train_share and "
                f"data.test_share, data.min_samples asks for "
                f"{data.min_samples}. Raise data.min_divided."
            )

    def fingerprint(self) -> str:
        """Hash of the recordings and of what divides or labels them."""
        return fingerprint_files(self.path, set(self._sources()))

    def _sources(self) -> list[Path]:
        """The files on the disk that the records are made of."""
        names = [one.file for one in self._recordings.values()]
        return self._container.sources(names)

    def _splits(self) -> tuple[str, ...]:
        if not self._recordings:
            return ()
        if self.data.train_share:
            return ("train", "test", UNLABELLED)
        return ("train",)

    def _pieces(self, split: str) -> Iterator[WorkItem]:
        members = sorted(
            self._members(split), key=lambda one: mixing_key(one.id)
        )
        size = self._container.piece
        for start in range(0, len(members), size):
            chosen = tuple(one.file for one in members[start : start + size])
            yield WorkItem(split, split, members=chosen)

    def _examples(self, item: WorkItem) -> Iterator[Found]:
        for name, content in self._container.read(item.members):
            found = self._recording(name)
            label = -1
            if item.path != UNLABELLED:
                label = self._labels[found.speaker]
            part = f"#{item.path}" if self.data.train_share else ""
            yield Found(f"{found.id}{part}", label, content)

    def _record(self, found: Found, item: WorkItem) -> Record:
        record = super()._record(found, item)
        if not self.data.train_share:
            return record
        return record._replace(encoded=self._part(record.encoded, item.path))

    def _part(self, encoded: bytes, split: str) -> bytes:
        samples = pcm.decode(encoded)
        if len(samples) < self.data.min_divided:
            return encoded
        end = int(len(samples) * self.data.train_share)
        start = len(samples) - int(len(samples) * self.data.test_share)
        # Rounding must not let the two meet.
        part = samples[max(start, end) :] if split == "test" else samples[:end]
        check_sound(part)
        return pcm.encode(part, self._wanted.sample_rate)

    @functools.cached_property
    def _container(self) -> Container:
        return Folder(self.path)

    @functools.cached_property
    def _recordings(self) -> dict[str, Recording]:
        """All recordings by id, as they were when first asked for."""
        found: dict[str, Recording] = {}
        for name in self._container.names():
            if not self._is_recording(name):
                continue
            one = self._recording(name)
            if one.id in found:
                raise DataError(
                    f"{self.path} holds {one.id!r} twice: "
                    f"{found[one.id].file} and {one.file}. Remove one, or "
                    "point data.path at one copy."
                )
            found[one.id] = one
        return found

    @abc.abstractmethod
    def _is_recording(self, name: str) -> bool:
        """Whether a file of the container is one."""

    @abc.abstractmethod
    def _recording(self, name: str) -> Recording:
        """What the name of a file tells."""

    def _members(self, split: str) -> list[Recording]:
        """The recordings of one of the source's own splits."""
        if not self.data.train_share or split == UNLABELLED:
            return list(self._recordings.values())
        return self._divided

    @functools.cached_property
    def _divided(self) -> list[Recording]:
        """Those that are long enough, by their headers."""
        return [
            one
            for one in self._recordings.values()
            if self._length(one.file) >= self.data.min_divided
        ]

    def _length(self, name: str) -> int:
        try:
            with self._container.head(name) as file:
                return pcm.num_samples(file, self._wanted.sample_rate)
        except OSError:
            return 0  # it is refused by name when it is read

    def _speakers(self) -> set[str]:
        return {
            one.speaker
            for split in self._splits()
            if split != UNLABELLED
            for one in self._members(split)
        }
