"""An unpacked LibriSpeech tree (Panayotov et al. 2015), any part of it.

The lists that divide it are those of van den Oord, Li and Vinyals 2018.
"""

import functools
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gim_tf.data.sources.files import damage, visible_files
from gim_tf.data.sources.recordings import Recording, RecordingsReader
from gim_tf.errors import DataError

LISTS = {"train": "train_split.txt", "test": "test_split.txt"}

_log = logging.getLogger(__name__)


class LibriSpeechReader(RecordingsReader):
    """Files `speaker/chapter/speaker-chapter-utterance.flac`.

    `data.path` is the folder LibriSpeech, one of its subsets, or their
    parent; transcripts are not needed. An id is `speaker-chapter-utterance`.

    Where `data.path`, or the folder LibriSpeech in it, holds `train_split.txt`
    and `test_split.txt` (an id a line), these are the splits "train" and
    "test", and what neither names is left out. Else all is "train", and
    `data.holdout` makes a split "test".
    """

    layout = "[subset/]speaker/chapter/speaker-chapter-utterance.flac"

    def _splits(self) -> tuple[str, ...]:
        return tuple(self._lists) or super()._splits()

    def _members(self, split: str) -> list[str]:
        return self._lists.get(split) or super()._members(split)

    def _split_files(self) -> list[Path]:
        places = (self.path, self.path / "LibriSpeech")
        for place in places:
            files = [place / name for name in LISTS.values()]
            there = [file for file in files if file.is_file()]
            if len(there) == 1:
                raise DataError(
                    f"{place} holds {there[0].name} alone; expected "
                    f"{' and '.join(LISTS.values())}, or neither."
                )
            if there:
                return there
        return []

    def _listed(self) -> Iterator[Recording]:
        root = os.path.abspath(self.path)
        for name in visible_files(Path(root)):
            path = Path(name)
            if path.suffix != ".flac":
                continue
            parts = path.stem.split("-")
            if len(parts) != 3 or path.parts[-3:-1] != tuple(parts[:2]):
                raise DataError(
                    f"{path} is not named as in LibriSpeech, "
                    f"{self.layout}; for other files choose "
                    "data.source 'sounds'."
                )
            below = path.relative_to(root).as_posix()
            yield Recording(path.stem, parts[0], below)

    @functools.cached_property
    def _lists(self) -> dict[str, list[str]]:
        """Ids by split; empty without lists."""
        files = self._split_files()
        found = dict(zip(LISTS, map(_lines, files), strict=False))
        seen = Counter(one for ids in found.values() for one in ids)
        for example_id, count in seen.items():
            if count > 1:
                raise DataError(
                    f"{example_id!r} is listed {count} times in "
                    f"{' and '.join(map(str, files))}. Leave it in one place."
                )
        missing = [one for one in seen if one not in self._recordings]
        if missing:
            raise DataError(
                f"{files[0].parent} lists {len(missing)} utterance(s) that "
                f"are not below {self.path}, the first is {missing[0]!r}. "
                "Unpack the subset that they are of, or mend the lists."
            )
        if found and len(seen) < len(self._recordings):
            _log.warning(
                "%d of %d recordings are in neither %s; they are left out.",
                len(self._recordings) - len(seen),
                len(self._recordings),
                " nor ".join(LISTS.values()),
            )
        return found


def _lines(path: Path) -> list[str]:
    try:
        with damage(path):
            text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file.") from error
    ids = text.split()
    if not ids:
        raise DataError(f"{path} lists no utterance.")
    return ids
