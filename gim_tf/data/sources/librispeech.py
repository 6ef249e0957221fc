"""LibriSpeech (Panayotov et al. 2015), any part of it, unpacked or in a tar.

The lists that divide it and its phone labels are those of van den Oord, Li
and Vinyals 2018.
"""

import functools
import io
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import ClassVar

import numpy as np

from gim_tf.data import alignments, pcm
from gim_tf.data.records import Record, WorkItem
from gim_tf.data.sources.archive import Archive
from gim_tf.data.sources.base import Found
from gim_tf.data.sources.containers import Container, Folder
from gim_tf.data.sources.frame_labels import LabelFile, find_labels
from gim_tf.data.sources.recordings import Recording, RecordingsReader
from gim_tf.data.sources.verify import UnreadableError
from gim_tf.errors import DataError

LISTS = {"train": "train_split.txt", "test": "test_split.txt"}

_log = logging.getLogger(__name__)


class LibriSpeechReader(RecordingsReader):
    """Files `speaker/chapter/speaker-chapter-utterance.flac`.

    `data.path` is the folder LibriSpeech, one of its subsets, their parent, or
    an archive of one of them, .tar or .tar.gz, which is read as it is.
    Transcripts are not needed. An id is `speaker-chapter-utterance`.

    Where `data.path`, or the folder LibriSpeech in it, holds `train_split.txt`
    and `test_split.txt` (an id a line), these are the splits "train" and
    "test", and what neither names is left out. Else all is "train", and
    `data.holdout` makes a split "test". `data.train_share` divides in time
    instead (see `RecordingsReader`), and nothing has frame labels then.

    Frame labels are those of `data.frame_labels`, a path or a file in
    `data.path`, or of `converted_aligned_phones.txt` beside the lists. A
    recording without a line has none; one with a number of labels that cannot
    be its own is rejected. `phones.txt` beside the labels has their names.
    """

    layout = "[subset/]speaker/chapter/speaker-chapter-utterance.flac"
    follows: ClassVar[tuple[str, ...]] = (
        *RecordingsReader.follows,
        "frame_labels",
    )

    @functools.cached_property
    def frame_names(self) -> tuple[str, ...]:
        """`data.frame_names`, or else those of the source."""
        if self._label_file is None or self.data.frame_names:
            return self.data.frame_names
        return self._label_file.frame_names()

    def _sources(self) -> list[Path]:
        labels = self._label_file.sources() if self._label_file else []
        lists = self._container.sources(self._split_files())
        return [*super()._sources(), *lists, *labels]

    def _splits(self) -> tuple[str, ...]:
        return tuple(self._lists) or super()._splits()

    def _pieces(self, split: str) -> Iterator[WorkItem]:
        _ = self._num_lacking  # a wrong file is found before the work starts
        return super()._pieces(split)

    def _record(self, found: Found, item: WorkItem) -> Record:
        record = super()._record(found, item)
        labels = self._frame_labels.get(record.id)
        if labels is None:
            return record
        rate = self._wanted.sample_rate
        length = pcm.num_samples(io.BytesIO(record.encoded), rate)
        wrong = alignments.mismatch(length, len(labels))
        if wrong:
            raise UnreadableError(f"frame labels of another, {wrong}")
        return record._replace(frame_labels=tuple(labels.tolist()))

    def _members(self, split: str) -> list[Recording]:
        if split in self._lists:
            return [self._recordings[one] for one in self._lists[split]]
        return super()._members(split)

    def _is_recording(self, name: str) -> bool:
        return name.endswith(".flac")

    def _recording(self, name: str) -> Recording:
        path = PurePath(os.path.abspath(self.path), name)
        parts = path.stem.split("-")
        if len(parts) != 3 or path.parts[-3:-1] != tuple(parts[:2]):
            raise DataError(
                f"{path} is not named as in LibriSpeech, {self.layout}; for "
                "other files choose data.source 'sounds'."
            )
        return Recording(path.stem, parts[0], name)

    @functools.cached_property
    def _container(self) -> Container:
        return Folder(self.path) if self.path.is_dir() else Archive(self.path)

    @functools.cached_property
    def _label_file(self) -> LabelFile | None:
        if self.data.train_share:
            return None
        return find_labels(self._container, self.data.frame_labels)

    @functools.cached_property
    def _frame_labels(self) -> Mapping[str, np.ndarray]:
        if self._label_file is None:
            return {}
        return self._label_file.labels(len(self.frame_names))

    @functools.cached_property
    def _num_lacking(self) -> int:
        """Recordings in use without frame labels, where there are any."""
        if self._label_file is None:
            return 0
        used = [one for split in self._splits() for one in self._members(split)]
        lacking = sum(one.id not in self._frame_labels for one in used)
        if lacking:
            _log.warning(
                "%d of %d recordings have no line in %s; they have no frame "
                "labels.",
                lacking,
                len(used),
                self._label_file.name,
            )
        return lacking

    def _split_files(self) -> list[str]:
        if self.data.train_share:
            return []
        found = [self._container.find(name) for name in LISTS.values()]
        there = [name for name in found if name]
        if len(there) == 1:
            raise DataError(
                f"{self.path} holds {there[0]} alone; expected "
                f"{' and '.join(LISTS.values())}, or neither."
            )
        return there

    @functools.cached_property
    def _lists(self) -> dict[str, list[str]]:
        """Ids by split; empty without lists."""
        files = self._split_files()
        found = dict(zip(LISTS, map(self._ids, files), strict=False))
        seen = Counter(one for ids in found.values() for one in ids)
        for example_id, count in seen.items():
            if count > 1:
                raise DataError(
                    f"{example_id!r} is listed {count} times in "
                    f"{' and '.join(files)}. Leave it in one place."
                )
        missing = [one for one in seen if one not in self._recordings]
        if missing:
            raise DataError(
                f"{files[0]} lists {len(missing)} utterance(s) that are not "
                f"below {self.path}, the first is {missing[0]!r}. Unpack the "
                "subset that they are of, or mend the lists."
            )
        if found and len(seen) < len(self._recordings):
            _log.warning(
                "%d of %d recordings are in neither %s; they are left out.",
                len(self._recordings) - len(seen),
                len(self._recordings),
                " nor ".join(LISTS.values()),
            )
        return found

    def _ids(self, name: str) -> list[str]:
        ids = self._container.text(name).split()
        if not ids:
            raise DataError(f"{self.path / name} lists no utterance.")
        return ids
